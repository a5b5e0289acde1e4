"""README and docs promise only commands and options that there are, and link only to what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from daemon.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TYPED = re.compile(r"(?:`|^ *)epochwatch (?!\d)((?:(?!`|\n|  #|   ).)*)", re.MULTILINE)


def _unknown(words: list[str]) -> str | None:
    """Return the first word that is no command or option; None when all are."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        first, *words = words
        if first.partition("|")[0] not in command.commands:
            return first
        command = command.commands[first.partition("|")[0]]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    ours = words[: words.index("--")] if "--" in words else words
    asked = [found[1] for word in ours if (found := re.match(r"\[?(--[a-z-]+)", word))]
    return next((name for name in asked if name not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one_that_there_is(page: Path) -> None:
    """A newcomer types what is written."""
    typed = [words.split(" --then")[0].split() for words in TYPED.findall(page.read_text())]
    assert [(words, bad) for words in typed if words and (bad := _unknown(words))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    """Pages are moved; links are forgotten."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    inside = [link for link in links if link and "://" not in link and "mailto:" not in link]
    assert [link for link in inside if not (page.parent / link).exists()] == []
