"""The dashboard as a person meets it: a real server, a real database, a real browser."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.store.files import open_store
from seeded_history import Seeded, advice_body, seed, sha
from served_dashboard import (
    CHROMIUM,
    PATIENCE_MS,
    complaints,
    dashboard,
    real_browser,
    see,
    settled,
    write,
)
from throwaway_postgres import ThrowawayServer, throwaway_server

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that runs for these tests."""

    postgres: ThrowawayServer
    home: Path
    runs: Seeded
    url: str
    log: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A seeded database and a dashboard that shows it."""
    home = tmp_path_factory.mktemp("home")
    with throwaway_server() as postgres:
        with psycopg.connect(postgres.dsn) as connection:
            runs = seed(connection, open_store(home / "store"))
        with dashboard(home, postgres.dsn) as (url, log):
            yield House(postgres=postgres, home=home, runs=runs, url=url, log=log)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    with real_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Any, house: House) -> Iterator[Any]:
    """A page that notes every request that leaves this machine, and every error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    tab.outside, tab.errors = [], []
    local = (house.url, house.url.replace("http", "ws"), "data:", "blob:")
    tab.on(
        "request",
        lambda request: None if request.url.startswith(local) else tab.outside.append(request.url),
    )
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    yield tab
    assert tab.outside == []
    assert tab.errors == []
    assert tab.evaluate("window.pwned") is None
    context.close()


def test_the_first_thing_is_the_sentence_and_the_evidence_stands_below(
    page: Any, house: House
) -> None:
    """Sentence, status, confidence, chart, pictures, checkpoints, alerts, refused files."""
    page.goto(house.url)
    sync_api.expect(page.locator("[data-part=sentence]")).to_contain_text("Epoch 7 is best")
    page.locator("[data-badge=degrading]").wait_for()
    page.locator("text=sure of the pick").wait_for()
    page.locator(".stVegaLiteChart canvas, .stVegaLiteChart svg").first.wait_for()
    picture = page.locator(".ew-wall img").first
    picture.wait_for()
    page.wait_for_function("document.querySelector('.ew-wall img')?.naturalWidth > 0")
    sync_api.expect(picture).to_have_css("image-rendering", "pixelated")
    for words in ("drawing, 5 of 12", "was cut off", "Trainer samples", "not delivered: smtp"):
        see(page, f"text={words}")
    sync_api.expect(page.locator("[data-part=hosts]")).to_have_text(re.compile("^pod-4090"))


# A page also looks every five seconds, for proxies that hold the stream of changes back.
NO_LOOKS = """const every = window.setInterval;
window.setInterval = (act, ms, ...more) => ms === 5000 ? 0 : every(act, ms, ...more);"""


def test_new_advice_appears_without_a_reload(page: Any, house: House) -> None:
    """A row and its revision reach an open page by the stream of changes, at once."""
    page.add_init_script(NO_LOOKS)
    page.goto(house.url)
    page.locator("[data-part=sentence]").wait_for()
    page.evaluate("window.sameDocument = true")
    body = {**advice_body(8, 7), "sentence": "Stop now: epoch 7, said again."}
    with psycopg.connect(house.postgres.dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.advice (run_id, evidence, sentence, body, current_at)"
            " VALUES (%s, %s, %s, %s, clock_timestamp())",
            (house.runs.live, sha("again"), body["sentence"], Jsonb(body)),
        )
        connection.execute("UPDATE epochwatch.rev SET n = n + 1 WHERE topic = 'results'")
    see(page, "text=said again")
    assert page.evaluate("window.sameDocument") is True
    with psycopg.connect(house.postgres.dsn) as connection:
        connection.execute("DELETE FROM epochwatch.advice WHERE evidence = %s", (sha("again"),))
        connection.execute("UPDATE epochwatch.rev SET n = n + 1 WHERE topic = 'results'")
    sync_api.expect(page.locator("[data-part=sentence]")).to_contain_text("Epoch 7 is best")


