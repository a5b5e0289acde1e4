"""The spool: private copies that hold what they say, and a journal that survives."""

from __future__ import annotations

import hashlib
import os
import resource
import stat
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

import checkpoints_made as made
from core.errors import Fixable
from core.formats.checkpoint_file import Incomplete, Refused
from daemon import spool_files
from daemon.spool import Admitted, Blocked, Spool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Give an empty spool that asks for no free space."""
    return Spool(tmp_path / "spool", least_free=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Give a trainer's folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def admit(spool: Spool, path: Path) -> Admitted:
    """Take in a file that must be fine."""
    outcome = spool.admit(path, root=path.parent)
    assert isinstance(outcome, Admitted), outcome
    return outcome


def test_a_copy_is_private_verified_and_journaled(spool: Spool, out: Path) -> None:
    """The copy equals the source, is readable by its owner only, and has its entry."""
    source = made.kohya_file(out / "punk-000001.safetensors")
    admitted = admit(spool, source)
    assert admitted.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert admitted.body_sha256 == admitted.facts.body_sha256_claimed
    assert admitted.spool_path.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(admitted.spool_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert spool.path(admitted.sha256) == admitted.spool_path
    assert admitted.closed_at <= admitted.admitted_at
    assert admitted.admitted_at.tzinfo is not None


def test_the_journal_gives_back_what_was_entered(spool: Spool, out: Path) -> None:
    """A new process reads the same entry, facts and all."""
    admitted = admit(spool, made.kohya_file(out / "punk-000001.safetensors"))
    again = Spool(spool.folder)
    assert again.entry(admitted.sha256) == admitted
    assert again.pending() == [admitted]
    again.mark_registered(admitted.sha256)
    again.mark_registered(admitted.sha256)
    assert Spool(spool.folder).pending() == []


def test_the_same_content_is_entered_once(spool: Spool, out: Path) -> None:
    """A second name for the same bytes is answered, but is nothing fresh."""
    first = admit(spool, made.kohya_file(out / "a.safetensors"))
    second = admit(spool, made.kohya_file(out / "b.safetensors"))
    assert (first.fresh, second.fresh) == (True, False)
    assert first.sha256 == second.sha256
    assert len(spool.entries()) == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (made.kohya_bytes(1)[:-1], Incomplete),
        (made.preallocated(made.kohya_bytes(1)), Incomplete),
        (made.safetensors_bytes(made.base_tensors()), Refused),
    ],
)
def test_nothing_is_kept_of_what_is_not_admitted(
    spool: Spool, out: Path, data: bytes, kind: type
) -> None:
    """A file that fails leaves no copy, no entry and no temporary behind."""
    (out / "x.safetensors").write_bytes(data)
    assert isinstance(spool.admit(out / "x.safetensors", root=out), kind)
    assert [path.name for path in spool.folder.iterdir()] == ["spool.lock"]


def test_weights_that_are_not_finite_are_counted(spool: Spool, out: Path) -> None:
    """A diverged training is admitted with the count, for the worker to refuse by name."""
    tensors = made.kohya_tensors()
    name = next(name for name in tensors if name.endswith("lora_up.weight"))
    tensors[name] = made.filled(tensors[name][1], float("nan"))
    (out / "x.safetensors").write_bytes(made.safetensors_bytes(tensors))
    assert admit(spool, out / "x.safetensors").weights.not_finite == 320 * 4


def test_too_large_a_file_is_refused_before_it_is_copied(tmp_path: Path, out: Path) -> None:
    """The cap is in bytes of the file and says so in the sentence."""
    spool = Spool(tmp_path / "spool", least_free=0, largest=1000)
    outcome = spool.admit(made.kohya_file(out / "x.safetensors"), root=out)
    assert isinstance(outcome, Refused)
    assert "GB" in outcome.reason


def test_the_reserve_is_kept_free(tmp_path: Path, out: Path) -> None:
    """Without room above the reserve nothing is written, and a person is told what to do."""
    spool = Spool(tmp_path / "spool", least_free=1 << 60)
    outcome = spool.admit(made.kohya_file(out / "x.safetensors"), root=out)
    assert isinstance(outcome, Blocked)
    assert "Free some space" in outcome.reason


def test_a_disk_that_fills_up_blocks_and_leaves_nothing_half(
    tmp_path: Path, out: Path, spool: Spool
) -> None:
    """A real write error in the middle of the copy leaves no file under a final name."""
    made.kohya_file(out / "x.safetensors")
    program = textwrap.dedent(f"""
        import resource, signal
        from pathlib import Path
        from daemon.spool import Spool
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        out = Path({str(out)!r})
        print(type(Spool(Path({str(spool.folder)!r}), least_free=0)
            .admit(out / "x.safetensors", root=out)).__name__)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "Blocked", done.stderr
    assert [path.name for path in spool.folder.iterdir()] == ["spool.lock"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10_000
    admit(spool, out / "x.safetensors")


def test_a_start_removes_what_a_killed_process_left(spool: Spool, out: Path) -> None:
    """Half copies and copies without an entry go; what was entered stays."""
    admitted = admit(spool, made.kohya_file(out / "x.safetensors"))
    (spool.folder / "incoming-1.tmp").write_bytes(b"half")
    (spool.folder / f"{'0' * 64}.safetensors").write_bytes(b"no entry")
    again = Spool(spool.folder)
    assert sorted(path.suffix for path in again.folder.iterdir()) == [
        ".json",
        ".lock",
        ".safetensors",
    ]
    assert again.path(admitted.sha256) is not None
    assert again.path("0" * 64) is None


def test_a_broken_entry_is_no_entry(spool: Spool, out: Path) -> None:
    """A journal file that is no JSON is passed over instead of stopping the start."""
    (spool.folder / f"{'0' * 64}.json").write_text("{")
    admit(spool, made.kohya_file(out / "x.safetensors"))
    assert len(spool.entries()) == 1


def test_eviction_takes_the_oldest_that_is_finished(spool: Spool, out: Path) -> None:
    """Pinned and unregistered copies stay; the entry of an evicted one stays too."""
    taken = [
        admit(spool, made.kohya_file(out / f"p-00000{epoch}.safetensors", epoch))
        for epoch in range(1, 5)
    ]
    for admitted in taken[:3]:
        spool.mark_registered(admitted.sha256)
    removed = spool.evict({taken[0].sha256}, cap_bytes=sum(each.size for each in taken[:2]))
    assert removed == [taken[1].sha256, taken[2].sha256]
    assert spool.path(taken[1].sha256) is None
    assert spool.entry(taken[1].sha256) is not None
    assert spool.path(taken[0].sha256) is not None
    assert spool.path(taken[3].sha256) is not None
    assert spool.evict(set(), cap_bytes=0) == [taken[0].sha256]


def test_an_evicted_copy_returns_when_its_file_is_taken_in_again(spool: Spool, out: Path) -> None:
    """Admitting the same file once more brings the copy back without calling it fresh."""
    source = made.kohya_file(out / "x.safetensors")
    admitted = admit(spool, source)
    spool.mark_registered(admitted.sha256)
    spool.evict(set(), cap_bytes=0)
    assert not admit(spool, source).fresh
    assert spool.path(admitted.sha256) is not None


def test_a_change_during_the_copy_is_caught(
    spool: Spool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that saves over its file while it is copied makes the copy void."""
    source = made.kohya_file(out / "x.safetensors", 1)
    real = spool_files.copy_and_hash

    def copy_then_resave(*arguments: object) -> tuple[str, str]:
        answer = real(*arguments)  # type: ignore[arg-type]
        made.kohya_file(source, 2)
        return answer

    monkeypatch.setattr("daemon.spool.copy_and_hash", copy_then_resave)
    outcome = spool.admit(source, root=out)
    assert isinstance(outcome, Incomplete)
    assert "changed while it was copied" in outcome.reason


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_or_replaced_during_the_copy_is_still_taken(
    spool: Spool,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    replaced: bool,
) -> None:
    """The open file stays whole although its name is gone or belongs to the next save."""
    source = made.kohya_file(out / "x.safetensors", 1)
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    real = spool_files.copy_and_hash

    def copy_while_it_goes(*arguments: object) -> tuple[str, str]:
        source.unlink()
        if replaced:
            made.kohya_file(source, 2)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("daemon.spool.copy_and_hash", copy_while_it_goes)
    assert admit(spool, source).sha256 == before


def test_a_pipe_neither_blocks_nor_is_read(spool: Spool, out: Path) -> None:
    """A named pipe with a checkpoint's name is an error at once, not a wait for ever."""
    os.mkfifo(out / "x.safetensors")
    with pytest.raises(OSError, match="not a regular file"):
        spool.admit(out / "x.safetensors", root=out)


def test_a_spool_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    """A file in the place of the folder is a sentence for a person."""
    (tmp_path / "spool").write_text("")
    with pytest.raises(Fixable, match="EPOCHWATCH_HOME"):
        Spool(tmp_path / "spool")


def test_a_killed_process_leaves_only_whole_copies(tmp_path: Path, out: Path) -> None:
    """Killed at any moment of its work, the spool holds nothing that is not what its name says."""
    for epoch in range(1, 41):
        made.kohya_file(out / f"punk-{epoch:06d}.safetensors", epoch)
    program = textwrap.dedent(f"""
        from pathlib import Path
        from daemon.spool import Spool
        spool = Spool(Path({str(tmp_path / "spool")!r}), least_free=0)
        print("ready", flush=True)
        for path in sorted(Path({str(out)!r}).iterdir()):
            spool.admit(path, root=path.parent)
        print("all", flush=True)
    """)
    for delay in (0.0, 0.01, 0.03):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        spool = Spool(tmp_path / "spool", least_free=0)
        for entry in spool.entries():
            data = entry.spool_path.read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry.sha256 == entry.spool_path.stem
    assert len({admit(spool, path).sha256 for path in out.iterdir()}) == 40
