"""`epochwatch promote` and `production`: what generates for real, who decided it, and the way back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.production import Look
    from core.settings import Settings
    from core.store.database import Database
    from core.store.promotions import Promotion
    from daemon.actions.actor import Actor

app = typer.Typer(help="What is in production.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_WAIT_SECONDS = 90.0
_MARKS = {"met": "+", "not met": "-", "not known": "?"}


def promote(
    run: Annotated[str, typer.Argument(help="The run's name.")],
    epoch: Annotated[int, typer.Argument(min=1, help="The epoch, or the step.")],
    override: Annotated[
        str, typer.Option(help="Why it goes to production although a criterion is not met.")
    ] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Ask for every criterion, proven and known.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the checklist and change nothing.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Put an epoch into production by the checklist. What it does not meet takes a reason."""
    from core import production
    from core.errors import Fixable
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.runs import judge_name, run_called

    settings = load_settings()
    with open_database(settings) as database:
        with database.transaction() as connection:
            run_id = run_called(connection, run)
            seen = production.look(connection, run_id, epoch, strict=strict)
        if dry_run:
            _print_look(seen, as_json=json_)
            return
        if not json_:
            _print_look(seen, as_json=False)
        if seen.checked.blocking and not override.strip():
            raise Fixable(f"Not promoted. {seen.checked.sentence} To do it anyway: --override WHY")
        with _actor(settings, database) as actor:
            here = actor.find_weights(seen.rows.checkpoint["sha256"]) is not None
            with database.transaction() as connection:
                number = production.promote(
                    connection,
                    seen,
                    reason=override,
                    by_whom=judge_name(),
                    host=settings.host_name if here else None,
                )
            _finish(database, actor, number, as_json=json_)


@app.command()
def show(json_: AsJson = False) -> None:
    """Show what is in production, with its record."""
    from core.reports.production_record import as_text, live_record
    from core.settings import load_settings
    from core.store import promotions
    from core.store.opening import open_database
    from daemon.cli.output import print_json

    settings = load_settings()
    with open_database(settings) as database, database.transaction() as connection:
        live = promotions.current(connection)
    if live is None:
        if json_:
            print_json(None)
        else:
            print("Nothing is in production yet: epochwatch promote RUN EPOCH")
        return
    record = live_record(
        live.record, number=live.id, by_whom=live.by_whom, decided_at=live.decided_at,
        reason=live.reason, overridden=live.overridden, rolled_back_from=live.rolled_back_from,
    )  # fmt: skip
    if json_:
        print_json({**record, "live_at": live.live_at, "host": live.host})
        return
    print(as_text(record).split("\n\n", 1)[1], end="")
    print(f"- **Live since:** {live.live_at:%Y-%m-%d %H:%M} UTC on {live.host}")


@app.command()
def history(json_: AsJson = False) -> None:
    """List every decision about production, the newest first."""
    from core.settings import load_settings
    from core.store import promotions
    from core.store.opening import open_database
    from daemon.cli.output import print_json, print_table

    with open_database(load_settings()) as database, database.transaction() as connection:
        known = promotions.history(connection)
        live = promotions.current(connection)
    if json_:
        print_json([_line(each, live) for each in known])
    elif not known:
        print("Nothing was ever promoted: epochwatch promote RUN EPOCH")
    else:
        columns = ("id", "model", "position", "score", "state", "by", "decided", "why")
        print_table([_line(each, live) for each in known], columns)


