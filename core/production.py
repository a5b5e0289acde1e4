"""What page and command line do about production: look at a candidate, and decide on it.

The one place where the memory of promotions and the rule about them meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.errors import Fixable
from core.formats.checkpoint_file import WEIGHTS
from core.metrics import metric_versions
from core.nouns import SlotPart, Stack, Verdict
from core.polls import doubted
from core.reports.production_record import production_record
from core.rules.ballots import as_votes
from core.rules.criteria import Candidate
from core.rules.promotion import Checklist, candidate_of, checklist, set_aside
from core.rules.scoring import FLAG_SHARE, band, verdict
from core.rules.strengths import StrengthFinding
from core.rules.vote_criteria import Ballot
from core.store import comparisons, gallery, owners_tables, promotions, voting
from core.store.database import Connection, row, rows, storable
from core.store.promotions import CandidateRows, Decision, Promotion
from core.sweeps import findings_of
from core.tested import TestedEpoch, tested_epochs


@dataclass(frozen=True, kw_only=True)
class Look:
    """A candidate, judged."""

    rows: CandidateRows
    candidate: Candidate
    checked: Checklist
    record: Mapping[str, Any]

    @property
    def slot(self) -> str | None:
        """What votes call it; None while its base model is not known."""
        return _slot(self.rows)


def look(connection: Connection, run_id: int, position: int, *, strict: bool = False) -> Look:
    """Judge one position of a run by the checklist, with the record it would have in production.

    Raises:
        Fixable: when there is no such run or checkpoint.
    """
    found = promotions.candidate(connection, run_id, position)
    has_production = found.current is not None
    seen = candidate_of(
        images=found.images, people=found.people, epoch=found.epoch, has_production=has_production
    )
    checked = checklist(seen, _ballot(connection, found), strict=strict)
    issues = [name for name, n in seen.issues.items() if n / seen.images >= FLAG_SHARE]
    record = production_record(
        about=found.about,
        checkpoint=found.checkpoint,
        suite=found.suite,
        score=seen.average,
        verdict=checked.sentence,
        issues=issues or (found.epoch or {}).get("issues_detail") or (),
        excluded=checked.excluded,
        versions={"epochwatch": _own_version(), "metrics": metric_versions()},
        strengths=_strengths(connection, run_id, position),
    )
    return Look(rows=found, candidate=seen, checked=checked, record=record)


def promote(
    connection: Connection, seen: Look, *, reason: str, by_whom: str, host: str | None = None
) -> int:
    """Decide that a candidate goes to production; return the number of the decision.

    ``host`` carries it out; by default the machine that has the file.

    Raises:
        Fixable: when a criterion blocks and no reason is given, when the file cannot be one of
            production's, or when it is in production already.
    """
    _refuse_what_cannot_be_live(seen)
    aside = set_aside(seen.checked, reason)
    about, checkpoint = seen.rows.about, seen.rows.checkpoint
    return promotions.decide(
        connection,
        Decision(
            run_id=about["id"],
            run_name=about["run_name"],
            position=checkpoint["position"],
            sha256=checkpoint["sha256"],
            record=seen.record,
            checklist=[criterion.as_json() for criterion in seen.checked.criteria],
            overridden=aside,
            reason=storable(reason, 2000),
            by_whom=storable(by_whom, 200) or "somebody",
            host=host or _doer(connection, seen.rows),
        ),
    )


def take_back(connection: Connection, rollback: Promotion) -> None:
    """Withdraw what the owner's tables were told of the epoch that a rollback takes out.

    Its verdict is again the one its score gives, and its run's best epoch the one the advice
    names; cells that somebody has changed since stay as they are. A decision that goes on to
    another model withdraws nothing: what was live before it had earned its words.
    """
    if rollback.rolled_back_from is None:
        return
    gone = promotions.promotion(connection, rollback.rolled_back_from)
    if gone is None or gone.run_id is None:
        return
    where = {"run_id": gone.run_id}
    epochs = tested_epochs(
        rows(connection, "results.of_run", **where),
        rows(connection, "results.latest_scores", **where),
    )
    if (gone.run_id, gone.position) != (rollback.run_id, rollback.position):
        earned = {"verdict": _earned(connection, gone, epochs), "production_ready": False}
        owners_tables.give_back_epoch(
            connection, gone.run_id, gone.position, promotions.EPOCH_WORDS, earned
        )
    if gone.run_id != rollback.run_id:
        owners_tables.give_back_run(
            connection,
            gone.run_id,
            promotions.run_words(gone),
            {"production_ready": False, **_best(connection, gone.run_id, epochs)},
        )


def _earned(
    connection: Connection, gone: Promotion, epochs: Mapping[int, TestedEpoch]
) -> Verdict | None:
    """Return the verdict that an epoch's score gives: of its test, else of the owner's row."""
    if gone.position in epochs:
        return epochs[gone.position].verdict
    found = row(connection, "promotions.epoch", run_id=gone.run_id, position=gone.position)
    if found is None:
        return None
    average = None if found["average"] is None else float(found["average"])
    return verdict(average, photorealistic_collapse=bool(found["is_photorealistic"]))


def _best(
    connection: Connection, run_id: int, epochs: Mapping[int, TestedEpoch]
) -> dict[str, int | None]:
    """Return what the machine says of a run's best epoch; nothing where it never gave advice."""
    advice = row(connection, "results.current_advice", run_id=run_id)
    if advice is None:
        return {}
    pick = advice["body"].get("pick")
    average = epochs[pick].effective.average if pick in epochs else None
    return {"best_epoch": pick, "quality_score": None if average is None else band(average)}


