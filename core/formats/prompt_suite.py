"""Test suites: read from TOML, from lines of text or from a trainer's sample prompts; written back.

Everything that is not understood is told with its line, all at once, and nothing is guessed.
"""

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import Fixable
from core.formats.finishing import read_palettes
from core.formats.prompt_embeddings import read_embeddings
from core.formats.prompt_expansion import PromptReader
from core.formats.prompt_lines import (
    Problems,
    ReadPrompts,
    prompts_of_entries,
    prompts_of_lines,
)
from core.formats.prompt_tables import Common, Lines, read_prompt, read_recipe
from core.formats.prompt_weights import CHUNK, prompt_chunks
from core.nouns import TIERS, Expectation, Prompt, Recipe, Suite, Tier

_JSON_PROMPT = r'(?<!\\)"prompt"\s*:'  # the key, which no text can hold unescaped
_COMMON_KEYS = ("prefix", "suffix", "trigger")
Profile = Literal["auto", "pixel-art", "character", "style", "votes"]
_PROFILES: tuple[Profile, ...] = get_args(Profile)
_SUITE_KEYS = {"name", "profile", "recipe", "palettes", "prompt", *_COMMON_KEYS}


@dataclass(frozen=True, kw_only=True)
class LoadedSuite:
    """A suite as read from a file, and the LoRA strength that it asks for."""

    suite: Suite
    strength: float = 1.0  # 0-2, at which the run's own LoRA is tested
    profile: Profile = "auto"  # what the images are measured as
    # Values of the recipe that are not left at the default: of the file, not of what it means.
    written: frozenset[str] = field(default=frozenset(), compare=False)
    # A trainer's own sample prompts, which have no word for clip skip and token length.
    is_trainers: bool = field(default=False, compare=False)
    # What such prompts give Flux beside the guidance of all others; None where they do not.
    flux_guidance: str | None = field(default=None, compare=False)

    @property
    def grid_is_told(self) -> bool:
        """Whether the file says how many cells the art has, or that it has none."""
        return "grid" in self.written


def read_suite(path: Path, embeddings: Path | None = None) -> LoadedSuite:
    """Read a suite: TOML, JSON or plain lines, the latter two as trainers' sample prompts too.

    Wildcards are lines of the files in the folder "wildcards" beside it; textual inversions are
    found in the folder ``embeddings`` and pinned to their bytes. Where BREAK asks for more
    chunks than one and no token length is written, the recipe gets the length that holds them.
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
    reader = PromptReader(
        folder=path.parent,
        embeddings=read_embeddings(embeddings),
        embeddings_folder=embeddings,
    )
    if path.suffix.lower() == ".toml":
        loaded = _from_toml(text, path.stem, problems, reader)
    else:
        if path.suffix.lower() == ".json":
            read = _from_json(text, problems, reader)
        else:
            read = prompts_of_lines(text.splitlines(), problems, reader)
        loaded = _loaded(path.stem, read)
    _check_whole(loaded.suite, problems)
    problems.raise_if_any()
    return loaded


def read_suite_text(text: str, name: str, embeddings: Path | None = None) -> LoadedSuite:
    """Read a suite that a person typed as TOML, where no folder lies beside it.

    Raises Fixable as ``read_suite`` does, and for wildcards, which are files in such a folder.
    """
    problems = Problems(source=name, consequence="nothing is compared")
    reader = PromptReader(
        folder=None,
        embeddings=read_embeddings(embeddings),
        embeddings_folder=embeddings,
    )
    loaded = _from_toml(text, name, problems, reader)
    _check_whole(loaded.suite, problems)
    problems.raise_if_any()
    return loaded


def _loaded(name: str, read: ReadPrompts) -> LoadedSuite:
    """Return the suite of prompts that a trainer takes."""
    suite = Suite(name=name, recipe=read.recipe, prompts=read.prompts)
    return LoadedSuite(
        suite=_with_room(suite),
        written=read.written,
        is_trainers=True,
        flux_guidance=read.flux_guidance,
    )


def _from_toml(text: str, stem: str, problems: Problems, reader: PromptReader) -> LoadedSuite:
    """Return the suite of a TOML text, noting problems."""
    body, lines = _body(tomllib.loads, text, problems), Lines(text)
    if _is_sample_prompts(body):
        return _loaded(stem, _of_subsets(body["prompt"], lines, problems, reader))
    for key in sorted(body.keys() - _SUITE_KEYS):
        known = ", ".join(("name", "profile", *_COMMON_KEYS))
        problems.add(lines.of(key), f"unknown key '{key}'; known are {known}, [recipe], [[prompt]]")
    palettes = _palettes(body, lines, problems)
    table = read_recipe(body.get("recipe", {}), lines, problems, reader, palettes)
    common = _common(body, table.prefix, table.suffix, lines, problems)
    entries = body.get("prompt", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(lines.of("prompt"), "prompts are written as [[prompt]] tables")
        entries = []
    read = [
        read_prompt(entry, index, lines, problems, common=common, reader=reader)
        for index, entry in enumerate(entries)
    ]
    name = body.get("name", stem)
    if not isinstance(name, str) or not name.strip():
        problems.add(lines.of("name"), "name must be text")
        name = stem
    profile = body.get("profile", "auto")
    if profile not in _PROFILES:
        problems.add(lines.of("profile"), f"profile must be one of {', '.join(_PROFILES)}")
    prompts = tuple(prompt for prompt in read if prompt)
    suite = Suite(name=name, recipe=table.recipe, prompts=prompts)
    if "token_length" in table.written:
        _check_room(suite, lines.of("token_length", "recipe"), problems)
    else:
        suite = _with_room(suite)
    return LoadedSuite(
        suite=suite,
        strength=table.strength,
        profile=profile,
        written=table.written,
    )


def _body(loads: Callable[[str], Any], text: str, problems: Problems) -> Any:
    """Return what is written in TOML or JSON. Raises Fixable where it cannot be read."""
    try:
        body = loads(text)
    except tomllib.TOMLDecodeError as trouble:
        problems.add(None, f"not valid TOML: {trouble}")
    except json.JSONDecodeError as trouble:
        problems.add(trouble.lineno, f"not valid JSON: {trouble.msg}")
    except (ValueError, RecursionError) as trouble:  # thousands of digits or of brackets
        problems.add(None, f"not a suite that a person would write: {trouble}")
    problems.raise_if_any()
    return body


def _palettes(body: dict[str, Any], lines: Lines, problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return the palettes that have a name, noting problems."""
    try:
        return read_palettes(body.get("palettes", {}))
    except Fixable as trouble:
        problems.add(lines.of("palettes"), str(trouble))
        return {}


