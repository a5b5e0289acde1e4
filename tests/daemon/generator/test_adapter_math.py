"""The mathematics of adapters, against lycoris-lora's own modules and PEFT's own layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.full import FullModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import nn

from daemon.generator.adapter_config import AdapterConfig
from daemon.generator.adapter_math import Change, Rows, shape
from daemon.generator.adapter_tensors import group

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(24, 36),
    "1x1": lambda: nn.Conv2d(24, 36, 1),
    "3x3": lambda: nn.Conv2d(24, 36, 3),
}
DORA = {"weight_decompose": True}
BY_INPUT = {**DORA, "wd_on_out": False}
SMALL = {"lora_dim": 2, "decompose_both": True}


def trained(module: nn.Module) -> nn.Module:
    """Return ``module`` with numbers that a training could have left."""
    with torch.no_grad():
        for name, one in module.named_parameters():
            if "org_module" in name or name == "base_layer.weight":
                continue
            random = torch.randn_like(one) * 0.3
            scale = "dora_scale" in name or "magnitude" in name
            one.copy_(one * (1 + random) if scale else random)
    return module


def changes_of(
    state: dict[str, torch.Tensor], config: dict[str, Any] | None = None
) -> list[Change]:
    """Return the changes in ``state``, all of whose tensors must be understood."""
    grouped = group(state, AdapterConfig(body=config or {}).scale)
    assert not grouped.unknown
    assert not grouped.incomplete
    return list(grouped.changes)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Say whether two results differ by no more than float32 arithmetic does."""
    return torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LoConModule, {}),
        (LoConModule, {"use_tucker": True}),
        (LoConModule, {"rs_lora": True, "alpha": 2}),
        (LoConModule, {"use_scalar": True}),
        (LoConModule, DORA),
        (LoConModule, BY_INPUT),
        (LohaModule, {}),
        (LohaModule, {"use_tucker": True}),
        (LohaModule, DORA),
        (LokrModule, {"lora_dim": 100}),  # both whole
        (LokrModule, {"full_matrix": True}),
        (LokrModule, {"lora_dim": 2}),  # the first whole, the second in factors
        (LokrModule, {"lora_dim": 2, "use_tucker": True}),
        (LokrModule, SMALL),  # both in factors
        (LokrModule, {**SMALL, "use_tucker": True}),
        (LokrModule, {**SMALL, **BY_INPUT}),
        (LokrModule, {"lora_dim": 2, "factor": 4, **DORA}),
        (FullModule, {}),
        (GLoRAModule, {}),
        (DiagOFTModule, {"rescaled": True}),
        (DiagOFTModule, {"constraint": 0.01}),
        (ButterflyOFTModule, {"lora_dim": 18, "rescaled": True}),
        (ButterflyOFTModule, {"lora_dim": 18, "constraint": 0.01}),
    ],
)
def test_it_merges_what_lycoris_trains(kind: Any, options: dict[str, Any], layer: str) -> None:
    """Every algorithm on linear layers and convolutions, decomposed or not.

    The layer's answer in training is compared, and not lycoris-lora's own merge: that of LoHa and
    LoKr multiplies by alpha / rank twice (4.1.3).
    """
    torch.manual_seed(3)
    target = LAYERS[layer]()
    ours, picture = LAYERS[layer](), torch.randn(2, 24, 5, 5)
    ours.load_state_dict(target.state_dict())
    module = kind("x", target, 1.0, **({"lora_dim": 3, "alpha": 1} | options))
    module.apply_to()
    trained(module)
    shown = picture if layer != "linear" else picture.movedim(1, -1)
    with torch.no_grad():
        before, expected = ours(shown), target(shown)
        state = {f"x.{name}": one.detach() for name, one in module.state_dict().items()}
        for change in changes_of(state):
            value = getattr(ours, change.parameter)
            assert change.fits(value.shape)
            value += change.delta(value)
        assert close(ours(shown), expected)
    assert (expected - before).abs().mean() > 1e-3


def test_norms_are_merged_as_lycoris_does() -> None:
    """Their weight and bias both change, by the whole difference."""
    target = nn.GroupNorm(4, 12)
    module = trained(NormModule("x", target))
    state = {f"x.{name}": one.detach() for name, one in module.state_dict().items()}
    expected = module.get_merged_weight(1.0)
    for change, theirs in zip(changes_of(state), reversed(expected), strict=True):
        own = getattr(target, change.parameter).detach()
        assert close(own + change.delta(own), theirs)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=3, lora_alpha=6),
        LoraConfig(r=3, lora_alpha=6, use_rslora=True),
        LoraConfig(r=3, lora_alpha=5, rank_pattern={"x": 5}, alpha_pattern={"x": 2}),
        LoraConfig(r=3, lora_alpha=6, use_dora=True),
        LoHaConfig(r=3, alpha=6),
        LoHaConfig(r=3, alpha=6, use_effective_conv2d=True),
        LoKrConfig(r=2, alpha=6),
        LoKrConfig(r=100, alpha=6),  # both whole: the scale is in the configuration alone
        LoKrConfig(r=2, alpha=6, decompose_both=True, use_effective_conv2d=True),
    ],
)
def test_it_merges_what_peft_merges(config: Any, layer: str) -> None:
    """Each of PEFT's configurations, with the names that it saves."""
    torch.manual_seed(4)
    target = LAYERS[layer]()
    weight = target.weight.detach().clone()
    config.target_modules = ["x"]
    model = trained(get_peft_model(nn.ModuleDict({"x": target}), config))
    with torch.no_grad():
        target.weight.copy_(weight)
    state = get_peft_model_state_dict(model)
    (change,) = changes_of(state, config.to_dict())
    expected = model.merge_and_unload()["x"].weight.detach()
    assert change.module == "x"
    assert close(weight + change.delta(weight), expected)
    assert not torch.allclose(weight, expected, atol=1e-3)


