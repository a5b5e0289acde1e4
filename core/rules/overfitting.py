"""Whether a LoRA has begun to learn its training images by heart: diversity, copies and the gap.

Over-fitting is that images surely copy training images, and that it costs something: images of
one prompt surely grow alike, or prompts seen in training surely gain on prompts that were held out,
both since the first position that was tested. What cannot be known is None, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.nouns import Origin
    from core.rules.one_thread import Floats

FEWEST_SEEDS = 3  # of one prompt before its images can be called alike
FULL_SEEDS = 8  # from which the diversity of a prompt is well measured
FEWEST_PROMPTS = 3  # for an interval, and on each side of the gap
COLLAPSE = 0.6  # mode collapse: diversity surely below 60 % of the first
BY_CHANCE = 0.02  # share of new images that is as near to training images as they are to each other
_RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class SetImage:
    """One measured image of a position."""

    prompt: str
    origin: Origin | None
    score: float | None  # 0-10
    is_copy: bool | None = None  # None: there are no training images to compare with
    like: str = ""  # the training image that it copies


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much the images of one prompt differ: Vendi score / images, 1/n (alike) to 1."""

    prompt: str
    seeds: int
    cells: float  # by cells in another color
    color: float  # by the cosine of their colors, a second opinion


@dataclass(frozen=True, kw_only=True)
class EpochSet:
    """All images of one position; ``spreads`` has each prompt with seeds enough."""

    position: int
    images: tuple[SetImage, ...]
    spreads: tuple[Spread, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """How much the images of a prompt differ, on average over prompts."""

    value: float  # 1/seeds (all alike) to 1
    color: float
    prompts: int
    seeds: int  # of the prompt with the fewest
    ratio: float | None  # to the first position, on the same prompts; None there
    low: float | None  # 95 % of resampled prompts; None with under three
    high: float | None
    collapsed: bool | None  # mode collapse; None when it cannot be told
    reason: str = ""  # why ratio, interval or collapse are None


@dataclass(frozen=True, kw_only=True)
class Copies:
    """How many images are nearer to a training image than those are to each other."""

    copies: int
    images: int
    low: float  # Clopper-Pearson, 95 %, of the rate 0-1
    high: float
    examples: tuple[tuple[str, str], ...]  # prompt, training image

    @property
    def rate(self) -> float:
        """Share of the images."""
        return self.copies / self.images


@dataclass(frozen=True, kw_only=True)
class Gap:
    """By how many points prompts seen in training score above held-out ones."""

    points: float
    seen: int  # prompts
    held_out: int
    growth: float | None  # since the first position, on the same prompts
    low: float | None  # 95 % of resampled prompts
    high: float | None


@dataclass(frozen=True, kw_only=True)
class SetLevel:
    """What all images of a position say together; a part that is None has its reason."""

    position: int
    diversity: Diversity | None
    copies: Copies | None
    gap: Gap | None
    reasons: Mapping[str, str]  # part -> why it is None
    overtrained: bool | None
    said: str  # why it is, or why it cannot be known

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        body = asdict(self)
        body["copies"] = {**body["copies"], "rate": self.copies.rate} if self.copies else None
        return body


def set_levels(epochs: Sequence[EpochSet], *, no_training: str) -> dict[int, SetLevel]:
    """Judge each position against the first; ``no_training`` says why copies are not known."""
    ordered = sorted(epochs, key=lambda each: each.position)
    return {each.position: _level(each, ordered[0], no_training) for each in ordered}


def warnings(levels: Mapping[int, SetLevel], unit: str) -> tuple[str, ...]:
    """Return a sentence for the first position that copies, is over-trained, and collapsed.

    Copies have none of their own where the same position is over-trained, which tells of them.
    """
    said = []
    ordered = [levels[position] for position in sorted(levels)]
    bad = next((level for level in ordered if level.overtrained), None)
    copying = next((level for level in ordered if _is_copying(level.copies)), None)
    if copying is not None and copying.copies is not None and copying is not bad:
        several = copying.copies
        said.append(
            f"At {unit} {copying.position} {several.copies} of {several.images} images copy "
            f"training images, such as {several.examples[0][1]}."
        )
    if bad is not None:
        said.append(f"From {unit} {bad.position} on it looks over-trained: {bad.said}")
    for level in ordered:
        found = level.diversity
        if found is not None and found.collapsed and found.ratio is not None:
            said.append(
                f"At {unit} {level.position} images of one prompt differ only "
                f"{100 * found.ratio:.0f} % as much as at first (mode collapse)."
            )
            break
    return tuple(said)


def caution(levels: Mapping[int, SetLevel], pick: int | None, unit: str) -> str:
    """Return what the advice adds where it names a position that is over-trained; "" where not.

    The score sees single images: one that copies the training images well scores well.
    """
    if pick is None or pick not in levels or not levels[pick].overtrained:
        return ""
    sound = [place for place in levels if place < pick and not levels[place].overtrained]
    other = f": compare it with {unit} {max(sound)} before you ship" if sound else ""
    return f" It looks over-trained, which no score of an image shows{other}."


def _level(epoch: EpochSet, first: EpochSet, no_training: str) -> SetLevel:
    diversity, copies, gap = _diversity(epoch, first), copies_of(epoch), _gap(epoch, first)
    reasons = {}
    if diversity is None:
        reasons["diversity"] = _why_no_diversity(epoch)
    if copies is None:
        reasons["copies"] = no_training
    if gap is None:
        reasons["gap"] = _why_no_gap(epoch)
    overtrained, said = _signature(epoch, first, diversity, copies, gap, reasons)
    return SetLevel(
        position=epoch.position,
        diversity=diversity,
        copies=copies,
        gap=gap,
        reasons=reasons,
        overtrained=overtrained,
        said=said,
    )


def _why_no_diversity(epoch: EpochSet) -> str:
    drawn: dict[str, int] = defaultdict(int)
    for image in epoch.images:
        drawn[image.prompt] += 1
    most = max(drawn.values(), default=0)
    if most >= FEWEST_SEEDS:
        return "the cells of its images were not kept; `epochwatch rescore` reads them again"
    seeds = "one seed" if most <= 1 else f"{most} seeds"
    return (
        f"not measurable: {seeds} per prompt; give prompts of the suite {FEWEST_SEEDS} seeds or "
        f"more ({FULL_SEEDS} are good)"
    )


def _diversity(epoch: EpochSet, first: EpochSet) -> Diversity | None:
    if not epoch.spreads:
        return None
    shared = {
        "value": fmean(spread.cells for spread in epoch.spreads),
        "color": fmean(spread.color for spread in epoch.spreads),
    }
    ratio, low, high, reason = _ratio_to_first(epoch, first)
    # Surely: that prompts are obeyed, such as in their background, makes images alike as well
    collapsed = None if high is None else high < COLLAPSE
    return Diversity(
        **shared,
        prompts=len(epoch.spreads),
        seeds=min(spread.seeds for spread in epoch.spreads),
        ratio=ratio,
        low=low,
        high=high,
        collapsed=collapsed,
        reason=reason,
    )


def _ratio_to_first(
    epoch: EpochSet, first: EpochSet
) -> tuple[float | None, float | None, float | None, str]:
    """Return the ratio of diversities on the same prompts and seeds, with its interval."""
    if epoch.position == first.position:
        return None, None, None, "later positions are compared with this one"
    before = {(spread.prompt, spread.seeds): spread.cells for spread in first.spreads}
    pairs = np.array(
        [
            (spread.cells, before[spread.prompt, spread.seeds])
            for spread in epoch.spreads
            if (spread.prompt, spread.seeds) in before
        ]
    )
    if not len(pairs):
        return None, None, None, "the first position has no prompt with the same seeds"
    ratio = float(pairs[:, 0].mean() / pairs[:, 1].mean())
    if len(pairs) < FEWEST_PROMPTS:
        return ratio, None, None, f"an interval needs {FEWEST_PROMPTS} prompts with several seeds"
    drawn = pairs[_resampled(len(pairs))].mean(axis=1)
    low, high = _middle(drawn[:, 0] / drawn[:, 1])
    return ratio, low, high, ""


def copies_of(epoch: EpochSet) -> Copies | None:
    """Return how many images copy training images; None when none could be compared."""
    compared = [image for image in epoch.images if image.is_copy is not None]
    if not compared:
        return None
    found = [(image.prompt, image.like) for image in compared if image.is_copy]
    low, high = clopper_pearson(len(found), len(compared))
    return Copies(
        copies=len(found), images=len(compared), low=low, high=high, examples=tuple(found[:5])
    )


def clopper_pearson(hits: int, total: int, level: float = _LEVEL) -> tuple[float, float]:
    """Return the exact interval of a rate (Clopper and Pearson 1934, Biometrika 26:404)."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, total - hits + 1, tail))
    high = 1.0 if hits == total else float(betaincinv(hits + 1, total - hits, 1 - tail))
    return low, high


def _by_prompt(epoch: EpochSet) -> dict[str, tuple[bool, float]]:
    """Return of each prompt with a known origin whether it was seen, and its mean score."""
    scores: dict[str, list[float]] = defaultdict(list)
    seen = {}
    for image in epoch.images:
        if image.origin is not None and image.score is not None:
            scores[image.prompt].append(image.score)
            seen[image.prompt] = image.origin == "seen"
    return {prompt: (seen[prompt], fmean(values)) for prompt, values in scores.items()}


def _why_no_gap(epoch: EpochSet) -> str:
    if all(image.origin is None for image in epoch.images):
        return "not measurable: it is not known which prompts were seen in training; give --data"
    sides = [seen for seen, _ in _by_prompt(epoch).values()]
    return (
        f"not measurable: {FEWEST_PROMPTS} prompts seen in training and {FEWEST_PROMPTS} held-out "
        f"ones are needed, scored are {sum(sides)} and {len(sides) - sum(sides)}"
    )


def _gap(epoch: EpochSet, first: EpochSet) -> Gap | None:
    now, before = _by_prompt(epoch), _by_prompt(first)
    seen = [score for was_seen, score in now.values() if was_seen]
    held = [score for was_seen, score in now.values() if not was_seen]
    if min(len(seen), len(held)) < FEWEST_PROMPTS:
        return None
    growth, low, high = None, None, None
    gains = [
        np.array([score - before[name][1] for name, (is_seen, score) in now.items()
                  if is_seen == side and name in before])
        for side in (True, False)
    ]  # fmt: skip
    if epoch.position != first.position and min(map(len, gains)) >= FEWEST_PROMPTS:
        growth = float(gains[0].mean() - gains[1].mean())
        drawn = [gain[_resampled(len(gain), seed)].mean(axis=1) for seed, gain in enumerate(gains)]
        low, high = _middle(drawn[0] - drawn[1])
    return Gap(
        points=fmean(seen) - fmean(held),
        seen=len(seen),
        held_out=len(held),
        growth=growth,
        low=low,
        high=high,
    )


def _signature(
    epoch: EpochSet,
    first: EpochSet,
    diversity: Diversity | None,
    copies: Copies | None,
    gap: Gap | None,
    reasons: Mapping[str, str],
) -> tuple[bool | None, str]:
    """Return whether images copy, and what that costs; a sure sign against it is enough for no.

    Copies are what nothing else makes. The other two have other causes, too: a LoRA that has just
    learned its subject draws less at random, and held-out prompts are harder. And on a dozen prompts
    the gap is seldom sure, so that one undecided sign of the two must not hide the other.
    """
    fell = (diversity.low, diversity.high) if diversity else None
    grew = (gap.low, gap.high) if gap else None
    signs = {
        "diversity": _beyond(fell, 1, falling=True),
        "copies": None if copies is None else _is_copying(copies),
        "gap": _beyond(grew, 0),
    }
    words = {
        "diversity": (
            "images of one prompt grow alike",
            "images of one prompt differ more than at first",
        ),
        "copies": (
            "images copy training images",
            "no more images copy training images than may by chance",
        ),
        "gap": (
            "prompts seen in training gain on the others",
            "held-out prompts gain on those seen in training",
        ),
    }
    against = [words[part][1] for part, sign in signs.items() if sign is False]
    if against:
        return False, f"{'; '.join(against)}."
    if signs["copies"] and (signs["diversity"] or signs["gap"]):
        return True, f"{'; '.join(words[part][0] for part, sign in signs.items() if sign)}."
    if epoch.position == first.position:
        return None, "Nothing earlier to compare with."
    open_parts = [part for part, sign in signs.items() if sign is None]
    why = "; ".join(
        f"{part}: {reasons.get(part, 'not sure enough to tell')}" for part in open_parts
    )
    return None, f"Cannot be known. {why}."


def _beyond(
    interval: tuple[float | None, float | None] | None, still: float, *, falling: bool = False
) -> bool | None:
    """Return whether an interval lies above ``still``, or below it if ``falling``.

    False when it lies on the other side; None when it has room for both, or is not known.
    """
    low, high = interval or (None, None)
    if low is None or high is None:
        return None
    if falling:
        low, high, still = -high, -low, -still
    return True if low > still else False if high < still else None


def _is_copying(copies: Copies | None) -> bool:
    """Return whether there are surely more copies than by chance."""
    return copies is not None and copies.low > BY_CHANCE


def _resampled(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return (resamples, count) indices, the same on every run."""
    return np.random.default_rng([20, seed]).integers(0, count, (_RESAMPLES, count))


def _middle(values: Floats) -> tuple[float, float]:
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
