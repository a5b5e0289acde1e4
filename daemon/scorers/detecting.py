"""Looks for promised things with plugged-in models that read text: proves them, then asks them.

A model that is not at hand, or is another one by now, says nothing: never a 0.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from core.errors import Fixable
from core.formats.caption_file import CaptionedImage
from core.formats.prompt_text import expectation_from_text
from core.metrics import TrainingProfile
from core.metrics.detector import Detector, prove_detector, scores_by_name, texts_of
from core.metrics.set_level import evenly
from daemon.scorers.client import Scorer, Seen

log = structlog.get_logger()


@dataclass(kw_only=True)
class Detecting:
    """The plugged-in models of this machine; each process starts with its first image."""

    scorers: Mapping[str, Path] = field(default_factory=dict)  # name -> folder
    _open: dict[str, Scorer] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _texts: dict[tuple[str, str], Seen] = field(default_factory=dict)  # (scorer, thing)
    _stack: ExitStack = field(default_factory=ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        self._stack.close()

    def taught(
        self, profile: TrainingProfile, images: Sequence[CaptionedImage]
    ) -> tuple[TrainingProfile, list[str]]:
        """Return the profile with the best detector of each thing, and what went wrong, for a person.

        Detectors that have proved nothing are kept, too: their areas are the reason.
        """
        things = [name for name, _ in profile.probes]
        found: dict[str, Detector] = {}
        troubles = []
        for name in sorted(self.scorers if things else ()):
            try:
                tried = detectors_of(self._scorer(name), images, things)
            except Fixable as trouble:
                troubles.append(str(trouble))
                continue
            for thing, each in tried.items():
                before = found.get(thing)
                if before is None or _area(each) > _area(before):
                    found[thing] = each
        return replace(profile, detectors=tuple(sorted(found.items()))), troubles

    def missing(self, profile: TrainingProfile | None) -> list[str]:
        """Return the names of models that a profile sees things with and the settings do not have."""
        return sorted({each.scorer for each in _seeing(profile).values()} - set(self.scorers))

    def see(self, profile: TrainingProfile | None, pixels: NDArray[np.uint8]) -> dict[str, float]:
        """Return the scores of an image (H, W, 3) by thing, where the model that proved it is here."""
        detectors = {
            thing: each
            for thing, each in _seeing(profile).items()
            if each.scorer in self.scorers and each.scorer not in self._broken
        }
        scores: dict[str, float] = {}
        if not detectors:
            return scores
        with self._lock, tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "image.png"
            Image.fromarray(pixels).save(picture)
            for scorer in sorted({each.scorer for each in detectors.values()}):
                mine = {name: each for name, each in detectors.items() if each.scorer == scorer}
                scores |= self._scores(scorer, mine, picture)
        return scores

    def _scores(
        self, name: str, detectors: Mapping[str, Detector], picture: Path
    ) -> dict[str, float]:
        """Return what one model says of a picture; one that fails, or is another, is asked no more."""
        try:
            image = self._scorer(name).look([picture], [])
            texts = {thing: self._texts_of(name, thing) for thing in detectors}
        except Fixable as trouble:
            return self._without(name, str(trouble))
        if any(each.model != image.model for each in detectors.values()):
            return self._without(name, "it is another model than the one that was proved")
        return {
            thing: float(scores_by_name(image.images, *np.split(vectors, 2))[0])
            for thing, vectors in texts.items()
        }

    def _without(self, name: str, reason: str) -> dict[str, float]:
        log.warning("scorer off", scorer=name, reason=reason)
        self._broken.add(name)
        return {}

    def _texts_of(self, name: str, thing: str) -> NDArray[np.float64]:
        """Return (2t, d) vectors of the texts with a thing and without it, asked for once."""
        if (name, thing) not in self._texts:
            named, bare = texts_of(thing)
            self._texts[name, thing] = self._scorer(name).look([], [*named, *bare])
        return self._texts[name, thing].texts

    def _scorer(self, name: str) -> Scorer:
        if name not in self._open:
            scorer = Scorer(name=name, folder=self.scorers[name])
            self._open[name] = self._stack.enter_context(scorer)
        return self._open[name]


def detectors_of(
    scorer: Scorer, images: Sequence[CaptionedImage], things: Sequence[str]
) -> dict[str, Detector]:
    """Return how well a model sees each thing on captioned images; none if it reads no text.

    Of many images, 400 are looked at, evenly. Raises Fixable when the model cannot be used.
    """
    told = [each for each in images if each.caption]
    told = list(evenly(told)) if told else []
    texts = [text for thing in things for side in texts_of(thing) for text in side]
    if not told or not texts:
        return {}
    seen = scorer.look([each.path for each in told], texts)
    if not seen.reads_text:
        return {}
    said = [things_in(each.caption) for each in told]
    many = len(texts) // len(things)
    found = {}
    for at, thing in enumerate(things):
        mine = seen.texts[at * many : (at + 1) * many]
        scores = scores_by_name(seen.images, *np.split(mine, 2))
        labels = [thing in words for words in said]
        found[thing] = prove_detector(scorer.name, seen.model, scores, labels)
    return found


def things_in(caption: str) -> set[str]:
    """Return the things and the expression that a caption names."""
    expect = expectation_from_text(caption)
    return {*expect.accessories, expect.expression or ""} - {""}


def _seeing(profile: TrainingProfile | None) -> dict[str, Detector]:
    """Return the detectors that count under a profile: proven, and better than the thing's probe."""
    if profile is None:
        return {}
    seers: dict[str, Any] = {name: profile.seer(name) for name, _ in profile.detectors}
    return {name: each for name, each in seers.items() if isinstance(each, Detector)}


def _area(detector: Detector) -> float:
    return detector.proof.auc if detector.proof else -1.0
