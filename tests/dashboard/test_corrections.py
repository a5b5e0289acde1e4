"""A score is called wrong with one click, shown on the picture, and taken back with another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from core.errors import Fixable
from core.store import objections
from core.store.database import Database
from dashboard import access, corrections, images, link
from dashboard.parts import links
from databases import migrated_database
from seeded_history import MemoryStore, seed, sha

HERE = {"origin": "http://testserver"}


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[tuple[str, int, str]]:
    """A history on a server: its address, a run and one of its pictures."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            made = seed(connection, MemoryStore())
            sample = connection.execute(
                "SELECT gs.sample_id FROM epochwatch.grid_samples gs"
                " JOIN epochwatch.grids g ON g.id = gs.grid_id"
                " JOIN epochwatch.measurements m USING (sample_id)"
                " WHERE g.run_id = %s AND g.position = 7 ORDER BY gs.ordinal LIMIT 1",
                (made.live,),
            ).fetchone()
        assert sample is not None
        yield dsn, made.live, sample[0]


@pytest.fixture
def browser(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seeded: tuple[str, int, str]
) -> Iterator[TestClient]:
    """A browser before the two routes."""
    monkeypatch.setenv("DATABASE_URL", seeded[0])
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
    link.shared_link.cache_clear()
    access.shared_key.cache_clear()
    app = Starlette(
        routes=[
            Route("/picture/{run_id}/{sample_id}", images.picture),
            Route(
                "/picture/{run_id}/{sample_id}/objection",
                corrections.object_to,
                methods=["POST"],
            ),
        ]
    )
    with TestClient(app) as client:
        yield client
    link.shared_link().close()
    link.shared_link.cache_clear()
    access.shared_key.cache_clear()


def test_an_objection_stands_on_the_picture_until_it_is_taken_back(
    browser: TestClient, seeded: tuple[str, int, str]
) -> None:
    """The page has buttons for each score; what was said is there at once, with who said it."""
    _, run_id, sample = seeded
    address, page = links.objection(run_id, sample), links.closeup(run_id, sample)
    assert 'data-wrong="style too_high"' in browser.get(page).text
    said = {"score": "style", "direction": "too_high", "judge": "ann", "note": "<b>blurred</b>"}

    assert browser.post(address, json=said, headers=HERE).json() == {"stored": True}

    words = browser.get(page).text
    assert "ann: style is too high (&lt;b&gt;blurred&lt;/b&gt;)" in words
    with Database(seeded[0]) as database, database.transaction() as connection:
        (listed,) = objections.of_run(connection, run_id)
    assert (listed.position, listed.score, listed.judge) == (7, "style", "ann")
    browser.post(address, json={**said, "direction": "withdrawn"}, headers=HERE)
    assert "too high (" not in browser.get(page).text


def test_only_a_page_of_ours_may_object(browser: TestClient, seeded: tuple[str, int, str]) -> None:
    """Another origin, none, a form, a wrong signature and a long body are refused."""
    _, run_id, sample = seeded
    address = links.objection(run_id, sample)
    said = {"score": "style", "direction": "too_high", "judge": "ann"}

    elsewhere = browser.post(address, json=said, headers={"origin": "http://evil.example"})
    nowhere = browser.post(address, json=said)
    form = browser.post(address, data=said, headers=HERE)
    unsigned = browser.post(address[:-4] + "0000", json=said, headers=HERE)
    long = browser.post(address, json={**said, "note": "x" * 40_000}, headers=HERE)

    refused = [elsewhere, nowhere, form, unsigned, long]
    assert [each.status_code for each in refused] == [403, 403, 415, 404, 413]


def test_what_cannot_be_taken_says_why(browser: TestClient, seeded: tuple[str, int, str]) -> None:
    """Without a name, for a score that there is none of, and for a picture that is not measured."""
    _, run_id, sample = seeded
    address = links.objection(run_id, sample)
    said = {"score": "style", "direction": "too_high", "judge": " "}

    nameless = browser.post(address, json=said, headers=HERE)
    other = browser.post(address, json={**said, "score": "charm", "judge": "ann"}, headers=HERE)

    assert (nameless.status_code, other.status_code) == (409, 409)
    assert "Say who you are" in nameless.json()["error"]
    with (
        Database(seeded[0]) as database,
        database.transaction() as connection,
        pytest.raises(Fixable, match="not measured yet"),
    ):
        objections.add(connection, run_id, sha("nothing"), "style", "too_low", "ann")
