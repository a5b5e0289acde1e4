"""Merge LoRAs into the weights of the base model, and give the exact old weights back.

The change is computed in float32 and rounded once; the old weights come from a copy, since adding
and subtracting again drifts (huggingface/diffusers issues 5313 and 5604).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from daemon.generator.job import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from daemon.generator.lora_file import LoraPair, LoraWeights

_KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te"}


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a merge did: the proof that the image is the stack's and not the base model's."""

    modules_patched: int  # over all LoRAs; equal to the modules in the files
    modules_changed: int  # distinct modules whose weights differ from the base after rounding
    text_state: tuple[tuple[str, float], ...]  # the LoRAs that act on the text encoder


class Merger:
    """Owns the weights of a base model's parts while LoRAs come and go."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Index every linear and convolution layer of ``parts`` ("unet", "text_encoder")."""
        self._layers: dict[str, nn.Module] = {}
        self._names: dict[str, str] = {}  # any spelling -> name in _layers
        self._pristine: dict[str, torch.Tensor] = {}
        self._dirty: set[str] = set()
        for part, model in parts.items():
            for name, module in model.named_modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    self._index(part, name, module)

    @torch.no_grad()
    def apply(self, loras: Sequence[tuple[LoraWeights, float]]) -> Merged:
        """Make the weights those of the base plus each of ``loras`` times its strength.

        Raises:
            JobError: "bad_lora", and then the weights are the base model's.
        """
        changes: dict[str, list[tuple[LoraPair, float]]] = {}
        text_state = []
        for lora, strength in loras:
            targets = self._targets(lora)
            for name, pair in targets.items():
                changes.setdefault(name, []).append((pair, pair.scale * strength))
            if any(name.startswith("text_encoder.") for name in targets):
                text_state.append((lora.sha256, strength))
        self.restore()
        try:
            changed = self._change_all(changes)
        except BaseException:
            self.restore()
            raise
        return Merged(
            modules_patched=sum(len(pairs) for pairs in changes.values()),
            modules_changed=changed,
            text_state=tuple(text_state),
        )

    @torch.no_grad()
    def restore(self) -> None:
        """Give every touched weight its old bits back."""
        for name in self._dirty:
            _weight(self._layers[name]).copy_(self._pristine[name])
        self._dirty.clear()

    def _index(self, part: str, name: str, module: nn.Module) -> None:
        """Remember ``module`` under the spellings that trainers use."""
        full = f"{part}.{name}"
        self._layers[full] = module
        plain = name.removeprefix("text_model.")
        for spelling in (name, plain, f"text_model.{plain}"):
            self._names[f"{part}.{spelling}"] = full
            self._names[f"{_KOHYA[part]}_{spelling.replace('.', '_')}"] = full
            if part == "unet":  # raw PEFT names say no part, and then mean the UNet
                self._names[spelling] = full

    def _targets(self, lora: LoraWeights) -> dict[str, LoraPair]:
        """Return the layer each pair belongs to.

        Raises:
            JobError: not every pair has a layer of its own that it fits.
        """
        missing = [pair.name for pair in lora.pairs if pair.name not in self._names]
        if missing:
            raise JobError("bad_lora", _misfit(lora, missing, "are not in this base model"))
        targets = {self._names[pair.name]: pair for pair in lora.pairs}
        if len(targets) != len(lora.pairs):
            message = f"The LoRA names {len(lora.pairs) - len(targets)} layers twice."
            raise JobError("bad_lora", message)
        wrong = [
            pair.name
            for name, pair in targets.items()
            if not _fits(pair, _weight(self._layers[name]).shape)
        ]
        if wrong:
            raise JobError(
                "bad_lora", _misfit(lora, wrong, "have another shape in this base model")
            )
        return targets

    def _change_all(self, changes: Mapping[str, list[tuple[LoraPair, float]]]) -> int:
        """Merge all ``changes``; return how many layers differ from the base afterwards."""
        flags = [self._change(name, pairs) for name, pairs in changes.items()]
        changed, overflown = torch.stack(flags).sum(0).tolist() if flags else (0, 0)
        if overflown:
            raise JobError("bad_lora", _overflow(overflown, len(changes)))
        return int(changed)

    def _change(self, name: str, pairs: Iterable[tuple[LoraPair, float]]) -> torch.Tensor:
        """Merge ``pairs`` into one layer; return whether it changed and whether it overflowed.

        The two flags stay on the device, so that a GPU is asked once and not once a layer.
        """
        weight = _weight(self._layers[name])
        pristine = self._pristine.get(name)
        if pristine is None:
            pristine = self._pristine.setdefault(name, weight.detach().clone())
        total = pristine.float()
        for pair, factor in pairs:
            up = pair.up.to(weight.device, torch.float32).flatten(1)
            down = pair.down.to(weight.device, torch.float32).flatten(1)
            total = total + (up @ down).reshape(weight.shape) * factor
        merged = total.to(weight.dtype)
        self._dirty.add(name)
        weight.copy_(merged)
        return torch.stack([(merged != pristine).any(), ~torch.isfinite(merged).all()])


def _weight(module: nn.Module) -> torch.Tensor:
    """Return the weight of a linear or convolution layer."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight


def _fits(pair: LoraPair, shape: torch.Size) -> bool:
    """Say whether up @ down has the form of a weight of ``shape``.

    A linear pair fits a 1x1 convolution and the other way around: trainers write both.
    """
    out, width = pair.up.shape[0], pair.down.shape[1]
    kernel = tuple(pair.down.shape[2:])
    ones = all(size == 1 for size in (*pair.up.shape[2:],))
    flat = all(size == 1 for size in (*kernel, *shape[2:]))
    same = kernel == tuple(shape[2:]) or flat
    return ones and same and (out, width) == (shape[0], shape[1])


def _overflow(count: int, modules: int) -> str:
    """Return the sentence for weights that are no numbers after the merge."""
    return (
        f"Merging the LoRA makes NaN or infinite weights in {count} of {modules} modules: the "
        "training has diverged, or the strength is far too high."
    )


def _misfit(lora: LoraWeights, names: Sequence[str], trouble: str) -> str:
    """Return the sentence for modules that cannot be patched."""
    count = len(lora.pairs)
    hint = ""
    if any(name.startswith(("lora_te2_", "text_encoder_2.")) for name in names) or any(
        name.startswith("lora_unet_input_blocks_") for name in names
    ):
        hint = " Its names are those of an SDXL LoRA; draw it with an SDXL base model."
    return (
        f"{len(names)} of the LoRA's {count} modules {trouble} (first: {names[0]}), so only "
        f"{count - len(names)} could be patched and nothing was drawn.{hint}"
        " Check that the base model is the one the LoRA was trained on."
    )
