"""When a machine may be left: nothing missing, and what was not seen counts as missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.rules.leaving import Kept, Machine, Seen, missing

POD = Machine(name="pod", state="watching", silent_seconds=1, outbox=0, root="live")
SAFE = Seen(
    status="completed",
    blocked=None,
    checkpoints=10,
    has_final=True,
    untested=(),
    unsettled=(),
    open_tests=0,
    open_retests=0,
    open_others=0,
    is_judged=True,
    trainers=(("ended", 30.0),),
    machines=(POD,),
    pending=(),
    kept=(Kept(name="epoch 7, the pick", stored=True, readable=True),),
    has_pick=True,
)


def test_when_all_is_safe_nothing_is_missing() -> None:
    """The one case in which the command may run."""
    assert missing(SAFE) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checkpoints": 0}, "No checkpoint"),
        ({"trainers": (("training", 3.0),)}, "still running"),
        ({"status": "in_progress", "has_final": False, "trainers": ()}, "has not ended"),
        (
            {"status": "in_progress", "has_final": False, "trainers": (("training", 600.0),)},
            "not heard of for 10 min",
        ),
        ({"untested": ("epoch 10",)}, "epoch 10"),
        ({"unsettled": ("punk.safetensors",)}, "punk.safetensors is still being written"),
        ({"blocked": "No base model."}, "No base model"),
        ({"open_tests": 1}, "1 tests"),
        ({"open_retests": 2}, "second look"),
        ({"open_others": 1}, "somebody asked for"),
        ({"is_judged": False}, "not judged"),
        ({"has_pick": False, "kept": ()}, "save the files yourself"),
        ({"machines": ()}, "No machine"),
        ({"machines": (replace(POD, silent_seconds=60),)}, "not at work"),
        ({"machines": (replace(POD, state="stopped"),)}, "not at work"),
        ({"machines": (replace(POD, outbox=3),)}, "3 images"),
        ({"machines": (replace(POD, outbox=None),)}, "did not say"),
        ({"machines": (replace(POD, root="root-missing"),)}, "does not see"),
        ({"machines": (replace(POD, root=None),)}, "does not see"),
        ({"pending": ("an alert",)}, "an alert"),
        ({"kept": (Kept(name="epoch 7, the pick", stored=False, trouble="no space"),)}, "no space"),
        (
            {"kept": (Kept(name="epoch 7, the pick", stored=True, readable=False),)},
            "not found in the store",
        ),
    ],
)
def test_each_thing_that_is_missing_is_named(change: dict[str, Any], words: str) -> None:
    """One sentence for one gap."""
    [line] = missing(replace(SAFE, **change))
    assert words in line


def test_a_wrapped_trainer_that_ended_needs_no_last_file() -> None:
    """A stopped trainer writes none, and the run stays in progress."""
    stopped = replace(
        SAFE, status="in_progress", has_final=False, trainers=(("stopped", 5.0), ("training", 9e4))
    )
    assert missing(stopped) == ()
