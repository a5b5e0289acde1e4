"""Training images with their captions, as the trainer reads them."""

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from core.errors import Fixable
from core.formats.caption_suite import derive_suite

__all__ = ["CaptionScan", "CaptionedImage", "derive_suite", "read_captions", "scan_captions"]

IMAGE_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp"))
CAPTION_ENDINGS = (".txt", ".caption")


@dataclass(frozen=True, kw_only=True)
class CaptionedImage:
    """One training image and what its caption says."""

    path: Path
    caption: str  # "" when the image has no caption file
    repeats: int = 1  # from a folder such as "10_name"


@dataclass(frozen=True, kw_only=True)
class CaptionScan:
    """What a folder of training images holds."""

    images: tuple[CaptionedImage, ...]
    notes: tuple[str, ...]  # what was skipped and why, for a person


def read_captions(folder: Path) -> tuple[CaptionedImage, ...]:
    """Return the readable training images below a folder, by path, with their captions.

    Raises Fixable when the folder does not exist or holds no readable image.
    """
    return scan_captions(folder).images


def scan_captions(folder: Path) -> CaptionScan:
    """Return ``read_captions`` with notes on what was skipped."""
    if not folder.is_dir():
        raise Fixable(
            f"There is no folder {folder}, so nothing can be learned from training images; "
            "name the folder that the trainer reads its images from."
        )
    images: list[CaptionedImage] = []
    notes: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_ENDINGS or _is_hidden(path.relative_to(folder)):
            continue
        if trouble := _image_trouble(path):
            notes.append(f"{path.name} was skipped: {trouble}")
            continue
        caption, note = _caption_of(path)
        notes += [f"{path.name}: {note}"] if note else []
        images.append(CaptionedImage(path=path, caption=caption, repeats=_repeats(path.parent)))
    if not images:
        said = f" ({'; '.join(notes[:3])})" if notes else ""
        raise Fixable(
            f"The folder {folder} holds no image that can be read{said}, so nothing can be learned "
            "from it; name the folder that the trainer reads its images from."
        )
    return CaptionScan(images=tuple(images), notes=tuple(notes))


def _is_hidden(path: Path) -> bool:
    """Return whether a path lies in a hidden place, such as a notebook's checkpoints."""
    return any(part.startswith(".") for part in path.parts)


def _image_trouble(path: Path) -> str | None:
    """Return why an image cannot be read, or None."""
    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as trouble:
        return f"not a readable image ({type(trouble).__name__})"
    except Image.DecompressionBombError:
        return "far too large for a training image"
    return None


def _caption_of(path: Path) -> tuple[str, str | None]:
    """Return the caption beside an image, and a note when there is none or it is unreadable."""
    for ending in CAPTION_ENDINGS:
        beside = path.with_suffix(ending)
        try:
            text = beside.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            return "", f"the caption {beside.name} is not readable text"
        return " ".join(text.split()), None
    return "", "it has no caption"


def _repeats(folder: Path) -> int:
    """Return the repeats that sd-scripts reads from a folder's name, such as 10 of "10_punk"."""
    match = re.match(r"(\d+)_", folder.name)
    return max(1, int(match[1])) if match else 1
