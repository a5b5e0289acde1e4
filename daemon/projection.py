"""Writes what was measured and decided into the owner's tables, in the owner's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.nouns import Measurement
from core.rules.advice import Advice
from core.rules.scoring import average_of, band
from core.rules.telling import has_issue
from core.store import owners_tables
from core.store.database import Connection, Row
from core.tested import TestedEpoch


def epoch_cells(position: int, epoch: TestedEpoch, advice: Advice) -> dict[str, Any]:
    """Return the columns of epoch_results that one tested epoch fills."""
    summary, effective, first = epoch.summary, epoch.effective, epoch.rows[0]
    cells: dict[str, Any] = {
        "checkpoint_path": first["source_path"],
        "num_test_images": summary.images,
        "visual_quality_score": _floored(effective.visual),
        "style_match_score": _floored(effective.style),
        "prompt_adherence_score": _floored(effective.prompt),
        "visual_score": _rounded(effective.visual),
        "style_score": _rounded(effective.style),
        "prompt_score": _rounded(effective.prompt),
        "average_score": _rounded(effective.average),
        "color_accuracy_score": _rounded(summary.color_accuracy_score),
        "style_quality_score": _rounded(summary.style_quality_score),
        "background_color": summary.background_hex,
        "unique_colors": round(summary.unique_colors) if summary.unique_colors else None,
        "issues_detail": list(summary.issues),
        "strengths_detail": list(summary.strengths),
        "verdict": epoch.verdict,
        "picked": position == advice.pick,
        "observations": "; ".join(spot.text for spot in summary.weak_spots) or None,
        "test_image_paths": [
            f"images/{found['image_sha256'][:2]}/{found['image_sha256']}.png"
            for found, _ in epoch.measured
        ],
        **summary.flags,
    }
    if position == advice.latest:
        cells["convergence_status"] = advice.status
    return cells


def write_epoch(
    connection: Connection, run_id: int, position: int, epoch: TestedEpoch, cells: Row
) -> None:
    """Write the ``cells`` of one tested epoch, and each of its images as a result of its prompt."""
    epoch_id = owners_tables.write_epoch(connection, run_id, position, cells)
    for found, measurement in epoch.measured:
        _write_prompt(connection, epoch_id, found, measurement)


def _write_prompt(
    connection: Connection, epoch_id: int, found: Row, measurement: Measurement
) -> None:
    score = average_of(measurement)
    prompt_id = owners_tables.test_prompt_id(
        connection, found["prompt_name"], found["prompt"], found["recipe"].get("negative", "")
    )
    cells: dict[str, Any] = {
        "image_path": f"images/{found['image_sha256'][:2]}/{found['image_sha256']}.png",
        "seed": found["seed"],
        "passed": None if score is None else score >= 7,
        "correct_background_color": _passes(measurement, "background_match"),
        "correct_hair_color": _passes(measurement, "region_hair"),
        "is_pixel_art": _passes(measurement, "grid_alignment"),
        "has_random_artifacts": has_issue(measurement, "random_pixels"),
        "observations": ", ".join(measurement.issues) or None,
        "score": _floored(score),
        "score_exact": _rounded(score),
    }
    owners_tables.write_prompt_result(connection, epoch_id, found["sample_id"], prompt_id, cells)


def _passes(measurement: Measurement, metric: str) -> bool | None:
    found = measurement.metrics.get(metric)
    return None if found is None or found.value is None else found.value >= 50


def _floored(score: float | None) -> int | None:
    return None if score is None else band(score)


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def write_run(
    connection: Connection,
    run_id: int,
    epochs: Mapping[int, TestedEpoch],
    advice: Advice,
    *,
    complete: bool,
) -> None:
    """Write the state of the run: convergence, the pick, and the verdict once it is over."""
    picked = epochs.get(advice.pick) if advice.pick is not None else None
    best = picked.effective.average if picked is not None else None
    cells: dict[str, Any] = {
        "convergence_status": advice.status,
        "convergence_epoch": advice.pick,
        "best_epoch": advice.pick,
        "quality_score": _floored(best),
        "overall_verdict": _overall(best) if complete else "pending",
    }
    if complete:  # else it is what the last checkpoint, or a person after it, made it
        cells["status"] = "completed"
    owners_tables.write_run(connection, run_id, cells)


def _overall(best: float | None) -> str:
    if best is None:
        return "pending"
    return "success" if best >= 7 else "partial" if best >= 5 else "failure"
