"""What a run costs: GPU time by epoch, storage, budget, and what stopping earlier would have saved.

Pure: times and prices in, figures and sentences out. A time that is not known is None with its reason
and never part of a sum; currency is whatever the price is in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any

from core.nouns import unit_of

LIST_PRICES: Mapping[str, float] = {
    "RTX 3090": 0.22,
    "RTX 4090": 0.34,
    "L4": 0.44,
    "L40": 0.69,
    "RTX 5090": 0.69,
    "L40S": 0.79,
    "RTX PRO 6000": 0.89,
    "A100 PCIe": 1.19,
    "A100 SXM": 1.39,
    "H100 PCIe": 1.99,
    "H100 SXM": 2.69,
    "H200": 3.59,
    "B200": 5.98,
}  # USD an hour, the lowest list prices of RunPod's community cloud
LIST_DATE = "March 2026"
LIST_NOTE = f"list price of {LIST_DATE}, check yours"
NO_PRICE = (
    "No price set: epochwatch costs RUN --price 0.44, or price_per_hour in epochwatch.toml before "
    "the run starts. Times are shown all the same."
)
_LATE = 2.0  # times the usual length after which a gap is no training any more
_SLACK = 120.0  # seconds that any gap may be longer
_IDLE = 1800.0  # seconds
_WARN = 0.8  # share of the budget
_GB = 1e9
_EARLY = 1 / 3  # share of the epochs that are early
_MUCH = 0.1  # share of the time that is worth a hint


@dataclass(frozen=True, kw_only=True)
class Price:
    """What an hour of the GPU costs, and who says so."""

    per_hour: float
    source: str


@dataclass(frozen=True, kw_only=True)
class EpochCost:
    """One position: seconds of training and drawing; ``cost`` is None without price or time."""

    position: int
    training: float | None
    drawing: float
    cost: float | None
    note: str = ""  # why the training time is not known


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What is known of a run's cost; seconds of the GPU, money in the price's currency."""

    price: Price | None
    epochs: tuple[EpochCost, ...]
    training: float
    drawing: float  # beside the training time, not within it
    unknown: float  # in gaps that are too long to be training
    cost: float | None  # of the known seconds
    budget: float | None
    kept_bytes: int
    storage_per_month: float | None
    after_stop: float | None  # seconds trained and drawn after the first advice to stop
    saved: float | None  # their cost
    first_stop: int | None
    notes: tuple[str, ...]
    hints: tuple[str, ...]
    unit: str = "epoch"

    @property
    def seconds(self) -> float:
        """All GPU seconds that are known."""
        return self.training + self.drawing

    @property
    def share(self) -> float | None:
        """Share of the budget that is spent; None without budget or price."""
        return None if self.cost is None or not self.budget else self.cost / self.budget


def list_price(gpu: str) -> float | None:
    """Return the list price of a GPU, however it is called ("NVIDIA GeForce RTX 4090"); None if unknown."""
    wanted = f" {_plain(gpu)} "
    hits = [name for name in LIST_PRICES if f" {_plain(name)} " in wanted]
    return LIST_PRICES[max(hits, key=len)] if hits else None


def price_of(per_hour: float | None, gpu: str | None) -> Price | None:
    """Return the price that counts: yours, else the list price of the GPU you named, else None."""
    if per_hour is not None:
        return Price(per_hour=per_hour, source="your price")
    listed = list_price(gpu) if gpu else None
    return Price(per_hour=listed, source=f"{gpu}: {LIST_NOTE}") if listed is not None else None


def training_spans(
    saves: Mapping[int, datetime | None], began: datetime | None
) -> dict[int, tuple[float | None, float, str]]:
    """Return for each position its seconds, the seconds that are unknown, and why they are.

    A gap between two saves is training unless it is over twice as long as is usual for as many
    positions (and two minutes more): then somebody paused, a pod was gone, or a clock was set.
    """
    places = [place for place in sorted(saves) if saves[place] is not None]
    stamps = {place: at for place, at in saves.items() if at is not None}
    gaps = {
        late: ((stamps[late] - stamps[early]).total_seconds(), late - early)
        for early, late in pairwise(places)
    }
    usual = median([gap / by for gap, by in gaps.values() if gap > 0] or [0.0])
    if places and began is not None:
        gaps[places[0]] = ((stamps[places[0]] - began).total_seconds(), places[0])
    found: dict[int, tuple[float | None, float, str]] = {}
    for place in sorted(saves):
        if place not in stamps:
            found[place] = (None, 0.0, "its file does not say when it was saved")
        elif place not in gaps:
            found[place] = (None, 0.0, "when training began is not known")
        else:
            found[place] = _judged(*gaps[place], usual)
    return found


