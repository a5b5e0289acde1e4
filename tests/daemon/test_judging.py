"""From a registered checkpoint to the owner's tables, advice and actions, on a real server.

Only the drawing is left out: the pictures are sprites made by code, handed in as the generator hands them in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from house import NOW, PICTURES, SUITE, House, open_house
from structlog.testing import capture_logs

from core import tested
from core.errors import Permanent
from core.formats.prompt_suite import suite_to_json
from core.metrics.profile import without_images
from core.store import owners_tables, scores
from core.store.database import bump, row, rows, run
from daemon.advising import advice_on
from daemon.judge import Judge
from daemon.planner import plan
from daemon.preparation import save_document
from pictures import enlarged


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database."""
    with open_house(migrated_dsn, tmp_path) as parts:
        yield parts


def test_epochs_are_scored_judged_and_written_for_the_owner(house: House) -> None:
    """A run that rises and falls: scores, verdicts, the pick, advice, alerts and the end of the run."""
    quality: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0, 4: 0.8, 5: 0.6, 6: 0.4}
    for epoch in range(1, 7):
        run_id = house.arrive(epoch)
        house.draw(quality)
        house.judge.judge()
    epochs = house.select("SELECT * FROM public.epoch_results ORDER BY epoch_number")
    assert [each["epoch_number"] for each in epochs] == [1, 2, 3, 4, 5, 6]
    averages = [float(each["average_score"]) for each in epochs]
    assert averages.index(max(averages)) == 2
    assert [each["picked"] for each in epochs] == [False, False, True, False, False, False]
    for each in epochs:
        assert each["visual_quality_score"] == int(each["visual_score"])
        assert each["num_test_images"] == 4
        assert each["verdict"] in ("best", "good", "acceptable", "skip", "failure")
    about = house.select("SELECT * FROM public.training_runs")[0]
    assert (about["status"], about["best_epoch"]) == ("completed", 3)
    assert about["convergence_status"] == "optimal"
    assert len(house.select("SELECT * FROM public.prompt_test_results")) == 24
    assert len(house.select("SELECT * FROM public.test_prompts")) == 4
    with house.database.transaction() as connection:
        history = rows(connection, "results.advice_history", run_id=run_id)
    stops = [each["body"]["latest"] for each in history if each["body"]["stop"]]
    assert stops, "a run that only falls must be stopped before its end"
    assert max(stops) < 6
    kinds = [each["key"].split("/") for each in house.select("SELECT key FROM epochwatch.actions")]
    assert sum(key[:1] == ["alert"] and key[2] == "stop_advised" for key in kinds) == 1
    assert sum(key[:1] == ["alert"] and key[2] == "run_finished" for key in kinds) == 1
    kept = {key[1] for key in kinds if key[0] == "keep"}
    assert {f"{3:064x}", f"{6:064x}"} <= kept


def test_a_finished_folder_has_ended_when_its_last_test_is_over(house: House) -> None:
    """First and last are drawn first: nobody is told of an end, or of a pick, before the middle is."""
    quality: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 1.0, 3: 0.7}
    for epoch in (1, 2, 3):
        house.arrive(epoch, planned=3)
    told = []
    for epoch in (1, 3, 2):
        house.draw(quality, only=epoch)
        house.judge.judge()
        alerts = house.select("SELECT key FROM epochwatch.actions WHERE kind = 'alert'")
        told.append([each["key"] for each in alerts if "/run_finished/" in each["key"]])
    assert [len(each) for each in told] == [0, 0, 1]
    assert told[2][0].endswith("/run_finished/3/2")
    [first, second, third] = house.select("SELECT sentence FROM epochwatch.advice ORDER BY id")
    assert "2 of the 3" in first["sentence"] or "1 of the 3" in first["sentence"]
    assert second["sentence"].startswith("Training is over; 1 saved checkpoint is not tested yet.")
    assert third["sentence"].startswith("Training has ended. Epoch 2 is best")


def test_saves_of_steps_take_as_long_as_a_save_and_not_as_a_step() -> None:
    """Every 500 steps in ten minutes: three saves are half an hour, not four seconds."""
    drawn = [
        {
            "position": step, "prompt_name": prompt, "seed": 1, "over": True, "source_path": "x",
            "saved_at": NOW + timedelta(minutes=step / 50),
            "body": {
                "visual_quality": score, "style_match": score, "prompt_adherence": score,
                "reasons": {}, "metrics": {}, "issues": [], "strengths": [],
                "background_hex": None, "unique_colors": None,
            },
        }
        for step, score in ((500, 9.0), (1000, 7.5), (1500, 6.0))
        for prompt in "ab"
    ]  # fmt: skip
    about = {"position_unit": "step", "total_steps": 3000, "stop": None, "price_per_hour": 0.6}
    advice, _ = advice_on(about, tested.tested_epochs(drawn, []), ended=False)
    assert advice.stop
    assert "Saves 3 checkpoints (about 30 min, $0.30)." in advice.sentence


