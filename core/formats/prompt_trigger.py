"""The trigger word: found in a checkpoint's metadata, and looked for in the prompts.

A prompt without it is no error, since one such prompt shows whether a LoRA acts uncalled.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from core.formats.prompt_text import plain_text
from core.nouns import Prompt

# ModelSpec's key first; the others are what trainers and sites write into their own files.
_PHRASES = ("modelspec.trigger_phrase", "trigger_phrase", "ss_trigger_words", "trained_words",
            "trigger_word")  # fmt: skip
_SHARE = 0.9  # of the captions that hold a tag for it to be the trigger
_FEWEST = 3  # captions, below which chance makes a tag common
_LONGEST = 100  # characters
_LONGEST_JSON = 8_000_000  # characters that are parsed; tags can be many


def missing_trigger(prompts: Sequence[Prompt], trigger: str = "") -> tuple[str, ...]:
    """Return the names of the prompts that do not say their trigger word.

    ``trigger`` counts for those prompts that name none of their own; "" asks for none. Weights,
    case, underscores and punctuation do not matter.
    """
    return tuple(
        prompt.name for prompt in prompts if not _says(prompt.text, prompt.trigger or trigger)
    )


def _says(text: str, trigger: str) -> bool:
    """Return whether all words of a trigger stand in a text, one after the other."""
    wanted = _words(trigger)
    return not wanted or f" {wanted} " in f" {_words(text)} "


def _words(text: str) -> str:
    """Return the words of a text in lower case, one space between them."""
    return " ".join(re.findall(r"[^\s,;_.!?]+", plain_text(text).lower()))


def trigger_of_metadata(metadata: Mapping[str, str]) -> str | None:
    """Return the trigger word a checkpoint's metadata names, or None where it names none.

    It is the phrase written there (the first of a list), else the first tag that at least nine in
    ten training images have. Never raises: the metadata was written by somebody else.
    """
    for key in _PHRASES:
        words = _first_phrase(metadata.get(key, ""))
        if words:
            return words
    return _common_tag(metadata)


def trigger_of_captions(captions: Sequence[str]) -> str | None:
    """Return the first tag that at least nine in ten captions have, or None.

    Fewer than three captions tell nothing.
    """
    tags = [dict.fromkeys(tag.strip() for tag in caption.split(",")) for caption in captions]
    counts = Counter(tag for one in tags for tag in one)
    common = [tag for one in tags for tag in one if counts[tag] >= _SHARE * len(tags)]
    usable = [tag for tag in common if 0 < len(tag) <= _LONGEST and tag.isprintable()]
    return usable[0] if usable and len(tags) >= _FEWEST else None


def _first_phrase(raw: str) -> str:
    """Return the phrase of "punk", "punk, pixel art" or '["punk", "pixel art"]', else ""."""
    value = _json(raw)
    first = value[0] if isinstance(value, list) and value else raw
    phrase = first.split(",")[0].strip() if isinstance(first, str) else ""
    usable = 0 < len(phrase) <= _LONGEST and phrase.lower() not in ("none", "null", "[]")
    return phrase if usable and phrase.isprintable() else ""


def _common_tag(metadata: Mapping[str, str]) -> str | None:
    """Return the first tag that nearly all images have, by the trainer's count of its tags."""
    counts: dict[str, int] = {}
    images = 0
    for tags, number in _tagged_folders(metadata):
        images += number
        for tag, count in tags.items():
            if type(count) is int and count > 0:
                counts[tag.strip()] = counts.get(tag.strip(), 0) + count
    common = [tag for tag, count in counts.items() if images and count >= _SHARE * images]
    usable = [tag for tag in common if 0 < len(tag) <= _LONGEST and tag.isprintable()]
    return usable[0] if usable else None


def _tagged_folders(metadata: Mapping[str, str]) -> list[tuple[dict[str, Any], int]]:
    """Return each folder's tags with their counts, and its number of images.

    kohya writes both once for the whole run, or inside each of its datasets. A folder whose
    images are not counted makes all shares unknown, so that nothing is returned.
    """
    sets = _json(metadata.get("ss_datasets", ""))
    folders: list[tuple[dict[str, Any], int]] = []
    for one in sets if isinstance(sets, list) else []:
        held = one if isinstance(one, dict) else {}
        subsets = held.get("subsets")
        sizes = {
            str(each.get("image_dir")).replace("\\", "/").rsplit("/", 1)[-1]: each
            for each in (subsets if isinstance(subsets, list) else [])
            if isinstance(each, dict)
        }
        folders += _counted(held.get("tag_frequency"), sizes)
    if not folders:
        tags, sizes = (
            _json(metadata.get(key, "")) for key in ("ss_tag_frequency", "ss_dataset_dirs")
        )
        folders = _counted(tags, sizes)
    return folders if all(number for _, number in folders) else []


def _counted(tags: Any, sizes: Any) -> list[tuple[dict[str, Any], int]]:
    """Return (tags, number of images, 0 for unknown) of each folder."""
    found: list[tuple[dict[str, Any], int]] = []
    for folder, counts in tags.items() if isinstance(tags, dict) else ():
        entry = sizes.get(folder) if isinstance(sizes, dict) else None
        number = entry.get("img_count") if isinstance(entry, dict) else None
        known = number if type(number) is int and 0 < number < 10**9 else 0
        if isinstance(counts, dict):
            found.append((counts, known))
    return found


def _json(text: str) -> Any:
    """Return a JSON value, or None."""
    try:
        return json.loads(text) if 0 < len(text) < _LONGEST_JSON else None
    except (ValueError, RecursionError):
        return None
