"""The owner's criteria that rest on people's votes: against production, the base, by category.

Three lines to pass; where all is to be proven, each asks for an e-value against the line itself.
Blind votes only. A judge whom the checks flag counts, and what stands without them is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from core.rules.betting import PROOF, e_better, e_mean_above
from core.rules.criteria import Candidate, Criterion, State, state_of
from core.rules.votes import Vote, between, ranking_votes, without_judges
from core.rules.win_rate import CATEGORY_LEAST, WinRate, category_rates, win_rate

LEAST_WIN, OVERALL_WIN, CATEGORY_WIN = 60.0, 80.0, 70.0  # % of comparisons


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """Votes on the candidate, its base model and current production; slots by their stack key."""

    candidate: str
    votes: Sequence[Vote] = ()  # blind ones
    named: Sequence[Vote] = ()  # given with the names shown: told, and never counted
    flagged: Sequence[str] = ()  # judges whose answers the checks doubt
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
    found, aside = _rate(ballot, ballot.production if ballot else None)
    if found is None or found.tally.win_rate is None:
        return Criterion(
            key=key, name=name, state="not known", must=True,
            found=f"No blind votes yet between the two: compare them and vote.{aside}",
        )  # fmt: skip
    proof = found.e_b if not strict or ballot is None else proof_above(LEAST_WIN, found, ballot)
    met = found.tally.win_rate > LEAST_WIN and proof >= PROOF
    against = f" that more than {LEAST_WIN:g} % prefer it" if strict else ""
    words = f"{_told(found)}; the proof{against} is {proof:.3g} and {PROOF:g} is needed.{aside}"
    return Criterion(key=key, name=name, state=state_of(met=met), must=True, found=words)


def _rate(ballot: Ballot | None, against: str | None) -> tuple[WinRate | None, str]:
    """Return the candidate's standing against a slot, and what to say beside it.

    None when they cannot be compared.
    """
    if ballot is None or against is None or against == ballot.candidate:
        return None, ""
    found = win_rate(ballot.votes, against, ballot.candidate)
    return found, _not_counted(ballot, against) + _without_flagged(ballot, against)


def _not_counted(ballot: Ballot, against: str) -> str:
    """Say how many votes were given with the names shown."""
    named = len(ranking_votes(between(ballot.named, against, ballot.candidate)))
    if not named:
        return ""
    return f" {named} vote{' was' if named == 1 else 's were'} given with names shown: not counted."


def _without_flagged(ballot: Ballot, against: str) -> str:
    """Say what stands without the judges whose answers the checks doubt."""
    voted = {vote.judge for vote in ranking_votes(between(ballot.votes, against, ballot.candidate))}
    doubted = sorted(voted & set(ballot.flagged))
    if not doubted:
        return ""
    names = f"{' and '.join(doubted)}, whose answers the checks doubt"
    rest = win_rate(without_judges(ballot.votes, doubted), against, ballot.candidate)
    if rest.tally.win_rate is None:
        return f" All votes are of {names}."
    return f" Without {names}: {_told(rest)}, proof {rest.e_b:.3g}."


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
    return f"{tally.win_rate:.1f} % of {tally.compared} won ({found.win_interval})"


def overall(ballot: Ballot | None, *, strict: bool) -> Criterion:
    """Judge by votes against the base model; too few clear votes are "not known", never a pass."""
    key, name = "overall", f"Overall win rate above {OVERALL_WIN:g} %"
    found, aside = _rate(ballot, ballot.base if ballot else None)
    if ballot is None or found is None or found.tally.win_rate is None:
        return Criterion(
            key=key,
            name=name,
            state="not known",
            must=False,
            found=f"No blind votes yet against the base model.{aside}",
        )
    state, missing = _standing(
        OVERALL_WIN, found, proof_above(OVERALL_WIN, found, ballot), strict=strict
    )
    words = f"{_told(found)}{missing}.{aside}"
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
    found, aside = _rate(ballot, ballot.base if ballot else None)
    if ballot is not None and ballot.base is not None and ballot.base != ballot.candidate:
        rates = category_rates(ballot.votes, ballot.base, ballot.candidate)
    if ballot is None or not rates:
        return Criterion(
            key=key, name=name, state="not known", must=False,
            found="No blind votes yet on prompts of a category."
            + ("" if found and found.tally.total else aside),
        )  # fmt: skip
    states, parts = [], []
    for category, each in rates.items():
        proof = proof_above(CATEGORY_WIN, each, ballot, category)
        state, missing = _standing(CATEGORY_WIN, each, proof, strict=strict)
        states.append(state)
        parts.append(f"{category or 'no category'}: {_rate_words(each)}{missing}")
    worst: State = "met"
    if "not met" in states:
        worst = "not met"
    elif "not known" in states:
        worst = "not known"
    return Criterion(
        key=key, name=name, state=worst, must=False, found=f"{'; '.join(parts)}.{aside}"
    )


def _rate_words(found: WinRate) -> str:
    rate = found.tally.win_rate
    return "no comparison" if rate is None else f"{rate:.1f} % ({found.win_interval})"