def _doer(connection: Connection, found: CandidateRows) -> str | None:
    """Return the host to do it: where production lies if a kept copy reaches it, else the file's.

    None, any host, when the file's machine is silent and a copy was kept.
    """
    where = found.current.host if found.current else None
    kept, home = bool(found.checkpoint["uri"]), str(found.checkpoint["host"])
    if where is not None and kept:
        return where
    alive = {host.name for host in gallery.hosts(connection) if host.is_at_work}
    return home if home in alive or not kept else None


def _refuse_what_cannot_be_live(seen: Look) -> None:
    about, checkpoint = seen.rows.about, seen.rows.checkpoint
    name = f"{about['run_name']} {checkpoint['position']}"
    if checkpoint["invalid_reason"]:
        raise Fixable(f"{name} cannot go to production: {checkpoint['invalid_reason']}")
    if checkpoint["layout"] == "peft" and checkpoint["source_path"].endswith(f"/{WEIGHTS}"):
        raise Fixable(
            f"{name} cannot go to production: it is a PEFT adapter of two files, and "
            "current.safetensors is one file that must mean the same by itself. Save it as one "
            "file (kohya's or diffusers' form), let that be watched, and promote it."
        )


def _ballot(connection: Connection, found: CandidateRows) -> Ballot | None:
    """Return people's votes on the candidate; None while it cannot be told from others.

    Whoever saw the names is not counted, and a judge is checked on all of the comparisons.
    """
    slot = _slot(found)
    if slot is None:
        return None
    served = voting.served_slots(connection, [slot])
    return Ballot(
        candidate=slot,
        base=Stack(base_sha256=found.about["base_sha256"]).key,
        production=_live_slot(connection),
        votes=as_votes(each for each in served if each.blind),
        named=as_votes(each for each in served if not each.blind),
        flagged=doubted(connection, {each.comparison for each in served}),
    )


def _slot(found: CandidateRows) -> str | None:
    base, strength = found.about["base_sha256"], found.about["strength"]
    return None if base is None else Stack.of_checkpoint(found.checkpoint, base, strength).key


def _live_slot(connection: Connection) -> str | None:
    """Return the slot of what is in production; None when its run is no longer known."""
    try:
        parts = [SlotPart(run=None, what="production", strength=None)]
        return comparisons.find_slot(connection, parts, 0).key
    except Fixable:
        return None


def _strengths(connection: Connection, run_id: int, position: int) -> StrengthFinding | None:
    """Return what a sweep of strengths says of this position; None before there is one."""
    found = findings_of(connection, run_id)
    return next((each for each in found if each.position == position), None)


def _own_version() -> str | None:
    try:
        return version("epochwatch")
    except PackageNotFoundError:  # a checkout on the path
        return None
