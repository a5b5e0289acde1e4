"""Words a training run as kohya's sd-scripts does in a checkpoint's header: texts only.

Source: kohya-ss/sd-scripts, `train_network.py` and `library/sai_model_spec.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BASE_NAME = "epochwatch-demo-base"
RESOLUTION = 96


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Everything a run is told before it starts."""

    base: Path
    data: Path
    out: Path
    name: str
    epochs: int
    seed: int
    dim: int
    alpha: float
    batch_size: int
    repeats: int
    unet_rate: float
    text_encoder_rate: float
    schedule: str
    warmup_share: float  # 0..1 of all steps


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run knows about itself once its images are read."""

    plan: TrainingPlan
    captions: tuple[str, ...]
    session: str
    started_at: datetime

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch takes, the last short batch included."""
        return -(-len(self.captions) * self.plan.repeats // self.plan.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.plan.epochs

    @property
    def warmup_steps(self) -> int:
        """Steps during which the learning rate climbs."""
        return round(self.total_steps * self.plan.warmup_share)


def kohya_metadata(facts: RunFacts, *, epoch: int, saved_at: datetime) -> dict[str, str]:
    """Word the run at the end of `epoch` (1-based); unset values read "None"."""
    progress = {
        "ss_training_finished_at": saved_at.timestamp(),
        "ss_epoch": epoch,
        "ss_steps": facts.steps_per_epoch * epoch,
    }
    words = run_words(facts) | network_words(facts.plan) | data_words(facts) | FIXED | progress
    return {key: str(value) for key, value in words.items()} | modelspec(facts.plan, saved_at)


def run_words(facts: RunFacts) -> dict[str, object]:
    """Word the schedule."""
    plan = facts.plan
    return {
        "ss_session_id": facts.session,
        "ss_training_started_at": facts.started_at.timestamp(),
        "ss_output_name": plan.name,
        "ss_num_epochs": plan.epochs,
        "ss_max_train_steps": facts.total_steps,
        "ss_num_train_images": len(facts.captions) * plan.repeats,
        "ss_num_reg_images": 0,
        "ss_num_batches_per_epoch": facts.steps_per_epoch,
        "ss_learning_rate": plan.unet_rate,
        "ss_unet_lr": plan.unet_rate,
        "ss_text_encoder_lr": plan.text_encoder_rate,
        "ss_lr_scheduler": plan.schedule,
        "ss_lr_warmup_steps": facts.warmup_steps,
        "ss_optimizer": "torch.optim.adamw.AdamW",
        "ss_seed": plan.seed,
    }


def network_words(plan: TrainingPlan) -> dict[str, object]:
    """Word the adapter."""
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": plan.dim,
        "ss_network_alpha": plan.alpha,
        "ss_network_dropout": None,
        "ss_network_args": json.dumps({"conv_dim": str(plan.dim), "conv_alpha": str(plan.alpha)}),
    }


def data_words(facts: RunFacts) -> dict[str, object]:
    """Word the images: one folder, every caption fragment counted."""
    plan, folder = facts.plan, facts.plan.data.name
    tags = Counter(tag.strip() for text in facts.captions for tag in text.split(","))
    counts = {"n_repeats": plan.repeats, "img_count": len(facts.captions)}
    return {
        "ss_batch_size_per_device": plan.batch_size,
        "ss_total_batch_size": plan.batch_size,
        "ss_resolution": (RESOLUTION, RESOLUTION),
        "ss_dataset_dirs": json.dumps({folder: counts}),
        "ss_reg_dataset_dirs": json.dumps({}),
        "ss_tag_frequency": json.dumps({folder: tags}),
        "ss_bucket_info": None,
    }


FIXED: dict[str, object] = {
    "ss_sd_model_name": BASE_NAME,
    "ss_v2": False,
    "ss_base_model_version": "sd_v1",
    "ss_clip_skip": None,
    "ss_max_token_length": None,
    "ss_mixed_precision": "no",
    "ss_full_fp16": False,
    "ss_cache_latents": True,
    "ss_gradient_checkpointing": False,
    "ss_gradient_accumulation_steps": 1,
    "ss_max_grad_norm": 1.0,
    "ss_lowram": False,
    "ss_noise_offset": None,
    "ss_adaptive_noise_scale": None,
    "ss_multires_noise_iterations": None,
    "ss_min_snr_gamma": None,
    "ss_ip_noise_gamma": None,
    "ss_debiased_estimation": False,
    "ss_zero_terminal_snr": False,
    "ss_scale_weight_norms": None,
    "ss_loss_type": "l2",
    "ss_prior_loss_weight": 1.0,
    "ss_caption_dropout_rate": 0.0,
    "ss_caption_dropout_every_n_epochs": 0,
    "ss_caption_tag_dropout_rate": 0.0,
    "ss_face_crop_aug_range": None,
    "ss_color_aug": False,
    "ss_flip_aug": False,
    "ss_random_crop": False,
    "ss_shuffle_caption": False,
    "ss_keep_tokens": 0,
    "ss_enable_bucket": False,
    "ss_bucket_no_upscale": False,
    "ss_min_bucket_reso": None,
    "ss_max_bucket_reso": None,
    "ss_sd_scripts_commit_hash": None,
    "ss_training_comment": None,
}


def modelspec(plan: TrainingPlan, saved_at: datetime) -> dict[str, str]:
    """Word the file in ModelSpec 1.0.1, as kohya fills it for SD 1.x adapters."""
    date = saved_at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": plan.name,
        "modelspec.date": date.isoformat(),
        "modelspec.resolution": f"{RESOLUTION}x{RESOLUTION}",
        "modelspec.prediction_type": "v",
    }
