"""The renderer "comfyui", against a small fake server with ComfyUI's routes and answers."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_comfyui import FakeComfyUI
from PIL import Image

from core.errors import Fixable
from core.nouns import Recipe
from daemon.generator.client import Interrupted, Refused
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.renderer_comfyui import ComfyUI, ComfyUIRenderer

WORKFLOW: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "{lora}", "strength_model": "{strength}", "strength_clip": "{strength}",
            "model": ["4", 0], "clip": ["4", 1],
        },
    },
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": "{width}", "height": "{height}", "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "{prompt}", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "{negative}", "clip": ["10", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": "{seed}", "steps": "{steps}", "cfg": "{cfg}", "sampler_name": "{sampler}",
            "scheduler": "{scheduler}", "denoise": 1, "model": ["10", 0], "positive": ["6", 0],
            "negative": ["7", 0], "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["8", 0], "filename_prefix": "test/{sample}"},
    },
}  # fmt: skip


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeComfyUI]:
    """A server that knows the LoRAs of one folder."""
    (tmp_path / "loras").mkdir()
    with FakeComfyUI(loras=tmp_path / "loras") as server:
        yield server


@pytest.fixture
def renderer(fake: FakeComfyUI, tmp_path: Path) -> Callable[..., ComfyUIRenderer]:
    """Return a function that makes a renderer of a workflow at the fake server."""

    def make(nodes: dict[str, Any] = WORKFLOW, **changes: Any) -> ComfyUIRenderer:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(nodes))
        facts = {"url": fake.url, "workflow": path, "lora_folder": tmp_path / "loras"}
        return ComfyUIRenderer(ComfyUI(lora_prefix="ours/", **(facts | changes)))

    return make


@pytest.fixture
def lora(tmp_path: Path) -> LoraFile:
    """A file that stands for a checkpoint."""
    path = tmp_path / "copy.safetensors"
    path.write_bytes(b"weights")
    return LoraFile(path=path, sha256="a" * 64, strength="0.80")


def job_of(folder: Path, *loras: LoraFile, prompt: str = "a cat") -> DrawJob:
    """Return a job of two small pictures."""
    recipe = Recipe(renderer="comfyui", sampler="dpm++ 2m karras", width=16, height=8, steps=5)
    samples = tuple(DrawSample(sample_id=f"s{n}", prompt=prompt, seed=42 + n) for n in range(2))
    return DrawJob(
        job="job", base_path=folder, base_sha256="b" * 64, loras=loras, recipe=recipe,
        samples=samples, out=folder / "out",
    )  # fmt: skip


def draw(renderer: ComfyUIRenderer, job: DrawJob, **changes: Any) -> list[dict[str, Any]]:
    """Draw and return the events."""
    events: list[dict[str, Any]] = []
    facts = {"image_timeout": 240.0, "should_stop": lambda: False} | changes
    renderer.draw(job, events.append, **facts)
    return events


def test_the_workflow_draws_each_sample_with_its_lora(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, lora: LoraFile, tmp_path: Path
) -> None:
    """Numbers arrive as numbers, ComfyUI's own names are used, and the LoRA is lent for the job."""
    events = draw(
        renderer(), job_of(tmp_path, lora, prompt='say "hi" {seed} embedding:x@0123456789ab')
    )
    assert [event["event"] for event in events] == ["loaded", "image", "image", "done"]
    assert (np.asarray(Image.open(tmp_path / "out" / "s1.png")) == (43, 128, 64)).all()
    first = fake.workflows[0]
    assert first["3"]["inputs"] | {"seed": 42, "steps": 5, "cfg": 7.5} == first["3"]["inputs"]
    assert first["3"]["inputs"]["sampler_name"] == "dpmpp_2m"
    assert first["3"]["inputs"]["scheduler"] == "karras"
    assert first["6"]["inputs"]["text"] == 'say "hi" {seed} embedding:x'
    assert first["10"]["inputs"]["strength_model"] == 0.8
    assert fake.seen_loras == [f"ours/epochwatch-{'a' * 16}.safetensors"] * 2
    assert not list((tmp_path / "loras").iterdir())
    facts = json.loads((tmp_path / "out" / "s0.json").read_text())
    assert facts["provenance"]["renderer"] == renderer().identity


def test_the_baseline_goes_around_the_loader(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, tmp_path: Path
) -> None:
    """Without a LoRA its loader is taken out, and what it passed on comes from its source."""
    draw(renderer(), job_of(tmp_path))
    nodes = fake.workflows[0]
    assert "10" not in nodes
    assert nodes["3"]["inputs"]["model"] == ["4", 0]
    assert nodes["6"]["inputs"]["clip"] == ["4", 1]


