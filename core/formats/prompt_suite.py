"""Test suites: read from TOML, from lines of text or from a trainer's sample prompts; written back.

Everything that is not understood is told with its line, all at once, and nothing is guessed.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from core.errors import Fixable
from core.formats.color_names import color_word, normal_hex
from core.formats.prompt_lines import Problems, prompts_of_entries, prompts_of_lines
from core.formats.prompt_text import expectation_from_text
from core.nouns import TIERS, Expectation, Origin, Prompt, Recipe, Suite, Tier

_SUITE_KEYS = {"name", "recipe", "prompt"}
_PROMPT_KEYS = {
    "name", "text", "category", "tier", "seeds", "expect", "trigger", "origin",
}  # fmt: skip
_EXPECT_KEYS = {"background", "regions", "accessories"}
_DECIMALS = {"guidance"}
_WHOLE = {"steps", "width", "height", "clip_skip", "token_length"}
_RECIPE_KEYS = {field.name for field in fields(Recipe)} | {"strength"}


@dataclass(frozen=True, kw_only=True)
class LoadedSuite:
    """A suite as read from a file, and the LoRA strength that it asks for."""

    suite: Suite
    strength: float = 1.0  # 0-2, at which the run's own LoRA is tested


def read_suite(path: Path) -> LoadedSuite:
    """Read a suite: TOML, JSON or plain lines, the latter two as trainers' sample prompts too.

    Raises Fixable that names every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as trouble:
        raise Fixable(
            f"The suite {path} cannot be read ({trouble}), so there are no prompts to test with; "
            "check the path, and save the file as UTF-8 text."
        ) from trouble
    problems = Problems(source=path.name)
    if path.suffix.lower() == ".toml":
        loaded = _from_toml(text, path.stem, problems)
    elif path.suffix.lower() == ".json":
        loaded = _from_json(text, path.stem, problems)
    else:
        recipe, prompts = prompts_of_lines(text.splitlines(), problems)
        loaded = LoadedSuite(suite=Suite(name=path.stem, recipe=recipe, prompts=prompts))
    _check_whole(loaded.suite, problems)
    problems.raise_if_any()
    return loaded


