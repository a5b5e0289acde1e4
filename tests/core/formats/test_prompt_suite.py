"""Suites in all their written forms."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Fixable
from core.formats.prompt_suite import (
    LoadedSuite,
    for_tier,
    read_suite,
    read_suite_text,
    suite_from_json,
    suite_to_json,
    write_suite_toml,
)
from core.formats.prompt_weights import escape, spoken
from core.nouns import Expectation, Prompt, Recipe, Suite

TOML = """
name = "punks"

[recipe]
steps = 20
guidance = 7
sampler = "euler"
grid = 24
strength = 0.8

[[prompt]]
name = "pink on green"
text = "pink hair, green background, crown"
category = "color"
tier = "quick"
seeds = [42, 43]
trigger = "punk"

[[prompt]]
name = "told"
text = "someone"
tier = "medium"
expect = { background = "#50BE50", regions = { hair = "hot pink" }, accessories = ["crown"] }

[[prompt]]
name = "last"
text = "blue hair"
"""


def loaded(tmp_path: Path, name: str, text: str) -> LoadedSuite:
    """Write a suite and read it."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_suite(tmp_path / name)


def complaint(tmp_path: Path, name: str, text: str) -> str:
    """Return what a person is told about a broken suite."""
    with pytest.raises(Fixable) as told:
        loaded(tmp_path, name, text)
    return str(told.value)


def test_a_toml_suite_is_read_with_recipe_strength_and_expectations(tmp_path: Path) -> None:
    """What is written is what comes out; what is not expected is read from the text."""
    found = loaded(tmp_path, "a.toml", TOML)

    assert found.strength == 0.8
    assert found.suite.recipe == Recipe(steps=20, guidance="7.00", sampler="euler")
    first, told, last = found.suite.prompts
    assert first.seeds == (42, 43)
    assert first.expect.background == "green"
    assert first.expect.accessories == ("crown",)
    assert told.expect == Expectation(
        background="#50be50", regions=(("hair", "hot pink"),), accessories=("crown",)
    )
    assert (last.tier, last.seeds, last.trigger) == ("full", (42,), "")


def test_another_renderer_may_have_other_samplers(tmp_path: Path) -> None:
    """What our own cannot draw is refused where our own draws."""
    text = '[recipe]\nrenderer = "command"\nsampler = "restart"\n[[prompt]]\ntext = "x"'

    assert loaded(tmp_path, "a.toml", text).suite.recipe.sampler == "restart"


def test_tiers_hold_the_smaller_ones(tmp_path: Path) -> None:
    """Quick within medium within full."""
    suite = loaded(tmp_path, "a.toml", TOML).suite

    assert [prompt.name for prompt in for_tier(suite, "quick")] == ["pink on green"]
    assert [prompt.name for prompt in for_tier(suite, "medium")] == ["pink on green", "told"]
    assert for_tier(suite, "full") == suite.prompts


