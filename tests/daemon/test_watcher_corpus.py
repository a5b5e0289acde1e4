"""Every bad file ends in its state, with a sentence that names it; no payload ever runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints_made as made
from daemon.roots import is_network_volume
from daemon.spool import Spool
from daemon.watcher import Patience, Sighting, Watcher

CORPUS = made.bad_corpus(Path("marker"))


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sighting]:
    """Put all of them into one folder and give each one's last sighting."""
    folder = tmp_path_factory.mktemp("corpus")
    out = folder / "out"
    out.mkdir()
    for name, (data, _, _) in made.bad_corpus(folder / "marker").items():
        (out / f"{name}.safetensors").write_bytes(data)
    (out / "renamed.ckpt").write_bytes(made.pickle_bomb(folder / "marker"))
    now = [0.0]
    watcher = Watcher(
        [out],
        Spool(folder / "spool", least_free=0),
        quiet_seconds=0.2,
        patience=Patience(second_look=0.05, deadline=0.5, recheck=0.1),
        clock=lambda: now[0],
    )
    last: dict[str, Sighting] = {}
    while not last or watcher.unsettled():
        last |= {Path(each.path).stem: each for each in watcher.scan().sightings}
        now[0] += 0.1
    assert not (folder / "marker").exists(), "a pickle was loaded"
    return last


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_a_bad_file_ends_in_its_state(ends: dict[str, Sighting], name: str) -> None:
    """The table of the corpus holds for each of its files."""
    _, state, words = CORPUS[name]
    assert ends[name].state == state, ends[name].reason
    assert words in ends[name].reason
    assert (ends[name].sha256 is not None) == (state == "admitted")


def test_a_pickle_is_refused_by_its_name(ends: dict[str, Sighting]) -> None:
    """A .ckpt is not even opened."""
    assert ends["renamed"].state == "refused"
    assert "never opened" in ends["renamed"].reason


def test_each_sentence_is_one_for_a_person(ends: dict[str, Sighting]) -> None:
    """What it is, what it means, what to do: sentences that end, of a readable length."""
    for sighting in ends.values():
        assert sighting.reason.endswith("."), sighting.reason
        assert 20 < len(sighting.reason) < 400, sighting.reason


MOUNTS = """\
1 0 8:1 / / rw - ext4 /dev/vda rw
2 1 0:5 / /workspace rw shared:1 - fuse mfs#eu:9421 rw
3 1 0:6 / /mnt/two\\040words rw - nfs4 host:/x rw
4 2 0:7 / /workspace/fast rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "network"),
    [
        ("/home/a", False),
        ("/workspace/output", True),
        ("/workspace/fast/out", False),
        ("/mnt/two words/out", True),
        ("/workspaces", False),
    ],
)
def test_a_network_volume_is_told_by_its_mount(folder: str, *, network: bool) -> None:
    """The innermost mount decides; FUSE counts as network."""
    assert is_network_volume(Path(folder), MOUNTS) is network
    assert not is_network_volume(Path(folder), "nonsense\n")