def test_runs_stand_beside_each_other_and_lead_to_their_pages(page: Any, house: House) -> None:
    """Two trainers at work at once, and what an earlier run with other parameters came to."""
    page.goto(house.url)
    row = page.locator("tr", has=page.locator(f"a[href='run?run={house.runs.parked}']"))
    sync_api.expect(row).to_contain_text("dim 32, alpha 16")
    settled(page)
    assert page.evaluate("window.pwned") is None, "names are text here, too"
    row.locator("a").click()
    page.wait_for_url(f"**/run?run={house.runs.parked}")
    see(page, "text=out of GPU memory")


def test_a_click_opens_the_original_and_arrow_keys_walk_the_grid(page: Any, house: House) -> None:
    """The large view shows the numbers, moves to the next epoch and closes with Escape."""
    page.goto(f"{house.url}/run?run={house.runs.live}")
    page.locator(".ew-grid").wait_for()
    settled(page)
    cells = page.locator(".ew-grid tbody tr").first.locator("[data-open]")
    cells.nth(1).click()
    large = page.locator("dialog.ew-light")
    sync_api.expect(large).to_contain_text("position 1")
    page.wait_for_function("document.querySelector('.ew-closeup > img')?.naturalWidth === 96")
    page.keyboard.press("ArrowRight")
    sync_api.expect(large).to_contain_text("position 2")
    for words in ("color accuracy", "not measured", "no detector for a crown"):
        sync_api.expect(large).to_contain_text(words)
    page.keyboard.press("Escape")
    sync_api.expect(large).to_be_hidden()


def test_the_grid_has_the_baseline_first_and_marks_the_pick(page: Any, house: House) -> None:
    """Prompts are rows, epochs are columns, each with score and verdict."""
    page.goto(f"{house.url}/run?run={house.runs.live}")
    heads = page.locator(".ew-grid thead th")
    sync_api.expect(heads.nth(1)).to_have_text(re.compile("^baseline"))
    for words in ("pick", "good", "8.2"):
        sync_api.expect(heads.nth(8)).to_contain_text(words)
    sync_api.expect(page.locator(".ew-grid tbody tr")).to_have_count(12)
    sync_api.expect(page.locator(".ew-grid tbody th").nth(2)).to_contain_text("unseen")


def test_hostile_names_are_shown_as_text_and_run_nothing(page: Any, house: House) -> None:
    """A run, a prompt, a note and a file may be called anything."""
    page.goto(f"{house.url}/run?run={house.runs.hostile}")
    sync_api.expect(page.locator(".ew-run")).to_contain_text("<script>window.pwned=1</script>")
    page.locator(".ew-grid").wait_for()
    settled(page)
    for name in ("Scores", "Parameters", "Checkpoints", "Weak spots"):
        tab = page.get_by_role("tab", name=name)
        tab.click()
        sync_api.expect(tab).to_have_attribute("aria-selected", "true")
    assert page.locator("a[href^='javascript']").count() == 0
    page.goto(house.url)
    see(page, "text=Green background by epoch 4")
    settled(page)


def test_a_run_that_stands_still_says_why(page: Any, house: House) -> None:
    """No base model, and a test that was given up."""
    page.goto(f"{house.url}/run?run={house.runs.blocked}")
    see(page, "text=No base model: looked for anything-v5")
    page.goto(f"{house.url}/run?run={house.runs.parked}")
    see(page, "text=out of GPU memory")


def test_a_person_logs_a_score_and_sees_it_beside_the_machines(page: Any, house: House) -> None:
    """The form writes one row, and the table shows it."""
    judge = f"Nadia {uuid4()}"
    page.goto(f"{house.url}/run?run={house.runs.live}")
    page.locator(".ew-grid").wait_for()
    settled(page)
    page.get_by_role("tab", name="Log your score").click()
    name = page.get_by_label("Your name").filter(visible=True)
    write(name, judge)
    name.press("Enter")
    page.get_by_role("button", name="Log this score").click()
    see(page, "text=Yours stands beside")
    page.get_by_role("tab", name="Scores").first.click()
    see(page, f"td >> text={judge}")
    with psycopg.connect(house.postgres.dsn) as connection:
        found = connection.execute(
            "SELECT position, visual FROM epochwatch.scores WHERE judge = %s", (judge,)
        ).fetchall()
    assert found == [(7, 7)]