def _judged(gap: float, by: int, usual: float) -> tuple[float | None, float, str]:
    if gap <= 0:
        return None, 0.0, "the clock stood still or went back"
    if usual and gap > _LATE * usual * by + _SLACK:
        return None, gap, "far longer than usual: a pause, not training"
    return gap, 0.0, ""


def account(
    about: Mapping[str, Any],
    saves: Sequence[Mapping[str, Any]],
    drawn: Sequence[Mapping[str, Any]],
    *,
    storage_price: float | None = None,
) -> RunCost:
    """Return a run's cost from the rows of ``core.store.costs``.

    Drawing on the trainer's own machine while it trained lies within the training time and is not
    paid twice; it counts by epoch, not in the sum. ``storage_price`` is for a GB and month.
    """
    unit = unit_of(about["position_unit"])
    price = price_of(_number(about["price_per_hour"]), about["gpu_name"])
    spans = training_spans({each["position"]: each["saved_at"] for each in saves}, _began(saves))
    extra = dict.fromkeys(spans, 0.0)
    rest = 0.0
    for each in drawn:
        alone = float(each["seconds"] or 0) - float(each["beside"] or 0)
        if each["position"] in extra:
            extra[each["position"]] += alone
        else:
            rest += alone
    epochs = tuple(
        EpochCost(
            position=place,
            training=seconds,
            drawing=extra[place],
            cost=None if seconds is None else _money(seconds + extra[place], price),
            note=why,
        )
        for place, (seconds, _, why) in spans.items()
    )
    training = sum(each.training or 0.0 for each in epochs)
    drawing = rest + sum(extra.values())
    stop = about["first_stop"]
    after = [each for each in epochs if stop is not None and each.position > stop]
    late = sum((each.training or 0.0) + each.drawing for each in after) if after else None
    return RunCost(
        price=price,
        epochs=epochs,
        training=training,
        drawing=drawing,
        unknown=sum(lost for _, lost, _ in spans.values()),
        cost=_money(training + drawing, price),
        budget=_number(about["budget"]),
        kept_bytes=int(about["kept_bytes"] or 0),
        storage_per_month=(
            None if storage_price is None else int(about["kept_bytes"] or 0) / _GB * storage_price
        ),
        after_stop=late,
        saved=None if late is None else _money(late, price),
        first_stop=stop,
        notes=_notes(epochs, drawn, unit),
        hints=_hints(epochs, training + drawing, about, price, unit),
        unit=unit,
    )


def budget_news(cost: RunCost) -> tuple[str, str] | None:
    """Return what to tell of the budget: a mark ("80", "100") and a sentence; None if nothing."""
    share = cost.share
    if share is None or share < _WARN or cost.cost is None or cost.budget is None:
        return None
    spent = f"{money(cost.cost)} of {money(cost.budget)}"
    if share < 1:
        return "80", f"{100 * share:.0f} % of the budget is spent: {spent}."
    return (
        "100",
        f"The budget is spent: {spent}. Stop the trainer and remove the pod to end the bill.",
    )


def idle_news(
    last: datetime | None, now: datetime, price: Price | None, *, usual: float | None
) -> str | None:
    """Return a sentence when nothing was saved or drawn for long on a machine that costs; else None.

    Long is half an hour, or three times what a save usually takes.
    """
    if last is None or price is None:
        return None
    seconds = (now - last).total_seconds()
    if seconds < max(_IDLE, 3 * (usual or 0.0)):
        return None
    return (
        f"Nothing was saved and nothing was drawn for {hours(seconds)}. The machine costs "
        f"{money(price.per_hour)} an hour; since then {money(price.per_hour * seconds / 3600)}. "
        "Remove the pod if the training is over."
    )


def silence_news(last: datetime | None, now: datetime, *, usual: float | None) -> str | None:
    """Return a sentence when a run that goes on has saved nothing for long; else None.

    Long is as for ``idle_news``; a run of whose saves none was timed has no usual length.
    """
    if last is None or usual is None:
        return None
    seconds = (now - last).total_seconds()
    if seconds < max(_IDLE, 3 * usual):
        return None
    return (
        f"Nothing was saved or drawn for {hours(seconds)}; an epoch usually takes {hours(usual)}. The "
        "trainer has crashed, hangs or was ended: look at it. If the run is over, say so with: "
        "epochwatch runs finish"
    )


