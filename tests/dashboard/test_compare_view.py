"""The compare page: what is there, what is missing, and a new comparison asked for by a person."""

from __future__ import annotations

from dataclasses import replace

import pytest
from house import House
from opened_pages import opened, words_of

from core.formats.prompt_suite import read_suite_text
from core.formats.prompt_weights import spoken
from core.nouns import Prompt, Recipe, Suite
from core.store import voting
from core.store.comparisons import comparison, comparisons
from core.wishes import ask_comparison
from daemon.planner import plan
from dashboard.parts import curtain, prompt_choice

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0}


def test_a_person_compares_the_pick_with_the_base(house: House) -> None:
    """Two clicks make a comparison of what is drawn already."""
    page = opened("compare")
    assert "Nothing is compared yet" in words_of(page)
    assert "Vote on it" not in words_of(page)
    page.text_input(key="judge-compare").set_value("ann")
    page.button(key="compare-go").click().run()
    assert not page.exception
    with house.database.transaction() as connection:
        (made,) = comparisons(connection)
    assert (made.title, made.by_whom) == ("base / epoch 3", "ann")


def test_the_other_lora_may_be_called_anything(house: House) -> None:
    """Signs that mean something in a slot are quoted by the page, which knows them for a name."""
    name = """v2+a@0.5: "don't" \\u{a}"""
    other = house.arrive(4, name="palette")
    house.draw({**QUALITY, 4: 0.9})
    house.judge.judge()
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE public.training_runs SET run_name = %s WHERE id = %s", (name, other)
        )
        (run,) = connection.execute(
            b"SELECT id FROM public.training_runs WHERE id <> %s", (other,)
        ).fetchall()
    page = opened("compare")
    page.selectbox(key="compare-run").set_value(run["id"]).run()
    page.radio(key="compare-kind").set_value("Pick with another LoRA").run()
    page.button(key="compare-go").click().run()
    assert not page.exception
    assert not page.error
    with house.database.transaction() as connection:
        (made,) = comparisons(connection)
    merged = [f"epoch 3 + {name} epoch 4 at {at}" for at in ("0.30", "0.50", "0.80")]
    assert made.title == " / ".join(["epoch 3", *merged])


def test_what_is_missing_stands_in_its_place(house: House) -> None:
    """A strength that was never drawn is to be drawn; the rest is shown with scores."""
    with house.database.transaction() as connection:
        run_id = connection.execute(b"SELECT id FROM public.training_runs").fetchall()[0]["id"]
        ask_comparison(connection, run_id=run_id, slots=["base", "3", "3@0.7"], by_whom="ann")
    plan(house.database)
    page = opened("compare")
    assert not page.exception
    words = words_of(page)
    assert "8 of 12 images drawn" in words
    assert words.count(">to be drawn<") == 4
    assert "Best of two by score: strength 1.0, +4.3 over base" in words
    assert "on 4 prompts so far, with 4 to come" in words
    assert words.count("over 4<") == 2
    assert "epoch 3 at 0.70" in words
    assert "No machine that draws is at work." in words


def test_slots_that_are_not_there_are_an_answer_not_a_crash(house: House) -> None:
    """What a person types by hand is checked, and the page says what there is."""
    page = opened("compare")
    page.radio(key="compare-kind").set_value("My own choice").run()
    page.text_area(key="compare-own").set_value("base\n9").run()
    page.button(key="compare-go").click().run()
    assert not page.exception
    assert "no checkpoint 9" in page.error[0].value
    with house.database.transaction() as connection:
        assert comparisons(connection) == ()


def test_a_judge_who_votes_blind_is_shown_no_names(house: House, sitting: voting.Session) -> None:
    """No picture and no number beside a name; ending the sitting shows them."""
    page = opened("compare", "Ann")
    words = words_of(page)
    assert f"You are voting blind on comparison {sitting.comparison}." in words
    assert "No votes are given by Ann" in words
    assert "/thumb/" not in words
    assert "/thumb/" in words_of(opened("compare", "Bo"))
    page.button(key=f"end-{sitting.id}").click().run()
    page.run()
    assert not page.exception
    assert "/thumb/" in words_of(page)
    with house.database.transaction() as connection:
        assert voting.blind_sittings(connection) == ()
        assert voting.open_session(connection, sitting.comparison, "Ann") is None


def test_to_look_all_the_same_makes_later_votes_not_blind(
    house: House, sitting: voting.Session
) -> None:
    """One deliberate click, and the sitting goes on with the names shown."""
    page = opened("compare", "Ann")
    page.button(key=f"show-names-{sitting.id}").click().run()
    page.run()
    assert not page.exception
    assert "/thumb/" in words_of(page)
    with house.database.transaction() as connection:
        seen = voting.open_session(connection, sitting.comparison, "Ann")
    assert seen is not None
    assert (seen.id > sitting.id, seen.blind, seen.budget) == (True, False, 20)


@pytest.mark.usefixtures("house")
def test_a_browser_that_has_not_said_whose_it_is_is_asked(sitting: voting.Session) -> None:
    """Somebody else sees the pictures; Ann is told that she is voting."""
    page = opened("compare")
    assert f"Ann is voting blind on comparison {sitting.comparison}." in words_of(page)
    assert "/thumb/" not in words_of(page)
    key = f"who-{sitting.comparison}"
    page.selectbox(key=key).set_value("Ann").run()
    page.run()
    assert f"You are voting blind on comparison {sitting.comparison}." in words_of(page)
    other = opened("compare")
    other.selectbox(key=key).set_value("somebody else").run()
    other.run()
    assert "/thumb/" in words_of(other)


