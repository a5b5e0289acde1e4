"""The samplers that can be asked for, under the names A1111, ComfyUI and kohya give them.

They are checked where a suite is read, long before anything is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.errors import Fixable


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A diffusers scheduler: its class, and what differs from the base model's own settings."""

    name: str
    scheduler: str  # class name inside diffusers
    options: dict[str, Any] = field(default_factory=dict)


_MULTISTEP = "DPMSolverMultistepScheduler"
_SDE = {"algorithm_type": "sde-dpmsolver++"}

_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler a": ("EulerAncestralDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2 a": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpm++ 2m": (_MULTISTEP, {"algorithm_type": "dpmsolver++"}),
    "dpm++ 2m sde": (_MULTISTEP, _SDE),
    "dpm++ 2s": ("DPMSolverSinglestepScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}

_KARRAS = frozenset(
    {"euler", "heun", "lms", "dpm2", "dpm2 a", "dpm++ 2m", "dpm++ 2m sde", "dpm++ 2s", "unipc"}
)

# What others call the same thing, after lower case and with "_" read as a space.
_ALIASES = {
    "euler ancestral": "euler a",
    "k euler": "euler",
    "k euler a": "euler a",
    "k heun": "heun",
    "k lms": "lms",
    "dpm 2": "dpm2",
    "dpm 2 a": "dpm2 a",
    "dpm 2 ancestral": "dpm2 a",
    "k dpm 2": "dpm2",
    "k dpm 2 a": "dpm2 a",
    "dpmpp 2m": "dpm++ 2m",
    "dpmsolver++": "dpm++ 2m",
    "dpm++": "dpm++ 2m",
    "dpmpp 2m sde": "dpm++ 2m sde",
    "dpmsingle": "dpm++ 2s",
    "plms": "pndm",
    "uni pc": "unipc",
}


_COMFYUI = {
    "euler a": "euler_ancestral",
    "euler": "euler",
    "heun": "heun",
    "lms": "lms",
    "dpm2": "dpm_2",
    "dpm2 a": "dpm_2_ancestral",
    "dpm++ 2m": "dpmpp_2m",
    "dpm++ 2m sde": "dpmpp_2m_sde",
    "ddim": "ddim",
    "ddpm": "ddpm",
    "unipc": "uni_pc",
    "lcm": "lcm",
}


def unknown_sampler(name: str) -> str | None:
    """Return why a suite cannot ask for the sampler ``name``, as a clause; None where it can."""
    try:
        find_sampler(name)
    except Fixable:
        return f"the sampler '{name}' is not known; known are {', '.join(known_samplers())}"
    return None


def find_sampler(name: str) -> Sampler:
    """Return the sampler that ``name`` means.

    Raises:
        Fixable: the name is not known; the message lists those that are.
    """
    plain = " ".join(name.lower().replace("_", " ").split())
    stem = plain.removesuffix(" karras")
    stem = _ALIASES.get(stem, stem)
    karras = plain.endswith(" karras")
    if stem not in _SCHEDULERS or (karras and stem not in _KARRAS):
        message = f"The sampler {name!r} is not known. Known are: {', '.join(known_samplers())}."
        raise Fixable(message)
    scheduler, options = _SCHEDULERS[stem]
    if karras:
        return Sampler(
            name=f"{stem} karras",
            scheduler=scheduler,
            options={**options, "use_karras_sigmas": True},
        )
    return Sampler(name=stem, scheduler=scheduler, options=dict(options))


def comfyui_sampler(name: str) -> tuple[str, str]:
    """Return what ComfyUI calls the sampler and the scheduler of ``name``: ("euler", "normal").

    Raises:
        Fixable: the name is not known, or ComfyUI has no such sampler.
    """
    found = find_sampler(name).name
    stem = found.removesuffix(" karras")
    if stem not in _COMFYUI:
        message = f"ComfyUI has no sampler like {name!r}. Known are: {', '.join(_COMFYUI)}."
        raise Fixable(message)
    return _COMFYUI[stem], "karras" if found.endswith(" karras") else "normal"


def known_samplers() -> list[str]:
    """Return every name that ``find_sampler`` understands, without the aliases."""
    return sorted([*_SCHEDULERS, *(f"{name} karras" for name in _KARRAS)])
