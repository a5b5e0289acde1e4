"""Prompts as trainers take them: one a line, with sd-scripts' options, or as a list of objects.

sd-scripts writes ``a girl --n blurry --w 512 --h 768 --d 1 --s 28 --l 7.5`` in its sample prompts.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import Fixable
from core.formats.prompt_expansion import PromptReader, is_comment
from core.formats.prompt_text import expectation_from_text
from core.formats.sampler_names import unknown_sampler
from core.nouns import Prompt, Recipe, Tier

# sd-scripts' letter in either case, its key in TOML and JSON, and what it sets here. --g is what a
# model distilled with its guidance is told (Flux), --l the classifier-free one of all others.
_OPTIONS = {
    "n": "negative", "w": "width", "h": "height", "d": "seed", "s": "steps", "l": "guidance",
    "g": "guidance_scale", "ss": "sampler",
}  # fmt: skip
_KEYS = {
    "negative_prompt": "negative", "width": "width", "height": "height", "seed": "seed",
    "sample_steps": "steps", "scale": "guidance", "guidance_scale": "guidance_scale",
    "sample_sampler": "sampler",
}  # fmt: skip
_OPTION = re.compile(r"([a-z]+)(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
_SMALLEST = 64  # pixels of a side; sd-scripts rounds sides down to multiples of 8, not below this
_MOST_STEPS = 1000  # sd-scripts draws no more


@dataclass
class Problems:
    """Collects what is wrong with a file, so that a person is told all of it at once."""

    source: str
    kind: str = "suite"
    consequence: str = "nothing is tested with it"
    _found: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of problems so far."""
        return len(self._found)

    def add(self, line: int | None, what: str) -> None:
        """Note one problem."""
        self._found.append(f"line {line}: {what}" if line else what)

    def raise_if_any(self) -> None:
        """Raise Fixable that lists all problems, if there are any."""
        if self._found:
            raise Fixable(
                f"The {self.kind} {self.source} was not loaded, so {self.consequence}. "
                f"Please correct: {'; '.join(self._found)}."
            )


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One prompt with what its line asks for."""

    line: int | None  # None: its place in the file is not known
    text: str
    options: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ReadPrompts:
    """Prompts that a trainer takes, and the one recipe they share."""

    recipe: Recipe
    written: frozenset[str]  # the values of the recipe that are not left at the default
    prompts: tuple[Prompt, ...]
    flux_guidance: str | None = (
        None  # decimal text: what Flux is drawn with, where it is told apart
    )


def prompts_of_lines(lines: Sequence[str], problems: Problems, reader: PromptReader) -> ReadPrompts:
    """Return recipe and prompts of lines; empty lines and those that begin with # are skipped."""
    asked = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not is_comment(text):
            head, *tail = re.split(r"(?:^|\s)--(?=[A-Za-z])", text)
            options = _line_options(number, tail, problems)
            asked.append(_Asked(line=number, text=head.strip(), options=options))
    return _assemble(asked, problems, reader)


def _line_options(line: int, parts: list[str], problems: Problems) -> dict[str, Any]:
    """Return the options of one line by what they set."""
    options: dict[str, Any] = {}
    for part in parts:
        found = _OPTION.fullmatch(part.strip())
        name = _OPTIONS.get(found[1].lower()) if found else None
        if found is None or name is None:
            known = " ".join(f"--{known}" for known in _OPTIONS)
            asked = part.split(maxsplit=1)[0]
            problems.add(
                line, f"unknown option '--{asked}'; known are {known}, each with a space behind it"
            )
        else:
            _set_option(options, name, found[2] or "", line, problems)
    return options


def prompts_of_entries(
    entries: Sequence[dict[str, Any]],
    lines: Sequence[int | None],
    problems: Problems,
    reader: PromptReader,
) -> ReadPrompts:
    """Return recipe and prompts of sd-scripts' sample prompts as objects that stand on ``lines``."""
    asked = []
    for number, (entry, line) in enumerate(zip(entries, lines, strict=True), start=1):
        options: dict[str, Any] = {}
        written = {key: value for key, value in entry.items() if value is not None}
        text = written.pop("prompt", "")
        if not isinstance(text, str):
            problems.add(line, f"prompt {number}: the prompt must be text")
            continue
        for key, value in written.items():
            name = _KEYS.get(key)
            if name is None:
                problems.add(line, f"prompt {number}: unknown key '{key}'")
            else:
                _set_option(options, name, str(value), line, problems)
        asked.append(_Asked(line=line, text=text.strip(), options=options))
    return _assemble(asked, problems, reader)


