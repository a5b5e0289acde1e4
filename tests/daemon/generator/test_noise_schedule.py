"""What files say of their noise, and what a scheduler is told because of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from daemon.generator.noise_schedule import NoiseSchedule, combine, told_by

if TYPE_CHECKING:
    from pathlib import Path

V, EPSILON, SILENT = (
    NoiseSchedule(prediction="v_prediction"),
    NoiseSchedule(prediction="epsilon"),
    NoiseSchedule(),
)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, SILENT),
        ({"modelspec.prediction_type": "v"}, V),
        ({"modelspec.prediction_type": "epsilon"}, EPSILON),
        ({"ss_v_parameterization": "True"}, V),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, V),
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, EPSILON),
        ({"ss_zero_terminal_snr": "True"}, NoiseSchedule(zero_terminal_snr=True)),
        ({"ss_zero_terminal_snr": "None", "modelspec.prediction_type": "flow"}, SILENT),
    ],
)
def test_metadata_is_read(
    metadata: dict[str, str], expected: NoiseSchedule, tmp_path: Path
) -> None:
    """ModelSpec's and kohya's keys; a word that is not known says nothing."""
    save_file({"x": torch.zeros(1)}, tmp_path / "m.safetensors", metadata)
    assert told_by(tmp_path / "m.safetensors") == expected


def test_marks_among_the_tensors_are_read_through_a_link(tmp_path: Path) -> None:
    """Two empty tensors, as ComfyUI knows them, in a file that a hub's cache links to."""
    save_file({"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, tmp_path / "blob")
    (tmp_path / "m.safetensors").symlink_to(tmp_path / "blob")
    told = told_by(tmp_path / "m.safetensors")
    assert (told.prediction, told.zero_terminal_snr) == ("v_prediction", True)


def test_a_folder_says_it_in_its_scheduler(tmp_path: Path) -> None:
    """And a folder or file without one says nothing."""
    assert told_by(tmp_path) == told_by(tmp_path / "missing.safetensors") == SILENT
    (tmp_path / "scheduler").mkdir()
    config = tmp_path / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({"prediction_type": "v_prediction"}))
    assert told_by(tmp_path) == V
    config.write_text("[]")
    assert told_by(tmp_path) == SILENT


@pytest.mark.parametrize(
    ("base", "loras", "expected"),
    [
        (EPSILON, [], "epsilon"),
        (EPSILON, [V], "v_prediction"),
        (V, [EPSILON], "v_prediction"),
        (SILENT, [EPSILON], "epsilon"),
        (NoiseSchedule(likely="v_prediction"), [SILENT], "v_prediction"),
        (NoiseSchedule(likely="v_prediction"), [EPSILON], "epsilon"),
        (SILENT, [SILENT], None),
    ],
)
def test_a_lora_is_drawn_as_it_was_trained(
    base: NoiseSchedule, loras: list[NoiseSchedule], expected: str | None
) -> None:
    """A LoRA's v counts, a base's word comes next, a trainer's default and a guess come last."""
    assert combine(base, loras).prediction == expected


def test_zero_terminal_snr_needs_v_prediction() -> None:
    """Then the steps begin at the last one; a base that has it in its own settings keeps these."""
    zero = NoiseSchedule(zero_terminal_snr=True)
    options = combine(V, [zero]).options({})
    expected = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    assert options == {"prediction_type": "v_prediction", **expected}
    assert combine(EPSILON, [zero]).options({}) == {"prediction_type": "epsilon"}
    assert zero.options({"prediction_type": "v_prediction"}) == expected
    own = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    assert zero.options(own) == {}
