"""`epochwatch votes`: what the votes on a comparison say, their export, and links for guests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from core.rules.poll import Poll
    from core.store.comparisons import Comparison
    from core.store.guest_links import GuestLink
    from core.store.voting import Serving

app = typer.Typer(help="Votes on comparisons.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="The comparison's number (epochwatch compare).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def stats(comparison: Number, json_: AsJson = False) -> None:
    """Show what the votes on a comparison say now."""
    from core.polls import answered
    from core.rules.poll import as_json
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.output import print_json

    with open_database(load_settings()) as database, database.transaction() as connection:
        found = answered(connection, comparison)
    if found is None:
        raise _missing(comparison)
    if json_:
        print_json(
            {
                "comparison": comparison,
                "title": found.comparison.title,
                "not_blind": found.seen,
                **as_json(found.poll),
            }
        )
        return
    _tell(found.poll)
    if found.seen:
        print(f"Of these votes {found.seen} {'was' if found.seen == 1 else 'were'} not blind.")


def _tell(poll: Poll) -> None:
    from core.rules.poll import as_json
    from core.rules.wording import percent
    from daemon.cli.output import print_table

    if not poll.ranking.votes:
        print("No vote yet. Vote in the dashboard, page Vote.")
        return
    print(poll.sentence)
    if poll.higher_bar:
        print(poll.higher_bar)
    if poll.result.verdict:
        print(poll.result.verdict)
    print_table(
        [
            {
                "slot": each["slot"],
                "strength": each["strength"],
                "from": each["interval"] and each["interval"][0],
                "to": each["interval"] and each["interval"][1],
                "best": None if each["p_best"] is None else percent(each["p_best"]),
            }
            for each in as_json(poll)["ranking"]
        ],
        ("slot", "strength", "from", "to", "best"),
    )
    for name, each in poll.categories.items():
        print(f"{name}: {each.verdict}" + ("" if each.enough else " (too few to pass anything)"))
    for judge in poll.judges:
        for flag in judge.flags:
            print(f"Check {judge.name}: {flag}.")


@app.command()
def export(
    comparison: Number,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    format_: Annotated[
        str,
        typer.Option("--format", help="csv, json, or seed: the owner's comparison.csv."),
    ] = "csv",
) -> None:
    """Write the votes on a comparison to a file."""
    from core.errors import Fixable
    from core.settings import load_settings
    from core.store.comparisons import comparison as read
    from core.store.opening import open_database
    from core.store.voting import served as served_on

    if format_ not in ("csv", "json", "seed"):
        raise Fixable(f"{format_!r} is no format; write csv, json or seed.")
    with open_database(load_settings()) as database, database.transaction() as connection:
        made = read(connection, comparison)
        served = served_on(connection, comparison)
    if made is None:
        raise _missing(comparison)
    output.write_text(_written(made, served, format_), encoding="utf-8")
    print(output)


def _written(made: Comparison, served: tuple[Serving, ...], format_: str) -> str:
    import json

    from core.reports.votes_export import comparison_csv, votes_csv, votes_json

    if format_ == "seed":
        return comparison_csv(made.id, made.slots, made.units, served)
    if format_ == "csv":
        return votes_csv(made.slots, made.units, served)
    return json.dumps(votes_json(made.slots, made.units, served), indent=2, ensure_ascii=False)


@app.command()
def invite(
    comparison: Number,
    judge: Annotated[str, typer.Option(help="Who will vote with this link.")],
    hours: Annotated[float, typer.Option(help="How long it is open.")] = 48,
) -> None:
    """Print a link for a guest. It lets one person without an account vote on this comparison only."""
    from core.settings import load_settings
    from core.store.comparisons import comparison as read
    from core.store.guest_links import invite as keep
    from core.store.opening import open_database
    from daemon.cli.runs import judge_name

    settings = load_settings()
    with open_database(settings) as database, database.transaction() as connection:
        if read(connection, comparison) is None:
            raise _missing(comparison)
        token, link = keep(connection, comparison, judge, created_by=judge_name(), hours=hours)
    print(f"{settings.dashboard_home}guest/{token}")
    print(f"Open until {link.expires_at:%Y-%m-%d %H:%M} UTC. It is shown once: keep it now.")
    if not settings.dashboard_url:
        print("Set EPOCHWATCH_DASHBOARD_URL to the address under which guests reach the dashboard.")


@app.command()
def links(json_: AsJson = False) -> None:
    """List guest links; their tokens are not known any more."""
    from core.settings import load_settings
    from core.store.guest_links import links as kept
    from core.store.opening import open_database
    from daemon.cli.output import print_json, print_table

    with open_database(load_settings()) as database, database.transaction() as connection:
        found = [_line(each) for each in kept(connection)]
    if json_:
        print_json(found)
    elif not found:
        print("No guest links. Make one: epochwatch votes invite ID --judge NAME")
    else:
        shown = [{**each, "expires_at": f"{each['expires_at']:%Y-%m-%d %H:%M}"} for each in found]
        print_table(shown, ("link", "comparison", "judge", "state", "expires_at", "created_by"))


def _line(link: GuestLink) -> dict[str, Any]:
    state: Literal["open", "expired", "revoked"] = "open"
    if link.revoked_at is not None:
        state = "revoked"
    elif link.expires_at <= datetime.now(UTC):
        state = "expired"
    return {
        "link": link.token_sha256[:8],
        "comparison": link.comparison,
        "judge": link.judge,
        "state": state,
        "expires_at": link.expires_at,
        "created_by": link.created_by,
    }


@app.command()
def revoke(
    link: Annotated[str, typer.Argument(help="First digits of the link (epochwatch votes links).")],
) -> None:
    """Close a guest link at once; votes given with it stay."""
    from core.errors import Fixable
    from core.settings import load_settings
    from core.store.guest_links import revoke as close
    from core.store.opening import open_database

    with open_database(load_settings()) as database, database.transaction() as connection:
        closed = close(connection, link)
    if not closed:
        raise Fixable(f"No open link begins with {link!r}. See: epochwatch votes links")
    for each in closed:
        print(f"{each.token_sha256[:8]}: {each.judge} cannot vote on {each.comparison} any more.")


def _missing(comparison: int) -> Exception:
    from core.errors import Fixable

    return Fixable(f"There is no comparison {comparison}. See: epochwatch compare")
