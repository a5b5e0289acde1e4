"""B5: CPU-seconds a picture of `measure_many` and `measure` against plain loops, in the same run.

Two peers: loops that answer all that `measure` does, whose every number must be the same; and what
the owner's documents describe, which is less. Ends with 1 below 100 times the first at 24 pixels,
and below 50 times the second at 512.

make bench WHICH=metrics
make bench WHICH=metrics ARGS="--n 16 --loops 3"
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.formats.prompt_text import expectation_from_text
from core.metrics import measure, measure_many, shrink_to_cells
from core.nouns import Expectation, Measurement
from daemon.demo.sprites import caption, draw, random_look, random_variation
from tests.bench.bars import hold
from tests.bench.pixel_loops import CIEDE2000, RGB, ciede2000, loops
from tests.bench.same_loops import same_loops, shade_of
from tests.helpers.pictures import enlarged, noisy

SEED = 51_000  # no sprite of the training set or of any tuning
GRID, LARGE = 24, 512
SAME, OWNERS = "same work", "owner's scripts, CIEDE2000"
BARS = {"24 px": (SAME, "measure_many", 100), "512 px": (OWNERS, "measure", 50)}
AS_NEAR = {"edge_sharpness": 0.02, "grid_alignment": 2e-3, "style_quality": 0.1}  # float32, ties
_SCORES = ("visual_quality", "prompt_adherence", "background_hex")
Pixels = NDArray[np.uint8]
Asked = list[tuple[Pixels, Expectation]]
Peer = Callable[[Pixels, Expectation], Mapping[str, Any]]

PEERS: dict[str, Peer] = {
    SAME: lambda pixels, expect: same_loops(pixels, expect, GRID),
    "same work, remembering every color and pair": lambda pixels, expect: same_loops(
        pixels, expect, GRID, cache(ciede2000), cache(shade_of)
    ),
    OWNERS: lambda pixels, expect: loops(pixels, expect, CIEDE2000),
    "owner's scripts, RGB distance": lambda pixels, expect: loops(pixels, expect, RGB),
}


def main() -> None:
    """Time all on the same pictures, taking turns, print figures as JSON, and hold the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=512, help="pictures of 24 pixels, at once")
    parser.add_argument("--large", type=int, default=16, help="pictures of 512 pixels, at once")
    parser.add_argument("--loops", type=int, default=16, help="of each that the loops measure")
    parser.add_argument("--sigma", type=float, default=4.0, help="noise, as a decoder leaves it")
    wanted = parser.parse_args()
    large = _pictures(max(wanted.n, wanted.large), wanted.sigma)
    small = [(shrink_to_cells(pixels(), GRID), expect) for pixels, expect in large[: wanted.n]]
    large_ones = [(pixels(), expect) for pixels, expect in large[: wanted.large]]
    found: dict[str, Any] = {"load": os.getloadavg()[0], "processors": os.cpu_count()}
    found["24 px"] = _compare(small, wanted.loops)
    found["512 px"] = _compare(large_ones, min(wanted.loops, 3))
    print(json.dumps(found, indent=2))
    hold(bars(found))


def bars(found: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return what must be reached, by its words, and whether it was."""
    held = {}
    for size, (peer, ours, times) in BARS.items():
        ratio = found[size][peer][f"times {ours}"]
        held[f"{times} times as fast as {peer} in loops at {size} ({ratio})"] = ratio >= times
    return held


def _pictures(count: int, sigma: float) -> list[tuple[Callable[[], Pixels], Expectation]]:
    """Return sprites with noise of their own, drawn when asked for."""
    dice = random.Random(SEED)
    looks = [(random_look(dice), random_variation(dice)) for _ in range(count)]

    def drawn(at: int) -> Pixels:
        return noisy(enlarged(draw(*looks[at]), LARGE), sigma, seed=at)

    return [
        (lambda at=at: drawn(at), expectation_from_text(caption(look)))
        for at, (look, _) in enumerate(looks)
    ]


def _compare(asked: Asked, by_loops: int) -> dict[str, Any]:
    """Return milliseconds a picture and ratios; ours and the loops take turns."""
    _all_at_once(asked[:2])  # what is worked out once a process is not timed
    many: list[float] = []
    one: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    for pixels, expect in asked[:by_loops]:
        many.append(_timed(lambda: _all_at_once(asked))[1] / len(asked))
        measured, seconds = _timed(lambda p=pixels, e=expect: measure(p, expect=e, grid=GRID))
        one.append(seconds)
        for name, peer in PEERS.items():
            told, seconds = _timed(lambda p=pixels, e=expect, by=peer: by(p, e))
            theirs[name].append(seconds)
            if name.startswith(SAME):
                _same_answers(told, measured)
    return {
        "pictures at once": len(asked),
        "measure_many_ms": _milliseconds(many),
        "measure_ms": _milliseconds(one),
        **{
            name: {
                "ms": _milliseconds(seconds),
                "times measure_many": _ratio(seconds, many),
                "times measure": _ratio(seconds, one),
            }
            for name, seconds in theirs.items()
        },
    }


def _all_at_once(asked: Asked) -> list[Measurement]:
    pictures, expects = zip(*asked, strict=True)
    return measure_many(pictures, expects=expects, grid=GRID)


def _timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the CPU-seconds of this process, each paying for its own garbage only."""
    gc.collect()
    gc.freeze()
    start = time.process_time()
    result = act()
    return result, time.process_time() - start


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * mean(seconds), 2)


def _ratio(theirs: list[float], ours: list[float]) -> float:
    """Return how many times as long theirs took for a picture, on the mean."""
    return round(mean(theirs) / mean(ours), 1)


def _same_answers(told: Mapping[str, Any], measured: Measurement) -> None:
    """Refuse a speed that comes from answering another question, or fewer."""
    values = {name: metric.value for name, metric in measured.metrics.items()}
    values |= {name: getattr(measured, name) for name in _SCORES}
    values["palette_size"] = None if told["unique_colors"] == values["palette_size"] else -1.0
    for name, ours in values.items():
        theirs = told.get(name)
        near = (
            abs(theirs - ours) <= AS_NEAR.get(name, 1e-6)
            if isinstance(theirs, float | int) and isinstance(ours, float | int)
            else theirs == ours
        )
        if not near:
            raise SystemExit(f"{name}: the loops say {theirs}, measure says {ours}")


if __name__ == "__main__":
    main()
