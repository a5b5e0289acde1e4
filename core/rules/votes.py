"""Votes of people on pairs of images, and what is counted from them.

The owner's figures (win rate, consistency, verdict words) are kept as they are written; what may
be concluded from them is in ``core.rules.win_rate``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from core.errors import Fixable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
Purpose = Literal["vote", "repeat", "gold"]
Progress = Literal["good progress", "some improvement", "may be ineffective"]
Word = Literal["EXCELLENT", "GOOD", "MODERATE", "MINIMAL", "POOR"]
# The owner's verdicts: the first whose lowest win rate (%) is reached.
VERDICTS: tuple[tuple[float, Word], ...] = (
    (80.0, "EXCELLENT"),
    (70.0, "GOOD"),
    (60.0, "MODERATE"),
    (50.0, "MINIMAL"),
    (0.0, "POOR"),
)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One answer of one judge to two images, made from the same prompt and seed."""

    left: str  # the slot (model, epoch, strength) shown on the left
    right: str
    choice: Choice
    judge: str
    unit: str  # prompt and seed
    number: int  # the place in which the answers were stored; says which unit came first
    milliseconds: int | None = None  # from both images shown to the answer
    purpose: Purpose = "vote"
    expected: Choice | None = None  # the right answer to a gold: a side, or "tie"
    category: str | None = None
    places: int = 2  # images shown at once; of more than two each pair is a vote, with one number

    def __post_init__(self) -> None:
        """Refuse a pair of one slot, except where a gold shows the same image twice."""
        if self.left == self.right and self.purpose != "gold":
            raise Fixable(
                f"A vote between {self.left!r} and itself says nothing; choose two slots."
            )

    @property
    def pair(self) -> tuple[str, str]:
        """The two slots in alphabetical order, whichever side they were on."""
        return (self.left, self.right) if self.left <= self.right else (self.right, self.left)

    @property
    def winner(self) -> str | None:
        """The slot that won; None for a tie, both bad and a skip."""
        match self.choice:
            case "left":
                return self.left
            case "right":
                return self.right
            case "tie" | "both_bad" | "skip":
                return None
            case _:
                assert_never(self.choice)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of the votes between A (the baseline) and B (the candidate)."""

    a: str
    b: str
    a_wins: int
    b_wins: int
    ties: int
    both_bad: int  # a tie for the ranking; too many of them question both models
    skipped: int  # no answer, so in no total

    @property
    def decisive(self) -> int:
        """Comparisons with a clear winner."""
        return self.a_wins + self.b_wins

    @property
    def total(self) -> int:
        """All comparisons: ties and "both bad" are in, skips are not."""
        return self.decisive + self.ties + self.both_bad

    @property
    def compared(self) -> str:
        """How many comparisons there were, in words."""
        return f"{self.total} comparison{'s' if self.total != 1 else ''}"

    @property
    def win_rate(self) -> float | None:
        """The owner's figure: B's wins per 100 comparisons. None when there is none."""
        return 100 * self.b_wins / self.total if self.total else None

    @property
    def consistency(self) -> float | None:
        """The owner's figure: comparisons with a clear winner per 100. None when there is none."""
        return 100 * self.decisive / self.total if self.total else None

    @property
    def decisive_rate(self) -> float | None:
        """B's wins per 100 comparisons with a clear winner. None when there is none."""
        return 100 * self.b_wins / self.decisive if self.decisive else None

    @property
    def points_rate(self) -> float | None:
        """B's points per 100 comparisons, a tie being half a point. None when there is none."""
        if not self.total:
            return None
        return 100 * (self.b_wins + 0.5 * (self.ties + self.both_bad)) / self.total

    @property
    def progress(self) -> Progress | None:
        """The owner's decision tree for a first LoRA: above 60, 40 to 60, below 40."""
        rate = self.win_rate
        if rate is None:
            return None
        if rate > 60:
            return "good progress"
        return "some improvement" if rate >= 40 else "may be ineffective"


def ranking_votes(votes: Iterable[Vote]) -> list[Vote]:
    """Return the votes that count, in the order stored: no skips, golds or repeats."""
    counted = [vote for vote in votes if vote.purpose == "vote" and vote.choice != "skip"]
    return sorted(counted, key=lambda vote: (vote.number, vote.unit, vote.judge, vote.pair))


def between(votes: Iterable[Vote], a: str, b: str) -> list[Vote]:
    """Return the votes on one pair of slots, whatever their purpose or side."""
    if a == b:
        raise Fixable(f"Choose two different slots to compare; both are {a!r}.")
    return [vote for vote in votes if {vote.left, vote.right} == {a, b}]


def without_judges(votes: Iterable[Vote], judges: Iterable[str]) -> list[Vote]:
    """Return the votes of all other judges, for a result with and without the flagged ones."""
    dropped = set(judges)
    return [vote for vote in votes if vote.judge not in dropped]


def by_category(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """Return the votes of each category by its name; votes without one are left out."""
    found: dict[str, list[Vote]] = {}
    for vote in votes:
        if vote.category is not None:
            found.setdefault(vote.category, []).append(vote)
    return dict(sorted(found.items()))


def tally(votes: Iterable[Vote], a: str, b: str) -> Tally:
    """Count the votes between a baseline ``a`` and a candidate ``b``.

    Raises:
        Fixable: when a and b are the same slot.
    """
    pair = [vote for vote in between(votes, a, b) if vote.purpose == "vote"]
    choices = Counter(vote.choice for vote in pair)
    winners = Counter(vote.winner for vote in pair)
    return Tally(
        a=a,
        b=b,
        a_wins=winners[a],
        b_wins=winners[b],
        ties=choices["tie"],
        both_bad=choices["both_bad"],
        skipped=choices["skip"],
    )


def slots_of(votes: Sequence[Vote]) -> list[str]:
    """Return every slot that was shown, in alphabetical order."""
    return sorted({slot for vote in votes for slot in (vote.left, vote.right)})


def linked(votes: Sequence[Vote], slots: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of slots that votes link, directly or through others, alphabetically."""
    group = {slot: {slot} for slot in slots}
    for left, right in sorted({vote.pair for vote in votes}):
        if group[left] is not group[right]:
            merged = group[left] | group[right]
            group |= dict.fromkeys(merged, merged)
    return tuple(sorted({tuple(sorted(members)) for members in group.values()}))
