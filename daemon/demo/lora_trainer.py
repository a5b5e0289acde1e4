"""A small, honest LoRA trainer that saves as kohya's sd-scripts does, one file an epoch.

It stands in for the owner's trainer in the demo; nothing in it knows what a good epoch is.
"""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.optimization import get_scheduler
from peft import LoraConfig
from PIL import Image
from torch import Tensor, nn

from daemon.demo.lora_file import checkpoint_name, kohya_tensors, sample_name, write_checkpoint
from daemon.demo.run_metadata import RESOLUTION, RunFacts, TrainingPlan, kohya_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

# The layers kohya's networks.lora adapts when conv_dim is set
UNET_LAYERS = (
    r".*(attentions|resnets|downsamplers|upsamplers)\..*"
    r"(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out"
    r"|conv1|conv2|conv_shortcut|conv|time_emb_proj)"
)
TEXT_LAYERS = r".*(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])"
SAMPLE_SEED = 42


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The folder's images as (n, 4, 24, 24) scaled latents, with captions and (n, 77) ids."""

    latents: Tensor
    ids: Tensor
    captions: tuple[str, ...]


class Run:
    """One training run: the two adapted models, their optimizer and its schedule."""

    def __init__(self, plan: TrainingPlan) -> None:
        """Load the base, encode the images, put fresh adapters on; seeds torch's generator."""
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.pipeline = StableDiffusionPipeline.from_pretrained(
            plan.base, torch_dtype=torch.float32, use_safetensors=True, safety_checker=None
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.data = read_training_data(self.pipeline, plan.data)
        self.facts = RunFacts(
            plan=plan,
            captions=self.data.captions,
            session=str(secrets.randbits(32)),  # kohya: new at every process start
            started_at=datetime.now(UTC),
        )
        adapt(self.pipeline, plan)
        self.noising = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        self.optimizer = new_optimizer(self.pipeline, plan)
        self.rates = get_scheduler(
            plan.schedule,
            self.optimizer,
            num_warmup_steps=self.facts.warmup_steps,
            num_training_steps=self.facts.total_steps,
        )

    def train_epoch(self) -> float:
        """Show every image `repeats` times; returns the mean loss."""
        self.pipeline.unet.train()
        self.pipeline.text_encoder.train()
        losses = [self.train_step(chosen) for chosen in self.batches()]
        self.pipeline.unet.eval()
        self.pipeline.text_encoder.eval()
        return float(np.mean(losses))

    def batches(self) -> Iterator[Tensor]:
        """Shuffle the repeated images and cut them into batches of indices."""
        order = torch.randperm(len(self.data.captions) * self.plan.repeats)
        yield from (order % len(self.data.captions)).split(self.plan.batch_size)

    def train_step(self, chosen: Tensor) -> float:
        """Predict the noise put on a batch and step once; returns the loss."""
        latents = self.data.latents[chosen]
        noise = torch.randn_like(latents)
        times = torch.randint(0, self.noising.config.num_train_timesteps, (len(latents),))
        noisy = self.noising.add_noise(latents, noise, times)
        words = self.pipeline.text_encoder(self.data.ids[chosen])[0]
        predicted = self.pipeline.unet(noisy, times, words).sample
        loss = nn.functional.mse_loss(predicted, self.target(latents, noise, times))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trainable(self.pipeline), 1.0)
        self.optimizer.step()
        self.rates.step()
        return loss.item()

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return what the base was trained to predict: noise, or velocity."""
        if self.noising.config.prediction_type == "v_prediction":
            return self.noising.get_velocity(latents, noise, times)
        return noise

    def save_epoch(self, epoch: int) -> Path:
        """Write the epoch's checkpoint and its sample picture; returns the checkpoint's path."""
        now = datetime.now(UTC)
        file = self.plan.out / checkpoint_name(self.plan.name, epoch, self.plan.epochs)
        tensors = kohya_tensors(self.pipeline.unet, self.pipeline.text_encoder)
        write_checkpoint(file, tensors, kohya_metadata(self.facts, epoch=epoch, saved_at=now))
        self.save_sample(epoch, now)
        return file

    def save_sample(self, epoch: int, now: datetime) -> None:
        """Draw the first training caption, as a trainer's own preview does."""
        folder = self.plan.out / "sample"
        folder.mkdir(parents=True, exist_ok=True)
        moment = now.strftime("%Y%m%d%H%M%S")
        name = sample_name(self.plan.name, epoch, number=0, moment=moment, seed=SAMPLE_SEED)
        image = self.pipeline(
            self.data.captions[0],
            height=RESOLUTION,
            width=RESOLUTION,
            num_inference_steps=15,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(SAMPLE_SEED),
        ).images[0]
        image.save(folder / name)


