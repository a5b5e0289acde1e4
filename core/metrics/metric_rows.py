"""The metrics of one image as they are stored: each with its range and a sentence."""

from core.metrics.adherence import Promises, Unmeasured, all_promises, color_accuracy
from core.metrics.background import Background, ColorFigures
from core.metrics.color import Bytes, delta_e, lab, merge_palette
from core.metrics.edges import RISE, edge_sharpness
from core.metrics.findings import NOTHING_PROMISED
from core.metrics.look import Look, style_points
from core.metrics.misplaced import said_of
from core.metrics.pixel_art import DRAWN_BY_PEOPLE
from core.metrics.profile import TrainingProfile
from core.metrics.tables import metric_value
from core.metrics.things import Seen, Things, Unseen
from core.nouns import MetricValue

_STYLE_PARTS = "alignment .35, flat cells .25, palette .25, neither photograph nor blur .15"


def color_metrics(promises: Promises, ground: Background, look: Look) -> dict[str, MetricValue]:
    """Return the metrics of color."""
    purity, accuracy = promises.purity, color_accuracy(promises)
    said = "against all promised colors" if accuracy is not None else NOTHING_PROMISED
    pure = "share of one hue in the promised regions, against the training images"
    if purity is None:
        pure = "needs a promised region that at least 20 training captions name"
    counted = f"{look.palette} colors over {look.grid.cells} cells"
    return {
        **_background_metrics(promises, ground),
        **_region_metrics(promises),
        "purity": metric_value("purity", purity, pure),
        "color_accuracy": metric_value("color_accuracy", accuracy, said),
        "all_promises": metric_value("all_promises", all_promises(promises), said),
        "unique_colors": metric_value("unique_colors", look.palette, counted),
    }


def _background_metrics(promises: Promises, ground: Background) -> dict[str, MetricValue]:
    """Return the metrics of the background."""
    told = promises.background
    names = {"match": "in the promised color", "closeness": "close to it", "hue": "of its hue"}
    if isinstance(told, ColorFigures):
        count = promises.misplaced.get("background")
        there = f"; {said_of(count)}" if count else _said_of_missing(promises, "background")
        metrics = {
            f"background_{name}": metric_value(
                f"background_{name}", getattr(told, name), f"border cells {words}, %{there}"
            )
            for name, words in names.items()
        }
    else:
        why = told.reason if told else "the prompt promises no background"
        metrics = {
            f"background_{name}": metric_value(f"background_{name}", None, why) for name in names
        }
    said = f"{ground.solid:.0f} % of the border cells are {ground.hex}"
    metrics["background_solid"] = metric_value("background_solid", ground.solid, said)
    return metrics


def _region_metrics(promises: Promises) -> dict[str, MetricValue]:
    """Return one metric for each promised region, and the second tone of the hair."""
    metrics: dict[str, MetricValue] = {}
    for name, answer in promises.regions.items():
        if isinstance(answer, Unmeasured):
            metrics[f"region_{name}"] = metric_value("region", None, answer.reason)
            continue
        figures = answer.figures
        said = f"match {figures.match:.0f}, close {figures.closeness:.0f}, hue {figures.hue:.0f}"
        said += f"; {answer.how}{_said_of_missing(promises, name)}"
        metrics[f"region_{name}"] = metric_value("region", figures.score, said)
        if name == "hair":
            second = answer.tones.second if answer.tones else None
            said = "share of the hair in a second hue, %"
            if second is None:
                said = "too little of the hair's place is known to tell its hues"
            metrics["two_toned"] = metric_value("two_toned", second, said)
    return metrics


def _said_of_missing(promises: Promises, name: str) -> str:
    """Return which of several promised colors are hardly there, in words."""
    gone = promises.missing.get(name, ())
    return f"; hardly any {' or '.join(gone)} is there" if gone else ""


