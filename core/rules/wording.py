"""The words of an advice: the sentence a person came for, and the reasons below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.rules.curve import MARGIN, NEAR_TIE, Curve
from core.rules.learning_rate import HIGH
from core.rules.scoring import action, floor_for_display, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.nouns import Unit
    from core.rules.convergence import Convergence
    from core.rules.stopping import GateStop

SURE = 0.6  # a pick less likely than this is worth a comparison with its runner-up


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the words are made of."""

    curve: Curve
    words: Convergence
    averages: Mapping[int, float]  # that the labels rest on
    stop: bool
    unconfirmed: bool  # the chance says stop, but it rests on one image
    blocked_by: str | None  # the must-have criterion that holds a plateau stop back
    ended: bool
    needed: int  # tested positions before any advice
    planned_known: bool
    saved: int | None  # epochs, or saves when positions are steps
    seconds: float | None  # that the saved ones would take
    rest_seconds: float | None  # that all of the rest would take
    price_per_hour: float | None  # USD
    resumable: bool | None  # the trainer's state lies beside its checkpoints; None: not seen
    threshold: float
    basis: str
    unit: Unit
    rate: float | None = None  # learning rate at the latest position as a share of its peak
    gate_stop: GateStop | None = None  # the plan's stop, where its position is reached
    untested: int = 0  # saved checkpoints without a test, once training is over
    restarted: bool = False  # the latest average fell, and the rate was restarted just before it


def sentence(facts: Facts) -> str:
    """Return what to do, which position is best, how sure that is, and what it saves."""
    if facts.ended:
        return f"{_ended(facts)}{_bill(facts)}"
    if facts.stop:
        said = f"{_stop(facts)} {_leader(facts, 'is best')}{_chance(facts)}{_savings(facts)}"
        return f"{said}{_rate(facts)}{_bill(facts)}"
    if facts.untested:
        return f"{_waiting(facts)} {_leader(facts, 'leads so far')}"
    if facts.curve.tested < facts.needed:
        return (
            f"Continue. {facts.curve.tested} of the {facts.needed} {facts.unit}s that advice "
            f"needs {'is' if facts.curve.tested == 1 else 'are'} tested."
        )
    if facts.unconfirmed:
        opening = "Continue until one more test confirms a stop."
    elif facts.blocked_by is not None:
        opening = f"Continue: {facts.blocked_by} still fails and its gate is ahead."
    elif facts.restarted:
        opening = "Continue: the learning rate was just restarted, so the drop is no degradation."
    elif facts.words.label == "degrading":
        opening = "Continue with care: the scores are falling."
    else:
        opening = "Continue."
    return f"{opening} {_leader(facts, 'leads')}{_chance(facts)}"


def reasons(facts: Facts) -> tuple[str, ...]:
    """Return the facts behind the sentence, the weightiest first."""
    curve, words = facts.curve, facts.words
    found = [_label_reason(facts), _threshold_reason(facts), _window(facts), _worth(facts)]
    if facts.unconfirmed:
        found.append(
            f"The latest {facts.unit} has a single image; a stop needs two there, "
            "or the test before it must say the same."
        )
    if facts.restarted:
        found.append(
            f"The learning rate was restarted right before the latest {facts.unit}: scores often "
            "drop there and come back. A stop waits for the next test."
        )
    if words.status == "optimal" and not facts.ended and words.best is not None:
        found.append(f"{_name(facts, words.best)} stands above both its neighbors.")
    if words.oscillating:
        found.append("The scores go up and down from one test to the next.")
    if curve.averages[curve.best_observed] > curve.averages[curve.pick]:
        found.append(
            f"{_name(facts, curve.best_observed)} has the highest plain average "
            f"({floor_for_display(curve.averages[curve.best_observed]):.1f}), but it was not "
            f"tested alike or is within the noise; the trend prefers {curve.pick}."
        )
    average = facts.averages.get(curve.pick)
    if average is not None:
        shown = floor_for_display(average)
        found.append(
            f"{_name(facts, curve.pick)} averages {shown:.1f} of 10. {_next(facts, average)}"
        )
    return tuple(reason for reason in found if reason)


def _next(facts: Facts, average: float) -> str:
    """Return what the owner's guide says to do, unless that is to go on where there is no going on."""
    if (facts.stop or facts.ended or facts.untested) and verdict(average) == "acceptable":
        return "Not yet one to ship: adjust the training and run it again."
    return action(average)


def percent(share: float) -> str:
    """Return a probability as a person reads it; never 0 % or 100 %, which nothing here is."""
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if share > 0.99 else f"{round(100 * share)} %"


def duration(seconds: float) -> str:
    """Return a length of time in the unit a person would use: "40 s", "22 min" or "3.5 h"."""
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def checked_by(basis: str) -> str:
    """Return what the probabilities rest on, as words in brackets."""
    if basis == "unchecked":
        return "by score; not yet checked against your votes"
    return f"by score; {basis}"


def _name(facts: Facts, position: int) -> str:
    return f"{facts.unit.capitalize()} {position}"