def _from_toml(text: str, stem: str, problems: Problems) -> LoadedSuite:
    """Return the suite of a TOML text, noting problems."""
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as trouble:
        problems.add(None, f"not valid TOML: {trouble}")
        problems.raise_if_any()
        raise AssertionError("unreachable") from trouble
    if _is_sample_prompts(body):
        base = {key: value for key, value in body["prompt"].items() if key != "subset"}
        entries = [base | entry for entry in body["prompt"].get("subset", [{}])]
        recipe, prompts = prompts_of_entries(entries, problems)
        return LoadedSuite(suite=Suite(name=stem, recipe=recipe, prompts=prompts))
    lines = _Lines(text)
    for key in sorted(body.keys() - _SUITE_KEYS):
        problems.add(lines.of(key), f"unknown key '{key}'; known are name, [recipe], [[prompt]]")
    recipe, strength = _read_recipe(body.get("recipe", {}), lines, problems)
    entries = body.get("prompt", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(lines.of("prompt"), "prompts are written as [[prompt]] tables")
        entries = []
    read = [_read_prompt(entry, index, lines, problems) for index, entry in enumerate(entries)]
    name = body.get("name", stem)
    if not isinstance(name, str) or not name.strip():
        problems.add(lines.of("name"), "name must be text")
        name = stem
    suite = Suite(name=name, recipe=recipe, prompts=tuple(prompt for prompt in read if prompt))
    return LoadedSuite(suite=suite, strength=strength)


def _is_sample_prompts(body: dict[str, Any]) -> bool:
    """Return whether a TOML body is sd-scripts' own: one [prompt] table with subsets."""
    return isinstance(body.get("prompt"), dict)


def _from_json(text: str, stem: str, problems: Problems) -> LoadedSuite:
    """Return the suite of a JSON text: a list of sd-scripts' sample prompts."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as trouble:
        problems.add(trouble.lineno, f"not valid JSON: {trouble.msg}")
        problems.raise_if_any()
        raise AssertionError("unreachable") from trouble
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(None, "a JSON suite is a list of objects with a 'prompt' each")
        entries = []
    recipe, prompts = prompts_of_entries(entries, problems)
    return LoadedSuite(suite=Suite(name=stem, recipe=recipe, prompts=prompts))


class _Lines:
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


def _read_recipe(body: Any, lines: _Lines, problems: Problems) -> tuple[Recipe, float]:
    """Return the recipe and the strength, noting problems."""
    if not isinstance(body, dict):
        problems.add(lines.of("recipe"), "the recipe is written as a [recipe] table")
        return Recipe(), 1.0
    known: dict[str, Any] = {}
    for key, value in body.items():
        trouble = _recipe_trouble(key, value)
        if trouble:
            problems.add(lines.of(key, "recipe"), trouble)
        else:
            known[key] = f"{float(value):.2f}" if key in _DECIMALS else value
    strength = float(known.pop("strength", 1.0))
    if known.get("grid") == 0:  # TOML has no null: 0 says that the art has no pixel grid
        known["grid"] = None
    return Recipe(**known), strength


def _recipe_trouble(key: str, value: Any) -> str | None:
    """Return what is wrong with one value of a recipe, or None."""
    if key not in _RECIPE_KEYS:
        return f"unknown recipe key '{key}'; known are {', '.join(sorted(_RECIPE_KEYS))}"
    if key in {"guidance", "strength"}:
        high = 50.0 if key == "guidance" else 2.0
        return None if _is_number(value, 0.0, high) else f"{key} must be a number, 0 to {high:g}"
    if key in _WHOLE:
        return None if _is_whole(value, 1, 8192) else f"{key} must be a whole number from 1"
    if key == "grid":
        return None if _is_whole(value, 0, 1024) else "grid must be a whole number, 0 for none"
    return None if isinstance(value, str) else f"{key} must be text"


def _is_number(value: Any, low: float, high: float) -> bool:
    """Return whether a value, or text such as "7.50", is a number in a range."""
    try:
        return not isinstance(value, bool) and low <= float(value) <= high
    except (TypeError, ValueError):
        return False


def _is_whole(value: Any, low: int, high: int) -> bool:
    """Return whether a value is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _read_prompt(
    body: dict[str, Any], index: int, lines: _Lines, problems: Problems
) -> Prompt | None:
    """Return one prompt, or None after noting its problems."""
    before = problems.count
    for key, trouble in _prompt_troubles(body):
        problems.add(lines.of(key, "prompt", index), f"prompt {index + 1}: {trouble}")
    expect = _read_expect(body, index, lines, problems)
    if problems.count > before:
        return None
    return Prompt(
        name=body.get("name") or f"prompt {index + 1}",
        text=body["text"].strip(),
        category=body.get("category", ""),
        tier=body.get("tier", "full"),
        seeds=tuple(body.get("seeds", (42,))),
        expect=expect,
        trigger=body.get("trigger", ""),
        origin=body.get("origin"),
    )


def _prompt_troubles(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, what is wrong) for each problem of one [[prompt]] table."""
    troubles = [
        (key, f"unknown key '{key}'; known are {', '.join(sorted(_PROMPT_KEYS))}")
        for key in body
        if key not in _PROMPT_KEYS
    ]
    for key in ("name", "text", "category", "trigger"):
        if not isinstance(body.get(key, ""), str):
            troubles.append((key, f"{key} must be text"))
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
    body: dict[str, Any], index: int, lines: _Lines, problems: Problems
) -> Expectation:
    """Return what a prompt promises: as written under ``expect``, else read from its text."""
    told = body.get("expect")
    if told is None:
        return expectation_from_text(str(body.get("text", "")))
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
    )


def _expect_troubles(told: Any) -> list[str]:
    """Return what is wrong with an ``expect`` table."""
    if not isinstance(told, dict):
        return ["expect must be a table {background, regions, accessories}"]
    unknown = sorted(told.keys() - _EXPECT_KEYS)
    troubles = [f"unknown key '{key}' in expect; known are background, regions, accessories"
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
    """Return the colors of a pattern such as "blue and white"."""
    return [part.strip() for part in re.split(r"\band\b|[,/&+]", color.lower())]


def _tidy_color(color: str) -> str:
    """Return a checked color with its hex codes in lower case and six digits."""
    return " and ".join(normal_hex(part) or part for part in _color_parts(color))


def _check_whole(suite: Suite, problems: Problems) -> None:
    """Note what is wrong with the suite as a whole."""
    if not suite.prompts and not problems.count:
        problems.add(None, "it holds no prompt")
    names = [prompt.name for prompt in suite.prompts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(None, f"the prompt name '{name}' is used {names.count(name)} times")


def for_tier(suite: Suite, tier: Tier) -> tuple[Prompt, ...]:
    """Return the prompts of a tier, which hold those of all smaller tiers; suite order is kept."""
    allowed = TIERS[: TIERS.index(tier) + 1]
    return tuple(prompt for prompt in suite.prompts if prompt.tier in allowed)


def suite_to_json(suite: Suite) -> dict[str, Any]:
    """Return the form that is stored and digested; ``suite_from_json`` reads it back."""
    prompts = [
        asdict(replace(prompt, expect=Expectation()))
        | {"seeds": list(prompt.seeds), "expect": prompt.expect.as_json()}
        for prompt in suite.prompts
    ]
    return {"name": suite.name, "recipe": suite.recipe.as_json(), "prompts": prompts}


def suite_from_json(body: dict[str, Any]) -> Suite:
    """Build a suite back. Raises Fixable when the body is not one."""
    try:
        return Suite(
            name=body["name"],
            recipe=Recipe(**body["recipe"]),
            prompts=tuple(
                Prompt(
                    **(
                        entry
                        | {
                            "seeds": tuple(entry["seeds"]),
                            "expect": Expectation.from_json(entry["expect"]),
                        }
                    )
                )
                for entry in body["prompts"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as trouble:
        raise Fixable(
            f"The stored suite cannot be read ({trouble!r}), so its prompts cannot be tested; "
            "load the suite's file again."
        ) from trouble


def write_suite_toml(suite: Suite, strength: float = 1.0) -> str:
    """Return a suite as TOML text that ``read_suite`` reads back to the same suite."""
    recipe = suite.recipe.as_json() | {"grid": suite.recipe.grid or 0}
    lines = [f"name = {_toml(suite.name)}", "", "[recipe]"]
    lines += [f"{key} = {_toml(value)}" for key, value in recipe.items()]
    lines.append(f"strength = {_toml(float(strength))}")
    for prompt in suite.prompts:
        lines += ["", "[[prompt]]", f"name = {_toml(prompt.name)}", f"text = {_toml(prompt.text)}"]
        for key in ("category", "trigger", "origin"):
            if value := getattr(prompt, key):
                lines.append(f"{key} = {_toml(value)}")
        lines.append(f"tier = {_toml(prompt.tier)}")
        lines.append(f"seeds = {_toml(list(prompt.seeds))}")
        lines.append(f"expect = {_toml(_said(prompt.expect))}")
    return "\n".join(lines) + "\n"


def _said(expect: Expectation) -> dict[str, Any]:
    """Return an expectation without the parts that promise nothing."""
    return {key: value for key, value in expect.as_json().items() if value}


def _toml(value: Any) -> str:
    """Return a value as TOML; JSON strings, numbers and lists are TOML already, tables are not."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
        return "{" + inner + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
