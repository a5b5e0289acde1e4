"""The routes of judges: only pages of ours may ask, and a guest reaches one comparison only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.errors import Fixable
from core.store import guest_links, voting
from core.store.database import Database
from core.store.files import open_store
from dashboard import access, ballots, blind, images, link
from dashboard.access import Gate, GateMiddleware
from dashboard.posting import Refused
from databases import migrated_database
from seeded_comparison import Made, compare

VIEWS = Path(__file__).resolve().parents[2] / "dashboard" / "views"
HOME = "http://testserver"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A dashboard's routes behind the gate, with two comparisons to judge."""

    database: Database
    client: TestClient  # through the gate
    stranger: TestClient  # not through the gate
    pair: Made
    other: Made

    def begin(self, judge: str, **how: Any) -> tuple[int, dict[str, Any]]:
        """Return a sitting and what its page holds."""
        with self.database.transaction() as connection:
            found = voting.begin(connection, self.pair.id, judge, "local", **how)
        return found.id, {"session": found.id, "ticket": ballots.ticket(found.id)}

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """Ask as a page of ours does."""
        return self.client.post(path, json=body, headers={"Origin": "http://localhost", **headers})


def _client(routes: list[Route], address: str, home: str) -> TestClient:
    gate = Gate(key=access.shared_key(), token="t", address=address)
    app = Starlette(routes=routes, middleware=[Middleware(GateMiddleware, gate=gate)])
    return TestClient(app, base_url=home)


