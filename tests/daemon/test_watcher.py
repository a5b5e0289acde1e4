"""The watcher on real folders, with real files and real events."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

import checkpoints_made as made
from core.errors import Fixable
from daemon.spool import Admitted, Spool
from daemon.watcher import Patience, ScanResult, Sighting, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from watchdog.observers.api import EventEmitter

QUIET = 0.3
FAST = Patience(second_look=0.05, deadline=0.6, recheck=0.1)


class Story:
    """A watcher with everything it has told so far, and a clock that only the test moves."""

    def __init__(self, folder: Path, known: Iterable[Sighting] = ()) -> None:
        """Make the trainer's folder and a spool beside it."""
        self.out = folder / "out"
        self.out.mkdir(exist_ok=True)
        self.spool = Spool(folder / "spool", least_free=0)
        self.now = 1000.0
        self.watcher = Watcher(
            [self.out],
            self.spool,
            quiet_seconds=QUIET,
            patience=FAST,
            known=known,
            clock=lambda: self.now,
        )
        self.admitted: list[Admitted] = []
        self.told: list[Sighting] = []
        self.samples: list[str] = []

    def scan(self) -> ScanResult:
        """Scan once and remember."""
        result = self.watcher.scan()
        self.admitted += result.admitted
        self.told += result.sightings
        self.samples += [sample.path for sample in result.trainer_samples]
        return result

    def follow(self, until: Callable[[], bool], passing: float = 0.1) -> None:
        """Let so many seconds pass and scan, in turn, until something is so."""
        end = time.monotonic() + 120
        while not until():
            assert time.monotonic() < end, [(Path(s.path).name, s.state) for s in self.told]
            self.now += passing
            self.scan()
            time.sleep(0.02)  # for the ear's thread, and longer than a tick of the file system

    def hear(self) -> None:
        """Wait until the system announces something."""
        assert self.watcher.wait(120)

    def settle(self) -> None:
        """Scan until no file waits for a decision."""
        self.scan()
        self.follow(lambda: self.watcher.unsettled() == 0)

    def state(self, name: str) -> str:
        """Return the last state told of a file."""
        return self.last(name).state

    def last(self, name: str) -> Sighting:
        """Return the last sighting of a file."""
        return [each for each in self.told if Path(each.path).name == name][-1]

    def states(self, name: str) -> list[str]:
        """Return all states told of a file, in order."""
        return [each.state for each in self.told if Path(each.path).name == name]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """Give a started watcher on an empty folder, after its first scan."""
    made_story = Story(tmp_path)
    made_story.watcher.start()
    made_story.scan()
    yield made_story
    made_story.watcher.stop()


