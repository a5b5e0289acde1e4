"""Reads measurements and people's scores; writes the owner's tables, the advice, and what must happen once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from core.errors import Permanent, Retryable
from core.nouns import digest
from core.rules.advice import Advice
from core.rules.alerting import Event, Told, events
from core.rules.learning_rate import Schedule, schedule_of_run
from core.rules.measured_rate import MeasuredRate, continued, reaching, stored_rate
from core.rules.overfitting import SetLevel, caution, warnings
from core.rules.saturation import saturated
from core.rules.scoring import floor_for_display
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.sweeps import findings_of
from core.tested import TestedEpoch, has_ended, is_complete, tested_epochs, untested
from daemon.advising import advice_body, advice_on
from daemon.calibrating import Check, check_of, fall_back_on_drift
from daemon.gatekeeper import standing_of, tell_of_plan
from daemon.projection import epoch_cells, write_epoch, write_run
from daemon.rate_logs import RateLogs
from daemon.retest import ask_deeper, ask_retest
from daemon.set_judgement import SetJudge

log = structlog.get_logger()


@dataclass(kw_only=True)
class Judge:
    """Judges every run whose results changed since it last looked."""

    database: Database
    host: str
    _seen: dict[int, str] = field(default_factory=dict)  # run -> evidence of its last advice
    _projected: dict[tuple[int, int], str] = field(
        default_factory=dict
    )  # epoch -> what was written
    _marks: dict[int, str] = field(default_factory=dict)  # run -> what it looked like when judged
    _rev: int = -1
    _sets: SetJudge = field(default_factory=SetJudge)
    _logs: RateLogs = field(default_factory=RateLogs)

    def is_current(self) -> bool:
        """Tell whether everything there is has been judged."""
        with self.database.transaction() as connection:
            return self._revision(connection) == self._rev

    def _revision(self, connection: Connection) -> int:
        counters = {found["topic"]: found["n"] for found in rows(connection, "rev.all")}
        return int(counters["results"])

    def judge(self) -> None:
        """Look at the runs whose evidence may have changed; runs without news cost one query together.

        Raises Permanent that names the runs which could not be judged, after all others were.
        """
        with self.database.transaction() as connection:
            rev = self._revision(connection)
            if rev == self._rev:
                return
            watched = rows(connection, "runs.watched")
        news = [about for about in watched if self._marks.get(about["id"]) != about["mark"]]
        failed = [trouble for about in news if (trouble := self._try_run(about)) is not None]
        with self.database.transaction() as connection:
            fall_back_on_drift(connection)
        self._rev = rev
        if failed:
            raise Permanent(
                f"{'; '.join(failed)}. What was advised before still stands there, all other runs "
                "are judged. The daemon's log has the details; it is tried again with the next results."
            )

    def _try_run(self, about: Row) -> str | None:
        """Judge a run; return what went wrong, so that one run holds up no other."""
        try:
            with self.database.transaction() as connection:
                self._judge_run(connection, about["id"])
        except Retryable:
            raise
        except Exception as trouble:
            log.exception("judge", run=about["run_name"])
            why = str(trouble).rstrip(".") or type(trouble).__name__
            return f"{about['run_name']} could not be judged: {why}"
        self._marks[about["id"]] = about["mark"]
        return None

    def judge_run(self, run_id: int) -> None:
        """Look at one run now."""
        with self.database.transaction() as connection:
            self._judge_run(connection, run_id)

    def _judge_run(self, connection: Connection, run_id: int) -> None:
        about = row(connection, "runs.get", run_id=run_id)
        over = row(connection, "results.tests_over", run_id=run_id)
        results = rows(connection, "results.of_run", run_id=run_id)
        opinions = rows(connection, "results.latest_scores", run_id=run_id)
        if about is None or over is None:
            return
        epochs = tested_epochs(results, opinions)
        if not epochs:
            return
        complete = is_complete(connection, run_id, results)
        ended = has_ended(about, complete=complete)
        standing = standing_of(connection, about, epochs, results, ended=ended)
        findings = findings_of(connection, run_id)
        check, sets = check_of(connection, run_id), self._sets.judge(connection, run_id, epochs)
        saves = rows(connection, "checkpoints.current", run_id=run_id)
        advice, evidence = advice_on(
            about,
            epochs,
            ended=ended,
            gates=standing.gates if standing else (),
            findings=findings,
            check=check,
            schedule=self._learning_rate(connection, about, saves, epochs),
            waiting=untested(saves, results),
        )
        tell_of_plan(connection, about, standing, pick=advice.pick)
        images = {place: [each for _, each in epoch.measured] for place, epoch in epochs.items()}
        still = [said] if (said := saturated(images, advice.unit)) else []
        said_of_sets = warnings(sets, advice.unit)
        advice = replace(
            advice,
            sentence=advice.sentence + caution(sets, advice.pick, advice.unit),
            reasons=(*advice.reasons, *said_of_sets, *still),
        )
        evidence = digest([evidence, [level.as_json() for level in sets.values()], *still])
        if self._seen.get(run_id) == evidence:
            run(connection, "results.confirm_advice", run_id=run_id, seen=over["seen"])
            return
        for position, epoch in epochs.items():
            self._project(connection, run_id, position, epoch, advice, sets[position])
        self._decide(connection, about, epochs, advice, evidence, complete=complete, check=check)
        run(connection, "results.confirm_advice", run_id=run_id, seen=over["seen"])
        ask_retest(connection, about, advice)
        ask_deeper(connection, about, advice, epochs)
        bump(connection)
        self._seen[run_id] = evidence

    def _learning_rate(
        self,
        connection: Connection,
        about: Row,
        saves: Sequence[Row],
        epochs: Mapping[int, TestedEpoch],
    ) -> Schedule | MeasuredRate | None:
        """Return the rate that the trainer logged, else the one that its settings make.

        What was read of a log stays with the advice, for hosts that do not see the log.
        """
        planned = schedule_of_run(about, saves[-1]["facts"] if saves else None)
        mine = [save for save in saves if save["host"] == self.host]
        trainers = rows(connection, "trainers.of_run", run_id=about["id"])
        here = [trainer for trainer in trainers if trainer["host"] == self.host]
        measured = self._logs.measure(about, mine, here, latest=max(epochs))
        if measured is None:
            before = row(connection, "results.current_advice", run_id=about["id"])
            measured = stored_rate(before["body"]) if before else None
        measured = reaching(measured, list(epochs))
        return planned if measured is None else continued(measured, planned)

    def _project(
        self,
        connection: Connection,
        run_id: int,
        position: int,
        epoch: TestedEpoch,
        advice: Advice,
        level: SetLevel,
    ) -> None:
        """Write the epoch into the owner's tables, unless it says what it said before."""
        cells = {**epoch_cells(position, epoch, advice), "is_overtrained": level.overtrained}
        said = digest(cells)
        if self._projected.get((run_id, position)) != said:
            write_epoch(connection, run_id, position, epoch, cells)
            self._projected[run_id, position] = said

    def _decide(
        self,
        connection: Connection,
        about: Row,
        epochs: Mapping[int, TestedEpoch],
        advice: Advice,
        evidence: str,
        *,
        complete: bool,
        check: Check | None,
    ) -> None:
        """Store advice, run row and actions together: one transaction, so none is ever without the others."""
        run_id = about["id"]
        before = row(connection, "results.current_advice", run_id=run_id)
        if before is not None and before["evidence"] == evidence:
            return
        run(
            connection,
            "results.save_advice",
            run_id=run_id,
            evidence=evidence,
            sentence=advice.sentence,
            body=advice_body(advice, epochs, check),
        )
        write_run(connection, run_id, epochs, advice, complete=complete)
        told = Told.from_json(before["body"]) if before else None
        failures = [
            event
            for failure in failures_of(epochs, ended=advice.ended)
            for event in events(
                told, advice, run_id=run_id, run_name=about["run_name"], failure=failure
            )
        ]
        news = events(told, advice, run_id=run_id, run_name=about["run_name"])
        for event in (*failures, *news):
            _alert(connection, run_id, event, advice)
        for position in worth_keeping(advice, epochs):
            _keep(connection, run_id, epochs[position].rows[0]["sha256"])
        _log(about["run_name"], epochs, advice, before)


