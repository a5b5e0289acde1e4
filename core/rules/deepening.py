"""Where spare images tell most: the epochs that may be the best get more prompts, the others none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STEP = 3  # prompts added to an epoch before the chances are looked at again
WIDTH = 3  # epochs that are deepened at a time


def retest_wishes(
    p_best: Mapping[int, float],
    depths: Mapping[int, int],
    *,
    spare: int,
    full: int,
    width: int = WIDTH,
    step: int = STEP,
) -> dict[int, int]:
    """Return the prompts that the likeliest best positions should be tested with next.

    ``p_best`` is the chance of each tested position to be the best, ``depths`` the number of
    prompts it was tested with, ``spare`` the images left to spend and ``full`` the number of
    prompts of the whole suite. The likeliest ``width`` positions that are not tested in full get
    up to ``step`` prompts more each, the likelier first; prompts are nested, so that a depth says
    which. Empty when nothing is left to spend or to learn. Ask again with the new chances:
    top-two sampling (Russo 2020), with one position more since neighbors are much alike.
    """
    open_ = [at for at in p_best if p_best[at] > 0 and depths[at] < full]
    wishes: dict[int, int] = {}
    for position in sorted(open_, key=lambda at: (-p_best[at], at))[:width]:
        more = min(step, full - depths[position], spare)
        if more > 0:
            wishes[position] = depths[position] + more
            spare -= more
    return wishes
