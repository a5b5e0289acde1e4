"""The pictures behind a vote: what notes were written on, and what divides judges; pure markup."""

from __future__ import annotations

from collections.abc import Sequence

from core.rules.ballots import unique_labels
from core.rules.poll import Poll
from core.store import voting
from core.store.comparisons import Comparison
from dashboard.parts import links, sheet
from dashboard.parts.safe import Html, fill, join, text


def themes(poll: Poll, made: Comparison, served: Sequence[voting.Serving]) -> Html:
    """Return what judges wrote, by theme, with the images behind the words."""
    if not poll.notes:
        return sheet.empty("Nobody has written a note.")
    lines: list[tuple[object, ...]] = [
        (
            theme.name,
            theme.count,
            theme.meaning,
            ", ".join(f"{slot} {count}" for slot, count in theme.won),
            join(_behind(note.about, made, served) for note in theme.notes[:4]),
        )
        for theme in poll.themes
    ]
    spoken = join(fill("<li>{words}</li>", words=note.words) for note in poll.notes[:20])
    table = (
        sheet.table(("theme", "notes", "what it says", "winner beside it", "images"), lines)
        if lines
        else text("")
    )
    return fill('{table}<ul class="ew-list">{spoken}</ul>', table=table, spoken=spoken)


def controversial(poll: Poll, made: Comparison) -> Html:
    """Return the pairs of images that divide their judges."""
    if not poll.controversies:
        return sheet.empty("No pair of images was answered differently by two judges.")
    units = {unit.key: unit for unit in made.units}
    lines: list[tuple[object, ...]] = []
    for each in poll.controversies[:12]:
        unit = units.get(each.unit)
        lines.append(
            (
                f"{unit.prompt_name}, seed {unit.seed}" if unit else each.unit[:8],
                join(_named(made, each.unit, each.pair)),
                f"{each.pair[0]} {each.first}, {each.pair[1]} {each.second}, even {each.even}",
            )
        )
    return sheet.table(("prompt", "images", "votes"), lines)


def _behind(serving_id: str, made: Comparison, served: Sequence[voting.Serving]) -> Html:
    each = next((each for each in served if each.id == serving_id), None)
    if each is None:
        return text("")
    labels = _labels(made)
    return join(
        _thumb(sha256, labels.get(slot, ""))
        for slot in each.slots
        if (sha256 := _image(made, each.unit, slot)) is not None
    )


def _named(made: Comparison, unit: str, labels: Sequence[str]) -> list[Html]:
    """Return the pictures of these slots in the order of their labels, each with its label."""
    keys = {label: key for key, label in _labels(made).items()}
    return [
        fill(
            '<figure class="ew-named">{picture}<figcaption>{label}</figcaption></figure>',
            picture=_thumb(sha256, label) if sha256 is not None else text("not there any more"),
            label=label,
        )
        for label in labels
        for sha256 in [_image(made, unit, keys.get(label, ""))]
    ]


def _labels(made: Comparison) -> dict[str, str]:
    return unique_labels((slot.key, slot.label) for slot in made.slots)


def _image(made: Comparison, unit: str, slot: str) -> str | None:
    pictures = next((each.pictures for each in made.units if each.key == unit), {})
    found = pictures.get(slot)
    return None if found is None else found.image_sha256


def _thumb(sha256: str, label: str) -> Html:
    return fill(
        '<a href="{original}" target="_blank" rel="noopener"><img class="ew-tiny" loading="lazy" '
        'width="48" height="48" alt="{label}" src="{thumb}"></a> ',
        original=links.original(sha256),
        thumb=links.thumb(sha256),
        label=label,
    )
