"""The commands that print facts and end: converge, doctor."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.errors import EpochwatchError, Fixable
from daemon.cli.output import one_line, print_json


def converge(
    scores: str,
    *,
    planned: int | None,
    stop: str,
    seconds: float | None,
    price: float | None,
    as_json: bool,
) -> None:
    """Judge scores given as text or as a CSV file."""
    from core.rules.advice import THRESHOLDS, advise, read_scores

    if stop not in THRESHOLDS:
        raise Fixable(f"--stop is {stop!r}; it can be {', '.join(THRESHOLDS)}.")
    advice = advise(
        read_scores(_text_of(scores)),
        planned=planned,
        dial=stop,
        seconds_per_epoch=seconds,
        price_per_hour=price,
    )
    if as_json:
        print_json(advice.as_json())
        return
    print(advice.sentence)
    print(f"label: {advice.label}   status: {advice.status}")
    for reason in advice.reasons:
        print(f"- {reason}")


def _text_of(scores: str) -> str:
    """Return the scores themselves, or the content of the file that is named."""
    path = Path(scores)
    if not path.suffix and not path.is_file():
        return scores
    if not path.is_file():
        raise Fixable(f"There is no file {scores}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Fixable(f"{scores} is not a text file; save the table as CSV in UTF-8.") from None


def doctor() -> None:
    """Check everything a run will need, one line each, and say what to do about what is wrong."""
    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database, open_image_store
    from daemon.actions.notify import Notifier
    from daemon.sharing import manners

    settings = load_settings()

    def database() -> str:
        with open_database(settings) as opened, opened.transaction() as connection:
            version = connection.execute("SHOW server_version").fetchone()
            rows(connection, "rev.all")
        kind = "DATABASE_URL" if settings.database_url else "embedded"
        return f"PostgreSQL {(version or {}).get('server_version')} ({kind})"

    def store() -> str:
        open_image_store(settings).has("images", "0" * 64)
        return settings.store_url.partition("?")[0]

    def disk() -> str:
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=settings.home).close()
        except OSError as trouble:
            raise Fixable(
                f"{settings.home} cannot be written ({trouble.strerror}). Set EPOCHWATCH_HOME to a "
                "folder of your own."
            ) from trouble
        free = shutil.disk_usage(settings.home).free
        if free < 500_000_000:
            raise Fixable(
                f"Only {free // 1_000_000} MB free in {settings.home}; 500 MB are needed."
            )
        return f"{free / 1e9:.1f} GB free in {settings.home}"

    def alerts() -> str:
        notifier = Notifier(urls=settings.alert_urls)
        notifier.check()
        return ", ".join(notifier.addresses) or "none; alerts are shown in the dashboard"

    checks: dict[str, Callable[[], str]] = {
        "python": lambda: sys.version.split()[0],
        "processor cores": lambda: str(os.cpu_count()),
        "database": database,
        "image store": store,
        "disk": disk,
        "alert addresses": alerts,
        "signing in": lambda: _signing_in(has_accounts=settings.has_accounts),
        "drawing": _device,
        "beside a trainer": lambda: manners(settings),
    }
    failed = [name for name, check in checks.items() if not _passes(name, check)]
    if failed:
        raise Fixable(f"Not ready: {', '.join(failed)}.")


def _passes(name: str, check: Callable[[], str]) -> bool:
    try:
        print(f"ok    {name:16} {check()}")
    except (EpochwatchError, OSError) as trouble:
        print(f"WRONG {name:16} {one_line(trouble)}")
        return False
    return True


def _signing_in(*, has_accounts: bool) -> str:
    """Say by whom people sign in to the dashboard, from the files in which Streamlit looks."""
    from core.formats.sign_in_file import section_in, ways_in

    folders = (Path.home(), Path(__file__).resolve().parents[2])
    section = section_in(folder / ".streamlit" / "secrets.toml" for folder in folders)
    found = ways_in(section, has_accounts=has_accounts)
    return ", ".join(found) or "off; names in the dashboard are as people type them"


def _device() -> str:
    """Say what would draw, without importing it: that takes seconds."""
    found = {}
    for name in ("torch", "diffusers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            raise Fixable(
                f'{name} is not installed here, so no images can be drawn: pip install "epochwatch[gpu]"'
            ) from None
    return ", ".join(f"{name} {number}" for name, number in found.items())
