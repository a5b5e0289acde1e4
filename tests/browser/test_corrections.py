"""A score called wrong as people do it: one click in the close-up, and another to take it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.store import migrate
from core.store.files import open_store
from databases import new_database
from seeded_history import seed
from served_dashboard import CHROMIUM, PATIENCE_MS, dashboard, real_browser, settled

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]


@pytest.fixture
def page(server_dsn: str, tmp_path: Path) -> Iterator[tuple[Any, str, str]]:
    """A browser before the run page of a seeded history: the tab, its address and the database."""
    with new_database(server_dsn) as dsn:
        migrate.migrate(dsn)
        with psycopg.connect(dsn) as connection:
            made = seed(connection, open_store(tmp_path / "store"))
        with dashboard(tmp_path, dsn) as (url, _), real_browser() as chromium:
            tab = chromium.new_page()
            tab.set_default_timeout(PATIENCE_MS)
            yield tab, f"{url}/run?run={made.live}", dsn


def _said(dsn: str) -> list[tuple[str, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT score, direction, judge FROM epochwatch.score_objections ORDER BY id"
        ).fetchall()


def test_one_click_objects_and_another_takes_it_back(page: tuple[Any, str, str]) -> None:
    """The button stays pressed in the name of who said it; the picture shows the word."""
    tab, address, dsn = page
    tab.goto(address)
    tab.locator(".ew-grid").wait_for()
    settled(tab)
    tab.locator(".ew-grid tbody tr").first.locator("[data-open]").nth(3).click()
    box = tab.locator("dialog.ew-light")
    box.locator(".ew-wrong input").fill("Nadia")
    box.locator(".ew-wrong input").blur()
    button = box.locator('[data-wrong="style too_high"]')
    button.click()
    box.locator("li >> text=Nadia: style is too high").wait_for()
    sync_api.expect(button).to_have_attribute("aria-pressed", "true")
    assert _said(dsn) == [("style", "too_high", "Nadia")]
    button.click()
    sync_api.expect(button).to_have_attribute("aria-pressed", "false")
    sync_api.expect(box.locator(".ew-wrong li")).to_have_count(0)
    assert _said(dsn)[-1] == ("style", "withdrawn", "Nadia")
