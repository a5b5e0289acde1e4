"""Seeing things by their names: how much nearer an image is to a text with a thing than without.

A model such as CLIP gives the vectors, in a process of its own; here they become a number that has
to prove itself on the captioned training images like any probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.formats.prompt_subject import EXPRESSIONS
from core.metrics.color import Floats
from core.metrics.probe import FEWEST_EXAMPLES, Seer, scale_of
from core.metrics.proof import GOOD_ENOUGH, prove

# Whoever changes a wording changes numbers: raise the versions of accessory, expression, unasked.
_WORDINGS = (
    ("{}", "a picture"),
    ("a person with {}", "a person"),
    ("pixel art of {}", "pixel art"),
)
_DIGITS = 6  # cosines lie close together


@dataclass(frozen=True, kw_only=True)
class Detector(Seer):
    """A plugged-in model that is asked for one thing by name; nothing is fitted to the images."""

    scorer: str  # as the settings name the model
    model: str  # SHA-256 of its weights: another model under that name says nothing

    @property
    def why_not(self) -> str | None:
        """Why this thing is not measurable by it, or None when it is."""
        if self.proof is None:
            return (
                f"{self.positives} training captions name it and {self.negatives} do not; "
                f"{FEWEST_EXAMPLES} of each are needed to prove that {self.scorer} sees it"
            )
        if not self.proof.holds:
            return (
                f"{self.scorer}, asked by name, cannot tell the {self.positives} training images "
                f"with it from the others ({self.proof.said}; {GOOD_ENOUGH} is needed)"
            )
        return None


def texts_of(thing: str) -> tuple[list[str], list[str]]:
    """Return the texts that name a thing, and the same ones without it."""
    if thing in EXPRESSIONS.values():
        said = f"a {thing} on the face" if thing in ("smile", "frown") else f"a {thing} face"
    else:
        said = thing if thing.endswith("s") else f"a {thing}"
    return [with_it.format(said) for with_it, _ in _WORDINGS], [bare for _, bare in _WORDINGS]


def scores_by_name(images: Floats, named: Floats, bare: Floats) -> Floats:
    """Return (n,) scores of (n, d) images, given (t, d) texts with and without the thing.

    Rows are of length 1. What an image shares with all texts falls out.
    """
    return np.asarray((images @ named.T).mean(axis=1) - (images @ bare.T).mean(axis=1))


def prove_detector(scorer: str, model: str, scores: Floats, labels: Sequence[bool]) -> Detector:
    """Return a detector with its proof on (n,) scores of images that do or do not show a thing."""
    truth = np.asarray(labels, dtype=bool)
    found = Detector(
        scorer=scorer, model=model, positives=int(truth.sum()), negatives=int((~truth).sum())
    )
    if min(found.positives, found.negatives) < FEWEST_EXAMPLES:
        return found
    nothing, threshold, surely = (round(mark, _DIGITS) for mark in scale_of(scores, truth))
    return replace(
        found,
        proof=prove(scores[truth], scores[~truth]),
        nothing=nothing,
        threshold=threshold,
        surely=surely,
    )
