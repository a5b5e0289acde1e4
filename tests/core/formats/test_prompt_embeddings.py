"""Textual inversions in prompts: found by name, pinned by hash, never unpickled."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.prompt_embeddings import pin_embeddings, read_embeddings, without_hashes
from core.formats.prompt_suite import read_suite, write_suite_toml
from core.formats.prompt_text import expectation_from_text
from core.formats.prompt_weights import Span, parse_prompt, spoken

PIN = "2d711642b726"  # of one byte, "x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of embeddings: two that can be used, one that is pickled."""
    found = tmp_path / "embeddings"
    (found / "sub").mkdir(parents=True)
    for name in ("EasyNegative", "bad-hands-5", "sub/pink hair", "sub/blue"):
        (found / f"{name}.safetensors").write_bytes(b"x")
    (found / "old.pt").write_bytes(b"x")
    return found


@pytest.mark.parametrize(
    ("written", "pinned"),
    [
        ("embedding:EasyNegative, blurry", f"embedding:EasyNegative@{PIN}, blurry"),
        ("(embedding:easynegative:1.2)", f"(embedding:EasyNegative@{PIN}:1.2)"),
        ("embedding:easynegative.safetensors", f"embedding:EasyNegative@{PIN}"),
        ("embedding:sub/blue", f"embedding:sub/blue@{PIN}"),
        ("a cat, easynegative, (bad-hands-5:0.8)",
         f"a cat, embedding:EasyNegative@{PIN}, (embedding:bad-hands-5@{PIN}:0.8)"),
        ("easynegatives, bad-hands-51, a_easynegative, blue", None),
        (f"embedding:EasyNegative@{PIN}", f"embedding:EasyNegative@{PIN}"),
        (r"embedding\:easy", None),
    ],
)  # fmt: skip
def test_calls_are_pinned_to_the_file_they_mean(
    written: str, pinned: str | None, folder: Path
) -> None:
    """ComfyUI's way anywhere, A1111's where the name is a word of its own; twice changes nothing."""
    known = read_embeddings(folder)
    once = pin_embeddings(written, known, folder)
    assert once == (written if pinned is None else pinned)
    assert pin_embeddings(once, known, folder) == once


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("embedding:nothere", "'nothere' is not in"),
        ("embedding:old", "only as old.pt, which is pickled"),
        ("embedding:old.pt", "pickled"),
        ("embedding:blue@0123456789ab", "'blue' is not in"),
        ("embedding:easynegative@0123456789ab", "pinned to 0123456789ab"),
    ],
)
def test_what_is_not_there_is_an_error_with_its_line(
    written: str, words: str, folder: Path, tmp_path: Path
) -> None:
    """Also one that is pickled, and one whose bytes have changed."""
    suite = tmp_path / "suite.toml"
    suite.write_text(f'[[prompt]]\ntext = "a cat, {written}"\n')
    with pytest.raises(Fixable, match=f"line 2: .*{words}"):
        read_suite(suite, folder)
    with pytest.raises(Fixable, match="the setting embeddings"):
        read_suite(suite)


def test_other_bytes_make_other_samples(folder: Path, tmp_path: Path) -> None:
    """The stored prompt holds the hash, in the negative too; as TOML it reads back the same."""
    suite = tmp_path / "suite.toml"
    suite.write_text(
        '[recipe]\nnegative = "embedding:easynegative"\n[[prompt]]\ntext = "a cat, blue hat"\n'
        '[[prompt]]\ntext = "{a|b} cat, bad-hands-5"\n'
    )
    before = read_suite(suite, folder)
    assert before.suite.recipe.negative == f"embedding:EasyNegative@{PIN}"
    again = tmp_path / "again.toml"
    again.write_text(write_suite_toml(before.suite))
    assert read_suite(again, folder).suite.prompts == before.suite.prompts
    (folder / "EasyNegative.safetensors").write_bytes(b"y")
    assert read_suite(suite, folder).suite.recipe != before.suite.recipe


def test_an_embedding_is_no_words(folder: Path) -> None:
    """It has a weight, breaks no neighbors' text, promises nothing, and is never spoken."""
    text = f"a cat (embedding:sub/pink_hair@{PIN} hat:1.5)"
    assert parse_prompt(text) == (
        Span(text="a cat "),
        Span(text="", weight=1.5, embedding=f"sub/pink_hair@{PIN}"),
        Span(text=" hat", weight=1.5),
    )
    assert spoken(text) == "a cat  hat"
    assert not expectation_from_text(text).regions
    assert without_hashes(text) == "a cat (embedding:sub/pink_hair hat:1.5)"


def test_a_folder_that_is_not_there_is_told() -> None:
    """The setting's name stands in the message; no setting means no embeddings."""
    assert read_embeddings(None) == {}
    with pytest.raises(Fixable, match="setting embeddings"):
        read_embeddings(Path("/no/such/folder"))
