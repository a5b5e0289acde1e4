"""Votes are kept once, whatever a browser does, and nothing that was ever said is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from core.errors import Fixable
from core.store import comparisons, guest_links, voting
from core.store.database import Database
from seeded_comparison import Made, compared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Connection


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[tuple[Database, Made]]:
    """A database with one comparison."""
    with compared(server_dsn, ("base", "epoch 7", "epoch 9")) as both:
        yield both


@pytest.fixture
def connection(seeded: tuple[Database, Made]) -> Iterator[Connection]:
    """A connection inside a transaction that is undone."""
    with seeded[0].transaction() as open_connection:
        yield open_connection
        raise psycopg.Rollback


@pytest.fixture
def made(seeded: tuple[Database, Made]) -> Made:
    """The comparison."""
    return seeded[1]


def show(
    connection: Connection, made: Made, session: voting.Session, unit: int = 0, ways: int = 2
) -> str | None:
    """Serve the first slots of a unit."""
    slots = [slot.key for slot in made.slots[:ways]]
    return voting.serve(
        connection,
        session,
        unit=f"u{unit}",
        category="portrait",
        slots=slots,
        samples=[made.samples[slot, unit] for slot in slots],
        asks=f"vote/u{unit}/{'/'.join(sorted(slots))}",
    )


def test_a_sitting_begun_twice_is_one_and_goes_on_until_it_is_ended(
    connection: Connection, made: Made
) -> None:
    """Then a new one begins."""
    first = voting.begin(connection, made.id, " Mara ", "local", budget=60)
    again = voting.begin(connection, made.id, "Mara", "local")
    assert first == again
    assert (first.judge, first.blind, first.budget) == ("Mara", True, 60)
    voting.end(connection, first.id)
    assert voting.open_session(connection, made.id, "Mara") is None
    assert voting.begin(connection, made.id, "Mara", "local").id > first.id


def test_a_judge_without_a_name_and_a_budget_of_nothing_are_refused(
    connection: Connection, made: Made
) -> None:
    """In words a person understands."""
    with pytest.raises(Fixable, match="who you are"):
        voting.begin(connection, made.id, "  ", "local")
    with pytest.raises(Fixable, match="at least 1"):
        voting.begin(connection, made.id, "Mara", "local", budget=0)


def test_the_same_pair_is_asked_of_a_judge_once(connection: Connection, made: Made) -> None:
    """Another judge may be asked it too."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    assert show(connection, made, mara) is not None
    assert show(connection, made, mara) is None
    assert show(connection, made, voting.begin(connection, made.id, "Ivo", "local")) is not None


def test_a_double_click_is_stored_once_and_a_second_opinion_is_told(
    connection: Connection, made: Made
) -> None:
    """What stands is told to whoever asks again."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    name = show(connection, made, mara) or ""
    first = voting.answer(connection, mara, name, 0, "left", note="crisp", milliseconds=900)
    again = voting.answer(connection, mara, name, 0, "left", note="crisp", milliseconds=900)
    other = voting.answer(connection, mara, name, 0, "right")
    assert first == again == voting.Standing(revision=0, choice="left", accepted=True)
    assert other == voting.Standing(revision=0, choice="left", accepted=False)
    assert len(voting.revisions(connection, made.id)) == 1
    stands = voting.served(connection, made.id)[0]
    assert (stands.choice, stands.note, stands.milliseconds) == ("left", "crisp", 900)


def test_an_undo_is_a_revision_and_so_is_a_change_of_mind(
    connection: Connection, made: Made
) -> None:
    """The history stays."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    name = show(connection, made, mara) or ""
    voting.answer(connection, mara, name, 0, "left")
    voting.answer(connection, mara, name, 1, "undone")
    assert voting.served(connection, made.id)[0].choice == "undone"
    voting.answer(connection, mara, name, 2, "tie")
    assert voting.served(connection, made.id)[0].choice == "tie"
    assert not voting.answer(connection, mara, name, 4, "left").accepted
    assert [each["choice"] for each in voting.revisions(connection, made.id)] == [
        "left",
        "undone",
        "tie",
    ]


