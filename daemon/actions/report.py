"""Gathers what a report tells and writes it, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import plans
from core.bleeding import LOOK_FOR, bleeding_of, bleeding_words
from core.charts.progress import Progress
from core.errors import EpochwatchError, Fixable
from core.nouns import unit_of
from core.reports.run_report import Cell, GridRow, Planned, Story, run_report
from core.rules.gates import hypothesis_sentence
from core.store import gallery
from core.store.database import Connection, rows
from core.store.files import ImageStore

_PARAMETERS = (
    "base_model", "model_type", "network_dim", "network_alpha", "learning_rate", "unet_lr",
    "text_encoder_lr", "optimizer_type", "lr_scheduler", "train_batch_size", "max_train_epochs",
    "total_steps", "resolution", "num_images", "mixed_precision", "noise_offset", "output_dir",
)  # fmt: skip


def write_report(connection: Connection, store: ImageStore, run_id: int, where: Path) -> Path:
    """Write the run's report and return its path; ``where`` is a folder, or a file ``*.html``."""
    story = story_of(connection, store, run_id)
    path = where if where.suffix == ".html" else where / f"run-{run_id}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".html.part")
    half.write_text(run_report(story), encoding="utf-8")
    half.replace(path)
    return path


def story_of(connection: Connection, store: ImageStore, run_id: int) -> Story:
    """Return everything the report of a run tells."""
    about = gallery.run(connection, run_id)
    if about is None:
        raise LookupError(f"there is no run {run_id}")
    advice = gallery.advice(connection, run_id)
    epochs = gallery.epochs(connection, run_id)
    body = advice.body if advice else None
    positions, grid = _grid(store, gallery.pictures(connection, run_id))
    unit = unit_of(about["position_unit"])
    progress = Progress(
        averages={e.position: float(e.average) for e in epochs if e.average is not None},
        curve=body.get("curve", ()) if body else (),
        people=[
            (p.position, p.average, p.judge) for p in gallery.person_scores(connection, run_id)
        ],
        p_best={int(k): v for k, v in body["p_best"].items()} if body else None,
        pick=body["pick"] if body else None,
        unit=unit,
        rates=body.get("rates", ()) if body else (),
        rates_from=body.get("rates_from", "") if body else "",
    )
    history = rows(connection, "results.advice_history", run_id=run_id)
    return Story(
        run_name=about["run_name"],
        status=about["status"],
        unit=unit,
        advice=body,
        advice_history=[(each["created_at"], each["sentence"]) for each in history],
        progress=progress,
        epochs=[vars(epoch) for epoch in epochs],
        grid=grid,
        positions=positions,
        parameters={name: about[name] for name in _PARAMETERS if about.get(name) is not None},
        written_at=datetime.now(UTC),
        planned=_planned(connection, run_id),
        doubts=about["doubts"] or (),
        bleeding=_bleeding(connection, run_id, unit),
    )


def _bleeding(connection: Connection, run_id: int, unit: str) -> str:
    found = bleeding_of(connection, run_id)
    return "" if found is None else f"{LOOK_FOR} {bleeding_words(found, unit)}".strip()


def _planned(connection: Connection, run_id: int) -> Planned | None:
    try:
        standing = plans.look(connection, run_id)
    except Fixable:  # a plan that cannot be read takes no report away
        return None
    if standing is None:
        return None
    return Planned(
        sentence=hypothesis_sentence(standing.plan, standing.gates),
        hypothesis=standing.plan.hypothesis,
        gates=standing.gates,
        expectations=standing.expectations,
        is_late=plans.history(connection, run_id)[-1].after_results,
    )


def _grid(
    store: ImageStore, pictures: tuple[gallery.Picture, ...]
) -> tuple[list[int], list[GridRow]]:
    positions = sorted({p.position for p in pictures if p.position is not None})
    found: dict[tuple[str, int], dict[int | None, gallery.Picture]] = {}
    for picture in sorted(pictures, key=lambda each: each.ordinal):
        found.setdefault((picture.prompt_name, picture.seed), {})[picture.position] = picture
    grid = []
    for of_position in found.values():
        first = next(iter(of_position.values()))
        cells = [_cell(store, of_position.get(place)) for place in (None, *positions)]
        grid.append(
            GridRow(
                name=first.prompt_name, text=first.prompt_text, origin=first.origin, cells=cells
            )
        )
    return positions, grid


def _cell(store: ImageStore, picture: Any) -> Cell:
    if picture is None or picture.image_sha256 is None:
        return Cell(image=None, score=None, note=(picture.defect or "") if picture else "")
    try:
        return Cell(image=store.get("thumbs", picture.image_sha256), score=picture.average)
    except (EpochwatchError, OSError) as trouble:
        return Cell(image=None, score=picture.average, note=str(trouble))
