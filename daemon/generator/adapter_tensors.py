"""Put the tensors of a LoRA file together by module: how trainers end their names.

Known endings are those of kohya's sd-scripts, LyCORIS, diffusers (today's and older), PEFT,
OneTrainer and ai-toolkit. What has no known ending, or makes no whole adapter, is told by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from daemon.generator.adapter_math import RECIPES, Change, rank
from daemon.generator.adapter_turns import turns

_ENDINGS: Mapping[str, tuple[str, ...]] = {  # role -> endings; " bias" marks what is no weight
    "down": (
        ".lora_down.weight",
        ".lora_A.weight",
        ".lora.down.weight",
        ".lora_linear_layer.down.weight",
        "_lora.down.weight",
    ),
    "up": (
        ".lora_up.weight",
        ".lora_B.weight",
        ".lora.up.weight",
        ".lora_linear_layer.up.weight",
        "_lora.up.weight",
    ),
    "mid": (".lora_mid.weight",),
    "diff": (".diff", ".w_norm"),
    "diff bias": (".diff_b", ".b_norm"),
    "alpha": (".alpha",),
    "dora_scale": (".dora_scale",),
    "oft_blocks": (".oft_blocks",),
    "rescale": (".rescale",),
    **{role: (f".{role}.weight",) for role in ("a1", "a2", "b1", "b2")},
    "magnitude": (".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
    **{
        role: (f".{role}",)
        for roles in RECIPES
        for role in roles
        if role.startswith(("hada_", "lokr_"))
    },
}
_ROLES = {ending: role for role, endings in _ENDINGS.items() for ending in endings}
_SPLIT = re.compile(
    f"(.+?)({'|'.join(re.escape(one) for one in sorted(_ROLES, key=len, reverse=True))})"
)
_ADAPTER = re.compile(r"\.default(?=\.weight$|$)")  # PEFT's name for the only adapter
PEFT = "base_model.model."


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """All tensors of a file."""

    changes: tuple[Change, ...]
    unknown: tuple[str, ...]  # names without a known ending
    incomplete: tuple[str, ...]  # modules whose tensors make no whole adapter, or one of them twice


def group(
    tensors: Mapping[str, torch.Tensor], scale_without_alpha: Callable[[str, int | None], float]
) -> Grouped:
    """Sort ``tensors`` into changes, in the order of the modules' names.

    ``scale_without_alpha`` returns the scale of a module (its name, its rank if it has one) where
    the tensors have no alpha or no rank to divide it by.

    Raises:
        ValueError, RuntimeError: an alpha is more than one number; and what the function raises.
    """
    found: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    unknown: list[str] = []
    incomplete: list[str] = []
    for key, tensor in tensors.items():
        match = _SPLIT.fullmatch(_ADAPTER.sub("", key).removeprefix(PEFT))
        if match is None:
            unknown.append(key)
            continue
        role, _, parameter = _ROLES[match[2]].partition(" ")
        one = found.setdefault((match[1], parameter or "weight"), {})
        if role in one:  # two endings that mean the same: nobody can say which one counts
            incomplete.append(match[1])
        one[role] = tensor
    changes: list[Change] = []
    for (module, parameter), one in sorted(found.items(), key=lambda item: item[0]):
        alpha, magnitude = one.pop("alpha", None), _magnitude(one)
        if "oft_blocks" in one:  # whose alpha is no scale
            one["constraint"] = torch.tensor(0.0 if alpha is None else float(alpha))
        if not (frozenset(one) in RECIPES or (turns(one) and magnitude is None)):
            incomplete.append(module)
            continue
        inner = rank(one)
        if "oft_blocks" in one:
            scale = 1.0
        elif alpha is None or inner is None:
            scale = scale_without_alpha(module, inner)
        else:
            scale = float(alpha) / inner if inner else 0.0
        changes.append(
            Change(
                module=module, parameter=parameter, tensors=one, scale=scale, magnitude=magnitude
            )
        )
    return Grouped(
        changes=tuple(changes), unknown=tuple(unknown), incomplete=tuple(sorted(set(incomplete)))
    )


def _magnitude(one: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """Take DoRA's magnitude out of ``one``, as (out, 1) or (1, in).

    PEFT has one number for each output, as (out,) or (1, out, 1, 1). LyCORIS and OneTrainer have
    (out, 1, ...), or (1, in, ...) when they decompose by input.
    """
    vector, scale = one.pop("magnitude", None), one.pop("dora_scale", None)
    if vector is not None:
        return vector.reshape(-1, 1)
    if scale is None or scale.dim() < 2:
        return None if scale is None else scale.reshape(-1, 1)
    return scale.reshape(scale.shape[0], -1)