def test_a_suite_survives_toml_and_json(tmp_path: Path) -> None:
    """Written and stored forms give back the same suite."""
    found = loaded(tmp_path, "a.toml", TOML)

    assert loaded(tmp_path, "b.toml", write_suite_toml(found.suite, found.strength)) == found
    assert suite_from_json(suite_to_json(found.suite)) == found.suite


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """One reading of the message is enough to mend the file."""
    told = complaint(
        tmp_path,
        "a.toml",
        'nme = "x"\n[recipe]\nstps = 2\nguidance = "hot"\n[[prompt]]\nname = "a"\ntext = " "\n'
        'teir = "quick"\n[[prompt]]\nname = "b"\ntext = "b"\nseeds = [-1]\n'
        'expect = { background = "#50be5", regions = { hair = "foo" } }\n',
    )

    for line, thing in [
        (1, "nme"), (3, "stps"), (4, "guidance"), (7, "text"), (8, "teir"), (12, "seeds"),
        (13, "#50be5"), (13, "foo"),
    ]:  # fmt: skip
        assert any(f"line {line}:" in part and thing in part for part in told.split("; ")), thing


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("name = ", "not valid TOML"),
        ('name = "empty"', "no prompt"),
        ('[[prompt]]\nname="a"\ntext="x"\n[[prompt]]\nname="a"\ntext="y"', "'a' is used 2 times"),
        ('[[prompt]]\ntext="x"\ntier="huge"', "huge"),
        ('[[prompt]]\ntext="x"\nseeds=[1, 1]', "twice"),
        ('[[prompt]]\ntext="x"\nexpect="green"', "expect must be a table"),
        ('[[prompt]]\ntext="x"\nexpect={hair="red"}', "unknown key 'hair'"),
        ('[recipe]\nstrength = 3\n[[prompt]]\ntext="x"', "strength"),
        ('[recipe]\nwidth = -5\n[[prompt]]\ntext="x"', "width"),
        ("prompt = 3", "[[prompt]]"),
        ('[prompt]\nsubset = ["x"]', "line 1: subsets are written as [[prompt.subset]]"),
        ('[recipe]\nwidth = 500\n[[prompt]]\ntext="x"', "line 2: width must be a multiple of 8"),
        ('[recipe]\nsampler = "warp"\n[[prompt]]\ntext="x"', "line 2: the sampler 'warp'"),
        ('[recipe]\nprecision = "int8"\n[[prompt]]\ntext="x"', "line 2: precision"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_name(
    tmp_path: Path, text: str, thing: str
) -> None:
    """Nothing is guessed and nothing is ignored."""
    assert thing in complaint(tmp_path, "a.toml", text)


def test_a_suite_without_pixel_grid_is_written_and_read_as_0(tmp_path: Path) -> None:
    """TOML has no null, so a grid of 0 says that the art has none."""
    suite = Suite(name="x", recipe=Recipe(grid=None), prompts=(Prompt(name="a", text="a cat"),))

    assert "grid = 0" in write_suite_toml(suite)
    assert loaded(tmp_path, "x.toml", write_suite_toml(suite)).suite == suite


def test_plain_lines_are_prompts(tmp_path: Path) -> None:
    """One prompt a line, comments and blank lines aside; the first alone is the quick test."""
    suite = loaded(tmp_path, "punks.txt", "pink hair\n\n# a note\nblue hair\n").suite

    assert suite.name == "punks"
    assert [prompt.text for prompt in suite.prompts] == ["pink hair", "blue hair"]
    assert [prompt.tier for prompt in suite.prompts] == ["quick", "medium"]


def test_sample_prompts_of_the_trainer_bring_recipe_and_seeds(tmp_path: Path) -> None:
    """Options set the one recipe; a repeated text brings another seed."""
    suite = loaded(
        tmp_path,
        "p.txt",
        "pink hair --n blurry, low --w 512 --h 768 --d 1 --s 28 --l 7.5\npink hair --d 2\n",
    ).suite

    assert suite.recipe == Recipe(
        negative="blurry, low", width=512, height=768, steps=28, guidance="7.50"
    )
    assert [(prompt.text, prompt.seeds) for prompt in suite.prompts] == [("pink hair", (1, 2))]


def test_options_are_read_as_the_trainer_reads_them(tmp_path: Path) -> None:
    """Letters in either case; sides are rounded down to 8, and never below 64; a thousand steps."""
    found = loaded(tmp_path, "p.txt", "a --N blurry --W 500 --h\t40 --S 5000 --l 1 --g 3.5\n")

    assert found.suite.recipe == Recipe(
        negative="blurry", width=496, height=64, steps=1000, guidance="1.00"
    )
    assert found.flux_guidance == "3.50"
    assert loaded(tmp_path, "p.txt", "a --g 3.5").suite.recipe == Recipe(guidance="3.50")


def test_a_null_in_json_is_a_value_that_is_not_written(tmp_path: Path) -> None:
    """Programs write it for what they do not set; the word None is drawn by nobody."""
    plain = loaded(tmp_path, "p.json", '[{"prompt": "a"}]')
    text = '[{"prompt": "a", "negative_prompt": null, "seed": null}]'

    assert loaded(tmp_path, "p.json", text) == plain


def test_sample_prompts_as_toml_and_json_are_read_too(tmp_path: Path) -> None:
    """The two structured forms of sd-scripts give the same suite."""
    toml = loaded(
        tmp_path, "p.toml", '[prompt]\nsample_steps = 20\n[[prompt.subset]]\nprompt = "a"\nseed = 3'
    )
    json = loaded(tmp_path, "p.json", '[{"prompt": "a", "seed": 3, "sample_steps": 20}]')

    assert toml == json
    assert toml.suite.recipe.steps == 20
    assert toml.suite.prompts[0].seeds == (3,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a --q 3", "line 1: unknown option '--q'"),
        ("a\nb --s many", "line 2: steps 'many'"),
        ("a --s 20\nb --s 30", "line 2: steps is 30 here but 20 on line 1"),
        ("--d 4", "line 1: the prompt is empty"),
        ("a --d -4", "line 1: seed '-4'"),
        ("a --w=512", "line 1: unknown option '--w=512'"),
        ("a\nb --ss warp 9", "line 2: the sampler 'warp 9' is not known"),
    ],
)
def test_options_that_cannot_be_kept_are_told_with_their_line(
    tmp_path: Path, text: str, told: str
) -> None:
    """Unknown options are no literal text, and two recipes are no suite."""
    assert told in complaint(tmp_path, "p.txt", text)


