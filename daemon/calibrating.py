"""Holds the score of a run against people's votes, and adopted weights against the newest ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from core.learning import answers, back_to_default, gap_of, not_counted, votes_of
from core.polls import doubted
from core.rules.calibration import Agreement, PairVote, agreement_of, wilson
from core.rules.composite import DEFAULT_WEIGHTS
from core.rules.scoring import average_of
from core.store import weightings
from core.store.database import Connection, Row

log = structlog.get_logger()

ENOUGH_PAIRS = 20  # before the score counts as checked
CHECK_EVERY = 50  # clear votes after which adopted weights are held against the newest ones
_NONE = 1e-9  # sums of thirds are a hair off


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


def check_of(connection: Connection, run_id: int) -> Check | None:
    """Return how far the score agrees with the blind votes on a run's comparisons.

    None without any vote, also where they cancel each other.
    """
    given = list(answers(connection, run_id))
    found, named = _check(given), weightings.named_votes(connection, run_id)
    if found is None:
        return Check(hits=0, pairs=0, low=0.0, high=1.0, named=named) if named else None
    judges = {each["judge"] for each in given}
    doubts = judges.intersection(doubted(connection, weightings.voted_on(connection, run_id)))
    return replace(
        found,
        named=named,
        doubted=tuple(sorted(doubts)),
        without=_check([e for e in given if e["judge"] not in doubts]) if doubts else None,
    )


def _check(given: Iterable[Row]) -> Check | None:
    """Return how far the score agrees with answers to pairs, slots in alphabetical order."""
    balance: dict[tuple[str, str], float] = defaultdict(float)
    weight: dict[tuple[str, str], float] = defaultdict(float)
    scored: dict[tuple[str, str], float] = {}
    for each in given:
        gap = gap_of(each, average_of)
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