def thing_metrics(things: Things) -> dict[str, MetricValue]:
    """Return one metric for each promised thing, the expression, and each thing nobody asked for."""
    metrics = {f"accessory_{name}": _seen("accessory", name, it) for name, it in things.promised}
    if things.expression:
        metrics["expression"] = _seen("expression", *things.expression)
    unasked = {f"unasked_{name}": _seen("unasked", name, it) for name, it in things.unasked}
    return metrics | unasked


def _seen(metric: str, name: str, answer: Seen | Unseen) -> MetricValue:
    """Return whether one thing is to be seen, with what its probe has proved."""
    if isinstance(answer, Unseen):
        return metric_value(metric, None, f"{name}: {answer.reason}")
    there = "to be seen" if answer.there else "not to be seen"
    said = f"{name} is {there}; {answer.how} {answer.proof.positives} training images with it"
    return metric_value(metric, answer.points, f"{said} ({answer.proof.said})")


def style_metrics(look: Look, profile: TrainingProfile | None) -> dict[str, MetricValue]:
    """Return the metrics of pixel-art style."""
    why_not = look.why_no_style
    score = look.aligned.score if look.aligned else None
    quality = style_points(look, DRAWN_BY_PEOPLE)
    values = {
        "grid_alignment": (score, _said_of_grid(look)),
        "cell_flatness": (look.flatness, "share of cells without a visible ramp"),
        "palette_size": (look.palette, "colors after merging shades"),
        "orphan_cells": (look.neighbors.orphans, "share of cells unlike all eight neighbors"),
        "tones": (look.tones, "effective number of 5-bit colors"),
        "style_quality": (quality, _STYLE_PARTS),
    }
    if look.found is not None:
        values["grid_found"] = (look.found, "cells along the width of the grid that fits best")
    if look.not_art:
        values = dict.fromkeys(values, (None, look.not_art))
    if profile and profile.images and quality is not None:
        second = style_points(look, profile.anchors)
        values["style_against_training"] = (second, _STYLE_PARTS)
    return {
        name: metric_value(name, value, why_not if value is None else said)
        for name, (value, said) in values.items()
    }


def edge_metrics(pixels: Bytes, look: Look) -> dict[str, MetricValue]:
    """Return what lies between the cells of pixel art: ramps at edges, and steps hardly seen."""
    sharp, bands, why_not = None, None, look.why_no_style
    if look.is_pixel_art:
        sharp, bands = edge_sharpness(pixels, look.grid, look.plain_cells), look.neighbors.banding
    rise = RISE * (1 - (sharp or 0.0))
    said = f"edges rise from 10 to 90 % over {rise:.2f} of a cell"
    said_of_bands = "share of neighboring cells with a step too small to be drawn, part of a ramp"
    if bands is None:
        said_of_bands = "a single cell has no neighbor" if look.is_pixel_art else why_not
    return {
        "edge_sharpness": metric_value("edge_sharpness", sharp, why_not if sharp is None else said),
        "banding": metric_value("banding", bands, said_of_bands),
    }


def finishing_metrics(look: Look, plain: Promises) -> dict[str, MetricValue]:
    """Return what the finishing has changed: the other reading, which is not what is shipped."""
    moved = delta_e(lab(look.plain_cells), lab(look.cells))
    colors = merge_palette(look.plain_cells.reshape(-1, 3)).size
    accuracy = color_accuracy(plain)
    values = {
        "finishing_shift": (float(moved.mean()), "mean CIEDE2000 by which finishing moves a cell"),
        "unfinished_colors": (colors, "colors before the finishing"),
        "unfinished_accuracy": (accuracy, "agreement with promised colors before the finishing"),
    }
    return {
        name: metric_value(name, value, NOTHING_PROMISED if value is None else said)
        for name, (value, said) in values.items()
    }


def _said_of_grid(look: Look) -> str:
    """Return the alignment in words."""
    said = f"edges on a grid of {look.grid.columns} cells, {look.grid.pitch:.2f} pixels each"
    if look.cropped:
        said = f"a cropped picture, measured on the cells seen by half or more: {said}"
    if look.grid.phase_x or look.grid.phase_y:
        said += f", shifted by {look.grid.phase_x:.1f} and {look.grid.phase_y:.1f} pixels"
    return said
