"""The vote page: the result for everybody but a judge who still votes blind."""

from __future__ import annotations

import pytest
from house import House
from opened_pages import opened, words_of

from core.store import comparisons, guest_links, voting
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
    """The checklist and the version that the votes are about wait for the end, and nothing else."""
    page = opened("production", "Ann")
    left_out = f"Left out: punk, while you vote blind on comparison {voted.comparison}."
    assert f"You are voting blind on comparison {voted.comparison}." in words_of(page)
    assert "win rate" not in words_of(page)
    assert left_out in words_of(page)
    assert "win rate" in words_of(opened("production", "Bo"))
    assert "Left out" not in words_of(opened("production", "Bo"))
    page.selectbox(key=f"candidate-at-{_run(house)}").set_value(2).run()
    assert "win rate" in words_of(page)  # nobody votes on epoch 2
    assert left_out in words_of(page)
    other = opened("production")
    other.selectbox(key=f"candidate-at-{_run(house)}").set_value(2).run()
    assert "Left out: punk, while Ann votes blind" in words_of(other)
    other.selectbox(key=f"who-{voted.comparison}").set_value("somebody else").run()
    assert "Left out" not in words_of(other)
    with house.database.transaction() as connection:
        voting.end(connection, voted.id)
    page.selectbox(key=f"candidate-at-{_run(house)}").set_value(3).run()
    assert "100.0 % of 3 comparisons won" in words_of(page)
    assert "Left out" not in words_of(page)


def _run(house: House) -> int:
    (found,) = house.select("SELECT id FROM public.training_runs")
    return int(found["id"])


def test_an_open_sitting_that_was_begun_otherwise_is_told_of(
    house: House, sitting: voting.Session
) -> None:
    """What is asked for now is not dropped in silence: the judge goes on, or begins anew."""
    page = opened("vote", id=sitting.comparison)
    page.text_input(key=f"judge-{sitting.comparison}").set_value("Ann")
    page.number_input(key=f"budget-{sitting.comparison}").set_value(40)
    page.button[0].click().run()
    assert "You have an open sitting here: blind, 20 votes." in words_of(page)
    page.button(key=f"anew-{sitting.id}").click().run()
    with house.database.transaction() as connection:
        found = voting.open_session(connection, sitting.comparison, "Ann")
        before = voting.session(connection, sitting.id)
    assert found is not None
    assert (found.id > sitting.id, found.blind, found.budget) == (True, True, 40)
    assert before is not None
    assert before.ended_at is not None
    assert "".join(page.query_params["sitting"]).startswith(f"{found.id}-")


def test_a_guest_link_is_made_shown_once_and_closed(house: House, sitting: voting.Session) -> None:
    """The page holds its address after the click and never again; closed it opens nothing."""
    page = opened("vote", "Mara", id=sitting.comparison)
    page.text_input(key=f"guest-name-{sitting.comparison}").set_value("Nadia [x](y)")
    next(each for each in page.button if each.label == "Make a link").click().run()
    assert not page.exception
    token = page.code[0].value.rpartition("/guest/")[2]
    with house.database.transaction() as connection:
        link = guest_links.guest(connection, token)
    assert link is not None
    assert (link.judge, link.comparison, link.created_by) == (
        "Nadia [x](y)",
        sitting.comparison,
        "Mara",
    )
    page.run()
    assert not page.code
    assert token not in words_of(page)
    page.button(key=f"close-{link.token_sha256[:16]}").click().run()
    with house.database.transaction() as connection:
        assert guest_links.guest(connection, token) is None
    assert not any(each.label == "Close this link" for each in page.button)
