"""Makes the demo's tokenizer and text encoder, and teaches the encoder what captions name.

Like CLIP, the encoder understands every word before a U-Net meets it. That includes backgrounds,
but the base's own pictures contradict those, so its U-Net has to be taught what to do with them.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from daemon.demo.portraits import misleading_caption
from daemon.demo.sprites import (
    ACCESSORIES,
    COLORS,
    LIPS,
    PHOTO_PREFIX,
    PIXEL_PREFIX,
    SKINS,
    Look,
    caption,
    random_look,
    rgb,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

POSITIONS = 77
TEXT_WIDTH = 96
VOCABULARY_MERGES = 300
BATCH = 32
PEAK_RATE = 2e-3
LOUDNESS = 2.0  # how far a full color pushes a state that has unit variance
PALETTES = {"hair": COLORS, "background": COLORS, "skin": SKINS, "lips": LIPS}
MEANINGS = 3 * len(PALETTES) + 1 + len(ACCESSORIES)
# CLIP's own splitting rule: words, single digits, runs of other signs
PIECES = r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def new_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """Learn a small byte-pair vocabulary in CLIP's layout: bytes, word-final bytes, merges."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=256 + VOCABULARY_MERGES, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in learned_merges(learner)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges)]
    words = [*list(dict.fromkeys(words)), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=POSITIONS)


def learned_merges(learner: Tokenizer) -> list[list[str]]:
    """Read the merge rules out of a trained tokenizer, first learned first."""
    merges: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return merges


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Build the untrained text encoder, two layers of CLIP's."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=POSITIONS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Encode captions to (n, 77) ids, padded and cut as the pipeline does."""
    encoded = tokenizer(
        captions, padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
    )
    return encoded.input_ids


def example_captions(seed: int) -> list[str]:
    """Word enough looks for the tokenizer to meet every word and hex."""
    rng = random.Random(seed)
    return [misleading_caption(random_look(rng), rng) for _ in range(2000)]


def meaning(look: Look, parts: list[str]) -> list[float]:
    """Tell a caption's promises as 17 numbers in -1..1; what it leaves out is 0.

    Red, green and blue of hair, background, skin and lips; smile or not; one per accessory.
    """
    said = " " + " ".join(parts) + " "
    numbers: list[float] = []
    for key, codes in PALETTES.items():
        channels = rgb(codes[getattr(look, key)])
        numbers += [channel / 127.5 - 1 if f" {key} " in said else 0.0 for channel in channels]
    numbers.append(float(" smile " in said) - float(" neutral " in said))
    return numbers + [float(f" {name} " in said) for name in ACCESSORIES]


def exercise(rng: random.Random) -> tuple[str, list[float]]:
    """Word a random look, sometimes shortened and in another order, with its meaning."""
    look = random_look(rng)
    prefix, *parts = caption(look, rng.choice((PIXEL_PREFIX, PHOTO_PREFIX))).split(", ")
    if rng.random() < 0.4:
        parts = rng.sample(parts, rng.randint(1, len(parts)))
    return ", ".join([prefix, *parts]), meaning(look, parts)


def teach_words(model: CLIPTextModel, tokenizer: CLIPTokenizer, *, steps: int, seed: int) -> float:
    """Train the encoder until its states carry a caption's meaning; returns the last error.

    Every position that has seen the whole caption must give the meaning along fixed orthogonal
    directions, so that it lies open to the U-Net's cross-attention from its first step.
    """
    rng = random.Random(seed)
    directions = nn.init.orthogonal_(torch.empty(TEXT_WIDTH, MEANINGS))
    optimizer = torch.optim.AdamW(model.parameters(), PEAK_RATE)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    loss = torch.zeros(())
    for _ in range(steps):
        captions, meanings = zip(*(exercise(rng) for _ in range(BATCH)), strict=True)
        ids = token_ids(tokenizer, list(captions))
        ended = ids == tokenizer.eos_token_id
        wanted = torch.tensor(meanings)[torch.nonzero(ended)[:, 0]] * LOUDNESS
        loss = nn.functional.mse_loss(model(ids)[0][ended] @ directions, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
    return float(loss.detach())