def test_a_run_that_cannot_be_judged_is_named_and_holds_up_no_other(house: House) -> None:
    """The newest is looked at first; its suite is lost, and the older one is judged all the same."""
    older, newer = house.arrive(1, name="older"), house.arrive(1, name="newer", tests="adaptive")
    house.draw({None: 0.2, 1: 0.9})
    suite = house.select("SELECT suite FROM epochwatch.run_setups")[0]["suite"]
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.run_setups SET suite = repeat('a', 64) WHERE run_id = %s", (newer,)
        )
    with pytest.raises(Permanent, match=r"^newer could not be judged"):
        house.judge.judge()
    assert house.select("SELECT run_id FROM epochwatch.advice") == [{"run_id": older}]
    with house.database.transaction() as connection:
        connection.execute(b"UPDATE epochwatch.run_setups SET suite = %s", (suite,))
        bump(connection)
    house.judge.judge()
    assert len(house.select("SELECT run_id FROM epochwatch.advice")) == 2


def test_a_price_that_was_typed_while_the_run_was_blocked_stays(house: House) -> None:
    """What the machine's settings say is for runs that say nothing themselves."""
    run_id = house.arrive(1)
    setup = house.select("SELECT * FROM epochwatch.run_setups")[0]
    with house.database.transaction() as connection:
        run(connection, "costs.type_in", run_id=run_id, price=0.9, budget=None, gpu_name=None)
        run(connection, "runs.save_setup", **{**setup, "price_per_hour": 0.44})
    [stored] = house.select("SELECT price_per_hour FROM epochwatch.run_setups")
    assert float(stored["price_per_hour"]) == 0.9


def test_the_log_says_each_score_once_and_advice_when_its_words_change(house: House) -> None:
    """A price moves the evidence and not the sentence; a daemon that starts again repeats nothing."""
    run_id = house.arrive(1)
    house.draw({None: 0.2, 1: 0.9, 2: 0.9})
    with capture_logs() as said:
        house.judge.judge()
        with house.database.transaction() as connection:
            run(connection, "costs.type_in", run_id=run_id, price=0.9, budget=None, gpu_name=None)
            bump(connection)
        Judge(database=house.database, host="pod").judge()
        assert len(house.select("SELECT id FROM epochwatch.advice")) == 2
        house.arrive(2)
        house.draw({None: 0.2, 1: 0.9, 2: 0.9})
        house.judge.judge()
    told = [(each["event"], each.get("what")) for each in said]
    assert told == [
        ("scored", "epoch 1"),
        ("advice", None),
        ("scored", "epoch 2"),
        ("advice", None),
    ]


def test_a_run_finished_by_hand_stays_so_until_a_new_checkpoint(house: House) -> None:
    """New results of what there is change the advice, not that it is over; a new epoch does."""
    run_id = house.arrive(1)
    house.draw({None: 0.2, 1: 0.9, 2: 0.9})
    house.judge.judge()
    with house.database.transaction() as connection:
        owners_tables.finish_run(connection, run_id)
        scores.add(connection, run_id, 1, "ann", 5, 6, 5.5, "meh")
    house.judge.judge()
    said = (
        "SELECT sentence, status FROM epochwatch.advice, public.training_runs ORDER BY current_at"
    )
    assert house.select(said)[-1]["sentence"].startswith("Training has ended.")
    assert house.select(said)[-1]["status"] == "completed"
    house.arrive(2)
    house.draw({None: 0.2, 1: 0.9, 2: 0.9})
    house.judge.judge()
    assert house.select(said)[-1]["sentence"].startswith("Continue. 2 of the 3")
    assert house.select(said)[-1]["status"] == "in_progress"


def test_judging_again_writes_nothing_and_a_restart_neither(house: House) -> None:
    """Without news no row changes, no advice and no alert is added, also for a judge that just started."""
    house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    house.judge.judge()
    before = _everything(house)
    house.judge.judge()
    Judge(database=house.database, host="pod").judge()
    assert _everything(house) == before


def test_a_persons_word_comes_first_and_is_never_overwritten(house: House) -> None:
    """A logged score decides the verdict; what was typed into the owner's table by hand stays."""
    run_id = house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    house.judge.judge()
    with house.database.transaction() as connection:
        connection.execute(b"UPDATE public.epoch_results SET observations = 'garbled crown'")
        scores.add(connection, run_id, 1, "ann", 5, 6, 5.5, "meh")
    house.judge.judge()
    epoch = house.select("SELECT * FROM public.epoch_results")[0]
    assert epoch["observations"] == "garbled crown"
    assert epoch["visual_quality_score"] == 5
    assert float(epoch["average_score"]) == pytest.approx(5.5)
    assert epoch["verdict"] == "acceptable"
    machine = house.select("SELECT visual FROM epochwatch.measurements")
    assert any(float(each["visual"]) > 6 for each in machine)


