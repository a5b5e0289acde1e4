"""Production and Try it as a person meets them: a real server, a real database, a real browser."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from core import production
from core.formats.prompt_suite import suite_to_json
from core.nouns import Prompt, Recipe, Suite
from core.store import promotions
from core.store.database import Database, row, rows, run
from core.store.files import open_store
from daemon.actions.production_folder import ProductionFolder, read_live
from daemon.actions.promote import Promoter
from daemon.planner import plan
from daemon.preparation import save_document
from seeded_history import HOSTILE, Seeded, looks, seed, sha, sprite
from served_dashboard import CHROMIUM, PATIENCE_MS, real_browser, see, settled, write
from throwaway_postgres import throwaway_server
from whole_program import Program

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here"),
]


def _database(dsn: str) -> Database:
    return Database(dsn, max_size=1, wait_seconds=PATIENCE_MS / 1000)


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that runs for these tests; the test itself does what a daemon would do."""

    dsn: str
    home: Path
    runs: Seeded
    url: str

    def start_over(self) -> None:
        """Forget what was decided about production."""
        shutil.rmtree(self.home / "production", ignore_errors=True)
        with psycopg.connect(self.dsn) as connection:
            connection.execute("TRUNCATE epochwatch.promotions RESTART IDENTITY")
            connection.execute("DELETE FROM epochwatch.actions WHERE kind = 'promote'")
            connection.execute("UPDATE epochwatch.rev SET n = n + 1")

    def act(self) -> None:
        """Carry out what was decided about production."""
        with _database(self.dsn) as database:
            promoter = Promoter(
                database=database,
                folder=ProductionFolder(folder=self.home / "production"),
                host="pod-4090",
                find_weights=self._weights,
            )
            with database.transaction() as connection:
                due = rows(connection, "actions.due", host="pod-4090")
            for action in [each for each in due if each["kind"] == "promote"]:
                note = promoter.promote(action["payload"]["promotion"])
                with database.transaction() as connection:
                    run(connection, "actions.done", key=action["key"], note=note)
                    run(connection, "rev.bump", topic="results")

    def _weights(self, sha256: str) -> Path | None:
        path = self.home / "spool" / sha256
        return path if path.exists() else None

    def draw(self, quality: float = 8.0) -> None:
        """Plan what was asked for, and draw every image that is missing."""
        store = open_store(self.home / "store")
        with _database(self.dsn) as database:
            plan(database)
            with database.transaction() as connection:
                missing = connection.execute(
                    "SELECT DISTINCT sample_id FROM epochwatch.missing WHERE lacks_image"
                    " AND grid_id IN (SELECT id FROM epochwatch.grids WHERE purpose = 'try')"
                ).fetchall()
                for number, each in enumerate(missing):
                    look, variation = looks()[number % 12]
                    png = io.BytesIO()
                    sprite(look, variation, quality, random.Random(number)).save(png, "PNG")
                    run(
                        connection, "results.add_image", sample_id=each["sample_id"],
                        image_sha256=store.put_image(png.getvalue()).sha256, defect=None,
                        width=96, height=96, seconds=1.4, host="pod-4090", provenance={},
                    )  # fmt: skip
                run(connection, "rev.bump", topic="results")