def _set_option(
    options: dict[str, Any], name: str, value: str, line: int | None, problems: Problems
) -> None:
    """Set one option after checking it."""
    readers: dict[str, Callable[[str], Any]] = {
        "negative": str,
        "sampler": str,
        "guidance": _decimal,
        "guidance_scale": _decimal,
        "seed": _whole_from(0),
        "steps": lambda text: min(_MOST_STEPS, _whole_from(1)(text)),
        "width": _side,
        "height": _side,
    }
    if name == "sampler" and (unknown := unknown_sampler(value)):
        problems.add(line, unknown)
        return
    try:
        read = readers[name](value)
    except ValueError:
        problems.add(line, f"{name} '{value}' is not a number that can be used")
        return
    if options.setdefault(name, read) != read:
        problems.add(line, f"{name} is given twice with different values")


def _side(text: str) -> int:
    """Return a width or height as sd-scripts draws it, whatever is written."""
    return max(_SMALLEST, _whole_from(1)(text) // 8 * 8)


def _decimal(text: str) -> str:
    """Return a guidance of 0 to 50 as decimal text."""
    number = float(text)
    if not 0 <= number <= 50:
        raise ValueError(text)
    return f"{number:.2f}"


def _whole_from(low: int) -> Callable[[str], int]:
    """Return a reader of whole numbers that refuses what lies below ``low``."""

    def read(text: str) -> int:
        number = int(text)
        if not low <= number < 2**63:
            raise ValueError(text)
        return number

    return read


def _assemble(asked: list[_Asked], problems: Problems, reader: PromptReader) -> ReadPrompts:
    """Return the one recipe that all lines share, and the prompts; lines that differ are told."""
    seeds: dict[str, list[int]] = {}  # by prompt as written: a text that comes again is one prompt
    first: dict[str, _Asked] = {}
    settings: dict[str, tuple[int | None, Any]] = {}
    for one in asked:
        if not one.text:
            problems.add(one.line, "the prompt is empty")
        for name, value in one.options.items():
            line, other = settings.setdefault(name, (one.line, value))
            if name != "seed" and other != value:
                where = f"on line {line}" if line else "before"
                problems.add(
                    one.line,
                    f"{name} is {value} here but {other} {where}: a suite has one recipe, "
                    "so make a second suite of the prompts that differ",
                )
        first.setdefault(one.text, one)
        seeds.setdefault(one.text, []).append(one.options.get("seed", 42))
    recipe = {name: value for name, (_, value) in settings.items() if name != "seed"}
    flux_guidance = recipe.pop("guidance_scale", None)
    if flux_guidance is not None:
        recipe.setdefault("guidance", flux_guidance)
    if "negative" in recipe:
        line, text = settings["negative"]
        recipe["negative"] = read_text(text, "negative", line, problems, reader) or ""
    prompts = [
        _prompt(number, one, tuple(dict.fromkeys(seeds[one.text])), problems, reader)
        for number, one in enumerate(first.values(), start=1)
    ]
    return ReadPrompts(
        recipe=Recipe(**recipe),
        written=frozenset(recipe),
        prompts=tuple(prompt for prompt in prompts if prompt),
        flux_guidance=flux_guidance,
    )


def _prompt(
    number: int, one: _Asked, seeds: tuple[int, ...], problems: Problems, reader: PromptReader
) -> Prompt | None:
    """Return a prompt that promises what its text says, or None after noting what is wrong."""
    name = f"prompt {number}"
    text = read_text(one.text, name, one.line, problems, reader)
    if text is None:
        return None
    tier: Tier = "quick" if number == 1 else "medium" if number <= 5 else "full"
    return Prompt(name=name, text=text, seeds=seeds, tier=tier, expect=expectation_from_text(text))


def read_text(
    text: str, name: str, line: int | None, problems: Problems, reader: PromptReader
) -> str | None:
    """Return a prompt expanded and checked, or None after noting what is wrong with it."""
    try:
        return reader.read(text, name=name)
    except Fixable as trouble:
        problems.add(line, f"{name}: {trouble}")
        return None
