"""What a run costs, in a few sentences and a table by epoch; pure markup."""

from __future__ import annotations

from core.rules.costing import EpochCost, RunCost, account, hours, money, sentences
from core.store.costs import CostRows
from dashboard.parts import sheet
from dashboard.parts.safe import Html, fill, join


def section(found: CostRows | None) -> Html:
    """Return the section; without checkpoints there is nothing to reckon with."""
    head = sheet.heading("Cost", "times are measured; what is not known is not counted")
    if found is None or not found.saves:
        return join((head, sheet.empty("Nothing is saved yet, so nothing is known of its cost.")))
    cost = account(found.about, found.saves, found.drawn)
    return join((head, _lines(cost), _table(cost)))


def _lines(cost: RunCost) -> Html:
    lines = (*sentences(cost), *cost.notes, *cost.hints)
    return fill(
        '<ul class="ew-reasons" data-part="cost">{lines}</ul>',
        lines=join(fill("<li>{line}</li>", line=line) for line in lines),
    )


def _table(cost: RunCost) -> Html:
    lines: list[tuple[object, ...]] = [
        (
            each.position,
            _training(each),
            hours(each.drawing) if each.drawing else "",
            "" if each.cost is None else money(each.cost),
        )
        for each in cost.epochs
    ]
    table = sheet.table((cost.unit, "training", "drawing beside it", "cost"), lines)
    return fill(
        "<details><summary>By {unit}</summary>{table}</details>", unit=cost.unit, table=table
    )


def _training(epoch: EpochCost) -> str:
    return f"unknown: {epoch.note}" if epoch.training is None else hours(epoch.training)