@pytest.fixture(scope="module")
def desk(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Routes, database and pictures."""
    home = tmp_path_factory.mktemp("home")
    routes = [
        Route("/blind/{serving}/{place}.png", blind.picture),
        Route("/vote/next", ballots.next_pair, methods=["POST"]),
        Route("/vote/answer", ballots.answer, methods=["POST"]),
        Route("/vote/end", ballots.end, methods=["POST"]),
        Route("/guest/{token}", ballots.guest_page),
        Route("/guest/{token}/next", ballots.guest_next, methods=["POST"]),
        Route("/guest/{token}/answer", ballots.guest_answer, methods=["POST"]),
        Route("/guest/{token}/end", ballots.guest_end, methods=["POST"]),
        Route("/guest/{token}/blind/{serving}/{place}.png", blind.guest_picture),
        Route("/{rest:path}", lambda _: PlainTextResponse("secret")),
    ]
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        dsn = stack.enter_context(migrated_database(server_dsn))
        with psycopg.connect(dsn) as connection:
            store = open_store(home / "store")
            pair = compare(connection, store, units=6)
            other = compare(connection, store, units=2, title="other")
        patch.setenv("DATABASE_URL", dsn)
        patch.setenv("EPOCHWATCH_HOME", str(home))
        for each in (link.shared_link, access.shared_key, images._store):
            each.cache_clear()
            stack.callback(each.cache_clear)
        stack.callback(lambda: link.shared_link().close())
        database = stack.enter_context(Database(dsn))
        yield Desk(
            database=database,
            client=_client(routes, "127.0.0.1", "http://localhost"),
            stranger=_client(routes, "0.0.0.0", HOME),
            pair=pair,
            other=other,
        )


def test_a_desk_holds_three_pairs_that_name_no_slot(desk: Desk) -> None:
    """A prompt, a revision and addresses; nothing of who drew it."""
    _, ticket = desk.begin("Ann")
    found = desk.post("/vote/next", ticket).json()["desk"]
    assert len(found["servings"]) == 3
    assert set(found["servings"][0]) == {"id", "revision", "prompt", "pictures", "small"}
    assert found["last"] is None
    assert (found["given"], found["budget"]) == (0, None)
    assert "decide this" in found["more"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost", "Content-Type": "text/plain"}, 415),
    ],
)
def test_another_sites_page_cannot_vote(desk: Desk, headers: dict[str, str], status: int) -> None:
    """Even from the judge's own browser."""
    _, ticket = desk.begin("Ann")
    answer = desk.client.post("/vote/next", json=ticket, headers=headers)
    assert answer.status_code == status


def test_a_sitting_needs_its_ticket(desk: Desk) -> None:
    """Numbers of sittings can be guessed."""
    session, ticket = desk.begin("Ann")
    theirs = ballots.ticket(session + 1)
    for body in (
        {"session": session},
        {"session": session, "ticket": theirs},
        {"session": str(session), "ticket": ticket["ticket"]},
        {"session": True, "ticket": ticket["ticket"]},
        {},
    ):
        assert desk.post("/vote/next", body).status_code == 403


def test_what_is_no_answer_is_refused_in_words(desk: Desk) -> None:
    """Nothing of it reaches the database as an outage."""
    _, ticket = desk.begin("Ann")
    shown = desk.post("/vote/next", ticket).json()["desk"]
    serving = shown["servings"][0]["id"]
    for body, status in (
        ({"serving": serving, "revision": "0", "choice": "left"}, 400),
        ({"serving": serving, "revision": -1, "choice": "left"}, 400),
        ({"serving": serving, "revision": 0, "choice": "ranking", "ranking": "01"}, 400),
        ({"serving": serving, "revision": 0, "choice": "best"}, 409),
        ({"serving": "unknown", "revision": 0, "choice": "left"}, 409),
    ):
        answer = desk.post("/vote/answer", {**ticket, **body})
        assert answer.status_code == status
        assert answer.json()["error"]
    local = {"Origin": "http://localhost", "Content-Type": "application/json"}
    assert desk.client.post("/vote/next", content=b"[1]", headers=local).status_code == 400
    assert desk.client.post("/vote/next", content=b"{", headers=local).status_code == 400
    long = b'{"note": "' + b"x" * 40_000 + b'"}'
    assert desk.client.post("/vote/next", content=long, headers=local).status_code == 413
    assert link.shared_link().away_since is None


def test_an_answer_is_acknowledged_and_a_budget_ends_the_sitting(desk: Desk) -> None:
    """What is asked twice is told twice and stored once."""
    _, ticket = desk.begin("Budget", budget=2)
    given = 0
    while True:
        found = desk.post("/vote/next", ticket).json()["desk"]
        if not found["servings"]:
            break
        body = {**ticket, "serving": found["servings"][0]["id"], "revision": 0, "choice": "left"}
        for _ in range(2):
            kept = desk.post("/vote/answer", body).json()
            assert (kept["accepted"], kept["choice"]) == (True, "left")
        given += 1
    assert given == 2
    assert found["finished"] is True
    assert "set out to give" in found["over"]
    assert found["last"]["revision"] == 1
    ended = desk.post("/vote/end", ticket)
    assert ended.json()["ended"] is True
    assert desk.post("/vote/next", ticket).status_code == 409


def test_a_sitting_with_names_shown_says_so_and_shows_them(desk: Desk) -> None:
    """Only when it was begun like that."""
    _, ticket = desk.begin("Open", blind=False)
    found = desk.post("/vote/next", ticket).json()["desk"]
    assert set(found["servings"][0]["names"]) <= {"base", "epoch 7"}


def test_blind_pictures_are_not_kept_and_end_with_the_sitting(desk: Desk) -> None:
    """Large and small, both sides of one length, and none after the end."""
    _, ticket = desk.begin("Pictures")
    each = desk.post("/vote/next", ticket).json()["desk"]["servings"][0]
    for addresses in (each["pictures"], each["small"]):
        answers = [desk.client.get(address) for address in addresses]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert len({answer.headers["content-length"] for answer in answers}) == 1
        assert "etag" not in answers[0].headers
    assert desk.client.get(f"/blind/{each['id']}/2.png").status_code == 404
    assert desk.client.get(f"/blind/{each['id']}/x.png").status_code == 404
    assert desk.client.get("/blind/unknown/0.png").status_code == 404
    desk.post("/vote/end", ticket)
    assert desk.client.get(each["pictures"][0]).status_code == 404


def test_any_place_of_a_ranking_can_be_the_spoiled_one(desk: Desk) -> None:
    """The third shows the picture of the first, made visibly worse."""
    session, _ = desk.begin("Gold")
    slots = [slot.key for slot in desk.pair.slots] * 2
    with desk.database.transaction() as connection:
        sitting = voting.session(connection, session)
        assert sitting is not None
        gold = voting.serve(
            connection, sitting, unit="u", category="", slots=slots, purpose="gold", expected="2",
            samples=[desk.pair.samples[slot, 0] for slot in slots],
        )  # fmt: skip
    shown = [
        Image.open(io.BytesIO(desk.client.get(f"/blind/{gold}/{place}.png").content)).tobytes()
        for place in range(4)
    ]
    assert shown[1] == shown[3]
    assert shown[0] != shown[2]


def test_a_guest_passes_the_gate_to_one_comparison_only(desk: Desk) -> None:
    """Page, pairs, answers and pictures of it; nothing else, and nothing of another."""
    with desk.database.transaction() as connection:
        token, _ = guest_links.invite(connection, desk.pair.id, "Nadia", created_by="me", hours=1)
        mine = voting.begin(connection, desk.other.id, "Ann", "local")
        alien = voting.serve(
            connection,
            mine,
            unit="u",
            category="",
            slots=[slot.key for slot in desk.other.slots],
            samples=[desk.other.samples[slot.key, 0] for slot in desk.other.slots],
        )
    page = desk.stranger.get(f"/guest/{token}")
    assert page.status_code == 200
    assert "Hello Nadia" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"].startswith("no-referrer")
    ours = {"Origin": HOME}
    found = desk.stranger.post(f"/guest/{token}/next", json={}, headers=ours).json()["desk"]
    each = found["servings"][0]
    assert desk.stranger.get(each["pictures"][0]).status_code == 200
    body = {"serving": each["id"], "revision": 0, "choice": "left"}
    assert desk.stranger.post(f"/guest/{token}/answer", json=body).status_code == 403
    kept = desk.stranger.post(f"/guest/{token}/answer", json=body, headers=ours)
    assert kept.json()["accepted"] is True
    assert desk.stranger.get(f"/guest/{token}/blind/{alien}/0.png").status_code == 404
    body = {"serving": alien, "revision": 0, "choice": "left"}
    refused = desk.stranger.post(f"/guest/{token}/answer", json=body, headers=ours)
    assert refused.status_code == 409
    for path in ("/", "/vote", f"/guest/{token}/else", "/guest/", f"/blind/{each['id']}/0.png"):
        assert desk.stranger.get(path).status_code == 403
    ended = desk.stranger.post(f"/guest/{token}/end", json={}, headers=ours).json()
    assert "Thank you" in ended["words"]


def test_a_guessed_link_opens_nothing(desk: Desk) -> None:
    """It says what to do."""
    answer = desk.stranger.get(f"/guest/{'x' * 43}")
    assert answer.status_code == 404
    assert "Ask for a new one" in answer.text
    guess = desk.stranger.post(f"/guest/{'x' * 43}/next", json={}, headers={"Origin": HOME})
    assert guess.status_code == 409


def test_a_hostile_judges_name_stays_text(desk: Desk) -> None:
    """In the page of a guest."""
    with desk.database.transaction() as connection:
        token, _ = guest_links.invite(
            connection, desk.pair.id, "<script>alert(1)</script>", created_by="me", hours=1
        )
    assert "<script>alert" not in desk.stranger.get(f"/guest/{token}").text


def test_no_answer_breaks_what_others_see(desk: Desk) -> None:
    """A pair is not ranked, and characters that a database refuses are no outage for everybody."""
    _, ticket = desk.begin("Mallory")
    serving = desk.post("/vote/next", ticket).json()["desk"]["servings"][0]["id"]
    ranked = {"serving": serving, "revision": 0, "choice": "ranking", "ranking": [0, 1]}
    refused = desk.post("/vote/answer", {**ticket, **ranked})
    assert (refused.status_code, "two images" in refused.json()["error"]) == (409, True)
    odd = {"serving": f"{serving}\x00", "revision": 0, "choice": "tie", "note": "odd \ud800\x00"}
    local = {"Origin": "http://localhost", "Content-Type": "application/json"}
    content = json.dumps({**ticket, **odd})
    kept = desk.client.post("/vote/answer", content=content, headers=local)
    assert kept.status_code == 200
    assert kept.json()["accepted"] is True
    deep = desk.client.post("/vote/next", content=b"[" * 30_000, headers=local)
    assert deep.status_code == 400
    assert desk.post("/vote/next", ticket).status_code == 200
    assert desk.client.get("/blind/%00/0.png").status_code == 404
    assert desk.client.get(f"/blind/{serving}/{'9' * 5000}.png").status_code == 404
    assert link.shared_link().away_since is None


def test_a_guest_never_sits_down_in_the_place_of_another(desk: Desk) -> None:
    """Whose sitting shows the names, and who could be sent away by the guest's end."""
    with desk.database.transaction() as connection:
        token, _ = guest_links.invite(connection, desk.pair.id, "Bea", created_by="me", hours=1)
    _, ticket = desk.begin("Bea", blind=False)
    for what in ("next", "end"):
        guest = desk.stranger.post(f"/guest/{token}/{what}", json={}, headers={"Origin": HOME})
        assert guest.status_code == 409
        assert "name of its own" in guest.json()["error"]
    assert desk.post("/vote/next", ticket).status_code == 200
    with desk.database.transaction() as connection, pytest.raises(Fixable, match="name of its own"):
        guest_links.invite(connection, desk.pair.id, "Bea", created_by="me", hours=1)


def test_a_deleted_comparison_is_said_in_words(desk: Desk) -> None:
    """Its run may be deleted while somebody votes; what was answered before can still be sent."""
    with desk.database.transaction() as connection:
        gone = voting.begin(connection, 4_000_000, "Ann", "local")
    ticket = {"session": gone.id, "ticket": ballots.ticket(gone.id)}
    refused = desk.post("/vote/next", ticket)
    assert (refused.status_code, "not there any more" in refused.json()["error"]) == (409, True)
    assert desk.post("/vote/end", ticket).status_code == 200
    page = AppTest.from_file(str(VIEWS / "vote.py"), default_timeout=240)
    page.query_params["sitting"] = f"{gone.id}-{ticket['ticket']}"
    with desk.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.vote_sessions SET ended_at = NULL WHERE id = %s", (gone.id,)
        )
    page.run()
    assert not page.exception
    assert "not there any more" in str([each.proto for each in page.main])


@pytest.mark.parametrize("view", ["vote", "compare", "run", "try_it"])
def test_no_number_in_an_address_breaks_a_page(desk: Desk, view: str) -> None:
    """However long it is: Python reads no more than 4300 digits."""
    page = AppTest.from_file(str(VIEWS / f"{view}.py"), default_timeout=240)
    for name in ("id", "run", "try"):
        page.query_params[name] = "9" * 5000
    page.query_params["sitting"] = f"{'9' * 5000}-x"
    page.run()
    assert not page.exception
    assert "could not be drawn" not in str([each.proto for each in page.main])


def test_a_guest_who_asks_faster_than_a_person_is_told_to_wait() -> None:
    """A link that a script got hold of fills no table; others are not slowed, and a minute is enough."""
    now = [0.0]
    pace = ballots.Pace(most=3, clock=lambda: now[0])
    for _ in range(3):
        pace.keep("ann")
    with pytest.raises(Refused) as refused:
        pace.keep("ann")
    assert refused.value.status == 429
    pace.keep("bob")
    now[0] = 61.0
    pace.keep("ann")
