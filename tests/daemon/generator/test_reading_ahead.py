"""What is read ahead is what would have been read, and nothing depends on it."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import pytest

from daemon.generator.job import JobError
from daemon.generator.lora_file import LoraWeights, read_lora
from daemon.generator.reading_ahead import Shelf, warm
from daemon.generator.studio import Studio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Events, MakeLora

    from daemon.generator.client import Generator
    from daemon.generator.job import DrawJob, LoraFile


class Reads(list[str]):
    """A reader that writes down what it reads; it waits while its gate is shut."""

    def __init__(self) -> None:
        """Begin with the gate open."""
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()

    def __call__(self, path: Path, sha256: str) -> LoraWeights:
        """Read as the shelf does without it."""
        self.append(path.stem)
        self.begun.set()
        assert self.gate.wait(240)
        return read_lora(path, sha256)


def wish(*files: LoraFile) -> list[tuple[Path, str]]:
    """Return files as a shelf expects them."""
    return [(one.path, one.sha256) for one in files]


@pytest.fixture
def files(good: dict[str, Any], make_lora: MakeLora) -> list[LoraFile]:
    """Three files of different content."""
    return [
        make_lora({key: one * number for key, one in good.items()}, f"ahead-{number}")
        for number in (1, 2, 3)
    ]


def test_a_file_read_ahead_is_read_once_and_at_most_two_are_kept(files: list[LoraFile]) -> None:
    """Two wait for their jobs; a third pushes out the one that was of no use for longest."""
    reads = Reads()
    shelf = Shelf(reads)
    shelf.expect(wish(*files))
    assert shelf.wait(240)
    assert reads == ["ahead-1", "ahead-2"]
    taken = shelf.take(files[0].path, files[0].sha256)
    assert taken.sha256 == files[0].sha256
    assert len(reads) == 2
    shelf.expect(wish(files[2]))
    assert shelf.wait(240)
    shelf.take(files[0].path, files[0].sha256)
    shelf.take(files[1].path, files[1].sha256)
    assert reads == ["ahead-1", "ahead-2", "ahead-3", "ahead-2"]
    assert shelf.used == 2


def test_a_job_waits_for_the_file_in_hand_and_does_not_read_it_twice(
    files: list[LoraFile],
) -> None:
    """Half read is not thrown away; what was only wished for is read by the job itself."""
    reads = Reads()
    reads.gate.clear()
    shelf = Shelf(reads)
    shelf.expect(wish(*files[:2]))
    assert reads.begun.wait(240)
    opener = threading.Timer(0.2, reads.gate.set)
    opener.start()
    assert shelf.take(files[0].path, files[0].sha256).sha256 == files[0].sha256
    assert reads.count("ahead-1") == 1
    opener.join()


def test_a_file_that_changed_or_went_away_meanwhile_is_read_again(
    make_lora: MakeLora, good: dict[str, Any]
) -> None:
    """The content on the shelf is no excuse for a file that is not there any more."""
    lora = make_lora(good, "ahead-gone")
    shelf = Shelf()
    shelf.expect(wish(lora))
    assert shelf.wait(240)
    lora.path.write_bytes(lora.path.read_bytes()[:-1] + b"?")
    with pytest.raises(JobError, match="not the file it was"):
        shelf.take(lora.path, lora.sha256)
    lora.path.unlink()
    with pytest.raises(JobError, match="cannot be read"):
        shelf.take(lora.path, lora.sha256)


def test_a_file_that_cannot_be_read_ahead_is_the_jobs_own_trouble(
    lora: LoraFile, tmp_path: Path
) -> None:
    """The thread goes on, and the job says what is wrong with the file."""
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    shelf = Shelf()
    shelf.expect([(broken, "0" * 64), (lora.path, lora.sha256)], base=tmp_path)
    assert shelf.wait(240)
    with pytest.raises(JobError, match="not the file it was"):
        shelf.take(broken, "0" * 64)
    shelf.take(lora.path, lora.sha256)
    assert shelf.used == 1


def test_asking_for_the_pages_of_a_base_model_never_fails(base: Path, tmp_path: Path) -> None:
    """A folder, a file, and nothing at all."""
    for place in (base, base / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "none"):
        warm(place)


def test_a_file_read_ahead_draws_the_same_bytes(
    make_job: Callable[..., DrawJob], files: list[LoraFile], events: Events, tmp_path: Path
) -> None:
    """Read while another job was drawn, on another thread: not one bit of an image differs."""
    shelf = Shelf()
    ahead = Studio(events.say, lambda: False, shelf)
    shelf.expect(wish(files[1]))
    ahead.draw(make_job(files[0], out=tmp_path / "first"))
    assert shelf.wait(240)
    ahead.draw(make_job(files[1], out=tmp_path / "ahead"))
    assert [event["read_ahead"] for event in events.of("loaded")] == [0, 1]
    plain = Studio(events.say, lambda: False)
    plain.draw(make_job(files[1], out=tmp_path / "plain"))
    for sample in make_job().samples:
        name = f"{sample.sample_id}.png"
        assert (tmp_path / "ahead" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_the_child_reads_ahead_while_it_draws(
    generator: Generator, make_job: Callable[..., DrawJob], files: list[LoraFile], lora: LoraFile
) -> None:
    """Told in the middle of a job, it has the next file ready when that job comes."""
    generator.prefetch([lora])  # before there is a child at all, this is nothing
    events: list[dict[str, Any]] = []

    def hear(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "loaded":
            generator.prefetch(files[2:])

    for name, file in (("one", lora), ("to read meanwhile", lora), ("two", files[2])):
        job = dataclasses.replace(make_job(file), job=name)
        generator.draw(job, hear, image_timeout=240, should_stop=lambda: False)
    used = [event["read_ahead"] for event in events if event["event"] == "loaded"]
    assert used[2] == used[0] + 1
