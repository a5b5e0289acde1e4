"""Everything the votes on one comparison say, brought together for a page, a command or a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from statistics import median
from typing import Any, Literal

from scipy.special import bdtr

from core.rules.agreement import Agreement, Controversy, agreement, controversies
from core.rules.davidson import Ranking, rank
from core.rules.judges import Judge, judge_checks
from core.rules.note_themes import Note, Theme, note_themes
from core.rules.votes import Vote, between, ranking_votes, without_judges
from core.rules.win_rate import Decision, WinRate, category_rates, win_rate

Verdict = Decision | Literal["budget reached"]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """How often the left image won, where one won; sides are drawn, so half is expected."""

    left: int
    clear: int

    @property
    def chance(self) -> float | None:
        """How often so uneven a split comes about by chance (exact binomial, both ways)."""
        if not self.clear:
            return None
        fewer = min(self.left, self.clear - self.left)
        return min(1.0, 2 * float(bdtr(fewer, self.clear, 0.5)))


@dataclass(frozen=True, kw_only=True)
class Poll:
    """The votes on one comparison, read."""

    slots: tuple[str, ...]  # as people call them, in the comparison's order
    a: str  # what is measured against: the first slot
    b: str  # the best of the others, or the only other one
    result: WinRate  # of b against a
    verdict: Verdict
    budget: int | None
    ranking: Ranking
    pairs: Mapping[
        tuple[str, str], WinRate
    ]  # of every pair with a vote, the second against the first
    categories: Mapping[str, WinRate]
    sides: Sides
    judges: tuple[Judge, ...]
    without_flagged: WinRate | None  # None where nobody is flagged, or everybody is
    decisive_judges: tuple[str, ...]  # without one of them the decision would be another
    agreement: Agreement
    controversies: tuple[Controversy, ...]
    themes: tuple[Theme, ...]
    notes: tuple[Note, ...]
    seconds: Mapping[str, tuple[float, ...]]  # generation time of each image by slot

    @property
    def sentence(self) -> str:
        """Say what stands, and that the budget is used up where it is."""
        if self.verdict == "budget reached":
            return f"The {self.budget} votes set out for are given. {self.result.sentence}"
        return self.result.sentence

    @property
    def higher_bar(self) -> str | None:
        """Say why more proof is asked for than of two slots; None where it is not."""
        among = self.result.among
        if among == 1 or not self.result.tally.total:
            return None
        return (
            f"{self.b} is the best of {among}. The best of {among} is held to a higher bar, "
            f"{among} times the proof: of many, one leads by luck."
        )

    @property
    def weak_categories(self) -> tuple[str, ...]:
        """Categories with votes enough in which b wins no more than half of the clear ones."""
        return tuple(
            name
            for name, each in self.categories.items()
            if each.enough
            and each.tally.decisive_rate is not None
            and each.tally.decisive_rate <= 50
        )


def read_poll(
    votes: Sequence[Vote],
    slots: Sequence[str],
    *,
    notes: Sequence[Note] = (),
    seconds: Mapping[str, Sequence[float]] | None = None,
    budget: int | None = None,
    given: int = 0,
) -> Poll:
    """Read all votes on a comparison of ``slots`` (at least two), the first being the baseline.

    ``given`` answers of ``budget`` were given; that is more than the votes which count, since
    checks and skips are answers too, and less where earlier sittings had budgets of their own.

    With more than two slots the result is that of the best of the others, by the ranking, against
    the first. It could have been any of them, those without a vote too, so that it needs proof for
    so many; a pair of the table could have been any pair.
    """
    among = len(slots) - 1
    ranking = rank(votes, slots)
    a = slots[0]
    b = _candidate(ranking, slots)
    result = win_rate(votes, a, b, among=among)
    judges = judge_checks(votes)
    return Poll(
        slots=tuple(slots),
        a=a,
        b=b,
        result=result,
        verdict=_verdict(result, budget, given),
        budget=budget,
        ranking=ranking,
        pairs={
            (first, second): win_rate(votes, first, second, among=comb(len(slots), 2))
            for first, second in combinations(slots, 2)
            if ranking_votes(between(votes, first, second))
        },
        categories=category_rates(votes, a, b, among=among),
        sides=_sides(votes),
        judges=tuple(judges),
        without_flagged=_without_flagged(votes, judges, result),
        decisive_judges=_decisive_judges(votes, judges, result),
        agreement=agreement(votes),
        controversies=tuple(controversies(votes)),
        themes=tuple(note_themes(notes)),
        notes=tuple(notes),
        seconds={slot: tuple(each) for slot, each in (seconds or {}).items()},
    )


def _candidate(ranking: Ranking, slots: Sequence[str]) -> str:
    """Return the best of the slots that votes link with the first; the second where none is."""
    known = next(group for group in ranking.groups if slots[0] in group)
    linked = [slot for slot in slots[1:] if slot in known]
    return max(
        linked or slots[1:2],
        key=lambda slot: (ranking.p_best[slot], ranking.strengths[slot].value),
    )


def _verdict(result: WinRate, budget: int | None, given: int) -> Verdict:
    if result.decision == "continue" and budget is not None and given >= budget:
        return "budget reached"
    return result.decision


def _sides(votes: Sequence[Vote]) -> Sides:
    clear = [vote.choice for vote in ranking_votes(votes) if vote.winner is not None]
    return Sides(left=clear.count("left"), clear=len(clear))


def _without_flagged(
    votes: Sequence[Vote], judges: Sequence[Judge], result: WinRate
) -> WinRate | None:
    flagged = [judge.name for judge in judges if judge.flags]
    if not flagged or len(flagged) == len(judges):
        return None
    return _again(without_judges(votes, flagged), result)


def _decisive_judges(
    votes: Sequence[Vote], judges: Sequence[Judge], result: WinRate
) -> tuple[str, ...]:
    if len(judges) < 2:
        return ()
    return tuple(
        judge.name
        for judge in judges
        if _again(without_judges(votes, [judge.name]), result).decision != result.decision
    )


def _again(votes: Sequence[Vote], result: WinRate) -> WinRate:
    """Judge the same two slots as strictly from other votes."""
    return win_rate(votes, result.tally.a, result.tally.b, among=result.among)


def as_json(poll: Poll) -> dict[str, Any]:
    """Return the poll as plain data; unknown is null."""
    return {
        "slots": list(poll.slots),
        "a": poll.a,
        "b": poll.b,
        "decision": poll.verdict,
        "sentence": poll.sentence,
        "higher_bar": poll.higher_bar,
        "result": _rate(poll.result),
        "budget": poll.budget,
        "ranking": [_place(poll.ranking, slot) for slot in poll.ranking.slots],
        "pairs": [{"a": a, "b": b, **_rate(each)} for (a, b), each in poll.pairs.items()],
        "categories": {name: _rate(each) for name, each in poll.categories.items()},
        "weak_categories": list(poll.weak_categories),
        "position": {
            "left_wins": poll.sides.left,
            "clear_votes": poll.sides.clear,
            "p": poll.sides.chance,
            "pull": poll.ranking.position.value,
            "interval": [poll.ranking.position.low, poll.ranking.position.high],
            "matters": poll.ranking.position_matters,
        },
        "judges": [_judge(each) for each in poll.judges],
        "without_flagged": _rate(poll.without_flagged) if poll.without_flagged else None,
        "decisive_judges": list(poll.decisive_judges),
        "agreement": {
            "alpha": poll.agreement.alpha,
            "interval": None
            if poll.agreement.low is None
            else [poll.agreement.low, poll.agreement.high],
            "reading": poll.agreement.reading,
            "judged_by_two": poll.agreement.judged,
        },
        "controversial": [
            {
                "pair": list(each.pair),
                "unit": each.unit,
                "votes": [each.first, each.second, each.even],
            }
            for each in poll.controversies
        ],
        "themes": [
            {"theme": each.name, "count": each.count, "says": each.meaning, "won": dict(each.won)}
            for each in poll.themes
        ],
        "generation_seconds": {
            slot: {
                "images": len(each),
                "mean": sum(each) / len(each) if each else None,
                "median": median(each) if each else None,
            }
            for slot, each in poll.seconds.items()
        },
    }


def _place(ranking: Ranking, slot: str) -> dict[str, Any]:
    known = None if slot in ranking.unknown else ranking.strengths[slot]
    return {
        "slot": slot,
        "strength": known and known.value,
        "interval": known and [known.low, known.high],
        "p_best": known and ranking.p_best[slot],
        "group": next(n for n, group in enumerate(ranking.groups) if slot in group),
    }


def _rate(each: WinRate) -> dict[str, Any]:
    counts = each.tally
    return {
        "wins": counts.b_wins,
        "losses": counts.a_wins,
        "ties": counts.ties,
        "both_bad": counts.both_bad,
        "skipped": counts.skipped,
        "comparisons": counts.total,
        "win_rate": counts.win_rate,
        "win_rate_interval": [100 * each.win_interval.low, 100 * each.win_interval.high],
        "decisive_rate": counts.decisive_rate,
        "points_rate": counts.points_rate,
        "interval": [100 * each.interval.low, 100 * each.interval.high],
        "consistency": counts.consistency,
        "verdict": each.verdict,
        "progress": counts.progress,
        "evidence": each.counted,
        "e_value": each.e_b,
        "e_needed": each.proof_needed,
        "decision": each.decision,
        "more": each.more,
        "votes_to_flip": each.to_flip,
    }


def _judge(each: Judge) -> dict[str, Any]:
    return {
        "name": each.name,
        "votes": each.votes,
        "golds": [each.golds_passed, each.golds],
        "repeats": [each.repeats_same, each.repeats],
        "median_ms": each.median_ms,
        "left_share": each.left_share,
        "flags": list(each.flags),
    }
