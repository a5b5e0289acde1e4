"""Precision and recall of every issue flag on pictures whose faults are known; prints Markdown.

python -m tests.bench.flags                  the table of docs/metrics.md, some minutes
python -m tests.bench.flags --sprites 4      a quick look
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from core.formats.prompt_text import expectation_from_text
from core.metrics import ISSUES, TrainingProfile, learn_profile, measure
from core.nouns import Expectation
from daemon.demo.sprites import (
    COLORS,
    DATASET_SEED,
    Look,
    Variation,
    caption,
    draw,
    random_look,
    random_variation,
    training_set,
)
from tests.helpers.pictures import Bytes, blurred, enlarged, jpeg, noisy, with_random_cells

SEED = 52_000  # no sprite of the training set, and none that a threshold was chosen with
# photographs of scikit-image's wheel that took no part in tuning; most are gray
PHOTOS = ("stereo_motorcycle", "camera", "coins", "moon", "clock", "brick", "grass", "gravel")
VAE = Path(__file__).resolve().parents[2] / "daemon" / "demo" / "model" / "vae"
GROUND_FLAGS = {"wrong_background", "noisy_background", "wrong_colors", "misplaced_color"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One picture with what is wrong with it."""

    kind: str
    pixels: Bytes
    expect: Expectation
    has: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()  # flags that would be neither right nor wrong


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """One drawn portrait and a second color for whatever goes wrong."""

    look: Look
    variation: Variation
    other: str
    size: int

    @property
    def cells(self) -> Bytes:
        """Return it as (24, 24, 3), as it was promised."""
        return draw(self.look, self.variation)

    @property
    def large(self) -> Bytes:
        """Return it as it was promised, enlarged."""
        return enlarged(self.cells, self.size)

    @property
    def expect(self) -> Expectation:
        """Return what its caption promises."""
        return expectation_from_text(caption(self.look))

    def drawn_with(self, **changed: str) -> Bytes:
        """Return (24, 24, 3) with something else than was promised."""
        return draw(replace(self.look, **changed), self.variation)


def sprites(count: int, sizes: Sequence[int]) -> Iterator[Sprite]:
    """Give ``count`` sprites of held-out seeds, each at every size."""
    dice = random.Random(SEED)
    for _ in range(count):
        look, variation = random_look(dice), random_variation(dice)
        other = dice.choice([name for name in COLORS if name not in (look.hair, look.background)])
        for size in sizes:
            yield Sprite(look=look, variation=variation, other=other, size=size)


def harmless(one: Sprite) -> Iterator[tuple[str, Bytes]]:
    """Give damage that is no fault of the drawing: no flag should be raised."""
    pitch = one.size / 24
    yield "clean", one.large
    yield "noise of 8 levels", noisy(one.large, 8)
    yield "blur of a twelfth cell", blurred(one.large, pitch / 12)
    yield "JPEG 75", jpeg(one.large, 75)
    yield "shifted grid", np.roll(one.large, (round(pitch / 3), -round(pitch / 4)), axis=(0, 1))
    yield "cropped", one.large[round(1.4 * pitch) :, round(pitch / 2) : -round(0.7 * pitch)]


def faulty(one: Sprite) -> Iterator[tuple[str, Bytes, set[str], set[str]]]:
    """Give each fault: its name, the picture, the flag it earns, and those left open."""
    size, dice = one.size, np.random.default_rng(SEED)
    yield "heavy noise", noisy(one.large, 60), {"random_pixels"}, {
        "too_many_colors", "noisy_background", "uneven_grid",
    }  # fmt: skip
    yield "blur of 0.35 cells", blurred(one.large, 0.35 * size / 24), {"blurry"}, set()
    yield "blur of 0.6 cells", blurred(one.large, 0.6 * size / 24), {"blurry"}, set()
    smooth = enlarged(one.cells, size, Image.Resampling.BILINEAR)
    yield "smooth enlargement", smooth, {"blurry"}, set()
    padded = np.pad(one.cells, ((8, 0), (4, 4), (0, 0)), mode="edge")
    yield "wrong pitch", enlarged(padded, size), {"wrong_grid"}, {"wrong_colors", "misplaced_color"}
    yield "wobbling grid", _wobbling(one.cells, size, dice), {"uneven_grid"}, set()
    two = one.cells
    two[:, 12:] = one.drawn_with(hair=one.other)[:, 12:]
    yield "two-tone hair", enlarged(two, size), {"two_toned_hair"}, {"wrong_colors"}
    wrong = enlarged(one.drawn_with(hair=one.other), size)
    yield "wrong hair", wrong, {"wrong_colors"}, set()
    wrong = enlarged(one.drawn_with(background=one.other), size)
    yield "wrong background", wrong, {"wrong_background"}, set()
    swapped = one.drawn_with(hair=one.look.background, background=one.look.hair)
    yield "hair and background swapped", enlarged(swapped, size), {
        "wrong_background", "wrong_colors", "misplaced_color",
    }, set()  # fmt: skip
    speckled = _speckled(one.cells, dice)
    yield "speckled background", enlarged(speckled, size), {"noisy_background"}, {
        "random_pixels", "too_many_colors", "wrong_background",
    }  # fmt: skip
    stray = with_random_cells(one.cells, 0.1)
    yield "orphan pixels", enlarged(stray, size), {"random_pixels"}, {"too_many_colors"}
    jitter = np.clip(one.cells + dice.normal(0, 16, one.cells.shape), 0, 255).astype(np.uint8)
    yield "a shade for every cell", enlarged(jitter, size), {"too_many_colors"}, {
        "random_pixels", "noisy_background",
    }  # fmt: skip
    yield "one color", np.full_like(one.large, one.cells[0, 0]), {"blank_image"}, set()
    yield "too few pixels", one.cells[::4, ::4], {"too_small"}, set()


