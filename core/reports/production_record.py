"""The production record: what a generator application and its owner need to know of a model.

One document in two forms: JSON beside the file, and the owner's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.nouns import unit_of
from core.rules.strengths import StrengthFinding

VERSION = 1
_PARAMETERS = (
    "network_dim", "network_alpha", "resolution", "learning_rate", "unet_lr", "text_encoder_lr",
    "optimizer_type", "lr_scheduler", "train_batch_size", "max_train_epochs", "total_steps",
    "num_images", "mixed_precision", "noise_offset", "min_snr_gamma",
)  # fmt: skip


def production_record(
    *,
    about: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    suite: Mapping[str, Any] | None,
    score: float | None,
    verdict: str,
    issues: Sequence[str],
    excluded: Sequence[str],
    versions: Mapping[str, Any],
    strengths: StrengthFinding | None = None,
) -> dict[str, Any]:
    """Return the record of a checkpoint; ``about`` is its run with its set-up.

    What is not known is None. ``score`` is 0-10, ``issues`` those of its test images, ``excluded``
    the traits that are not ready, ``strengths`` what a sweep of strengths says.
    """
    body = (suite or {}).get("body") or {}
    return {
        "record_version": VERSION,
        "model": about["run_name"],
        "unit": unit_of(about["position_unit"]),
        "position": checkpoint["position"],
        "score": None if score is None else round(score, 3),
        "verdict": verdict,
        "sha256": checkpoint["sha256"],
        "file": f"{checkpoint['sha256']}.safetensors",
        "original_name": checkpoint["file_name"],
        "size_bytes": checkpoint["size_bytes"],
        "family": checkpoint["family"],
        "base": {"name": about["base_model"], "sha256": about["base_sha256"]},
        "parameters": {
            name: about[name] for name in _PARAMETERS if about.get(name) is not None
        },
        "trigger": _trigger(body),
        "caption_format": about["caption_format"],
        "caption_version": about["caption_version"],
        "issues": list(issues),
        "excluded_traits": list(excluded),
        "strength": None if checkpoint["kind"] == "base" else about["strength"] or "1.00",
        "strength_range": strengths and [strengths.usable[0], strengths.usable[-1]],
        "strength_best": strengths and strengths.best,
        "recipe": body.get("recipe"),
        "suite": {"name": (suite or {}).get("name"), "digest": about["suite"]},
        "versions": dict(versions),
    }  # fmt: skip


def live_record(
    record: Mapping[str, Any], *, number: int, by_whom: str, decided_at: datetime, reason: str,
    overridden: Sequence[str], rolled_back_from: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the record as it lies beside the file: with who put it there, when and why."""
    return {
        **record,
        "promotion": number,
        "promoted_by": by_whom,
        "promoted_at": decided_at.isoformat(timespec="seconds"),
        "reason": reason,
        "overridden": list(overridden),
        "rolled_back_from": rolled_back_from,
    }


def as_text(live: Mapping[str, Any]) -> str:
    """Return a record in the owner's form, as Markdown; values stay on one line."""
    base = live["base"]["name"]
    lines = [
        (
            "Production Model",
            f"{live['model']} {str(live['unit']).capitalize()} {live['position']}",
        ),
        ("Score", "not known" if live["score"] is None else f"{_floored(live['score'])}/10"),
        ("Date", live["promoted_at"]),
        ("Parameters", _parameters(live["parameters"])),
        ("Base", base),
        ("Strength", _strength(live)),
        ("Trigger", live["trigger"] or "none"),
        ("Caption Format", _captions(live)),
        ("Issues", ", ".join(live["issues"]).replace("_", " ") or "None"),
        ("Excluded", ", ".join(live["excluded_traits"]) or "nothing"),
        ("Status", _status(live)),
        ("File", live["file"]),
        ("By", live["promoted_by"]),
    ]
    said = [f"- **{name}:** {_one_line(value)}" for name, value in lines]
    return "# Production model\n\n" + "\n".join(said) + "\n"


def _strength(live: Mapping[str, Any]) -> str:
    if live["strength"] is None:
        return "none: it is a full model, not a LoRA"
    span = live.get("strength_range")
    usable = f", usable from {span[0]} to {span[1]}" if span else ""
    return f"tested at {live['strength']}{usable}"


def _floored(score: float) -> str:
    return f"{int(score * 10 + 1e-9) / 10:g}"


def _parameters(known: Mapping[str, Any]) -> str:
    names = {"network_dim": "dim", "network_alpha": "alpha"}
    return ", ".join(f"{names.get(name, name)}={value}" for name, value in known.items())


def _captions(live: Mapping[str, Any]) -> str:
    parts = [live["caption_version"], live["caption_format"]]
    return ", ".join(str(part) for part in parts if part) or "not known"


def _status(live: Mapping[str, Any]) -> str:
    if live["rolled_back_from"] is not None:
        return f"Production, went back from number {live['rolled_back_from']}"
    if live["overridden"]:
        return f"Production, in spite of {', '.join(live['overridden'])}: {live['reason']}"
    return "Production Ready"


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _trigger(suite: Mapping[str, Any]) -> str | None:
    """Return the trigger word of the suite's prompts, if they have one."""
    found = [prompt["trigger"] for prompt in suite.get("prompts") or () if prompt.get("trigger")]
    return str(found[0]) if found else None
