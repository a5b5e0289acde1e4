"""Merging: the right change in the right layer, and the old bits back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from daemon.generator.job import JobError
from daemon.generator.lora_file import LoraPair, LoraWeights, read_lora
from daemon.generator.merging import Merger

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.generator.job import LoraFile


def snapshot(*models: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of all parameters."""
    return {
        f"{number}.{name}": one.detach().clone()
        for number, model in enumerate(models)
        for name, one in model.named_parameters()
    }


def same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Say whether two copies are equal to the last bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def weights(lora: LoraFile, locon: LoraFile) -> tuple[LoraWeights, LoraWeights]:
    """A LoRA and a LoCon, read."""
    return read_lora(lora.path, lora.sha256), read_lora(locon.path, locon.sha256)


def test_fifty_swaps_leave_no_trace(
    fresh: Callable[[], Any], weights: tuple[LoraWeights, LoraWeights]
) -> None:
    """The base weights come back bit for bit, and the last merge equals the first."""
    pipeline = fresh()
    parts = (pipeline.unet, pipeline.text_encoder)
    merger = Merger({"unet": parts[0], "text_encoder": parts[1]})
    before = snapshot(*parts)
    merger.apply([(weights[0], 1.0)])
    merged = snapshot(*parts)
    assert not same_bits(before, merged)
    for turn in range(50):
        merger.apply([(weights[turn % 2], 0.7 + turn / 100)])
    merger.apply([(weights[0], 1.0)])
    assert same_bits(merged, snapshot(*parts))
    merger.restore()
    assert same_bits(before, snapshot(*parts))


def test_every_module_is_patched_and_counted(
    fresh: Callable[[], Any], weights: tuple[LoraWeights, LoraWeights]
) -> None:
    """The counts of a stack are those of its files; a layer two LoRAs touch changes once."""
    pipeline = fresh()
    merger = Merger({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    one = merger.apply([(weights[0], 1.0)])
    assert one.modules_patched == one.modules_changed == len(weights[0].pairs)
    two = merger.apply([(weights[0], 1.0), (weights[1], 0.5)])
    assert two.modules_patched == len(weights[0].pairs) + len(weights[1].pairs)
    assert two.modules_changed == len(weights[1].pairs)
    assert [sha256 for sha256, _ in two.text_state] == [one.sha256 for one in weights]


def test_a_strength_of_nothing_changes_nothing(
    fresh: Callable[[], Any], weights: tuple[LoraWeights, LoraWeights]
) -> None:
    """An adapter that does not act is counted as patched, and as not changed."""
    pipeline = fresh()
    merger = Merger({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    merged = merger.apply([(weights[0], 0.0)])
    assert (merged.modules_patched, merged.modules_changed) == (66, 0)


@pytest.mark.parametrize(
    ("layer", "up", "down"),
    [
        (nn.Linear(6, 8), (8, 2), (2, 6)),
        (nn.Conv2d(6, 8, 1), (8, 2, 1, 1), (2, 6, 1, 1)),
        (nn.Conv2d(6, 8, 1), (8, 2), (2, 6)),
        (nn.Linear(6, 8), (8, 2, 1, 1), (2, 6, 1, 1)),
        (nn.Conv2d(6, 8, 3), (8, 2, 1, 1), (2, 6, 3, 3)),
    ],
)
def test_the_change_is_scale_times_up_times_down(
    layer: nn.Module, up: tuple[int, ...], down: tuple[int, ...]
) -> None:
    """For a convolution: the same as applying down, then up, to any picture."""
    torch.manual_seed(3)
    pair = LoraPair(name="lora_unet_x", up=torch.randn(up), down=torch.randn(down), scale=0.5)
    old = layer.weight.detach().clone()
    merger = Merger({"unet": nn.ModuleDict({"x": layer}), "text_encoder": nn.ModuleDict()})
    merger.apply([(LoraWeights(sha256="a", pairs=(pair,)), 0.8)])
    change = (layer.weight.detach() - old).double()
    by_hand = torch.einsum("or,ri...->oi...", pair.up.flatten(1).double(), pair.down.double())
    assert torch.allclose(change, 0.4 * by_hand.reshape(old.shape), atol=1e-6)


def test_half_precision_is_rounded_once() -> None:
    """The sum is made in float32, so that a change below one step of fp16 is not lost early."""
    layer = nn.Linear(4, 4, bias=False).half()
    old = layer.weight.detach().float()
    small = [
        LoraWeights(
            sha256=str(seed),
            pairs=(
                LoraPair(
                    name="lora_unet_x",
                    up=torch.full((4, 1), 1e-2),
                    down=torch.full((1, 4), 1e-2),
                    scale=0.5,
                ),
            ),
        )
        for seed in range(8)
    ]
    merger = Merger({"unet": nn.ModuleDict({"x": layer}), "text_encoder": nn.ModuleDict()})
    merger.apply([(one, 1.0) for one in small])
    assert torch.equal(layer.weight, (old + 8 * 0.5e-4).half())


def test_a_lora_of_another_base_is_refused_with_counts(
    fresh: Callable[[], Any], weights: tuple[LoraWeights, LoraWeights]
) -> None:
    """Half a match draws nothing, and the weights stay the base model's."""
    pipeline = fresh()
    parts = (pipeline.unet, pipeline.text_encoder)
    merger = Merger({"unet": parts[0], "text_encoder": parts[1]})
    before = snapshot(*parts)
    pairs = weights[0].pairs
    strange = tuple(
        LoraPair(name=f"{one.name}_z", up=one.up, down=one.down, scale=1.0) for one in pairs[:10]
    )
    half = LoraWeights(sha256="h", pairs=strange + pairs[10:])
    with pytest.raises(JobError, match="10 of the LoRA's 66 modules are not in this base model"):
        merger.apply([(weights[0], 1.0), (half, 1.0)])
    wide = LoraPair(name=pairs[0].name, up=pairs[0].up, down=torch.ones(4, 999), scale=1.0)
    with pytest.raises(JobError, match="1 of the LoRA's 66 modules have another shape"):
        merger.apply([(LoraWeights(sha256="w", pairs=(wide, *pairs[1:])), 1.0)])
    assert same_bits(before, snapshot(*parts))


def test_an_sdxl_lora_is_called_one() -> None:
    """The most usual mistake has a hint of its own."""
    pair = LoraPair(
        name="lora_te2_text_model_encoder_layers_0_mlp_fc1",
        up=torch.ones(8, 1),
        down=torch.ones(1, 8),
        scale=1.0,
    )
    merger = Merger({"unet": nn.ModuleDict(), "text_encoder": nn.ModuleDict()})
    with pytest.raises(JobError, match="SDXL"):
        merger.apply([(LoraWeights(sha256="x", pairs=(pair,)), 1.0)])


def test_weights_that_overflow_are_refused() -> None:
    """A merge that leaves infinity draws nothing and is undone."""
    layer = nn.Linear(4, 4, bias=False).half()
    old = layer.weight.detach().clone()
    pair = LoraPair(
        name="lora_unet_x", up=torch.full((4, 1), 3e4), down=torch.full((1, 4), 3e4), scale=1.0
    )
    merger = Merger({"unet": nn.ModuleDict({"x": layer}), "text_encoder": nn.ModuleDict()})
    with pytest.raises(JobError, match="infinite weights in 1 of 1"):
        merger.apply([(LoraWeights(sha256="o", pairs=(pair,)), 1.0)])
    assert torch.equal(layer.weight, old)
