"""Each command does what its line of help says, in the shapes that scripts rely on."""

from __future__ import annotations

import json
import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from psycopg.types.json import Jsonb

import checkpoints_made as made
from core.settings import load_settings
from core.store.opening import open_dsn
from databases import old_database
from pictures import Portrait, noisy

PROMPT = "pixel art punk, pink hair #ff69b4, green background #50be50"
SUITE = """
name = "small"

[[prompt]]
name = "pink"
text = "pixel art punk, pink hair #ff69b4, green background #50be50"
"""


def test_converge_judges_a_list_of_scores(epochwatch: Any) -> None:
    """The sentence first, then the label and the reasons."""
    said = epochwatch("converge", "6,7,7")
    assert said.code == 0
    assert said.out.startswith("Continue. Epoch ")
    assert "label: improving   status: continue" in said.out
    assert said.out.count("\n- ") >= 2


def test_converge_reads_a_csv_and_prints_json(epochwatch: Any, here: Path) -> None:
    """With a byte order mark, as spreadsheets write it."""
    lines = ["epoch,prompt,score", *(f"{e},{p},{4 + e * 0.5}" for e in range(1, 6) for p in "abc")]
    (here / "scores.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    said = epochwatch("converge", "scores.csv", "--planned", 8, "--json")
    body = json.loads(said.out)
    assert body["label"] == "improving"
    assert body["pick"] == 5
    assert {"sentence", "status", "reasons", "p_best"} <= set(body)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("6,x",), "'x' is not a score"),
        (("6,11",), "11 is outside 0 to 10"),
        (("",), "no scores"),
        (("none.csv",), "There is no file none.csv"),
        (("6,7", "--stop", "never"), "--stop is 'never'"),
    ],
)
def test_converge_says_what_is_wrong_with_its_input(
    epochwatch: Any, words: tuple[str, ...], told: str
) -> None:
    """One line, and exit code 2."""
    said = epochwatch("converge", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert said.err.count("\n") == 1


def test_converge_refuses_a_file_that_is_no_text(epochwatch: Any, here: Path) -> None:
    """A picture in place of the scores is no crash."""
    (here / "scores.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    said = epochwatch("converge", "scores.csv")
    assert said.code == 2
    assert said.err.count("\n") == 1


def _pictures(here: Path) -> list[str]:
    portrait = Portrait()
    Image.fromarray(portrait.drawn()).save(here / "good.png")
    Image.fromarray(noisy(portrait.drawn(), 60)).save(here / "bad.png")
    return ["good.png", "bad.png"]


def test_measure_prints_json_of_the_promised_shape(epochwatch: Any, here: Path) -> None:
    """A list, an image each, and every metric with its range and what it means."""
    said = epochwatch("measure", *_pictures(here), "--prompt", PROMPT, "--json")
    good, bad = json.loads(said.out)
    assert (good["image"], bad["image"]) == ("good.png", "bad.png")
    for each in (good, bad):
        assert {"visual_quality", "style_match", "prompt_adherence", "metrics", "issues"} <= set(
            each
        )
        assert isinstance(each["issues"], list)
        for metric in each["metrics"].values():
            low, high = metric["range"]
            assert metric["explanation"]
            assert metric["value"] is None or low <= metric["value"] <= high
    assert good["style_match"] > bad["style_match"]
    assert good["prompt_adherence"] > 7


def test_measure_tells_people_the_scores_and_the_reasons(epochwatch: Any, here: Path) -> None:
    """Without a promise there is no adherence, and the line says so instead of 0."""
    said = epochwatch("measure", _pictures(here)[0])
    assert said.code == 0
    assert "visual quality" in said.out
    [adherence] = [line for line in said.out.splitlines() if "prompt adherence" in line]
    assert "- (" in adherence


def test_measure_takes_colors_given_by_hand(epochwatch: Any, here: Path) -> None:
    """No prompt is needed."""
    words = ("--background", "#50be50", "--region", "hair=#ff69b4", "--json")
    [found] = json.loads(epochwatch("measure", _pictures(here)[0], *words).out)
    assert found["prompt_adherence"] > 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("none.png",), "none.png"),
        (("text.png",), "text.png"),
        (("good.png", "--region", "hair"), "NAME=COLOR"),
        (("good.png", "--background", "#12"), "'#12' is not a color"),
        (("good.png", "--region", "hair=mauvish"), "'mauvish' is not a color"),
    ],
)
def test_measure_says_what_is_wrong_with_its_input(
    epochwatch: Any, here: Path, words: tuple[str, ...], told: str
) -> None:
    """One line, and exit code 2."""
    _pictures(here)
    (here / "text.png").write_text("no picture")
    said = epochwatch("measure", *words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert said.err.count("\n") == 1


def test_suite_check_shows_what_was_understood(epochwatch: Any, here: Path) -> None:
    """The promises of each prompt, as words and as JSON."""
    (here / "suite.toml").write_text(SUITE)
    said = epochwatch("suite", "check", "suite.toml")
    assert said.code == 0
    assert "background #50be50, hair #ff69b4" in said.out
    assert json.loads(epochwatch("suite", "check", "suite.toml", "--json").out)["name"] == "small"


def test_suite_check_names_prompts_without_the_trigger_word(epochwatch: Any, here: Path) -> None:
    """By a checkpoint's metadata, by the captions; without either nothing is said of it."""
    (here / "suite.toml").write_text(SUITE)
    made.kohya_file(here / "punk.safetensors", **{"modelspec.trigger_phrase": "zxpunk"})
    said = epochwatch("suite", "check", "suite.toml", "--checkpoint", "punk.safetensors")
    assert said.code == 0
    assert "leaves out the trigger word 'zxpunk'" in said.out
    (here / "data").mkdir()
    for number in range(4):
        Image.new("RGB", (24, 24)).save(here / "data" / f"{number}.png")
        (here / "data" / f"{number}.txt").write_text(f"sprite, number {number}")
    body = epochwatch("suite", "check", "suite.toml", "--data", "data", "--json").out
    assert "trigger word 'sprite'" in " ".join(json.loads(body)["doubts"])
    assert "trigger" not in epochwatch("suite", "check", "suite.toml").out
    (here / "no.safetensors").write_bytes(b"no checkpoint at all")
    said = epochwatch("suite", "check", "suite.toml", "--checkpoint", "no.safetensors")
    assert (said.code, said.out) == (2, "")
    assert "tells nothing of its training" in said.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SUITE + '\n[[prompt]]\nname = "b"\ntext = 3\n', 10),
        (SUITE + "\n[[prompt\n", 8),
        (SUITE + '\n[[prompt]]\nname = "b"\ntext = "x"\nseed = "y"\n', 11),
    ],
)
def test_suite_check_names_the_line_of_a_mistake(
    epochwatch: Any, here: Path, text: str, line: int
) -> None:
    """A person goes straight to it."""
    (here / "suite.toml").write_text(text)
    said = epochwatch("suite", "check", "suite.toml")
    assert said.code == 2
    assert f"line {line}" in said.err
    assert said.err.count("\n") == 1


