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


def test_alpha_over_rank_is_the_scale(make_lora: MakeLora) -> None:
    """Alpha 1 on rank 2 halves the change."""
    file = make_lora(kohya(), "alpha")
    assert read_lora(file.path, file.sha256).changes[0].scale == 0.5


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
    (change,) = read_lora(moved, file.sha256).changes
    assert (change.module, change.scale) == ("a.to_q", 4.0)


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        (f"{KOHYA}.oft_R.weight", "OFT"),
        (f"{KOHYA}.bm.weight", "GLoRA"),
        (f"{KOHYA}.on_input", "IA3"),
        (f"{KOHYA}.p_layer.weight", "T-LoRA"),
        ("bundle_emb.punk.string_to_param", "an embedding"),
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
        (kohya(**{f"{KOHYA}.lora_down.weight": torch.tensor(1.0)}), "do not fit"),
        (kohya(**{f"{KOHYA}.lora_up.weight": torch.full((8, 2), torch.nan)}), "NaN.*1 of its 3"),
        (kohya(**{f"{KOHYA}.lora_up.weight": torch.full((8, 2), torch.inf)}), "diverged"),
        (
            kohya(
                **{
                    f"{KOHYA}.lora_up.weight": torch.ones(8, 0),
                    f"{KOHYA}.lora_down.weight": torch.ones(0, 6),
                }
            ),
            "2 empty tensors of 3.*rank is 0",
        ),
        (kohya(**{f"{KOHYA}.hada_w1_a": torch.ones(8, 2)}), "1 modules are incomplete"),
        (kohya(**{f"{KOHYA}.oft_blocks": torch.ones(2, 4, 4)}), "1 modules are incomplete"),
        ({f"{KOHYA}.a1.weight": UP, f"{KOHYA}.a2.weight": DOWN}, "1 modules are incomplete"),
        (kohya(**{f"{KOHYA}.lora_mid.weight": torch.ones(3, 3, 3, 3)}), "do not fit"),
        ({f"{KOHYA}.lokr_w1": DOWN, f"{KOHYA}.lokr_w2_a": UP}, "1 modules are incomplete"),
        (
            kohya(**{f"{KOHYA}.lora_A.weight": torch.zeros(2, 6)}),
            "1 modules .* have a tensor twice",
        ),
        (kohya(**{f"{KOHYA}.alpha": torch.ones(2)}), "an alpha or rank.* is no number"),
        (kohya(**{f"{KOHYA}.lora_up.weight": UP.to(torch.complex64)}), "holds complex numbers"),
        (kohya(**{f"{KOHYA}.lora_up.weight": UP.to(torch.float8_e8m0fnu)}), "type 'F8_E8M0'"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_with_counts(
    tensors: dict[str, torch.Tensor], words: str, make_lora: MakeLora
) -> None:
    """Unknown, missing, unfit or broken tensors: in each case nothing is drawn."""
    file = make_lora(tensors, f"broken-{abs(hash(words))}")
    with pytest.raises(JobError, match=words):
        read_lora(file.path, file.sha256)


@pytest.mark.parametrize(
    ("key", "metadata", "family"),
    [
        ("diffusion_model.layers.0.attention.qkv", {}, "a transformer whose name it does not tell"),
        ("transformer.transformer_blocks.0.attn.to_q", {"ss_base_model_version": "qwen"}, "qwen"),
    ],
)
def test_a_lora_for_a_transformer_that_is_not_drawn_is_refused_with_its_name(
    key: str, metadata: dict[str, str], family: str, make_lora: MakeLora
) -> None:
    """The names that ai-toolkit and kohya's trainer give to the modules of transformers."""
    tensors = {f"{key}.lora_A.weight": DOWN, f"{key}.lora_B.weight": UP}
    file = make_lora(tensors, f"transformer-{len(key)}", metadata or None)
    with pytest.raises(JobError, match=f"is a LoRA for {family}, and this version draws"):
        read_lora(file.path, file.sha256)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"peft_type": "IA3"}', "is PEFT's IA3"),
        ('{"unet.peft_type": "OFT"}', "is PEFT's OFT"),
        ('{"init_lora_weights": "pissa_niter_4"}', "changes the base model"),
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"peft_type": ["LORA"]}', "is PEFT's"),
        ('{"unet.lora_alpha": "a lot", "unet.r": 2}', "an alpha or rank.* is no number"),
        ('{"unet.lora_alpha": 2, "unet.alpha_pattern": [1]}', "an alpha or rank.* is no number"),
        ('{"unet.lora_alpha": 2, "unet.alpha_pattern": {"(": 1}}', "an alpha .* is no number"),
    ],
)
def test_a_configuration_that_cannot_be_merged_is_refused(
    config: str, words: str, make_lora: MakeLora
) -> None:
    """What the tensors do not tell: another kind of adapter, or a base that was changed too."""
    silent = {f"unet.x.{end}.weight": one for end, one in (("lora_A", DOWN), ("lora_B", UP))}
    file = make_lora(silent, f"config-{len(config)}", {"lora_adapter_metadata": config})
    with pytest.raises(JobError, match=words):
        read_lora(file.path, file.sha256)


def test_a_pattern_that_takes_hours_to_match_is_refused_in_a_moment(make_lora: MakeLora) -> None:
    """PEFT's patterns are regular expressions, and a file may bring any."""
    module = f"unet.{'a' * 60}"
    silent = {f"{module}.{end}.weight": one for end, one in (("lora_A", DOWN), ("lora_B", UP))}
    config = {"lora_alpha": 2, "alpha_pattern": {"(a|aa)+$x": 2}}
    file = make_lora(silent, "slow", {"lora_adapter_metadata": json.dumps(config)})
    with pytest.raises(JobError, match="timed out"):
        read_lora(file.path, file.sha256)


def test_a_module_counts_once(make_lora: MakeLora) -> None:
    """Its weight and its bias are two changes of one module."""
    tensors = kohya(**{f"{KOHYA}.diff_b": torch.ones(8), "lora_unet_conv_in.diff": torch.ones(2)})
    file = make_lora(tensors, "counts")
    weights = read_lora(file.path, file.sha256)
    assert (len(weights.changes), weights.modules) == (3, 2)


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
