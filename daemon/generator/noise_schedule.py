"""How a model was trained to see noise: what it predicts, and whether the last step is pure noise.

Told by files; it must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.formats.checkpoint_header import Header, read_header

Prediction = Literal["epsilon", "v_prediction"]

_WORDS: dict[str, Prediction] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
    "velocity": "v_prediction",
}
_ARCHITECTURES: dict[str, Prediction] = {  # kohya-ss/sd-scripts, library/sai_model_spec.py
    "stable-diffusion-v2-512": "epsilon",
    "stable-diffusion-v2-768-v": "v_prediction",
}


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """What a file says of it; None where it says nothing."""

    prediction: Prediction | None = None
    zero_terminal_snr: bool | None = None
    likely: Prediction | None = None  # what the weights look like, where nothing is said

    def options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a scheduler needs beyond ``config``, the base model's own.

        Zero terminal SNR counts with v-prediction alone: out of pure noise nothing can be learned
        from the noise itself (Lin et al. 2023, arXiv:2305.08891, section 3.3). Steps then begin
        at the very last one, as its section 3.4 asks for.
        """
        options: dict[str, Any] = {}
        if self.prediction is not None:
            options["prediction_type"] = self.prediction
        prediction = self.prediction or config.get("prediction_type")
        own = config.get("rescale_betas_zero_snr")
        if self.zero_terminal_snr and not own and prediction == "v_prediction":
            options |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return options


def told_by(path: Path) -> NoiseSchedule:
    """Return what the file or diffusers folder at ``path`` says, a base model's or a LoRA's."""
    if path.is_dir():
        return _of_folder(path / "scheduler" / "scheduler_config.json")
    try:
        header = read_header(path.resolve())  # a hub's cache holds links
    except OSError:
        return NoiseSchedule()
    if not isinstance(header, Header):
        return NoiseSchedule()
    return _of_header(header.metadata, header.tensors)


def combine(base: NoiseSchedule, loras: Sequence[NoiseSchedule]) -> NoiseSchedule:
    """Return the schedule of a base model with ``loras``: they are drawn as they were trained.

    A LoRA that was trained with v-prediction needs it. One that says epsilon may only have kept
    silent, since that is a trainer's default: it counts where the base model says nothing.
    """
    told = [one.prediction for one in loras if one.prediction is not None]
    trained_v = "v_prediction" in told
    silent = next(iter(told), base.likely)
    prediction = "v_prediction" if trained_v else base.prediction or silent
    zero = base.zero_terminal_snr or any(one.zero_terminal_snr for one in loras)
    return NoiseSchedule(prediction=prediction, zero_terminal_snr=zero)


def _of_folder(path: Path) -> NoiseSchedule:
    """Return what a diffusers scheduler's configuration says."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return NoiseSchedule()
    if not isinstance(config, dict):
        return NoiseSchedule()
    return NoiseSchedule(
        prediction=_WORDS.get(str(config.get("prediction_type")).lower()),
        zero_terminal_snr=config.get("rescale_betas_zero_snr"),
    )


def _of_header(metadata: Mapping[str, str], names: Collection[str]) -> NoiseSchedule:
    """Return what metadata and the marking tensors "v_pred" and "ztsnr" say.

    The marks are those that ComfyUI (comfy/supported_models.py) and reForge read.
    """
    marked: Prediction | None = "v_prediction" if "v_pred" in names else None
    flag = _flag(metadata, "ss_v_parameterization")
    kohya: Prediction | None = None if flag is None else "v_prediction" if flag else "epsilon"
    prediction = (
        marked
        or _WORDS.get(metadata.get("modelspec.prediction_type", "").strip().lower())
        or kohya
        or _ARCHITECTURES.get(metadata.get("modelspec.architecture", "").split("/")[0])
    )
    zero = True if "ztsnr" in names else _flag(metadata, "ss_zero_terminal_snr")
    return NoiseSchedule(prediction=prediction, zero_terminal_snr=zero)


def _flag(metadata: Mapping[str, str], key: str) -> bool | None:
    """Return a trainer's yes or no; None where it is not there."""
    return {"true": True, "false": False}.get(metadata.get(key, "").strip().lower())
