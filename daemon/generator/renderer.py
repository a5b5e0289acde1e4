"""What all renderers other than our own have in common: a job in, a checked picture per sample out.

They are other programs of the user's, so what they hand back is foreign input. No torch is needed.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.formats.prompt_embeddings import without_hashes
from core.nouns import Recipe, digest
from daemon.generator.client import Event, Interrupted, Refused
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.result_files import why_refused, write_levels

LARGEST = 256 * 2**20  # bytes of an encoded picture
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SHORT = 12  # hex digits of a digest in the recipe

Values = Mapping[str, str | int | float]


class Renderer(Protocol):
    """Draws jobs: the resident pipeline, and each program that takes its place."""

    def draw(
        self,
        job: DrawJob,
        on_event: Callable[[Event], None],
        *,
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Draw all samples of ``job`` into ``job.out``; raises as ``Generator.draw`` does."""

    def close(self) -> None:
        """Let go of everything."""


class Resident(Renderer, Protocol):
    """The one that keeps a model between jobs, and can be told what comes next."""

    def prefetch(self, loras: Iterable[LoraFile], base: Path | None = None) -> None:
        """Read these files while drawing; of ``base``, where it is another one, the pages."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How long one picture may take, and whether it is still wanted."""

    seconds: float
    should_stop: Callable[[], bool]

    def deadline(self) -> float:
        """Return the moment, on the monotonic clock, at which a picture that begins now is late."""
        return time.monotonic() + self.seconds

    def check(self, deadline: float, what: str) -> None:
        """Raise Interrupted when the job was called off, or when it is too late."""
        if self.should_stop():
            message = "The drawing was stopped; what was finished is kept."
            raise Interrupted("stopped", message)
        if time.monotonic() > deadline:
            message = (
                f"{what} made no picture within {self.seconds:.0f} s and was given up. It is tried "
                "again; if it needs longer, raise image_timeout in the settings."
            )
            raise Interrupted("timeout", message)


DrawOne = Callable[[DrawSample, Watch], bytes]


def identity(kind: str, template: Any) -> str:
    """Return what a recipe calls this renderer: its kind and the start of its template's digest.

    So a sample drawn by another command line or workflow is another sample.
    """
    return f"{kind}:{digest(template)[:_SHORT]}"


def draw_each(
    job: DrawJob,
    draw_one: DrawOne,
    on_event: Callable[[Event], None],
    watch: Watch,
    provenance: Mapping[str, Any],
) -> None:
    """Draw the samples of ``job`` one after the other; tell each as the resident pipeline does.

    Raises:
        Refused: a picture is none, has the wrong size, or is black ("not_finite", at the end).
        Interrupted: it may work next time, or it was stopped.
    """

    def say(event: str, **facts: Any) -> None:
        on_event({"event": event, "job": job.job, **facts})

    say("loaded", batch_shape=1, modules_patched=None, modules_changed=None, **provenance)
    job.out.mkdir(parents=True, exist_ok=True)
    refused = []
    for sample in job.samples:
        started = time.monotonic()
        pixels = open_picture(draw_one(sample, watch), job.recipe)
        seconds = round(time.monotonic() - started, 4)
        reason = why_refused(pixels / np.float32(255))
        if reason is not None:
            refused.append(sample.sample_id)
            reason = f"{reason}; it was not kept"
            say("refused", sample_id=sample.sample_id, kind="not_finite", reason=reason)
            continue
        facts = {"seconds": seconds, "provenance": dict(provenance)}
        written = write_levels(job.out, sample.sample_id, pixels, facts)
        path, sha256 = str(written.path), written.sha256
        say("image", sample_id=sample.sample_id, path=path, sha256=sha256, seconds=seconds)
    say("done", images=len(job.samples) - len(refused), refused=refused)
    if refused:
        message = f"{len(refused)} of {len(job.samples)} images are black and were not kept."
        raise Refused("not_finite", message)


def open_picture(data: bytes, recipe: Recipe) -> npt.NDArray[np.uint8]:
    """Return the pixels (height, width, 3) of a foreign picture of the size that was asked for.

    The size is compared before anything is decoded; transparency is laid on white.

    Raises:
        Refused: it is too large, no PNG, JPEG or WebP, damaged, or of another size.
    """
    if len(data) > LARGEST:
        raise _no_picture(f"it has {len(data)} bytes, more than {LARGEST}")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as picture:
            if picture.size != (recipe.width, recipe.height):
                found = f"{picture.width}x{picture.height}"
                wanted = f"{recipe.width}x{recipe.height}"
                raise _no_picture(f"it has {found} pixels, and the recipe asks for {wanted}")
            if picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                return np.asarray(
                    Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _no_picture(f"it cannot be decoded ({error})") from error


def _no_picture(reason: str) -> Refused:
    return Refused(
        "bad_recipe",
        f"What the renderer handed back is not the picture that was asked for: {reason}. Nothing "
        "was kept of it; correct the command or workflow, and this test can be started again.",
    )


def fill(text: str, values: Values, *, where: str) -> str | int | float:
    """Return ``text`` with its {placeholders} filled in; one that stands alone keeps its type.

    Filled once, so that braces in a prompt mean nothing.

    Raises:
        Refused: a placeholder is not known.
    """
    names = set(_PLACEHOLDER.findall(text))
    unknown = sorted(names - values.keys())
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(values))
        message = f"{where} has the placeholder {{{unknown[0]}}}, which is none of {known}."
        raise Refused("bad_recipe", message)
    alone = _PLACEHOLDER.fullmatch(text)
    if alone:
        return values[alone[1]]
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)


def placeholders(text: str) -> set[str]:
    """Return the names of the placeholders in ``text``."""
    return set(_PLACEHOLDER.findall(text))


def recipe_values(job: DrawJob, sample: DrawSample) -> dict[str, str | int | float]:
    """Return what every template can use: of the sample, and of its recipe."""
    recipe = job.recipe
    return {
        "prompt": without_hashes(sample.prompt),
        "negative": without_hashes(recipe.negative),
        "seed": sample.seed,
        "steps": recipe.steps,
        "cfg": float(recipe.guidance),
        "width": recipe.width,
        "height": recipe.height,
        "clip_skip": recipe.clip_skip,
        "sample": sample.sample_id[:16],
    }
