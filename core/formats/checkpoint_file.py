"""A checkpoint file: what its header and name say, and whether its weights can be trusted.

The header is read by ``checkpoint_header``; no library that could run code ever sees the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.formats.base_model import ONE_FILE
from core.formats.checkpoint_header import (
    HEADER_CAP,
    TENSOR_CAP,
    Header,
    Incomplete,
    Refused,
    Tensor,
    read_header,
)
from core.formats.checkpoint_layout import Layout, read_layout
from core.formats.checkpoint_metadata import (
    Values,
    base_model_name,
    clean,
    saved_at,
    storable,
    training_columns,
)
from core.formats.checkpoint_name import NameHint, read_name
from core.formats.checkpoint_weights import (
    WeightsCheck,
    body_sha256,
    check_finite_and_nonzero,
    has_zero_tail,
)
from core.nouns import CheckpointFacts

if TYPE_CHECKING:
    from pathlib import PurePath


__all__ = [
    "COMPANION",
    "HEADER_CAP",
    "TENSOR_CAP",
    "WEIGHTS",
    "Header",
    "Incomplete",
    "Refused",
    "Tensor",
    "WeightsCheck",
    "body_sha256",
    "check_finite_and_nonzero",
    "facts",
    "has_zero_tail",
    "needs_companion",
    "pair_sha256",
    "read_header",
    "storable",
    "why_not_tested",
    "with_companion",
]

WEIGHTS, COMPANION = "adapter_model.safetensors", "adapter_config.json"  # PEFT's pair
_PEFT = "base_model.model."
_ADAPTER = "lora_adapter_metadata"  # where diffusers keeps the same configuration

_SENTENCES = {
    "full model": "This is a full base model, not a LoRA",
    "part of a model": "This is a part of a full base model, not a LoRA",
    "vae": "This is a VAE, not a LoRA",
    "controlnet": "This is a ControlNet, not a LoRA",
    "textual inversion": "This is a textual inversion (an embedding), not a LoRA",
    "text encoder": "This is a text encoder, not a LoRA",
    "training state": "This is the trainer's own state, the whole model with its LoRA inside",
    "empty": "This file holds no tensors at all, so it is not a LoRA",
}
_WITHOUT_FLAG = (
    "This is a full base model, not a LoRA: it is left alone and not tested. Nothing needs to be "
    "done; to test full models as the epochs of a run, start again with --full-models."
)
_NOT_ONE_FILE = (
    "This is a full base model, or a part of one, that cannot be drawn from this one file: it is "
    "not tested. Let the trainer save SD 1, SD 2 or SDXL as one .safetensors file with UNet, text "
    "encoder and VAE in it."
)


def needs_companion(header: Header) -> bool:
    """Return whether the scale of these weights stands in PEFT's adapter_config.json beside them."""
    return _ADAPTER not in header.metadata and any(
        name.startswith(_PEFT) for name in header.tensors
    )


def with_companion(header: Header, text: str) -> Header:
    """Return ``header`` as if the adapter's configuration stood in it, as diffusers writes it."""
    return replace(header, metadata=header.metadata | {_ADAPTER: text})


def pair_sha256(weights: str, companion: str) -> str:
    """Return the SHA-256 that weights and their configuration are known by together.

    It is that of their sorted lines "name sha256", as a base model's folder has it; the arguments
    are the SHA-256 of the two.
    """
    return hashlib.sha256(f"{COMPANION} {companion}\n{WEIGHTS} {weights}".encode()).hexdigest()


def facts(header: Header, file_name: str | PurePath) -> CheckpointFacts:
    """Return what ``header`` and the name say; the metadata wins where they disagree.

    Give the name with its parent folders where they are known: some trainers put the step there.
    Never raises for strange values: they are ignored and named in ``notes``.
    """
    hint, values = read_name(file_name), Values(header.metadata)
    layout = read_layout(header.tensors)
    family, doubts = _family(values, layout)
    position = _position(values, hint)
    rank, alpha = _rank_and_alpha(values, layout)
    training = training_columns(values, family=family, rank=rank)
    base = base_model_name(values) or _base_of_adapter(values)
    if base:
        training["base_model"] = base
    return CheckpointFacts(
        family=family,
        kind=layout.kind,
        layout=layout.layout,
        output_name=values.text("ss_output_name") or clean(hint.stem),
        session_id=values.text("ss_session_id"),
        epoch=position.epoch,
        step=position.step,
        planned_epochs=position.planned_epochs,
        planned_steps=position.planned_steps,
        is_final=position.is_final,
        is_step_save=position.is_step_save,
        base_model_name=base,
        base_model_sha256=values.sha256("ss_new_sd_model_hash"),
        rank=rank,
        alpha=alpha,
        saved_at=saved_at(values),
        body_sha256_claimed=values.sha256("sshs_model_hash"),
        module_count=layout.module_count,
        training=training if layout.kind == "lora" else {},
        notes=(*layout.notes, *doubts, *position.notes, *values.notes),
    )