def test_suite_init_derives_prompts_and_keeps_files(epochwatch: Any, here: Path) -> None:
    """It writes a suite that `check` reads, and never over another."""
    (here / "data").mkdir()
    for number, hair in enumerate(("pink", "blue", "green", "red", "white", "black")):
        Image.new("RGB", (24, 24)).save(here / "data" / f"{number}.png")
        text = f"pixel art punk, {hair} hair, yellow background"
        (here / "data" / f"{number}.txt").write_text(text)
    assert epochwatch("suite", "init", "data", "--count", 5).code == 0
    assert epochwatch("suite", "check", "suite.toml").code == 0
    again = epochwatch("suite", "init", "data")
    assert again.code == 2
    assert "exists already" in again.err


def test_an_empty_database_says_what_to_type(epochwatch: Any, dsn: str) -> None:
    """The first thing a new user sees."""
    said = epochwatch("runs", "list")
    assert (said.code, said.out) == (0, "No runs yet. Watch a folder: epochwatch watch PATH\n")
    assert json.loads(epochwatch("runs", "list", "--json").out) == []
    assert epochwatch("alerts", "list").out == "No alerts yet.\n"


def test_a_database_that_is_not_migrated_says_what_to_type(
    epochwatch: Any, fresh_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else's database is changed unasked."""
    monkeypatch.setenv("DATABASE_URL", fresh_dsn)
    said = epochwatch("runs", "list")
    assert said.code == 2
    assert "epochwatch db migrate" in said.err
    assert epochwatch("db", "migrate", "--yes").code == 0
    assert epochwatch("db", "migrate").out == "The database is up to date.\n"
    assert epochwatch("db", "status").out == "database: DATABASE_URL\nup to date\n"


def test_the_embedded_database_says_how_to_reach_it_by_hand(
    epochwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's own SQL is typed somewhere; the address works for whoever reads it."""
    with tempfile.TemporaryDirectory(prefix="ew-", dir="/tmp") as home:
        Path(home).chmod(0o711)  # the server is another user where this one is root
        monkeypatch.setenv("EPOCHWATCH_HOME", home)
        said = epochwatch("db", "status").out.splitlines()
        assert said[0] == f"database: embedded, in {home}/pg"
        assert said[2].startswith("migrations to apply: ")
        address = said[1].split('psql "')[1].rstrip('"')
        with open_dsn(load_settings()), psycopg.connect(address) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("epochwatch",)
        assert epochwatch("db", "stop").code == 0


def test_runs_are_listed_and_shown(epochwatch: Any, add_run: Any) -> None:
    """Names of runs are foreign text: nothing in them forges a line or a color."""
    add_run("punks-v7")
    add_run("evil\x1b[31m\nname [bold]x[/bold]", "completed")
    listed = epochwatch("runs", "list")
    assert listed.code == 0
    assert "punks-v7" in listed.out
    assert "\x1b" not in listed.out
    assert "[bold]x[/bold]" in listed.out
    shown = epochwatch("runs", "show", "punks-v7")
    assert shown.out.startswith("Nothing is tested yet.")
    assert json.loads(epochwatch("runs", "show", "punks-v7", "--json").out)["advice"] is None
    assert epochwatch("runs", "scores", "punks-v7").out.split() == ["epoch,prompt,score"]


def test_a_run_that_is_blocked_says_by_what(epochwatch: Any, add_run: Any, dsn: str) -> None:
    """That nothing is tested yet would send nobody to mend it."""
    run_id = add_run("punks")
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.run_setups (run_id, tests, stop, strength, blocked_reason)"
            " VALUES (%s, 'full', 'normal', 1, 'No base model: mistyped.')", (run_id,)
        )  # fmt: skip
    assert epochwatch("runs", "show", "punks").out == "No base model: mistyped.\n"


def test_a_run_that_is_not_there_lists_those_that_are(epochwatch: Any, add_run: Any) -> None:
    """Names are long and easy to mistype."""
    add_run("punks-v7")
    said = epochwatch("runs", "show", "punks-v8")
    assert said.code == 2
    assert said.err == "epochwatch: There is no run called 'punks-v8'. Runs: punks-v7.\n"


def test_a_run_is_finished_by_hand(epochwatch: Any, add_run: Any) -> None:
    """Said in one line, and it is so."""
    add_run("punks-v7")
    assert epochwatch("runs", "finish", "punks-v7").out == "punks-v7 is marked completed.\n"
    [run] = json.loads(epochwatch("runs", "list", "--json").out)
    assert run["status"] == "completed"


def test_log_takes_the_run_in_progress(epochwatch: Any, add_run: Any, dsn: str) -> None:
    """The one line people type while they look at pictures."""
    add_run("old", "completed")
    add_run("punks-v7")
    said = epochwatch("log", 7, 8, 7.5, 9, "eyes are right at last")
    assert (said.code, said.out) == (
        0,
        "Epoch 7: 8.2 logged.\nThe machine has no score of it yet.\n",
    )
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT position, visual, style, prompt, note, judge <> '' FROM epochwatch.scores"
        ).fetchall()
        connection.execute("UPDATE public.training_runs SET position_unit = 'step'")
    assert found == [(7, 8, Decimal("7.5"), 9, "eyes are right at last", True)]
    assert epochwatch("log", 500, 8, 8, 8).out.startswith("Step 500: 8.0 logged.\n")


