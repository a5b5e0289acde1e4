"""LoRA files: every layout that is known, and a plain refusal of all others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from daemon.generator.job import JobError, LoraFile
from daemon.generator.lora_file import read_lora

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeLora

UP, DOWN = torch.ones(8, 2), torch.ones(2, 6)
KOHYA = "lora_unet_down_blocks_0_attentions_0_proj_in"


def kohya(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the tensors of one kohya module, and more."""
    return {
        f"{KOHYA}.lora_down.weight": DOWN,
        f"{KOHYA}.lora_up.weight": UP,
        f"{KOHYA}.alpha": torch.tensor(1.0),
        **more,
    }


@pytest.mark.parametrize(
    ("down", "up", "module"),
    [
        ("unet.a.to_q.lora_A.weight", "unet.a.to_q.lora_B.weight", "unet.a.to_q"),
        ("unet.a.to_q.lora.down.weight", "unet.a.to_q.lora.up.weight", "unet.a.to_q"),
        (
            "unet.a.processor.to_out_lora.down.weight",
            "unet.a.processor.to_out_lora.up.weight",
            "unet.a.to_out.0",
        ),
        (
            "text_encoder.l.q_proj.lora_linear_layer.down.weight",
            "text_encoder.l.q_proj.lora_linear_layer.up.weight",
            "text_encoder.l.q_proj",
        ),
        ("lora_te_x.lora_down.weight", "lora_te_x.lora_up.weight", "lora_te_x"),
        ("a.to_q.lora_A.weight", "a.to_q.lora_B.weight", "a.to_q"),
    ],
)
def test_both_halves_of_a_module_are_found(
    down: str, up: str, module: str, make_lora: MakeLora
) -> None:
    """The layouts of kohya, diffusers (today's and older) and PEFT."""
    file = make_lora({down: DOWN, up: UP}, f"layout-{abs(hash(down))}")
    (pair,) = read_lora(file.path, file.sha256).pairs
    assert (pair.name, pair.rank, pair.scale) == (module, 2, 1.0)


def test_alpha_over_rank_is_the_scale(make_lora: MakeLora) -> None:
    """Alpha 1 on rank 2 halves the change."""
    file = make_lora(kohya(), "alpha")
    assert read_lora(file.path, file.sha256).pairs[0].scale == 0.5


def test_peft_takes_its_scale_from_the_configuration_beside_it(
    make_lora: MakeLora, tmp_path: Path
) -> None:
    """And without that file nothing is drawn, since the scale is not known."""
    name = "base_model.model.a.to_q"
    file = make_lora({f"{name}.lora_A.weight": DOWN, f"{name}.lora_B.weight": UP}, "peft")
    with pytest.raises(JobError, match=r"adapter_config\.json"):
        read_lora(file.path, file.sha256)
    moved = tmp_path / "adapter_model.safetensors"
    moved.write_bytes(file.path.read_bytes())
    config = {"r": 2, "lora_alpha": 8, "alpha_pattern": {"to_k": 2}}
    moved.with_name("adapter_config.json").write_text(json.dumps(config))
    (pair,) = read_lora(moved, file.sha256).pairs
    assert (pair.name, pair.scale) == ("a.to_q", 4.0)


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        (f"{KOHYA}.dora_scale", "DoRA"),
        (f"{KOHYA}.lora_magnitude_vector", "DoRA"),
        (f"{KOHYA}.hada_w1_a", "LoHa"),
        (f"{KOHYA}.lokr_w1", "LoKr"),
        (f"{KOHYA}.lora_mid.weight", "Tucker"),
        ("oft_unet_x.oft_blocks", "OFT"),
        (f"{KOHYA}.diff_b", "differences"),
        (f"{KOHYA}.on_input", "IA3"),
    ],
)
def test_other_adapters_are_refused_by_name(extra: str, kind: str, make_lora: MakeLora) -> None:
    """They are never half loaded: the message counts what could not be merged."""
    file = make_lora(kohya(**{extra: torch.ones(2)}), f"other-{kind}-{len(extra)}")
    with pytest.raises(JobError, match=f"{kind}.*1 of its 4 tensors") as caught:
        read_lora(file.path, file.sha256)
    assert caught.value.kind == "bad_lora"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (kohya(position_ids=torch.ones(2)), "1 have unknown names"),
        ({f"{KOHYA}.lora_down.weight": DOWN}, "1 modules are incomplete"),
        (kohya(**{"lora_unet_y.alpha": torch.tensor(1.0)}), "1 modules are incomplete"),
        (kohya(**{f"{KOHYA}.lora_up.weight": torch.ones(8, 3)}), "do not fit"),
        (kohya(**{f"{KOHYA}.lora_up.weight": torch.full((8, 2), torch.nan)}), "NaN.*1 of its 3"),
        (kohya(**{f"{KOHYA}.lora_up.weight": torch.full((8, 2), torch.inf)}), "diverged"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_with_counts(
    tensors: dict[str, torch.Tensor], words: str, make_lora: MakeLora
) -> None:
    """Unknown, missing, unfit or broken tensors: in each case nothing is drawn."""
    file = make_lora(tensors, f"broken-{abs(hash(words))}")
    with pytest.raises(JobError, match=words):
        read_lora(file.path, file.sha256)


def test_a_truncated_or_changed_or_missing_file_is_refused(
    make_lora: MakeLora, tmp_path: Path
) -> None:
    """The bytes are those that were admitted, or they are not used."""
    import hashlib

    file = make_lora(kohya(), "whole")
    short = tmp_path / "short.safetensors"
    short.write_bytes(file.path.read_bytes()[:-10])
    with pytest.raises(JobError, match="not the file it was"):
        read_lora(short, file.sha256)
    with pytest.raises(JobError, match="no whole safetensors"):
        read_lora(short, hashlib.sha256(short.read_bytes()).hexdigest())
    with pytest.raises(JobError, match="cannot be read"):
        read_lora(tmp_path / "nowhere.safetensors", file.sha256)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """A file that would run code when unpickled is refused, and nothing has run."""
    import hashlib
    import pickle

    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (type(marker).touch, (marker,))  # type: ignore[return-value]

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    file = LoraFile(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(JobError, match="no whole safetensors"):
        read_lora(file.path, file.sha256)
    assert not marker.exists()