def everything_about(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return mode, owner, size, inode, links and both times of all below a folder."""
    return {
        str(path): (
            s.st_mode,
            s.st_uid,
            s.st_size,
            s.st_ino,
            s.st_nlink,
            s.st_mtime_ns,
            s.st_ctime_ns,
        )
        for path in [folder, *folder.rglob("*")]
        for s in [path.lstat()]
    }


def test_a_file_that_was_there_before_is_found(tmp_path: Path) -> None:
    """No event speaks of it: the first scan does."""
    story = Story(tmp_path)
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    assert [each.facts.epoch for each in story.admitted] == [1]


@pytest.mark.parametrize(
    "write", [made.renamed_into_place, lambda path, data: path.write_bytes(data)]
)
def test_a_saved_checkpoint_is_taken_in_at_once(
    story: Story, write: Callable[[Path, bytes], object]
) -> None:
    """Both ways of saving are announced, and the file's own checksum spares the quiet period."""
    story.watcher._examiners[story.out].patience = Patience(quiet=60.0, second_look=0.05)
    began = story.now
    write(story.out / "punk-000001.safetensors", made.kohya_bytes(1))
    story.hear()
    story.follow(lambda: bool(story.admitted))
    assert story.now - began < 1
    assert story.states("punk-000001.safetensors") == ["settling", "admitted"]
    assert story.watcher.states()[story.out][0] == "live"
    assert not [each for each in story.told if ".tmp" in each.path]


def test_the_trainers_own_library_is_followed(story: Story) -> None:
    """What the installed safetensors itself saves is announced, verified and taken in."""
    made_bytes = {
        name: np.frombuffer(data, np.float16).reshape(shape)
        for name, (_, shape, data) in made.kohya_tensors().items()
    }
    save_file(made_bytes, story.out / "punk-000001.safetensors", made.kohya_metadata(1))
    story.hear()
    story.settle()
    assert [each.facts.epoch for each in story.admitted] == [1]
    assert story.watcher.states()[story.out][0] == "live"


def test_a_slow_writer_is_waited_for_and_taken_in_once(story: Story) -> None:
    """A save in place that pauses midway is incomplete, and is admitted after its end."""
    data = made.kohya_bytes(1)
    path = story.out / "punk-000001.safetensors"
    with path.open("wb", buffering=0) as file:
        for begin in range(0, len(data), len(data) // 3):
            file.write(data[begin : begin + len(data) // 3])
            story.scan()
            story.now += 0.1
            story.scan()
            assert not story.admitted or file.tell() == len(data)
    story.settle()
    assert len(story.admitted) == 1
    assert "incomplete" in story.states(path.name)


def test_a_preallocated_file_is_admitted_only_with_its_data(story: Story) -> None:
    """Full size with a tail of zeros passes for whole, but not for proven."""
    data = made.kohya_bytes(1)
    path = story.out / "punk-000001.safetensors"
    path.write_bytes(made.preallocated(data))
    story.follow(lambda: story.states(path.name)[-1:] == ["incomplete"])
    with path.open("r+b") as file:
        file.write(data)
    story.settle()
    assert [each.spool_path.read_bytes() for each in story.admitted] == [data]


def test_a_half_overwritten_file_is_never_taken_mixed(story: Story) -> None:
    """``rsync --inplace`` over an older epoch: right size, wrong content, then the right one."""
    old, new = made.kohya_bytes(1, seed=1), made.kohya_bytes(1, seed=2)
    path = story.out / "punk-000001.safetensors"
    path.write_bytes(old)
    story.settle()
    path.write_bytes(made.half_overwritten(old, new))
    story.follow(lambda: story.states(path.name)[-1:] == ["incomplete"])
    path.write_bytes(new)
    story.settle()
    assert [each.spool_path.read_bytes() for each in story.admitted] == [old, new]


def test_without_proof_the_quiet_period_counts(story: Story) -> None:
    """A file without a checksum is believed when it has held still long enough."""
    path = made.kohya_file(story.out / "punk-000001.safetensors", proof=False)
    began = story.now
    story.follow(lambda: bool(story.admitted))
    assert QUIET <= story.now - began < 2 * QUIET
    assert story.state(path.name) == "admitted"


def test_a_done_marker_spares_the_quiet_period(tmp_path: Path) -> None:
    """The trainer's word that a file is finished is proof enough; an older marker is not."""
    story = Story(tmp_path)
    story.watcher._examiners[story.out].patience = Patience(quiet=60.0, second_look=0.05)
    marked = made.kohya_file(story.out / "a.safetensors", 1, proof=False)
    marked.with_name("a.safetensors.done").touch()
    stale = made.kohya_file(story.out / "b.safetensors", 2, proof=False)
    stale.with_name("b.safetensors.done").touch()
    os.utime(stale.with_name("b.safetensors.done"), (1, 1))
    story.scan()
    story.follow(lambda: bool(story.admitted))
    assert (story.state("a.safetensors"), story.state("b.safetensors")) == ("admitted", "settling")


def test_an_empty_looking_end_is_waited_for_twice_and_told(tmp_path: Path) -> None:
    """Without a checksum, zeros at the end cost one more quiet period and a warning."""
    story = Story(tmp_path)
    (story.out / "a.safetensors").write_bytes(
        made.preallocated(made.kohya_bytes(1, proof=False), 0.9)
    )
    began = story.now
    story.settle()
    assert 2 * QUIET <= story.now - began < 3 * QUIET
    assert "nothing but zeros" in story.last("a.safetensors").reason


def test_a_deleted_checkpoint_is_tested_from_its_copy(story: Story) -> None:
    """A trainer that keeps only its last saves takes nothing from us."""
    path = made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    path.unlink()
    story.scan()
    assert story.state(path.name) == "vanished"
    assert "tested as planned" in story.last(path.name).reason
    assert story.spool.path(story.admitted[0].sha256) is not None


def test_a_file_that_vanishes_before_it_is_copied_is_told(story: Story) -> None:
    """It is reported once, without a crash."""
    path = made.kohya_file(story.out / "punk-000001.safetensors")
    story.scan()
    path.unlink()
    story.follow(lambda: story.states(path.name)[-1:] == ["vanished"])
    assert "let it keep more" in story.last(path.name).reason
    assert story.scan().sightings == ()


def test_the_same_content_under_two_names_is_admitted_once(story: Story) -> None:
    """Both names are listed and point to the same content."""
    made.kohya_file(story.out / "punk-000001.safetensors")
    made.kohya_file(story.out / "copy of it.safetensors")
    story.settle()
    assert len(story.admitted) == 1
    assert (
        story.last("punk-000001.safetensors").sha256
        == story.last("copy of it.safetensors").sha256
        == story.admitted[0].sha256
    )


def test_new_content_under_an_old_name_is_admitted_anew(story: Story) -> None:
    """A second run that reuses the names does not hide behind the first."""
    path = made.kohya_file(story.out / "punk-000001.safetensors", seed=1)
    story.settle()
    made.kohya_file(path, seed=2)
    story.settle()
    assert len({each.sha256 for each in story.admitted}) == 2
    assert story.last(path.name).sha256 == story.admitted[1].sha256


def test_a_changed_mode_or_a_new_link_costs_no_second_copy(story: Story) -> None:
    """Only content counts: what a person does to the name is nothing new."""
    path = made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    path.chmod(0o640)
    assert story.scan().sightings == ()
    assert story.watcher.unsettled() == 0


def test_a_deleted_and_recreated_root_is_picked_up(story: Story) -> None:
    """The ear is renewed within one scan, and the state says so meanwhile."""
    shutil.rmtree(story.out)
    story.scan()
    assert story.watcher.states()[story.out][0] == "root-missing"
    story.out.mkdir()
    story.scan()
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.hear()
    story.settle()
    assert len(story.admitted) == 1
    assert story.watcher.states()[story.out][0] == "live"


def test_a_root_that_is_renamed_away_and_made_anew_is_picked_up(story: Story) -> None:
    """Everything looks alive in the library then; only the folder's number tells."""
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    story.out.rename(story.out.with_name("old"))
    story.out.mkdir()
    story.scan()
    assert story.state("punk-000001.safetensors") == "vanished"
    made.kohya_file(story.out / "punk-000002.safetensors", 2)
    story.hear()
    story.settle()
    assert [each.facts.epoch for each in story.admitted] == [1, 2]


def test_a_missing_root_is_waited_for(tmp_path: Path) -> None:
    """Watching may begin before the trainer has made its folder; nothing counts as deleted."""
    story = Story(tmp_path)
    story.out.rmdir()
    story.watcher.start()
    try:
        assert story.scan().sightings == ()
        state, reason = story.watcher.states()[story.out]
        assert state == "root-missing"
        assert "waited for" in reason
        story.out.mkdir()
        made.kohya_file(story.out / "punk-000001.safetensors")
        story.settle()
        assert len(story.admitted) == 1
    finally:
        story.watcher.stop()


def test_a_root_that_goes_and_returns_deletes_nothing(story: Story) -> None:
    """A volume that is unplugged for a while is no news about its files."""
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    story.out.rename(story.out.with_name("away"))
    assert story.scan().sightings == ()
    story.out.with_name("away").rename(story.out)
    assert story.scan().sightings == ()
    assert len(story.admitted) == 1


def test_a_folder_that_is_moved_in_is_found_and_followed(story: Story) -> None:
    """Files inside it, and files written into it later, are seen."""
    outside = story.out.with_name("elsewhere")
    outside.mkdir()
    made.kohya_file(outside / "punk-000001.safetensors")
    outside.rename(story.out / "inside")
    story.follow(lambda: len(story.admitted) == 1)
    made.kohya_file(story.out / "inside" / "punk-000002.safetensors", 2)
    story.follow(lambda: len(story.admitted) == 2)


def test_many_files_at_once_are_all_found(story: Story) -> None:
    """Two hundred names, one of them real: the scan lists each."""
    for number in range(200):
        (story.out / f"n{number}.safetensors").write_bytes(b"<html>")
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    assert len({each.path for each in story.told}) == 201
    assert len(story.admitted) == 1


def test_links_pipes_and_folders_with_such_names_are_passed_over(story: Story) -> None:
    """Nothing blocks, nothing outside is read, nothing is told."""
    secret = made.kohya_file(story.out.with_name("secret.safetensors"))
    (story.out / "link.safetensors").symlink_to(secret)
    (story.out / "loop.safetensors").symlink_to("loop.safetensors")
    (story.out / "gone.safetensors").symlink_to("nowhere")
    (story.out / "linked folder").symlink_to(story.out.parent)
    os.mkfifo(story.out / "pipe.safetensors")
    (story.out / "folder.safetensors").mkdir()
    story.settle()
    assert (story.told, story.admitted) == ([], [])


def test_a_name_that_is_no_text_is_handled(story: Story) -> None:
    """The file is admitted, its name shown escaped."""
    name = os.fsdecode(b"p\xff\nunk; -000001.safetensors")
    made.kohya_file(story.out / name)
    story.settle()
    assert [Path(each.source_path).name for each in story.admitted] == [
        r"p\xff\x0aunk; -000001.safetensors"
    ]
    story.told[-1].path.encode("utf-8")


def test_a_file_of_another_user_is_told_and_tried_again() -> None:
    """Mode 0600 of somebody else: the sentence names the way out, and a fix is noticed."""
    if os.geteuid() != 0:
        pytest.skip("only root can play two users")
    with tempfile.TemporaryDirectory() as folder, _as_nobody(Path(folder)):
        story = Story(Path(folder))
        path = story.out / "punk-000001.safetensors"
        with _as_root():
            made.kohya_file(path).chmod(0o600)
        story.scan()
        story.follow(lambda: story.states(path.name)[-1:] == ["blocked"])
        assert "same user as the trainer" in story.last(path.name).reason
        assert "0600" in story.last(path.name).reason
        with _as_root():
            path.chmod(0o644)
        story.follow(lambda: len(story.admitted) == 1)


@contextlib.contextmanager
def _as_nobody(folder: Path) -> Iterator[None]:
    folder.chmod(0o777)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def _as_root() -> Iterator[None]:
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(65534)


def test_nothing_in_the_trainers_folder_changes(tmp_path: Path) -> None:
    """A full list of modes, owners, sizes, inodes, links and times is the same before and after."""
    story = Story(tmp_path)
    sub = story.out / "checkpoint-5"
    sub.mkdir()
    made.kohya_file(story.out / "punk-000001.safetensors")
    made.kohya_file(sub / "pytorch_lora_weights.safetensors", 2, proof=False)
    for index, (data, _, _) in enumerate(made.bad_corpus(tmp_path / "marker").values()):
        (story.out / f"bad{index}.safetensors").write_bytes(data)
    (story.out / "old.ckpt").write_bytes(b"x")
    before = everything_about(story.out)
    story.watcher.start()
    story.settle()
    story.watcher.stop()
    assert len(story.admitted) > 2
    assert everything_about(story.out) == before


def test_a_restart_hashes_nothing_again(tmp_path: Path) -> None:
    """What the spool or the store knows is not copied or told twice."""
    first = Story(tmp_path)
    made.kohya_file(first.out / "punk-000001.safetensors")
    (first.out / "old.ckpt").write_bytes(b"x")
    first.settle()
    second = Story(tmp_path, known=[first.last("punk-000001.safetensors"), first.last("old.ckpt")])
    second.settle()
    assert (second.told, second.admitted) == ([], [])
    third = Story(tmp_path)
    third.scan()
    assert third.state("punk-000001.safetensors") == "admitted"
    assert third.admitted == []


def test_a_file_that_went_while_nobody_watched_is_told(tmp_path: Path) -> None:
    """After a restart a known file that is gone is vanished, once."""
    first = Story(tmp_path)
    path = made.kohya_file(first.out / "punk-000001.safetensors")
    first.settle()
    path.unlink()
    second = Story(tmp_path, known=[first.last(path.name)])
    second.scan()
    assert second.states(path.name) == ["vanished"]
    assert second.scan().sightings == ()


def test_a_changed_file_is_hashed_after_a_restart(tmp_path: Path) -> None:
    """Knowledge of an older content does not stand in the way of the newer one."""
    first = Story(tmp_path)
    path = made.kohya_file(first.out / "punk-000001.safetensors", seed=1)
    first.settle()
    made.kohya_file(path, seed=2)
    second = Story(tmp_path, known=[first.last(path.name)])
    second.settle()
    assert len(second.admitted) == 1


@pytest.mark.parametrize("where", ["same", "inside", "around spool", "in spool", "file"])
def test_roots_that_cannot_be_watched_are_refused_in_words(tmp_path: Path, where: str) -> None:
    """Overlapping folders, and any overlap with our own, stop the start."""
    out, spool = tmp_path / "out", Spool(tmp_path / "home" / "spool", least_free=0)
    out.mkdir()
    (tmp_path / "file").touch()
    roots = {
        "same": [out, tmp_path / "x" / ".." / "out"],
        "inside": [out, out / "deep"],
        "around spool": [tmp_path / "home"],
        "in spool": [spool.folder / "deep"],
        "file": [tmp_path / "file"],
    }[where]
    with pytest.raises(Fixable, match="Cannot watch"):
        Watcher(roots, spool)


def test_the_trainers_own_samples_are_passed_on_once(story: Story) -> None:
    """Each image is told when it has come to rest, never twice."""
    (story.out / "sample").mkdir()
    image = story.out / "sample" / "punk_e000001_00_20251109145320_42.png"
    image.write_bytes(b"png")
    story.follow(lambda: bool(story.samples))
    story.scan()
    assert story.samples == [str(image)]


def test_without_events_the_scan_still_finds_everything(story: Story) -> None:
    """A deaf ear, as on a network volume, turns the state to polling; nothing is missed."""
    listener = story.watcher._listeners[story.out]
    listener.patience = 0.2
    listener._bell.on_any_event = lambda event: None  # type: ignore[method-assign]  # noqa: ARG005
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.follow(lambda: story.watcher.states()[story.out][0] == "polling")
    assert "network volumes" in story.watcher.states()[story.out][1]
    del listener._bell.on_any_event
    made.kohya_file(story.out / "punk-000002.safetensors", 2)
    story.follow(lambda: story.watcher.states()[story.out][0] == "live")
    story.follow(lambda: len(story.admitted) == 2)


def test_a_dead_emitter_is_replaced(story: Story) -> None:
    """The observer says that it lives although its emitter has died; the next scan mends it."""
    observer = story.watcher._listeners[story.out]._observer
    assert observer is not None
    emitter: EventEmitter = next(iter(observer.emitters))
    emitter.stop()
    emitter.join(120)
    assert observer.is_alive()
    story.scan()
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.hear()


def test_no_events_to_be_had_means_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no watches left the folder is looked through instead."""

    def no_watch_left(*_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.inotify.InotifyEmitter.on_thread_start", no_watch_left)
    monkeypatch.setattr("watchdog.observers.api.EventEmitter.start", no_watch_left)
    story = Story(tmp_path)
    story.watcher.start()
    made.kohya_file(story.out / "punk-000001.safetensors")
    story.settle()
    state, reason = story.watcher.states()[story.out]
    assert state == "polling"
    assert "watch limit" in reason
    assert len(story.admitted) == 1
    story.watcher.stop()


def test_waiting_ends_when_the_watcher_is_stopped(story: Story) -> None:
    """A shutdown does not have to sit out the time."""
    threading.Timer(0.1, story.watcher.stop).start()
    assert story.watcher.wait(600)
    assert stat.S_ISDIR(story.out.stat().st_mode)
