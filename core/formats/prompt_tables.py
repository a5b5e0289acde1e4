"""The tables of a suite in TOML, checked value by value: [recipe], [[prompt]] and its expect."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from core.errors import Fixable
from core.formats.color_names import color_word, normal_hex
from core.formats.finishing import Finishing, read_finishing
from core.formats.prompt_expansion import PromptReader
from core.formats.prompt_lines import Problems, read_text
from core.formats.prompt_subject import subject_of_category
from core.formats.prompt_text import expectation_from_text
from core.formats.prompt_weights import CHUNK
from core.formats.sampler_names import unknown_sampler
from core.nouns import TIERS, Expectation, Origin, Prompt, Recipe

_PROMPT_KEYS = {
    "name", "text", "category", "tier", "seeds", "expect", "trigger", "origin",
}  # fmt: skip
_EXPECT_KEYS = {"background", "regions", "accessories", "expression"}
_DECIMALS = {"guidance"}
_PRECISIONS = ("auto", "fp32", "fp16", "bf16")
_WHOLE = {"steps", "width", "height", "clip_skip", "token_length"}
# The digits name the command line or workflow that a stored suite was drawn with.
_RENDERER = re.compile(r"diffusers|(command|comfyui)(:[0-9a-f]{12})?")
_RECIPE_KEYS = {each.name for each in fields(Recipe)} | {"strength", "prefix", "suffix"}


@dataclass(frozen=True, kw_only=True)
class RecipeTable:
    """What stands under [recipe]."""

    recipe: Recipe = field(default_factory=Recipe)
    strength: float = 1.0
    written: frozenset[str] = frozenset()  # the values of the recipe that stand there
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all prompts of a suite share."""

    prefix: str = ""  # joined to each text
    suffix: str = ""
    trigger: str = ""  # of the prompts that name none of their own


class Lines:
    """Finds the line on which a key of a TOML text stands."""

    def __init__(self, text: str) -> None:
        """Note each line's table and key; [[prompt]] tables are numbered from 0."""
        self._where: dict[tuple[str, int, str], int] = {}
        table, index = "", -1
        for number, line in enumerate(text.splitlines(), start=1):
            if header := re.match(r"\s*\[+\s*([A-Za-z_.]+)", line):
                table = header[1].split(".")[0]
                index += table == "prompt" and line.strip().startswith("[[")
                self._where.setdefault((table, self._number(table, index), ""), number)
            elif key := re.match(r"\s*([A-Za-z_-]+)\s*[=.]", line):
                self._where.setdefault((table, self._number(table, index), key[1]), number)

    @staticmethod
    def _number(table: str, index: int) -> int:
        """Return the number of a [[prompt]] table, 0 for any other."""
        return index if table == "prompt" else 0

    def of(self, key: str, table: str = "", index: int = 0) -> int | None:
        """Return the line of a key, else of its table, else None."""
        inside = self._where.get((table, index, key))
        return inside or self._where.get((table, index, "")) or self._where.get((key, 0, ""))


def read_recipe(
    body: Any,
    lines: Lines,
    problems: Problems,
    reader: PromptReader,
    palettes: Mapping[str, tuple[str, ...]] | None = None,
) -> RecipeTable:
    """Return what [recipe] says, noting problems; ``palettes`` are those of the suite."""
    if not isinstance(body, dict):
        problems.add(lines.of("recipe"), "the recipe is written as a [recipe] table")
        return RecipeTable()
    known: dict[str, Any] = {}
    for key, value in body.items():
        trouble = _recipe_trouble(key, value)
        if trouble:
            problems.add(lines.of(key, "recipe"), trouble)
        else:
            known[key] = f"{float(value):.2f}" if key in _DECIMALS else value
    strength = float(known.pop("strength", 1.0))
    prefix, suffix = known.pop("prefix", ""), known.pop("suffix", "")
    if known.get("grid") == 0:  # TOML has no null: 0 says that the art has no pixel grid
        known["grid"] = None
    if known.get("renderer", "diffusers") == "diffusers":
        for key, trouble in _undrawable(known):
            problems.add(lines.of(key, "recipe"), trouble)
    if "finishing" in known:
        known["finishing"] = _finishing(known, lines, problems, palettes or {})
    if "negative" in known:
        line = lines.of("negative", "recipe")
        known["negative"] = read_text(known["negative"], "negative", line, problems, reader) or ""
    return RecipeTable(
        recipe=Recipe(**known),
        strength=strength,
        written=frozenset(known),
        prefix=prefix,
        suffix=suffix,
    )


