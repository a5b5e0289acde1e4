"""The renderer "command": one call per picture, nothing through a shell, nothing foreign trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.nouns import Recipe
from core.settings import load_settings
from daemon.generator.client import Interrupted, Refused
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.renderer_command import CommandRenderer
from daemon.generator.renderers import Renderers, renderer_identity
from whole_program import is_over, wait_for

DRAW = """
import argparse, json, os
from PIL import Image
parser = argparse.ArgumentParser()
for name in ("prompt", "negative", "seed", "size", "lora", "strength", "stack", "out"):
    parser.add_argument("--" + name)
told = vars(parser.parse_args())
width, height = map(int, told["size"].split("x"))
Image.new("RGBA", (width, height), (int(told["seed"]) % 256, 9, 200, 255)).save(told["out"])
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps(told | {"environment": sorted(os.environ)}) + "\\n")
"""
ARGUMENTS = (
    "--prompt={prompt}", "--negative={negative}", "--seed", "{seed}", "--size",
    "{width}x{height}", "--lora", "{lora}", "--strength", "{strength}", "--stack={stack}",
    "--out", "{out}",
)  # fmt: skip


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., CommandRenderer]:
    """Return a function that makes a renderer of a Python program, in a parent with secrets."""

    def make(text: str = DRAW, arguments: tuple[str, ...] = ARGUMENTS) -> CommandRenderer:
        path = tmp_path / "draw.py"
        path.write_text(text)
        notes = {"NOTES": str(tmp_path / "notes"), "DATABASE_URL": "postgresql://canary"}
        secrets = {"EPOCHWATCH_ALERT_URLS": "json://canary", "HF_TOKEN": "canary"}
        environment = {**os.environ, **notes, **secrets}
        return CommandRenderer([sys.executable, str(path), *arguments], environment=environment)

    return make


def job_of(folder: Path, *loras: LoraFile, prompt: str = "a cat", count: int = 1) -> DrawJob:
    """Return a job of small pictures."""
    samples = [DrawSample(sample_id=f"s{n}", prompt=prompt, seed=42 + n) for n in range(count)]
    return DrawJob(
        job="job", base_path=folder, base_sha256="b" * 64, loras=loras, samples=tuple(samples),
        recipe=Recipe(renderer="command", width=16, height=8, negative="blurry"),
        out=folder / "out",
    )  # fmt: skip


def draw(renderer: Any, job: DrawJob, **changes: Any) -> list[dict[str, Any]]:
    """Draw and return the events."""
    events: list[dict[str, Any]] = []
    facts = {"image_timeout": 240.0, "should_stop": lambda: False} | changes
    renderer.draw(job, events.append, **facts)
    return events


def test_each_sample_gets_its_picture_and_its_facts(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """PNG and JSON as the resident pipeline writes them, and the same events."""
    lora = LoraFile(path=tmp_path / "a.safetensors", sha256="a" * 64, strength="0.80")
    events = draw(script(), job_of(tmp_path, lora, count=2))
    assert [event["event"] for event in events] == ["loaded", "image", "image", "done"]
    facts = json.loads((tmp_path / "out" / "s1.json").read_text())
    assert facts["image_sha256"] == events[2]["sha256"]
    assert facts["provenance"]["loras"] == [["a" * 64, "0.80"]]
    assert facts["provenance"]["renderer"].startswith("command:")
    pixels = np.asarray(Image.open(tmp_path / "out" / "s1.png"))
    assert (pixels == (43, 9, 200)).all()
    assert pixels.shape == (8, 16, 3)
    told = json.loads((tmp_path / "notes").read_text().splitlines()[0])
    assert (told["lora"], told["strength"]) == (str(lora.path), "0.80")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "s0.json", "s0.png", "s1.json", "s1.png",
    ]  # fmt: skip


def test_a_prompt_is_one_argument_whatever_stands_in_it(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """No shell, no second filling-in of braces, no secret in the environment."""
    nasty = "$(touch pwned); `id` {seed} \"'\n| && --out /etc/passwd \u202e"
    draw(script(), job_of(tmp_path, prompt=nasty))
    told = json.loads((tmp_path / "notes").read_text())
    assert told["prompt"] == nasty
    assert told["lora"] == ""
    secrets = {"DATABASE_URL", "EPOCHWATCH_ALERT_URLS", "HF_TOKEN"}
    assert not secrets & set(told["environment"])


def test_a_prompt_that_looks_like_an_option_is_not_handed_over_bare(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """It could set the program's output or model; as --prompt=... it cannot."""
    bare = ("--prompt", "{prompt}", "--seed", "{seed}", "--out", "{out}")
    with pytest.raises(Refused, match="begins like an option"):
        draw(script(arguments=bare), job_of(tmp_path, prompt="--lora=x"))


