"""`epochwatch alerts`: list what was told, and try the addresses."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Alerts.", no_args_is_help=True)


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
    shown = [{**each, "title": each["payload"]["title"]} for each in found]
    print_table(shown, ("created_at", "title", "state", "error"))


@app.command()
def test() -> None:
    """Send one message to every configured address."""
    from core.errors import Fixable
    from core.settings import load_settings
    from daemon.actions.notify import Notifier

    notifier = Notifier(urls=load_settings().alert_urls)
    notifier.check()
    if not notifier.targets:
        raise Fixable(
            'No alert address: set EPOCHWATCH_ALERT_URLS=\'["slack://..."]\' or alert_urls in '
            "epochwatch.toml."
        )
    notifier.send("Epochwatch can reach you", "This is the test message you asked for.")
    print(f"sent to {notifier.targets} addresses")
