"""Proves each number of a profile before it counts: on the training images, then against the base.

A color must tell an image's own caption from that of another image; a score must tell training
images from what the base model draws without any LoRA.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.metrics.adherence import Promises, RegionAnswer, judge_all
from core.metrics.applicability import why_off
from core.metrics.background import ColorFigures
from core.metrics.cells import shrink_to_cells
from core.metrics.color import Bytes, delta_e, lab
from core.metrics.color_words import paint, resolve
from core.metrics.profile import TrainingProfile
from core.metrics.proof import Proof, prove
from core.nouns import Expectation, Measurement

FEWEST_CAPTIONS = 15  # that name a color, before it is asked to prove itself
FEWEST_BASE = 4  # images of the base model
_APART = 20.0  # CIEDE2000 from which another caption's color is plainly another
_SCORES = ("visual_quality", "style_match")
_NO_SWAP = "it cannot tell a training image's own color from that of another one's caption"
_NO_BASE = "it cannot tell the training images from what the base model draws without the LoRA"


def prove_on_captions(
    profile: TrainingProfile, images: Sequence[Bytes], captions: Sequence[Expectation | None]
) -> TrainingProfile:
    """Return the profile with those colors off that do not follow the captions.

    ``images`` (h, w, 3) uint8 and ``captions`` are those the profile was learned from. A color that
    fewer than 15 captions name is left as it is: nothing can be proved.
    """
    pairs = [
        (shrink_to_cells(image, profile.grid), caption)
        for image, caption in zip(images, captions, strict=True)
        if caption and image.ndim == 3 and min(image.shape[:2]) >= profile.grid
    ]
    pairs = [pair for pair in pairs if pair[0].shape[0] == profile.rows]
    names = ["background", *(name for name, region in profile.regions if region.usable)]
    proofs = {name: _swapped(profile, pairs, name) for name in names}
    off = {
        "background" if name == "background" else f"region_{name}": why_off(_NO_SWAP, proof)
        for name, proof in proofs.items()
        if proof and not proof.holds
    }
    return replace(profile, off=tuple(sorted({**dict(profile.off), **off}.items())))


def _swapped(
    profile: TrainingProfile, pairs: list[tuple[Bytes, Expectation]], name: str
) -> Proof | None:
    """Return how well a color's score tells own captions from others, or None with too few."""
    told = [(cells, color) for cells, caption in pairs if (color := _color(caption, name))]
    if len(told) < FEWEST_CAPTIONS:
        return None
    right, wrong = [], []
    for at, (cells, color) in enumerate(told):
        other = _another(color, [each for _, each in (*told[at + 1 :], *told[:at])])
        scores = [_score(profile, cells, name, each) for each in (color, other) if each]
        if len(scores) == 2 and None not in scores:
            right.append(scores[0] or 0.0)
            wrong.append(scores[1] or 0.0)
    return prove(right, wrong) if len(right) >= FEWEST_CAPTIONS else None


def _color(caption: Expectation, name: str) -> str | None:
    """Return the color a caption gives to the background or a region, where it is one."""
    color = caption.background if name == "background" else dict(caption.regions).get(name)
    return color if color and resolve(color) else None


def _another(color: str, others: Sequence[str]) -> str | None:
    """Return the first of other captions' colors that is plainly another one."""
    mine = lab(resolve(color)[0].rgb).mean(axis=0)
    for other in others:
        theirs = lab(resolve(other)[0].rgb).mean(axis=0)
        if delta_e(mine, theirs) >= _APART:
            return other
    return None


def _score(profile: TrainingProfile, cells: Bytes, name: str, color: str) -> float | None:
    """Return how cells keep one promise, 0-100."""
    expect = Expectation(subject=profile.subject)
    if name == "background":
        expect = replace(expect, background=color)
    else:
        expect = replace(expect, regions=((name, color),))
    (_, promises), *_ = judge_all(paint([cells]), [expect], replace(profile, off=()))
    return _points(promises, name)


def _points(promises: Promises, name: str) -> float | None:
    if name == "background":
        ground = promises.background
        return ground.score if isinstance(ground, ColorFigures) else None
    answer = promises.regions[name]
    return answer.figures.score if isinstance(answer, RegionAnswer) else None


def prove_against_base(
    training: Sequence[Measurement], base: Sequence[Measurement]
) -> Mapping[str, Proof]:
    """Return for each score of a single image how well it tells training images from the base's.

    A score that either side lacks is left out: it is not applicable, or nothing can be proved.
    """
    proofs = {}
    for name in _SCORES:
        right, wrong = (
            [score for one in side if (score := getattr(one, name)) is not None]
            for side in (training, base)
        )
        if len(right) >= FEWEST_BASE and len(wrong) >= FEWEST_BASE:
            proofs[name] = prove(right, wrong)
    return proofs


def with_base_proofs(profile: TrainingProfile, proofs: Mapping[str, Proof]) -> TrainingProfile:
    """Return the profile with those scores off that cannot tell training images from the base's."""
    off = {name: why_off(_NO_BASE, proof) for name, proof in proofs.items() if not proof.holds}
    kept = {name: why for name, why in profile.off if name not in proofs}
    return replace(profile, off=tuple(sorted({**kept, **off}.items())))