def test_a_phone_shows_everything_without_sideways_scrolling(browser: Any, house: House) -> None:
    """At 390 pixels the page is as wide as the screen, and wide things scroll inside themselves."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    for place in ("/", f"/run?run={house.runs.live}"):
        tab.goto(house.url + place)
        tab.locator("[data-part=sentence]").wait_for()
        tab.locator(".ew-pic").first.wait_for()
        settled(tab)
        tab.wait_for_function("document.querySelector('.stMain').scrollWidth <= 390")
    context.close()


def test_the_database_goes_away_and_comes_back(page: Any, house: House) -> None:
    """A page keeps what it has, says since when, shows no traceback, and mends itself.

    One that was opened meanwhile has nothing yet, and fills in.
    """
    page.goto(house.url)
    page.locator("[data-part=sentence]").wait_for()
    house.postgres.stop()
    try:
        see(page, "text=/No connection to the database since \\d\\d:\\d\\d/")
        settled(page)
        sync_api.expect(page.locator("[data-part=sentence]")).to_have_count(1)
        fresh = page.context.new_page()
        fresh.goto(f"{house.url}/vote")
        see(fresh, "text=/No connection to the database since/")
        settled(fresh)
        assert fresh.locator("text=Traceback").count() == 0
    finally:
        house.postgres.start()
    sync_api.expect(page.locator("text=No connection to the database")).to_have_count(0)
    page.locator("[data-part=hosts]").wait_for()
    see(fresh, "text=Nothing to vote on yet")
    fresh.close()


def _status(url: str, cookie: str = "") -> tuple[int, str]:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(url, headers={"Cookie": cookie} if cookie else {})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=120) as answer:
            return answer.status, answer.read(200).decode("utf-8", "replace")
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers.get("set-cookie") or refusal.read().decode(
            "utf-8", "replace"
        )


def test_from_elsewhere_only_the_one_time_link_opens_the_door(house: House, browser: Any) -> None:
    """Bound to every address, all routes refuse until the link is used; then it is used up."""
    elsewhere = ("--server.address", "0.0.0.0")
    with dashboard(house.home, house.postgres.dsn, *elsewhere) as (url, log):
        token = re.findall(r"token=(\S+)", log.read_text(encoding="utf-8"))[0]
        paths = (
            "/",
            "/run",
            "/_stcore/health",
            "/_stcore/host-config",
            "/media/x.png",
            "/events",
            f"/img/{'0' * 64}.png",
            f"/picture/1/{'0' * 64}",
            "/static/index.html",
            "/?token=wrong",
        )
        for path in paths:
            status, words = _status(url + path)
            assert (path, status) == (path, 403)
            assert "one-time link" in words
        context = browser.new_context()
        context.set_default_timeout(PATIENCE_MS)
        tab = context.new_page()
        tab.goto(f"{url}/?token={token}")
        tab.locator("[data-part=sentence]").wait_for()
        assert "token" not in tab.url
        cookie = next(each for each in context.cookies() if each["name"] == "epochwatch")
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        context.close()
        assert _status(f"{url}/?token={token}")[0] == 403
        assert _status(f"{url}/_stcore/health", f"epochwatch={cookie['value']}")[0] == 200
        assert _status(f"{url}/_stcore/health", f"epochwatch={cookie['value'][:-1]}x")[0] == 403
    assert (house.home / "dashboard.key").stat().st_mode & 0o777 == 0o600


def test_the_log_has_no_traceback(house: House) -> None:
    """After all of the above the server has nothing to complain about."""
    assert complaints(house.log) == []