def test_log_without_a_run_lists_the_runs(epochwatch: Any, add_run: Any) -> None:
    """With two in progress it would be a guess; with none, all are shown."""
    add_run("old", "completed")
    assert "--run NAME. Runs: old." in epochwatch("log", 7, 8, 8, 8).err
    add_run("a")
    add_run("b")
    said = epochwatch("log", 7, 8, 8, 8)
    assert said.code == 2
    assert "--run NAME. Runs: b, a." in said.err
    assert epochwatch("log", 7, 8, 8, 8, "--run", "b").code == 0


@pytest.mark.parametrize("score", ["11", "nan", "inf"])
def test_log_refuses_a_score_outside_its_range(epochwatch: Any, add_run: Any, score: str) -> None:
    """Scores go from 0 to 10."""
    add_run("punks-v7")
    said = epochwatch("log", 7, score, 8, 8)
    assert said.code == 2
    assert "0 to 10" in said.err


def test_doctor_says_line_by_line_what_is_ready(epochwatch: Any, dsn: str) -> None:
    """Each part a run needs has its line."""
    said = epochwatch("doctor")
    for name in ("python", "database", "image store", "disk", "alert addresses", "drawing"):
        assert f"ok    {name} " in said.out
    assert said.code == 0


def test_doctor_says_what_is_wrong_and_goes_on(
    epochwatch: Any, dsn: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad part does not hide the others, and its secret is not shown."""
    monkeypatch.setenv("EPOCHWATCH_ALERT_URLS", "slakc://s3cr3t-t0ken/x")
    (here / "file").write_text("")
    monkeypatch.setenv("EPOCHWATCH_HOME", str(here / "file" / "home"))
    said = epochwatch("doctor")
    assert said.code == 2
    assert "WRONG alert addresses  Alert address 1 (slakc://...)" in said.out
    assert "WRONG disk" in said.out
    assert "ok    database" in said.out
    assert said.err == "epochwatch: Not ready: disk, alert addresses.\n"
    assert "s3cr3t" not in said.out


def test_alerts_are_listed_with_what_came_of_them(epochwatch: Any, dsn: str) -> None:
    """A person sees what was not delivered, and why."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.actions (key, kind, payload, state, error)"
            " VALUES ('a', 'alert', %s, 'failed', 'slack-1 did not take the message.')",
            (Jsonb({"title": "stop, epoch 7 is best", "body": "x"}),),
        )
    said = epochwatch("alerts", "list")
    assert "stop, epoch 7 is best" in said.out
    assert "slack-1 did not take the message." in said.out
    assert json.loads(epochwatch("alerts", "list", "--json").out)[0]["state"] == "failed"


