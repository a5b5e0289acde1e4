r"""Wildcards and choices, expanded once when a suite is read; the outcome is what is stored.

__name__ is a line of wildcards/name.txt beside the suite, {a|b|c} one of its options. Which one is
decided by the prompt's name and its text as written, so the same file always reads the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Fixable
from core.formats.prompt_embeddings import EmbeddingFile, pin_embeddings
from core.formats.prompt_weights import WILDCARD, parse_prompt
from core.nouns import digest

_TOKEN = re.compile(rf"\\.|{WILDCARD}|[{{|}}]", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][\w-]*(?:[./][\w-]+)*")
_MORE_OF_IT = re.compile(r"\s*(?:[\d-]+\$\$|[\d.]+::)")  # dynamic-prompts: amounts and odds
_DEEPEST = 10  # wildcards within wildcards
_ATTEMPTS = 50  # to find a text that no other prompt of the suite has


@dataclass(kw_only=True)
class PromptReader:
    """Turns what people write into the prompts of one suite."""

    folder: Path | None  # of the suite: its wildcards are in "wildcards"; None: it was typed
    embeddings: Mapping[str, EmbeddingFile] = field(default_factory=dict)  # by name in lower case
    embeddings_folder: Path | None = None  # where these lie
    _files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def read(self, text: str, *, name: str) -> str:
        """Return a prompt expanded and checked, still with its weights; no two alike if possible.

        Raises Fixable with what is wrong, in a clause without the prompt itself.
        """
        expanded = self._expanded(text, _Dice(name=name, text=text))
        for attempt in range(1, _ATTEMPTS if expanded != text else 0):
            if expanded.strip() not in self._taken:
                break
            expanded = self._expanded(text, _Dice(name=name, text=text, attempt=attempt))
        expanded = expanded.strip()
        if text.strip() and not expanded:
            raise Fixable("nothing is left of it once its wildcards and choices are expanded")
        self._taken.add(expanded)
        expanded = pin_embeddings(expanded, self.embeddings, self.embeddings_folder)
        parse_prompt(expanded)
        return expanded

    def _expanded(self, text: str, dice: "_Dice", depth: int = 0) -> str:
        """Return ``text`` without wildcards and choices."""
        if depth > _DEEPEST:
            raise Fixable("its wildcards name each other without end")
        frames: list[list[str]] = [[""]]  # the options of each choice that is open
        at = 0
        for token in _TOKEN.finditer(text):
            frames[-1][-1] += text[at : token.start()]
            at = token.end()
            if token["wildcard"]:
                line = dice.choose(self._lines(token["wildcard"]))
                frames[-1][-1] += self._expanded(line, dice, depth + 1)
            elif token[0] == "{":
                frames.append([""])
            elif token[0] == "|" and len(frames) > 1:
                frames[-1].append("")
            elif token[0] == "}":
                chosen = dice.choose(_options(frames.pop() if len(frames) > 1 else []))
                frames[-1][-1] += chosen
            else:
                frames[-1][-1] += token[0]
        if len(frames) > 1:
            raise Fixable("'{' is never closed: close it, or write \\{ for the character itself")
        return frames[0][0] + text[at:]

    def _lines(self, name: str) -> tuple[str, ...]:
        """Return the options of a wildcard file, which is read once."""
        if self.folder is None:
            raise Fixable("it names a wildcard, which is a file beside a suite: write the words")
        if name not in self._files:
            self._files[name] = _read_wildcards(self.folder, name)
        return self._files[name]


@dataclass(kw_only=True)
class _Dice:
    """Chooses by digest: the same on every machine and in every version of Python."""

    name: str
    text: str
    attempt: int = 0
    thrown: int = 0

    def choose(self, options: tuple[str, ...]) -> str:
        """Return one of the options."""
        self.thrown += 1
        number = int(digest([self.name, self.text, self.attempt, self.thrown])[:16], 16)
        return options[number % len(options)]


def _options(options: list[str]) -> tuple[str, ...]:
    """Return the options of a choice, or raise Fixable."""
    if not options:
        raise Fixable("'}' closes nothing: write '{' before it, or \\} for the character itself")
    if len(options) == 1:
        raise Fixable(
            f"'{{{options[0]}}}' is no choice: {{a|b}} is one, (word) is emphasis, and \\{{ is the "
            "character itself"
        )
    if any(_MORE_OF_IT.match(option) for option in options):
        raise Fixable("amounts (2$$a|b) and odds (0.5::a) in a choice are not supported")
    return tuple(option.strip() for option in options)


def _read_wildcards(folder: Path, name: str) -> tuple[str, ...]:
    """Return the lines of a wildcard file; empty ones and those that begin with # are skipped."""
    if not _NAME.fullmatch(name):
        raise Fixable(
            f"'__{name}__' is no name of a wildcard file: use letters, digits, - and _, or write "
            "\\_\\_ for the characters themselves"
        )
    path = folder / "wildcards" / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as trouble:
        raise Fixable(
            f"the wildcard '__{name}__' cannot be read from {path} "
            f"({getattr(trouble, 'strerror', None) or 'not UTF-8 text'}): write one option a line "
            "there, or \\_\\_ for the characters themselves"
        ) from trouble
    options = tuple(line.strip() for line in lines if line.strip() and not is_comment(line))
    if not options:
        raise Fixable(f"the wildcard file {path} holds no option: write one a line")
    return options


def is_comment(line: str) -> bool:
    """Return whether a line of prompts is a note: it begins with #, and not with a hex color."""
    text = line.strip()
    return text.startswith("#") and not re.match(r"#[0-9a-fA-F]{3,6}\b", text)
