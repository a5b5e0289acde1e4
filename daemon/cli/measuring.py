"""The command `measure`: reads image files, measures them, prints, and draws what was measured."""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from core.errors import Fixable
from daemon.cli.output import one_line, print_json
from daemon.outbox import pixels_of_file

if TYPE_CHECKING:
    from core.metrics import TrainingProfile
    from core.nouns import Expectation
    from daemon.scorers.detecting import Detecting

_MOST_PIXELS = 8192 * 8192
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_DAMAGED = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error,
)  # fmt: skip
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


@dataclass(frozen=True, kw_only=True)
class _Yardstick:
    """What images are measured by."""

    expect: Expectation
    grid: int | None  # cells along the width; None: each image tells
    profile: TrainingProfile | None = None
    detecting: Detecting | None = None  # the plugged-in models that the profile may see things with


def measure(
    images: list[Path],
    *,
    prompt: str | None,
    background: str | None,
    regions: list[str],
    grid: int | None,
    data: Path | None,
    annotate: Path | None,
    as_json: bool,
) -> None:
    """Measure images against what a prompt, or colors given by hand, promise.

    With the training images in ``data`` as in a run of theirs. A file that cannot be read spoils
    none of the others; it is named at the end by a Fixable.
    """
    expect = _expected(prompt, background, regions)
    if grid is not None and not 1 <= grid <= 1024:
        raise Fixable(f"--grid is {grid}; it can be 1 to 1024 cells along the width.")
    targets = _annotated_files(images, annotate)
    found, troubles = [], []
    with ExitStack() as stack:
        by = _yardstick(expect, grid, data, stack)
        for image in images:
            try:
                found.append(_measured(image, by, targets.get(image)))
            except (Fixable, OSError) as trouble:
                troubles.append(one_line(trouble))
    if as_json and found:
        print_json(found)
    elif not as_json:
        for each in found:
            _print_measured(each)
    if troubles:
        raise Fixable(" ".join(troubles))


def _yardstick(
    expect: Expectation, grid: int | None, data: Path | None, stack: ExitStack
) -> _Yardstick:
    """Return by what to measure; what the training images mean for the numbers is said on stderr."""
    if data is None:
        return _Yardstick(expect=expect, grid=grid)
    from core.formats.caption_file import read_captions
    from core.settings import load_settings
    from daemon.profiling import ENOUGH_TO_LEARN, grid_of_images, profile_of
    from daemon.scorers.detecting import Detecting

    settings, training = load_settings(), read_captions(data)
    detecting = stack.enter_context(Detecting(scorers=settings.scorers))
    grid = grid or grid_of_images(training)
    learned = profile_of(training, grid, chosen=settings.profile, detecting=detecting)
    if len(training) < ENOUGH_TO_LEARN:
        print(
            f"Nothing is learned from fewer than {ENOUGH_TO_LEARN} training images, and {data} has "
            f"{len(training)}.",
            file=sys.stderr,
        )
    for sentence in learned.sentences:
        print(sentence, file=sys.stderr)
    return _Yardstick(expect=expect, grid=grid, profile=learned.profile, detecting=detecting)


def _measured(image: Path, by: _Yardstick, target: Path | None) -> dict[str, Any]:
    """Return one image's measurement; draw it when there is a target."""
    from core.metrics import explained
    from core.metrics import measure as measured_by
    from core.metrics.applicability import grid_at_hand

    pixels = pixels_of_image(image)
    grid = by.grid or grid_at_hand(pixels)
    detected = by.detecting.see(by.profile, pixels) if by.detecting else {}
    measured = measured_by(
        pixels, expect=by.expect, grid=grid, profile=by.profile, detected=detected
    )
    answer = {"image": str(image), **measured.as_json(), **explained(measured)}
    if target is not None:
        from core.charts.annotated import annotate as draw

        target.parent.mkdir(parents=True, exist_ok=True)
        draw(pixels, by.expect, by.profile, grid).save(target, format="PNG")
        answer["annotated"] = str(target)
    return answer


def _annotated_files(images: list[Path], wanted: Path | None) -> dict[Path, Path]:
    """Return where each image's annotated picture goes: one file, or a folder for all."""
    if wanted is None:
        return {}
    if wanted.suffix.lower() == ".png" and not wanted.is_dir():
        if len(images) > 1:
            raise Fixable(f"{wanted} is one file for {len(images)} images; name a folder instead.")
        targets = {images[0]: wanted}
    elif wanted.suffix and not wanted.is_dir():
        raise Fixable(f"--annotate is {wanted}; it can be a file that ends in .png, or a folder.")
    else:
        targets = dict(zip(images, _names_in(wanted, images), strict=True))
    for image, target in targets.items():
        if target.resolve() in {each.resolve() for each in images}:
            raise Fixable(f"{target} would overwrite an image; name another file than {image}.")
    return targets