def failed_cost(runs: Sequence[tuple[bool, RunCost]]) -> tuple[float, float]:
    """Return the cost of the runs that failed, and of all, as far as it is known."""
    costs = [(failed, cost.cost or 0.0) for failed, cost in runs]
    return sum(cost for failed, cost in costs if failed), sum(cost for _, cost in costs)


def _size(count: int) -> str:
    """Return bytes in words; small files are no 0.00 GB."""
    return f"{count / 1e9:.2f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"


def sentences(cost: RunCost) -> list[str]:
    """Return what is to be said of a run's cost, a sentence a line."""
    found = [_time(cost)]
    if cost.price is None:
        found.append(NO_PRICE)
    else:
        found.append(
            f"At {money(cost.price.per_hour)} an hour ({cost.price.source}): {money(cost.cost or 0)}."
        )
    if cost.budget is not None and cost.share is not None:
        found.append(f"That is {100 * cost.share:.0f} % of the budget of {money(cost.budget)}.")
    if cost.after_stop is not None:
        worth = f", {money(cost.saved)}" if cost.saved is not None else ""
        found.append(
            f"Stopping at the first advice, after {cost.unit} {cost.first_stop}, would have saved "
            f"{hours(cost.after_stop)}{worth}."
        )
    if cost.kept_bytes:
        monthly = cost.storage_per_month
        month = f", {money(monthly)} a month" if monthly is not None else ""
        found.append(f"Checkpoints kept in the store: {_size(cost.kept_bytes)}{month}.")
    return found


def _time(cost: RunCost) -> str:
    unknown = f"; {hours(cost.unknown)} unknown, not counted" if cost.unknown else ""
    return (
        f"GPU time: {hours(cost.seconds)} ({hours(cost.training)} of training, {hours(cost.drawing)} "
        f"of drawing beside it{unknown})."
    )


def money(amount: float) -> str:
    """Return an amount as people read it."""
    return f"${amount:.2f}" if amount >= 0.005 or amount == 0 else "under $0.01"


def hours(seconds: float) -> str:
    """Return a length of time: "40 s", "22 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _money(seconds: float, price: Price | None) -> float | None:
    return None if price is None else seconds / 3600 * price.per_hour


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _began(saves: Sequence[Mapping[str, Any]]) -> datetime | None:
    """Return when the first save's training began, as its trainer wrote it in seconds since 1970."""
    first = min(saves, key=lambda each: each["position"], default=None)
    try:
        stamp = float(first["began"]) if first is not None else 0.0
        return datetime.fromtimestamp(stamp, UTC) if stamp > 0 else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _notes(
    epochs: Sequence[EpochCost], drawn: Sequence[Mapping[str, Any]], unit: str
) -> tuple[str, ...]:
    found = [
        f"{unit.capitalize()} {each.position}: time unknown, {each.note}."
        for each in epochs
        if each.training is None
    ]
    without = sum(int(each["unknown"] or 0) for each in drawn)
    if without:
        found.append(f"{without} images do not say how long they were drawn; they are not counted.")
    return tuple(found)


def _hints(
    epochs: Sequence[EpochCost],
    seconds: float,
    about: Mapping[str, Any],
    price: Price | None,
    unit: str,
) -> tuple[str, ...]:
    """Return what would make the early epochs cheaper."""
    early = epochs[: int(len(epochs) * _EARLY)]
    if not early or not seconds:
        return ()
    found = []
    first, last = early[0].position, early[-1].position
    span = f"{unit} {first}" if first == last else f"{unit}s {first}-{last}"
    drawn = sum(each.drawing for each in early)
    if about["tests"] == "full" and drawn > _MUCH * seconds:
        found.append(
            f'Testing {span} in full took {hours(drawn)} of the GPU; with tests = "thrifty" early '
            "epochs are tested on fewer prompts."
        )
    cheapest = min(LIST_PRICES, key=lambda name: LIST_PRICES[name])
    if price is not None and price.per_hour >= 2 * LIST_PRICES[cheapest]:
        ratio = price.per_hour / LIST_PRICES[cheapest]
        found.append(
            f"For first tries such as {span}, an {cheapest} ({money(LIST_PRICES[cheapest])} an hour, "
            f"{LIST_NOTE}) is cheaper as long as it is less than {ratio:.1f} times slower."
        )
    return tuple(found)


def _plain(name: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", name.lower()))
