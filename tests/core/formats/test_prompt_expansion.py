"""Wildcards and choices: expanded once, and always alike."""

from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.prompt_expansion import PromptReader


@pytest.fixture
def reader(tmp_path: Path) -> PromptReader:
    """A reader beside a folder of wildcards."""
    folder = tmp_path / "wildcards"
    (folder / "deep").mkdir(parents=True)
    (folder / "color.txt").write_text("# colors\npink\n\ngreen\nblue\n#ff69b4\n", encoding="utf-8")
    (folder / "deep" / "thing.txt").write_text("{crown|hat} in __color__\n", encoding="utf-8")
    (folder / "loop.txt").write_text("a __loop__\n", encoding="utf-8")
    (folder / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    return PromptReader(folder=tmp_path)


COLORS = {"pink", "green", "blue", "#ff69b4"}


def test_a_wildcard_is_one_line_of_its_file(reader: PromptReader) -> None:
    """Comments and empty lines are none; a hex color is one."""
    found = {reader.read("__color__ hair", name=str(number)) for number in range(4)}

    assert found == {f"{color} hair" for color in COLORS}


def test_the_same_prompt_always_reads_the_same(reader: PromptReader, tmp_path: Path) -> None:
    """Its name and text decide, on every machine; the golden value holds it for ever."""
    text = "__color__ hair, {crown|hat|mask}, __color__ background"
    again = PromptReader(folder=tmp_path)

    assert reader.read(text, name="a") == again.read(text, name="a")
    assert PromptReader(folder=tmp_path).read("{a|b|c|d|e|f|g|h}", name="golden") == "f"


def test_prompts_of_one_suite_differ_while_they_can(reader: PromptReader) -> None:
    """Two options serve two prompts; a third has to repeat one."""
    found = [reader.read("{a|b} cat", name=name) for name in "xyz"]

    assert set(found[:2]) == {"a cat", "b cat"}
    assert found[2] in found[:2]


def test_choices_and_wildcards_nest(reader: PromptReader) -> None:
    """A line may hold choices and wildcards, an option wildcards and weights."""
    thing, _, color = reader.read("__deep/thing__", name="a").partition(" in ")
    assert thing in {"crown", "hat"}
    assert color in COLORS
    assert reader.read("{(x:1.2)|(x:{1.2|1.2})}", name="b") == "(x:1.2)"
    assert reader.read("{ a {b|b} | a b }", name="c") == "a b"


def test_escaped_and_plain_text_is_left_alone(reader: PromptReader) -> None:
    """No brace, bar or underscore that stands for itself is touched."""
    for text in (r"\{a|b\}", r"\_\_color\_\_", "a_b, a|b, 0__0", "(a:1.2) BREAK b"):
        assert reader.read(text, name="a") == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__nothing__ hair", "nothing.txt (No such file"),
        ("__../secret__", "no name of a wildcard file"),
        ("__/etc/passwd__", "no name of a wildcard file"),
        ("__color*__", "no name of a wildcard file"),
        ("__empty__", "holds no option"),
        ("__loop__", "without end"),
        ("{a|b", "'{' is never closed"),
        ("a}", "'}' closes nothing"),
        ("{word}", "is no choice"),
        ("{2$$a|b|c}", "not supported"),
        ("{0.5::a|b}", "not supported"),
        ("{|}", "nothing is left"),
        ("{(a|(b}", "never closed"),
    ],
)
def test_what_cannot_be_expanded_is_refused(reader: PromptReader, text: str, told: str) -> None:
    """A missing file, no choice, and what only other programs know."""
    with pytest.raises(Fixable) as refused:
        reader.read(text, name="a")
    assert told in str(refused.value)
