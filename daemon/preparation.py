"""Decides what a run is tested with: base model, test prompts, training profile.

Runs on the host that has the files; what it finds becomes documents, so that any host can plan.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from PIL import Image

from core.errors import Fixable
from core.formats.base_model import (
    FAMILIES,
    base_name,
    family,
    mismatch,
)
from core.formats.caption_file import CaptionedImage
from core.formats.checkpoint_layout import is_family_certain
from core.formats.checkpoint_metadata import Values
from core.formats.prompt_suite import LoadedSuite, suite_to_json
from core.metrics import TrainingProfile
from core.metrics.look import COLOR_CELLS
from core.metrics.set_level import evenly, learn_training_cells
from core.nouns import decimal_text, digest
from core.rules.alerting import notice
from core.rules.validity import Trial, doubts
from core.settings import Settings
from core.store import set_level, weightings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.documents import save_document
from daemon.base_models import BaseModels
from daemon.generator.renderers import renderer_identity
from daemon.generator.suitability import FLOW
from daemon.other_bases import OtherBases
from daemon.profiling import Profiled, profile_of
from daemon.scorers.detecting import Detecting
from daemon.suite_of_run import metadata_of, suite_of, training_images
from daemon.telling import tell

log = structlog.get_logger()

_NO_BASELINE = (
    "The base model that this full model was trained from is not known, so there is no baseline: "
    "what the training changed is not shown. Name it with --base-model when a run starts."
)
_LOOK_AGAIN = 20.0  # seconds until a blocked run is looked at again


@dataclass(kw_only=True)
class Preparation:
    """Finds and remembers the base models of this host, and sets runs up."""

    database: Database
    settings: Settings
    bases: dict[str, Path] = field(default_factory=dict)  # SHA-256 of a base or VAE -> path here
    _tried: dict[int, float] = field(default_factory=dict)  # run -> when it was last looked at
    _logged: dict[int, str] = field(default_factory=dict)  # run -> what blocks it

    def __post_init__(self) -> None:
        """Let base models that comparisons name be found where those of runs are."""
        self.models = BaseModels(settings=self.settings, found=self.bases)
        self.others = OtherBases(
            database=self.database,
            host=self.settings.host_name,
            find=self.models.find_named,
            hashed=self.models.hashed,
            bases=self.bases,
        )

    def prepare(self) -> None:
        """Set up every run of this host that has no set-up yet; look again now and then if blocked.

        Base models that comparisons name are looked for, too.
        """
        self.others.look()
        with self.database.transaction() as connection:
            waiting = rows(connection, "runs.unprepared", host=self.settings.host_name)
        for found in waiting:
            now = time.monotonic()
            if now - self._tried.get(found["id"], -_LOOK_AGAIN) >= _LOOK_AGAIN:
                self._tried[found["id"]] = now
                with self.database.transaction() as connection:
                    self._prepare_run(connection, found["id"])

    def restore_bases(self) -> None:
        """Find again, after a restart, the base models and the VAE that this host draws with.

        Raises Fixable when the setting ``vae`` names no VAE.
        """
        self.models.find_vae()
        with self.database.transaction() as connection:
            known = rows(connection, "runs.bases_of_host", host=self.settings.host_name)
            for setup in known:
                if setup["base_sha256"] not in self.bases:
                    about = row(connection, "runs.get", run_id=setup["run_id"])
                    if about is not None:
                        self._find_again(about, setup["base_sha256"])
        self.others.restore()

    def _find_again(self, about: Row, sha256: str) -> None:
        """Find the base of a run that was tested before; one that is gone keeps no other waiting."""
        try:
            self.models.find(about["base_model"], sha256)
        except Fixable as trouble:
            log.warning("base model is gone", run=about["run_name"], reason=str(trouble))

    def _prepare_run(self, connection: Connection, run_id: int) -> None:
        about = row(connection, "runs.get", run_id=run_id)
        if about is None:
            return
        setup: dict[str, Any] = {
            "run_id": run_id,
            "suite": about["suite"],
            "profile": about["profile"],
            "base_sha256": None,
            "strength": about["strength"] or "1.00",
            "tests": self.settings.tests,
            "stop": self.settings.stop,
            "price_per_hour": self.settings.price_per_hour,
            "blocked_reason": None,
            "doubts": [],
        }
        cells: str | None = None
        try:
            known = rows(connection, "checkpoints.current", run_id=run_id)
            whole = bool(known) and known[-1]["kind"] == "base"
            trained_on = Values(metadata_of(known)).sha256("ss_new_sd_model_hash")
            setup["base_sha256"] = self.models.find(
                about["base_model"], trained_on, is_needed=not whole
            )
            base = self.bases.get(setup["base_sha256"])
            if base is not None:
                self._refuse_misfit(known, about, base)
            images = training_images(self.settings, about)
            kind = family(base) if base is not None else known[-1]["family"]
            suite = suite_of(self.settings, known, about, images, kind)
            loaded = self._with_renderer(self._with_vae(suite))
            if whole:
                _refuse_renderer(loaded.suite.recipe.renderer)
            setup["suite"] = save_document(
                connection, "suite", loaded.suite.name, suite_to_json(loaded.suite)
            )
            setup["strength"] = decimal_text(loaded.strength)
            log.info(
                "setting up",
                run=about["run_name"],
                prompts=len(loaded.suite.prompts),
                training_images=len(images),
            )
            profiled = self._profiled(images, loaded)
            setup["profile"] = _save_profile(connection, profiled.profile)
            cells = self._training_cells(connection, images, loaded.suite.recipe.grid)
            trial = Trial(
                suite=loaded.suite,
                base_sha256=setup["base_sha256"],
                base_is_file=base is not None and base.is_file(),
                sentence_tokens=FLOW.get(kind),
            )
            captions = [image.caption for image in images]
            told = doubts(metadata_of(known), trial, captions)
            unknown = [_NO_BASELINE] if base is None else []
            setup["doubts"] = [*unknown, *told, *profiled.sentences]
        except Fixable as trouble:
            setup["blocked_reason"] = str(trouble)
        self._log_blocked(about, setup["blocked_reason"])
        if setup["blocked_reason"] != about["blocked_reason"] or setup["blocked_reason"] is None:
            run(connection, "runs.save_setup", **setup)
            weighting = weightings.in_force(connection)
            set_level.set_up(connection, run_id, training_cells=cells, weighting=weighting)
            if setup["blocked_reason"] is not None:
                _tell_blocked(connection, about, setup["blocked_reason"])
            bump(connection)

    def _log_blocked(self, about: Row, reason: str | None) -> None:
        if reason is not None and self._logged.get(about["id"]) != reason:
            log.warning("run is blocked", run=about["run_name"], reason=reason)
            self._logged[about["id"]] = reason

    def _refuse_misfit(self, known: list[Row], about: Row, base: Path) -> None:
        """Raise Fixable when the run is certainly for another family than this base model's."""
        if not known or not is_family_certain(known[-1]["notes"]):
            return
        newest, kind = known[-1], family(base)
        reason = mismatch(about["run_name"], newest["family"], base_name(base), kind)
        if reason is not None and newest["kind"] == "base":
            reason = (
                f"{about['run_name']} is a full model of {FAMILIES[newest['family']]}, and the base "
                f"model {base_name(base)} is {FAMILIES[kind]}: it cannot have been trained from it, "
                "so nothing was drawn. Name the model it was trained from, or none."
            )
        if reason is not None:
            raise Fixable(reason)

    def _with_vae(self, loaded: LoadedSuite) -> LoadedSuite:
        """Put the VAE into the recipe, so that images drawn with another one are others."""
        found, wanted = self.models.find_vae(), loaded.suite.recipe.vae
        if wanted not in {"", found}:
            raise Fixable(
                f"The suite is drawn with the VAE whose SHA-256 is {wanted[:12]}…, and the setting "
                f"vae names {f'another one, {found[:12]}…' if found else 'none'}. Let it name the "
                "suite's, or take the VAE out of the suite."
            )
        recipe = replace(loaded.suite.recipe, vae=found)
        return replace(loaded, suite=replace(loaded.suite, recipe=recipe))

    def _with_renderer(self, loaded: LoadedSuite) -> LoadedSuite:
        """Pin the command line or workflow that draws, so that a changed one draws other samples."""
        recipe = loaded.suite.recipe
        pinned = replace(recipe, renderer=renderer_identity(recipe.renderer, self.settings))
        return replace(loaded, suite=replace(loaded.suite, recipe=pinned))

    def _profiled(self, images: tuple[CaptionedImage, ...], loaded: LoadedSuite) -> Profiled:
        """Return what the run is measured as: the setting wins over the suite, that over a look."""
        chosen = self.settings.profile
        with Detecting(scorers=self.settings.scorers) as detecting:
            return profile_of(
                images,
                loaded.suite.recipe.grid,
                chosen=chosen if chosen != "auto" else loaded.profile,
                grid_is_told=loaded.grid_is_told,
                detecting=detecting,
            )

    def _training_cells(
        self, connection: Connection, images: tuple[CaptionedImage, ...], grid: int | None
    ) -> str | None:
        """Keep the training images as cells, so that copies of them are found on any host."""
        chosen = evenly(images)
        pixels = (np.asarray(Image.open(image.path).convert("RGB")) for image in chosen)
        names = [image.path.name for image in chosen]
        found = learn_training_cells(pixels, names, grid or COLOR_CELLS, of=len(images))
        if found is None:
            return None
        return save_document(connection, "training_cells", "training images", found.as_json())


def _tell_blocked(connection: Connection, about: Row, reason: str) -> None:
    """Tell people, once a reason, that nothing of a run is tested."""
    blocked = notice(
        "failure",
        f"blocked/{digest(reason)[:12]}",
        title="nothing is tested",
        body=reason,
        run_name=about["run_name"],
        run_id=about["id"],
    )
    tell(connection, about["id"], blocked)


def _refuse_renderer(renderer: str) -> None:
    """Raise for a renderer that is told the name of a base model and not where its file lies."""
    if renderer.startswith("comfyui"):
        raise Fixable(
            "Full models are not drawn through ComfyUI, whose workflow names its own base model. "
            'Set renderer = "diffusers" in the suite\'s recipe.'
        )


def _save_profile(connection: Connection, profile: TrainingProfile | None) -> str | None:
    """Store a profile, if there is one, and return its digest."""
    if profile is None:
        return None
    return save_document(connection, "profile", "training images", profile.as_json())
