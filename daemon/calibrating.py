"""Holds the automatic score against people's votes: how far it agrees, and which weights they teach.

Reads votes, objections and measurements; writes adoptions only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from core.errors import Fixable
from core.nouns import Expectation, Measurement
from core.polls import doubted
from core.rules.calibration import (
    Agreement,
    Calibration,
    PairVote,
    agreement_of,
    calibrate,
    pair_weight,
    wilson,
)
from core.rules.composite import DEFAULT_WEIGHTS, plain_average, sub_scores
from core.rules.plackett_luce import pairs_of
from core.rules.scoring import average_of
from core.store import weightings
from core.store.database import Connection, Row
from core.store.documents import save_document

log = structlog.get_logger()

ENOUGH_PAIRS = 20  # before the score counts as checked
CHECK_EVERY = 50  # clear votes after which adopted weights are held against the newest ones
_NONE = 1e-9  # sums of thirds are a hair off
_OUTCOMES = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}


@dataclass(frozen=True, kw_only=True)
class Check:
    """How far the score of a run's images agrees with the votes on them."""

    hits: int  # pairs of images on which most votes and the score name the same side
    pairs: int
    low: float  # Wilson's 95 % interval of the share
    high: float
    named: int = 0  # votes with the names shown: not counted
    doubted: tuple[str, ...] = ()  # judges whose answers the checks doubt: counted
    without: Check | None = None  # what stands without these; None where nothing does

    @property
    def is_checked(self) -> bool:
        """Whether the score is surely better than a coin, on pairs enough."""
        return self.pairs >= ENOUGH_PAIRS and self.low > 0.5

    @property
    def sentence(self) -> str:
        """Say it in words that end a sentence."""
        if not self.pairs:
            return "not yet checked against your votes"
        said = f"the score agrees with your votes on {self.hits} of {self.pairs} pairs"
        if self.is_checked:
            return said
        few = self.pairs < ENOUGH_PAIRS
        return said + (", too few to tell" if few else ", which may be chance")

    @property
    def told(self) -> str:
        """The sentence, with what was not counted and what stands without doubted judges."""
        return "; ".join([self.sentence, *self.asides])

    @property
    def asides(self) -> list[str]:
        """What the sentence does not say."""
        found = [not_counted(self.named)] if self.named else []
        if self.doubted:
            names = f"{' and '.join(self.doubted)}, whose answers the checks doubt"
            rest = f"on {self.without.hits} of {self.without.pairs}" if self.without else "on none"
            found.append(f"without {names}, {rest}")
        return found


def not_counted(named: int) -> str:
    """Say that votes with the names shown were left out."""
    return f"{named} vote{' with names shown is' if named == 1 else 's with names shown are'} not counted"


def check_of(connection: Connection, run_id: int) -> Check | None:
    """Return how far the score agrees with the blind votes on a run's comparisons.

    None without any vote, also where they cancel each other.
    """
    answers = [_turned(each) for each in _pairs(connection, run_id)]
    found, named = _check(answers), weightings.named_votes(connection, run_id)
    if found is None:
        return Check(hits=0, pairs=0, low=0.0, high=1.0, named=named) if named else None
    judges = {each["judge"] for each in answers}
    doubts = judges.intersection(doubted(connection, weightings.voted_on(connection, run_id)))
    return replace(
        found,
        named=named,
        doubted=tuple(sorted(doubts)),
        without=_check([e for e in answers if e["judge"] not in doubts]) if doubts else None,
    )


def _check(answers: Sequence[Row]) -> Check | None:
    """Return how far the score agrees with answers to pairs, slots in alphabetical order."""
    balance: dict[tuple[str, str], float] = defaultdict(float)
    weight: dict[tuple[str, str], float] = defaultdict(float)
    scored: dict[tuple[str, str], float] = {}
    for each in answers:
        gap = _gap(each, average_of)
        if gap is None or each["choice"] not in ("left", "right"):
            continue
        key = (each["unit"], "/".join(each["slots"]))
        balance[key] += each["weight"] if each["choice"] == "left" else -each["weight"]
        weight[key] = max(weight[key], each["weight"])
        scored[key] = gap
    decided = [key for key, side in balance.items() if abs(side) > _NONE]
    if not decided:
        return None
    hits = sum(weight[key] for key in decided if scored[key] * balance[key] > 0)
    pairs = sum(weight[key] for key in decided)
    low, high = wilson(hits, pairs)
    return Check(hits=int(hits + _NONE), pairs=int(pairs + _NONE), low=low, high=high)


def agreement_sentence(connection: Connection, run_id: int) -> str | None:
    """Return "the score agrees with your votes on 60 of 84 pairs", or None without votes."""
    found = check_of(connection, run_id)
    return found.sentence if found else None


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
            gap=_gap(each, plain_average),
            outcome=_OUTCOMES[each["choice"]],
            pair="/".join(each["slots"]),
            weight=each["weight"],
        )
        for each in map(_turned, _pairs(connection, run_id, since))
        if each["left_body"] and each["right_body"]
    ]
    if since is not None:
        return votes
    return votes + [_objection(each) for each in weightings.objected_pairs(connection, run_id)]


def _pairs(
    connection: Connection, run_id: int | None, since: datetime | None = None
) -> Iterator[Row]:
    """Yield the answers to pairs, then the pairs of rankings, each with its weight.

    A pair of a ranking that its judge was asked otherwise too, on the same prompt and seed, is left
    out: nobody counts twice.
    """
    seen = set()
    for each in weightings.pair_votes(connection, run_id, since):
        seen.add(_asked(each))
        yield {**each, "weight": 1.0}
    for ranked in weightings.rankings(connection, run_id, since):
        for each in _pairs_of_ranking(ranked):
            if _asked(each) not in seen:
                seen.add(_asked(each))
                yield each


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


def fall_back_on_drift(connection: Connection) -> str | None:
    """Return to the default when adopted weights agree with the newest votes less than they did.

    Looked at once 50 clear votes were given since the adoption. Returns why, when it fell back.
    """
    standing = weightings.current(connection)
    if standing is None or standing.weights is None:
        return None
    if weightings.votes_since(connection, standing.adopted_at) < CHECK_EVERY:
        return None
    promised = (standing.body.get("learned") or {}).get("share")
    now = agreement_under(votes_of(connection, since=standing.adopted_at), standing.weights)
    if promised is None or now is None or now.high >= promised:
        return None
    why = (
        f"The adopted weights agreed with {100 * promised:.0f} % of the votes they were learned "
        f"from, but only with {100 * now.share:.0f} % of {now.votes:.0f} since (at most "
        f"{100 * now.high:.0f} %): new runs are scored with the default weights again."
    )
    back_to_default(connection, "epochwatch", why)
    log.warning("weights fell back", reason=why)
    return why


def agreement_under(votes: Sequence[PairVote], weights: Mapping[str, float]) -> Agreement | None:
    """Return how far a composite by these weights agrees with votes."""
    return agreement_of([replace(vote, gap=_weighted_gap(vote, weights)) for vote in votes])


def _weighted_gap(vote: PairVote, weights: Mapping[str, float]) -> float | None:
    both = [name for name in DEFAULT_WEIGHTS if name in vote.parts_a and name in vote.parts_b]
    total = sum(weights.get(name, 0.0) for name in both)
    if total <= 0:
        return None
    apart = (weights.get(name, 0.0) * (vote.parts_a[name] - vote.parts_b[name]) for name in both)
    return sum(apart) / total


def _gap(each: Row, score: Any) -> float | None:
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
