"""Check PNG bytes before anything trusts them, and make the small picture that galleries show."""

import io
import struct
import zlib

from PIL import Image

from core.errors import Permanent

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 8192
MAX_BYTES = 256 * 2**20
THUMB_SIDE = 192


def open_png(png: bytes) -> Image.Image:
    """Return the fully decoded picture of at most 8192 x 8192 pixels.

    The size is read before decoding, so a small file cannot ask for much memory. Raises Permanent
    for everything that is not a whole PNG of that size.
    """
    _check_header(png)
    try:
        image = Image.open(io.BytesIO(png), formats=["PNG"])
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise Permanent(_refusal(f"it is damaged ({error})")) from error
    return image


def thumbnail(image: Image.Image) -> bytes:
    """Return a lossless WebP of at most 192 pixels on the long side.

    Small pictures grow by a whole factor, so that a pixel stays a square. Large ones shrink by a
    whole factor where one divides both sides, which is exact for pixel art on that grid.
    """
    image = _plain(image)
    width, height = image.size
    grown = max(1, THUMB_SIDE // max(width, height))
    factor = _whole_factor(width, height)
    if grown > 1:
        small = image.resize((width * grown, height * grown), Image.Resampling.NEAREST)
    elif factor is not None:
        small = image.reduce(factor)
    else:
        scale = THUMB_SIDE / max(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = image.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, format="WEBP", lossless=True, quality=60, method=4)
    return out.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB, on white where it is transparent: as images are measured."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _check_header(png: bytes) -> None:
    if len(png) > MAX_BYTES:
        raise Permanent(_refusal(f"it has {len(png)} bytes, more than {MAX_BYTES}"))
    if not png.startswith(SIGNATURE) or len(png) < 33 or png[12:16] != b"IHDR":
        raise Permanent(_refusal("it does not begin like one"))
    width, height = struct.unpack(">II", png[16:24])
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise Permanent(_refusal(f"it is {width} x {height} pixels; {MAX_SIDE} a side is the most"))


def _plain(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB or RGBA; 16 bits a channel become 8, colors of a palette real."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _whole_factor(width: int, height: int) -> int | None:
    """Return the smallest divisor of both sides that brings the long one to 96..192 pixels."""
    longest = max(width, height)
    least = -(-longest // THUMB_SIDE)
    for factor in range(least, 2 * longest // THUMB_SIDE + 1):
        if width % factor == 0 and height % factor == 0:
            return factor
    return None


def _refusal(reason: str) -> str:
    return (
        f"This image was not stored: it is no PNG that can be shown, {reason}. "
        "The rest of the run is unaffected; make the image again."
    )
