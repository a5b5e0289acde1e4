"""Training captions, and suites made of them."""

from pathlib import Path

import pytest
from PIL import Image

from core.errors import Fixable
from core.formats.caption_file import derive_suite, read_captions, scan_captions
from core.formats.prompt_suite import for_tier
from core.nouns import BLEEDING, Expectation, Recipe

HAIR = ("pink", "blue", "brown", "red")
GROUND = ("green", "white", "gray", "purple")
THINGS = ("", ", crown", ", sunglasses")
CAPTIONS = [
    f"pixel art punk, {hair} hair, {ground} background, light skin{THINGS[(x + 2 * y) % 3]}"
    for x, hair in enumerate(HAIR)
    for y, ground in enumerate(GROUND)
    if (x + y) % 4
]


def picture(path: Path, caption: str | None = None) -> None:
    """Save a small image, with its caption beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), "red").save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


def test_images_are_read_with_captions_and_repeats(tmp_path: Path) -> None:
    """Plain folders and sd-scripts' 10_name folders are read alike, in order."""
    picture(tmp_path / "10_punk" / "b.png", "blue hair,\n smile\n")
    picture(tmp_path / "a.png", "pink hair")

    found = read_captions(tmp_path)

    assert [(one.path.name, one.caption, one.repeats) for one in found] == [
        ("b.png", "blue hair, smile", 10),
        ("a.png", "pink hair", 1),
    ]


def test_what_cannot_be_read_is_skipped_with_a_note(tmp_path: Path) -> None:
    """A broken image is left out, a missing caption is told, hidden folders are passed over."""
    picture(tmp_path / "good.png", "pink hair")
    picture(tmp_path / "bare.png")
    picture(tmp_path / ".ipynb_checkpoints" / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no image")

    scan = scan_captions(tmp_path)

    assert [one.path.name for one in scan.images] == ["bare.png", "good.png"]
    assert any("broken.png was skipped" in note for note in scan.notes)
    assert any("bare.png: it has no caption" in note for note in scan.notes)


def test_no_folder_and_no_image_are_told(tmp_path: Path) -> None:
    """A person learns which folder was looked into."""
    with pytest.raises(Fixable, match="There is no folder"):
        read_captions(tmp_path / "missing")
    with pytest.raises(Fixable, match="holds no image"):
        read_captions(tmp_path)


def test_a_derived_suite_speaks_the_captions_language() -> None:
    """Phrases, order and trigger are the captions'; every origin is there and true."""
    suite = derive_suite(CAPTIONS, recipe=Recipe())
    by_origin = {prompt.origin for prompt in suite.prompts}

    assert len(suite.prompts) == 12
    assert by_origin == {"seen", "recombined", "unseen"}
    for prompt in suite.prompts:
        parts = prompt.text.split(", ")
        assert parts[0] == prompt.trigger == "pixel art punk"
        assert parts[1].endswith("hair")
        assert parts[2].endswith("background")
        assert (prompt.text in CAPTIONS) == (prompt.origin == "seen")


def test_recombined_prompts_use_known_colors_and_unseen_ones_do_not() -> None:
    """Recombined means new together; unseen means a color no caption gives."""
    for prompt in derive_suite(CAPTIONS, recipe=Recipe()).prompts:
        hair = dict(prompt.expect.regions)["hair"]
        known = hair in HAIR and prompt.expect.background in GROUND
        assert known == (prompt.origin != "unseen")
        assert hair != prompt.expect.background


def test_tiers_hold_one_five_and_all_with_names_of_their_own() -> None:
    """A quick test is one prompt, a medium one five."""
    suite = derive_suite(CAPTIONS, recipe=Recipe(), count=15)

    assert [len(for_tier(suite, tier)) for tier in ("quick", "medium", "full")] == [1, 5, 15]
    assert len({prompt.name for prompt in suite.prompts}) == 15


def test_the_same_captions_give_the_same_suite() -> None:
    """Nothing depends on the clock or on order of hashing; another seed gives another suite."""
    first = derive_suite(CAPTIONS, recipe=Recipe())

    assert derive_suite(CAPTIONS, recipe=Recipe()) == first
    assert derive_suite(CAPTIONS, recipe=Recipe(), seed=1) != first


def test_hex_codes_are_carried_and_recolored() -> None:
    """A new color takes its hex code with it where captions have them."""
    captions = [caption.replace("pink hair", "pink hair #ff69b4") for caption in CAPTIONS]
    suite = derive_suite(captions, recipe=Recipe(), count=12)

    for prompt in suite.prompts:
        assert ("#ff69b4" in prompt.text) == ("pink hair" in prompt.text)


def test_captions_without_colors_are_repeated_and_shuffled() -> None:
    """Tags of other captions stand in; nothing is called unseen."""
    captions = [
        "a cat, sitting, window, morning",
        "a cat, running, garden, noon",
        "a cat, asleep, sofa, night",
    ]
    suite = derive_suite(captions, recipe=Recipe(), count=8)

    assert {prompt.origin for prompt in suite.prompts} == {"seen", "recombined"}
    assert {prompt.text for prompt in suite.prompts if prompt.origin == "seen"} <= set(captions)
    assert len({prompt.text for prompt in suite.prompts}) == 8


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12, 30])
def test_a_single_caption_is_enough(count: int) -> None:
    """With one caption and no way to recombine it, it is tested as it is."""
    suite = derive_suite(["a cat on a mat"], recipe=Recipe(), count=count)

    assert [prompt.text for prompt in suite.prompts] == ["a cat on a mat"]


@pytest.mark.parametrize("count", range(1, 20))
def test_as_many_prompts_are_made_as_were_asked_for(count: int) -> None:
    """Every count is met while the captions allow it."""
    assert len(derive_suite(CAPTIONS, recipe=Recipe(), count=count).prompts) == count


@pytest.mark.parametrize("captions", [[], ["", "  "]])
def test_without_captions_a_person_is_told_what_to_do(captions: list[str]) -> None:
    """No captions, no suite."""
    with pytest.raises(Fixable, match="write a suite"):
        derive_suite(captions, recipe=Recipe())


def test_a_known_trigger_makes_one_prompt_without_it_that_no_score_counts() -> None:
    """The first prompt that says the word, with the same seed; all others stay as they were."""
    captions = [
        "Punk Knight, pink hair, green background",
        "punk_knight, blue hair, red background",
    ]
    plain = derive_suite(captions, recipe=Recipe(), count=3)
    suite = derive_suite(captions, recipe=Recipe(), count=3, trigger="punk knight")
    assert suite.prompts[:-1] == plain.prompts
    first, last = suite.prompts[0], suite.prompts[-1]
    assert (last.name, last.seeds) == (f"{first.name}, without trigger", first.seeds)
    assert (last.category, last.tier) == (BLEEDING, "medium")
    assert "punk" not in last.text.lower()
    assert last.text == first.text.partition(", ")[2]
    assert last.expect == Expectation()


def test_no_prompt_is_made_where_nothing_would_be_left_or_nothing_says_the_trigger() -> None:
    """An empty prompt shows nothing of the kind, and neither does one that is there already."""
    for captions, trigger in (
        (["punk"], "punk"),
        (["punks, a hat"], "punk"),
        (["punk, a hat", "a hat"], "punk"),
    ):
        names = [
            p.category for p in derive_suite(captions, recipe=Recipe(), trigger=trigger).prompts
        ]
        assert BLEEDING not in names
