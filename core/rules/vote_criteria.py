"""The owner's criteria that rest on people's votes: against production, the base, by category.

Three lines to pass; where all is to be proven, each asks for an e-value against the line itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from core.rules.betting import PROOF, e_better, e_mean_above
from core.rules.criteria import Candidate, Criterion, State, state_of
from core.rules.votes import Vote, between, ranking_votes
from core.rules.win_rate import CATEGORY_LEAST, WinRate, category_rates, win_rate

LEAST_WIN, OVERALL_WIN, CATEGORY_WIN = 60.0, 80.0, 70.0  # % of comparisons


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """Votes on the candidate, its base model and current production; slots by their stack key."""

    candidate: str
    votes: Sequence[Vote] = ()
    production: str | None = None  # None: nothing is in production, or it cannot be voted on
    base: str | None = None


def production(candidate: Candidate, ballot: Ballot | None, *, strict: bool) -> Criterion:
    """Judge by votes against what is in production now."""
    key, name = "production", f"Preferred to current production by more than {LEAST_WIN:g} %"
    if not candidate.has_production:
        return Criterion(
            key=key, name=name, state="met", must=True,
            found="Nothing is in production, so there is nothing to beat.",
        )  # fmt: skip
    found = _rate(ballot, ballot.production if ballot else None)
    if found is None or found.tally.win_rate is None:
        return Criterion(
            key=key, name=name, state="not known", must=True,
            found="No votes yet between the two: compare them and vote.",
        )  # fmt: skip
    proof = found.e_b if not strict or ballot is None else proof_above(LEAST_WIN, found, ballot)
    met = found.tally.win_rate > LEAST_WIN and proof >= PROOF
    against = f" that more than {LEAST_WIN:g} % prefer it" if strict else ""
    words = f"{_told(found)}; the proof{against} is {proof:.3g} and {PROOF:g} is needed."
    return Criterion(key=key, name=name, state=state_of(met=met), must=True, found=words)


def _rate(ballot: Ballot | None, against: str | None) -> WinRate | None:
    """Return the candidate's standing against a slot; None when they cannot be compared."""
    if ballot is None or against is None or against == ballot.candidate:
        return None
    return win_rate(ballot.votes, against, ballot.candidate)


def proof_above(least: float, found: WinRate, ballot: Ballot, category: str | None = None) -> float:
    """Return the e-value against "at most ``least`` % prefer it", on what the win rate counts."""
    if found.counted == "votes":
        return e_better(found.tally.b_wins, found.tally.decisive, least / 100)
    points: dict[str, list[float]] = {}
    for vote in ranking_votes(between(ballot.votes, found.tally.a, found.tally.b)):
        if category not in (None, vote.category):
            continue
        won = 0.5 if vote.winner is None else float(vote.winner == found.tally.b)
        points.setdefault(vote.unit, []).append(won)
    return e_mean_above([fmean(each) for each in points.values()], least / 100)


def _told(found: WinRate) -> str:
    tally = found.tally
    return f"{tally.win_rate:.1f} % of {tally.total} comparisons won ({found.win_interval})"


def overall(ballot: Ballot | None, *, strict: bool) -> Criterion:
    """Judge by votes against the base model; too few clear votes are "not known", never a pass."""
    key, name = "overall", f"Overall win rate above {OVERALL_WIN:g} %"
    found = _rate(ballot, ballot.base if ballot else None)
    if ballot is None or found is None or found.tally.win_rate is None:
        return Criterion(
            key=key,
            name=name,
            state="not known",
            must=False,
            found="No votes yet against the base model.",
        )
    state, missing = _standing(
        OVERALL_WIN, found, proof_above(OVERALL_WIN, found, ballot), strict=strict
    )
    words = f"{_told(found)}{missing}."
    return Criterion(key=key, name=name, state=state, must=False, found=words)


def _standing(least: float, found: WinRate, proof: float, *, strict: bool) -> tuple[State, str]:
    """Return whether a win rate is above its line, and what is missing before that is known.

    Ten clear votes always; where all is to be proven, an e-value of 20 against "at most that".
    """
    if not found.enough:
        return "not known", f", only {found.tally.decisive} clear votes of {CATEGORY_LEAST}"
    above = (found.tally.win_rate or 0.0) > least
    if above and strict and proof < PROOF:
        said = f", the proof that more than {least:g} % prefer it is {proof:.3g}"
        return "not known", f"{said} and {PROOF:g} is needed"
    return state_of(met=above), ""


def categories(ballot: Ballot | None, *, strict: bool) -> Criterion:
    """Judge each category by itself; too few clear votes are "not known", never a pass."""
    key, name = "categories", f"Win rate above {CATEGORY_WIN:g} % in every category"
    rates: dict[str, WinRate] = {}
    if ballot is not None and ballot.base is not None and ballot.base != ballot.candidate:
        rates = category_rates(ballot.votes, ballot.base, ballot.candidate)
    if ballot is None or not rates:
        return Criterion(
            key=key, name=name, state="not known", must=False,
            found="No votes yet on prompts of a category.",
        )  # fmt: skip
    states, parts = [], []
    for category, found in rates.items():
        proof = proof_above(CATEGORY_WIN, found, ballot, category)
        state, missing = _standing(CATEGORY_WIN, found, proof, strict=strict)
        states.append(state)
        parts.append(f"{category or 'no category'}: {_rate_words(found)}{missing}")
    worst: State = "met"
    if "not met" in states:
        worst = "not met"
    elif "not known" in states:
        worst = "not known"
    return Criterion(key=key, name=name, state=worst, must=False, found=f"{'; '.join(parts)}.")


def _rate_words(found: WinRate) -> str:
    rate = found.tally.win_rate
    return "no comparison" if rate is None else f"{rate:.1f} % ({found.win_interval})"