def test_an_epoch_counts_only_when_its_test_is_over(house: House) -> None:
    """One of four images drawn is no verdict."""
    house.arrive(1)
    plan(house.database)
    first = house.select("SELECT sample_id FROM epochwatch.missing ORDER BY job_id DESC, ordinal")[
        0
    ]
    house.hand_in(first["sample_id"], enlarged(PICTURES[0].cells(), 96))
    house.judge.judge()
    assert house.select("SELECT * FROM public.epoch_results") == []


def test_an_image_handed_in_twice_is_stored_once(house: House) -> None:
    """The first image of a sample stands, whatever a second worker draws."""
    house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    sample = house.select("SELECT sample_id, image_sha256 FROM epochwatch.images")[0]
    house.hand_in(sample["sample_id"], np.zeros((96, 96, 3), np.uint8))
    again = house.select(
        f"SELECT image_sha256 FROM epochwatch.images WHERE sample_id = '{sample['sample_id']}'"
    )
    assert again == [{"image_sha256": sample["image_sha256"]}]


def test_a_sample_that_cannot_be_drawn_is_a_defect_and_not_a_zero(house: House) -> None:
    """A refused image has a reason, no score, and does not hold up the epoch."""
    house.arrive(1)
    plan(house.database)
    wanted = house.select("SELECT * FROM epochwatch.missing ORDER BY job_id, ordinal")
    for number, each in enumerate(wanted):
        if number == len(wanted) - 1:
            house.outbox.put_defect(each["sample_id"], "the image is black")
            house.outbox.bring_home(house.outbox.waiting()[0])
        else:
            house.hand_in(each["sample_id"], enlarged(PICTURES[each["ordinal"]].cells(), 96))
    with house.database.transaction() as connection:
        for job in {each["job_id"] for each in wanted}:
            assert row(connection, "grids.finish", job_id=job)
    house.judge.judge()
    epoch = house.select("SELECT num_test_images FROM public.epoch_results")[0]
    assert epoch["num_test_images"] == 3


def test_a_changed_prompt_redraws_one_prompt(house: House) -> None:
    """The suite is in no key: a new grid with one other prompt lacks just that image."""
    house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    changed = suite_to_json(SUITE)
    changed["prompts"][0]["text"] = "portrait number 3, smiling"
    with house.database.transaction() as connection:
        key = save_document(connection, "suite", "changed", changed)
        asked = row(connection, "runs.by_name", run_name="punk")
        assert asked is not None
        body = house.select("SELECT body FROM epochwatch.grids WHERE purpose = 'epoch'")[0]["body"]
        run(
            connection, "grids.ask", origin="again", run_id=asked["id"], purpose="compare",
            position=1, body={**body, "suite": key}, priority=1, why="test", by_whom="test",
        )  # fmt: skip
    plan(house.database)
    assert len(house.select("SELECT * FROM epochwatch.missing WHERE lacks_image")) == 1


def test_what_only_votes_judge_leaves_the_owners_flags_empty(house: House) -> None:
    """Nothing was measured, so no background is "not wrong" and no pixel "not stray"."""
    run_id = house.arrive(1, planned=1)
    with house.database.transaction() as connection:
        votes = without_images("votes", 24).as_json()
        key = save_document(connection, "profile", "votes", votes)
        connection.execute(b"UPDATE epochwatch.run_setups SET profile = %s", (key,))
    house.draw({None: 0.2, 1: 0.9})
    with house.database.transaction() as connection:
        scores.add(connection, run_id, 1, "ann", 8, 8, 8)
    house.judge.judge()
    (epoch,) = house.select("SELECT * FROM public.epoch_results")
    flags = ("has_wrong_backgrounds", "has_random_pixels", "has_wrong_colors", "is_photorealistic")
    assert [epoch[flag] for flag in flags] == [None] * 4
    images = house.select("SELECT has_random_artifacts FROM public.prompt_test_results")
    assert [each["has_random_artifacts"] for each in images] == [None] * 4


def _everything(house: House) -> str:
    tables = (
        "public.training_runs", "public.epoch_results", "public.prompt_test_results",
        "public.test_prompts", "epochwatch.advice", "epochwatch.actions", "epochwatch.written",
    )  # fmt: skip
    text = "".join(
        str(house.select(f"SELECT t.*, t.ctid FROM {table} t ORDER BY t.ctid")) for table in tables
    )
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_metric_that_stands_still_is_said_beside_the_advice(house: House) -> None:
    """Five epochs whose backgrounds all match: the advice says that this no longer tells them apart."""
    quality: dict[int | None, float] = {None: 0.2, 1: 0.9, 2: 0.9, 3: 0.9, 4: 0.9, 5: 0.9}
    for epoch in range(1, 6):
        run_id = house.arrive(epoch)
        house.draw(quality)
        house.judge.judge()
        with house.database.transaction() as connection:
            [reasons] = [
                each["body"]["reasons"]
                for each in rows(connection, "results.advice_history", run_id=run_id)[-1:]
            ]
        said = [reason for reason in reasons if "no longer tell" in reason]
        assert len(said) == (epoch == 5)
    assert "at epochs 1-5" in said[0]
