"""Adapters whose change depends on the weight it changes: rotations of its rows, and GLoRA.

Sources: orthogonal fine-tuning, arXiv 2306.07280 (kohya, LyCORIS' Diag-OFT); its butterflies,
arXiv 2311.06243 (BOFT); generalized LoRA, arXiv 2306.07967.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch

Tensors = Mapping[str, torch.Tensor]  # by role
Turn = Callable[[Tensors, torch.Tensor], torch.Tensor]  # (tensors, weight) -> what is added to it

_NO_LENGTH = 1e-8  # as LyCORIS and kohya have it


def _rotations(one: Tensors, rows: int) -> torch.Tensor:
    """Return Cayley's rotation of each block, none further than the constraint lets them."""
    blocks = one["oft_blocks"]
    skew = blocks - blocks.mT
    most = one["constraint"] * rows  # 0: none
    length = torch.linalg.vector_norm(skew) + _NO_LENGTH
    skew = skew * torch.where((most > 0) & (length > most), most / length, 1.0)
    same = torch.eye(skew.shape[-1], device=skew.device)
    return (same + skew) @ torch.linalg.inv(same - skew)


def _rotated(one: Tensors, weight: torch.Tensor) -> torch.Tensor:
    """Turn the rows of ``weight`` block by block, or through stages of a butterfly."""
    turns = _rotations(one, weight.shape[0])
    rows = weight.flatten(1) if weight.dim() > 1 else weight[:, None]
    if turns.dim() == 3:
        blocks = rows.unflatten(0, turns.shape[:2])
        rows = torch.einsum("knm,knp->kmp", turns, blocks).flatten(0, 1)
    else:
        for stage, turn in enumerate(turns):
            rows = _one_stage(turn, rows, 2**stage * (turn.shape[-1] // 2))
    turned = rows.reshape(weight.shape)
    if "rescale" in one:
        turned = turned * one["rescale"].reshape(-1, *(1,) * (weight.dim() - 1))
    return turned - weight


def _one_stage(turn: torch.Tensor, rows: torch.Tensor, apart: int) -> torch.Tensor:
    """Turn ``rows`` in blocks of rows that stand ``apart`` from each other."""
    near = rows.unflatten(0, (-1, 2, apart)).transpose(1, 2).flatten(0, 2)
    near = torch.einsum("bij,bjp->bip", turn, near.unflatten(0, turn.shape[:2])).flatten(0, 1)
    return near.unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)


def _generalized(one: Tensors, weight: torch.Tensor) -> torch.Tensor:
    """Return weight times a low rank on its inputs, plus a low rank."""
    inner = one["a1"].flatten(1) @ one["a2"].flatten(1)
    outer = (one["b1"].flatten(1) @ one["b2"].flatten(1)).reshape(weight.shape)
    return torch.einsum("oi...,ij->oj...", weight, inner) + outer


TURNS: Mapping[frozenset[str], Turn] = {
    frozenset({"oft_blocks", "constraint"}): _rotated,
    frozenset({"oft_blocks", "constraint", "rescale"}): _rotated,
    frozenset({"a1", "a2", "b1", "b2"}): _generalized,
}


def turns(tensors: Tensors) -> bool:
    """Say whether what ``tensors`` add depends on the weight."""
    return frozenset(tensors) in TURNS


def fits(tensors: Tensors, size: torch.Size) -> bool:
    """Say whether ``tensors`` can change a weight of ``size``."""
    return _fits(tuple((role, tuple(one.shape)) for role, one in tensors.items()), tuple(size))


@lru_cache(maxsize=4096)  # a model has a few dozen different modules
def _fits(shapes: tuple[tuple[str, tuple[int, ...]], ...], size: tuple[int, ...]) -> bool:
    """Run the recipe on tensors without numbers."""
    ghosts = {role: torch.empty(shape, device="meta") for role, shape in shapes}
    weight = torch.empty(size, device="meta")
    try:
        return tuple(TURNS[frozenset(ghosts)](ghosts, weight).shape) == size
    except (RuntimeError, IndexError):
        return False
