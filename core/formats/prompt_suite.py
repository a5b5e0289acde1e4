"""Test suites: read from TOML, from lines of text or from a trainer's sample prompts; written back.

Everything that is not understood is told with its line, all at once, and nothing is guessed.
"""

import json
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import Fixable
from core.formats.prompt_lines import Problems, prompts_of_entries, prompts_of_lines
from core.formats.prompt_tables import Lines, read_prompt, read_recipe
from core.nouns import TIERS, Expectation, Prompt, Recipe, Suite, Tier

_SUITE_KEYS = {"name", "recipe", "prompt"}


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
    lines = Lines(text)
    for key in sorted(body.keys() - _SUITE_KEYS):
        problems.add(lines.of(key), f"unknown key '{key}'; known are name, [recipe], [[prompt]]")
    recipe, strength = read_recipe(body.get("recipe", {}), lines, problems)
    entries = body.get("prompt", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(lines.of("prompt"), "prompts are written as [[prompt]] tables")
        entries = []
    read = [read_prompt(entry, index, lines, problems) for index, entry in enumerate(entries)]
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