def test_a_stack_needs_a_loader_for_each_lora(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, lora: LoraFile, tmp_path: Path
) -> None:
    """Two LoRAs on a workflow for one are refused; with a second loader both are used."""
    other = dataclasses.replace(lora, sha256="c" * 64, strength="0.50")
    with pytest.raises(Refused, match=r"merges 2 LoRAs.*placeholders for 1"):
        draw(renderer(), job_of(tmp_path, lora, other))
    second = json.loads(json.dumps(WORKFLOW["10"]).replace("lora}", "lora2}"))
    second["inputs"] |= {"strength_model": "{strength2}", "model": ["10", 0], "clip": ["10", 1]}
    second["inputs"]["strength_clip"] = "{strength2}"
    both = WORKFLOW | {"11": second}
    draw(renderer(both), job_of(tmp_path, lora, other))
    assert [n.split("-")[1][0] for n in fake.seen_loras[:2]] == ["a", "c"]
    draw(renderer(both), job_of(tmp_path, lora))
    assert "11" not in fake.workflows[-1]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"nodes": [], "links": []}, "Export \\(API\\)"),
        ({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}, "{prompt} and {seed}"),
        ([1], "Export"),
    ],
)
def test_a_workflow_that_cannot_draw_a_suite_is_refused_when_it_is_read(
    nodes: Any, words: str, renderer: Callable[..., ComfyUIRenderer]
) -> None:
    """The editor's own format, and one that ignores what is asked of it."""
    with pytest.raises(Fixable, match=words):
        renderer(nodes)


def test_what_comfyui_refuses_is_told_with_its_node(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, lora: LoraFile, tmp_path: Path
) -> None:
    """A LoRA it does not list, a node that fails, no memory, two pictures, a wrong placeholder."""
    elsewhere = renderer(lora_folder=tmp_path / "unseen")
    with pytest.raises(Refused, match=r"node 10 \(LoraLoader\): Value not in list"):
        draw(elsewhere, job_of(tmp_path, lora))
    with pytest.raises(Refused, match="comfyui_lora_folder"):
        draw(renderer(lora_folder=None), job_of(tmp_path, lora))
    with pytest.raises(Refused, match=r"{sede}"):
        draw(
            renderer(WORKFLOW | {"1": {"class_type": "X", "inputs": {"a": "{sede}"}}}),
            job_of(tmp_path),
        )
    fake.images = 2
    with pytest.raises(Refused, match="made 2 pictures"):
        draw(renderer(), job_of(tmp_path))
    fake.failure = {"node_type": "KSampler", "exception_message": "mat1 and mat2\nshapes"}
    with pytest.raises(Refused, match="KSampler said: mat1 and mat2 shapes"):
        draw(renderer(), job_of(tmp_path))
    fake.failure = {"exception_type": "torch.OutOfMemoryError", "exception_message": "Allocation"}
    with pytest.raises(Interrupted) as full:
        draw(renderer(), job_of(tmp_path))
    assert full.value.kind == "oom"
    assert not list((tmp_path / "loras").iterdir())


def test_a_picture_that_is_not_wanted_any_more_is_taken_out_of_the_queue(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, tmp_path: Path
) -> None:
    """Late or stopped: only our own picture is ended, never one of the user's."""
    fake.never_ends = True
    with pytest.raises(Interrupted, match="within 1 s"):
        draw(renderer(), job_of(tmp_path), image_timeout=1.0)
    assert fake.deleted == fake.interrupted == fake.running
    fake.running.clear()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted) as stopped:
        draw(renderer(), job_of(tmp_path), should_stop=stop.is_set)
    assert stopped.value.kind == "stopped"


def test_a_server_that_is_away_or_points_elsewhere_gets_nothing(
    renderer: Callable[..., ComfyUIRenderer], fake: FakeComfyUI, tmp_path: Path
) -> None:
    """Away is tried again; a redirect is not followed; what is no web address is refused."""
    with pytest.raises(Interrupted, match="does not answer"):
        draw(renderer(url="http://127.0.0.1:9"), job_of(tmp_path))
    fake.redirect_to = f"{fake.url}/queue"
    with pytest.raises(Refused, match="status 302"):
        draw(renderer(), job_of(tmp_path))
    for url in ("file:///etc/passwd", "127.0.0.1:8188", "http://"):
        with pytest.raises(Fixable, match="comfyui_url"):
            renderer(url=url)
