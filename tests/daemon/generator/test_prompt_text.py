"""Prompts: chunks as in training, clip skip as people count it, and a memory by state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from daemon.generator.prompt_text import PromptEncoder

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def pipeline(fresh: Callable[[], Any]) -> Any:
    """A loaded base model."""
    return fresh()


@pytest.fixture
def encoder(pipeline: Any) -> PromptEncoder:
    """An encoder with an empty memory."""
    return PromptEncoder(pipeline.tokenizer, pipeline.text_encoder)


def encode(encoder: PromptEncoder, text: str, **changes: Any) -> Any:
    """Encode with the usual settings."""
    return encoder.encode(text, **({"state": (), "clip_skip": 1, "token_length": 75} | changes))


def test_one_chunk_is_what_diffusers_encodes(encoder: PromptEncoder, pipeline: Any) -> None:
    """Short, empty, and too long for one chunk: the same embedding."""
    for text in ("a cat", "", "z " * 90):
        expected = pipeline.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)[0]
        assert torch.equal(encode(encoder, text).embedding, expected)


def test_clip_skip_counts_from_the_last_layer(encoder: PromptEncoder, pipeline: Any) -> None:
    """2 is the layer before the last, normalized, as A1111 and kohya have it."""
    ids = pipeline.tokenizer("a cat", padding="max_length", max_length=77, return_tensors="pt")
    layers: list[torch.Tensor] = []
    model = pipeline.text_encoder
    hooks = [
        layer.register_forward_hook(
            lambda _m, _i, out: layers.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in model.encoder.layers
    ]
    with torch.no_grad():
        model(ids.input_ids)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        expected = [model.final_layer_norm(one) for one in layers]
    assert torch.equal(encode(encoder, "a cat", clip_skip=1).embedding, expected[-1])
    assert torch.equal(encode(encoder, "a cat", clip_skip=2).embedding, expected[-2])


def test_long_prompts_are_chunked_as_kohya_does(encoder: PromptEncoder, pipeline: Any) -> None:
    """225 tokens: three windows with a start and an end each, joined to 227 positions."""
    text = "".join(chr(ord("a") + number % 26) + " " for number in range(200))
    encoded = encode(encoder, text, token_length=225)
    tokenizer = pipeline.tokenizer
    ids = tokenizer(
        text, padding="max_length", truncation=True, max_length=227, return_tensors="pt"
    ).input_ids[0]
    windows = [
        torch.cat([ids[:1], ids[start : start + 75], ids[-1:]]) for start in range(1, 226, 75)
    ]
    with torch.no_grad():
        states = pipeline.text_encoder(torch.stack(windows))[0]
    expected = torch.cat(
        [states[0, :1], states[0, 1:76], states[1, 1:76], states[2, 1:76], states[2, -1:]]
    )
    assert encoded.embedding.shape == (1, 227, 32)
    assert torch.equal(encoded.embedding[0], expected)
    assert encoded.truncated == 0


def test_what_does_not_fit_is_counted(encoder: PromptEncoder) -> None:
    """The words beyond the last chunk are reported, not lost."""
    text = "y " * 200
    assert encode(encoder, text).truncated == 125
    assert encode(encoder, text, token_length=150).truncated == 50
    assert encode(encoder, text, token_length=225).truncated == 0


def test_a_prompt_is_encoded_once_per_state_of_the_encoder(
    encoder: PromptEncoder, pipeline: Any
) -> None:
    """The second time costs nothing; another LoRA on the text encoder is another embedding."""
    calls: list[int] = []
    hook = pipeline.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for state in ((), (("sha", 1.0),), (), (("sha", 1.0),)):
        encode(encoder, "a cat", state=state)
    hook.remove()
    assert len(calls) == 2
