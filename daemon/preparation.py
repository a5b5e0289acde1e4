"""Decides what a run is tested with: base model, test prompts, training profile.

Runs on the host that has the files; what it finds becomes documents, so that any host can plan.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable
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
    base_sha256,
    family,
    find_base,
    find_named_base,
    hub_cache,
    mismatch,
    vae_sha256,
)
from core.formats.caption_file import CaptionedImage, derive_suite, read_captions
from core.formats.checkpoint_layout import is_family_certain
from core.formats.checkpoint_metadata import Values
from core.formats.prompt_suite import LoadedSuite, read_suite, suite_to_json
from core.formats.prompt_trigger import trigger_of_metadata
from core.formats.prompt_weights import CHUNK, spoken
from core.metrics import TrainingProfile
from core.metrics.look import COLOR_CELLS
from core.metrics.set_level import evenly, learn_training_cells
from core.nouns import Recipe, decimal_text, digest
from core.rules.alerting import notice
from core.rules.validity import Trial, doubts, trained_recipe
from core.settings import Settings
from core.store import set_level, weightings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.documents import save_document
from daemon.generator.renderers import renderer_identity
from daemon.generator.suitability import FLOW
from daemon.other_bases import OtherBases
from daemon.profiling import Profiled, grid_of_images, profile_of
from daemon.scorers.detecting import Detecting
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
        self.others = OtherBases(
            database=self.database,
            host=self.settings.host_name,
            find=self._look_for_name,
            hashed=self._hashed,
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
        self._find_vae()
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
            self._find_base(about, sha256)
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
            trained_on = Values(_metadata(known)).sha256("ss_new_sd_model_hash")
            setup["base_sha256"] = self._find_base(about, trained_on, is_needed=not whole)
            base = self.bases.get(setup["base_sha256"])
            if base is not None:
                self._refuse_misfit(known, about, base)
            images = self._training_images(about)
            kind = family(base) if base is not None else known[-1]["family"]
            suite = self._suite(known, about, images, kind)
            loaded = self._with_renderer(self._with_vae(suite))
            if whole:
                _refuse_renderer(loaded.suite.recipe.renderer)
            setup["suite"] = save_document(
                connection, "suite", loaded.suite.name, suite_to_json(loaded.suite)
            )
            setup["strength"] = decimal_text(loaded.strength)
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
            told = doubts(_metadata(known), trial, captions)
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

    def _find_base(self, about: Row, expected: str | None, *, is_needed: bool = True) -> str | None:
        """Return the SHA-256 of a run's base model; None where it is neither found nor needed.

        A model with the ``expected`` hash wins over a file that only has the name. Raises Fixable
        when there is none, and it is needed or a person has named it.
        """
        named = self.settings.base_model
        path = self._look_for(named or about["base_model"])
        if expected and not named and (path is None or self._is_another_file(path, expected)):
            path = self._look_for(expected) or path
        if path is None and not is_needed and not named:
            return None
        if path is None:
            asked = "you named" if named else "the checkpoints name"
            raise Fixable(
                f"No base model: {asked} {named or about['base_model']!r}, and it was looked for "
                "by name and by hash in the setting base_models, in the model folders of this machine "
                "and in its hub cache. Nothing is fetched from a hub: download the model, or start "
                "again with --base-model PATH, or add it to base_models in epochwatch.toml."
            )
        sha256 = self._hashed(path)
        self.bases[sha256] = path
        return sha256

    def _look_for(self, wanted: str) -> Path | None:
        """Return where the base model with this path, name or hash lies."""
        aliases, folders = self.settings.base_models, self._search_folders()
        return find_base(wanted, aliases, folders, self._hashed)

    def _look_for_name(self, wanted: str) -> Path | None:
        """Return the same for a name from a page, which reaches no further than those folders."""
        aliases, folders = self.settings.base_models, self._search_folders()
        return find_named_base(wanted, aliases, folders, self._hashed)

    def _is_another_file(self, path: Path, sha256: str) -> bool:
        """Say whether it is certainly not that model: trainers hash files, never folders."""
        return path.is_file() and self._hashed(path) != sha256

    def _hashed(self, path: Path) -> str:
        return self._remembered(path, base_sha256)

    def _remembered(self, path: Path, hashed: Callable[[Path], str], kind: str = "") -> str:
        """Hash a model once as long as its files do not change: they have gigabytes."""
        memory = self.settings.home / "bases.json"
        try:
            known = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        key = f"{kind}{path.absolute()} {_fingerprint(path)}"
        if key not in known:
            known[key] = hashed(path)
            half = memory.with_suffix(".part")
            half.write_text(json.dumps(known, indent=1), encoding="utf-8")
            half.replace(memory)
        return str(known[key])

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

    def _find_vae(self) -> str:
        """Return the SHA-256 of the VAE that the settings name, "" when they name none."""
        if self.settings.vae is None:
            return ""
        sha256 = self._remembered(self.settings.vae, vae_sha256, "vae ")
        self.bases[sha256] = self.settings.vae
        return sha256

    def _with_vae(self, loaded: LoadedSuite) -> LoadedSuite:
        """Put the VAE into the recipe, so that images drawn with another one are others."""
        found, wanted = self._find_vae(), loaded.suite.recipe.vae
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

    def _search_folders(self) -> list[Path]:
        return [self.settings.home / "models", Path.home() / "models", hub_cache(os.environ)]

    def _training_images(self, about: Row) -> tuple[CaptionedImage, ...]:
        """Return the captioned images, if this machine has them; without them some things are unknown."""
        folder = self.settings.data or (about["training_data_path"] or None)
        if folder is None or not Path(folder).is_dir():
            return ()
        return read_captions(Path(folder))

    def _suite(
        self, known: list[Row], about: Row, images: tuple[CaptionedImage, ...], kind: str
    ) -> LoadedSuite:
        if self.settings.suite is not None:
            loaded = read_suite(self.settings.suite, self.settings.embeddings)
            recipe = loaded.suite.recipe
            if loaded.is_trainers:
                recipe = _as_trained(recipe, _metadata(known))
            recipe = suited_to(recipe, kind, loaded.written)
            loaded = replace(loaded, suite=replace(loaded.suite, recipe=recipe))
            return _marked_by_origin(loaded, images)
        captions = [image.caption for image in images] or _captions_in_headers(known)
        if not captions:
            raise Fixable(
                "No test prompts: give a suite with --suite FILE or the training images with "
                "--data DIR, so that prompts can be derived from their captions."
            )
        recipe = suited_to(_recipe_of(about, images, _metadata(known)), kind)
        trigger = trigger_of_metadata(_metadata(known))
        return LoadedSuite(suite=derive_suite(captions, recipe=recipe, trigger=trigger))

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


def _fingerprint(path: Path) -> str:
    """Return what changes when a model's files do, without reading them."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    facts = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files]
    return digest(facts)


