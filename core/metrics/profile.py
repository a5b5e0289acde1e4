"""What the training images themselves measure: where regions lie, and what good looks like there.

Learned once from images and captions, kept as JSON, and part of the rubric of every measurement.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from core.errors import Fixable
from core.metrics.applicability import KINDS, Kind, common_subject
from core.metrics.background import background_of
from core.metrics.cells import shrink_to_cells
from core.metrics.color import MATCH, Bools, Bytes, hex_of_rgb, merge_palette
from core.metrics.color_words import Target, match_cells, paint, resolve
from core.metrics.detector import Detector
from core.metrics.pixel_art import DRAWN_BY_PEOPLE, StyleAnchors, compare_neighbors
from core.metrics.probe import Probe, learn_probe
from core.metrics.regions import RegionMap, tones_of, weighted_figures
from core.nouns import Expectation

PROFILE_VERSION = 3
_READABLE = (1, 2, PROFILE_VERSION)  # the first had no probes, and only the last has ``own``
_FEWEST_FOR_ANCHORS = 10
_INTRUDER_SHARE = 0.02  # of training images in which a color stands in for the region's own


@dataclass(frozen=True, kw_only=True)
class TrainingProfile:
    """The training set as a yardstick."""

    grid: int  # cells along the width
    rows: int
    images: int  # images learned from
    anchors: StyleAnchors
    regions: tuple[tuple[str, RegionMap], ...]  # sorted by name
    kind: Kind = "pixel_art"
    things: tuple[str, ...] = ()  # accessories that captions name, sorted
    probes: tuple[tuple[str, Probe], ...] = ()  # of things and expressions, sorted by name
    detectors: tuple[tuple[str, Detector], ...] = ()  # of the same, by plugged-in models
    subject: str | None = None  # of most captions, such as "full body"
    off: tuple[tuple[str, str], ...] = ()  # (metric or score, why it does not count), sorted
    version: int = PROFILE_VERSION

    def region(self, name: str) -> RegionMap | None:
        """Return the map of a region, or None when no caption names it."""
        return dict(self.regions).get(name)

    def probe(self, name: str) -> Probe | None:
        """Return what can tell whether a thing is there, or None when no caption names it."""
        return dict(self.probes).get(name)

    def seer(self, name: str) -> Probe | Detector | None:
        """Return what tells best whether a thing is there, or None when nothing has proved it can."""
        able = [
            each
            for each in (self.probe(name), dict(self.detectors).get(name))
            if each is not None and each.why_not is None
        ]
        return max(able, key=lambda each: each.proof.auc if each.proof else 0.0, default=None)

    def why_unseen(self, name: str) -> str:
        """Return why nothing can tell whether a thing is there."""
        probe = self.probe(name) or Probe(positives=0, negatives=self.images)
        detector = dict(self.detectors).get(name)
        why = [probe.why_not, detector.why_not if detector and detector.proof else None]
        return "; ".join(each for each in why if each)

    def why_off(self, name: str) -> str | None:
        """Return why a metric or score does not count, or None when it does."""
        return dict(self.off).get(name)

    def fits(self, expect: Expectation) -> bool:
        """Return whether a prompt asks for the kind of picture that was learned from."""
        return not {self.subject, expect.subject} - {"transparent", None} or (
            self.subject == expect.subject
        )

    def why_elsewhere(self, subject: str | None) -> str:
        """Return why another kind of picture cannot be compared with the training images."""
        words = (self.subject or "another kind of picture", subject or "another kind of picture")
        return f"not applicable: learned from {words[0]}, and this prompt asks for {words[1]}"

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and digested."""
        body = asdict(self)
        body["regions"] = {name: asdict(region) for name, region in self.regions}
        body["probes"] = {name: probe.as_json() for name, probe in self.probes}
        body["detectors"] = {name: detector.as_json() for name, detector in self.detectors}
        if not self.detectors:
            del body["detectors"]  # so that what was learned without any keeps its digest
        return body | {"things": list(self.things), "off": dict(self.off)}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Build it back from ``as_json``. Raises Fixable for another version or a broken body."""
        try:
            if body["version"] not in _READABLE or body.get("kind", KINDS[0]) not in KINDS:
                raise Fixable(
                    "The training profile was learned by another version of Epochwatch, so images "
                    "cannot be measured against it; learn it again from the training images."
                )
            return cls(
                grid=int(body["grid"]),
                rows=int(body["rows"]),
                images=int(body["images"]),
                anchors=StyleAnchors(**body["anchors"]),
                regions=tuple(
                    (name, _region_from_json(region))
                    for name, region in sorted(body["regions"].items())
                ),
                kind=body.get("kind", KINDS[0]),
                things=tuple(body.get("things", ())),
                probes=tuple(
                    (name, Probe.from_json(probe))
                    for name, probe in sorted(body.get("probes", {}).items())
                ),
                detectors=tuple(
                    (name, Detector.from_json(detector))
                    for name, detector in sorted(body.get("detectors", {}).items())
                ),
                subject=body.get("subject"),
                off=tuple(sorted(body.get("off", {}).items())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as trouble:
            raise Fixable(
                f"The training profile cannot be read ({trouble!r}), so images cannot be measured "
                "against it; learn it again from the training images."
            ) from trouble


def _region_from_json(body: dict[str, Any]) -> RegionMap:
    """Return one region map from its JSON form."""
    rows = tuple(tuple(float(value) for value in row) for row in body["probability"])
    match, closeness, hue = body.get("own", (0.0, 0.0, 0.0))
    return replace(
        RegionMap(**body),
        probability=rows,
        intruders=tuple(body["intruders"]),
        own=(float(match), float(closeness), float(hue)),
    )


def learn_profile(
    images: Sequence[Bytes],
    captions: Sequence[Expectation | None],
    grid: int,
    kind: Kind = "pixel_art",
) -> TrainingProfile:
    """Learn from training images (h, w, 3) uint8, each with what its caption says, None without.

    Images smaller than the grid, or of another shape than most, are left out. Raises Fixable when
    none is left or the two sequences differ in length.
    """
    if len(images) != len(captions):
        raise Fixable(
            f"There are {len(images)} training images but {len(captions)} captions, so it is not "
            "known which belongs to which; give every image its caption."
        )
    pairs = [
        (shrink_to_cells(image, grid), caption)
        for image, caption in zip(images, captions, strict=True)
        if image.ndim == 3 and min(image.shape[:2]) >= grid
    ]
    if not pairs:
        raise Fixable(
            f"None of the {len(images)} training images has at least {grid} pixels a side, so "
            "nothing can be learned from them; check the folder and the grid of the suite."
        )
    heights = [cells.shape[0] for cells, _ in pairs]
    rows = max(set(heights), key=heights.count)
    pairs = [(cells, caption) for cells, caption in pairs if cells.shape[0] == rows]
    learned = TrainingProfile(
        grid=grid,
        rows=rows,
        images=len(pairs),
        anchors=_learn_anchors([cells for cells, _ in pairs]),
        regions=(),
        kind=kind,
    )
    return _with_captions(learned, [(cells, caption) for cells, caption in pairs if caption])


def without_images(kind: Kind, grid: int) -> TrainingProfile:
    """Return the profile of a kind where there is nothing to learn from."""
    return TrainingProfile(
        grid=grid, rows=grid, images=0, anchors=DRAWN_BY_PEOPLE, regions=(), kind=kind
    )


def _with_captions(
    profile: TrainingProfile, pairs: list[tuple[Bytes, Expectation]]
) -> TrainingProfile:
    """Return the profile with what captioned training images as cells, all of one shape, teach."""
    names = sorted({name for _, caption in pairs for name, _ in caption.regions})
    regions = []
    for name in names:
        named = [(cells, resolve(dict(caption.regions).get(name, ""))) for cells, caption in pairs]
        told = [(cells, targets) for cells, targets in named if targets]
        if told:
            regions.append((name, _learn_region(told)))
    return replace(
        profile,
        regions=tuple(regions),
        things=tuple(sorted({name for _, caption in pairs for name in caption.accessories})),
        probes=_learn_probes(pairs),
        subject=common_subject([caption for _, caption in pairs]),
    )


def _learn_probes(pairs: list[tuple[Bytes, Expectation]]) -> tuple[tuple[str, Probe], ...]:
    """Return a probe for each thing and expression that captions name, proven or not."""
    said = [{*caption.accessories, caption.expression or ""} - {""} for _, caption in pairs]
    cells = [each for each, _ in pairs]
    return tuple(
        (name, learn_probe(cells, [name in words for words in said]))
        for name in sorted(set().union(*said))
    )


def _learn_anchors(all_cells: list[Bytes]) -> StyleAnchors:
    """Return the quantiles of the training images.

    Floors keep a set of very clean drawings from turning every later eye or jewel into a fault.
    """
    if len(all_cells) < _FEWEST_FOR_ANCHORS:
        return DRAWN_BY_PEOPLE
    orphans = [compare_neighbors(cells).orphans for cells in all_cells]
    sizes = [merge_palette(cells.reshape(-1, 3)).size for cells in all_cells]
    side = np.sqrt(all_cells[0].shape[0] * all_cells[0].shape[1])
    return StyleAnchors(
        palette_95=max(4.0, float(np.quantile(sizes, 0.95) * 24 / side)),
        orphans_75=max(0.017, float(np.quantile(orphans, 0.75))),
        orphans_95=max(0.03, float(np.quantile(orphans, 0.95))),
        orphans_99=float(np.quantile(orphans, 0.99)),
    )


def _intruders(draft: RegionMap, told: list[tuple[Bytes, tuple[Target, ...]]]) -> tuple[str, ...]:
    """Return the colors that stand in a region's place in several training images."""
    others = []
    for cells, targets in told:
        inside = draft.sure_cells(cells, background_of(cells).rgb, targets)
        others.append(np.unique(inside[~match_cells(inside, targets).match], axis=0))
    if not sum(map(len, others)):
        return ()
    palette = merge_palette(np.concatenate(others), MATCH)
    image_of = np.repeat(np.arange(len(others)), [len(other) for other in others])
    images = [len(np.unique(image_of[palette.of == entry])) for entry in range(palette.size)]
    fewest = max(3, _INTRUDER_SHARE * len(told))
    return tuple(hex_of_rgb(palette.rgb[at]) for at in range(palette.size) if images[at] >= fewest)


