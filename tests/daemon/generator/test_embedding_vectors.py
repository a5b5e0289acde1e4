"""Textual inversions are encoded as diffusers encodes them, and leave the base model as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_pipeline

from daemon.generator.embedding_vectors import EmbeddingFolder
from daemon.generator.job import DrawJob, DrawSample, JobError
from daemon.generator.prompt_text import PromptEncoder, TextPart, penultimate
from daemon.generator.studio import Studio


def pinned(folder: Path, name: str, **tensors: torch.Tensor) -> str:
    """Write an embedding and return how a stored prompt calls it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    return f"embedding:{name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def vectors(count: int, width: int, seed: int = 3) -> torch.Tensor:
    """Return random vectors, as large as those of tokens."""
    return torch.randn((count, width), generator=torch.Generator().manual_seed(seed)) * 0.02


def encoded(encoder: PromptEncoder, text: str, length: int = 75) -> Any:
    """Encode a prompt."""
    return encoder.encode(text, state=(), clip_skip=1, token_length=length)


@pytest.mark.parametrize("count", [1, 4])
def test_it_is_encoded_as_diffusers_does(
    count: int, fresh: Callable[[], Any], tmp_path: Path
) -> None:
    """One vector or several: the same states as with tokens added to tokenizer and encoder."""
    theirs, ours = fresh(), fresh()
    call = pinned(tmp_path / "e", "easy", emb_params=vectors(count, 32))
    theirs.load_textual_inversion(
        str(tmp_path / "e"), weight_name="easy.safetensors", token="<easy>"
    )
    states, _ = theirs.encode_prompt("a <easy> cat", "cpu", 1, do_classifier_free_guidance=False)
    encoder = PromptEncoder(TextPart(ours.tokenizer, ours.text_encoder))
    encoder.embeddings = EmbeddingFolder(tmp_path / "e")
    found = encoded(encoder, f"a {call} cat")
    assert torch.allclose(found.embedding, states, atol=1e-6)
    assert [name for name, _ in found.embeddings] == ["easy"]
    bare = encoded(encoder, "a easy cat")
    assert not torch.allclose(found.embedding, bare.embedding, atol=1e-3)
    assert len(ours.tokenizer) != len(theirs.tokenizer)


def test_the_vectors_of_one_embedding_stay_in_one_chunk(
    fresh: Callable[[], Any], tmp_path: Path
) -> None:
    """As in A1111: what does not fit into the rest of a chunk begins the next one."""
    pipeline = fresh()
    call = pinned(tmp_path / "e", "wide", emb_params=vectors(8, 32))
    encoder = PromptEncoder(TextPart(pipeline.tokenizer, pipeline.text_encoder))
    encoder.embeddings = EmbeddingFolder(tmp_path / "e")
    filled = "a " * 70
    assert torch.equal(
        encoded(encoder, f"{filled}{call}", 150).embedding,
        encoded(encoder, f"{filled} BREAK {call}", 150).embedding,
    )
    assert encoded(encoder, f"{filled}{call}", 75).truncated == 8
    call = pinned(tmp_path / "f", "endless", emb_params=vectors(76, 32))
    encoder.embeddings = EmbeddingFolder(tmp_path / "f")
    with pytest.raises(JobError, match="76 vectors"):
        encoded(encoder, call)


def test_two_encoders_take_each_their_own(tmp_path: Path) -> None:
    """Files for SDXL hold both under clip_l and clip_g; one for SD 1.5 is refused with its shape."""
    pipeline = tiny_pipeline("sdxl")
    first, second = pipeline.text_encoder, pipeline.text_encoder_2
    widths = [one.get_input_embeddings().weight.shape[1] for one in (first, second)]
    call = pinned(tmp_path / "e", "xl", clip_l=vectors(2, widths[0]), clip_g=vectors(2, widths[1]))
    encoder = PromptEncoder(
        TextPart(pipeline.tokenizer, first, penultimate),
        TextPart(pipeline.tokenizer_2, second, penultimate, "clip_g"),
    )
    encoder.embeddings = EmbeddingFolder(tmp_path / "e")
    changed, plain = encoded(encoder, f"a {call} cat"), encoded(encoder, "a xx cat")
    assert changed.embedding.shape == plain.embedding.shape
    for part in (slice(0, widths[0]), slice(widths[0], None)):
        assert not torch.allclose(changed.embedding[..., part], plain.embedding[..., part])
    narrow = pinned(tmp_path / "f", "narrow", emb_params=vectors(2, 5))
    encoder.embeddings = EmbeddingFolder(tmp_path / "f")
    with pytest.raises(JobError, match=r"'narrow' does not fit.*emb_params \[2, 5\]"):
        encoded(encoder, narrow)


def test_the_studio_draws_with_it_and_says_so(
    studio: Studio, make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """Its SHA-256 stands beside the image; the next job has the base model's own bits again."""
    call = pinned(tmp_path / "e", "easy", emb_params=vectors(3, 32) * 50)
    job = make_job(count=1)
    plain = dataclasses.replace(job, out=tmp_path / "plain")
    studio.draw(plain)
    sample = DrawSample(sample_id="s0", prompt=f"{job.samples[0].prompt} {call}", seed=42)
    studio.draw(dataclasses.replace(job, samples=(sample,), embeddings=tmp_path / "e"))
    facts = json.loads((job.out / "s0.json").read_text())
    sha256 = hashlib.sha256((tmp_path / "e" / "easy.safetensors").read_bytes()).hexdigest()
    assert facts["provenance"]["embeddings"] == [["easy", sha256]]
    before = json.loads((plain.out / "s0.json").read_text())
    assert before["provenance"]["embeddings"] == []
    assert facts["image_sha256"] != before["image_sha256"]
    studio.draw(dataclasses.replace(plain, out=tmp_path / "again"))
    again = json.loads((tmp_path / "again" / "s0.json").read_text())
    assert again["image_sha256"] == before["image_sha256"]
    save_file({"emb_params": vectors(3, 32, seed=4)}, tmp_path / "e" / "easy.safetensors")
    sample = dataclasses.replace(sample, prompt=f"{call} anew")  # not encoded before
    for folder, words in ((tmp_path / "e", "is now"), (None, "the setting embeddings names none")):
        with pytest.raises(JobError, match=words):
            studio.draw(
                dataclasses.replace(job, samples=(sample,), embeddings=folder, out=tmp_path / "no")
            )
    assert DrawJob.from_json(json.loads(json.dumps(job.as_json()))) == job