def test_alerts_test_says_which_address_is_reached(
    epochwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address it says how to set one; an address that fails is exit code 1."""
    said = epochwatch("alerts", "test")
    assert said.code == 2
    assert "EPOCHWATCH_ALERT_URLS" in said.err
    monkeypatch.setenv("EPOCHWATCH_ALERT_URLS", "json://127.0.0.1:9/s3cr3t")
    said = epochwatch("alerts", "test")
    assert said.code == 1
    assert said.out.startswith("WRONG json-")
    assert "s3cr3t" not in said.out + said.err


def test_a_report_is_written_where_it_is_asked_for(
    epochwatch: Any, add_run: Any, here: Path
) -> None:
    """Into the home's reports, a folder, or a file of its own name."""
    run_id = add_run("punks-v7")
    where = here / "home" / "reports" / f"run-{run_id}.html"
    assert epochwatch("report", "punks-v7").out.strip() == str(where)
    assert "punks-v7" in where.read_text()
    assert epochwatch("report", "punks-v7", "-o", "mine.html").code == 0
    assert (here / "mine.html").read_text().startswith("<!doctype html>")


def test_an_empty_table_is_an_empty_list_for_a_program(epochwatch: Any, dsn: str) -> None:
    """A script reads no error where there is nothing yet; a sum of nothing known is no 0."""
    assert json.loads(epochwatch("runs", "export", "--json").out) == []
    assert epochwatch("runs", "export").code == 2
    found = json.loads(epochwatch("costs", "--json").out)
    assert (found["cost"], found["cost_of_failed"]) == (None, None)


def test_a_database_behind_says_what_to_do(
    epochwatch: Any, server_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of migrations alone would leave a person asking."""
    with old_database(server_dsn) as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        said = epochwatch("db", "status")
    assert "apply them with: epochwatch db migrate" in said.out


def test_times_in_a_table_are_read_by_people(epochwatch: Any, dsn: str) -> None:
    """To the minute; all digits are in the JSON."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.actions (key, kind, payload) VALUES (%s, 'alert', %s)",
            ("alert/x", Jsonb({"title": "hello"})),
        )
    assert re.search(r"\d\d:\d\d  hello", epochwatch("alerts", "list").out)
