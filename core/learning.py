"""What people's votes teach about the weights of the score: read, fitted, and adopted by a person.

Reads votes, objections and measurements; writes adoptions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from core.errors import Fixable
from core.nouns import Expectation, Measurement
from core.polls import doubted
from core.rules.calibration import (
    FEWEST_VOTES,
    Calibration,
    PairVote,
    calibrate,
    pair_weight,
)
from core.rules.composite import plain_average, sub_scores
from core.rules.plackett_luce import pairs_of
from core.store import weightings
from core.store.database import Connection, Row
from core.store.documents import save_document

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}


def votes_of(
    connection: Connection, run_id: int | None = None, since: datetime | None = None
) -> list[PairVote]:
    """Return votes, then objections, as they are learned from; without a run those of all runs."""
    votes = [
        PairVote(
            prompt=each["prompt"],
            unit=each["unit"],
            judge=each["judge"],
            parts_a=_parts(each["left_body"], each),
            parts_b=_parts(each["right_body"], each),
            gap=gap_of(each, plain_average),
            outcome=_OUTCOMES[each["choice"]],
            pair="/".join(each["slots"]),
            weight=each["weight"],
        )
        for each in answers(connection, run_id, since)
        if each["left_body"] and each["right_body"]
    ]
    if since is not None:
        return votes
    return votes + [_objection(each) for each in weightings.objected_pairs(connection, run_id)]


def answers(
    connection: Connection, run_id: int | None, since: datetime | None = None
) -> Iterator[Row]:
    """Yield the blind answers to pairs, then the pairs of rankings, each with its weight.

    Their slots are in alphabetical order, so that judges can be compared.
    A pair of a ranking that its judge was asked otherwise too, on the same prompt and seed, is left
    out: nobody counts twice.
    """
    seen = set()
    for each in weightings.pair_votes(connection, run_id, since):
        seen.add(_asked(each))
        yield _turned({**each, "weight": 1.0})
    for ranked in weightings.rankings(connection, run_id, since):
        for each in _pairs_of_ranking(ranked):
            if _asked(each) not in seen:
                seen.add(_asked(each))
                yield _turned(each)


def _asked(each: Row) -> tuple[str, str, frozenset[str]]:
    return each["judge"], each["unit"], frozenset(each["slots"])


def _pairs_of_ranking(ranked: Row) -> Iterator[Row]:
    """Yield each pair of one answer to several pictures, the better one as the left."""
    places = len(ranked["slots"])
    is_order = ranked["choice"] == "ranking"
    for left, right in pairs_of(ranked["ranking"] if is_order else range(places), places):
        yield {
            **ranked,
            "slots": [ranked["slots"][left], ranked["slots"][right]],
            "left_body": ranked["bodies"][left],
            "right_body": ranked["bodies"][right],
            "choice": "left" if is_order else ranked["choice"],
            "weight": pair_weight(places),
        }


def left_out(connection: Connection, run_id: int | None = None) -> list[str]:
    """Return sentences on votes that teach nothing, and on judges whose answers look doubtful."""
    named = weightings.named_votes(connection, run_id)
    names = doubted(connection, weightings.voted_on(connection, run_id))
    found = [f"{not_counted(named).capitalize()}."] if named else []
    if names:
        found.append(f"The checks doubt the answers of {' and '.join(names)}, which count.")
    return found


def calibration_of(connection: Connection, run_id: int | None = None) -> Calibration:
    """Return what the votes of a run, or of all, teach about the weights."""
    return calibrate(votes_of(connection, run_id))


def clear_votes(connection: Connection) -> int:
    """Return how many clear blind votes there are, of all runs."""
    return weightings.votes_since(connection, _EVER)


def proposal(connection: Connection) -> Calibration | None:
    """Return what all votes teach where a person could adopt it; None while nothing is proposed.

    Nothing is while other learned weights stand: these are watched by themselves.
    """
    if weightings.in_force(connection) or clear_votes(connection) < FEWEST_VOTES:
        return None
    found = calibration_of(connection)
    return found if found.adopt else None


def adopt(connection: Connection, found: Calibration, by_whom: str) -> str:
    """Let new runs be scored with what was learned; return the name of the weighting.

    Raises:
        Fixable: when the votes do not bear it.
    """
    if not found.adopt or found.weights is None:
        raise Fixable(f"Nothing was adopted. {found.reason}")
    key = save_document(connection, "weighting", "learned from votes", found.as_json())
    weightings.adopt(connection, key, by_whom, found.reason)
    return key


def back_to_default(connection: Connection, by_whom: str, why: str) -> None:
    """Let new runs be scored with the plain mean of the three scores again."""
    key = save_document(connection, "weighting", "default", {"weights": None})
    weightings.adopt(connection, key, by_whom, why)


def not_counted(named: int) -> str:
    """Say that votes with the names shown were left out."""
    return f"{named} vote{' with names shown is' if named == 1 else 's with names shown are'} not counted"


def gap_of(each: Row, score: Callable[[Measurement], float | None]) -> float | None:
    """Return by how much a score prefers the left picture of an answer; None without both."""
    if not each["left_body"] or not each["right_body"]:
        return None
    left, right = (score(Measurement.from_json(each[side])) for side in ("left_body", "right_body"))
    return None if left is None or right is None else left - right


def _parts(body: Mapping[str, Any], each: Row) -> dict[str, float]:
    """Return the parts of a stored measurement under what the prompt of a row promised."""
    return sub_scores(Measurement.from_json(dict(body)), Expectation.from_json(each["expect"]))


def _turned(each: Row) -> Row:
    """Return a vote with its slots in alphabetical order, so that judges can be compared."""
    left, right = each["slots"]
    if left <= right:
        return each
    other = {"left": "right", "right": "left"}
    return {
        **each,
        "slots": [right, left],
        "left_body": each["right_body"],
        "right_body": each["left_body"],
        "choice": other.get(each["choice"], each["choice"]),
    }


def _objection(each: Row) -> PairVote:
    """Return a score called wrong as a pair: the picture against another with nearly its score."""
    return PairVote(
        prompt=each["prompt"],
        unit=f"{each['prompt']}#{each['seed']}",
        judge=each["judge"],
        parts_a=_parts(each["body"], each),
        parts_b=_parts(each["near_body"], each),
        gap=None,
        outcome=1.0 if each["direction"] == "too_low" else 0.0,
        is_objection=True,
    )
