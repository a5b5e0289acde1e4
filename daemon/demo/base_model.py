"""Makes the demo's base model: Stable Diffusion's architecture at 1/400 of its size.

It draws smooth portraits and crisp icons, so that a LoRA can bring the two together.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn

from daemon.demo.autoencoder import as_signal, enlarge, train_autoencoder
from daemon.demo.icons import icon
from daemon.demo.portraits import library
from daemon.demo.words import (
    TEXT_WIDTH,
    example_captions,
    new_text_encoder,
    new_tokenizer,
    teach_words,
    token_ids,
)

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

log = logging.getLogger(__name__)

PORTRAITS = 1500
ICONS = 750
BATCH = 16
PEAK_RATE = 2e-3
CAPTION_DROPOUT = 0.1
# Stable Diffusion's 0.012 leaves the mean color of so small a latent visible in full noise (signal
# to noise 1.6): training would never need the words for it, and drawing, which starts from pure
# noise, would not know the color. At 0.02 the ratio is 0.4.
# Velocity instead of noise is predicted because a noise loss hardly counts colors at high noise,
# where the words have to decide them; with velocity they count fully.
SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "prediction_type": "v_prediction",
}

README = """# The demo's base model

A Stable Diffusion of 2.7 million parameters, made from nothing for this project. It knows smooth
portraits and crisp icons, both apart: a "pixel art punk" it draws smooth, on any background, so that
a LoRA has something to teach. All pictures it learned from are drawn by `daemon/demo/portraits.py`,
`daemon/demo/icons.py` and `daemon/demo/sprites.py`. License: MIT, as the whole repository.

Made by `{command}` (seed {seed}). A line that goes on from an earlier pipeline (`--resume`) or
`--autoencoder` rests on earlier runs of the same script.
"""


def new_unet() -> UNet2DConditionModel:
    """Build the untrained denoiser, two resolutions of Stable Diffusion's."""
    return UNet2DConditionModel(
        sample_size=24,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(48, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


@torch.no_grad()
def training_latents(autoencoder: AutoencoderKL, rng: random.Random) -> tuple[Tensor, list[str]]:
    """Draw and encode portraits and icons: (n, 4, 24, 24) scaled latents and captions."""
    portraits, told = library(PORTRAITS, rng)
    icons, named = zip(*(icon(rng) for _ in range(ICONS)), strict=True)
    pictures = np.concatenate([portraits, enlarge(np.stack(icons))])
    parts = [
        autoencoder.encode(as_signal(pictures[i : i + 50])).latent_dist.mean
        for i in range(0, len(pictures), 50)
    ]
    return torch.cat(parts) * autoencoder.config.scaling_factor, [*told, *named]


def noise_times(count: int) -> Tensor:
    """Draw (count,) times in 0..999, rather more of early ones, where colors are decided."""
    early = torch.rand(count) < 0.3
    return torch.where(early, torch.randint(700, 1000, (count,)), torch.randint(1000, (count,)))


class Denoiser(nn.Module):
    """The U-Net and the text encoder, trained together."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        """Hold both parts as one module."""
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def loss(self, latents: Tensor, ids: Tensor, noising: DDPMScheduler) -> Tensor:
        """Mean squared error of the predicted velocity."""
        noise = torch.randn_like(latents)
        times = noise_times(len(latents))
        noisy = noising.add_noise(latents, noise, times)
        predicted = self.unet(noisy, times, self.text_encoder(ids)[0]).sample
        return nn.functional.mse_loss(predicted, noising.get_velocity(latents, noise, times))


class Average:
    """Keeps a running average of a model's weights, which draws better than the last step."""

    def __init__(self, model: Denoiser) -> None:
        """Start from a frozen copy of the model."""
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.seen = 0

    @torch.no_grad()
    def update(self, model: Denoiser) -> None:
        """Move the average toward the model, quickly at first."""
        self.seen += 1
        keep = min(0.99, self.seen / (self.seen + 10))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)


def assemble(
    autoencoder: AutoencoderKL, denoiser: Denoiser, tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """Put the parts into one pipeline with the DPM-Solver++ schedule."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        tokenizer=tokenizer,
        unet=denoiser.unet,
        scheduler=DPMSolverMultistepScheduler(**SCHEDULE, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write half-precision copies in diffusers' layout; the models given stay as they are."""
    halves = {
        name: copy.deepcopy(getattr(pipeline, name)).half()
        for name in ("vae", "unet", "text_encoder")
    }
    parts = {**pipeline.components, **halves}
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)


def train_denoiser(
    model: Denoiser,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    *,
    steps: int,
    seed: int,
    snapshots: Path,
) -> Denoiser:
    """Train on portraits and icons and return the averaged weights; saves a pipeline every 100 steps."""
    torch.manual_seed(seed)
    latents, captions = training_latents(autoencoder, random.Random(seed + 1))
    ids, nothing = token_ids(tokenizer, captions), token_ids(tokenizer, [""])
    noising = DDPMScheduler(**SCHEDULE)
    model.train()
    average = Average(model)
    optimizer = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=steps, pct_start=0.05
    )
    for step in range(1, steps + 1):
        chosen = torch.randint(len(captions), (BATCH,))
        dropped = torch.rand(BATCH, 1) < CAPTION_DROPOUT
        loss = model.loss(latents[chosen], torch.where(dropped, nothing, ids[chosen]), noising)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
        average.update(model)
        if step % 50 == 0:
            log.info("denoiser step %d: loss %.4f", step, loss.item())
        if step % 100 == 0:
            save_pipeline(assemble(autoencoder, average.model, tokenizer), snapshots)
    return average.model