@pytest.mark.parametrize(
    ("choice", "ranking", "ways"),
    [("best", None, 2), ("ranking", None, 3), ("ranking", [0, 0, 1], 3), ("left", None, 3)],
)
def test_an_answer_that_means_nothing_is_refused(
    connection: Connection, made: Made, choice: str, ranking: list[int] | None, ways: int
) -> None:
    """Nothing is stored of it."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    name = show(connection, made, mara, ways=ways) or ""
    with pytest.raises(Fixable):
        voting.answer(connection, mara, name, 0, choice, ranking=ranking)
    assert voting.revisions(connection, made.id) == []


def test_nobody_answers_for_somebody_else_or_after_the_end(
    connection: Connection, made: Made
) -> None:
    """But an answer that was stored is confirmed also after the end."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    ivo = voting.begin(connection, made.id, "Ivo", "local")
    name, late = show(connection, made, mara) or "", show(connection, made, mara, 1) or ""
    with pytest.raises(Fixable, match="no sitting of yours"):
        voting.answer(connection, ivo, name, 0, "left")
    voting.answer(connection, mara, name, 0, "left")
    voting.end(connection, mara.id)
    ended = voting.session(connection, mara.id)
    assert ended is not None
    assert voting.answer(connection, ended, name, 0, "left").accepted
    with pytest.raises(Fixable, match="has ended"):
        voting.answer(connection, ended, late, 0, "left")


