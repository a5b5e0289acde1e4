"""Headers, facts and weights of real files."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

import checkpoints_made as made
from core.formats.checkpoint_file import (
    Header,
    Incomplete,
    Refused,
    body_sha256,
    check_finite_and_nonzero,
    facts,
    has_zero_tail,
    needs_companion,
    read_header,
    storable,
    why_not_tested,
    with_companion,
)
from core.formats.prompt_trigger import trigger_of_metadata

if TYPE_CHECKING:
    from pathlib import Path

    from core.nouns import CheckpointFacts


def header_of(tmp_path: Path, data: bytes) -> Header:
    """Write the bytes and read their header, which must be in order."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    header = read_header(path)
    assert isinstance(header, Header), header
    return header


def facts_of(tmp_path: Path, data: bytes, name: str = "punk-000003.safetensors") -> CheckpointFacts:
    """Return the facts of these bytes under this name."""
    return facts(header_of(tmp_path, data), name)


def test_the_header_agrees_with_the_library(tmp_path: Path) -> None:
    """What safetensors itself writes is read to the byte."""
    import numpy as np

    data = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}, {"k": "v"})
    header = header_of(tmp_path, data)
    assert header.metadata == {"k": "v"}
    assert header.tensors["a"].shape == (2, 3)
    assert header.header_bytes + header.body_bytes == len(data)


def test_spaces_after_the_json_are_allowed(tmp_path: Path) -> None:
    """Some writers pad their headers with spaces."""
    assert header_of(tmp_path, made.with_header(b"{}      ")).tensors == {}


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    """No content whatever makes the reader fail."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        assert isinstance(read_header(file.fileno()), Header | Incomplete | Refused)


@given(st.dictionaries(st.sampled_from(sorted(made.kohya_metadata())), st.text(max_size=60)))
def test_any_metadata_gives_facts(told: dict[str, str]) -> None:
    """Whatever stands in the metadata, facts come out that JSON and a database can take."""
    header = Header(metadata=told, tensors={}, header_bytes=0, body_bytes=0)
    found = facts(header, "punk-000003.safetensors")
    text = json.dumps([found.training, found.output_name, found.notes, found.session_id])
    assert r"\u0000" not in text.replace(r"\\u0000", "")
    assert found.epoch is None or found.epoch >= 0


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    """A file cut anywhere is incomplete, never whole and never called damaged."""
    data = made.kohya_bytes(1)
    path = tmp_path / "x.safetensors"
    for cut in [0, 1, 7, 8, 9, 20, 500, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:cut])
        assert isinstance(read_header(path), Incomplete), cut


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the place of a checkpoint is an error of the system, not a file."""
    made.kohya_file(tmp_path / "real.safetensors")
    (tmp_path / "x.safetensors").symlink_to("real.safetensors")
    with pytest.raises(OSError, match="symbolic link"):
        read_header(tmp_path / "x.safetensors")


def test_a_kohya_checkpoint_fills_its_run(tmp_path: Path) -> None:
    """All that sd-scripts writes into a file reaches the columns of the run."""
    found = facts_of(tmp_path, made.kohya_bytes(3))
    assert (found.family, found.kind, found.layout) == ("sd1", "lora", "kohya")
    assert (found.output_name, found.session_id) == ("punk", made.SESSION)
    assert (found.epoch, found.step, found.planned_epochs, found.planned_steps) == (
        3,
        100,
        10,
        1000,
    )
    assert (found.rank, found.alpha, found.module_count) == (4, 2.0, 3)
    assert found.saved_at == datetime.fromtimestamp(1762701800.5, tz=UTC)
    assert (found.base_model_name, found.base_model_sha256) == (
        "v1-5-pruned-emaonly.safetensors",
        made.BASE_SHA256,
    )
    assert found.notes == ()
    assert found.training == {
        "base_model": "v1-5-pruned-emaonly.safetensors",
        "model_type": "SD15",
        "training_data_path": "10_punk",
        "num_images": 203,
        "caption_format": "comma-separated",
        "resolution": "512x512",
        "network_dim": 4,
        "network_alpha": 2,
        "learning_rate": 0.0001,
        "unet_lr": 0.0001,
        "text_encoder_lr": 5e-05,
        "train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_train_epochs": 10,
        "total_steps": 1000,
        "mixed_precision": "fp16",
        "optimizer_type": "AdamW8bit",
        "lr_scheduler": "cosine_with_restarts",
        "noise_offset": 0.1,
        "min_snr_gamma": 5,
        "output_name": "punk",
    }


