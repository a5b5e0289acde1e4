"""The vote page: the result for everybody but a judge who still votes blind."""

from __future__ import annotations

import pytest
from house import House
from opened_pages import opened, words_of

from core.store import comparisons, voting
from dashboard import ballots


@pytest.fixture
def voted(house: House, sitting: voting.Session) -> voting.Session:
    """Give Ann's sitting with three votes for epoch 3; it goes on."""
    with house.database.transaction() as connection:
        made = comparisons.comparison(connection, sitting.comparison)
        assert made is not None
        for unit in made.units[:3]:
            slots = [slot.key for slot in made.slots]
            name = voting.serve(
                connection, sitting, unit=unit.key, category="", slots=slots,
                samples=[unit.pictures[slot].sample_id for slot in slots],
            )  # fmt: skip
            assert name is not None
            voting.answer(connection, sitting, name, 0, "right", note="sharper")
    return sitting


def test_the_result_waits_for_the_end_of_ones_own_blind_sitting(voted: voting.Session) -> None:
    """No button for it and no figure, even where it was asked for; after the end it follows."""
    page = opened("vote", "Ann", id=voted.comparison)
    assert f"You are voting blind on comparison {voted.comparison}." in words_of(page)
    assert not any(each.key == f"show-{voted.comparison}" for each in page.button)
    page.session_state[f"reveal-{voted.comparison}"] = True
    page.run()
    for told in ('data-part=\\"poll\\"', "by score", "sharper", "/thumb/"):
        assert told not in words_of(page)
    page.button(key=f"end-{voted.id}").click().run()
    page.run()
    assert not page.exception
    for told in ('data-part=\\"poll\\"', "by score", "sharper", "/thumb/"):
        assert told in words_of(page)


def test_the_result_is_there_for_whoever_does_not_vote_blind(voted: voting.Session) -> None:
    """On request, with a word on what it does; it names the slot that scores best."""
    page = opened("vote", "Bo", id=voted.comparison)
    assert "There are 3 votes. To see what they say before you vote" in words_of(page)
    assert "by score" not in words_of(page)
    page.button(key=f"show-{voted.comparison}").click().run()
    assert not page.exception
    assert "Best of two by score: epoch 3, +" in words_of(page)
    assert "), on 4 prompts." in words_of(page)


def test_a_sitting_that_ended_without_a_vote_says_so(sitting: voting.Session) -> None:
    """Nothing at all would look as if the answers were lost."""
    page = opened("vote", "Ann", id=sitting.comparison)
    assert "No vote is given yet" not in words_of(page)
    page.button(key=f"end-{sitting.id}").click().run()
    page.run()
    assert "No vote is given yet; checks and skips count for no slot." in words_of(page)


def test_a_browser_that_has_not_said_who_it_is_is_asked_before_the_result(
    voted: voting.Session,
) -> None:
    """The ticket of a sitting says it too: after the end nobody is asked."""
    page = opened("vote", id=voted.comparison)
    assert f"Ann is voting blind on comparison {voted.comparison}." in words_of(page)
    assert "Show the result" not in words_of(page)
    page = opened("vote", id=voted.comparison, sitting=f"{voted.id}-{ballots.ticket(voted.id)}")
    assert page.session_state["judge"] == "Ann"


def test_what_moves_with_each_vote_is_hidden_on_the_page_production(
    house: House, voted: voting.Session
) -> None:
    """The checklist and the versions say how often a slot has won, so that they wait for the end."""
    page = opened("production", "Ann")
    assert f"You are voting blind on comparison {voted.comparison}." in words_of(page)
    for told in ("win rate", "Versions over time"):
        assert told not in words_of(page)
        assert told in words_of(opened("production", "Bo"))
    with house.database.transaction() as connection:
        voting.end(connection, voted.id)
    page.run()
    assert "100.0 % of 3 comparisons won" in words_of(page)