def _save_profile(connection: Connection, profile: TrainingProfile | None) -> str | None:
    """Store a profile, if there is one, and return its digest."""
    if profile is None:
        return None
    return save_document(connection, "profile", "training images", profile.as_json())


def _metadata(known: list[Row]) -> dict[str, str]:
    """Return what the trainer wrote into the newest of a run's checkpoints."""
    facts = known[-1]["facts"] if known else {}
    return {key: value for key, value in (facts or {}).items() if isinstance(value, str)}


def _recipe_of(about: Row, images: Iterable[CaptionedImage], metadata: dict[str, str]) -> Recipe:
    """Return the recipe when nobody gave one: size, clip skip and token length as trained."""
    width, _, height = (about["resolution"] or "512x512").partition("x")
    size = Recipe(width=int(width), height=int(height or width))
    recipe = replace(size, **trained_recipe(metadata))  # type: ignore[arg-type]
    sizes = {Image.open(image.path).size for image in images}
    small = {size for size in sizes if max(size) <= 128}
    if sizes and not small:
        return replace(recipe, grid=grid_of_images(tuple(images)))
    return replace(recipe, grid=min(size[0] for size in small)) if small else recipe


def _as_trained(recipe: Recipe, metadata: dict[str, str]) -> Recipe:
    """Return the recipe of sample prompts as their trainer draws them; BREAKs keep their room."""
    trained = trained_recipe(metadata)
    length = max(recipe.token_length, trained.pop("token_length", 0))
    return replace(recipe, token_length=length, **trained)  # type: ignore[arg-type]


def suited_to(recipe: Recipe, kind: str, written: Collection[str] = ()) -> Recipe:
    """Return a recipe with what nobody wrote as base models of the family ``kind`` are drawn.

    SD 3 and Flux follow a flow, with guidances as their authors' examples have them. A trainer's
    size need not be one that can be drawn. What is ``written`` stays, also where it is refused.
    """
    step = 16 if kind in FLOW else 8
    fitting: dict[str, Any] = {
        side: max(step, getattr(recipe, side) // step * step) for side in ("width", "height")
    }
    if kind in FLOW:
        guidance = "3.50" if kind == "flux" else "7.00"
        fitting |= {"sampler": "euler", "guidance": guidance, "clip_skip": 1, "token_length": CHUNK}
    return replace(recipe, **{key: fitting[key] for key in fitting.keys() - set(written)})


def _captions_in_headers(known: list[Row]) -> list[str]:
    """Return the caption fragments the trainer wrote into the checkpoint's own header."""
    for checkpoint in known:
        try:
            frequency = json.loads(checkpoint["facts"].get("ss_tag_frequency", ""))
        except (ValueError, TypeError):
            continue
        if isinstance(frequency, dict):
            tags = {
                str(tag): count
                for counts in frequency.values()
                if isinstance(counts, dict)
                for tag, count in counts.items()
                if isinstance(count, int)
            }
            return [
                tag.strip() for tag in sorted(tags, key=lambda tag: -tags[tag])[:200] if tag.strip()
            ]
    return []


def _marked_by_origin(loaded: LoadedSuite, images: tuple[CaptionedImage, ...]) -> LoadedSuite:
    """Mark each prompt seen, recombined or unseen against the training captions."""
    if not images:
        return loaded
    captions = {image.caption.strip() for image in images}
    words = {part.strip() for caption in captions for part in caption.split(",")}
    prompts = []
    for prompt in loaded.suite.prompts:
        text = spoken(prompt.text)
        parts = {part.strip() for part in text.split(",")}
        seen = text.strip() in captions or any(
            parts <= {part.strip() for part in caption.split(",")} for caption in captions
        )
        origin = "seen" if seen else "recombined" if parts <= words else "unseen"
        prompts.append(replace(prompt, origin=prompt.origin or origin))  # type: ignore[arg-type]
    return replace(loaded, suite=replace(loaded.suite, prompts=tuple(prompts)))
