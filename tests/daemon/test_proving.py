"""A score that cannot tell training images from the base model's is turned off, and all is measured again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house
from PIL import Image

from core.metrics import TrainingProfile, learn_profile
from core.nouns import Expectation
from core.settings import load_settings
from core.store.database import row, run
from daemon.planner import plan
from daemon.preparation import save_document
from daemon.proving import Proving
from pictures import portraits


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a prepared run whose training images are 24 portraits with captions."""
    data = tmp_path / "data"
    data.mkdir()
    for number, one in enumerate(portraits()[:24]):
        Image.fromarray(one.cells()).save(data / f"{number:02d}.png")
        caption = f"portrait, hair {one.hair}, background {one.background}"
        (data / f"{number:02d}.txt").write_text(caption, encoding="utf-8")
    with open_house(migrated_dsn, tmp_path) as opened:
        yield opened


def with_profile(house: House) -> int:
    """Register an epoch of a run that is measured against its training images; return the run."""
    run_id = house.arrive(1)
    drawn = portraits()[:24]
    captions = [
        Expectation(background=one.background, regions=(("hair", one.hair),)) for one in drawn
    ]
    profile = learn_profile([one.cells() for one in drawn], captions, 24)
    with house.database.transaction() as connection:
        setup = row(connection, "runs.get", run_id=run_id)
        assert setup
        key = save_document(connection, "profile", "training images", profile.as_json())
        run(
            connection, "runs.save_setup", run_id=run_id, suite=setup["suite"], profile=key,
            base_sha256=setup["base_sha256"], strength="1.00", tests="full", stop="normal",
            price_per_hour=None, blocked_reason=None, doubts=["the first doubt"],
        )  # fmt: skip
    return run_id


def prove(house: House, folder: Path) -> None:
    """Do what the daemon does after each look around."""
    settings = load_settings(home=folder, host_name="pod", data=folder / "data")
    Proving(database=house.database, store=house.outbox.store, settings=settings).prove()


def state(house: House) -> tuple[TrainingProfile, list[str]]:
    """Return the profile of the run, and what a person is told of it."""
    (found,) = house.select(
        "SELECT d.body, s.doubts FROM epochwatch.run_setups s"
        " JOIN epochwatch.documents d ON d.digest = s.profile"
    )
    return TrainingProfile.from_json(found["body"]), found["doubts"]


def test_a_base_model_that_draws_as_well_turns_the_scores_off_with_the_reason(
    house: House, tmp_path: Path
) -> None:
    """Where the base draws perfect sprites, visual and style prove nothing and do not count."""
    with_profile(house)
    house.draw({None: 1.0, 1: 0.9})
    before = len(house.select("SELECT id FROM epochwatch.grids"))
    prove(house, tmp_path)
    profile, doubts = state(house)

    assert {name for name, _ in profile.off} == {"visual_quality", "style_match"}
    assert doubts[0] == "the first doubt"
    assert any("Style match is off" in each and "AUC" in each for each in doubts)
    wanted = house.select(
        "SELECT m.style, m.prompt, m.body FROM epochwatch.grid_samples gs"
        " JOIN epochwatch.measurements m USING (sample_id, rubric)"
    )
    assert len(wanted) == len(house.select("SELECT FROM epochwatch.grid_samples"))
    assert all(each["style"] is None and each["prompt"] is not None for each in wanted)
    assert all(each["body"]["reasons"]["style_match"].startswith("off:") for each in wanted)
    plan(house.database)
    assert len(house.select("SELECT id FROM epochwatch.grids")) == before


def test_a_base_model_that_draws_noise_proves_the_scores(house: House, tmp_path: Path) -> None:
    """What tells the two apart counts, and nothing is measured twice."""
    with_profile(house)
    house.draw({None: 0.5, 1: 0.9})
    measured = house.select("SELECT count(*) FROM epochwatch.measurements")
    prove(house, tmp_path)
    profile, doubts = state(house)

    assert not {"visual_quality"} & {name for name, _ in profile.off}
    assert "the first doubt" in doubts
    if not profile.off:
        assert house.select("SELECT count(*) FROM epochwatch.measurements") == measured


def test_nothing_is_proved_before_the_baseline_is_drawn(house: House, tmp_path: Path) -> None:
    """No image, no proof; and no crash where this machine has no training images any more."""
    with_profile(house)
    plan(house.database)
    prove(house, tmp_path)
    house.draw({None: 1.0, 1: 0.9})
    prove(house, tmp_path / "elsewhere")

    assert state(house)[0].off == ()
