"""What every plugged-in scorer answers to: it proves itself on the user's own captions, or is off.

Knows numbers and captions; the models live in a process of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.metrics.detector import Detector
from core.metrics.proof import Proof, prove

FEWEST = 15  # captioned images, or images a side
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a scorer has proved, and what it says of the images it was asked about."""

    name: str
    what: str  # "image and text", or "likeness"
    proof: Proof | None
    values: tuple[float, ...] | None  # one an image; None while it is off: no number, and never 0
    things: tuple[tuple[str, Detector], ...] = ()  # what captions name, asked for by name

    @property
    def why_off(self) -> str | None:
        """Why it does not count, or None when it does."""
        if self.proof is None:
            need = "captioned training images" if self.what != "likeness" else "images a side"
            return f"{FEWEST} {need} are needed for a proof"
        if not self.proof.holds:
            return f"it does not tell right from wrong on these images ({self.proof.said})"
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return {
            "scorer": self.name,
            "what": self.what,
            "proof": self.proof.as_json() if self.proof else None,
            "off": self.why_off,
            "values": list(self.values) if self.values is not None else None,
            "things": {
                name: {
                    "proof": each.proof.as_json() if each.proof else None,
                    "off": each.why_not,
                }
                for name, each in self.things
            },
        }


def proof_by_captions(similar: Floats, captions: Sequence[str]) -> Proof | None:
    """Return whether (n, n) likeness of image i to caption j is higher for an image's own.

    Each image is held against one other caption, the next that reads differently. None with fewer
    than 15 images that have another caption to be held against.
    """
    right, wrong = [], []
    for at, caption in enumerate(captions):
        later = [*range(at + 1, len(captions)), *range(at)]
        other = next((each for each in later if captions[each] != caption), None)
        if other is not None:
            right.append(float(similar[at, at]))
            wrong.append(float(similar[at, other]))
    return prove(right, wrong) if len(right) >= FEWEST else None


def likeness(vectors: Floats, training: Floats, *, own: bool = False) -> Floats:
    """Return (n,) mean cosine of (n, d) images to the (m, d) training images; rows are of length 1.

    ``own`` says that the images are the training images: none is compared with itself.
    """
    cosine = vectors @ training.T
    if not own:
        return np.asarray(cosine.mean(axis=1))
    return np.asarray((cosine.sum(axis=1) - np.diag(cosine)) / (len(training) - 1))


def proof_by_likeness(training: Floats, base: Floats) -> Proof | None:
    """Return whether (m, d) training images are more like each other than (n, d) base images are.

    None with fewer than 15 on a side.
    """
    if min(len(training), len(base)) < FEWEST:
        return None
    return prove(likeness(training, training, own=True), likeness(base, training))
