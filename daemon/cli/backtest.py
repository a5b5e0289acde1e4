"""`epochwatch backtest`: what each rule for stopping would have made of runs that are over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.rules.backtest import Outcome
    from core.store.database import Connection

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, kw_only=True)
class Backtested:
    """One run: its outcomes by policy, or why there are none."""

    name: str
    unit: str
    tested: int
    images: int
    outcomes: tuple[Outcome, ...]
    left_out: str | None  # why it could not be replayed


def backtest(
    names: Annotated[list[str] | None, typer.Argument(help="Runs; all that are over.")] = None,
    json_: AsJson = False,
) -> None:
    """Replay finished runs under each rule for stopping. Tell what each would have saved and lost."""
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.output import print_json

    with open_database(load_settings()) as database, database.transaction() as connection:
        found = [_replayed(connection, run_id) for run_id in _wanted(connection, names)]
    if json_:
        print_json({"runs": [_as_json(run) for run in found], "together": _together(found)})
        return
    if not found:
        print("No run is over yet, so there is nothing to replay.")
    for run in found:
        _print_run(run)
    _print_together(found)


def _wanted(connection: Connection, names: list[str] | None) -> list[int]:
    from core.store.database import rows
    from daemon.cli.runs import run_called

    if names:
        return [run_called(connection, name) for name in dict.fromkeys(names)]
    return [run["id"] for run in rows(connection, "runs.all") if run["status"] != "in_progress"]


def _replayed(connection: Connection, run_id: int) -> Backtested:
    from core.nouns import unit_of
    from core.rules.backtest import FEWEST, backtest
    from core.store.database import row, rows
    from core.tested import has_ended, is_complete, tested_epochs
    from daemon.advising import score_rows, seconds_between

    about = row(connection, "runs.get", run_id=run_id) or {}
    results = rows(connection, "results.of_run", run_id=run_id)
    epochs = tested_epochs(results, [])
    evidence = score_rows(epochs)
    tested = len({each.position for each in evidence})
    unit = unit_of(about["position_unit"])
    left_out = None
    if not has_ended(about, complete=is_complete(connection, run_id, results)):
        left_out = "it is still in progress; what a later epoch is worth is not known yet"
    elif tested < FEWEST:
        verb = "is" if tested == 1 else "are"
        left_out = f"{tested or 'none'} of its {unit}s {verb} measured and a replay needs {FEWEST}"
    price = about["price_per_hour"]
    outcomes = (
        ()
        if left_out
        else backtest(
            evidence,
            planned=about["total_steps"] if unit == "step" else about["max_train_epochs"],
            seconds_per_position=seconds_between(epochs),
            price_per_hour=None if price is None else float(price),
        )
    )
    return Backtested(
        name=about["run_name"],
        unit=unit,
        tested=tested,
        images=len(evidence),
        outcomes=outcomes,
        left_out=left_out,
    )


def _print_run(run: Backtested) -> None:
    from core.rules.wording import duration
    from daemon.cli.output import one_line, print_table

    name = one_line(ValueError(run.name))
    if run.left_out:
        print(f"{name}: not replayed, {run.left_out}.")
        return
    print(f"{name}: {run.tested} {run.unit}s tested, {run.images} images")
    table: list[dict[str, Any]] = [
        {
            "policy": each.policy,
            "stops after": each.stopped_after or "the end",
            "pick": each.pick,
            "saves": each.positions_saved,
            "time": None if each.seconds_saved is None else duration(each.seconds_saved),
            "money": each.money_saved,
            "lost": each.lost,
            "95 %": _interval(each),
            "prompts": each.units,
        }
        for each in run.outcomes
    ]
    print_table(table, tuple(table[0]))


def _interval(outcome: Outcome) -> str | None:
    if outcome.interval is None:
        return None
    low, high = outcome.interval
    return f"{low:+.2f} to {high:+.2f}"


def _together(found: Sequence[Backtested]) -> list[dict[str, Any]]:
    """Return, by policy, the share of positions saved and the mean loss over the replayed runs."""
    replayed = [run for run in found if run.outcomes]
    if not replayed:
        return []
    return [
        {
            "policy": each[0].policy,
            "runs": len(each),
            "saved %": round(
                100
                * sum(outcome.positions_saved for outcome in each)
                / sum(run.tested for run in replayed),
                1,
            ),
            "lost on average": round(sum(outcome.lost for outcome in each) / len(each), 3),
            "lost at most": round(max(outcome.lost for outcome in each), 3),
        }
        for each in zip(*(run.outcomes for run in replayed), strict=True)
    ]


def _print_together(found: Sequence[Backtested]) -> None:
    from daemon.cli.output import print_table

    together = _together(found)
    if not together:
        return
    runs = together[0]["runs"]
    if runs > 1:
        print(f"Together, {runs} runs:")
        print_table(together, tuple(together[0]))
    print(
        "Lost: the score of the best by all measurements minus that of the policy's pick, over the "
        "prompts both were drawn with; below 0 the pick is the better one there."
    )
    if runs < 10:
        print(f"{runs} run{'s are' if runs > 1 else ' is'} too few to choose a rule by.")


def _as_json(run: Backtested) -> dict[str, Any]:
    from core.rules.backtest import as_json

    return {
        "run": run.name,
        "unit": run.unit,
        "tested": run.tested,
        "images": run.images,
        "left_out": run.left_out,
        "policies": [as_json(outcome) for outcome in run.outcomes],
    }
