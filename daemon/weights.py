"""Finds a checkpoint's file on this machine: the private copy, else the one kept in the store.

It also clears the spool of copies that nobody needs any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from core.settings import Settings
from core.store import promotions
from core.store.database import Database, row
from core.store.files import ImageStore, NotStored
from daemon.spool import LARGEST_LORA, Spool
from daemon.spool_files import write_whole

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Every checkpoint that this machine can get at."""

    database: Database
    spool: Spool
    store: ImageStore
    folder: Path  # for what is fetched from the store
    most_bytes: int  # that the spool may hold before copies nobody needs are removed

    def find(self, sha256: str) -> Path | None:
        """Return a verified file of this content, or None when there is none to be had.

        Raises Retryable when database or store are away, Permanent when the kept copy is damaged.
        """
        return self.spool.path(sha256) or self._fetched(sha256)

    def at_hand(self, sha256: str) -> Path | None:
        """Return a verified file that is on this machine already, or None."""
        fetched = self._place(sha256)
        return self.spool.path(sha256) or (fetched if fetched.exists() else None)

    def tidy(self) -> list[str]:
        """Remove copies beyond the cap, but none that anybody still looks at; return them."""
        with self.database.transaction() as connection:
            pinned = promotions.pinned(connection)
        removed = self.spool.evict(set(pinned), self.most_bytes)
        for path in self.folder.glob("*.safetensors"):
            if path.stem not in pinned:
                path.unlink(missing_ok=True)
                removed.append(path.stem)
        if removed:
            log.info("copies nobody needs removed", count=len(removed))
        return removed

    def _fetched(self, sha256: str) -> Path | None:
        path = self._place(sha256)
        if path.exists():
            return path
        with self.database.transaction() as connection:
            known = row(connection, "checkpoints.uri", sha256=sha256)
        if known is None or not known["uri"]:
            return None
        if known["size_bytes"] > LARGEST_LORA:  # it would be held in memory at once
            log.warning("kept copy is too large to be fetched by itself", uri=known["uri"])
            return None
        # Of a pair the address names its weights alone, which mean nothing without the other file.
        if Path(urlsplit(known["uri"]).path).stem != sha256:
            return None
        try:
            content = self.store.get("checkpoints", sha256)  # checked against its name
        except NotStored as trouble:
            log.warning("kept copy is gone", sha256=sha256, reason=str(trouble))
            return None
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, content)
        return path

    def _place(self, sha256: str) -> Path:
        """Return where what is fetched from the store lies."""
        return self.folder / f"{sha256}.safetensors"


def weights_of(settings: Settings, database: Database, store: ImageStore, spool: Spool) -> Weights:
    """Return the checkpoints that this machine's settings lead to."""
    return Weights(
        database=database,
        spool=spool,
        store=store,
        folder=settings.home / "fetched",
        most_bytes=int(settings.spool_gb * 1e9),
    )