@torch.no_grad()
def read_training_data(pipeline: StableDiffusionPipeline, folder: Path) -> TrainingData:
    """Read PNG and TXT pairs; raises FileNotFoundError if the folder holds none."""
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no PNG images to train on")
    captions = tuple(file.with_suffix(".txt").read_text("utf-8").strip() for file in files)
    pixels = torch.from_numpy(np.stack([read_image(file) for file in files])).permute(0, 3, 1, 2)
    parts = [pipeline.vae.encode(part).latent_dist.mean for part in pixels.split(50)]
    ids = pipeline.tokenizer(
        list(captions),
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    latents = torch.cat(parts) * pipeline.vae.config.scaling_factor
    return TrainingData(latents=latents, ids=ids, captions=captions)


def read_image(file: Path) -> np.ndarray:
    """Read an image as (96, 96, 3) floats in -1..1, enlarged without smoothing."""
    with Image.open(file) as image:
        large = image.convert("RGB").resize((RESOLUTION, RESOLUTION), Image.Resampling.NEAREST)
    return np.asarray(large, np.float32) / 127.5 - 1


def adapt(pipeline: StableDiffusionPipeline, plan: TrainingPlan) -> None:
    """Freeze the base and put fresh adapters on U-Net and text encoder."""
    for model, layers in ((pipeline.unet, UNET_LAYERS), (pipeline.text_encoder, TEXT_LAYERS)):
        model.requires_grad_(requires_grad=False)
        model.add_adapter(LoraConfig(r=plan.dim, lora_alpha=plan.alpha, target_modules=layers))
    pipeline.vae.requires_grad_(requires_grad=False)


def trainable(pipeline: StableDiffusionPipeline) -> list[nn.Parameter]:
    """List the adapters' parameters of both models."""
    both = [*pipeline.unet.parameters(), *pipeline.text_encoder.parameters()]
    return [parameter for parameter in both if parameter.requires_grad]


def new_optimizer(pipeline: StableDiffusionPipeline, plan: TrainingPlan) -> torch.optim.Optimizer:
    """Give U-Net and text encoder their own learning rates."""
    groups = [
        {"params": [p for p in model.parameters() if p.requires_grad], "lr": rate}
        for model, rate in (
            (pipeline.unet, plan.unet_rate),
            (pipeline.text_encoder, plan.text_encoder_rate),
        )
    ]
    # With AdamW's usual 0.999 the second moment lags behind a rate that keeps rising, and training
    # breaks at once; at 0.95 it gets worse gradually, as over-training does.
    return torch.optim.AdamW(groups, betas=(0.9, 0.95))


def train(plan: TrainingPlan) -> Iterator[Path]:
    """Train epoch by epoch; yields each checkpoint as soon as it is written."""
    run = Run(plan)
    for epoch in range(1, plan.epochs + 1):
        loss = run.train_epoch()
        file = run.save_epoch(epoch)
        print(f"epoch {epoch}/{plan.epochs}  loss {loss:.4f}  saved {file.name}", flush=True)
        yield file


def parse_options() -> tuple[TrainingPlan, int]:
    """Read the plan and the number of threads from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--unet-rate", type=float, default=1.6e-2)
    parser.add_argument("--text-encoder-rate", type=float, default=6e-3)
    parser.add_argument("--schedule", default="constant_with_warmup")
    parser.add_argument("--warmup-share", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1, help="leave cores to the generator")
    options = vars(parser.parse_args())
    threads = options.pop("threads")
    return TrainingPlan(**options), threads


def main() -> None:
    """Train from the command line."""
    plan, threads = parse_options()
    torch.set_num_threads(threads)
    for _ in train(plan):
        pass


if __name__ == "__main__":
    main()