def _nearly_all(values: list[float]) -> float:
    """Return what nine in ten training images reach: rarer shapes of hair are right as well."""
    return float(np.quantile(values, 0.1))


def _learn_region(told: list[tuple[Bytes, tuple[Target, ...]]]) -> RegionMap:
    """Return the map of one region from the images whose captions name its color."""
    masks: list[Bools] = [match_cells(cells, targets).match for cells, targets in told]
    probability = (np.sum(masks, axis=0) + 0.5) / (len(masks) + 1)  # Laplace
    draft = RegionMap(
        probability=tuple(tuple(float(value) for value in row) for row in probability.round(4)),
        images=len(told),
        match=0.0,
        closeness=0.0,
        hue=0.0,
        purity=0.0,
        area=float(np.median([mask.mean() for mask in masks])),
        second_tone=0.0,
    )
    return _with_references(draft, told)


def _with_references(draft: RegionMap, told: list[tuple[Bytes, tuple[Target, ...]]]) -> RegionMap:
    """Return the map with what the training images themselves score on it."""
    weights = draft.weights
    if not weights.any():
        return draft
    draft = replace(draft, intruders=_intruders(draft, told))
    figures = [weighted_figures(paint([cells])[0], weights, targets) for cells, targets in told]
    tones = [
        tones_of(draft.sure_cells(cells, background_of(cells).rgb, targets))
        for cells, targets in told
    ]
    own = [
        weighted_figures(
            paint([cells])[0],
            draft.own_weights(cells, background_of(cells).rgb, targets),
            targets,
        )
        for cells, targets in told
    ]
    return replace(
        draft,
        own=(
            _nearly_all([figure.match for figure in own]),
            _nearly_all([figure.closeness for figure in own]),
            _nearly_all([figure.hue for figure in own]),
        ),
        match=_nearly_all([figure.match for figure in figures]),
        closeness=_nearly_all([figure.closeness for figure in figures]),
        hue=_nearly_all([figure.hue for figure in figures]),
        purity=_nearly_all([tone.purity for tone in tones]),
        second_tone=float(np.quantile([tone.second for tone in tones], 0.95)),
    )
