"""The dashboard as a person meets it: a real server, a real database, a real browser."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.store.files import open_store
from seeded_history import Seeded, advice_body, seed, sha
from served_dashboard import CHROMIUM, PATIENCE_MS, complaints, dashboard, real_browser
from throwaway_postgres import ThrowawayServer, throwaway_server

pytest.importorskip("playwright.sync_api")
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
    assert "Epoch 7 is best" in page.locator("[data-part=sentence]").inner_text()
    page.locator("[data-badge=degrading]").wait_for()
    page.locator("text=sure of the pick").wait_for()
    page.locator(".stVegaLiteChart canvas, .stVegaLiteChart svg").first.wait_for()
    picture = page.locator(".ew-wall img").first
    picture.wait_for()
    page.wait_for_function("document.querySelector('.ew-wall img').naturalWidth > 0")
    assert picture.evaluate("node => getComputedStyle(node).imageRendering") == "pixelated"
    for words in ("drawing, 5 of 12", "was cut off", "Trainer samples", "not delivered: smtp"):
        page.locator(f"text={words}").first.wait_for()
    assert page.locator("[data-part=hosts]").inner_text().startswith("pod-4090")


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
    page.locator("text=said again").wait_for()
    assert page.evaluate("window.sameDocument") is True


def test_runs_stand_beside_each_other_and_lead_to_their_pages(page: Any, house: House) -> None:
    """Two trainers at work at once, and what an earlier run with other parameters came to."""
    page.goto(house.url)
    row = page.locator("tr", has=page.locator(f"a[href='run?run={house.runs.parked}']"))
    row.wait_for()
    assert "dim 32, alpha 16" in row.inner_text()
    assert page.evaluate("window.pwned") is None, "names are text here, too"
    row.locator("a").click()
    page.wait_for_url(f"**/run?run={house.runs.parked}")
    page.locator("text=out of GPU memory").first.wait_for()


def test_a_click_opens_the_original_and_arrow_keys_walk_the_grid(page: Any, house: House) -> None:
    """The large view shows the numbers, moves to the next epoch and closes with Escape."""
    page.goto(f"{house.url}/run?run={house.runs.live}")
    cells = page.locator(".ew-grid tbody tr").first.locator("[data-open]")
    cells.nth(1).click()
    page.locator("dialog.ew-light .ew-closeup").wait_for()
    assert "position 1" in page.locator("dialog.ew-light").inner_text()
    page.wait_for_function("document.querySelector('.ew-closeup > img').naturalWidth === 96")
    page.keyboard.press("ArrowRight")
    page.locator("dialog.ew-light >> text=position 2").wait_for()
    text = page.locator("dialog.ew-light").inner_text()
    assert "color accuracy" in text
    assert "not measured" in text
    assert "no detector for a crown" in text
    page.keyboard.press("Escape")
    page.locator("dialog.ew-light[open]").wait_for(state="detached")


def test_the_grid_has_the_baseline_first_and_marks_the_pick(page: Any, house: House) -> None:
    """Prompts are rows, epochs are columns, each with score and verdict."""
    page.goto(f"{house.url}/run?run={house.runs.live}")
    page.locator(".ew-grid").wait_for()
    heads = page.locator(".ew-grid thead th").all_inner_texts()
    assert heads[1].startswith("baseline")
    assert "pick" in heads[8]
    assert "good" in heads[8]
    assert "8.2" in heads[8]
    assert page.locator(".ew-grid tbody tr").count() == 12
    assert "unseen" in page.locator(".ew-grid tbody th").nth(2).inner_text()


def test_hostile_names_are_shown_as_text_and_run_nothing(page: Any, house: House) -> None:
    """A run, a prompt, a note and a file may be called anything."""
    page.goto(f"{house.url}/run?run={house.runs.hostile}")
    page.locator("[data-part=sentence], .ew-run").first.wait_for()
    assert "<script>window.pwned=1</script>" in page.locator(".ew-run").inner_text()
    page.locator(".ew-grid").wait_for()
    for tab in ("Scores", "Parameters", "Checkpoints", "Weak spots"):
        page.get_by_role("tab", name=tab).click()
    assert page.locator("a[href^='javascript']").count() == 0
    page.goto(house.url)
    page.locator("text=Green background by epoch 4").wait_for()


def test_a_run_that_stands_still_says_why(page: Any, house: House) -> None:
    """No base model, and a test that was given up."""
    page.goto(f"{house.url}/run?run={house.runs.blocked}")
    page.locator("text=No base model: looked for anything-v5").wait_for()
    page.goto(f"{house.url}/run?run={house.runs.parked}")
    page.locator("text=out of GPU memory").first.wait_for()


def test_a_person_logs_a_score_and_sees_it_beside_the_machines(page: Any, house: House) -> None:
    """The form writes one row, and the table shows it."""
    page.goto(f"{house.url}/run?run={house.runs.live}")
    page.get_by_role("tab", name="Log your score").click()
    page.get_by_label("Your name").last.fill("Nadia")
    page.get_by_role("button", name="Log this score").click()
    page.locator("text=Yours stands beside").wait_for()
    page.get_by_role("tab", name="Scores").first.click()
    page.locator("td >> text=Nadia").wait_for()
    with psycopg.connect(house.postgres.dsn) as connection:
        found = connection.execute(
            "SELECT position, visual FROM epochwatch.scores WHERE judge = 'Nadia'"
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
        tab.locator(".stApp[data-test-script-state=notRunning]").wait_for()
        tab.wait_for_function("document.querySelector('.stMain').scrollWidth <= 390")
    context.close()


def test_the_database_goes_away_and_comes_back(page: Any, house: House) -> None:
    """The page keeps what it has, says since when, shows no traceback, and mends itself."""
    page.goto(house.url)
    page.locator("[data-part=sentence]").wait_for()
    house.postgres.stop()
    try:
        page.locator("text=/No connection to the database since \\d\\d:\\d\\d/").wait_for()
        assert page.locator("[data-part=sentence]").count() == 1
        fresh = page.context.new_page()
        fresh.goto(f"{house.url}/run")
        fresh.locator("text=/No connection to the database since/").wait_for()
        assert fresh.locator("text=Traceback").count() == 0
        fresh.close()
    finally:
        house.postgres.start()
    page.locator("text=No connection to the database").wait_for(state="detached")
    page.locator("[data-part=hosts]").wait_for()


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