@pytest.mark.parametrize(
    "body", ["{", "3", '[{"prompt": "a", "colour": 1}]', "[]", '[{"prompt": ["a"]}]']
)
def test_broken_json_is_refused(tmp_path: Path, body: str) -> None:
    """Bad syntax, the wrong shape, unknown keys and nothing at all."""
    assert "was not loaded" in complaint(tmp_path, "p.json", body)


def test_a_missing_or_binary_file_is_told(tmp_path: Path) -> None:
    """The path stands in the message."""
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")

    for name in ("missing.toml", "b.toml"):
        with pytest.raises(Fixable, match=name):
            read_suite(tmp_path / name)


def test_a_foreign_stored_suite_is_refused() -> None:
    """A body that is no suite says to load the file again."""
    with pytest.raises(Fixable, match="load the suite's file again"):
        suite_from_json({"name": "x"})


TEXTS = st.text(min_size=1, max_size=30).map(lambda text: escape(text.strip())).filter(bool)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4, unique=True))
def test_any_text_survives_being_written(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Quotes, backslashes and control characters are escaped."""
    prompts = tuple(Prompt(name=f"p{at}", text=text) for at, text in enumerate(texts))
    path = tmp_path_factory.mktemp("suites") / "s.toml"
    path.write_text(
        write_suite_toml(Suite(name="s", recipe=Recipe(), prompts=prompts)), encoding="utf-8"
    )

    assert [prompt.text for prompt in read_suite(path).suite.prompts] == texts


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("p.txt", "a cat\n\n{}\n", 3),
        ("p.txt", "a cat --d 1\n{} --d 2 --w 512\n", 2),
        ("p.txt", "a cat\na dog --n {}\n", 2),
        ("s.toml", '[[prompt]]\nname = "a"\ntext = "a"\n[[prompt]]\nname = "b"\ntext = "{}"', 6),
        ("s.toml", '[recipe]\nsteps = 9\nnegative = "{}"\n[[prompt]]\ntext = "a"', 3),
        ("k.toml", '[prompt]\n[[prompt.subset]]\nprompt="a"\n[[prompt.subset]]\nprompt="{}"', 5),
        ("k.toml", '[prompt]\nseed = 1\nprompt = "{}"', 3),
        ("p.json", '[\n{{"prompt": "a \\"prompt\\": b"}},\n{{"seed": 3,\n"prompt": "{}"}}]', 4),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a (cat", "'(' at character 3 is never closed"),
        ("a cat, <lora:punk:0.8>", "<lora:punk:0.8>' names a network"),
        ("a __thing__", "'__thing__' cannot be read"),
    ],
)
def test_a_prompt_that_cannot_be_drawn_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, line: int, prompt: str, told: str
) -> None:
    """In every dialect, wherever the text stands."""
    found = complaint(tmp_path, name, text.format(prompt))

    assert f"line {line}: " in found
    assert told in found


def test_wildcards_beside_the_suite_are_expanded_and_stored(tmp_path: Path) -> None:
    """The expanded text is the prompt, the same each time, and what is promised is read from it."""
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "color.txt").write_text("pink\ngreen\n", encoding="utf-8")
    text = "".join(
        f'[[prompt]]\nname = "{name}"\ntext = "__color__ hair, {{crown|crown}}"\n' for name in "ab"
    )
    found = loaded(tmp_path, "a.toml", text)

    assert {prompt.text for prompt in found.suite.prompts} == {
        "pink hair, crown", "green hair, crown",
    }  # fmt: skip
    assert all(prompt.expect.regions for prompt in found.suite.prompts)
    assert loaded(tmp_path, "b.toml", text).suite.prompts == found.suite.prompts
    assert loaded(tmp_path, "c.toml", write_suite_toml(found.suite)).suite == found.suite


def test_a_text_that_comes_again_in_lines_is_one_prompt_with_two_seeds(tmp_path: Path) -> None:
    """Its wildcards and choices are the same for all its seeds."""
    (prompt,) = loaded(tmp_path, "p.txt", "{a|b|c} cat --d 1\n{a|b|c} cat --d 2").suite.prompts

    assert prompt.seeds == (1, 2)


@pytest.mark.parametrize(
    "head",
    [
        'prefix = "pixel art,"\nsuffix = "{crown|crown}"\ntrigger = "punk"\n',
        'trigger = "punk"\n[recipe]\nprefix = "pixel art"\nsuffix = ", crown"\n',
    ],
)
def test_prefix_suffix_and_trigger_hold_for_every_prompt(tmp_path: Path, head: str) -> None:
    """They are part of the text that is drawn and judged; a prompt may have no trigger."""
    first, second = loaded(
        tmp_path,
        "a.toml",
        head + '[[prompt]]\ntext = "pink hair"\n[[prompt]]\ntext = "x"\ntrigger = ""',
    ).suite.prompts

    assert first.text == "pixel art, pink hair, crown"
    assert first.expect.accessories == ("crown",)
    assert (first.trigger, second.trigger) == ("punk", "")


def test_break_makes_room_unless_a_length_is_written(tmp_path: Path) -> None:
    """No chunk is cut off in silence: the recipe grows, or a length that is too short is told."""
    prompt = '[[prompt]]\nname = "a"\ntext = "a BREAK b BREAK c"\n'

    assert loaded(tmp_path, "a.toml", prompt).suite.recipe.token_length == 225
    assert loaded(tmp_path, "a.txt", "a\nb BREAK c").suite.recipe.token_length == 150
    assert loaded(tmp_path, "b.txt", "a\nb").suite.recipe.token_length == 75
    told = complaint(tmp_path, "b.toml", f"[recipe]\ntoken_length = 150\n{prompt}")
    assert "line 2: token_length is 150, but the BREAKs of 'a' need 225" in told
    told = complaint(tmp_path, "c.toml", f"[recipe]\ntoken_length = 100\n{prompt}")
    assert "line 2: token_length must be 75, 150 or 225" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('prefix = 3\n[[prompt]]\ntext = "a"', "line 1: prefix must be text"),
        ('prefix = "a"\n[recipe]\nprefix = "b"\n[[prompt]]\ntext = "a"', "keep one"),
        ('[[prompt]]\nname = "a"\ntext = "x"\n[[prompt]]\nname = "b"\ntext = "x"',
         "'a' and 'b' draw the same image"),
    ],
)  # fmt: skip
def test_what_would_be_ambiguous_is_told(tmp_path: Path, text: str, told: str) -> None:
    """Two prefixes, and two prompts for one image."""
    assert told in complaint(tmp_path, "a.toml", text)


def test_a_typed_suite_has_no_wildcards_whatever_way_they_are_written() -> None:
    """No folder lies beside it. What only looks like one, in a comment or escaped, is no wildcard."""
    text = '# of __mine__\n[[prompt]] # and __yours__\ntext = "a \\\\_\\\\_hat\\\\_\\\\_"\n'
    (prompt,) = read_suite_text(text, "categories").suite.prompts
    assert spoken(prompt.text) == "a __hat__"
    for hidden in ("__hat__", r"\u005f\u005fhat\u005f\u005f"):
        with pytest.raises(Fixable, match="line 2: prompt 1: it names a wildcard"):
            read_suite_text(f'[[prompt]]\ntext = "{hidden}"\n', "categories")


@pytest.mark.parametrize("number", ["9" * 5000, "[" * 5000])
def test_what_is_beyond_what_python_reads_is_told(number: str, tmp_path: Path) -> None:
    """Thousands of digits or of brackets break no page, and no command."""
    with pytest.raises(Fixable, match="not a suite that a person would write"):
        read_suite_text(f"seeds = {number}", "categories")
    with pytest.raises(Fixable, match="not a suite that a person would write"):
        loaded(tmp_path, "p.json", f'[{{"prompt": "a", "seed": {number}')
