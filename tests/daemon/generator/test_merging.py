"""Merging: the right change in the right layer, and the old bits back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from daemon.generator.adapter_math import Change
from daemon.generator.job import JobError
from daemon.generator.lora_file import LoraWeights, read_lora
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


def low_rank(name: str, up: torch.Tensor, down: torch.Tensor, scale: float = 1.0) -> Change:
    """Return the change of one module: scale * up @ down."""
    return Change(module=name, parameter="weight", tensors={"up": up, "down": down}, scale=scale)


@pytest.fixture(scope="module")
def weights(lora: LoraFile, locon: LoraFile) -> tuple[LoraWeights, LoraWeights]:
    """A LoRA and a LoCon, read."""
    return read_lora(lora.path, lora.sha256), read_lora(locon.path, locon.sha256)


@pytest.mark.parametrize("scale", [0.0, 1e-30])
def test_a_lora_that_changes_nothing_is_refused(scale: float) -> None:
    """Its images would be the base model's, and be scored as the epoch's."""
    layer = nn.Linear(4, 4)
    merger = Merger({"unet": nn.Sequential(layer)})
    before = layer.weight.detach().clone()
    change = low_rank("unet.0", torch.ones(4, 1), torch.ones(1, 4), scale)
    lora = LoraWeights(sha256="a", changes=(change,))
    with pytest.raises(JobError, match="changes none of its 1 modules"):
        merger.apply([(lora, 1.0)])
    assert torch.equal(layer.weight, before)
    assert merger.apply([(lora, 0.0)]).modules_changed == 0


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
    assert one.modules_patched == one.modules_changed == weights[0].modules
    two = merger.apply([(weights[0], 1.0), (weights[1], 0.5)])
    assert two.modules_patched == weights[0].modules + weights[1].modules
    assert two.modules_changed == weights[1].modules
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
    pair = low_rank("lora_unet_x", torch.randn(up), torch.randn(down), 0.5)
    old = layer.weight.detach().clone()
    merger = Merger({"unet": nn.ModuleDict({"x": layer}), "text_encoder": nn.ModuleDict()})
    merger.apply([(LoraWeights(sha256="a", changes=(pair,)), 0.8)])
    change = (layer.weight.detach() - old).double()
    by_hand = torch.einsum(
        "or,ri...->oi...", pair.tensors["up"].flatten(1).double(), pair.tensors["down"].double()
    )
    assert torch.allclose(change, 0.4 * by_hand.reshape(old.shape), atol=1e-6)


def test_half_precision_is_rounded_once() -> None:
    """The sum is made in float32, so that a change below one step of fp16 is not lost early."""
    layer = nn.Linear(4, 4, bias=False).half()
    old = layer.weight.detach().float()
    small = [
        LoraWeights(
            sha256=str(seed),
            changes=(
                low_rank("lora_unet_x", torch.full((4, 1), 1e-2), torch.full((1, 4), 1e-2), 0.5),
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
    changes = weights[0].changes
    strange = tuple(replace(one, module=f"{one.module}_z") for one in changes[:10])
    half = LoraWeights(sha256="h", changes=strange + changes[10:])
    with pytest.raises(JobError, match="10 of the LoRA's 66 modules are not in this base model"):
        merger.apply([(weights[0], 1.0), (half, 1.0)])
    wide = low_rank(changes[0].module, changes[0].tensors["up"], torch.ones(4, 999))
    with pytest.raises(JobError, match="1 of the LoRA's 66 modules have another shape"):
        merger.apply([(LoraWeights(sha256="w", changes=(wide, *changes[1:])), 1.0)])
    assert same_bits(before, snapshot(*parts))


def test_weights_that_overflow_are_refused() -> None:
    """A merge that leaves infinity draws nothing and is undone."""
    layer = nn.Linear(4, 4, bias=False).half()
    old = layer.weight.detach().clone()
    pair = low_rank("lora_unet_x", torch.full((4, 1), 3e4), torch.full((1, 4), 3e4))
    merger = Merger({"unet": nn.ModuleDict({"x": layer}), "text_encoder": nn.ModuleDict()})
    with pytest.raises(JobError, match="infinite weights in 1 of 1"):
        merger.apply([(LoraWeights(sha256="o", changes=(pair,)), 1.0)])
    assert torch.equal(layer.weight, old)


def test_weights_and_biases_of_every_kind_come_back(fresh: Callable[[], Any]) -> None:
    """Norms and biases too, and a module counts once however much of it changes."""
    pipeline = fresh()
    parts = (pipeline.unet, pipeline.text_encoder)
    merger = Merger({"unet": parts[0], "text_encoder": parts[1]})
    before = snapshot(*parts)
    norm, conv = parts[0].conv_norm_out, parts[0].conv_in
    changes = tuple(
        Change(module=f"lora_unet_{name}", parameter=parameter, tensors={"diff": torch.ones(size)})
        for name, module in (("conv_norm_out", norm), ("conv_in", conv))
        for parameter, size in (("weight", module.weight.shape), ("bias", module.bias.shape))
    )
    merged = merger.apply([(LoraWeights(sha256="n", changes=changes), 0.5)])
    assert (merged.modules_patched, merged.modules_changed, merged.text_state) == (2, 2, ())
    assert torch.equal(norm.bias, before["0.conv_norm_out.bias"] + 0.5)
    merger.restore()
    assert same_bits(before, snapshot(*parts))


def test_a_bias_that_is_not_there_is_refused() -> None:
    """A layer without a bias cannot have it changed."""
    merger = Merger({"unet": nn.ModuleDict({"x": nn.Linear(4, 4, bias=False)})})
    change = Change(module="unet.x", parameter="bias", tensors={"diff": torch.ones(4)})
    with pytest.raises(JobError, match="1 of the LoRA's 1 modules have another shape"):
        merger.apply([(LoraWeights(sha256="b", changes=(change,)), 1.0)])


def test_a_layer_that_is_named_twice_is_refused() -> None:
    """Two spellings of one layer in one file: nobody can say which one counts."""
    merger = Merger({"unet": nn.ModuleDict({"x": nn.Linear(4, 4)})})
    changes = tuple(
        low_rank(name, torch.ones(4, 1), torch.ones(1, 4)) for name in ("unet.x", "lora_unet_x")
    )
    with pytest.raises(JobError, match="names 1 layers twice"):
        merger.apply([(LoraWeights(sha256="t", changes=changes), 1.0)])


def test_decomposed_loras_of_a_stack_do_not_depend_on_their_order() -> None:
    """Each begins at the base model's weight, not at what the one before has made of it."""
    torch.manual_seed(1)
    layer = nn.Linear(6, 4)
    merger = Merger({"unet": nn.ModuleDict({"x": layer})})
    stack = [
        (
            LoraWeights(
                sha256=str(number),
                changes=(
                    Change(
                        module="unet.x",
                        parameter="weight",
                        tensors={"up": torch.randn(4, 2), "down": torch.randn(2, 6)},
                        magnitude=torch.rand(4, 1) + 1,
                    ),
                ),
            ),
            0.5 + number,
        )
        for number in range(2)
    ]
    merger.apply(stack)
    first = layer.weight.detach().clone()
    merger.apply(stack[::-1])
    assert torch.allclose(first, layer.weight, atol=1e-6)
