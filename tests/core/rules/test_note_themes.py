"""Notes beside votes: what people say in their own words, counted."""

from __future__ import annotations

import pytest

from core.rules.note_themes import Note, note_themes, themes_of


@pytest.mark.parametrize(
    ("words", "themes"),
    [
        ("Better colors", ["better colors"]),
        ("the colours are good, much more detail", ["better colors", "more detail"]),
        ("Too blurry around the eyes", ["too blurry"]),
        ("not blurry at all", []),
        ("no artifacts", []),
        ("stray pixels in the hair", ["random pixels"]),
        ("no background", ["wrong background"]),
        ("wrong eyes, wrong background", ["wrong colors", "wrong background", "wrong shape"]),
        ("looks like a photo", ["not pixel art"]),
        ("follows the prompt", ["follows the prompt"]),
        ("the hat is missing the prompt's blue", ["misses the prompt"]),
        ("", []),
        ("ok", []),
    ],
)
def test_a_note_tells_its_themes(words: str, themes: list[str]) -> None:
    """Spelling and case do not matter; a denied word is no complaint."""
    assert themes_of(words) == themes


def test_themes_are_counted_with_the_notes_behind_them_and_who_won() -> None:
    """The most frequent comes first; a note counts once a theme."""
    found = note_themes(
        [
            Note(words="blurry, so blurry", about="s1", winner="base"),
            Note(words="better colors", about="s2", winner="pick"),
            Note(words="better colors and sharp", about="s3", winner="pick"),
            Note(words="better colors", about="s4", winner="base"),
        ]
    )
    assert [(theme.name, theme.count) for theme in found] == [
        ("better colors", 3),
        ("crisp pixels", 1),
        ("too blurry", 1),
    ]
    assert found[0].won == (("pick", 2), ("base", 1))
    assert [note.about for note in found[0].notes] == ["s2", "s3", "s4"]
    assert found[0].meaning == "the color palette works"