def test_with_accounts_only_ones_own_sitting_hides() -> None:
    """A name that somebody typed elsewhere is nobody's account."""
    mine = voting.BlindSitting(
        id=1, comparison=1, judge="a@b.c", via="account", runs=(), slots=(), given=0
    )
    other = replace(mine, id=2, via="local")
    assert curtain.may_be_mine([mine, other], account="a@b.c", said="x") == (mine,)
    assert curtain.may_be_mine([mine, other], account="d@e.f", said="a@b.c") == ()
    assert curtain.may_be_mine([mine, other], account=None, said="") == (other,)
    assert curtain.may_be_mine([mine, other], account=None, said="Bo") == ()


@pytest.mark.usefixtures("sitting")
@pytest.mark.parametrize("view", ["run", "live"])
def test_a_page_says_that_its_pictures_are_voted_on(view: str) -> None:
    """A line above the pictures for the judge, and none for anybody else."""
    said = "voting blind on pictures of this run."
    assert f"You are {said}" in words_of(opened(view, "Ann"))
    assert f"Ann is {said}" in words_of(opened(view))
    assert said not in words_of(opened(view, "Bo"))


def test_prompts_and_seeds_are_chosen_and_what_they_cost_is_said_first(house: House) -> None:
    """Nothing named is the whole suite; two prompts with a new seed are four images to draw."""
    page = opened("compare")
    assert "All 8 images are there already" in page.caption[0].value
    (prompts,) = page.multiselect
    prompts.set_value(["portrait_2", "portrait_0"])
    page.text_input(key="compare-seeds").set_value("7, 42").run()
    assert "4 of 8 images have to be drawn; 4 are there already." in page.caption[0].value
    page.button(key="compare-go").click().run()
    assert not page.exception
    (made,) = house.select("SELECT body FROM epochwatch.grids WHERE purpose = 'compare'")
    assert made["body"]["prompts"] == ["portrait_0", "portrait_2"]
    assert made["body"]["seeds"] == [7, 42]


def test_a_seed_that_is_none_is_answered_and_nothing_is_asked_for(house: House) -> None:
    """The page says what to write, before and after the click."""
    page = opened("compare")
    page.text_input(key="compare-seeds").set_value("1, two").run()
    assert "'two' is no seed" in page.error[0].value
    page.button(key="compare-go").click().run()
    assert not page.exception
    assert house.select("SELECT 1 FROM epochwatch.grids WHERE purpose = 'compare'") == []


@pytest.mark.usefixtures("sitting")
def test_the_best_slot_is_named_but_not_behind_the_curtain() -> None:
    """One sentence with its interval above the pictures, and means with what they are over."""
    words = words_of(opened("compare", "Bo"))
    assert "Vote on it" in words
    assert "Best of two by score: epoch 3, +" in words
    assert "), on 4 prompts." in words
    assert words.count(" over 4</span>") == 2
    behind = words_of(opened("compare", "Ann"))
    assert "by score" not in behind
    assert " over 4</span>" not in behind


def test_a_comparison_by_category_is_made_on_the_page(house: House) -> None:
    """The template is there to be changed; what cannot be read is told with its line."""
    page = opened("compare")
    page.radio(key="compare-over").set_value("Categories").run()
    assert "96 of 96 images have to be drawn." in page.caption[1].value
    (text,) = (each for each in page.text_area if each.key.startswith("compare-kinds-"))
    assert 'category = "weapons"' in text.value
    text.set_value('[[prompt]]\nname = "a"\ntext = "a __beast__"\n').run()
    assert "line 3" in page.error[0].value.replace("\\", "")
    page.button(key="compare-go").click().run()
    assert house.select("SELECT 1 FROM epochwatch.grids WHERE purpose = 'compare'") == []
    kinds = (
        '[[prompt]]\nname = "hero"\ncategory = "characters"\ntext = "a portrait, number 1"\n'
        '[[prompt]]\nname = "wall"\ncategory = "tiles"\ntext = "a wall tile, number 2"\n'
    )
    (text,) = (each for each in page.text_area if each.key.startswith("compare-kinds-"))
    text.set_value(kinds).run()
    page.button(key="compare-go").click().run()
    assert not page.exception
    house.draw(QUALITY)
    with house.database.transaction() as connection:
        (line,) = comparisons(connection)
        made = comparison(connection, line.id)
    assert made is not None
    assert (made.title, made.drawn) == ("base / epoch 3 on categories", 4)
    assert [unit.category for unit in made.units] == ["characters", "tiles"]


@pytest.mark.parametrize("trigger", ['sks "x"', "miku (vocaloid)", "smile :)", "\N{ROSE} __x__"])
def test_the_template_begins_with_the_runs_trigger_word(trigger: str) -> None:
    """Whatever signs it has, which are no weights; without one the template is as it is shipped."""
    own = Suite(name="own", recipe=Recipe(), prompts=(Prompt(name="a", text="a", trigger=trigger),))
    read = read_suite_text(prompt_choice._template(own), "categories").suite
    assert len(read.prompts) == 12
    assert all(spoken(each.text).startswith(f"{trigger}, ") for each in read.prompts)
    plain = Suite(name="own", recipe=Recipe(), prompts=())
    assert 'prefix = "pixel art"' in prompt_choice._template(plain)
