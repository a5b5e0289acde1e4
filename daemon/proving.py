"""Before an epoch is judged: do the scores tell training images from the base model's own?

A score that cannot is turned off with its reason, and what was measured by then is measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from core.errors import Fixable
from core.formats.caption_file import read_captions
from core.metrics import TrainingProfile, measure_many
from core.metrics.profile_proof import prove_against_base, with_base_proofs
from core.metrics.set_level import evenly
from core.nouns import Expectation, Measurement, Recipe
from core.settings import Settings
from core.store.database import Connection, Database, Row, bump, rows, run
from core.store.documents import save_document
from core.store.files import ImageStore
from daemon.planner import baseline_origin, load_suite
from daemon.profiling import caption_of, enlarged, said_of_proofs
from daemon.rescoring import Rescoring
from daemon.scorers.detecting import Detecting

log = structlog.get_logger()
_MEASURED = 40  # training images, evenly over the folder


@dataclass(kw_only=True)
class Proving:
    """Holds the profile of each run of this host against what its base model draws."""

    database: Database
    store: ImageStore
    settings: Settings
    _done: set[tuple[int, str]] = field(default_factory=set)  # (run, profile)

    def prove(self) -> None:
        """Prove every run whose baseline is drawn, once for each profile."""
        with self.database.transaction() as connection:
            waiting = rows(connection, "proving.waiting", host=self.settings.host_name)
        for found in waiting:
            key = (found["run_id"], found["profile"])
            if key in self._done:
                continue
            self._done.add(key)
            # what a stopped process left under the profile of before is behind
            if self._prove_run(found) or found["is_behind"]:
                self._measure_again(found["run_id"])

    def _measure_again(self, run_id: int) -> None:
        with Detecting(scorers=self.settings.scorers) as detecting:
            Rescoring(
                database=self.database,
                store=self.store,
                run_id=run_id,
                host=self.settings.host_name,
                detecting=detecting,
            ).rescore(lambda _done, _all: None)

    def _prove_run(self, found: Row) -> bool:
        """Turn off what fails; return whether anything was."""
        profile = TrainingProfile.from_json(found["body"])
        with self.database.transaction() as connection:
            recipe = load_suite(connection, found["suite"]).recipe
            bodies = rows(connection, "proving.measured", grid_id=found["grid_id"])
        base = [Measurement.from_json(each["body"]) for each in bodies]
        training = self._of_training(found, profile, recipe)
        proven = with_base_proofs(profile, prove_against_base(training, base))
        if proven.off == profile.off:
            return False
        log.info("scores turned off", run=found["run_id"], off=dict(proven.off))
        with self.database.transaction() as connection:
            _put(connection, found, profile, proven)
        return True

    def _of_training(
        self, found: Row, profile: TrainingProfile, recipe: Recipe
    ) -> list[Measurement]:
        """Return what training images measure, at the size that images are drawn in."""
        folder = self.settings.data or Path(found["training_data_path"] or "")
        try:
            images = read_captions(folder) if profile.images else ()
        except Fixable:
            return []  # this machine does not have them any more
        chosen = evenly(images, _MEASURED) if images else ()
        return measure_many(
            [enlarged(image, recipe.width) for image in chosen],
            expects=[caption_of(image) or Expectation() for image in chosen],
            grid=recipe.grid,
            profile=profile,
            finishing=recipe.finishing,
        )


def _put(
    connection: Connection, found: Row, before: TrainingProfile, proven: TrainingProfile
) -> None:
    """Let the run, and all that is asked of it, be measured by the proven profile."""
    key = save_document(connection, "profile", "training images", proven.as_json())
    said = [each for each in found["doubts"] if each not in said_of_proofs(before)]
    doubts = [*said, *said_of_proofs(proven)]
    run_id = found["run_id"]
    run(connection, "proving.put_profile", run_id=run_id, profile=key, doubts=doubts)
    for grid in rows(connection, "proving.grids_under", run_id=run_id, profile=found["profile"]):
        body: Mapping[str, Any] = {**grid["body"], "profile": key}
        origin = baseline_origin(run_id, body) if grid["purpose"] == "baseline" else None
        run(connection, "proving.put_grid", grid_id=grid["id"], body=body, origin=origin)
    bump(connection)
