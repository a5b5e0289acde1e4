"""Drawing beside a trainer: whatever the numbers, what was the trainer's stays the trainer's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rules.beside import (
    GIB,
    NOBODY,
    SQUEEZES,
    Need,
    Room,
    Rung,
    as_gib,
    decide,
    estimate,
    has_improved,
    lower,
    pause,
)

AMOUNTS = st.integers(min_value=0, max_value=160 * GIB)
MODES = st.sampled_from(["auto", "share", "wait", "cpu"])
RUNGS = st.builds(
    Rung,
    batch=st.none() | st.integers(1, 16),
    squeeze=st.sampled_from(SQUEEZES),
    pauses=st.integers(0, 5),
)
SD15 = estimate(
    {"unet": 860_000_000, "text": 123_000_000, "vae": 84_000_000},
    pixels=512 * 512,
    value_bytes=2,
    overhead=GIB // 2,
)
L4 = Room(total=24 * GIB, free=24 * GIB)


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    """Any device whose parts do not add up to more than it has."""
    total = draw(st.integers(GIB, 160 * GIB))
    free = draw(st.integers(0, total))
    ours = draw(st.integers(0, total - free))
    peak = draw(st.integers(0, total))
    return Room(total=total, free=free, ours=ours, peak=peak, on_gpu=draw(st.booleans()))


@st.composite
def needs(draw: st.DrawFn) -> Need:
    """Any need; offloading never takes more than staying."""
    resident = draw(st.integers(1, 60 * GIB))
    return Need(
        resident=resident,
        offloaded=draw(st.integers(0, resident)),
        image=draw(st.integers(1, 8 * GIB)),
        decoding=draw(st.integers(0, 8 * GIB)),
    )


@given(MODES, rooms(), needs(), st.integers(1, 16), st.none() | AMOUNTS, RUNGS)
def test_a_drawing_never_plans_with_what_others_had(mode, room, need, most, cap, rung):  # noqa: ANN001, ANN201
    """What is drawn fits beside the others' peak, within the cap, and no richer than was learned."""
    found = decide(mode, room, need, most=most, cap=cap, rung=rung)
    if found.action != "draw":
        assert found.reason
        assert found.action == "cpu" or found.seconds >= 30
        return
    batch = found.rung.batch
    assert batch is not None
    assert 1 <= batch <= min(most, rung.batch or most)
    assert SQUEEZES.index(found.rung.squeeze) >= SQUEEZES.index(rung.squeeze)
    taken = need.of(batch, found.rung.squeeze)
    assert taken + room.others_at_most + room.reserve <= room.total
    assert cap is None or taken <= cap
    if room.on_gpu:
        assert found.limit is not None
        assert taken <= found.limit <= room.total - room.others_at_most - room.reserve


@given(rooms(), needs(), st.integers(1, 16), RUNGS, AMOUNTS)
def test_more_free_memory_never_makes_it_wait(room, need, most, rung, more):  # noqa: ANN001, ANN201
    """Room only helps: what is drawn stays drawn, with no fewer images at once."""
    roomier = replace(
        room, free=min(room.total - room.ours, room.free + more), peak=max(0, room.peak - more)
    )
    for mode in ("auto", "wait"):
        before = decide(mode, room, need, most=most, rung=rung)
        after = decide(mode, roomier, need, most=most, rung=rung)
        if before.action == "draw":
            assert after.action == "draw"
            assert (after.rung.batch or 0) >= (before.rung.batch or 0)


@given(rooms(), needs(), st.integers(1, 16), RUNGS, AMOUNTS, AMOUNTS)
def test_a_smaller_cap_never_draws_more(room, need, most, rung, one, other):  # noqa: ANN001, ANN201
    """The cap is the user's word."""
    small, large = sorted((one, other))
    less = decide("auto", room, need, most=most, cap=small, rung=rung)
    more = decide("auto", room, need, most=most, cap=large, rung=rung)
    if less.action == "draw":
        assert more.action == "draw"
        assert (less.rung.batch or 0) <= (more.rung.batch or 0)


@given(rooms(), needs(), RUNGS)
def test_wait_never_draws_in_company(room, need, rung):  # noqa: ANN001, ANN201
    """While another program is at work on the GPU, or was a moment ago, nothing is drawn."""
    found = decide("wait", room, need, most=8, rung=rung)
    if room.on_gpu and room.others_at_most > NOBODY:
        assert found.action == "wait"


@given(rooms(), needs(), RUNGS)
def test_auto_shares_whenever_sharing_fits(room, need, rung):  # noqa: ANN001, ANN201
    """When nothing is set, what can be shared is shared; the CPU is used by request only."""
    share = decide("share", room, need, most=8, rung=rung)
    auto = decide("auto", room, need, most=8, rung=rung)
    assert auto.action in {"draw", "wait"}
    if share.action == "draw":
        assert auto == share


