"""The pages without a browser: an empty database, a missing one, and a run that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from core.store.migrate import migrate
from dashboard import access, link
from databases import migrated_database

if TYPE_CHECKING:
    from collections.abc import Iterator

VIEWS = Path(__file__).resolve().parents[2] / "dashboard" / "views"


@pytest.fixture(scope="module")
def empty_database(server_dsn: str) -> Iterator[str]:
    """A migrated database with nothing in it."""
    with migrated_database(server_dsn) as dsn:
        yield dsn


def _page(monkeypatch: pytest.MonkeyPatch, home: Path, dsn: str, view: str) -> str:
    [words] = _pages(monkeypatch, home, dsn, view)
    return words


def _pages(monkeypatch: pytest.MonkeyPatch, home: Path, dsn: str, *views: str) -> list[str]:
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("EPOCHWATCH_HOME", str(home))
    link.shared_link.cache_clear()
    access.shared_key.cache_clear()
    try:
        shown = [
            AppTest.from_file(str(VIEWS / f"{view}.py"), default_timeout=240).run()
            for view in views
        ]
        assert not any(page.exception for page in shown)
        return [" ".join(str(each.proto) for each in page.main) for page in shown]
    finally:
        link.shared_link().close()
        link.shared_link.cache_clear()


def test_an_empty_database_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    """The first visit is not a blank page."""
    words = _page(monkeypatch, tmp_path, empty_database, "live")
    assert "epochwatch watch PATH" in words
    assert "No daemon has reported yet" in words


def test_the_run_page_without_runs_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    """There is nothing to choose from."""
    assert "There are no runs yet" in _page(monkeypatch, tmp_path, empty_database, "run")


def test_the_vote_page_without_comparisons_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    """There is nothing to vote on."""
    words = _page(monkeypatch, tmp_path, empty_database, "vote")
    assert "epochwatch compare base pick --run NAME" in words


def test_the_compare_page_without_comparisons_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    """An empty page would leave a person with nothing to do."""
    words = _page(monkeypatch, tmp_path, empty_database, "compare")
    assert "epochwatch compare base pick --run NAME" in words


def test_the_pages_of_production_begin_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: str
) -> None:
    """Nothing is live and nothing can be tried: both say how that begins."""
    words = _page(monkeypatch, tmp_path, empty_database, "production")
    assert "epochwatch promote RUN EPOCH" in words
    assert "epochwatch watch PATH" in _page(monkeypatch, tmp_path, empty_database, "try_it")


def test_a_missing_database_is_a_sentence_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every page renders and says since when."""
    monkeypatch.setattr(link, "_FIRST_WAIT_S", 1.0)
    nowhere = f"host={tmp_path} user=postgres dbname=postgres"
    views = ("live", "run", "compare", "vote", "production", "try_it")
    for view, words in zip(views, _pages(monkeypatch, tmp_path, nowhere, *views), strict=True):
        assert "No connection to the database since" in words, view
        assert "Traceback" not in words, view


def test_a_database_of_an_older_version_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh_dsn: str
) -> None:
    """Somebody else's database is not changed by looking at it."""
    assert "epochwatch db migrate" in _page(monkeypatch, tmp_path, fresh_dsn, "live")
    migrate(fresh_dsn)
    assert "epochwatch watch PATH" in _page(monkeypatch, tmp_path, fresh_dsn, "live")
