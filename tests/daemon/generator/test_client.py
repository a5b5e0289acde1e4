"""The client and its child: failures, secrets, and a fresh start after each."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import torch

from core.errors import Fixable, Permanent, Retryable
from daemon.generator.client import Generator, Interrupted, Refused, clean_environment
from whole_program import is_over, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import MakeLora

    from daemon.generator.job import DrawJob, LoraFile

ROOT = Path(__file__).resolve().parents[3]


def draw(generator: Generator, job: DrawJob, **changes: Any) -> list[dict[str, Any]]:
    """Draw ``job`` and return the events."""
    events: list[dict[str, Any]] = []
    facts: dict[str, Any] = {
        "on_event": events.append,
        "image_timeout": 240.0,
        "should_stop": lambda: False,
    }
    generator.draw(job, **(facts | changes))
    return events


def test_the_base_stays_in_the_child_from_job_to_job(
    generator: Generator, make_job: Callable[..., DrawJob], lora: LoraFile
) -> None:
    """Loaded once, drawn twice, though the thread that asked first is long gone."""
    first: list[dict[str, Any]] = []
    starter = threading.Thread(target=lambda: first.extend(draw(generator, make_job(lora))))
    starter.start()
    starter.join()
    pid = generator.pid
    second = draw(generator, make_job(job="two"))
    assert generator.pid == pid
    assert [event["event"] for event in first].count("loading") == 1
    assert "loading" not in [event["event"] for event in second]
    assert {event["sample_id"] for event in second if event["event"] == "image"} == {
        "s0",
        "s1",
        "s2",
    }
    assert second[-1]["event"] == "done"


def test_a_bad_file_is_permanent_and_the_child_lives_on(
    generator: Generator,
    make_job: Callable[..., DrawJob],
    make_lora: MakeLora,
    good: dict[str, torch.Tensor],
    lora: LoraFile,
) -> None:
    """NaN, OFT and half a match park the job with counts; the next job finds the same child."""
    draw(generator, make_job())
    pid = generator.pid
    name = next(iter(good))
    broken = make_lora({**good, name: torch.full_like(good[name], torch.nan)}, "client-nan")
    foreign = make_lora({**good, "oft_unet_x.oft_R.weight": torch.ones(2)}, "client-oft")
    half = make_lora(
        {key.replace("lora_te_", "lora_te3_"): one for key, one in good.items()}, "client-half"
    )
    for file, words in ((broken, "NaN"), (foreign, "OFT"), (half, "18 of the LoRA's 66 modules")):
        with pytest.raises(Permanent, match=words) as caught:
            draw(generator, make_job(file))
        assert isinstance(caught.value, Refused)
        assert caught.value.kind == "bad_lora"
    assert draw(generator, make_job(lora))[-1]["event"] == "done"
    assert generator.pid == pid


def test_an_unknown_sampler_is_fixable_before_anything_starts(
    make_job: Callable[..., DrawJob],
) -> None:
    """No child is started for a typing mistake."""
    job = make_job()
    odd = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, sampler="warp"))
    with Generator() as unused:
        with pytest.raises(Fixable, match="warp"):
            draw(unused, odd)
        assert unused.pid is None


def test_no_base_model_is_permanent(
    generator: Generator, make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """A path that holds no base model parks the job and says so."""
    with pytest.raises(Refused, match=r"model_index\.json") as caught:
        draw(generator, make_job(base_path=tmp_path / "nowhere"))
    assert caught.value.kind == "no_base"


def test_the_child_is_humble_and_knows_no_secret(
    generator: Generator, make_job: Callable[..., DrawJob]
) -> None:
    """Low priority, first to be killed, no core files, and nothing of the parent's secrets."""
    draw(generator, make_job())
    assert generator.pid is not None
    child = psutil.Process(generator.pid)
    assert child.nice() >= 10
    if sys.platform == "linux":
        proc = Path("/proc") / str(generator.pid)
        assert int((proc / "oom_score_adj").read_text()) == 1000
        assert "Max core file size        0" in (proc / "limits").read_text()
    seen = child.environ()
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert "PATH" in seen
    assert not [name for name, value in seen.items() if "canary" in value]


