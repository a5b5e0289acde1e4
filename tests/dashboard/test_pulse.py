"""One look at the database serves every browser, and nobody looks when nobody watches."""

from __future__ import annotations

import asyncio

from dashboard.link import Away
from dashboard.pulse import Pulse


def test_many_listeners_share_one_look_and_the_last_one_ends_it() -> None:
    """Ten browsers cost what one costs, and none costs nothing."""
    state = {"n": 1}
    pulse = Pulse(lambda: state["n"], every=0.02)

    async def story() -> tuple[list[list[str]], int, int]:
        async def hear(count: int) -> list[str]:
            heard = []
            stream = pulse.listen()
            async for each in stream:
                heard.append(each)
                if len(heard) == count:
                    break
            await stream.aclose()
            return heard

        tasks = [asyncio.create_task(hear(2)) for _ in range(10)]
        await asyncio.sleep(0.1)
        state["n"] = 2
        heard = await asyncio.gather(*tasks)
        await asyncio.sleep(0.1)
        before = pulse.looks
        await asyncio.sleep(0.1)
        return list(heard), before, pulse.looks

    heard, before, after = asyncio.run(story())
    assert heard == [["1", "2"]] * 10
    assert before == after < 15


def test_an_outage_is_a_state_like_any_other() -> None:
    """Browsers hear that the database is away."""

    def gone() -> int:
        raise Away

    async def first() -> str:
        async for each in Pulse(gone, every=0.01).listen():
            return each
        raise AssertionError

    assert asyncio.run(first()) == "away"