@app.command()
def rollback(
    to: Annotated[
        int | None,
        typer.Option(help="A number of `production history`; else what was live before."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    json_: AsJson = False,
) -> None:
    """Go back to what was in production before."""
    from core.settings import load_settings
    from core.store import promotions
    from core.store.opening import open_database
    from daemon.cli.runs import judge_name

    settings = load_settings()
    with open_database(settings) as database, _actor(settings, database) as actor:
        with database.transaction() as connection:
            number = promotions.roll_back(connection, to=to, reason=reason, by_whom=judge_name())
        _finish(database, actor, number, as_json=json_)


@contextlib.contextmanager
def _actor(settings: Settings, database: Database) -> Iterator[Actor]:
    """Yield what does here what a daemon on this machine would do."""
    from core.store.opening import open_image_store
    from daemon.actions.actor import Actor
    from daemon.actions.notify import Notifier
    from daemon.actions.promote import promoter_of
    from daemon.cli.logs import start_logs
    from daemon.spool import Spool
    from daemon.weights import weights_of

    start_logs(settings, quiet=True)
    store = open_image_store(settings)
    weights = weights_of(settings, database, store, Spool(settings.home / "spool"))
    yield Actor(
        database=database,
        store=store,
        notifier=Notifier(),
        host=settings.host_name,
        find_weights=weights.find,
        picture=lambda *_: None,
        promoter=promoter_of(settings, database, weights.find),
    )


def _finish(database: Database, actor: Actor, number: int, *, as_json: bool) -> None:
    """Do it here if it is ours to do, and wait until it is done; say what became of it."""
    from core.errors import Permanent
    from core.store import promotions
    from daemon.cli.output import print_json

    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        with database.transaction() as connection:
            found = promotions.promotion(connection, number)
            live = promotions.current(connection)
        assert found is not None, "it was decided a moment ago"
        is_ours = found.wanted_host in (None, actor.host)
        if found.state == "failed":
            raise Permanent(f"Not in production: {found.error}")
        if found.state == "done" and (not is_ours or found.hook_state != "pending"):
            break
        if not is_ours or time.monotonic() > deadline:
            break
        key = promotions.action_key(number)
        actor.do(f"hook/{key}" if found.state == "done" else key)
        time.sleep(0.1)
    if as_json:
        print_json(_line(found, live))
        return
    print(_outcome(found))


def _outcome(found: Promotion) -> str:
    name = f"{found.run_name} {found.position}"
    if found.state != "done":
        who = found.wanted_host or "a daemon"
        return f"{name} is decided (number {found.id}); {who} puts it in place as soon as it can."
    if found.live_at is None:
        return f"{name} is not in production (number {found.id}): {found.error}."
    words = f"{name} is in production (number {found.id}), {found.error}."
    if found.hook_state is not None:
        words += f" Command: {found.hook_said if found.hook_state != 'pending' else 'not run yet'}"
    return words


def _line(each: Promotion, live: Promotion | None) -> dict[str, Any]:
    state = "live" if live is not None and live.id == each.id else each.became
    return {
        "id": each.id,
        "model": each.run_name,
        "position": each.position,
        "score": each.record.get("score"),
        "state": state,
        "by": each.by_whom,
        "decided": f"{each.decided_at:%Y-%m-%d %H:%M}",
        "why": each.reason
        or (f"back from {each.rolled_back_from}" if each.rolled_back_from else ""),
        "sha256": each.sha256,
        "overridden": list(each.overridden),
        "live_at": each.live_at,
        "host": each.host,
        "said": each.error,
        "command": each.hook_said,
    }


def _print_look(seen: Look, *, as_json: bool) -> None:
    from daemon.cli.output import print_json, print_table

    checked = seen.checked
    if as_json:
        criteria = [criterion.as_json() for criterion in checked.criteria]
        blocking = [criterion.key for criterion in checked.blocking]
        print_json(
            {
                "ready": checked.is_ready, "sentence": checked.sentence, "blocking": blocking,
                "excluded": list(checked.excluded), "criteria": criteria, "record": seen.record,
            }
        )  # fmt: skip
        return
    print(f"{seen.record['model']} {seen.record['position']}: {checked.sentence}")
    lines = [
        {
            "": _MARKS[criterion.state],
            "criterion": criterion.name,
            "asked": "must" if criterion.must else "nice",
            "found": criterion.found,
        }
        for criterion in checked.criteria
    ]
    print_table(lines, ("", "criterion", "asked", "found"))
