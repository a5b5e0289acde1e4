"""`epochwatch costs [RUN]`: what runs cost, by epoch, and what stopping earlier would have saved."""

from __future__ import annotations

from typing import Any

from core.errors import Fixable
from core.rules.costing import (
    LIST_NOTE,
    LIST_PRICES,
    NO_PRICE,
    RunCost,
    failed_cost,
    hours,
    money,
    sentences,
)
from core.settings import load_settings
from core.store import costs as store
from core.store.database import rows
from core.store.opening import open_database
from daemon.bookkeeper import cost_of
from daemon.cli.output import print_json, print_table
from daemon.cli.runs import run_called


def costs(
    name: str | None,
    *,
    price: float | None,
    budget: float | None,
    gpu: str | None,
    list_prices: bool,
    as_json: bool,
) -> None:
    """Show one run's cost, or every run's; keep what is said of a run's price, budget and GPU."""
    if list_prices:
        _show_list(as_json=as_json)
    elif name is None:
        if price is not None or budget is not None or gpu is not None:
            raise Fixable("Say which run: epochwatch costs RUN --price 0.44")
        _show_all(as_json=as_json)
    else:
        _show_run(name, price=price, budget=budget, gpu=gpu, as_json=as_json)


def _show_list(*, as_json: bool) -> None:
    if as_json:
        print_json({"note": LIST_NOTE, "usd_per_hour": dict(LIST_PRICES)})
        return
    print(f"USD an hour; each a {LIST_NOTE}.")
    print_table(
        [{"gpu": name, "per hour": each} for name, each in LIST_PRICES.items()],
        ("gpu", "per hour"),
    )


def _show_run(
    name: str, *, price: float | None, budget: float | None, gpu: str | None, as_json: bool
) -> None:
    settings = load_settings()
    with open_database(settings) as database, database.transaction() as connection:
        run_id = run_called(connection, name)
        if price is not None or budget is not None or gpu is not None:
            store.type_in(connection, run_id, price=price, budget=budget, gpu_name=gpu)
        cost = cost_of(connection, run_id, settings)
    assert cost is not None
    if as_json:
        print_json({"run": name, **as_plain(cost)})
        return
    for line in sentences(cost):
        print(line)
    print_table(
        [
            {
                cost.unit: each.position,
                "training": None if each.training is None else hours(each.training),
                "drawing": hours(each.drawing),
                "cost": None if each.cost is None else money(each.cost),
            }
            for each in cost.epochs
        ],
        (cost.unit, "training", "drawing", "cost"),
    )
    for line in (*cost.notes, *cost.hints):
        print(f"- {line}")


def _show_all(*, as_json: bool) -> None:
    settings = load_settings()
    with open_database(settings) as database, database.transaction() as connection:
        known = rows(connection, "runs.all")
        found = [(each, cost_of(connection, each["id"], settings)) for each in known]
    counted = [(each, cost) for each, cost in found if cost is not None]
    failed, everything = failed_cost([(_is_failed(each), cost) for each, cost in counted])
    is_priced = any(cost.price is not None for _, cost in counted)
    if as_json:
        runs = [{"run": each["run_name"], **as_plain(cost)} for each, cost in counted]
        together = (everything, failed) if is_priced else (None, None)
        print_json({"runs": runs, "cost": together[0], "cost_of_failed": together[1]})
        return
    if not counted:
        print("No runs yet. Watch a folder: epochwatch watch PATH")
        return
    table = [
        {
            "run": each["run_name"],
            "status": each["status"],
            "GPU time": hours(cost.seconds),
            "unknown": hours(cost.unknown) if cost.unknown else None,
            "cost": None if cost.cost is None else money(cost.cost),
            "could have saved": None if cost.saved is None else money(cost.saved),
        }
        for each, cost in counted
    ]
    print_table(table, tuple(table[0]))
    if is_priced:
        print(f"All runs: {money(everything)}. Runs that failed: {money(failed)}.")
    else:
        print(NO_PRICE)


def _is_failed(about: dict[str, Any]) -> bool:
    return bool(about["status"] == "failed" or about["overall_verdict"] == "failure")


def as_plain(cost: RunCost) -> dict[str, Any]:
    """Return a cost as it is printed in JSON; what is not known is null."""
    return {
        "price_per_hour": cost.price.per_hour if cost.price else None,
        "price_source": cost.price.source if cost.price else None,
        "training_seconds": cost.training,
        "drawing_seconds": cost.drawing,
        "unknown_seconds": cost.unknown,
        "cost": cost.cost,
        "budget": cost.budget,
        "budget_share": cost.share,
        "kept_bytes": cost.kept_bytes,
        "storage_per_month": cost.storage_per_month,
        "first_stop": cost.first_stop,
        "saved_by_first_stop": {"seconds": cost.after_stop, "cost": cost.saved},
        "epochs": [
            {
                "position": each.position,
                "training_seconds": each.training,
                "drawing_seconds": each.drawing,
                "cost": each.cost,
                "note": each.note,
            }
            for each in cost.epochs
        ],
        "notes": list(cost.notes),
        "hints": list(cost.hints),
    }