@pytest.mark.parametrize(
    ("told", "base"),
    [
        ("runwayml/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
        ("/models/sd/v1-5.safetensors", "v1-5.safetensors"),
        (None, None),
        (["no", "name"], "['no', 'name']"),
    ],
)
def test_peft_tells_alpha_and_base_in_the_file_beside(
    tmp_path: Path, told: object, base: str | None
) -> None:
    """Its weights alone say neither, and need that file; those of diffusers have it inside."""
    header = header_of(tmp_path, made.safetensors_bytes(made.peft_tensors()))
    assert needs_companion(header)
    text = json.dumps({"r": 8, "lora_alpha": 12, "base_model_name_or_path": told})
    whole = with_companion(header, text)
    assert not needs_companion(whole)
    found = facts(whole, "punk/checkpoint-500/adapter_model.safetensors")
    assert (found.rank, found.alpha, found.base_model_name) == (8, 12.0, base)
    assert found.training.get("base_model") == base
    assert (found.step, found.output_name) == (500, "punk")


def test_a_whole_model_with_its_lora_inside_is_no_checkpoint(tmp_path: Path) -> None:
    """That is how accelerate saves what is being trained, in the folder of the real LoRA."""
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = {
        f"{name}.base_layer.weight": made.numbers((32, 768)),
        f"{name}.lora_A.default.weight": made.numbers((8, 768)),
        f"{name}.lora_B.default.weight": made.numbers((32, 8)),
    }
    found = facts_of(tmp_path, made.safetensors_bytes(tensors))
    assert (found.kind, found.layout, found.training) == ("other", "training state", {})
    assert "trainer's own state" in (why_not_tested(found) or "")


def test_a_dataset_file_is_read_too(tmp_path: Path) -> None:
    """With a dataset configuration the numbers stand in another place."""
    sets = [
        {
            "batch_size_per_device": 4,
            "resolution": [768, 512],
            "subsets": [
                {"img_count": 10, "caption_extension": ".txt"},
                {"img_count": 3, "caption_extension": ".txt"},
                {"img_count": 99, "is_reg": True},
            ],
        }
    ]
    metadata = made.kohya_metadata(1, ss_datasets=json.dumps(sets))
    for key in ("ss_resolution", "ss_batch_size_per_device", "ss_total_batch_size"):
        del metadata[key]
    found = facts_of(tmp_path, made.safetensors_bytes(made.kohya_tensors(), metadata))
    wanted = {
        "num_images": 13,
        "train_batch_size": 4,
        "resolution": "768x512",
        "caption_format": ".txt",
    }
    assert wanted.items() <= found.training.items()


def test_the_last_epoch_is_known_by_its_metadata(tmp_path: Path) -> None:
    """The final file has no number in its name; the header says which epoch it is."""
    found = facts_of(tmp_path, made.kohya_bytes(10), "punk.safetensors")
    assert (found.epoch, found.is_final, found.is_step_save) == (10, True, False)
    assert not facts_of(tmp_path, made.kohya_bytes(9)).is_final


def test_a_step_save_has_no_epoch_of_its_own(tmp_path: Path) -> None:
    """The epoch in a step file counts the complete ones: it must not pass for that epoch's file."""
    found = facts_of(tmp_path, made.kohya_bytes(3, steps=350), "punk-step00000350.safetensors")
    assert (found.epoch, found.step, found.is_step_save) == (None, 350, True)
    assert "3 complete epochs" in " ".join(found.notes)


def test_the_metadata_wins_over_the_name(tmp_path: Path) -> None:
    """A renamed file keeps its epoch, and the disagreement is told."""
    found = facts_of(tmp_path, made.kohya_bytes(7), "punk-000003.safetensors")
    assert found.epoch == 7
    assert "The name says epoch 3" in " ".join(found.notes)


def test_without_metadata_the_name_is_all_there_is(tmp_path: Path) -> None:
    """``--no_metadata`` leaves the epoch to the name, and to nobody for the final file."""
    data = made.safetensors_bytes(made.kohya_tensors(), {"ss_v2": "False"})
    assert facts_of(tmp_path, data).epoch == 3
    final = facts_of(tmp_path, data, "punk.safetensors")
    assert (final.epoch, final.step, final.is_final, final.output_name) == (
        None,
        None,
        False,
        "punk",
    )


@pytest.mark.parametrize(
    ("value", "step"),
    [("-1", None), ("7.5", None), ("1" + "0" * 20, None), ("nan", None), ("None", None), ("5", 5)],
)
def test_a_senseless_number_is_ignored(tmp_path: Path, value: str, step: int | None) -> None:
    """Hostile or broken numbers leave the name's epoch and never fail."""
    found = facts_of(tmp_path, made.kohya_bytes(3, ss_epoch=value, ss_steps=value))
    assert found.step == step
    assert found.epoch == (5 if step else 3)
    assert (value == "None") == (not any("makes no sense" in note for note in found.notes)) or step


def test_a_senseless_checksum_is_ignored(tmp_path: Path) -> None:
    """Ten megabytes in the place of a checksum are named in a note and go nowhere else."""
    data = made.kohya_bytes(3, proof=False, sshs_model_hash="f" * 10_000_000)
    found = facts_of(tmp_path, data)
    assert found.body_sha256_claimed is None
    assert len(" ".join(found.notes)) < 300


def test_metadata_can_be_stored_whatever_it_holds() -> None:
    """NUL, half characters and megabytes become something that a database takes."""
    found = storable({"a\0": "b\0\ud800", "c": "d" * 10**6} | {str(n): "" for n in range(999)})
    assert found[r"a\x00"] == r"b\x00\ud800"
    assert len(found["c"]) == 20_003
    assert len(found) == 300
    json.dumps(found).encode("ascii")


def test_of_too_many_tags_the_frequent_ones_are_kept() -> None:
    """A folder of a thousand captions: its trigger word is found, and its tags stay JSON."""
    rare = {f"hair no. {number} with \u201cbeads\u201d": 1 for number in range(1000)}
    tags = {"1_rare": rare, "2_punk": {"blue": 60, "punk": 200, "hat": 30}}
    counted = {"1_rare": {"img_count": 10}, "2_punk": {"img_count": 200}}
    told = {"ss_tag_frequency": json.dumps(tags), "ss_dataset_dirs": json.dumps(counted)}
    found = storable(told)
    kept = json.loads(found["ss_tag_frequency"])
    assert list(kept["2_punk"]) == ["blue", "punk", "hat"]
    assert 0 < len(kept["1_rare"]) < 1000
    assert len(found["ss_tag_frequency"]) <= 20_000
    assert trigger_of_metadata(found) == trigger_of_metadata(told) == "punk"


@pytest.mark.parametrize("tags", ["x" * 30_000, "[1]" + " " * 30_000, '{"a": 1}' + " " * 30_000])
def test_tags_that_are_none_are_cut_like_any_text(tags: str) -> None:
    """Somebody else wrote them."""
    assert len(storable({"ss_tag_frequency": tags})["ss_tag_frequency"]) == 20_003


LAYOUTS = {
    "sd2": (made.sd2_tensors(), "sd2", "kohya", 4),
    "sdxl": (made.sdxl_tensors(), "sdxl", "kohya", 4),
    "flux": (made.flux_tensors(), "flux", "kohya", 4),
    "locon": (made.locon_tensors(), "sd1", "kohya", 4),
    "loha": (made.loha_tensors(), "sd1", "lycoris", 4),
    "dora": (made.dora_tensors(), "sd1", "kohya-dora", 4),
    "peft": (made.peft_tensors(), "sd1", "peft", 8),
    "diffusers": (made.diffusers_tensors(), "sd1", "diffusers", 8),
    "ai-toolkit": (made.ai_toolkit_tensors(), "flux", "comfy", 8),
    "tiny": (made.kohya_tensors(width=64), "sd1", "kohya", 4),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_family_and_layout_come_from_the_tensors(tmp_path: Path, name: str) -> None:
    """Each layout is recognized without any metadata."""
    tensors, family, layout, rank = LAYOUTS[name]
    found = facts_of(tmp_path, made.safetensors_bytes(tensors))
    assert (found.kind, found.family, found.layout, found.rank) == ("lora", family, layout, rank)


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("lora_unet_output_blocks_5_1_proj_in.lora_down.weight", "sdxl"),
        ("lora_unet_middle_block_1_proj_in.lora_down.weight", "sdxl"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "sdxl"),
        ("clip_g.text_model.encoder.layers.0.mlp.fc1.lora_down.weight", "sdxl"),
        ("diffusion_model.input_blocks.4.1.proj_in.lora_down.weight", "sd1"),
        ("lycoris_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q.lokr_w1", "sdxl"),
        ("unet.down_blocks.0.attentions.0.proj_in.processor.to_q_lora.down.weight", "sd1"),
        ("unet.mid_block.attentions.0.proj_in.lora_linear_layer.up.weight", "sd1"),
    ],
)
def test_the_family_is_known_by_any_trainers_names(tmp_path: Path, key: str, family: str) -> None:
    """Stability's block names, OneTrainer's, SimpleTuner's and older ones of diffusers."""
    found = facts_of(tmp_path, made.safetensors_bytes({key: made.numbers((4, 4))}))
    assert (found.kind, found.family) == ("lora", family)