def _common(
    body: dict[str, Any], prefix: str, suffix: str, lines: Lines, problems: Problems
) -> Common:
    """Return what all prompts share: written at the top, prefix and suffix else under [recipe]."""
    found = {key: body.get(key, "") for key in _COMMON_KEYS}
    for key, value in found.items():
        if not isinstance(value, str):
            problems.add(lines.of(key), f"{key} must be text")
            found[key] = ""
    for key, value in (("prefix", prefix), ("suffix", suffix)):
        if value and found[key]:
            problems.add(lines.of(key), f"{key} is given here and under [recipe]: keep one")
        found[key] = found[key] or value
    return Common(**found)


def _with_room(suite: Suite) -> Suite:
    """Return the suite with a token length that holds the chunks its BREAKs ask for."""
    needed = max(_tokens_asked(text) for _, text in _texts(suite))
    length = max(needed, suite.recipe.token_length)
    return replace(suite, recipe=replace(suite.recipe, token_length=length))


def _check_room(suite: Suite, line: int | None, problems: Problems) -> None:
    """Note the prompts whose BREAKs ask for more chunks than the written token length holds."""
    length = suite.recipe.token_length
    for name, text in _texts(suite):
        needed = _tokens_asked(text)
        if needed > length:
            problems.add(
                line,
                f"token_length is {length}, but the BREAKs of '{name}' need {needed}: give "
                "that, or leave token_length out",
            )


def _texts(suite: Suite) -> list[tuple[str, str]]:
    """Return (name, text) of all that is encoded."""
    prompts = [(prompt.name, prompt.text) for prompt in suite.prompts]
    return [*prompts, ("negative", suite.recipe.negative)]


def _tokens_asked(text: str) -> int:
    """Return the token length that holds a prompt's BREAKs, with short stretches between them."""
    return CHUNK * len(prompt_chunks(text))


def _is_sample_prompts(body: dict[str, Any]) -> bool:
    """Return whether a TOML body is sd-scripts' own: one [prompt] table with subsets."""
    return isinstance(body.get("prompt"), dict)


def _of_subsets(
    table: dict[str, Any], lines: Lines, problems: Problems, reader: PromptReader
) -> ReadPrompts:
    """Return recipe and prompts of sd-scripts' own TOML, whose subsets take what they lack above."""
    base = {key: value for key, value in table.items() if key != "subset"}
    subsets = table.get("subset", [{}])
    if not isinstance(subsets, list) or not all(isinstance(one, dict) for one in subsets):
        line = lines.of("prompt", "prompt", -1)
        problems.add(line, "subsets are written as [[prompt.subset]] tables")
        subsets = []
    entries = [base | entry for entry in subsets]
    where = [lines.of("prompt", "prompt", index) for index in range(len(entries))]
    where = [line or lines.of("prompt", "prompt", -1) for line in where]
    return prompts_of_entries(entries, where, problems, reader)


def _from_json(text: str, problems: Problems, reader: PromptReader) -> ReadPrompts:
    """Return recipe and prompts of a JSON text: a list of sd-scripts' sample prompts."""
    entries = _body(json.loads, text, problems)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.add(None, "a JSON suite is a list of objects with a 'prompt' each")
        entries = []
    found = [text.count("\n", 0, key.start()) + 1 for key in re.finditer(_JSON_PROMPT, text)]
    lines: list[int | None] = [*found] if len(found) == len(entries) else [None] * len(entries)
    return prompts_of_entries(entries, lines, problems, reader)


def _check_whole(suite: Suite, problems: Problems) -> None:
    """Note what is wrong with the suite as a whole."""
    if not suite.prompts and not problems.count:
        problems.add(None, "it holds no prompt")
    names = [prompt.name for prompt in suite.prompts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(None, f"the prompt name '{name}' is used {names.count(name)} times")
    drawn: dict[tuple[str, int], str] = {}
    for prompt in suite.prompts:
        twins = {drawn[prompt.text, seed] for seed in prompt.seeds if (prompt.text, seed) in drawn}
        for twin in sorted(twins):
            problems.add(
                None,
                f"'{twin}' and '{prompt.name}' draw the same image: the same text with the "
                "same seed; give one of them another seed, or its wildcards more options",
            )
        drawn |= {(prompt.text, seed): prompt.name for seed in prompt.seeds}


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