def test_a_command_that_would_draw_something_else_is_refused(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """Without seed, without LoRA, with an unknown placeholder, with no such program."""
    lora = LoraFile(path=tmp_path / "a", sha256="a" * 64)
    for arguments, words in (
        (("{prompt}", "{out}"), "lacks {seed}"),
        (("{prompt}", "{seed}", "{out}"), "lacks {lora}"),
        ((*ARGUMENTS, "{sede}"), "{sede}"),
    ):
        with pytest.raises(Refused, match=words):
            draw(script(arguments=arguments), job_of(tmp_path, lora))
    only_one = tuple(part for part in ARGUMENTS if "stack" not in part)
    with pytest.raises(Refused, match=r"lacks {stack}"):
        draw(script(arguments=only_one), job_of(tmp_path, lora, lora))
    with pytest.raises(Refused, match="cannot be started"):
        draw(CommandRenderer(["/no/such/program", *ARGUMENTS]), job_of(tmp_path))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("import sys; print('no GPU here'); sys.exit(3)", Interrupted, "exit code 3.*no GPU here"),
        ("pass", Refused, "left no picture"),
        (DRAW.replace("(width, height)", "(width, 4)"), Refused, "16x4 pixels.*16x8"),
        ("import sys; open(sys.argv[-1], 'w').write('no')", Refused, "cannot be decoded"),
        ("import os, sys; os.symlink('/etc/hostname', sys.argv[-1])", Refused, "left no picture"),
        (DRAW.replace('int(told["seed"]) % 256, 9, 200', "0, 0, 0"), Refused, "black"),
    ],
)
def test_what_is_no_such_picture_is_not_kept(
    text: str,
    kind: type[Exception],
    words: str,
    script: Callable[..., CommandRenderer],
    tmp_path: Path,
) -> None:
    """A failure may pass; a wrong picture is refused with what was wrong."""
    with pytest.raises(kind, match=words):
        draw(script(text), job_of(tmp_path))
    assert not list((tmp_path / "out").iterdir())


def test_a_command_that_hangs_is_ended_with_all_it_started(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """By the time limit, and at once when the daemon stops."""
    told = tmp_path / "pid"
    hang = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '900'])\n"
        f"open({str(tmp_path / 'unfinished')!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(tmp_path / 'unfinished')!r}, {str(told)!r})\n"
        "time.sleep(900)\n"
    )
    with pytest.raises(Interrupted, match="within 1 s") as late:
        draw(script(hang), job_of(tmp_path), image_timeout=1.0)
    assert late.value.kind == "timeout"
    told.unlink(missing_ok=True)
    with pytest.raises(Interrupted) as stopped:
        draw(script(hang), job_of(tmp_path), image_timeout=240.0, should_stop=told.exists)
    assert stopped.value.kind == "stopped"
    child = int(told.read_text())
    wait_for(lambda: is_over(child), what="the end of what it started")


def test_a_changed_command_line_is_another_renderer(
    script: Callable[..., CommandRenderer], tmp_path: Path
) -> None:
    """The recipe, and so the sample's key, names the command line; another one is not drawn with."""
    arguments = (sys.executable, "draw.py", *ARGUMENTS)
    before = load_settings(home=tmp_path, renderer_command=arguments)
    after = load_settings(home=tmp_path, renderer_command=(*arguments, "--fast"))
    pinned = renderer_identity("command", before)
    assert pinned != renderer_identity("command", after)
    assert renderer_identity(pinned, before) == pinned
    job = job_of(tmp_path)
    job = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, renderer=pinned))
    own = script()  # stands where the resident pipeline would
    with pytest.raises(Refused, match="start a new run"):
        draw(Renderers(own, after), job)
    with pytest.raises(Refused, match="set renderer_command"):
        draw(Renderers(own, load_settings(home=tmp_path)), job)
