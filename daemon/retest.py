"""Looking again where it tells most: the two best in full and at three strengths, and deeper tests.

Reads the advice, writes grids; what came out of the sweep becomes part of the advice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.formats.prompt_suite import suite_from_json
from core.formats.slot_text import STRENGTHS
from core.nouns import Slot, Stack, decimal_text, unit_of
from core.rules.advice import Advice
from core.rules.comparing import comparison_body, retest_origin
from core.rules.deepening import retest_wishes
from core.rules.planning import nested
from core.rules.strengths import StrengthFinding
from core.store import comparisons
from core.store.database import Connection, Row, row, rows, run

if TYPE_CHECKING:
    from core.tested import TestedEpoch

_MOST_PAIRS = 2  # that a run is looked at again with, whatever becomes of it
_PRIORITY = 30  # below the epochs that are still to be tested
_CLOSE = 0.6  # chance of the pick below which people are asked
_SAVING = 3  # an adaptive run draws this many times fewer images than full tests would


def ask_retest(connection: Connection, about: Row, advice: Advice) -> bool:
    """Ask for the re-test of the top two once a stop is advised or the run is over.

    Both are tested on the whole suite and drawn at three strengths beside the base model, and the
    two stand side by side for a blind vote. One pair is asked for once; a run gets one while it
    trains, and another one at most when it has ended with other candidates. An adaptive run is not
    tested in full: it deepens its best within a budget (see ``ask_deeper``). Returns whether
    something was asked for.
    """
    pair = advice.top_two
    if len(pair) < 2 or not (advice.stop or advice.ended):
        return False
    asked = rows(connection, "comparisons.retests_of_run", run_id=about["id"])
    before = [found for found in asked if found["origin"].startswith("retest/")]
    origin = retest_origin(about["id"], pair)
    if any(found["origin"].startswith(f"{origin}/") for found in before):
        return False
    pairs = {found["origin"].rpartition("/")[0] for found in before}
    if len(pairs) >= _MOST_PAIRS or (pairs and not advice.ended):
        return False
    current = _drawable(connection, about)
    if not set(pair) <= set(current):
        return False
    if about["tests"] != "adaptive":  # which deepens within its own budget
        for position in pair:
            _ask_again(connection, about, current[position], f"{origin}/{position}")
    _ask_side_by_side(connection, about, [current[position] for position in sorted(pair)], origin)
    return True


def ask_deeper(
    connection: Connection, about: Row, advice: Advice, epochs: Mapping[int, TestedEpoch]
) -> bool:
    """Ask for more prompts of the likeliest best epochs of a run that is tested adaptively.

    The run may draw a third of what full tests of all its epochs would; a part of that in
    proportion while it trains, all of it once it is stopped or over. Nothing is asked for while a
    deeper test is still open, since its outcome decides what to ask next.
    """
    if about["tests"] != "adaptive" or about["suite"] is None:
        return False
    asked = rows(connection, "comparisons.retests_of_run", run_id=about["id"])
    if any(found["is_open"] and found["origin"].startswith("deepen/") for found in asked):
        return False
    document = row(connection, "results.document", digest=about["suite"])
    assert document is not None  # the set-up refers to it
    names = [prompt.name for prompt in nested(suite_from_json(document["body"]).prompts)]
    depths = {
        position: len({found["prompt_name"] for found, _ in epoch.measured})
        for position, epoch in epochs.items()
    }
    chances = {at: p for at, p in advice.p_best.items() if at in depths}
    wishes = retest_wishes(
        chances,
        depths,
        spare=_budget(about, advice, len(depths), len(names)) - sum(depths.values()),
        full=len(names),
    )
    current = _drawable(connection, about)
    for position, depth in wishes.items():
        if position in current:
            origin = f"deepen/{about['id']}/{position}/{depth}"
            _ask_again(connection, about, current[position], origin, names[:depth])
    return bool(wishes)


def _budget(about: Row, advice: Advice, tested: int, full: int) -> int:
    """Return the prompts that may be drawn so far, all epochs together."""
    planned = about["max_train_epochs"] if about["position_unit"] != "step" else None
    epochs = max(planned or tested + 3, tested)
    whole = math.ceil(full * epochs / _SAVING)
    return whole if advice.stop or advice.ended else whole * tested // epochs


def with_findings(
    advice: Advice,
    findings: Sequence[StrengthFinding],
    epochs: Mapping[int, TestedEpoch],
) -> Advice:
    """Add to the advice's reasons what the re-test says of the pick's strength, and of a close call."""
    said = [
        f"{advice.unit.capitalize()} {finding.sentence}"
        for finding in findings
        if finding.position == advice.pick
    ]
    pair = advice.top_two
    close = (
        findings
        and len(pair) == 2
        and all(place in epochs for place in pair)
        and advice.p_best[pair[0]] < _CLOSE
    )
    if close:
        said.append(
            f"The score cannot tell {advice.unit}s {pair[0]} and {pair[1]} apart, also in full: "
            "compare the two blind on the page Vote."
        )
    return replace(advice, reasons=(*advice.reasons, *said))


def _drawable(connection: Connection, about: Row) -> dict[int, Row]:
    """Return the current checkpoints that can be drawn, by position; no LoRA without a base model."""
    return {
        found["position"]: found
        for found in rows(connection, "checkpoints.current", run_id=about["id"])
        if found["invalid_reason"] is None
        and (about["base_sha256"] is not None or found["kind"] == "base")
    }


def _ask_again(
    connection: Connection,
    about: Row,
    checkpoint: Row,
    origin: str,
    prompts: Sequence[str] = (),
) -> None:
    """Ask for these prompts (none: all) at the strength the run is tested at; what is drawn stays."""
    stack = Stack.of_checkpoint(checkpoint, about["base_sha256"], about["strength"])
    run(
        connection,
        "grids.ask",
        origin=origin,
        run_id=about["id"],
        purpose="retest",
        position=checkpoint["position"],
        body={
            "suite": about["suite"],
            "profile": about["profile"],
            "tier": "full",
            "prompts": list(prompts),
            "sha256": checkpoint["sha256"],
            "stack": stack.as_json(),
        },
        priority=_PRIORITY,
        why=f"another look at {checkpoint['position']}, one of the best so far",
        by_whom="epochwatch",
    )


def _ask_side_by_side(connection: Connection, about: Row, pair: Sequence[Row], origin: str) -> None:
    """Ask for the sweep, and for the two alone: the pair that people vote on.

    Full models have no strength, so there is no sweep of theirs.
    """
    unit = unit_of(about["position_unit"])
    own = about["strength"] or "1.00"
    names = " and ".join(str(found["position"]) for found in pair)
    shared: dict[str, Any] = {"suite": about["suite"], "profile": about["profile"]}
    shared["tier"] = "full" if about["tests"] == "full" else "medium"
    asked = {
        "vote": comparison_body(
            title=f"{about['run_name']}: {unit} {names}, the two best",
            slots=[_slot(about, found, own, unit, own) for found in pair],
            **shared,
        )
    }
    if all(found["kind"] == "lora" for found in pair):
        base = Slot(label="base", stack=Stack(base_sha256=about["base_sha256"]))
        swept = [
            _slot(about, found, decimal_text(strength), unit, own)
            for found in pair
            for strength in STRENGTHS
        ]
        title = f"{about['run_name']}: {unit}s {names} at three strengths"
        asked["strengths"] = comparison_body(title=title, slots=[base, *swept], **shared)
    for name, body in asked.items():
        comparisons.ask(
            connection,
            origin=f"{origin}/{name}",
            body=body,
            run_id=about["id"],
            by_whom="epochwatch",
            priority=_PRIORITY - 10,
        )


def _slot(about: Row, checkpoint: Row, strength: str, unit: str, own: str) -> Slot:
    at = "" if strength == own else f" at {strength}"
    return Slot(
        label=f"{unit} {checkpoint['position']}{at}",
        stack=Stack.of_checkpoint(checkpoint, about["base_sha256"], strength),
        run_id=about["id"],
        position=checkpoint["position"],
    )