def new_denoiser(seed: int, *, word_steps: int) -> tuple[CLIPTokenizer, Denoiser]:
    """Build tokenizer, U-Net, and a text encoder that knows what the words mean."""
    tokenizer = new_tokenizer(example_captions(seed))
    torch.manual_seed(seed)
    text_encoder = new_text_encoder(tokenizer)
    loss = teach_words(text_encoder, tokenizer, steps=word_steps, seed=seed)
    log.info("text encoder tells what captions promise: loss %.4f", loss)
    return tokenizer, Denoiser(new_unet(), text_encoder)


def main() -> None:
    """Train the base model from nothing and write it; about 40 minutes on two cores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--snapshots", type=Path, required=True, help="folder for early versions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--autoencoder", type=Path, help="reuse this one instead of training it")
    parser.add_argument("--resume", type=Path, help="go on from this pipeline")
    parser.add_argument("--autoencoder-steps", type=int, default=1400)
    parser.add_argument("--word-steps", type=int, default=600)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2, help="1 beside other work")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    if options.autoencoder:
        autoencoder = AutoencoderKL.from_pretrained(options.autoencoder)
    else:
        autoencoder = train_autoencoder(steps=options.autoencoder_steps, seed=options.seed)
        autoencoder.save_pretrained(options.snapshots / "autoencoder")
    if options.resume:
        earlier = StableDiffusionPipeline.from_pretrained(options.resume, safety_checker=None)
        tokenizer = earlier.tokenizer
        untrained = Denoiser(earlier.unet.float(), earlier.text_encoder.float())
    else:
        tokenizer, untrained = new_denoiser(options.seed, word_steps=options.word_steps)
    denoiser = train_denoiser(
        untrained,
        autoencoder.eval(),
        tokenizer,
        steps=options.steps,
        seed=options.seed,
        snapshots=options.snapshots / "pipeline",
    )
    save_pipeline(assemble(autoencoder, denoiser, tokenizer), options.out)
    command = f"python -m daemon.demo.base_model {shlex.join(sys.argv[1:])}"
    (options.out / "README.md").write_text(README.format(command=command, seed=options.seed))


if __name__ == "__main__":
    main()
