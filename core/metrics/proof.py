"""Whether a number can tell right from wrong: the area under its ROC curve, with an interval.

Nothing that fails this counts in a score.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from core.metrics.color import Floats

GOOD_ENOUGH = 0.75  # of the area under the curve
_ABOVE_CHANCE = 0.6  # for the lower end of its interval: few images prove little
_95_PERCENT = 1.959964


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How often a right image has more than a wrong one, and how sure that is."""

    auc: float  # 0-1, 0.5 is chance
    low: float  # 95 % interval
    high: float
    positives: int
    negatives: int

    @property
    def holds(self) -> bool:
        """Whether the number may count: 0.75 at least, and clearly above chance."""
        return self.auc >= GOOD_ENOUGH and self.low >= _ABOVE_CHANCE

    @property
    def said(self) -> str:
        """The words that stand beside every such number."""
        return f"AUC {self.auc:.2f}, {self.low:.2f} to {self.high:.2f}"

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and digested."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Build it back from ``as_json``. Raises KeyError or TypeError for another body."""
        return cls(**{name: body[name] for name in cls.__dataclass_fields__})


def prove(right: Sequence[float] | Floats, wrong: Sequence[float] | Floats) -> Proof:
    """Return how well values tell (m,) right images from (n,) wrong ones; ties count half.

    Raises ValueError without any on either side. The interval is Newcombe's method 5 (Statistics
    in Medicine 25, 2006), which stays honest where nothing overlaps.
    """
    m, n = len(right), len(wrong)
    if not m or not n:
        raise ValueError("both right and wrong images are needed")
    ranks = stats.rankdata(np.concatenate([np.asarray(right), np.asarray(wrong)]))
    auc = float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))
    low, high = 1 - _upper(1 - auc, m, n), _upper(auc, m, n)
    return Proof(auc=_short(auc), low=_short(low), high=_short(high), positives=m, negatives=n)


def _short(value: float) -> float:
    """Return four places, so that a stored proof is the same on every machine."""
    return round(min(1.0, max(0.0, value)), 4)


def _upper(auc: float, m: int, n: int) -> float:
    """Return the upper end: where the observed area is just 1.96 standard errors below."""
    rest = (m + n) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + rest * (1 - theta) / (2 - theta) + rest * theta / (1 + theta)
        return theta - auc - _95_PERCENT * float(np.sqrt(theta * (1 - theta) * spread / (m * n)))

    if auc >= 1:
        return 1.0
    start = max(auc, 1e-9)
    return 1.0 if beyond(1.0) <= 0 else float(optimize.brentq(beyond, start, 1.0))


def youden_threshold(scores: Floats, labels: ArrayLike) -> float:
    """Return the score from which on an image of (n,) counts as positive.

    It has the best sum of sensitivity and specificity (Youden's J, 1950) and lies halfway between
    the two scores that it parts.
    """
    truth = np.asarray(labels, dtype=bool)
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], truth[order]
    gain = np.cumsum(hits) / truth.sum() - np.cumsum(~hits) / (~truth).sum()
    gain[:-1][ranked[:-1] == ranked[1:]] = -1.0  # no threshold lies between equal scores
    at = int(gain.argmax())
    below = ranked[at + 1] if at + 1 < len(ranked) else ranked[at] - 1
    return float((ranked[at] + below) / 2)