def _finishing(
    known: Mapping[str, Any],
    lines: Lines,
    problems: Problems,
    palettes: Mapping[str, tuple[str, ...]],
) -> str:
    """Return a finishing as it is stored, its named palette spelled out; note what is wrong."""
    line = lines.of("finishing", "recipe")
    try:
        steps = read_finishing(known["finishing"], palettes)
    except Fixable as trouble:
        problems.add(line, str(trouble))
        return "cells"
    if known.get("grid", 1) is None and steps != Finishing():
        problems.add(line, "finishing needs a grid, since it makes one pixel of each cell")
    return steps.text


def _undrawable(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (key, what is wrong) for what our own renderer cannot draw with; others may."""
    troubles = [
        (side, f"{side} must be a multiple of 8")
        for side in ("width", "height")
        if known.get(side, 0) % 8
    ]
    if known.get("precision", "auto") not in _PRECISIONS:
        troubles.append(("precision", f"precision must be one of {', '.join(_PRECISIONS)}"))
    if unknown := unknown_sampler(known.get("sampler", Recipe.sampler)):
        troubles.append(("sampler", unknown))
    return troubles


def _recipe_trouble(key: str, value: Any) -> str | None:
    """Return what is wrong with one value of a recipe, or None."""
    if key not in _RECIPE_KEYS:
        return f"unknown recipe key '{key}'; known are {', '.join(sorted(_RECIPE_KEYS))}"
    if key in {"guidance", "strength"}:
        high = 50.0 if key == "guidance" else 2.0
        return None if _is_number(value, 0.0, high) else f"{key} must be a number, 0 to {high:g}"
    if key == "token_length" and not (_is_whole(value, CHUNK, 8192) and value % CHUNK == 0):
        return "token_length must be 75, 150 or 225, as the trainer's max_token_length"
    if key in _WHOLE:
        return None if _is_whole(value, 1, 8192) else f"{key} must be a whole number from 1"
    if key == "grid":
        return None if _is_whole(value, 0, 1024) else "grid must be a whole number, 0 for none"
    return _text_trouble(key, value)


def _text_trouble(key: str, value: Any) -> str | None:
    """Return what is wrong with a value of a recipe that is text, or None."""
    if not isinstance(value, str):
        return f"{key} must be text"
    if key == "renderer" and not _RENDERER.fullmatch(value):
        return f"renderer '{value}' is none of diffusers, command, comfyui"
    return None


def _is_number(value: Any, low: float, high: float) -> bool:
    """Return whether a value, or text such as "7.50", is a number in a range."""
    try:
        return not isinstance(value, bool) and low <= float(value) <= high
    except (TypeError, ValueError):
        return False


def _is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def read_prompt(
    body: dict[str, Any],
    index: int,
    lines: Lines,
    problems: Problems,
    *,
    common: Common,
    reader: PromptReader,
) -> Prompt | None:
    """Return one prompt, or None after noting its problems."""
    before = problems.count
    for key, trouble in _prompt_troubles(body):
        problems.add(lines.of(key, "prompt", index), f"prompt {index + 1}: {trouble}")
    name = body.get("name") or f"prompt {index + 1}"
    text = None
    if problems.count == before:
        whole = _joined(common.prefix, body["text"], common.suffix)
        text = read_text(whole, name, lines.of("text", "prompt", index), problems, reader)
    expect = _read_expect(body, text or "", index, lines, problems)
    if problems.count > before or text is None:
        return None
    return Prompt(
        name=name,
        text=text,
        category=body.get("category", ""),
        tier=body.get("tier", "full"),
        seeds=tuple(body.get("seeds", (42,))),
        expect=_of_category(expect, body.get("category", "")),
        trigger=body.get("trigger", common.trigger),
        origin=body.get("origin"),
    )


def _of_category(expect: Expectation, category: str) -> Expectation:
    """Return a promise with the kind of picture that the category names: an icon has no hair."""
    return replace(expect, subject=subject_of_category(category) or expect.subject)


def _joined(*parts: str) -> str:
    """Return the parts that say something, with a comma between those that do not end in one."""
    whole = ""
    for part in (part.strip() for part in parts if part.strip()):
        joint = " " if whole.endswith((",", "BREAK")) or part.startswith("BREAK") else ", "
        whole += part if not whole or part.startswith(",") else joint + part
    return whole


def _prompt_troubles(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, what is wrong) for each problem of one [[prompt]] table."""
    troubles = [
        (key, f"unknown key '{key}'; known are {', '.join(sorted(_PROMPT_KEYS))}")
        for key in body
        if key not in _PROMPT_KEYS
    ]
    troubles += [
        (key, f"{key} must be text")
        for key in ("name", "text", "category", "trigger")
        if not isinstance(body.get(key, ""), str)
    ]
    if not isinstance(body.get("text"), str) or not body["text"].strip():
        troubles.append(("text", "text is missing or empty"))
    if body.get("tier", "full") not in TIERS:
        troubles.append(("tier", f"tier '{body['tier']}' is none of {', '.join(TIERS)}"))
    if body.get("origin") not in (None, *get_args(Origin)):
        troubles.append(("origin", f"origin is none of {', '.join(get_args(Origin))}"))
    seeds = body.get("seeds", [42])
    if not isinstance(seeds, list) or not seeds or not all(_is_seed(seed) for seed in seeds):
        troubles.append(("seeds", "seeds must be a list of whole numbers from 0"))
    elif len(set(seeds)) < len(seeds):
        troubles.append(("seeds", "a seed is given twice"))
    return troubles


def _is_seed(value: Any) -> bool:
    """Return whether a value can be a seed: 0 to 2**63 - 1, what every generator takes."""
    return _is_whole(value, 0, 2**63 - 1)


def _read_expect(
    body: dict[str, Any], text: str, index: int, lines: Lines, problems: Problems
) -> Expectation:
    """Return what a prompt promises: as written under ``expect``, else read from its text."""
    told = body.get("expect")
    if told is None:
        return expectation_from_text(text)
    line = lines.of("expect", "prompt", index)
    troubles = _expect_troubles(told)
    for trouble in troubles:
        problems.add(line, f"prompt {index + 1}: {trouble}")
    if troubles:
        return Expectation()
    colors = {name: _tidy_color(color) for name, color in told.get("regions", {}).items()}
    ground = told.get("background")
    return Expectation(
        background=_tidy_color(ground) if ground else None,
        regions=tuple(sorted(colors.items())),
        accessories=tuple(told.get("accessories", ())),
        expression=told.get("expression"),
        subject=expectation_from_text(text).subject,
    )


def _expect_troubles(told: Any) -> list[str]:
    """Return what is wrong with an ``expect`` table."""
    if not isinstance(told, dict):
        return ["expect must be a table {background, regions, accessories, expression}"]
    unknown = sorted(told.keys() - _EXPECT_KEYS)
    troubles = [f"unknown key '{key}' in expect; known are background, regions, "
                "accessories, expression"
                for key in unknown]  # fmt: skip
    regions = told.get("regions", {})
    if not isinstance(regions, dict):
        return [*troubles, 'expect.regions must be a table such as {hair = "#ff69b4"}']
    colors = [("background", told["background"])] if "background" in told else []
    for where, color in [*colors, *regions.items()]:
        if trouble := _color_trouble(color):
            troubles.append(f"{where}: {trouble}")
    things = told.get("accessories", [])
    if not isinstance(things, list) or not all(isinstance(thing, str) for thing in things):
        troubles.append("expect.accessories must be a list of words")
    if not isinstance(told.get("expression", ""), str):
        troubles.append("expect.expression must be a word such as 'smile'")
    return troubles


def _color_trouble(color: Any) -> str | None:
    """Return what is wrong with a promised color, or None; several are joined by "and"."""
    if not isinstance(color, str):
        return "a color must be text such as '#50be50' or 'hot pink'"
    for part in _color_parts(color):
        if part.startswith("#") and not normal_hex(part):
            return f"'{part}' is not a hex color such as #50be50"
        if not part.startswith("#") and not color_word(part):
            return f"'{part}' is neither a hex color nor a color word that is known"
    return None


def _color_parts(color: str) -> list[str]:
    """Return the colors of a pattern such as "blue and white", or "blue or white"."""
    return [part.strip() for part in re.split(r"\b(?:and|or)\b|[,/&+]", color.lower())]


def _tidy_color(color: str) -> str:
    """Return a checked color with its hex codes in lower case and six digits."""
    joined = " or " if re.search(r"\bor\b", color.lower()) else " and "
    return joined.join(normal_hex(part) or part for part in _color_parts(color))
