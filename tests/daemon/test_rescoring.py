"""The same pictures under today's rubric: nothing is drawn, nothing is lost, people are untouched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from house import House, open_house

from core.errors import Fixable
from core.metrics import metric_versions
from core.metrics.detector import Detector
from core.metrics.profile import without_images
from core.metrics.proof import Proof
from core.nouns import Expectation
from core.store import scores, set_level, weightings
from core.store.documents import save_document
from daemon import rescoring
from daemon.rescoring import Rescored, Rescoring


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database, with two epochs judged."""
    with open_house(migrated_dsn, tmp_path) as parts:
        for epoch in (1, 2):
            parts.arrive(epoch)
            parts.draw({None: 0.2, 1: 0.6, 2: 0.9})
        parts.judge.judge()
        yield parts


def _rescore(house: House, *, keep: bool = True) -> Rescored:
    run_id = house.select("SELECT id FROM public.training_runs")[0]["id"]
    work = Rescoring(
        database=house.database, store=house.outbox.store, run_id=run_id, host="pod", keep=keep
    )
    return work.rescore(lambda *_: None)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a metric gives other numbers since today."""
    versions = {**metric_versions(), "tones": 99}
    monkeypatch.setattr(rescoring, "metric_versions", lambda: versions)


def test_without_news_nothing_is_measured(house: House) -> None:
    """The rubric is the same, so are the numbers."""
    found = _rescore(house)

    assert (found.measured, found.current, found.images) == (0, 12, 12)
    assert all(each.before == each.after for each in found.changes)


def test_a_new_version_measures_again_and_keeps_what_was(house: House, newer: None) -> None:
    """Every picture has both measurements, is read under the new one, and the run is judged anew."""
    with house.database.transaction() as connection:
        run_id = house.select("SELECT id FROM public.training_runs")[0]["id"]
        scores.add(connection, run_id, 1, "ann", 5, 6, 5.5)
    rubrics = {
        each["rubric"] for each in house.select("SELECT rubric FROM epochwatch.grid_samples")
    }

    found = _rescore(house)
    again = _rescore(house)

    assert (found.measured, found.kept, again.measured, again.current) == (12, True, 0, 12)
    assert [each.position for each in found.changes] == [1, 2]
    assert len(house.select("SELECT * FROM epochwatch.measurements")) == 24
    now = {each["rubric"] for each in house.select("SELECT rubric FROM epochwatch.grid_samples")}
    assert not rubrics & now
    assert house.select("SELECT * FROM epochwatch.missing") == []
    assert len(house.select("SELECT * FROM epochwatch.scores")) == 1
    first = house.select("SELECT average_score FROM public.epoch_results ORDER BY epoch_number")[0]
    assert float(first["average_score"]) == 5.5


def _seen_by_clip(house: House) -> str:
    """Store a profile whose crown is seen by a plugged-in model, and return its key."""
    proof = Proof(auc=0.9, low=0.8, high=1, positives=20, negatives=20)
    detector = Detector(
        scorer="clip", model="ab", positives=20, negatives=20, proof=proof, surely=0.1
    )
    profile = replace(without_images("character", 24), images=20, detectors=(("crown", detector),))
    with house.database.transaction() as connection:
        return save_document(connection, "profile", "training images", profile.as_json())


def test_without_the_model_that_sees_things_nothing_is_measured(house: House, newer: None) -> None:
    """Else scores would change for want of it, and nobody would know why."""
    key = _seen_by_clip(house)
    with house.database.transaction() as connection:
        connection.execute("UPDATE epochwatch.run_setups SET profile = %s", (key,))

    with pytest.raises(Fixable, match="seen by clip"):
        _rescore(house)
    assert len(house.select("SELECT * FROM epochwatch.measurements")) == 12


def test_what_a_model_sees_in_a_drawn_image_enters_its_score(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is asked about each image as it comes home."""
    monkeypatch.setattr(house.outbox.detecting, "see", lambda *_: {"crown": 0.1})
    wish = {
        "expect": Expectation(accessories=("crown",)).as_json(), "profile": _seen_by_clip(house),
        "recipe": {}, "weighting": None, "rubric": "",
    }  # fmt: skip
    pixels = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    with house.database.transaction() as connection:
        found = house.outbox.measure_under(connection, "x", wish, pixels, keep=False)

    assert found.prompt_adherence == 10
    assert "by clip" in found.metrics["accessory_crown"].explanation


def test_a_trial_shows_the_same_and_stores_nothing(house: House, newer: None) -> None:
    """Before and after are told; no row is written."""
    trial = _rescore(house, keep=False)

    assert (trial.measured, trial.kept) == (12, False)
    assert len(house.select("SELECT * FROM epochwatch.measurements")) == 12
    assert [each.after for each in trial.changes] == [
        each.after for each in _rescore(house).changes
    ]


def test_adopted_weights_change_the_average_alone(house: House) -> None:
    """The three scores and all metrics stay; the average becomes what the weights make of the parts."""
    before = house.select("SELECT * FROM public.epoch_results ORDER BY epoch_number")
    with house.database.transaction() as connection:
        weights = {"weights": {"few_strays": 1.0}}
        key = save_document(connection, "weighting", "test", weights)
        weightings.adopt(connection, key, "ann", "for a test")

    found = _rescore(house)

    after = house.select("SELECT * FROM public.epoch_results ORDER BY epoch_number")
    for old, new, change in zip(before, after, found.changes, strict=True):
        assert old["visual_score"] == new["visual_score"]
        assert old["average_score"] != new["average_score"]
        assert float(new["average_score"]) == pytest.approx(change.after, abs=0.001)


def test_a_picture_that_the_store_lost_keeps_its_numbers(house: House, newer: None) -> None:
    """It is counted, and the epoch is still whole."""
    lost = house.select(
        "SELECT i.image_sha256 FROM epochwatch.images i JOIN epochwatch.grid_samples USING (sample_id)"
        " JOIN epochwatch.grids g ON g.id = grid_id WHERE g.position = 2 LIMIT 1"
    )[0]["image_sha256"]
    store = house.outbox.store
    for path in store._root.rglob(f"{lost}*"):  # type: ignore[attr-defined]
        path.unlink()

    found = _rescore(house)

    assert found.lost >= 1
    assert found.measured == 12 - found.lost
    epochs = house.select("SELECT num_test_images FROM public.epoch_results")
    assert [each["num_test_images"] for each in epochs] == [4, 4]


def test_cells_that_were_not_kept_are_read_again(house: House, newer: None) -> None:
    """Pictures drawn before cells were kept become comparable."""
    with house.database.transaction() as connection:
        connection.execute(b"DELETE FROM epochwatch.cells")
    _rescore(house)

    samples = [
        each["sample_id"] for each in house.select("SELECT sample_id FROM epochwatch.images")
    ]
    with house.database.transaction() as connection:
        assert set_level.with_cells(connection, samples) == set(samples)
