"""`epochwatch alerts`: list what was told, and try the addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daemon.actions.notify import Notifier

app = typer.Typer(help="What was told, and whether it arrived.", no_args_is_help=True)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the newest alerts and whether they were delivered."""
    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database
    from daemon.cli.output import print_json, print_table

    with open_database(load_settings()) as database, database.transaction() as connection:
        found = rows(connection, "actions.recent", kind="alert", limit=limit)
    if json_:
        print_json(found)
        return
    if not found:
        print("No alerts yet.")
        return
    shown = [
        {
            "when": f"{each['created_at']:%Y-%m-%d %H:%M}",
            "title": each["payload"]["title"],
            "state": each["state"],
            "what came of it": each["error"],
        }
        for each in found
    ]
    print_table(shown, ("when", "title", "state", "what came of it"))


@app.command()
def test() -> None:
    """Send one message to every configured address."""
    from core.errors import Fixable, Retryable
    from core.settings import load_settings
    from daemon.actions.notify import Notifier

    notifier = Notifier(urls=load_settings().alert_urls)
    notifier.check()
    if not notifier.addresses:
        raise Fixable(
            "No alert address: set EPOCHWATCH_ALERT_URLS='[\"slack://...\"]' or alert_urls in "
            "epochwatch.toml."
        )
    failed = [name for name in notifier.addresses if not _reaches(notifier, name)]
    if failed:
        raise Retryable(f"The test message did not reach {', '.join(failed)}.")


def _reaches(notifier: Notifier, name: str) -> bool:
    from core.errors import Retryable

    try:
        notifier.send(name, "Epochwatch can reach you", "This is the test message you asked for.")
    except Retryable as trouble:
        print(f"WRONG {trouble}")
        return False
    print(f"ok    {name}")
    return True