def why_not_tested(checkpoint: CheckpointFacts, *, full_models: bool = False) -> str | None:
    """Return the sentence for a file that is whole and not tested; None for one that is.

    A LoRA is tested; with ``full_models`` so is a whole model of a family drawn from one file.
    """
    if checkpoint.kind == "lora":
        return None
    if checkpoint.layout == "full model" and checkpoint.family in ONE_FILE:
        return None if full_models else _WITHOUT_FLAG
    if checkpoint.kind == "base" and full_models:
        return _NOT_ONE_FILE
    what = _SENTENCES.get(checkpoint.layout, "This file holds no weights that a LoRA has")
    return f"{what}: it is left alone and not tested. Nothing needs to be done."


@dataclass(frozen=True, kw_only=True)
class _Position:
    epoch: int | None
    step: int | None
    planned_epochs: int | None
    planned_steps: int | None
    is_final: bool
    is_step_save: bool
    notes: tuple[str, ...]


def _position(values: Values, hint: NameHint) -> _Position:
    """Find epoch and step.

    A step save has no epoch of its own: kohya writes the epochs completed so far into it, which
    would collide with the file of that epoch.
    """
    notes: list[str] = []
    told_epoch, told_step = _told_position(values)
    is_step_save = hint.kind == "step" or told_epoch == 0
    step = _prefer(told_step, hint.step, "step", notes)
    planned_epochs, planned_steps = (
        values.whole("ss_num_epochs", 1),
        values.whole("ss_max_train_steps", 1),
    )
    if is_step_save:
        epoch = None
        if told_epoch is not None:
            notes.append(f"Saved by step, after {told_epoch} complete epochs.")
    else:
        epoch = _prefer(told_epoch, hint.epoch, "epoch", notes)
    nameless = epoch is None and step is None
    if nameless and hint.kind == "final":
        notes.append("The last save of its run, which says no epoch: it stands after all others.")
    elif nameless:
        notes.append("Neither metadata nor name tell an epoch or a step.")
    last_epoch = epoch is not None and epoch == planned_epochs
    return _Position(
        epoch=epoch,
        step=step,
        planned_epochs=planned_epochs,
        planned_steps=planned_steps,
        is_final=last_epoch
        or (step is not None and step == planned_steps)
        or (nameless and hint.kind == "final"),
        is_step_save=is_step_save,
        notes=tuple(notes),
    )


def _told_position(values: Values) -> tuple[int | None, int | None]:
    """Return epoch and step of the metadata: kohya's, ai-toolkit's or SimpleTuner's keys."""
    epoch, step = values.whole("ss_epoch"), values.whole("ss_steps")
    info = values.json("training_info")
    if isinstance(info, dict):
        inner = Values({key: str(info[key])[:30] for key in ("epoch", "step") if key in info})
        step = inner.whole("step") if step is None else step  # its epoch counts from 0: no position
    return epoch, values.whole("global_step") if step is None else step


def _prefer(told: int | None, hinted: int | None, what: str, notes: list[str]) -> int | None:
    if told is not None and hinted is not None and told != hinted:
        notes.append(f"The name says {what} {hinted}, the metadata {told}: the metadata counts.")
    return hinted if told is None else told


def _family(values: Values, layout: Layout) -> tuple[str, tuple[str, ...]]:
    """Return the family: by the keys, or by the metadata where the keys do not tell."""
    told = _told_family(values)
    if layout.family == "unknown":
        return told or "unknown", ()
    if told and told != layout.family:
        return layout.family, (
            f"The metadata says {told}, the tensors say {layout.family}: the tensors count.",
        )
    return layout.family, ()


def _told_family(values: Values) -> str | None:
    text = f"{values.text('modelspec.architecture')} {values.text('ss_base_model_version')}".lower()
    for part, family in (
        ("stable-diffusion-xl", "sdxl"), ("sdxl", "sdxl"), ("stable-diffusion-v1", "sd1"),
        ("sd_v1", "sd1"), ("stable-diffusion-v2", "sd2"), ("sd_v2", "sd2"), ("flux", "flux"),
        ("stable-diffusion-3", "sd3"), ("sd3", "sd3"), ("lumina", "lumina"), ("anima", "anima"),
        ("hunyuan", "hunyuan"), ("wan", "wan"),
    ):  # fmt: skip
        if part in text:
            return family
    return None


def _base_of_adapter(values: Values) -> str | None:
    """Return the base model that PEFT's configuration names."""
    adapter: Any = values.json(_ADAPTER)
    name = adapter.get("base_model_name_or_path") if isinstance(adapter, dict) else None
    return base_model_name(Values({"ss_sd_model_name": str(name)}))


def _rank_and_alpha(values: Values, layout: Layout) -> tuple[int | None, float | None]:
    """Return rank and alpha: what the shapes show, then kohya's or PEFT's metadata."""
    rank = layout.rank or values.whole("ss_network_dim", 1, 100_000)
    alpha = values.real("ss_network_alpha", 0, 1e6)
    adapter: Any = values.json(_ADAPTER)
    if alpha is None and isinstance(adapter, dict):
        told = next((adapter[key] for key in sorted(adapter) if key.endswith("lora_alpha")), None)
        alpha = Values({"lora_alpha": str(told)[:30]}).real("lora_alpha", 0, 1e6)
    return rank, alpha
