"""The run page with a history: one's own score comes before the machine's, and whole sets are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from core.store.objections import Objection
from core.store.set_level import SetLevelLine
from dashboard import access, link
from dashboard.parts import whole_sets
from databases import migrated_database
from seeded_history import MemoryStore, Seeded, seed

VIEW = Path(__file__).resolve().parents[2] / "dashboard" / "views" / "run.py"


@pytest.fixture
def run_page(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[AppTest, Seeded]]:
    """The page of the run in progress, over a database of its own."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            made = seed(connection, MemoryStore())
            connection.execute(
                "INSERT INTO epochwatch.set_levels (run_id, position, body) VALUES (%s, 8, %s)",
                (made.live, json.dumps(BODY)),
            )
        monkeypatch.setenv("DATABASE_URL", dsn)
        monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
        link.shared_link.cache_clear()
        access.shared_key.cache_clear()
        try:
            page = AppTest.from_file(str(VIEW), default_timeout=240)
            page.query_params["run"] = str(made.live)
            yield page.run(), made
        finally:
            link.shared_link().close()
            link.shared_link.cache_clear()
            access.shared_key.cache_clear()


BODY = {
    "diversity": {"value": 0.42, "ratio": 0.55, "low": 0.5, "high": 0.61, "collapsed": True},
    "copies": {"copies": 3, "images": 12, "low": 0.05, "high": 0.57,
               "examples": [["pink", "punk_017.png"]]},
    "gap": None,
    "reasons": {"gap": "not measurable: one seed per prompt"},
    "overtrained": None,
    "said": "Cannot be known.",
    "training": {"kept": 400, "of": 2000},
}  # fmt: skip


def _words(page: AppTest) -> str:
    assert not page.exception
    return " ".join(str(each.proto) for each in page.main)


def _score_of(page: AppTest, position: int, judge: str) -> AppTest:
    page.selectbox(key=f"score-at-{page.query_params['run'][0]}").set_value(position)
    page.text_input(key="judge").set_value(judge)
    return page.run()


def test_the_machines_score_comes_after_ones_own(run_page: tuple[AppTest, Seeded]) -> None:
    """Images and a form first; the two side by side with the difference once it is logged."""
    page, _ = run_page
    page = _score_of(page, 5, "Zoe")
    assert "stays hidden here until yours is in" in _words(page)
    assert "the machine</th>" not in _words(page)

    next(each for each in page.button if each.label == "Log this score").click()
    page = page.run()

    assert "the machine</th><th>difference" in _words(page)
    assert "stays hidden here" not in _words(page)


def test_a_score_without_a_name_is_not_taken(run_page: tuple[AppTest, Seeded]) -> None:
    """Scores stay whose they are."""
    page = _score_of(run_page[0], 5, " ")

    next(each for each in page.button if each.label == "Log this score").click()

    assert "Say who you are" in _words(page.run())


def test_the_whole_page_can_keep_the_machines_scores_to_itself(
    run_page: tuple[AppTest, Seeded],
) -> None:
    """Advice, chart and grid say nothing of epochs that one has not scored oneself."""
    page, _ = run_page
    assert "Epoch 7 is best" in _words(page)
    page = _score_of(page, 5, "Zoe")

    page.toggle(key="hide-machine").set_value(True)
    words = _words(page.run())

    assert "Hidden until your scores are in." in words
    assert "Epoch 7 is best" not in words
    assert "Random pixels came back" not in words


def test_whole_sets_and_what_is_called_wrong_are_shown(run_page: tuple[AppTest, Seeded]) -> None:
    """With intervals, the reason of what is missing, and how many training images were compared."""
    words = _words(run_page[0])

    assert "0.42 of 1, 55 % of the first (50 % to 61 %); mode collapse" in words
    assert "3 of 12 (5 % to 57 %)" in words
    assert "gap: not measurable: one seed per prompt." in words
    assert "400 of 2000 training images" in words


def test_names_and_notes_of_others_stay_text() -> None:
    """Markup in a note, a prompt or a file name is shown, not run."""
    hostile = "<script>1</script>"
    line = SetLevelLine(
        position=1,
        body={**BODY, "copies": {**BODY["copies"], "examples": [[hostile, hostile]]}},  # type: ignore[dict-item]
    )
    objection = Objection(
        sample_id="a", rubric="b", score="style", direction="too_low", judge=hostile, note=hostile,
        created_at=None, position=None, prompt_name=hostile, seed=1,  # type: ignore[arg-type]
    )  # fmt: skip

    assert "<script>" not in whole_sets.table([line], "epoch")
    assert "<script>" not in whole_sets.called_wrong([objection], "epoch")
