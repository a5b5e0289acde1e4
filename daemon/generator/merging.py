"""Merge LoRAs into the weights of the base model, and give the exact old weights back.

The change is computed in float32 and rounded once; the old weights come from a copy, since adding
and subtracting again drifts (huggingface/diffusers issues 5313 and 5604).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn

from core.formats.base_model import FAMILIES
from daemon.generator.adapter_math import Change, Rows
from daemon.generator.adapter_names import ModuleNames
from daemon.generator.job import JobError
from daemon.generator.lora_file import LoraWeights


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a merge did: the proof that the image is the stack's and not the base model's."""

    modules_patched: int  # over all LoRAs; equal to the modules in the files
    modules_changed: int  # distinct modules whose weights differ from the base after rounding
    text_state: tuple[tuple[str, float], ...]  # the LoRAs that act on a text encoder


class _Slot(NamedTuple):
    """A weight or bias of the base model."""

    module: str
    parameter: str


class Merger:
    """Owns the weights of a base model's parts while LoRAs come and go."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Index every module of ``parts`` ("unet", "text_encoder", "text_encoder_2")."""
        self._names = ModuleNames(parts)
        self._pristine: dict[_Slot, torch.Tensor] = {}
        self._dirty: set[_Slot] = set()

    @torch.no_grad()
    def apply(self, loras: Sequence[tuple[LoraWeights, float]]) -> Merged:
        """Make the weights those of the base plus each of ``loras`` times its strength.

        Raises:
            JobError: "bad_lora", and then the weights are the base model's.
        """
        changes: dict[_Slot, list[tuple[Change | Rows, float]]] = {}
        text_state = []
        for lora, strength in loras:
            targets = self._targets(lora)
            for slot, change in targets.items():
                changes.setdefault(slot, []).append((change, strength))
            if any(slot.module.startswith("text_encoder") for slot in targets):
                text_state.append((lora.sha256, strength))
        self.restore()
        try:
            changed = self._change_all(changes)
        except BaseException:
            self.restore()
            raise
        if not changed and any(strength for _, strength in loras):
            raise JobError("bad_lora", _nothing(loras))
        return Merged(
            modules_patched=sum(lora.modules for lora, _ in loras),
            modules_changed=changed,
            text_state=tuple(text_state),
        )

    @torch.no_grad()
    def restore(self) -> None:
        """Give every touched weight its old bits back."""
        for slot in self._dirty:
            self._value(slot).copy_(self._pristine[slot])
        self._dirty.clear()

    def _targets(self, lora: LoraWeights) -> dict[_Slot, Change | Rows]:
        """Return the weight or bias each change belongs to.

        Raises:
            JobError: not every change has one of its own that it fits.
        """
        found = {change.module: self._names.find_all(change.module) for change in lora.changes}
        missing = [name for name, modules in found.items() if not modules]
        if missing:
            self._refuse(lora, missing, "are not in this base model")
        pieces = [
            piece for change in lora.changes for piece in self._pieces(change, found[change.module])
        ]
        targets = dict(pieces)
        if len(targets) != len(pieces):
            message = f"The LoRA names {len(pieces) - len(targets)} layers twice."
            raise JobError("bad_lora", message)
        wrong = [change.module for slot, change in targets.items() if not self._fits(slot, change)]
        if wrong:
            self._refuse(lora, wrong, "have another shape in this base model")
        return targets

    def _pieces(self, change: Change, modules: Sequence[str]) -> list[tuple[_Slot, Change | Rows]]:
        """Return a change by where it belongs; one of several layers, each its rows of it."""
        slots = [_Slot(module, change.parameter) for module in modules]
        if len(slots) == 1:
            return [(slots[0], change)]
        sizes = [int(self._value(_Slot(name, "weight")).shape[0]) for name in modules]
        ends = list(accumulate(sizes))
        return [
            (slot, Rows(change=change, start=end - size, stop=end, total=ends[-1]))
            for slot, size, end in zip(slots, sizes, ends, strict=True)
        ]

    def _fits(self, slot: _Slot, change: Change | Rows) -> bool:
        """Say whether ``slot`` exists and has the shape of ``change``."""
        value = getattr(self._names.modules[slot.module], slot.parameter, None)
        return value is not None and change.fits(value.shape)

    def _value(self, slot: _Slot) -> torch.Tensor:
        """Return the tensor of ``slot`` as it is now."""
        value = getattr(self._names.modules[slot.module], slot.parameter)
        assert isinstance(value, torch.Tensor)
        return value

    def _change_all(self, changes: Mapping[_Slot, Iterable[tuple[Change | Rows, float]]]) -> int:
        """Merge all ``changes``; return how many modules differ from the base afterwards."""
        if not changes:
            return 0
        flags = torch.stack([self._change(slot, stack) for slot, stack in changes.items()]).tolist()
        overflown = sum(overflow for _, overflow in flags)
        if overflown:
            raise JobError("bad_lora", _overflow(overflown, len(changes)))
        differ = {
            slot.module for slot, (different, _) in zip(changes, flags, strict=True) if different
        }
        return len(differ)

    def _change(self, slot: _Slot, stack: Iterable[tuple[Change | Rows, float]]) -> torch.Tensor:
        """Merge ``stack`` into one weight; return whether it changed and whether it overflowed.

        The two flags stay on the device, so that a GPU is asked once and not once a weight.
        """
        value = self._value(slot)
        pristine = self._pristine.get(slot)
        if pristine is None:
            pristine = self._pristine.setdefault(slot, value.detach().clone())
        exact = total = pristine.float()
        for change, strength in stack:
            total = torch.add(total, change.delta(exact), alpha=strength)
        merged = total.to(value.dtype)
        self._dirty.add(slot)
        value.copy_(merged)
        return torch.stack([(merged != pristine).any(), ~torch.isfinite(merged).all()])

    def _refuse(self, lora: LoraWeights, names: Sequence[str], trouble: str) -> None:
        """Raise for modules that cannot be patched."""
        count, bad = lora.modules, len(set(names))
        base = self._names.family
        if lora.family in FAMILIES and lora.family != base:
            hint = f"It is a LoRA for {FAMILIES[lora.family]}, and this base is {FAMILIES[base]}."
        else:
            hint = "Check that the base model is the one the LoRA was trained on."
        message = (
            f"{bad} of the LoRA's {count} modules {trouble} (first: {names[0]}), so only "
            f"{count - bad} could be patched and nothing was drawn. {hint}"
        )
        raise JobError("bad_lora", message)


def _nothing(loras: Sequence[tuple[LoraWeights, float]]) -> str:
    """Return the sentence for weights that are the base model's to the last bit."""
    modules = sum(lora.modules for lora, _ in loras)
    return (
        f"The LoRA changes none of its {modules} modules: its weights or its alpha are zero, or too "
        "small for this precision. Its images would be the base model's and were not drawn. Check "
        "that the training runs: its learning rate, and that it does not save before its first step."
    )


def _overflow(count: int, weights: int) -> str:
    """Return the sentence for weights that are no numbers after the merge."""
    return (
        f"Merging the LoRA makes NaN or infinite weights in {count} of {weights} modules: the "
        "training has diverged, or the strength is far too high."
    )