def _prepare(dsn: str, home: Path, runs: Seeded) -> None:
    """Give the seeded run a recipe, and real files to two of its epochs."""
    suite = Suite(
        name="punks", recipe=Recipe(negative="blurry"),
        prompts=(Prompt(name="a", text="a punk", trigger="punk"),),
    )  # fmt: skip
    (home / "spool").mkdir()
    with _database(dsn) as database, database.transaction() as connection:
        run(
            connection, "runs.save_setup", run_id=runs.live,
            suite=save_document(connection, "suite", "punks", suite_to_json(suite)), profile=None,
            base_sha256=sha("base"), strength="1.00", tests="full", stop="normal",
            price_per_hour=None, blocked_reason=None, doubts=[],
        )  # fmt: skip
        run(
            connection, "actions.beat", name="pod-4090", state="watching", doing="",
            detail={"outbox": 0, "bases": [sha("base")]},
        )  # fmt: skip
        connection.execute(
            "UPDATE public.training_runs SET best_epoch = 7 WHERE id = %s", (runs.live,)
        )
    for position in (6, 7):
        content = f"weights of {position}".encode() * 100
        name = hashlib.sha256(content).hexdigest()
        (home / "spool" / name).write_bytes(content)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256,"
                " size_bytes) VALUES (%s, 'lora', 'sd1', 'kohya', %s, 1600)",
                (name, name),
            )
            connection.execute(
                "UPDATE epochwatch.checkpoints SET sha256 = %s, drawn_as = %s"
                " WHERE run_id = %s AND position = %s",
                (name, name, runs.live, position),
            )
            connection.execute(
                "UPDATE epochwatch.grids SET body = jsonb_build_object('sha256', %s::text)"
                " WHERE run_id = %s AND position = %s AND purpose = 'epoch'",
                (name, runs.live, position),
            )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A seeded database and a dashboard that shows it."""
    home = tmp_path_factory.mktemp("home")
    with throwaway_server() as postgres:
        with psycopg.connect(postgres.dsn) as connection:
            runs = seed(connection, open_store(home / "store"))
        _prepare(postgres.dsn, home, runs)
        with Program(home=home, environment={"DATABASE_URL": postgres.dsn}).dashboard() as url:
            yield House(dsn=postgres.dsn, home=home, runs=runs, url=url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    with real_browser() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that notes every error."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.set_default_timeout(PATIENCE_MS)
    yield tab
    assert errors == []
    assert tab.evaluate("window.pwned") is None
    context.close()


def _choose(page: Any, label: str, option: str) -> None:
    """Choose an option of a select box; news that redraws the page may close it once."""
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(12):
        page.get_by_role("combobox", name=label).first.click()
        try:
            wanted.click(timeout=10_000)
        except sync_api.TimeoutError:
            page.keyboard.press("Escape")
        else:
            return
    raise AssertionError(f"{label} has no option {option}")


def _promote(page: Any, *, reason: str) -> None:
    page.get_by_role("button", name="Promote").click()
    form = page.get_by_test_id("stForm")
    write(form.get_by_label("Your name"), "Nadia")
    write(form.get_by_label("Why anyway").or_(form.get_by_label("Note")), reason)
    page.get_by_role("button", name="Yes, put it into production").click()


def _go_back(page: Any) -> None:
    settled(page)  # what is below moves up, and what was unfolded there would be folded again
    page.locator("text=Go back to an earlier model").click()
    go = page.get_by_role("button", name="Go back to it")
    write(page.get_by_label("Why", exact=True), "grey")
    go.click()
    see(page, "text=Say who you are")
    write(page.get_by_label("Your name").first, "Nadia")
    go.click()


def test_a_candidate_is_checked_promoted_and_rolled_back(page: Any, house: House) -> None:
    """Empty, checklist, a reason where a criterion fails, progress, live, and the way back."""
    house.start_over()
    yes = page.get_by_role("button", name="Yes, put it into production")
    page.goto(f"{house.url}/production")
    see(page, "text=Nothing is in production yet")
    page.locator("[data-part=checklist]").wait_for()
    sync_api.expect(page.locator(".ew-check tbody tr")).to_have_count(13)
    page.locator("[data-state='not known']").first.wait_for()
    settled(page)
    page.get_by_role("button", name="Promote").click()
    yes.click()
    see(page, "text=Say who you are")
    page.get_by_role("button", name="No", exact=True).click()
    _promote(page, reason=f"the best so far {HOSTILE}")
    see(page, "text=epoch 7 is on its way to production")
    house.act()
    see(page, "[data-part=live] >> text=epoch 7 is in production")
    see(page, "text=<script>window.pwned=1</script>")
    live = read_live(house.home / "production")
    assert live is not None
    assert (live["position"], live["promoted_by"], live["trigger"]) == (7, "Nadia", "punk")
    see(page, "text=It is in production.")
    settled(page)

    _choose(page, "epoch", "6")
    see(page, "[data-part=checklist] >> text=/a score of 8/")
    page.get_by_role("button", name=re.compile(r"^Promote anyway.*epoch 6")).click()
    form = page.get_by_test_id("stForm")
    write(form.get_by_label("Your name"), "Nadia")
    yes.click()
    see(page, "text=To do it anyway, give a reason")
    write(form.get_by_label("Why anyway"), "calmer lines")
    yes.click()
    see(page, "text=epoch 6 is on its way to production")
    house.act()
    see(page, "[data-part=live] >> text=epoch 6")
    _go_back(page)
    see(page, "text=epoch 7 is on its way to production")
    house.act()
    see(page, "[data-part=live] >> text=epoch 7")
    see(page, "text=went back from number 2")
    with psycopg.connect(house.dsn) as connection:
        found = connection.execute(
            "SELECT position, overridden <> '{}', rolled_back_from FROM epochwatch.promotions"
            " ORDER BY id"
        ).fetchall()
    assert [each[0] for each in found] == [7, 6, 7]
    assert found[1][1] is True
    assert found[2][2] == 2


def test_a_prompt_of_ones_own_is_drawn_side_by_side_and_kept_with_its_settings(
    page: Any, house: House
) -> None:
    """Two models, a hostile prompt, progress, numbers, a download that says how it was made."""
    seed = str(time.time_ns() % 1_000_000_000)  # what was drawn before would be there at once
    page.goto(f"{house.url}/try")
    prompt = page.get_by_label("Prompt", exact=True)
    write(prompt, "a pink punk, (green hair:1.2) <lora:evil:1>")
    page.get_by_role("button", name="Draw").click()
    see(page, "text=names a network")
    settled(page)
    write(prompt, r"pixel art punk, pink hair, \<script\> green background")
    write(page.get_by_label("Seed"), seed)
    _choose(page, "Model 2", "base model alone")
    page.get_by_role("button", name="Draw").click()
    see(page, "text=/Asked for, 0 of 2 images/")
    house.draw()
    page.locator(".ew-try img").nth(1).wait_for()
    see(page, "text=Drawn.")
    settled(page)
    with page.expect_download() as kept:
        page.get_by_role("button", name="Download with its settings").first.click()
    with Image.open(kept.value.path()) as image:
        told = json.loads(image.text["epochwatch"])
        assert f"Seed: {seed}" in image.text["parameters"]
    assert told["seed"] == int(seed)
    assert told["recipe"]["negative"] == "blurry"
    assert f"seed-{seed}" in kept.value.suggested_filename
    with psycopg.connect(house.dsn) as connection:
        found = connection.execute(
            "SELECT max(priority), count(*) FROM epochwatch.jobs WHERE grid_id ="
            " (SELECT max(id) FROM epochwatch.grids WHERE purpose = 'try')"
        ).fetchone()
    assert found == (200, 2)


def test_it_says_so_when_no_machine_draws(page: Any, house: House) -> None:
    """A stopped daemon draws nothing: what is asked for waits, and the page says it first."""
    with psycopg.connect(house.dsn) as connection:
        connection.execute("UPDATE epochwatch.hosts SET state = 'stopped'")
    try:
        page.goto(f"{house.url}/try")
        see(page, "text=No machine that draws is at work")
    finally:
        with psycopg.connect(house.dsn) as connection:
            connection.execute("UPDATE epochwatch.hosts SET state = 'watching', last_seen = now()")


@pytest.mark.parametrize("place", ["production", "try"])
def test_a_phone_shows_it_without_sideways_scrolling(
    browser: Any, house: House, place: str
) -> None:
    """At 390 pixels the page is as wide as the screen."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    tab.goto(f"{house.url}/{place}")
    tab.get_by_role("combobox", name="Run").first.wait_for()
    settled(tab)
    tab.wait_for_function("document.querySelector('.stMain').scrollWidth <= 390")
    context.close()


def test_the_checklist_of_a_page_is_the_command_lines(house: House) -> None:
    """Both ask the same question, so both give the same answer."""
    with _database(house.dsn) as database, database.transaction() as connection:
        seen = production.look(connection, house.runs.live, 7)
        assert promotions.candidate(connection, house.runs.live, 7).images
        assert row(connection, "promotions.epoch", run_id=house.runs.live, position=7)
    assert seen.candidate.images == 12
