"""Puts a decided checkpoint into the production folder, says so, and tells the generator.

Every step may be done again: a run that was killed is completed by the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from core import production
from core.errors import Fixable, Permanent
from core.formats.checkpoint_file import COMPANION
from core.reports.production_record import as_text, live_record
from core.settings import Settings
from core.store import promotions
from core.store.database import Database
from core.store.promotions import Promotion
from daemon.actions.production_folder import RECORD, ProductionFolder
from daemon.commands import run_to_end

log = structlog.get_logger()

_HOOK_SECONDS = 45.0  # inside the minute an action is held for
_OURS = ("EPOCHWATCH_", "DATABASE_URL", "S3_", "ALERT_")  # variables that may hold secrets


@dataclass(frozen=True, kw_only=True)
class Promoter:
    """Carries out decisions about production on this host."""

    database: Database
    folder: ProductionFolder
    host: str
    find_weights: Callable[[str], Path | None]
    keep: int = 5  # checkpoints that stay in the folder, the live one included
    hook: tuple[str, ...] = ()  # program and arguments, run after each change

    def promote(self, promotion_id: int) -> str:
        """Make a decision live and return what was done.

        Raises Fixable when its file is not to be had here, Permanent when the file is another one,
        Retryable when disk or database fail.
        """
        with self.folder.held():
            promoted, newer = self._read(promotion_id)
            if newer is not None:
                return f"overtaken by number {newer.id}, which is live: nothing was changed"
            self._have(promoted)
            record = live_record(
                promoted.record,
                number=promoted.id,
                by_whom=promoted.by_whom,
                decided_at=promoted.decided_at,
                reason=promoted.reason,
                overridden=promoted.overridden,
                rolled_back_from=promoted.rolled_back_from,
            )
            self.folder.point(record, as_text(record))
            with self.database.transaction() as connection:
                hooked = bool(self.hook)
                if promotions.went_live(connection, promoted, host=self.host, has_hook=hooked):
                    production.take_back(connection, promoted)
            self._tidy()
        log.info("promoted", run=promoted.run_name, position=promoted.position, by=promoted.by_whom)
        return f"live at {self.folder.pointer}"

    def run_hook(self, promotion_id: int) -> str:
        """Run the command that the settings name, and return its last words.

        Raises Permanent when it fails or takes too long: it is not run again by itself.
        """
        if not self.hook:
            return "no command is set any more"
        with self.database.transaction() as connection:
            promoted = promotions.promotion(connection, promotion_id)
        if promoted is None:
            raise Permanent("This decision about production is no longer in the database.")
        name, environment = self.hook[0], self._environment(promoted)
        try:
            ended = run_to_end(self.hook, seconds=_HOOK_SECONDS, environment=environment)
        except OSError as error:
            raise Permanent(f"{name} cannot be run: {error.strerror}.") from error
        if ended.code is None:
            raise Permanent(
                f"{name} took longer than {_HOOK_SECONDS:.0f} s and was ended. {ended.said}"
            )
        if ended.code != 0:
            raise Permanent(f"{name} ended with {ended.code}. {ended.said}")
        return f"{name} ended with 0. {ended.said}".strip()

    def _read(self, promotion_id: int) -> tuple[Promotion, Promotion | None]:
        """Return the decision, and what went live after it was made, if anything did."""
        with self.database.transaction() as connection:
            promoted = promotions.promotion(connection, promotion_id)
            live = promotions.current(connection)
        if promoted is None:
            raise Permanent("This decision about production is no longer in the database.")
        return promoted, live if live is not None and live.id > promotion_id else None

    def _have(self, promoted: Promotion) -> None:
        """Make sure that the checkpoint is in the folder, whole."""
        if self.folder.holds(promoted.sha256):
            return
        source = self.find_weights(promoted.sha256)
        if source is None:
            raise Fixable(
                f"The file of {promoted.run_name} {promoted.position} is gone from this machine "
                "and no copy of it was kept, so it is not in production. Put it back into the "
                "watched folder and promote it again."
            )
        if source.with_name(COMPANION).is_file():
            raise Permanent(
                f"{promoted.run_name} {promoted.position} is a PEFT adapter of two files, and "
                "production holds single files. Save it as one file and promote that."
            )
        self.folder.put(source, promoted.sha256)

    def _tidy(self) -> None:
        """Keep the checkpoints that were live last, and those that are on their way."""
        with self.database.transaction() as connection:
            known = promotions.history(connection)
        live = [
            each.sha256 for each in known if each.live_at is not None and each.host == self.host
        ]
        waiting = [each.sha256 for each in known if each.state == "pending"]
        kept = [*dict.fromkeys(live)][: max(1, self.keep)]
        if removed := self.folder.tidy({*kept, *waiting}):
            log.info("old production files removed", count=len(removed))

    def _environment(self, promoted: Promotion) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.upper().startswith(_OURS)}
        return {
            **clean,
            "EPOCHWATCH_PRODUCTION_FILE": str(self.folder.pointer),
            "EPOCHWATCH_PRODUCTION_RECORD": str(self.folder.folder / RECORD),
            "EPOCHWATCH_PRODUCTION_SHA256": promoted.sha256,
        }


def promoter_of(
    settings: Settings, database: Database, find_weights: Callable[[str], Path | None]
) -> Promoter:
    """Return the promoter that this machine's settings ask for."""
    return Promoter(
        database=database,
        folder=ProductionFolder(folder=settings.production_folder),
        host=settings.host_name,
        find_weights=find_weights,
        keep=settings.production_keep,
        hook=settings.promote_hook,
    )
