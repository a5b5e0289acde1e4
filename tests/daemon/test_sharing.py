"""What a job is allowed beside a trainer, and what is learned when memory runs out all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.nouns import Recipe
from core.rules.beside import GIB, Decision, Rung
from core.settings import Settings
from daemon.memory_readings import Reading
from daemon.neighbors import Neighbors
from daemon.sharing import NoRoom, Sharing, manners, sharing_of, threads_of

BASE = "b" * 64


class Place:
    """A GPU of 24 GiB whose trainer, clock and answers are moved by hand; no model is read."""

    def __init__(self, tmp_path: Path, **manners: Any) -> None:
        """Begin with nobody there."""
        self.now, self.taken, self.folder = 0.0, 0, tmp_path
        neighbors = Neighbors(
            read=lambda: Reading(
                total=24 * GIB, free=24 * GIB - self.taken, name="L4", on_gpu=True
            ),
            our_pid=lambda: None,
            clock=lambda: self.now,
        )
        self.sharing = Sharing(neighbors=neighbors, clock=lambda: self.now, **manners)

    def begin(self) -> Decision:
        """Ask for eight images of the usual size."""
        return self.sharing.begin(self.folder, BASE, Recipe(), 8)

    def fail(self, drawn: int | None) -> None:
        """Let memory run out with so many images at once; None: while loading."""
        if drawn is not None:
            self.sharing.heard({"event": "loaded", "batch_shape": drawn})
        self.sharing.ran_out("Memory ran out.")


def test_memory_that_ran_out_is_a_lesson_until_there_is_more(tmp_path: Path) -> None:
    """Fewer at once, and so for the next job too; once the trainer is gone, as before."""
    place = Place(tmp_path)
    place.taken = 15 * GIB
    assert place.begin().rung == Rung(batch=8)
    place.fail(8)
    assert place.begin().rung == Rung(batch=4)
    place.fail(4)
    place.now += 600
    assert place.begin().rung == Rung(batch=2)
    place.taken, place.now = 0, place.now + 3
    place.sharing.neighbors.look()
    place.now += 61
    assert place.begin().rung == Rung(batch=8)


def test_the_end_of_the_ladder_is_waiting_longer_each_time(tmp_path: Path) -> None:
    """Nothing is tried before the pause is over, and the reason says that what is drawn is kept."""
    place = Place(tmp_path)
    place.begin()
    place.fail(None)
    pauses = []
    for _ in range(3):
        assert place.begin().rung.squeeze == "offloaded"
        with pytest.raises(NoRoom, match="What was drawn is kept") as caught:
            place.fail(1)
        pauses.append(caught.value.seconds)
        with pytest.raises(NoRoom):
            place.begin()
        place.now += caught.value.seconds
    assert pauses == [30, 60, 120]
    assert place.begin().action == "draw"


def test_share_goes_to_the_cpu_in_the_end(tmp_path: Path) -> None:
    """Who asked to share gets images while it trains, whatever it takes."""
    place = Place(tmp_path, mode="share")
    place.begin()
    place.fail(None)
    for _ in range(3):
        place.begin()
        with pytest.raises(NoRoom) as caught:
            place.fail(1)
        place.now += caught.value.seconds
    found = place.begin()
    assert (found.action, found.rung.batch) == ("cpu", 1)


def test_a_trainer_that_takes_all_is_waited_for(tmp_path: Path) -> None:
    """The tests begin when it has ended, not when it only breathes out."""
    place = Place(tmp_path)
    place.taken = 23 * GIB
    with pytest.raises(NoRoom, match=r"^Advice only after training: "):
        place.begin()
    place.taken, place.now = 0, 10.0
    with pytest.raises(NoRoom):
        place.begin()
    place.now = 71.0
    assert place.begin().action == "draw"


def test_others_that_grow_are_given_way(tmp_path: Path) -> None:
    """Less free than half the reserve: what was planned with is no longer there."""
    place = Place(tmp_path)
    found = place.begin()
    assert not place.sharing.must_give_way(found)
    place.taken = 24 * GIB - 100 * 2**20
    place.sharing.neighbors.look()
    assert place.sharing.must_give_way(found)
    assert not place.sharing.must_give_way(Decision(action="draw")), "another program's drawing"


def test_waiting_mode_stops_as_soon_as_company_comes(tmp_path: Path) -> None:
    """It draws alone, or not at all, and keeps nothing afterwards."""
    place = Place(tmp_path, mode="wait")
    found = place.begin()
    assert place.sharing.idle_seconds == 0
    place.sharing.heard({"event": "memory", "when": "loaded", "on": "cuda", "held": 4 * GIB})
    place.taken = 8 * GIB
    place.sharing.neighbors.look()
    assert place.sharing.must_give_way(found)
    with pytest.raises(NoRoom, match="EPOCHWATCH_BESIDE is wait"):
        place.begin()


def test_settings_become_manners(tmp_path: Path) -> None:
    """The cap is in GiB; on the CPU half the cores stay the trainer's."""
    settings = Settings(home=tmp_path, beside="cpu", memory_cap=1.5)
    sharing = sharing_of(settings, lambda: None)
    assert (sharing.mode, sharing.device, sharing.cap) == ("cpu", "cpu", 3 * GIB // 2)
    threads = threads_of(settings)
    assert threads is not None
    assert threads >= 1
    assert threads_of(Settings(home=tmp_path)) is None


def test_doctor_says_how_it_is_drawn_here(tmp_path: Path) -> None:
    """The mode, the cap, the device and what is free of it, in one line."""
    said = manners(Settings(home=tmp_path, beside="cpu", memory_cap=1.5))
    assert said.startswith("cpu: draws on the CPU, on half the cores, at most 1.5 GiB; ")
    assert "free" in said or "is known once it draws" in said
