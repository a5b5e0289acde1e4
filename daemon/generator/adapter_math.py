"""The mathematics of adapters: what the small tensors of a file add to one weight.

It knows neither files nor layers. A recipe is found by the roles of the tensors a module has, so
that a set of tensors which is no adapter has no recipe.

Sources: LoRA, arXiv 2106.09685; LoHa, arXiv 2108.06098 (FedPara); LoKr and the Tucker core of
convolutions, arXiv 2309.14859 (LyCORIS); DoRA, arXiv 2402.09353.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch

from daemon.generator import adapter_turns
from daemon.generator.adapter_turns import TURNS, Tensors

Recipe = Callable[[Tensors], torch.Tensor]


def _product(up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Return up (out, rank, ...) times down (rank, in, height, width): (out, in, height, width)."""
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _tucker(core: torch.Tensor, out: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
    """Return core (rank, rank, h, w) with out (rank, out) and into (rank, in) on its first sides."""
    return torch.einsum("ij...,io,jn->on...", core, out, into)


def _low_rank(one: Tensors) -> torch.Tensor:
    return _product(one["up"], one["down"])


def _low_rank_tucker(one: Tensors) -> torch.Tensor:
    return _tucker(one["mid"], one["up"].flatten(1).T, one["down"].flatten(1))


def _hadamard(one: Tensors) -> torch.Tensor:
    return (one["hada_w1_a"] @ one["hada_w1_b"]) * (one["hada_w2_a"] @ one["hada_w2_b"])


def _hadamard_tucker(one: Tensors) -> torch.Tensor:
    first = _tucker(one["hada_t1"], one["hada_w1_a"], one["hada_w1_b"])
    return first * _tucker(one["hada_t2"], one["hada_w2_a"], one["hada_w2_b"])


def _kronecker(one: Tensors) -> torch.Tensor:
    """Return the Kronecker product of two matrices, each whole or in factors."""
    first = one["lokr_w1"] if "lokr_w1" in one else one["lokr_w1_a"] @ one["lokr_w1_b"]
    if "lokr_w2" in one:
        second = one["lokr_w2"]
    elif "lokr_t2" in one:
        second = _tucker(one["lokr_t2"], one["lokr_w2_a"], one["lokr_w2_b"])
    else:
        second = _product(one["lokr_w2_a"], one["lokr_w2_b"])
    ones = (1,) * (second.dim() - 2)
    return torch.kron(first.reshape(*first.shape, *ones), second.contiguous())


def _difference(one: Tensors) -> torch.Tensor:
    return one["diff"]


_HADA = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
_KRON_FIRST = ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
_KRON_SECOND = ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
RECIPES: Mapping[frozenset[str], Recipe] = {
    frozenset({"up", "down"}): _low_rank,
    frozenset({"up", "down", "mid"}): _low_rank_tucker,
    frozenset(_HADA): _hadamard,
    frozenset(_HADA | {"hada_t1", "hada_t2"}): _hadamard_tucker,
    **{frozenset(one | two): _kronecker for one in _KRON_FIRST for two in _KRON_SECOND},
    frozenset({"diff"}): _difference,
}


def rank(tensors: Tensors) -> int | None:
    """Return the inner dimension that alpha is divided by; None where there is none."""
    for role in ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b", "b2"):
        if role in tensors and tensors[role].dim():  # one number has none, and will fit nothing
            return int(tensors[role].shape[0])
    return None


def check(tensors: Tensors) -> None:
    """Raise ValueError when ``tensors`` do not fit each other, whatever weight they change."""
    if not adapter_turns.turns(tensors):
        shape(tensors)


def shape(tensors: Tensors) -> tuple[int, ...]:
    """Return the shape of the change that ``tensors`` make, without computing it.

    Raises:
        ValueError: the tensors do not fit each other.
    """
    return _shape(tuple((role, tuple(one.shape)) for role, one in tensors.items()))


@lru_cache(maxsize=4096)  # a model has a few dozen different modules
def _shape(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> tuple[int, ...]:
    """Run the recipe on tensors without numbers."""
    ghosts = {role: torch.empty(size, device="meta") for role, size in shapes}
    try:
        return tuple(RECIPES[frozenset(ghosts)](ghosts).shape)
    except (RuntimeError, IndexError) as error:
        message = "the tensors do not fit each other"
        raise ValueError(message) from error


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a file does to one weight or bias."""

    module: str  # as the file spells it
    parameter: str  # "weight" or "bias"
    tensors: Tensors
    scale: float = 1.0  # alpha / rank
    magnitude: torch.Tensor | None = None  # DoRA: (out, 1) for each row or (1, in) for each column

    @property
    def turns(self) -> bool:
        """Whether what is added depends on the weight it is added to."""
        return adapter_turns.turns(self.tensors)

    def fits(self, size: torch.Size) -> bool:
        """Say whether the change has the form of a weight of ``size``.

        A linear change fits a 1x1 convolution and the other way around: trainers write both. LoHa
        and LoKr write the change of a convolution flat.
        """
        if self.turns:
            return adapter_turns.fits(self.tensors, size)
        own = shape(self.tensors)
        flat = (size[0], math.prod(size[1:]))
        if _trimmed(own) != _trimmed(size) and own != flat:
            return False
        return self.magnitude is None or (
            len(size) > 1 and tuple(self.magnitude.shape) in {(size[0], 1), (1, size[1])}
        )

    def delta(self, weight: torch.Tensor) -> torch.Tensor:
        """Return what is added to the pristine ``weight`` (float32) at full strength.

        Any strength multiplies this, for DoRA too, as in ComfyUI and AUTOMATIC1111: weight +
        strength * (decomposed - weight).
        """
        tensors = {role: one.to(weight.device, torch.float32) for role, one in self.tensors.items()}
        if self.turns:
            return TURNS[frozenset(tensors)](tensors, weight) * self.scale
        # Every recipe is linear in each of its tensors: scaling the smallest costs least.
        smallest = min(tensors, key=lambda role: tensors[role].numel())
        tensors[smallest] = tensors[smallest] * self.scale
        delta = RECIPES[frozenset(tensors)](tensors).reshape(weight.shape)
        return delta if self.magnitude is None else self._decomposed(weight, delta)

    def _decomposed(self, weight: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Return the change that gives each row (or column) of weight + delta its magnitude."""
        assert self.magnitude is not None
        tail = (1,) * (weight.dim() - 2)
        magnitude = self.magnitude.to(weight.device, torch.float32)
        magnitude = magnitude.reshape(*magnitude.shape, *tail)
        merged = weight + delta
        across = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
        length = torch.linalg.vector_norm(merged, dim=across, keepdim=True)
        # A row of zeros has no direction and stays; its length is no divisor.
        return merged * (magnitude / length.clamp_min(torch.finfo(torch.float32).eps)) - weight


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows of a change: what it does to one of several layers that its file keeps as one."""

    change: Change
    start: int
    stop: int
    total: int  # rows of the whole

    @property
    def module(self) -> str:
        """How the file spells the whole."""
        return self.change.module

    def fits(self, size: torch.Size) -> bool:
        """Say whether the rows have the form of a weight of ``size``.

        DoRA's magnitude by input spans all rows, and so do rotations, of which each layer here has
        its own: refused.
        """
        whole = torch.Size((self.total, *size[1:]))
        return (
            size[0] == self.stop - self.start
            and self.change.magnitude is None
            and not self.change.turns
            and self.change.fits(whole)
        )

    def delta(self, weight: torch.Tensor) -> torch.Tensor:
        """Return what is added to the pristine ``weight`` (float32) of this layer."""
        whole = weight[:1].expand(self.total, *weight.shape[1:])  # only its shape is used
        return self.change.delta(whole)[self.start : self.stop]


def _trimmed(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``size`` without the ones at its end."""
    end = len(size)
    while end and size[end - 1] == 1:
        end -= 1
    return tuple(size[:end])