def test_a_wrong_family_in_the_metadata_is_told(tmp_path: Path) -> None:
    """The tensors cannot lie about their shapes."""
    data = made.safetensors_bytes(made.sdxl_tensors(), made.kohya_metadata(1))
    found = facts_of(tmp_path, data)
    assert found.family == "sdxl"
    assert found.training["model_type"] == "SDXL"
    assert "The metadata says sd1" in " ".join(found.notes)


def test_other_trainers_tell_their_step_in_their_own_way(tmp_path: Path) -> None:
    """ai-toolkit and SimpleTuner have keys of their own; PEFT's alpha is found too."""
    tensors = made.ai_toolkit_tensors()
    toolkit = facts_of(
        tmp_path,
        made.safetensors_bytes(tensors, {"training_info": '{"step": 250, "epoch": 1}'}),
        "job.safetensors",
    )
    assert (toolkit.step, toolkit.epoch) == (250, None)
    tuner = facts_of(
        tmp_path,
        made.safetensors_bytes(
            made.diffusers_tensors(),
            {"global_step": "40", "lora_adapter_metadata": '{"unet.lora_alpha": 16}'},
        ),
        "run/checkpoint-40/pytorch_lora_weights.safetensors",
    )
    assert (tuner.step, tuner.alpha, tuner.output_name) == (40, 16.0, "run")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (made.base_tensors(), "full base model"),
        (made.embedding_tensors(), "textual inversion"),
        (made.vae_tensors(), "VAE"),
        ({}, "no tensors"),
        ({"x.y": made.numbers((3, 3))}, "no weights"),
    ],
)
def test_what_is_no_lora_is_named(
    tmp_path: Path, tensors: dict[str, made.Entry], words: str
) -> None:
    """A person reads what the file is instead of an error."""
    found = facts_of(tmp_path, made.safetensors_bytes(tensors))
    assert found.kind != "lora"
    assert words in (why_not_tested(found) or "")