def _leader(facts: Facts, verb: str) -> str:
    """Say which position to ship and how sure that is; in a near-tie another may be likelier."""
    chances = facts.curve.p_best
    pick, likeliest = facts.curve.pick, max(chances, key=lambda place: (chances[place], -place))
    share, basis = percent(chances[pick]), checked_by(facts.basis)
    if pick == likeliest:
        return f"{_name(facts, pick)} {verb} with {share} ({basis})."
    return (
        f"{_name(facts, pick)} is the pick, within {NEAR_TIE:.1f} of {facts.unit} {likeliest} "
        f"(best with {share} and {percent(chances[likeliest])}, {basis})."
    )


def _chance(facts: Facts) -> str:
    ahead = facts.curve.positions[facts.curve.tested :]
    if not ahead:
        return ""
    share = percent(facts.curve.p_later_better)
    if not facts.planned_known:
        who = f"the next {len(ahead)} {facts.unit}s beat"
        if facts.unit == "step":
            who = f"the next {len(ahead)} checkpoints beat"
    elif len(ahead) == 1:
        who = f"{facts.unit} {ahead[0]} beats"
    else:
        who = f"{facts.unit}s {ahead[0]}-{ahead[-1]} beat"
    return f" Chance that {who} it by {MARGIN}: {share}."


def _savings(facts: Facts) -> str:
    if not facts.saved:
        return ""
    noun = "epoch" if facts.unit == "epoch" else "checkpoint"
    text = f" Saves {facts.saved} {noun}{'' if facts.saved == 1 else 's'}"
    return f"{text}{_price(facts, facts.seconds, ' (about ', ')')}."


def _bill(facts: Facts) -> str:
    """Return what ends the bill, where there is one: stopping the trainer alone does not."""
    if facts.price_per_hour is None:
        return ""
    if facts.ended or facts.resumable is None:
        return " Removing the pod ends the bill."
    if facts.resumable:
        return " Removing the pod ends the bill; the state folder lets you resume."
    return " Removing the pod ends the bill; no state was saved to resume from."


def _rate(facts: Facts) -> str:
    """Say so where training still moves the weights a lot: what comes may differ from what was."""
    if facts.rate is None or facts.rate <= HIGH:
        return ""
    return f" The learning rate is still at {percent(facts.rate)} of its peak."


def _ended(facts: Facts) -> str:
    curve = facts.curve
    if curve.tested == 1:
        return (
            f"Training has ended. {_name(facts, curve.pick)} is the only one tested, "
            "so there is nothing to compare it with."
        )
    text = f"Training has ended. {_leader(facts, 'is best')}"
    share = curve.p_best[curve.pick]
    others = {place: p for place, p in curve.p_best.items() if place != curve.pick}
    rival = max(others, key=lambda place: (others[place], -place))
    if share < SURE:
        text += f" Compare it with {facts.unit} {rival} ({percent(others[rival])}) before you ship."
    return text


def _stop(facts: Facts) -> str:
    if facts.gate_stop is None:
        return "Stop."
    return f'Stop: the plan\'s gate "{facts.gate_stop.gate}" failed at {facts.gate_stop.failed_at}.'


def _waiting(facts: Facts) -> str:
    """Say that training is over and judging is not: the best may be among what is not tested."""
    are = "checkpoint is" if facts.untested == 1 else "checkpoints are"
    return f"Training is over; {facts.untested} saved {are} not tested yet."


def _label_reason(facts: Facts) -> str:
    slope = facts.words.slope
    if slope is None:
        return ""
    per = "per epoch" if facts.unit == "epoch" else "per checkpoint"
    trend = {"improving": "rise", "plateau": "hold level", "degrading": "fall"}
    return f"The last three averages {trend[facts.words.label]} ({slope:+.2f} {per})."


def _window(facts: Facts) -> str:
    """Say where the best one is: the shortest span that holds it with an even chance."""
    if facts.curve.tested < facts.needed:
        return ""
    first, last = facts.curve.window
    span = f"{first}-{last}" if last > first else f"{first}"
    return f"Estimated best {facts.unit}: {span} (at least an even chance that it is there)."


def _worth(facts: Facts) -> str:
    """Hold what going on may add against what it takes."""
    curve = facts.curve
    if not curve.to_come or curve.tested < facts.needed:
        return ""
    last = f"{facts.unit} {curve.positions[-1]}"
    text = f"Going on to {last} is expected to add {curve.expected_gain:.2f} points to the pick"
    return f"{text}{_price(facts, facts.rest_seconds, ', for about ')}."


def _price(facts: Facts, seconds: float | None, before: str, after: str = "") -> str:
    """Return what so many seconds are in time and, where there is a price, in money."""
    if seconds is None:
        return ""
    cost = ""
    if facts.price_per_hour is not None:
        cost = f", ${facts.price_per_hour * seconds / 3600:.2f}"
    return f"{before}{duration(seconds)}{cost}{after}"


def _threshold_reason(facts: Facts) -> str:
    if facts.ended or facts.untested or facts.curve.tested < facts.needed:
        return ""
    end = "; the stop is the plan's." if facts.gate_stop else "."
    side = "below" if facts.curve.p_later_better < facts.threshold else "not below"
    return (
        f"The chance of something better later ({percent(facts.curve.p_later_better)}) is "
        f"{side} the {percent(facts.threshold)} at which a stop pays{end}"
    )