@given(RUNGS, st.booleans(), st.none() | st.integers(1, 16))
def test_the_ladder_only_goes_down_and_ends_in_pauses(rung, on_gpu, drawn):  # noqa: ANN001, ANN201
    """Each step takes less than the one before, until only waiting is left."""
    start = replace(rung, squeeze=rung.squeeze if on_gpu else "none")
    for _ in range(12):
        below = lower(start, drawn=drawn, on_gpu=on_gpu)
        assert below != start
        assert SQUEEZES.index(below.squeeze) >= SQUEEZES.index(start.squeeze)
        assert (below.batch or 99) <= (start.batch or 99)
        assert below.pauses >= start.pauses
        assert on_gpu or below.squeeze != "offloaded"
        start, drawn = below, None if drawn is None else below.batch
    assert start.pauses > rung.pauses


@given(needs(), st.integers(1, 16), st.integers(1, 60 * GIB), st.integers(0, 60 * GIB))
def test_what_was_measured_is_believed(need, batch, resident, more):  # noqa: ANN001, ANN201
    """After a job, the need for the same job is what it took, up to the rounding of a division."""
    found = need.measured(resident=resident, peak=resident + more, batch=batch, squeeze="none")
    assert abs(found.of(batch, "none") - resident - more) <= batch
    assert found.image >= 1
    assert found.decoding >= 0


def test_the_ladder_is_the_documented_one() -> None:
    """8, 4, 2, 1 images, one in slices, one with the model offloaded, then growing pauses."""
    rung, seen = Rung(), []
    for _ in range(8):
        drawn = rung.batch or 8
        rung = lower(rung, drawn=drawn, on_gpu=True)
        seen.append((rung.batch, rung.squeeze, rung.pauses))
    assert seen == [
        (4, "none", 0),
        (2, "none", 0),
        (1, "none", 0),
        (1, "sliced", 0),
        (1, "offloaded", 0),
        (1, "offloaded", 1),
        (1, "offloaded", 2),
        (1, "offloaded", 3),
    ]
    assert [pause(Rung(pauses=n)) for n in range(8)] == [30, 30, 60, 120, 240, 480, 600, 600]
    assert lower(Rung(), drawn=None, on_gpu=True) == Rung(batch=1, squeeze="offloaded")


@pytest.mark.parametrize(
    ("peak", "batch", "squeeze"),
    [(0, 8, "none"), (15, 4, "none"), (17, 1, "none"), (20, 1, "offloaded")],
)
def test_sd15_beside_a_trainer_on_24_gib(peak: int, batch: int, squeeze: str) -> None:
    """The more the trainer takes, the fewer at once."""
    room = replace(L4, free=(24 - peak) * GIB, peak=peak * GIB)
    found = decide("auto", room, SD15, most=8, rung=Rung())
    assert (found.action, found.rung.batch, found.rung.squeeze) == ("draw", batch, squeeze)


def test_a_trainer_that_takes_all_makes_the_advice_wait() -> None:
    """The reason says what is needed, what is taken, what is shown meanwhile, and what to do."""
    room = replace(L4, free=GIB, peak=int(22.5 * GIB))
    found = decide("auto", room, SD15, most=8, rung=Rung())
    assert found.action == "wait"
    assert found.reason.startswith("Advice only after training: ")
    for word in ("23.0 GiB", "24.0 GiB", "trainer's own samples", "EPOCHWATCH_BESIDE=cpu"):
        assert word in found.reason


def test_share_ends_on_the_cpu_and_auto_does_not() -> None:
    """After three pauses on the lowest step; images of another device are not made unasked."""
    worn = Rung(batch=1, squeeze="offloaded", pauses=3)
    assert decide("share", L4, SD15, most=8, rung=worn).action == "cpu"
    assert decide("auto", L4, SD15, most=8, rung=worn).action == "draw"


def test_a_device_that_is_too_small_is_said_to_be() -> None:
    """No training has to end for that: it never fits."""
    found = decide("auto", Room(total=2 * GIB, free=2 * GIB), SD15, most=8, rung=Rung())
    assert (found.action, found.seconds) == ("wait", 600)
    assert "2.0 GiB in all" in found.reason
    assert "training" not in found.reason
    capped = decide("auto", L4, SD15, most=8, cap=GIB, rung=Rung())
    assert "EPOCHWATCH_MEMORY_CAP allows 1.0 GiB" in capped.reason


def test_nothing_known_means_trying() -> None:
    """A machine that cannot say what is free draws, as far as it was not taught otherwise."""
    found = decide("auto", None, SD15, most=8, cap=GIB, rung=Rung(batch=2, squeeze="sliced"))
    assert (found.action, found.rung, found.limit) == (
        "draw",
        Rung(batch=2, squeeze="sliced"),
        GIB,
    )


def test_a_lesson_is_forgotten_when_a_lot_more_is_free() -> None:
    """A trainer that ended, not one that breathes."""
    tight = replace(L4, free=6 * GIB, peak=18 * GIB)
    assert not has_improved(tight, replace(tight, peak=int(17.8 * GIB), free=int(6.2 * GIB)))
    assert has_improved(tight, L4)
    assert not has_improved(None, L4)


def test_amounts_read_well() -> None:
    """A tiny model does not need "0.0 GiB"."""
    assert as_gib(int(22.5 * GIB)) == "22.5 GiB"
    assert as_gib(60 << 20) == "60 MiB"
