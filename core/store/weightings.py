"""Weights of the score that were adopted: documents with a history; the last adoption stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.store.database import Connection, Row, bump, row, rows, run


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """Weights that were adopted; ``body["weights"]`` is None where the default came back."""

    digest: str
    body: Mapping[str, Any]
    adopted_by: str
    adopted_at: datetime
    why: str

    @property
    def weights(self) -> Mapping[str, float] | None:
        """Weight of each part, or None for the plain mean of the three scores."""
        found: Mapping[str, float] | None = self.body.get("weights")
        return found


def current(connection: Connection) -> Adoption | None:
    """Return the adoption that stands; None when nothing was ever adopted."""
    found = row(connection, "calibration.current")
    return Adoption(**found) if found else None


def in_force(connection: Connection) -> str | None:
    """Return the digest of the weights that a new run gets; None for the plain mean."""
    found = current(connection)
    return found.digest if found and found.weights else None


def history(connection: Connection) -> tuple[Adoption, ...]:
    """Return every adoption and fall back, the newest first."""
    return tuple(Adoption(**found) for found in rows(connection, "calibration.history"))


def of_run(connection: Connection, run_id: int | None) -> str | None:
    """Return the digest of the weights a run is scored with; None for the plain mean."""
    found = row(connection, "calibration.of_run", run_id=run_id) if run_id is not None else None
    return str(found["digest"]) if found else None


def weights_called(connection: Connection, digest: str | None) -> Mapping[str, float] | None:
    """Return the weights stored under a digest; None for the plain mean."""
    found = row(connection, "results.document", digest=digest) if digest else None
    weights: Mapping[str, float] | None = found["body"].get("weights") if found else None
    return weights


def adopt(connection: Connection, digest: str, adopted_by: str, why: str) -> None:
    """Let new runs be scored with the weighting stored under ``digest``."""
    run(connection, "calibration.adopt", digest=digest, adopted_by=adopted_by[:200], why=why)
    bump(connection)


def pair_votes(
    connection: Connection, run_id: int | None, since: datetime | None = None
) -> list[Row]:
    """Return every standing blind answer to a pair with both measurements; None asks of all runs."""
    return rows(connection, "calibration.votes", run_id=run_id, since=since)


def rankings(
    connection: Connection, run_id: int | None, since: datetime | None = None
) -> list[Row]:
    """Return every standing blind answer to more than two pictures, with each one's measurement."""
    return rows(connection, "calibration.rankings", run_id=run_id, since=since)


def named_votes(connection: Connection, run_id: int | None) -> int:
    """Return how many answers were given with the names shown, which teach nothing."""
    found = row(connection, "calibration.named", run_id=run_id)
    return int(found["votes"]) if found else 0


def voted_on(connection: Connection, run_id: int | None) -> list[int]:
    """Return the comparisons of a run, or of all, on which pictures were served."""
    return [
        found["comparison"] for found in rows(connection, "calibration.comparisons", run_id=run_id)
    ]


def objected_pairs(connection: Connection, run_id: int | None) -> list[Row]:
    """Return pictures whose score is called wrong, each beside the one scored most alike."""
    return rows(connection, "calibration.objections", run_id=run_id)


def votes_since(connection: Connection, moment: datetime) -> int:
    """Return how many clear blind answers were given after a moment; a ranking of k is k - 1."""
    found = row(connection, "calibration.votes_since", since=moment)
    return int(found["votes"]) if found else 0