def test_secrets_are_taken_out_of_the_environment() -> None:
    """By name: what a database, a store or an alert target needs stays with the parent."""
    secrets = {
        "DATABASE_URL": "a",
        "EPOCHWATCH_ALERT_URLS": "b",
        "MY_SECRET": "c",
        "HF_TOKEN": "d",
        "PGPASSWORD": "e",
        "AWS_SECRET_ACCESS_KEY": "f",
        "RUNPOD_API_KEY": "g",
        "db_password": "h",
        "SENTRY_DSN": "i",
    }
    kept = clean_environment({"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", **secrets})
    assert not secrets.keys() & kept.keys()
    assert kept["PATH"] == "/bin"
    assert kept["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_job_called_off_ends_soon_and_the_child_lives_on(
    generator: Generator, make_job: Callable[..., DrawJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was drawn before stays; the same job can come again."""
    monkeypatch.setattr("daemon.generator.client._STOP_SECONDS", 240.0)
    draw(generator, make_job())
    pid = generator.pid
    job = make_job(count=20, job="long", batch=1)
    long = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, steps=400))
    heard: list[str] = []
    with pytest.raises(Interrupted) as caught:
        draw(
            generator,
            long,
            on_event=lambda event: heard.append(event["event"]),
            should_stop=lambda: "loaded" in heard,
        )
    assert caught.value.kind == "stopped"
    assert heard.count("image") < 20
    assert generator.pid == pid
    again = draw(generator, make_job(job="long"))
    assert again[-1]["event"] == "done"


def test_a_killed_child_is_retryable_and_the_next_job_works(
    make_job: Callable[..., DrawJob], generator: Generator, lora: LoraFile
) -> None:
    """The message names the signal, finished images stay, and a fresh child takes over."""
    draw(generator, make_job())
    killed = generator.pid
    job = make_job(lora, batch=1, count=8)
    slow = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, steps=200))

    def kill_after_first_image(event: dict[str, Any]) -> None:
        if event["event"] == "image":
            assert generator.pid is not None
            psutil.Process(generator.pid).kill()

    with pytest.raises(Retryable, match="SIGKILL") as caught:
        draw(generator, slow, on_event=kill_after_first_image)
    assert isinstance(caught.value, Interrupted)
    assert caught.value.kind == "crash"
    assert generator.pid is None
    finished = {path.stem for path in job.out.glob("*.json")}
    assert "s0" in finished
    assert len(finished) < 8
    assert draw(generator, job)[-1] == {
        "event": "done",
        "job": "job",
        "images": 8,
        "refused": [],
    }
    assert generator.pid not in {None, killed}


def test_a_child_that_hangs_is_ended(
    generator: Generator, make_job: Callable[..., DrawJob]
) -> None:
    """No progress within the time for an image: killed, and retryable."""
    draw(generator, make_job())
    assert generator.pid is not None
    child = psutil.Process(generator.pid)
    job = make_job(batch=1, count=8)
    slow = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, steps=400))

    def freeze(event: dict[str, Any]) -> None:
        if event["event"] == "loaded":
            child.suspend()

    with pytest.raises(Interrupted, match="no progress") as caught:
        draw(generator, slow, on_event=freeze, image_timeout=0.5)
    assert caught.value.kind == "timeout"
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_child_dies_with_its_parent() -> None:
    """A parent that is killed leaves no process behind on the GPU."""
    code = (
        "import os, sys, time\n"
        "from daemon.generator.client import _Child, clean_environment\n"
        "child = _Child(clean_environment(os.environ))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(900)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: is_over(child), what="the end of the child")


def test_an_installation_without_torch_is_told_what_to_install(
    make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """A torch that cannot be imported parks the job with the command that mends it."""
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    told = pytest.raises(Refused, match=r"epochwatch\[gpu\].*no torch here")
    with Generator(environment=environment) as bare, told as caught:
        draw(bare, make_job())
    assert caught.value.kind == "no_libraries"


def test_the_client_imports_no_torch() -> None:
    """A worker's command line answers at once, with or without a GPU stack."""
    code = "import sys, daemon.generator.client; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert answer.stdout.strip() == "False"
