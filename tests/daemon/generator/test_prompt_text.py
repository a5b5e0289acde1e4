"""Prompts: weights, chunks as in training, clip skip as people count it, and a memory by state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from daemon import demo
from daemon.generator.job import JobError
from daemon.generator.prompt_text import PromptEncoder, TextPart

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def pipeline(fresh: Callable[[], Any]) -> Any:
    """A loaded base model."""
    return fresh()


@pytest.fixture
def encoder(pipeline: Any) -> PromptEncoder:
    """An encoder with an empty memory."""
    return PromptEncoder(TextPart(pipeline.tokenizer, pipeline.text_encoder))


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


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Any]:
    """Tokenizer and text encoder of the demo's base model: a CLIP with learned weights."""
    folder = Path(demo.__file__).parent / "model"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    model = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True)
    return tokenizer, model.float().eval()


@pytest.fixture
def demo_encoder(trained: tuple[Any, Any]) -> PromptEncoder:
    """An encoder of the demo's model with an empty memory."""
    return PromptEncoder(TextPart(*trained))


PLAIN = "pixel art punk, pink hair #ff69b4, green background"


@pytest.mark.parametrize(
    "text",
    [
        "pixel art punk, (pink hair:1.0) #ff69b4, green background",
        "(pixel art punk, (pink hair:1) #ff69b4, green background:1.00)",
        "pixel art punk, ((pink:0.5):2) hair #ff69b4, green background",
    ],
)
def test_a_weight_of_one_spelled_out_changes_no_bit(demo_encoder: PromptEncoder, text: str) -> None:
    """A prompt that weighs nothing is the plain prompt, in its tokens and in its numbers."""
    plain = encode(demo_encoder, PLAIN).embedding

    assert torch.equal(encode(demo_encoder, text).embedding, plain)


def test_a_weight_only_scales_the_tokens_it_holds(demo_encoder: PromptEncoder) -> None:
    """Its tokens times 1.5, and then all of them by one factor that restores the mean."""
    plain = encode(demo_encoder, PLAIN).embedding[0]
    weighted = encode(demo_encoder, PLAIN.replace("pink hair", "(pink hair:1.5)")).embedding[0]

    ratio = weighted / plain
    factor = ratio[0].median()
    # Start, "pixel", "art", "punk", ",": the two words stand at 5 and 6.
    expected = torch.ones(77)
    expected[5:7] = 1.5
    assert torch.allclose(ratio, (expected * factor)[:, None].expand_as(ratio), rtol=1e-4)
    assert weighted.mean() == pytest.approx(plain.mean().item(), rel=1e-3)


def test_weights_are_what_a1111_makes_of_them(
    demo_encoder: PromptEncoder, trained: tuple[Any, Any]
) -> None:
    """Its own arithmetic, written out for one chunk: multiply, then restore the mean."""
    tokenizer, model = trained
    tokens: list[int] = []
    weights: list[float] = []
    for text, weight in [("a ", 1.0), ("pink", 1.1), (" hair, ", 1.0), ("crown", 1 / 1.1)]:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        tokens += ids
        weights += [weight] * len(ids)
    end = tokenizer.eos_token_id
    row = [tokenizer.bos_token_id, *tokens, end] + [end] * (75 - len(tokens))
    multipliers = torch.tensor([1.0, *weights, *[1.0] * (76 - len(weights))])
    with torch.no_grad():
        z = model(torch.tensor([row]))[0]
    expected = z * multipliers[None, :, None]
    expected = expected * (z.mean() / expected.mean())

    found = encode(demo_encoder, "a (pink) hair, [crown]").embedding
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_encoder_without_a_mean_keeps_its_scale(encoder: PromptEncoder) -> None:
    """A mean that is rounding alone would multiply everything by a number from nowhere."""
    plain = encode(encoder, "a cat").embedding[0]
    weighted = encode(encoder, "a (cat:1.5)").embedding[0]

    assert plain.mean().abs() < 1e-6
    assert torch.equal(weighted[:2], plain[:2])
    assert torch.equal(weighted[2:5], plain[2:5] * 1.5)


def test_break_equals_two_chunks_encoded_separately(demo_encoder: PromptEncoder) -> None:
    """Each side is encoded and weighed by itself; then they are joined as long prompts are."""
    both = encode(demo_encoder, "a (crown:1.4) BREAK [pink hair]", token_length=150)
    left = encode(demo_encoder, "a (crown:1.4)").embedding
    right = encode(demo_encoder, "[pink hair]").embedding

    assert both.truncated == 0
    assert torch.allclose(both.embedding, torch.cat([left[:, :76], right[:, 1:]], dim=1), atol=1e-5)


def test_chunks_without_room_are_counted(demo_encoder: PromptEncoder) -> None:
    """What stands after a BREAK has no effect in one chunk, and that is said."""
    encoded = encode(demo_encoder, "a crown BREAK pink hair")

    assert encoded.truncated == 2
    assert torch.equal(encoded.embedding, encode(demo_encoder, "a crown").embedding)


def test_escaped_characters_are_drawn_as_themselves(
    demo_encoder: PromptEncoder, trained: tuple[Any, Any]
) -> None:
    """The tokens of the caption, without a backslash."""
    tokenizer, model = trained
    ids = tokenizer("a (hat)", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = model(ids)[0]

    assert torch.equal(encode(demo_encoder, r"a \(hat\)").embedding, expected)


def test_a_stored_prompt_that_cannot_be_understood_is_refused(encoder: PromptEncoder) -> None:
    """No syntax is ever drawn as words; the message holds the prompt."""
    with pytest.raises(JobError, match=r"'a \(cat' cannot be drawn: .* never closed") as refused:
        encode(encoder, "a (cat")

    assert refused.value.kind == "bad_recipe"