def _names_in(folder: Path, images: list[Path]) -> Iterator[Path]:
    """Give one free name an image: images of two folders may share one."""
    taken: set[str] = set()
    for image in images:
        name, copy = f"{image.stem}.annotated.png", 1
        while name in taken:
            copy += 1
            name = f"{image.stem}-{copy}.annotated.png"
        taken.add(name)
        yield folder / name


def pixels_of_image(path: Path) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 pixels of a still 8-bit image, transparency laid on white.

    Raises Fixable when the file is missing, damaged, too large to be opened, an animation, or holds
    colors that have no certain 8-bit RGB.
    """
    try:
        # a size that Pillow warns of is told in our own words
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=_FORMATS) as picture,
        ):
            if reason := _why_not(picture):
                raise Fixable(f"{path} cannot be measured: {reason}.")
            picture.verify()  # the checksums of a PNG, which Pillow does not look at by itself
        return pixels_of_file(path)
    except Image.DecompressionBombError:
        raise Fixable(
            f"{path} cannot be measured: it says that it has more than 178 million pixels, at most "
            "8192 x 8192 can be; make it smaller, unless the file is damaged."
        ) from None
    except UnidentifiedImageError:
        raise Fixable(f"{path} cannot be read as an image of {', '.join(_FORMATS)}.") from None
    except _DAMAGED as trouble:
        raise Fixable(f"{path} cannot be read as an image: {one_line(trouble)}.") from trouble


def _why_not(picture: Image.Image) -> str | None:
    """Return why an opened image cannot be measured; only its header was read by now."""
    width, height = picture.size
    if width * height > _MOST_PIXELS:
        return f"it has {width} x {height} pixels, at most 8192 x 8192 can be; make it smaller"
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        return f"it is an animation of {frames} frames; save the one that counts as PNG"
    tiles = picture.tile if isinstance(picture, ImageFile) else []
    deep = any("16" in str(tile[3]) for tile in tiles)
    if deep or picture.mode.startswith(("I", "F")):
        return "it has 16 bits a channel or more; save it as 8-bit RGB"
    if picture.mode not in _PLAIN:
        return f"its colors are {picture.mode}, which no screen shows as they are; save it as RGB"
    return None


def _expected(prompt: str | None, background: str | None, regions: list[str]) -> Expectation:
    """Return what the prompt promises; what is given by hand wins."""
    from core.formats.prompt_text import expectation_from_text
    from core.nouns import Expectation

    found = expectation_from_text(prompt) if prompt else Expectation()
    pairs = [region.partition("=") for region in regions]
    if any(not name or not color for name, _, color in pairs):
        raise Fixable("A region is given as NAME=COLOR, for example --region hair=#ff69b4")
    by_hand = {name: _color(color) for name, _, color in pairs}
    return Expectation(
        background=_color(background) if background else found.background,
        regions=tuple(sorted({**dict(found.regions), **by_hand}.items())),
        accessories=found.accessories,
        expression=found.expression,
        subject=found.subject,
    )


def _color(text: str) -> str:
    from core.metrics.color_words import resolve

    if not resolve(text):
        raise Fixable(f"{text!r} is not a color; write #rrggbb, or a word such as 'dark green'.")
    return text


def _print_measured(each: dict[str, Any]) -> None:
    print(each["image"])
    for name in ("visual_quality", "style_match", "prompt_adherence"):
        score = each[name]
        # never rounded up: 8.99 is no 9
        said = f"{int(10 * score + 1e-9) / 10}" if score is not None else "-"
        said += "" if score is not None else f" ({each['reasons'].get(name, 'unknown')})"
        print(f"  {name.replace('_', ' '):18} {said}")
    for name, metric in each["metrics"].items():
        value = "-" if metric["value"] is None else f"{metric['value']:.3g}"
        print(f"    {name:20} {value:>8}  {metric['explanation']}")
    if each["issues"]:
        print(f"  issues: {', '.join(each['issues'])}")
    if "annotated" in each:
        print(f"  drawn: {each['annotated']}")