def _log(
    run_name: str, epochs: Mapping[int, TestedEpoch], advice: Advice, before: Row | None
) -> None:
    """Write what is new into the log: each position once, and the advice where its words changed."""
    curve = before["body"].get("curve", ()) if before else ()
    known = {point["position"] for point in curve if not point["future"]}
    for position, epoch in epochs.items():
        average = epoch.summary.score.average
        if position not in known and average is not None:
            score = f"{floor_for_display(average):.1f}"
            log.info("scored", run=run_name, what=f"{advice.unit} {position}", score=score)
    if before is None or before["sentence"] != advice.sentence:
        log.info("advice", run=run_name, sentence=advice.sentence)


def worth_keeping(advice: Advice, epochs: Mapping[int, TestedEpoch]) -> set[int]:
    """Return the pick, the runner-up and the last: the files that must outlive the pod."""
    ranked = sorted(advice.p_best, key=lambda place: -advice.p_best[place])[:2]
    last = [position for position, epoch in epochs.items() if epoch.rows[0]["is_final"]]
    wanted = {*ranked, *last} if advice.pick is None else {advice.pick, *ranked, *last}
    return wanted & set(epochs)


def failures_of(epochs: Mapping[int, TestedEpoch], *, ended: bool) -> list[str]:
    """Return a sentence for each epoch that lost the style again, or for a run that never found it.

    The first epochs of any run look like the base model: that alone is no failure.
    """
    failed = [position for position, epoch in epochs.items() if epoch.verdict == "failure"]
    if ended and epochs and len(failed) == len(epochs):
        return ["No epoch of this run found the style: every one looks like a photograph."]
    return [
        f"{position} looks like photographs although an earlier one did not: the style is lost. "
        "Use the earlier one; if later ones do not recover, lower the learning rate."
        for position in failed
        if any(earlier < position and earlier not in failed for earlier in epochs)
    ]


def _alert(connection: Connection, run_id: int, event: Event, advice: Advice) -> None:
    run(
        connection,
        "actions.decide",
        key=event.key,
        kind="alert",
        run_id=run_id,
        payload={
            "event": event.kind,
            "title": event.title,
            "body": event.body,
            "pick": advice.pick,
        },
        host=None,
    )


def _keep(connection: Connection, run_id: int, sha256: str) -> None:
    """Ask the host that has the file to copy it to the store."""
    about = row(connection, "checkpoints.known", run_id=run_id, sha256=sha256)
    run(
        connection,
        "actions.decide",
        key=f"keep/{sha256}",
        kind="keep",
        run_id=run_id,
        payload={"sha256": sha256},
        host=about["host"] if about else None,
    )