def test_the_checksum_of_the_body_is_kohyas(tmp_path: Path) -> None:
    """SHA-256 of everything after the header, as sshs_model_hash has it."""
    path = made.kohya_file(tmp_path / "x.safetensors")
    header = read_header(path)
    assert isinstance(header, Header)
    with path.open("rb") as file:
        found = body_sha256(file.fileno(), header)
    assert found == header.metadata["sshs_model_hash"]
    assert found == hashlib.sha256(path.read_bytes()[header.header_bytes :]).hexdigest()


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_counted(tmp_path: Path, dtype: str, value: float) -> None:
    """A training that diverged is seen in its weights, whatever their type."""
    tensors = {
        "m.lora_down.weight": made.numbers((8, 8), dtype=dtype),
        "m.lora_up.weight": made.filled((3, 5), value, dtype=dtype),
    }
    header = header_of(tmp_path, made.safetensors_bytes(tensors))
    found = check_finite_and_nonzero(tmp_path / "x.safetensors", header)
    assert (found.not_finite, found.untrained) == (15, False)


def test_an_untrained_lora_is_told(tmp_path: Path) -> None:
    """Where every up-weight is zero the LoRA changes nothing."""
    tensors = {
        "m.lora_down.weight": made.numbers((8, 8)),
        "m.lora_up.weight": made.filled((8, 8), 0.0),
    }
    header = header_of(tmp_path, made.safetensors_bytes(tensors))
    assert check_finite_and_nonzero(tmp_path / "x.safetensors", header).untrained


@pytest.mark.parametrize(("there", "empty"), [(1.0, False), (0.9, True), (0.5, True)])
def test_a_tail_of_zeros_is_seen(tmp_path: Path, *, there: float, empty: bool) -> None:
    """Space that was reserved before its data came looks like this."""
    header = header_of(tmp_path, made.preallocated(made.kohya_bytes(1), there))
    with (tmp_path / "x.safetensors").open("rb") as file:
        assert has_zero_tail(file.fileno(), header) is empty
