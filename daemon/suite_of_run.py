"""Which prompts a run is tested with, and by which recipe: the suite given, or one of its captions."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from core.errors import Fixable
from core.formats.caption_file import CaptionedImage, derive_suite, read_captions
from core.formats.prompt_suite import LoadedSuite, read_suite
from core.formats.prompt_trigger import trigger_of_metadata
from core.formats.prompt_weights import CHUNK, spoken
from core.nouns import Recipe
from core.rules.validity import trained_recipe
from core.settings import Settings
from core.store.database import Row, storable
from daemon.generator.suitability import FLOW
from daemon.profiling import grid_of_images

# "1024", "768x512", "768, 512"; no second number that says something else: "1024 (buckets 256-2048)"
_SIZE = re.compile(
    r"(?<![\d.,])(\d{2,4})(?!\d)(?:\s*(?:[x\u00d7*,]|by)\s*(\d{2,4})(?!\d))?", re.IGNORECASE
)
_MADE_FOR = {"sdxl": 1024, "sd3": 1024, "flux": 1024}  # pixels of a side; the others: 512
_PASSED_OVER = {  # of sample prompts, by sd-scripts itself: it rounds sizes and has one sampler
    "sd3": frozenset({"width", "height", "sampler"}),
    "flux": frozenset({"width", "height", "sampler", "negative"}),
}


def training_images(settings: Settings, about: Row) -> tuple[CaptionedImage, ...]:
    """Return the captioned images, if this machine has them; without them some things are unknown."""
    folder = settings.data or (about["training_data_path"] or None)
    if folder is None or not Path(folder).is_dir():
        return ()
    return read_captions(Path(folder))


def suite_of(
    settings: Settings,
    known: list[Row],
    about: Row,
    images: tuple[CaptionedImage, ...],
    kind: str,
) -> LoadedSuite:
    """Return the suite of the settings, else one derived from captions.

    ``known`` are the run's checkpoints, ``kind`` is the family of its base model. Raises Fixable
    where there is neither.
    """
    if settings.suite is not None:
        loaded = read_suite(settings.suite, settings.embeddings)
        if loaded.is_trainers:
            recipe = _as_trained(loaded, metadata_of(known), kind)
        else:
            recipe = suited_to(loaded.suite.recipe, kind, loaded.written)
        loaded = replace(loaded, suite=replace(loaded.suite, recipe=recipe))
        return _marked_by_origin(loaded, images)
    captions = [image.caption for image in images] or _captions_in_headers(known)
    if not captions:
        raise Fixable(
            "No test prompts: give a suite with --suite FILE or the training images with "
            "--data DIR, so that prompts can be derived from their captions."
        )
    recipe = suited_to(_recipe_of(about, images, metadata_of(known), kind), kind)
    trigger = trigger_of_metadata(metadata_of(known))
    return LoadedSuite(suite=derive_suite(captions, recipe=recipe, trigger=trigger))


def metadata_of(known: list[Row]) -> dict[str, str]:
    """Return what the trainer wrote into the newest of a run's checkpoints."""
    facts = known[-1]["facts"] if known else {}
    return {key: value for key, value in (facts or {}).items() if isinstance(value, str)}


def _recipe_of(
    about: Row, images: Iterable[CaptionedImage], metadata: dict[str, str], kind: str
) -> Recipe:
    """Return the recipe when nobody gave one: size, clip skip and token length as trained.

    The size may have been written by a person, in any form; where it is not known it is the one
    that the base model's family was made for.
    """
    written = _SIZE.search(about["resolution"] or "")
    sides = [int(side) for side in written.groups() if side] if written else []
    sides = sides or [_MADE_FOR.get(kind, Recipe.width)]
    size = Recipe(width=sides[0], height=sides[-1])
    recipe = replace(size, **trained_recipe(metadata))  # type: ignore[arg-type]
    sizes = {Image.open(image.path).size for image in images}
    small = {size for size in sizes if max(size) <= 128}
    if sizes and not small:
        return replace(recipe, grid=grid_of_images(tuple(images)))
    return replace(recipe, grid=min(size[0] for size in small)) if small else recipe


def _as_trained(loaded: LoadedSuite, metadata: dict[str, str], kind: str) -> Recipe:
    """Return the recipe of sample prompts as their trainer draws them; BREAKs keep their room."""
    recipe, trained = loaded.suite.recipe, trained_recipe(metadata)
    length = max(recipe.token_length, trained.pop("token_length", 0))
    recipe = replace(recipe, token_length=length, **trained)  # type: ignore[arg-type]
    if kind == "flux" and loaded.flux_guidance is not None:
        recipe = replace(recipe, guidance=loaded.flux_guidance)
    return suited_to(recipe, kind, loaded.written - _PASSED_OVER.get(kind, frozenset()))


def suited_to(recipe: Recipe, kind: str, written: Collection[str] = ()) -> Recipe:
    """Return a recipe with what nobody wrote as base models of the family ``kind`` are drawn.

    SD 3 and Flux follow a flow, with guidances as their authors' examples have them. A trainer's
    size need not be one that can be drawn. What is ``written`` stays, also where it is refused.
    """
    step = 16 if kind in FLOW else 8
    fitting: dict[str, Any] = {
        side: max(step, getattr(recipe, side) // step * step) for side in ("width", "height")
    }
    if kind in FLOW:
        guidance = "3.50" if kind == "flux" else "7.00"
        fitting |= {"sampler": "euler", "guidance": guidance, "clip_skip": 1, "token_length": CHUNK}
    if kind == "flux":
        fitting["negative"] = ""
    return replace(recipe, **{key: fitting[key] for key in fitting.keys() - set(written)})


def _captions_in_headers(known: list[Row]) -> list[str]:
    """Return the caption fragments the trainer wrote into the checkpoint's own header."""
    for checkpoint in known:
        try:
            frequency = json.loads(checkpoint["facts"].get("ss_tag_frequency", ""))
        except (ValueError, TypeError):
            continue
        if isinstance(frequency, dict):
            tags = {
                storable(tag, len(tag)): count
                for counts in frequency.values()
                if isinstance(counts, dict)
                for tag, count in counts.items()
                if isinstance(count, int)
            }
            return [tag for tag in sorted(tags, key=lambda tag: -tags[tag])[:200] if tag]
    return []


def _marked_by_origin(loaded: LoadedSuite, images: tuple[CaptionedImage, ...]) -> LoadedSuite:
    """Mark each prompt seen, recombined or unseen against the training captions."""
    if not images:
        return loaded
    captions = {image.caption.strip() for image in images}
    words = {part.strip() for caption in captions for part in caption.split(",")}
    prompts = []
    for prompt in loaded.suite.prompts:
        text = spoken(prompt.text)
        parts = {part.strip() for part in text.split(",")}
        seen = text.strip() in captions or any(
            parts <= {part.strip() for part in caption.split(",")} for caption in captions
        )
        origin = "seen" if seen else "recombined" if parts <= words else "unseen"
        prompts.append(replace(prompt, origin=prompt.origin or origin))  # type: ignore[arg-type]
    return replace(loaded, suite=replace(loaded.suite, prompts=tuple(prompts)))
