"""The compare page: what is there, what is missing, and a new comparison asked for by a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house
from streamlit.testing.v1 import AppTest

from core.store.comparisons import comparisons
from core.wishes import ask_comparison
from daemon.planner import plan
from dashboard import access, link

VIEW = Path(__file__).resolve().parents[2] / "dashboard" / "views" / "compare.py"
QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0}


@pytest.fixture
def house(fresh_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Give a run of three tested epochs to a dashboard of its own."""
    monkeypatch.setenv("DATABASE_URL", fresh_dsn)
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
    link.shared_link.cache_clear()
    access.shared_key.cache_clear()
    with open_house(fresh_dsn, tmp_path) as parts:
        for epoch in (1, 2, 3):
            parts.arrive(epoch)
            parts.draw(QUALITY)
            parts.judge.judge()
        yield parts
    link.shared_link().close()
    link.shared_link.cache_clear()


def words_of(page: AppTest) -> str:
    """Return everything that is on the page."""
    return " ".join(str(each.proto) for each in page.main)


def test_a_person_compares_the_pick_with_the_base(house: House) -> None:
    """Two clicks make a comparison of what is drawn already."""
    page = AppTest.from_file(str(VIEW), default_timeout=20).run()
    assert "Nothing is compared yet" in words_of(page)
    page.text_input(key="judge-compare").set_value("ann")
    page.button(key="compare-go").click().run()
    assert not page.exception
    with house.database.transaction() as connection:
        (made,) = comparisons(connection)
    assert (made.title, made.by_whom) == ("base / epoch 3", "ann")


def test_the_other_lora_may_be_called_anything(house: House) -> None:
    """Signs that mean something in a slot are quoted by the page, which knows them for a name."""
    name = """v2+a@0.5: "don't" \\u{a}"""
    other = house.arrive(4, name="palette")
    house.draw({**QUALITY, 4: 0.9})
    house.judge.judge()
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE public.training_runs SET run_name = %s WHERE id = %s", (name, other)
        )
        (run,) = connection.execute(
            b"SELECT id FROM public.training_runs WHERE id <> %s", (other,)
        ).fetchall()
    page = AppTest.from_file(str(VIEW), default_timeout=20).run()
    page.selectbox(key="compare-run").set_value(run["id"]).run()
    page.radio(key="compare-kind").set_value("Pick with another LoRA").run()
    page.button(key="compare-go").click().run()
    assert not page.exception
    assert not page.error
    with house.database.transaction() as connection:
        (made,) = comparisons(connection)
    merged = [f"epoch 3 + {name} epoch 4 at {at}" for at in ("0.30", "0.50", "0.80")]
    assert made.title == " / ".join(["epoch 3", *merged])


def test_what_is_missing_stands_in_its_place(house: House) -> None:
    """A strength that was never drawn is to be drawn; the rest is shown with scores."""
    with house.database.transaction() as connection:
        run_id = connection.execute(b"SELECT id FROM public.training_runs").fetchall()[0]["id"]
        ask_comparison(connection, run_id=run_id, slots=["base", "3", "3@0.7"], by_whom="ann")
    plan(house.database)
    page = AppTest.from_file(str(VIEW), default_timeout=20).run()
    assert not page.exception
    words = words_of(page)
    assert "8 of 12 images drawn" in words
    assert words.count("to be drawn") == 4
    assert "epoch 3 at 0.70" in words


def test_slots_that_are_not_there_are_an_answer_not_a_crash(house: House) -> None:
    """What a person types by hand is checked, and the page says what there is."""
    page = AppTest.from_file(str(VIEW), default_timeout=20).run()
    page.radio(key="compare-kind").set_value("My own choice").run()
    page.text_area(key="compare-own").set_value("base\n9").run()
    page.button(key="compare-go").click().run()
    assert not page.exception
    assert "no checkpoint 9" in page.error[0].value
    with house.database.transaction() as connection:
        assert comparisons(connection) == ()
