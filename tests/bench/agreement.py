"""How often the automatic score sides with people on the demo's own images; prints Markdown.

make bench WHICH=agreement                        against the votes in tests/bench/demo_votes

Each row of votes.csv is one blind vote on two images of one prompt and seed: the images by the
SHA-256 of their files (they lie beside it), where each comes from, which won, and who voted.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from core.formats.caption_file import read_captions
from core.formats.prompt_suite import read_suite
from core.metrics import TrainingProfile, measure
from core.nouns import Expectation, Measurement
from core.rules.calibration import PairVote, agreement_of
from core.rules.composite import sub_scores
from core.rules.scoring import average_of
from daemon.profiling import profile_of

VOTES = Path(__file__).parent / "demo_votes" / "votes.csv"
DEMO = Path(__file__).resolve().parents[2] / "daemon" / "demo"
GRID = 24
_OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}
_ORDER = (  # the better stage of training first
    ("early", "base"), ("best", "base"), ("best", "early"), ("best", "over-trained"),
)  # fmt: skip
_CLEAR = 1.0  # points between two images whose order should be plain to anybody

Row = Mapping[str, str]


def main() -> None:
    """Print the tables of docs/metrics.md."""
    rows, profile = read_votes(), profile_of(read_captions(DEMO / "dataset"), GRID).profile
    votes = pair_votes(rows, profile)
    told = Counter(row["vote"] for row in rows)
    print(
        f"{len(rows)} votes of {', '.join(sorted({row['voter'] for row in rows}))}: {dict(told)}\n"
    )
    print("| votes | agree | share | 95 % interval |\n|---|---|---|---|")
    for name, chosen in (
        ("all decided", votes),
        ("scores a point or more apart", [v for v in votes if v.gap and abs(v.gap) >= _CLEAR]),
        ("closer scores", [v for v in votes if v.gap is not None and abs(v.gap) < _CLEAR]),
        ("neither base nor over-trained", list(_among(rows, votes, {"early", "between", "best"}))),
    ):
        if found := agreement_of(chosen):
            print(
                f"| {name} | {found.hits:g} of {found.votes:g} | {found.share:.0%} "
                f"| {found.low:.0%} to {found.high:.0%} |"
            )
    print("\n| stage | images | won | mean score |\n|---|---|---|---|")
    for stage, (images, won, score) in stages(rows, profile).items():
        print(f"| {stage} | {images} | {won:.0%} | {score:.1f} |")
    print("\n| better | than | chance to score higher |\n|---|---|---|")
    for (better, worse), chance in separation(rows, profile).items():
        print(f"| {better} | {worse} | {chance:.0%} |")


def read_votes(path: Path = VOTES) -> list[Row]:
    """Return the votes; raises ValueError where an image is not the one that was voted on."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    for digest in {row[f"{side}_sha256"] for row in rows for side in ("left", "right")}:
        if hashlib.sha256(image_of(digest, path.parent).read_bytes()).hexdigest() != digest:
            raise ValueError(f"{digest}.png is not the image that was voted on")
    return rows


def image_of(digest: str, folder: Path = VOTES.parent) -> Path:
    """Return where the image with this SHA-256 lies."""
    return folder / f"{digest}.png"


def pair_votes(rows: Iterable[Row], profile: TrainingProfile | None) -> list[PairVote]:
    """Return the votes with both images measured as the demo measures them."""
    return [
        PairVote(
            prompt=row["prompt"],
            unit=f"{row['prompt']}#{row['seed']}",
            judge=row["voter"],
            parts_a=sub_scores(
                left := measured(row["left_sha256"], row["prompt"], profile),
                _expectations()[row["prompt"]],
            ),
            parts_b=sub_scores(
                right := measured(row["right_sha256"], row["prompt"], profile),
                _expectations()[row["prompt"]],
            ),
            gap=_score(left) - _score(right),
            outcome=_OUTCOMES[row["vote"]],
            pair=f"{row['left']}/{row['right']}",
        )
        for row in rows
    ]


def stages(
    rows: Iterable[Row], profile: TrainingProfile | None
) -> dict[str, tuple[int, float, float]]:
    """Return of each stage of training the images shown, the share of votes won, the mean score."""
    won, scores = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for row in rows:
        outcome = _OUTCOMES[row["vote"]]
        for side, points in (("left", outcome), ("right", 1 - outcome)):
            one = measured(row[f"{side}_sha256"], row["prompt"], profile)
            won[row[f"{side}_stage"]].append(points)
            scores[row[f"{side}_stage"]].append(_score(one))
    return {
        stage: (len(won[stage]), float(np.mean(won[stage])), float(np.mean(scores[stage])))
        for stage in sorted(won)
    }


def separation(
    rows: Iterable[Row], profile: TrainingProfile | None
) -> dict[tuple[str, str], float]:
    """Return how likely an image of one stage scores above one of another: the area under the ROC.

    Only images of one prompt are compared, each with each; 0.5 is no better than chance.
    """
    shown = {
        (row["prompt"], row[f"{side}_stage"], row[f"{side}_sha256"])
        for row in rows
        for side in ("left", "right")
    }
    scores = defaultdict[tuple[str, str], list[float]](list)
    for prompt, stage, digest in shown:
        scores[prompt, stage].append(_score(measured(digest, prompt, profile)))
    prompts = {prompt for prompt, _ in scores}
    found = {}
    for better, worse in _ORDER:
        wins = [
            1.0 if one > two else 0.5 if one == two else 0.0
            for prompt in prompts
            for one in scores.get((prompt, better), ())
            for two in scores.get((prompt, worse), ())
        ]
        found[better, worse] = float(np.mean(wins))
    return found


def _among(rows: Sequence[Row], votes: Sequence[PairVote], kept: set[str]) -> Iterator[PairVote]:
    """Yield the votes on two images of these stages."""
    for row, vote in zip(rows, votes, strict=True):
        if {row["left_stage"], row["right_stage"]} <= kept:
            yield vote


@cache
def measured(digest: str, prompt: str, profile: TrainingProfile | None) -> Measurement:
    """Return what the daemon would store of this image under the demo's prompt of that name."""
    pixels = np.asarray(Image.open(image_of(digest)).convert("RGB"))
    return measure(pixels, expect=_expectations()[prompt], grid=GRID, profile=profile)


@cache
def _expectations() -> Mapping[str, Expectation]:
    return {each.name: each.expect for each in read_suite(DEMO / "prompts.toml").suite.prompts}


def _score(one: Measurement) -> float:
    average = average_of(one)
    if average is None:
        raise ValueError("the demo's images all have a score")
    return average


if __name__ == "__main__":
    main()
