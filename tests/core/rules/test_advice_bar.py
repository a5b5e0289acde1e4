"""The advice against patience on a few simulated runs; the benchmark judges on thousands."""

from __future__ import annotations

from tests.bench.convergence import policy_table
from tests.bench.convergence_simulation import TUNING, cases, depths_of, unfold


def test_the_advice_loses_less_than_patience_and_rarely_stops_too_early() -> None:
    """Eighty-four runs of seven families, five prompts an epoch: a broken rule is far outside."""
    table = policy_table([unfold(case, depths_of("even")) for case in cases(12, TUNING)])
    normal = table["epochwatch normal"]
    assert normal["regret"] < normal["regret of patience at the same savings"]
    assert normal["false stops %"] <= 10
    assert 15 <= normal["saved %"] <= 35
