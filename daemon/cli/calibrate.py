"""`epochwatch calibrate`: how far the score agrees with votes, and the weights that they teach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.rules.calibration import Agreement, Calibration
    from core.store.database import Connection


def calibrate(
    run: Annotated[
        str | None, typer.Option("--run", help="Only votes on this run; else all votes.")
    ] = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Score new runs with the learned weights.")
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="Score new runs with the default weights again.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold the score against votes and propose weights. A person adopts them."""
    from core import learning
    from core.errors import Fixable
    from core.settings import load_settings
    from core.store import weightings
    from core.store.opening import open_database
    from daemon.calibrating import fall_back_on_drift
    from daemon.cli.logs import start_logs
    from daemon.cli.output import print_json
    from daemon.cli.runs import judge_name, run_called

    if adopt and default:
        raise Fixable("Say --adopt or --default, not both.")
    settings = load_settings()
    start_logs(settings, quiet=True)
    with open_database(settings) as database, database.transaction() as connection:
        run_id = run_called(connection, run) if run is not None else None
        fell_back = fall_back_on_drift(connection)
        found = learning.calibration_of(connection, run_id)
        if adopt:
            learning.adopt(connection, found, judge_name())
        if default:
            learning.back_to_default(connection, judge_name(), "A person chose the default.")
        standing = weightings.current(connection)
        using = _using(connection)
        left_out = learning.left_out(connection, run_id)
    if json_:
        print_json(
            {
                **found.as_json(),
                "adopted": adopt,
                "in_force": dict(standing.weights) if standing and standing.weights else None,
                "fell_back": fell_back,
                "left_out": left_out,
            }
        )
        return
    _tell(found)
    for said in (*left_out, fell_back, using, _next(found, adopted=adopt)):
        if said:
            print(said)


def _tell(found: Calibration) -> None:
    from core.rules.composite import DEFAULT_WEIGHTS
    from daemon.cli.output import print_table

    if found.default is None:
        print("No clear votes on scored pictures yet: compare two epochs and vote on them.")
        return
    print(
        f"{found.decisive} clear votes on {found.units} prompts with seeds ({found.prompts} "
        f"prompts); {found.objections} scores were called wrong."
    )
    print(f"The default weights agree with {_said(found.default)}.")
    if found.learned is not None:
        print(f"Learned weights agree with {_said(found.learned)}, on prompts left out of the fit.")
    if found.ceiling is not None:
        print(
            f"Judges agree with each other on {100 * found.ceiling:.0f} % of {found.ceiling_pairs} "
            "pairs of answers: no score can do better."
        )
    if found.weights is not None:
        lines = [
            {"part": name, "default": weight, "learned": found.weights[name]}
            for name, weight in DEFAULT_WEIGHTS.items()
        ]
        print_table(lines, ("part", "default", "learned"))
    print(found.reason)


def _said(agreement: Agreement) -> str:
    hits, votes = round(agreement.hits, 1), round(agreement.votes, 1)
    return (
        f"{hits:.12g} of {votes:.12g} ({100 * agreement.share:.0f} %, 95 % interval "
        f"{100 * agreement.low:.0f} to {100 * agreement.high:.0f} %)"
    )


def _using(connection: Connection) -> str:
    from core.store import weightings

    standing = weightings.current(connection)
    if standing is None or standing.weights is None:
        why = f" {standing.why}" if standing else ""
        return f"New runs are scored with the default weights.{why}"
    return (
        f"New runs are scored with weights that {standing.adopted_by} adopted on "
        f"{standing.adopted_at:%Y-%m-%d}."
    )


def _next(found: Calibration, *, adopted: bool) -> str:
    if adopted:
        return "Runs so far keep their weights; `epochwatch rescore RUN` brings one over."
    return "Adopt them with `epochwatch calibrate --adopt`." if found.adopt else ""
