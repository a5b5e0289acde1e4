"""How well things are seen on sprites that no probe was fitted to; prints Markdown.

python -m tests.bench.probes       the table of docs/metrics.md, half a minute
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np

from core.formats.prompt_text import expectation_from_text
from core.metrics import learn_profile, shrink_to_cells
from core.metrics.proof import Proof, prove
from core.metrics.things import SEEN
from core.nouns import Expectation
from daemon.demo.sprites import (
    DATASET_SEED,
    Look,
    caption,
    draw,
    random_look,
    random_variation,
    training_set,
)
from tests.helpers.pictures import Bytes, blurred, enlarged, noisy

SEED = 61_000  # no sprite of the training set
THINGS = ("crown", "sunglasses", "necklace", "smile", "neutral")


def _through(pixels: Bytes) -> Bytes:
    return shrink_to_cells(pixels, 24)


DAMAGES: Mapping[str, Callable[[Bytes], Bytes]] = {
    "clean": lambda cells: cells,
    "noise of 30 levels": lambda cells: _through(noisy(enlarged(cells, 96), 30)),
    "blur of half a cell": lambda cells: _through(blurred(enlarged(cells, 96), 2)),
    "one cell to the side": lambda cells: np.roll(cells, 1, axis=1),
    "one cell down": lambda cells: np.roll(cells, 1, axis=0),
}


def held_out(count: int) -> list[tuple[Look, Bytes]]:
    """Return sprites of another seed than the training set's."""
    dice = random.Random(SEED)
    looks = [(random_look(dice), random_variation(dice)) for _ in range(count)]
    return [(look, draw(look, how)) for look, how in looks]


def shows(look: Look, thing: str) -> bool:
    """Return whether a sprite was drawn with a thing or an expression."""
    return thing in (look.accessory, look.expression)


def demo_captions() -> tuple[list[Bytes], list[Expectation]]:
    """Return the demo's 203 training images and what their captions say."""
    drawn = training_set(203, DATASET_SEED)
    return [draw(*one) for one in drawn], [expectation_from_text(caption(one)) for one, _ in drawn]


def judged(count: int = 200) -> dict[str, dict[str, tuple[Proof, float, float]]]:
    """Return for each thing and damage: held-out AUC, share of hits, share of false sightings."""
    profile = learn_profile(*demo_captions(), 24)
    sprites = held_out(count)
    found: dict[str, dict[str, tuple[Proof, float, float]]] = {}
    for thing in THINGS:
        probe = profile.probe(thing)
        assert probe
        assert probe.proof
        found[thing] = {"left out of the fit": (probe.proof, float("nan"), float("nan"))}
        truth = np.array([shows(look, thing) for look, _ in sprites])
        for damage, spoil in DAMAGES.items():
            points = np.array([probe.points(spoil(cells)) for _, cells in sprites], dtype=float)
            seen = points >= SEEN
            found[thing][damage] = (
                prove(points[truth], points[~truth]),
                float(seen[truth].mean()),
                float(seen[~truth].mean()),
            )
    return found


def table() -> str:
    """Return all of it as a Markdown table."""
    lines = ["| thing | on | AUC (95 % interval) | seen where it is | seen where it is not |"]
    lines.append("|---|---|---|---|---|")
    for thing, rows in judged().items():
        for damage, (proof, hits, false) in rows.items():
            shares = ["-" if np.isnan(share) else f"{100 * share:.0f} %" for share in (hits, false)]
            lines.append(
                f"| {thing} | {damage} | {proof.auc:.2f} ({proof.low:.2f} to {proof.high:.2f}) "
                f"| {shares[0]} | {shares[1]} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
