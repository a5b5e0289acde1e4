"""Names of checkpoints, as the trainers write them."""

from __future__ import annotations

import pytest

from core.formats.checkpoint_name import (
    NameHint,
    is_candidate,
    is_watched_folder,
    read_name,
    shown,
    telling_name,
)

EXAMPLES = {
    "punk-000007.safetensors": NameHint(stem="punk", kind="epoch", epoch=7),
    "punk-v2-000010.safetensors": NameHint(stem="punk-v2", kind="epoch", epoch=10),
    "punk-000001 (1).safetensors": NameHint(stem="punk", kind="epoch", epoch=1),
    "punk-000001(2).safetensors": NameHint(stem="punk", kind="epoch", epoch=1),
    "epoch-000003.safetensors": NameHint(stem="last", kind="epoch", epoch=3),
    "punk-step00000500.safetensors": NameHint(stem="punk", kind="step", step=500),
    "at-step00000500.ckpt": NameHint(stem="last", kind="step", step=500),
    "last.safetensors": NameHint(stem="last", kind="final"),
    "punk.safetensors": NameHint(stem="punk", kind="unnumbered"),
    "job_000002000.safetensors": NameHint(stem="job", kind="step", step=2000),
    "job_LoRA_000002000.safetensors": NameHint(stem="job", kind="step", step=2000),
    "wan_000000250_high_noise.safetensors": NameHint(
        stem="wan", kind="step", step=250, part="high_noise"
    ),
    "lora2025-11-09_14-53-20-save-1200-6-0.safetensors": NameHint(
        stem="lora", kind="step", step=1200
    ),
    "2025-11-09_14-53-20-save-1200-6-0.safetensors": NameHint(stem="last", kind="step", step=1200),
    "runs/punk/checkpoint-500/pytorch_lora_weights.safetensors": NameHint(
        stem="punk", kind="step", step=500
    ),
    "punk/checkpoint-40-rolling/ema/pytorch_lora_weights.safetensors": NameHint(
        stem="punk (ema)", kind="step", step=40
    ),
    "punk/checkpoint_3/adapter_model.safetensors": NameHint(stem="punk", kind="step", step=3),
    "punk/checkpoint-500/style/adapter_model.safetensors": NameHint(
        stem="punk (style)", kind="step", step=500
    ),
    "punk/checkpoint-500/ema_model.safetensors": NameHint(stem="punk (ema)", kind="step", step=500),
    "punk/pytorch_lora_weights.safetensors": NameHint(stem="punk", kind="final"),
    "adapter_model.safetensors": NameHint(stem="adapter_model", kind="final"),
    "art-99999999999999999999.safetensors": NameHint(
        stem="art-99999999999999999999", kind="unnumbered"
    ),
    "-000001.safetensors": NameHint(stem="-000001", kind="unnumbered"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_name_says_what_its_trainer_meant(name: str) -> None:
    """Each trainer's pattern is read for what it is."""
    assert read_name(name) == EXAMPLES[name]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/out/punk/punk-000001.safetensors", "punk-000001.safetensors"),
        ("/out/checkpoint-5/adapter_model.safetensors", "checkpoint-5/adapter_model.safetensors"),
        ("/o/checkpoint-5/ema/ema_model.safetensors", "checkpoint-5/ema/ema_model.safetensors"),
        ("/adapter_model.safetensors", "adapter_model.safetensors"),
    ],
)
def test_saves_that_are_all_called_alike_are_told_apart_by_their_folder(
    path: str, name: str
) -> None:
    """A person sees which step it is; other names say it themselves."""
    assert telling_name(path) == name


@pytest.mark.parametrize(
    "path",
    [
        ".tmpAbC123",
        ".hidden.safetensors",
        "x.safetensors.part",
        "x.safetensors.tmp",
        "x.safetensors.crdownload",
        "~syncthing~x.safetensors",
        ".punk-000001.safetensors.a1b2c3",
        "punk-000001-state/model.safetensors",
        "checkpoint-5-tmp/pytorch_lora_weights.safetensors",
        "backup/2025-11-09_14-53-20-backup-1200-6-0/lora/lora.safetensors",
        "checkpoint-5/optimizer.bin",
        "checkpoint-5/random_states_0.pkl",
        "optimizer.pt",
        "sample/punk_e000001_00_20251109145320.png",
        "config.yaml",
    ],
)
def test_what_is_no_finished_weights_file_is_left_alone(path: str) -> None:
    """Temporary names, dotfiles and a trainer's own state are no candidates."""
    assert is_candidate(path) is None


def test_weights_are_candidates_and_pickles_are_told_apart() -> None:
    """A pickle is recognized, so that it can be refused by name alone."""
    assert is_candidate("deep/punk-000001.SAFETENSORS") == "safetensors"
    assert is_candidate("punk-000001.ckpt") == "pickle"
    assert is_candidate("pytorch_lora_weights.bin") == "pickle"


def test_a_folder_of_trainer_state_is_not_entered() -> None:
    """The scan does not even list what is not meant for use."""
    assert is_watched_folder("checkpoint-500")
    assert not any(is_watched_folder(name) for name in (".cache", "punk-state", "checkpoint-5-tmp"))


def test_a_name_that_is_no_text_is_shown_escaped() -> None:
    """Odd bytes, control characters and direction overrides cannot fool a terminal or a page."""
    assert shown("ok ünï 🙂.safetensors") == "ok ünï 🙂.safetensors"
    assert shown(b"a\xff\x1b[31m\n".decode("utf-8", "surrogateescape")) == r"a\xff\x1b[31m\x0a"
    assert shown("\u202egnp") == r"\u202egnp"