def _wobbling(cells: Bytes, size: int, dice: np.random.Generator) -> Bytes:
    """Return cells whose lines lie about a quarter of a cell off, each another way."""
    pitch = size / 24
    lines = []
    for _ in range(2):
        at = np.arange(25) * pitch + dice.normal(0, pitch / 4, 25)
        lines.append(np.searchsorted(np.sort(at[1:-1]), np.arange(size), side="right"))
    return cells[lines[0]][:, lines[1]]


def _speckled(cells: Bytes, dice: np.random.Generator) -> Bytes:
    """Return cells with four in ten of the background's in random colors."""
    ground = (cells == cells[0, 0]).all(axis=-1) & (dice.random(cells.shape[:2]) < 0.4)
    cells[ground] = dice.integers(0, 256, (int(ground.sum()), 3))
    return cells


def cases(
    count: int, sizes: Sequence[int], *, decoded: bool, photos: Sequence[str] = PHOTOS
) -> Iterator[Case]:
    """Give every picture: sprites clean, spoiled and faulty, and views of photographs."""
    for one in sprites(count, sizes):
        for kind, pixels in harmless(one):
            yield Case(kind=kind, pixels=pixels, expect=one.expect)
        if decoded and one.size == 96:
            yield Case(kind="VAE round trip", pixels=_decoded(one.large), expect=one.expect)
        for kind, pixels, has, unsure in faulty(one):
            yield Case(
                kind=kind, pixels=pixels, expect=one.expect,
                has=frozenset(has), open=frozenset(unsure),
            )  # fmt: skip
    promise = next(sprites(1, sizes)).expect
    unsure = frozenset(GROUND_FLAGS | {"two_toned_hair"})
    for name in photos:
        for pixels in _views(name, sizes):
            yield Case(
                kind="gray photograph" if name != "stereo_motorcycle" else "color photograph",
                pixels=pixels, expect=promise, has=frozenset({"photorealistic"}), open=unsure,
            )  # fmt: skip


def _views(name: str, sizes: Sequence[int]) -> Iterator[Bytes]:
    """Give the four quarters of a photograph at each size."""
    loaded = getattr(data, name)()
    photo = Image.fromarray(loaded[0] if isinstance(loaded, tuple) else loaded).convert("RGB")
    half = (photo.width // 2, photo.height // 2)
    for x in (0, half[0]):
        for y in (0, half[1]):
            for size in sizes:
                box = (x, y, x + half[0], y + half[1])
                yield np.asarray(photo.resize((size, size), box=box))


def _decoded(pixels: Bytes) -> Bytes:
    """Return (96, 96, 3) pixels through the demo's autoencoder and back."""
    import torch

    from daemon.demo.autoencoder import as_signal

    with torch.no_grad():
        model = _autoencoder()
        latents = model.encode(as_signal(pixels[None])).latent_dist.mode()
        signal = model.decode(latents).sample[0].permute(1, 2, 0)
    return ((signal.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


@cache
def _autoencoder():  # noqa: ANN202 - torch is only there where it is asked for
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(VAE).eval()


@cache
def demo_profile(images: int = 120) -> TrainingProfile:
    """Return what the demo's training images teach: another seed than the sprites measured."""
    drawn = training_set(images, DATASET_SEED)
    captions = [expectation_from_text(caption(look)) for look, _ in drawn]
    return learn_profile([draw(look, how) for look, how in drawn], captions, 24)


@dataclass(kw_only=True)
class Tally:
    """What became of one flag."""

    had: int = 0
    found: int = 0
    raised: int = 0
    right: int = 0
    false_from: Counter[str]
    missed_in: Counter[str]

    @property
    def recall(self) -> float | None:
        """Share of the pictures with the fault that are flagged."""
        return self.found / self.had if self.had else None

    @property
    def precision(self) -> float | None:
        """Share of the flags that are right."""
        return self.right / self.raised if self.raised else None


def judge(all_cases: Iterator[Case], profile: TrainingProfile | None) -> dict[str, Tally]:
    """Return the tally of every flag; a flag that a case leaves open is not counted there."""
    tallies = {name: Tally(false_from=Counter(), missed_in=Counter()) for name in ISSUES}
    for case in all_cases:
        raised = set(measure(case.pixels, expect=case.expect, grid=24, profile=profile).issues)
        for name, tally in tallies.items():
            if name in case.open:
                continue
            tally.had += name in case.has
            tally.found += name in case.has & raised
            tally.raised += name in raised
            tally.right += name in case.has & raised
            tally.false_from[case.kind] += name in raised - case.has
            tally.missed_in[case.kind] += name in case.has - raised
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """Return the tallies as a Markdown table."""
    lines = ["| issue | precision | recall | pictures | most false alarms | most misses |"]
    lines.append("|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        lines.append(
            f"| `{name}` | {_share(tally.precision)} | {_share(tally.recall)} | {tally.had} "
            f"| {_most(tally.false_from)} | {_most(tally.missed_in)} |"
        )
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{int(100 * value + 1e-9)} %"


def _most(counts: Counter[str]) -> str:
    kind, count = counts.most_common(1)[0] if counts else ("", 0)
    return f"{kind} ({count})" if count else "none"


def main() -> None:
    """Print a table for each size with the training profile, and one without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sprites", type=int, default=24)
    count = parser.parse_args().sprites
    for size, profile in ((512, demo_profile()), (96, demo_profile()), (512, None)):
        known = "with a profile of 120 training images" if profile else "without training images"
        print(f"{size} pixels, {known}:\n")
        print(table(judge(cases(count, (size,), decoded=True), profile)), end="\n\n")


if __name__ == "__main__":
    main()
