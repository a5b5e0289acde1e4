"""Reads measurements and people's scores; writes the owner's tables, the advice, and what must happen once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

import structlog

from core.errors import Permanent, Retryable
from core.nouns import Measurement, digest
from core.rules.advice import Advice, Dial, ScoreRow, advise, evidence_digest
from core.rules.alerting import Event, Told, events
from core.rules.gates import GateState, must_pending
from core.rules.learning_rate import Schedule, schedule_of_run
from core.rules.measured_rate import MeasuredRate, continued, rate_body, reaching, stored_rate
from core.rules.overfitting import SetLevel, warnings
from core.rules.saturation import saturated
from core.rules.scoring import average_of, band
from core.rules.stopping import gate_stop
from core.rules.strengths import StrengthFinding
from core.rules.telling import has_issue
from core.rules.timeline import spacing_of
from core.store import owners_tables
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.sweeps import findings_of
from core.tested import TestedEpoch, has_ended, is_complete, tested_epochs, untested
from daemon.actions.stop import state_beside
from daemon.calibrating import Check, check_of, fall_back_on_drift
from daemon.gatekeeper import standing_of, tell_of_plan
from daemon.rate_logs import RateLogs
from daemon.retest import ask_deeper, ask_retest, with_findings
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
        advice = replace(advice, reasons=(*advice.reasons, *said_of_sets, *still))
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
        if self._projected.get((run_id, position)) == said:
            return
        epoch_id = owners_tables.write_epoch(connection, run_id, position, cells)
        for found, measurement in epoch.measured:
            _write_prompt(connection, epoch_id, found, measurement)
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
        log.info("advice", run=about["run_name"], sentence=advice.sentence)


def score_rows(epochs: Mapping[int, TestedEpoch]) -> tuple[ScoreRow, ...]:
    """Return one row per image that has a score: what the advice rests on."""
    return tuple(
        ScoreRow(position=position, unit=f"{found['prompt_name']}#{found['seed']}", score=score)
        for position, epoch in epochs.items()
        for found, measurement in epoch.measured
        if (score := average_of(measurement)) is not None
    )


def _why_unscored(epochs: Mapping[int, TestedEpoch]) -> str | None:
    """Return why no image that is measured has a score, as the first of them says it."""
    measured = [each for epoch in epochs.values() for _, each in epoch.measured]
    return next(iter(measured[0].reasons.values()), None) if measured else None


def advice_on(
    about: Row,
    epochs: Mapping[int, TestedEpoch],
    *,
    ended: bool,
    gates: Sequence[GateState] = (),
    findings: Sequence[StrengthFinding] = (),
    check: Check | None = None,
    schedule: Schedule | MeasuredRate | None = None,
    waiting: int = 0,
) -> tuple[Advice, str]:
    """Return the advice on a run and the digest of all that it rests on.

    ``check`` is how far the score agrees with people's votes; None while there are none.
    ``waiting`` are saved checkpoints that are not tested yet: before they are, no run has ended.

    A must-have gate of the run's plan that is open or failed adds its sentence to the reasons, a gate
    that failed may be the reason to stop, and so does what a second look at the best found out (``findings``).
    """
    evidence_rows = score_rows(epochs)
    planned = (
        about["max_train_epochs"] if about["position_unit"] != "step" else about["total_steps"]
    )
    effective = {
        position: epoch.effective.average
        for position, epoch in epochs.items()
        if epoch.effective.average is not None
    }
    dial: Dial = about["stop"] or "normal"
    price = float(about["price_per_hour"]) if about["price_per_hour"] is not None else None
    seconds = seconds_between(epochs)
    if seconds is not None and about["position_unit"] == "step":
        seconds *= spacing_of(sorted(epochs))  # a save is many steps
    latest = epochs[max(epochs)].rows[0]["source_path"] if epochs else None
    resumable = state_beside(latest) if price is not None else None
    planned_stop = gate_stop(gates)
    advice = advise(
        evidence_rows,
        planned=planned,
        ended=ended,
        dial=dial,
        seconds_per_epoch=seconds,
        price_per_hour=price,
        resumable=resumable,
        basis=check.sentence if check else "unchecked",
        effective=effective,
        must_pending=must_pending(gates),
        unit="step" if about["position_unit"] == "step" else "epoch",
        schedule=schedule,
        unscored=None if evidence_rows else _why_unscored(epochs),
        untested=waiting,
        gate_stop=planned_stop,
    )
    context: dict[str, Any] = {
        "effective": {str(place): score for place, score in effective.items()}
    }
    if price is not None:
        context["bill"] = [price, resumable]
    if advice.untested:
        context["untested"] = advice.untested
    if schedule is not None:
        context["learning_rate"] = asdict(schedule)
    if check is not None:
        context["votes"] = [check.hits, check.pairs, *check.asides]
    said = [gate.sentence for gate in gates if gate.must and gate.state in ("pending", "failed")]
    if gates:
        context["gates"] = said
        advice = replace(advice, reasons=(*advice.reasons, *said))
    if planned_stop is not None:
        context["gate_stop"] = asdict(planned_stop)
    if findings:
        context["strengths"] = [finding.sentence for finding in findings]
        advice = with_findings(advice, findings, epochs)
    return advice, evidence_digest(evidence_rows, planned, ended, dial, context=context)


def seconds_between(epochs: Mapping[int, TestedEpoch]) -> float | None:
    """Return the median seconds that one epoch or step takes; None when the files do not say."""
    stamps = {
        position: found["saved_at"]
        for position, epoch in epochs.items()
        if (found := epoch.rows[0])["saved_at"] is not None
    }
    gaps = [
        (stamps[late] - stamps[early]).total_seconds() / (late - early)
        for early, late in zip(sorted(stamps), sorted(stamps)[1:], strict=False)
    ]
    positive = [gap for gap in gaps if gap > 0]
    return median(positive) if positive else None


def advice_body(
    advice: Advice, epochs: Mapping[int, TestedEpoch], check: Check | None = None
) -> dict[str, Any]:
    """Return what is stored: the printed form, with the curve as pages draw it."""
    votes = check.told if check else "not yet checked against your votes"
    images = sum(len(epoch.measured) for epoch in epochs.values())
    return {
        **advice.as_json(),
        "basis": f"{images} images of {len(epochs)} {advice.unit}s, paired by prompt and seed; "
        f"{votes}",
        "checked": check is not None and check.is_checked,
        "curve": [
            {
                "position": point.position,
                "mean": round(point.mean, 3),
                "low": round(point.fan[0], 3),
                "high": round(point.fan[-1], 3),
                "future": not point.tested,
            }
            for point in advice.chart
        ],
        **rate_body(advice.schedule, [point.position for point in advice.chart]),
    }


def epoch_cells(position: int, epoch: TestedEpoch, advice: Advice) -> dict[str, Any]:
    """Return the columns of epoch_results that one tested epoch fills."""
    summary, effective, first = epoch.summary, epoch.effective, epoch.rows[0]
    cells: dict[str, Any] = {
        "checkpoint_path": first["source_path"],
        "num_test_images": summary.images,
        "visual_quality_score": _floored(effective.visual),
        "style_match_score": _floored(effective.style),
        "prompt_adherence_score": _floored(effective.prompt),
        "visual_score": _rounded(effective.visual),
        "style_score": _rounded(effective.style),
        "prompt_score": _rounded(effective.prompt),
        "average_score": _rounded(effective.average),
        "color_accuracy_score": _rounded(summary.color_accuracy_score),
        "style_quality_score": _rounded(summary.style_quality_score),
        "background_color": summary.background_hex,
        "unique_colors": round(summary.unique_colors) if summary.unique_colors else None,
        "issues_detail": list(summary.issues),
        "strengths_detail": list(summary.strengths),
        "verdict": epoch.verdict,
        "picked": position == advice.pick,
        "observations": "; ".join(spot.text for spot in summary.weak_spots) or None,
        "test_image_paths": [
            f"images/{found['image_sha256'][:2]}/{found['image_sha256']}.png"
            for found, _ in epoch.measured
        ],
        **summary.flags,
    }
    if position == advice.latest:
        cells["convergence_status"] = advice.status
    return cells


def _write_prompt(
    connection: Connection, epoch_id: int, found: Row, measurement: Measurement
) -> None:
    score = average_of(measurement)
    prompt_id = owners_tables.test_prompt_id(
        connection, found["prompt_name"], found["prompt"], found["recipe"].get("negative", "")
    )
    cells: dict[str, Any] = {
        "image_path": f"images/{found['image_sha256'][:2]}/{found['image_sha256']}.png",
        "seed": found["seed"],
        "passed": None if score is None else score >= 7,
        "correct_background_color": _passes(measurement, "background_match"),
        "correct_hair_color": _passes(measurement, "region_hair"),
        "is_pixel_art": _passes(measurement, "grid_alignment"),
        "has_random_artifacts": has_issue(measurement, "random_pixels"),
        "observations": ", ".join(measurement.issues) or None,
        "score": _floored(score),
        "score_exact": _rounded(score),
    }
    owners_tables.write_prompt_result(connection, epoch_id, found["sample_id"], prompt_id, cells)


def _passes(measurement: Measurement, metric: str) -> bool | None:
    found = measurement.metrics.get(metric)
    return None if found is None or found.value is None else found.value >= 50


def _floored(score: float | None) -> int | None:
    return None if score is None else band(score)


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def write_run(
    connection: Connection,
    run_id: int,
    epochs: Mapping[int, TestedEpoch],
    advice: Advice,
    *,
    complete: bool,
) -> None:
    """Project the state of the run: convergence, the pick, and the verdict once it is over."""
    picked = epochs.get(advice.pick) if advice.pick is not None else None
    best = picked.effective.average if picked is not None else None
    cells: dict[str, Any] = {
        "convergence_status": advice.status,
        "convergence_epoch": advice.pick,
        "best_epoch": advice.pick,
        "quality_score": _floored(best),
        "overall_verdict": _overall(best) if complete else "pending",
    }
    if complete:  # else it is what the last checkpoint, or a person after it, made it
        cells["status"] = "completed"
    owners_tables.write_run(connection, run_id, cells)


def _overall(best: float | None) -> str:
    if best is None:
        return "pending"
    return "success" if best >= 7 else "partial" if best >= 5 else "failure"


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
