"""B5: CPU-seconds of `measure` against plain loops over pixels, in the same run on the same pictures.

Ends with 1 where the loops with CIEDE2000 take less than 50 times as long at 512 pixels.

make bench WHICH=metrics
make bench WHICH=metrics ARGS="--images 7"
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.formats.prompt_text import expectation_from_text
from core.metrics import measure, shrink_to_cells
from core.nouns import Expectation
from daemon.demo.sprites import caption, draw, random_look, random_variation
from tests.bench.bars import hold
from tests.bench.pixel_loops import Distance, loops, plain_rgb, sharma
from tests.helpers.pictures import enlarged, noisy

SEED = 51_000  # no sprite of the training set or of any tuning
SIZES = (24, 512)
WANTED = 50  # times, at 512 pixels; at 24 the fixed cost of many small steps decides
BASELINES: dict[str, Distance] = {"CIEDE2000": sharma, "RGB distance": plain_rgb}
Pixels = NDArray[np.uint8]


def main() -> None:
    """Time both on every picture, one after the other, print medians as JSON, and hold the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5, help="pictures a size")
    parser.add_argument("--sigma", type=float, default=4.0, help="noise, as a decoder leaves it")
    wanted = parser.parse_args()
    found = {f"{size} px": _compare(_pictures(size, wanted.images, wanted.sigma)) for size in SIZES}
    print(json.dumps(found, indent=2))
    hold(bars(found))


def bars(found: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return what must be reached, by its words, and whether it was."""
    ratio = found["512 px"]["loops with CIEDE2000"]["ratio"]
    return {f"{WANTED} times as fast as CIEDE2000 in loops at 512 px ({ratio})": ratio >= WANTED}


def _pictures(size: int, count: int, sigma: float) -> list[tuple[Pixels, Expectation]]:
    dice = random.Random(SEED)
    looks = [(random_look(dice), random_variation(dice)) for _ in range(count)]
    large = [noisy(enlarged(draw(look, how), max(SIZES)), sigma) for look, how in looks]
    expects = [expectation_from_text(caption(look)) for look, _ in looks]
    # the small picture is the one that is shipped: a pixel for each cell of the large one
    pixels = large if size == max(SIZES) else [shrink_to_cells(one, size) for one in large]
    return list(zip(pixels, expects, strict=True))


def _compare(pictures: list[tuple[Pixels, Expectation]]) -> dict[str, Any]:
    """Return milliseconds and ratios; ours and the loops take turns on each picture."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in BASELINES}
    for pixels, expect in pictures:
        measure(pixels, expect=expect, grid=24)  # what is worked out once a process is not timed
        measured, seconds = _timed(lambda p=pixels, e=expect: measure(p, expect=e, grid=24), 5)
        ours.append(seconds)
        for name, distance in BASELINES.items():
            told, seconds = _timed(lambda p=pixels, e=expect, d=distance: loops(p, e, d), 1)
            theirs[name].append(seconds)
            _same_answer(told["background_match"], measured.metrics["background_match"].value)
    return {
        "pictures": len(pictures),
        "measure_ms": _milliseconds(ours),
        **{
            f"loops with {name}": {
                "ms": _milliseconds(seconds),
                "ratio": round(median(b / a for a, b in zip(ours, seconds, strict=True)), 1),
            }
            for name, seconds in theirs.items()
        },
    }


def _timed(act: Callable[[], Any], times: int) -> tuple[Any, float]:
    """Return the result and the median CPU-seconds of this process."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        result = act()
        spent.append(time.process_time() - start)
    return result, median(spent)


def _milliseconds(seconds: list[float]) -> float:
    return round(1000 * median(seconds), 2)


def _same_answer(theirs: float, ours: float | None) -> None:
    """Refuse a speed that comes from answering another question."""
    if ours is None or abs(theirs - ours) > 5:
        raise SystemExit(f"background: loops say {theirs:.1f} %, measure says {ours}")


if __name__ == "__main__":
    main()
