"""One look at the database serves every browser, and nobody looks when nobody watches."""

from __future__ import annotations

import asyncio
import itertools

from dashboard.link import Away
from dashboard.pulse import Pulse


def test_many_listeners_share_one_look_and_the_last_one_ends_it() -> None:
    """Ten browsers cost what one costs, and none costs nothing."""
    states = itertools.count(1)  # another one at each look
    pulse = Pulse(lambda: next(states), every=0.02)

    async def hear() -> list[str]:
        stream = pulse.listen()
        heard = [await anext(stream) for _ in range(3)]
        await stream.aclose()
        return heard

    async def story() -> list[list[str]]:
        heard = await asyncio.gather(*(hear() for _ in range(10)))
        looking = pulse._task
        assert looking is not None
        await looking  # it ends by itself
        return list(heard)

    assert asyncio.run(story()) == [["1", "2", "3"]] * 10
    assert pulse.looks < 10  # a loop that is held up may look once more before it knows they left


def test_an_outage_is_a_state_like_any_other() -> None:
    """Browsers hear that the database is away."""

    def gone() -> int:
        raise Away

    async def first() -> str:
        async for each in Pulse(gone, every=0.01).listen():
            return each
        raise AssertionError

    assert asyncio.run(first()) == "away"