def test_a_strength_goes_straight_from_the_base_to_the_merged_weight() -> None:
    """For DoRA too: half the strength is half the way, as ComfyUI and AUTOMATIC1111 have it."""
    torch.manual_seed(5)
    weight, up, down = torch.randn(6, 4), torch.randn(6, 2), torch.randn(2, 4)
    magnitude = torch.rand(6, 1) + 1
    change = Change(
        module="x",
        parameter="weight",
        tensors={"up": up, "down": down},
        scale=0.5,
        magnitude=magnitude,
    )
    merged = weight + 0.5 * up @ down
    merged = merged * magnitude / merged.norm(dim=1, keepdim=True)
    assert close(weight + 0.5 * change.delta(weight), (weight + merged) / 2)


def test_a_row_of_zeros_stays_one() -> None:
    """It has no direction, so no magnitude can be given to it."""
    change = Change(
        module="x",
        parameter="weight",
        tensors={"diff": torch.zeros(2, 3)},
        magnitude=torch.full((2, 1), 99.0),
    )
    assert change.delta(torch.zeros(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_tensors_that_do_not_fit_each_other_are_told() -> None:
    """The shape is known before anything is computed."""
    assert shape({"up": torch.ones(8, 2), "down": torch.ones(2, 6, 3, 3)}) == (8, 6, 3, 3)
    with pytest.raises(ValueError, match="do not fit"):
        shape({"up": torch.ones(8, 2), "down": torch.ones(3, 6)})


@pytest.mark.parametrize(
    ("size", "tensors", "magnitude", "fits"),
    [
        ((8, 6), {"diff": (8, 6, 1, 1)}, None, True),
        ((8, 6, 3, 3), {"diff": (8, 54)}, None, True),
        ((8, 54), {"diff": (8, 6, 3, 3)}, None, False),
        ((8, 6, 3, 3), {"diff": (8, 6, 1, 1)}, None, False),
        ((8,), {"diff": (8,)}, None, True),
        ((8, 6), {"diff": (8, 6)}, (8, 1), True),
        ((8, 6), {"diff": (8, 6)}, (1, 6), True),
        ((8, 6), {"diff": (8, 6)}, (6, 1), False),
        ((8,), {"diff": (8,)}, (8, 1), False),
        ((8, 6), {"oft_blocks": (2, 4, 4), "constraint": ()}, None, True),
        ((6, 8), {"oft_blocks": (2, 4, 4), "constraint": ()}, None, False),
        ((8, 6), {"oft_blocks": (8,), "constraint": ()}, None, False),
        ((8, 6), {"oft_blocks": (8, 8), "constraint": ()}, None, False),
        ((8, 6), {"a1": (6, 2), "a2": (2, 6), "b1": (8, 2), "b2": (2, 6)}, None, True),
        ((8, 6), {"a1": (8, 2), "a2": (2, 8), "b1": (8, 2), "b2": (2, 6)}, None, False),
    ],
)
def test_a_change_fits_weights_of_its_form_alone(
    size: tuple[int, ...],
    tensors: dict[str, tuple[int, ...]],
    magnitude: tuple[int, ...] | None,
    *,
    fits: bool,
) -> None:
    """A 1x1 convolution is a linear layer, and a flat change may be a convolution's."""
    change = Change(
        module="x",
        parameter="weight",
        tensors={role: torch.ones(one) for role, one in tensors.items()},
        magnitude=None if magnitude is None else torch.ones(magnitude),
    )
    assert change.fits(torch.Size(size)) is fits


def test_rows_of_a_whole_are_not_turned() -> None:
    """A rotation mixes rows of all the layers that its file keeps as one, so it has no part."""
    tensors = {"oft_blocks": torch.ones(4, 3, 3), "constraint": torch.zeros(())}
    change = Change(module="x", parameter="weight", tensors=tensors)
    assert change.fits(torch.Size((12, 6)))
    assert not Rows(change=change, start=0, stop=4, total=12).fits(torch.Size((4, 6)))