def test_the_places_of_a_serving_lead_to_its_images(connection: Connection, made: Made) -> None:
    """From left to right, with the grid they are drawn on."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    found = voting.places(connection, show(connection, made, mara, ways=3) or "")
    assert found is not None
    assert len(found.images) == 3
    assert len(set(found.images)) == 3
    assert (found.grid, found.open, found.gold) == (24, True, False)
    assert voting.places(connection, "unknown") is None


def test_votes_on_a_slot_are_found_whichever_comparison_they_were_given_in(
    connection: Connection, made: Made
) -> None:
    """Slots are known by their weights."""
    mara = voting.begin(connection, made.id, "Mara", "local")
    voting.answer(connection, mara, show(connection, made, mara) or "", 0, "left")
    assert len(voting.served_slots(connection, [made.slots[0].key])) == 1
    assert voting.served_slots(connection, [made.slots[2].key]) == ()


def test_a_guest_link_opens_one_comparison_until_it_is_over_or_revoked(
    connection: Connection, made: Made
) -> None:
    """Only the hash of its token is stored."""
    token, link = guest_links.invite(connection, made.id, "Nadia", created_by="Mara", hours=48)
    found = guest_links.guest(connection, token)
    assert found == link
    assert token not in str(guest_links.links(connection))
    assert guest_links.guest(connection, "guess") is None
    with pytest.raises(Fixable, match="first 8 digits"):
        guest_links.revoke(connection, "")
    assert len(guest_links.revoke(connection, link.token_sha256[:8])) == 1
    assert guest_links.guest(connection, token) is None
    expired, _ = guest_links.invite(connection, made.id, "Nadia", created_by="Mara", hours=1)
    connection.execute("UPDATE epochwatch.guest_links SET expires_at = now() - interval '1 s'")
    assert guest_links.guest(connection, expired) is None
    with pytest.raises(Fixable, match="hours"):
        guest_links.invite(connection, made.id, "Nadia", created_by="Mara", hours=0)


def test_ten_tabs_that_answer_at_once_store_one_answer(seeded: tuple[Database, Made]) -> None:
    """Each is told what stands."""
    database, made = seeded
    with database.transaction() as connection:
        mara = voting.begin(connection, made.id, "Tabs", "local")
        name = show(connection, made, mara, 3) or ""
    told: list[voting.Standing] = []

    def tab(choice: str) -> None:
        with database.transaction() as connection:
            told.append(voting.answer(connection, mara, name, 0, choice))

    threads = [threading.Thread(target=tab, args=(("left", "right")[n % 2],)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction() as connection:
        kept = [e for e in voting.revisions(connection, made.id) if e["serving_id"] == name]
    assert len(kept) == 1
    assert [each.accepted for each in told].count(True) == 5
    assert {each.choice for each in told} == {kept[0]["choice"]}


def test_blind_sittings_that_go_on_are_known_with_their_votes(
    connection: Connection, made: Made
) -> None:
    """Not those that ended, that are not blind, or of guests, who see no other page."""
    voting.end(connection, voting.begin(connection, made.id, "Ed", "local").id)
    voting.begin(connection, made.id, "Gus", "guest")
    voting.begin(connection, made.id, "Sam", "local", blind=False)
    mara = voting.begin(connection, made.id, "Mara", "account")
    for unit, choice in enumerate(("left", "undone")):
        name = show(connection, made, mara, unit)
        assert name is not None
        voting.answer(connection, mara, name, 0, choice)
    assert show(connection, made, mara, 2) is not None
    names = {"Ed", "Gus", "Sam", "Mara"}
    (found,) = (each for each in voting.blind_sittings(connection) if each.judge in names)
    assert (found.id, found.judge, found.via, found.given) == (mara.id, "Mara", "account", 1)
    assert found.comparison == made.id
    assert found.slots == tuple(slot.key for slot in made.slots)


def test_a_skip_and_what_was_taken_back_are_no_votes(connection: Connection, made: Made) -> None:
    """The list of comparisons counts what stands and says something of a slot."""
    counting = voting.begin(connection, made.id, "Counter", "local")
    before = {line.id: line.votes for line in comparisons.comparisons(connection)}
    for unit, choice in enumerate(("left", "skip", "undone", "tie")):
        name = show(connection, made, counting, unit)
        assert name is not None
        voting.answer(connection, counting, name, 0, choice)
    after = {line.id: line.votes for line in comparisons.comparisons(connection)}
    assert after[made.id] - before[made.id] == 2


def test_a_sitting_goes_on_as_it_was_begun_unless_it_is_begun_anew(
    connection: Connection, made: Made
) -> None:
    """Anew it ends first, and only by the judge whose it is."""
    first = voting.begin(connection, made.id, "Ada", "local", budget=3)
    assert voting.begin(connection, made.id, "Ada", "local", blind=False) == first
    with pytest.raises(Fixable, match="A link needs a name of its own"):
        voting.begin(connection, made.id, "Ada", "guest", anew=True)
    anew = voting.begin(connection, made.id, "Ada", "local", blind=False, anew=True)
    before = voting.session(connection, first.id)
    assert before is not None
    assert before.ended_at is not None
    assert (anew.id > first.id, anew.blind, anew.budget) == (True, False, None)


def test_a_typed_address_and_its_account_never_share_a_sitting(
    connection: Connection, made: Made
) -> None:
    """Neither may sit down in what the other has begun."""
    voting.begin(connection, made.id, "ann@example.org", "local")
    with pytest.raises(Fixable, match="Until that sitting ends"):
        voting.begin(connection, made.id, "ann@example.org", "account")
    voting.begin(connection, made.id, "bo@example.org", "account")
    with pytest.raises(Fixable, match="Take another name"):
        voting.begin(connection, made.id, "bo@example.org", "local")


def test_whoever_looks_at_the_names_goes_on_in_a_sitting_that_is_not_blind(
    connection: Connection, made: Made
) -> None:
    """What was voted before stays blind; the rest of the budget goes on, a waiting pair with it."""
    blind = voting.begin(connection, made.id, "Mara", "local", budget=3)
    before, after = show(connection, made, blind, 0), show(connection, made, blind, 1)
    assert before is not None
    assert after is not None
    voting.answer(connection, blind, before, 0, "left")
    voting.show_names(connection, blind.id)
    seen = voting.open_session(connection, made.id, "Mara")
    assert seen is not None
    assert (seen.blind, seen.budget, seen.via) == (False, 2, "local")
    voting.answer(connection, seen, after, 0, "right")
    assert [each.blind for each in voting.served(connection, made.id) if each.judge == "Mara"] == [
        True,
        False,
    ]
    for sitting in (blind.id, seen.id, 10**9):
        voting.show_names(connection, sitting)  # nothing to end
    assert voting.open_session(connection, made.id, "Mara") == seen


def test_what_was_shown_with_its_names_is_never_voted_on_blind(
    connection: Connection, made: Made
) -> None:
    """It waits for the next sitting that shows names; a pair shown blind goes on in either."""
    names = voting.begin(connection, made.id, "Mara", "local", blind=False)
    seen = show(connection, made, names, 0)
    voting.end(connection, names.id)
    blind = voting.begin(connection, made.id, "Mara", "local")
    unseen = show(connection, made, blind, 1)

    def where() -> dict[str, int]:
        served = voting.served(connection, made.id)
        return {each.id: each.session_id for each in served if each.judge == "Mara"}

    assert where() == {seen: names.id, unseen: blind.id}
    assert show(connection, made, blind, 0) is None  # nor is it asked anew
    voting.end(connection, blind.id)
    again = voting.begin(connection, made.id, "Mara", "local", blind=False)
    assert where() == {seen: again.id, unseen: again.id}
