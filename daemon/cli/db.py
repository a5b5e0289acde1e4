"""`epochwatch db`: migrate, status, stop."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def migrate(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Bring the database to this version. An existing one is adopted, and no row is changed."""
    from core.settings import load_settings
    from core.store import migrate as migrations
    from core.store.database import Database
    from core.store.opening import open_dsn

    with open_dsn(load_settings()) as dsn:
        pending = migrations.pending(dsn)
        if not pending:
            print("The database is up to date.")
            return
        with Database(dsn) as database, database.transaction() as connection:
            plan = migrations.preview(connection)
        print(f"{len(pending)} migrations to apply:")
        print("\n".join(f"  {line}" for line in plan.lines))
        if plan.has_data and not yes and not typer.confirm("Go on?"):
            print("Nothing was changed.")
            raise typer.Exit(1)
        for done in migrations.migrate(dsn):
            print(f"applied {done.version:04d} {done.name}")


@app.command()
def status() -> None:
    """Say which database is used and whether it is up to date."""
    from core.settings import load_settings
    from core.store import migrate as migrations
    from core.store.opening import open_dsn

    settings = load_settings()
    where = "DATABASE_URL" if settings.database_url else f"embedded, in {settings.home / 'pg'}"
    with open_dsn(settings) as dsn:
        pending = migrations.pending(dsn)
    print(f"database: {where}")
    if settings.database_url is None:  # its address holds no secret
        print(f'by hand, while a command such as watch or dashboard runs: psql "{dsn}"')
    todo = f"migrations to apply: {len(pending)}; apply them with: epochwatch db migrate"
    print(todo if pending else "up to date")


@app.command()
def stop() -> None:
    """Stop the embedded server."""
    from core.settings import load_settings
    from core.store import embedded

    embedded.stop(load_settings().home)
    print("The embedded server is stopped.")
