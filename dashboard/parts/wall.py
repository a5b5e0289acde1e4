"""Pictures on the page: the newest, the grid of prompts by epochs, and the large view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.store.gallery import EpochResult, Picture, TrainerSample
from dashboard.parts import badge, links, words
from dashboard.parts.safe import Html, fill, join, text

_wall = st.components.v2.component(
    "epochwatch_wall",
    js=Path(__file__).with_name("wall.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def show(markup: Html, *, key: str) -> None:
    """Put pictures on the page; a click or Enter opens one, arrow keys move on."""
    _wall(key=key, data=str(markup))


def _opener(run_id: int, picture: Picture, sha256: str) -> Html:
    name = "baseline" if picture.position is None else f"position {picture.position}"
    return fill(
        '<button class="ew-pic" type="button" data-key="{key}" data-open="{address}"'
        ' aria-label="{label}"><img src="{thumb}" loading="lazy" decoding="async"'
        ' width="96" height="96" alt="{label}"></button>',
        key=picture.sample_id,
        address=links.closeup(run_id, picture.sample_id),
        thumb=links.thumb(sha256),
        label=f"{picture.prompt_name}, {name}",
    )


def newest(run_id: int, pictures: Sequence[Picture], unit: str) -> Html:
    """Return the pictures drawn last."""
    figures = (
        fill(
            "<figure>{picture}<figcaption>{place} \u00b7 {score}<br>{name}</figcaption></figure>",
            picture=_cell(run_id, picture),
            name=picture.prompt_name,
            score=words.score(picture.average),
            place="baseline" if picture.position is None else f"{unit} {picture.position}",
        )
        for picture in pictures
    )
    return fill('<div class="ew-wall">{figures}</div>', figures=join(figures))


def trainer_samples(samples: Sequence[TrainerSample]) -> Html:
    """Return images the trainer itself drew: looked at, never scored."""
    figures = (
        fill(
            '<figure><a class="ew-pic" href="{original}" target="_blank" rel="noopener">'
            '<img src="{thumb}" loading="lazy" width="96" height="96" alt="{name}"></a>'
            "<figcaption>{place}<br>{name}</figcaption></figure>",
            original=links.original(sample.image_sha256),
            thumb=links.thumb(sample.image_sha256),
            name=sample.file_name,
            place=_place(sample),
        )
        for sample in samples
    )
    return fill('<div class="ew-wall">{figures}</div>', figures=join(figures))


def _place(sample: TrainerSample) -> str:
    if sample.epoch is not None:
        return f"epoch {sample.epoch}"
    return f"step {sample.step}" if sample.step is not None else "position unknown"


def _cell(run_id: int, picture: Picture | None) -> Html:
    if picture is None:
        return text("")
    if picture.image_sha256 is not None:
        return _opener(run_id, picture, picture.image_sha256)
    if picture.defect is not None:
        return fill(
            '<div class="ew-none ew-bad" data-key="{key}" title="{why}">no picture: {why}</div>',
            key=picture.sample_id,
            why=picture.defect,
        )
    wait = "test failed" if picture.parked else "to be drawn"
    return fill(
        '<div class="ew-none" data-key="{key}">{wait}</div>', key=picture.sample_id, wait=wait
    )


@dataclass(frozen=True, kw_only=True)
class _Row:
    ordinal: int
    seed: int
    name: str


def grid(
    run_id: int,
    pictures: Sequence[Picture],
    results: Mapping[int, EpochResult],
    *,
    unit: str,
    pick: int | None,
) -> Html:
    """Return prompts by positions, the baseline first, score and verdict above each column."""
    rows: dict[_Row, dict[int | None, Picture]] = {}
    for picture in pictures:
        row = _Row(ordinal=picture.ordinal, seed=picture.seed, name=picture.prompt_name)
        rows.setdefault(row, {})[picture.position] = picture
    columns = sorted({p.position for p in pictures if p.position is not None})
    baseline = any(p.position is None for p in pictures)
    places: list[int | None] = [*([None] if baseline else []), *columns]
    head = join(_column(place, results.get(place or -1), unit, pick) for place in places)
    body = join(
        fill(
            "<tr>{head}{cells}</tr>",
            head=_row_head(row, next(iter(cells.values())), row.seed),
            cells=join(_place_cell(run_id, place, cells.get(place), pick) for place in places),
        )
        for row, cells in rows.items()
    )
    return fill(
        '<div class="ew-grid"><table><thead><tr><th></th>{head}</tr></thead>'
        "<tbody>{body}</tbody></table></div>",
        head=head,
        body=body,
    )


def _kind(place: int | None, pick: int | None) -> str:
    return "ew-base" if place is None else "ew-picked" if place == pick else ""


def _column(place: int | None, result: EpochResult | None, unit: str, pick: int | None) -> Html:
    if place is None:
        return fill(
            '<th class="ew-base" scope="col">baseline<span class="ew-num">no LoRA</span></th>'
        )
    return fill(
        '<th class="{kind}" scope="col" data-key="column {place}"><b>{unit} {place}</b> {pick}'
        '<span class="ew-num">{verdict} {score}</span></th>',
        kind=_kind(place, pick),
        unit=unit,
        place=place,
        pick=badge.pick() if place == pick else "",
        verdict=badge.verdict(result.verdict) if result else "not scored yet",
        score=words.score(result.average) if result else "",
    )


def _row_head(row: _Row, sample: Picture, seed: int) -> Html:
    return fill(
        '<th scope="row"><b>{name}</b><span class="ew-text" title="{words}">{words}</span>'
        '<span class="ew-num">{origin}seed {seed}</span></th>',
        name=row.name,
        words=sample.prompt_text,
        seed=seed,
        origin=f"{sample.origin} \u00b7 " if sample.origin else "",
    )


def _place_cell(run_id: int, place: int | None, picture: Picture | None, pick: int | None) -> Html:
    average = picture.average if picture is not None else None
    number = (
        fill('<span class="ew-num">{score}</span>', score=words.score(average))
        if average is not None
        else ""
    )
    return fill(
        '<td class="{kind}">{picture}{number}</td>',
        kind=_kind(place, pick),
        picture=_cell(run_id, picture),
        number=number,
    )
