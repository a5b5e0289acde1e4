"""Whether the statistics of votes keep their promises, on simulated sessions with known truth.

make bench WHICH=votes
make bench WHICH=votes ARGS="--runs 200"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import combinations
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from core.rules.betting import log_e_better, log_mixture, wealth_paths
from core.rules.davidson import rank
from core.rules.judges import flagged
from core.rules.next_pair import next_pair
from core.rules.votes import Choice, Vote, without_judges
from core.rules.win_rate import proof_needed

SEED = 20211055
LOOKS = 1000
PROOF = log(20)
STRENGTHS = {"e5": -0.6, "e6": -0.2, "e7": 0.0, "e8": 0.3, "e9": 0.5}
Floats = NDArray[np.float64]


def main() -> None:
    """Run every check and print the shares of sessions that went wrong as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="sessions for each interval")
    parser.add_argument(
        "--fits", type=int, default=200, help="sessions for each model of many slots"
    )
    wanted = parser.parse_args()
    found = {
        "interval missed at any of 1,000 looks": {
            str(rate): interval_missed(wanted.runs, rate) for rate in (0.5, 0.6, 0.7, 0.8, 0.9)
        },
        "the same, Wilson's interval": {
            str(rate): wilson_missed(wanted.runs, rate) for rate in (0.5, 0.7)
        },
        "better was ever said of equals": false_proof(wanted.runs),
        "better was ever said of the best of many equals, 60 votes a pair": {
            f"{others} against the first": best_of_equals(wanted.runs, others)
            for others in (1, 5, 11)
        },
        "units voted on again and again, looked at after each vote": {
            f"{units} units x {times} votes, prompts differ by {sd} log odds": units_missed(
                wanted.runs, units, times, sd
            )
            for units, times in ((15, 20), (40, 5))
            for sd in (0.0, 1.0, 2.0)
        },
        "many slots": {
            f"prompts differ by {sd} log odds": strengths_missed(wanted.fits, sd)
            for sd in (0.0, 1.0)
        },
        "judges flagged": {
            f"{golds} golds": judges_flagged(wanted.fits, golds) for golds in (12, 24)
        },
        "choosing pairs": chosen_pairs(max(1, wanted.fits // 2)),
    }
    print(json.dumps(found, indent=2))


def interval_missed(runs: int, rate: float, looks: int = LOOKS) -> float:
    """Return the share of sessions in which the interval ever excludes the true rate."""
    won, seen = _clear_votes(runs, rate, looks)
    return _share(_once(lambda w, n: log_mixture(w, n, rate), won, seen) >= PROOF)


def wilson_missed(runs: int, rate: float, looks: int = LOOKS) -> float:
    """Return the same for an interval made for one look, first looked at after 10 votes."""
    won, seen = _clear_votes(runs, rate, looks)
    off = np.abs(won / seen - rate) > 1.959964 * np.sqrt(rate * (1 - rate) / seen)
    return _share(off[:, 9:])


def false_proof(runs: int, looks: int = LOOKS) -> dict[str, float]:
    """Return how often equals are ever said to differ: in one named direction, and in either."""
    won, seen = _clear_votes(runs, 0.5, looks)
    b, a = (_once(log_e_better, wins, seen) >= PROOF for wins in (won, seen - won))
    return {"b": _share(b), "either": _share(a | b)}


def best_of_equals(runs: int, others: int, looks: int = 60) -> dict[str, float]:
    """Return how often equal slots are ever said to differ, looked at after each vote of a pair.

    The result is that of the first slot and whichever leads then (either of the two may be called
    better); the forecast's that of any two. Held to the proof of one claim, and of one of so many.
    """
    rng = np.random.default_rng([SEED, others])
    pairs = list(combinations(range(others + 1), 2))  # those with the first slot come first
    shape = (runs, len(pairs), looks)
    won = np.cumsum(rng.random(shape, dtype=np.float32) < 0.5, axis=2, dtype=np.int16)
    proofs = _proofs(looks)[np.arange(looks), won]
    leader = won[:, :others].argmin(axis=1)[:, None]  # of whom the first won least
    best = np.take_along_axis(proofs[:, :others], leader, axis=1)[:, 0]
    most = proofs.max(axis=1)
    return {
        "the first and the best, as one claim": _share(best >= log(proof_needed(1))),
        "the first and the best": _share(best >= log(proof_needed(others))),
        "any two, as one claim": _share(most >= log(proof_needed(1))),
        "any two": _share(most >= log(proof_needed(len(pairs)))),
    }


def _proofs(looks: int) -> Floats:
    """Return the log e-value of the winning side [votes - 1, wins] for all there can be."""
    seen = np.broadcast_to(np.arange(1, looks + 1)[:, None], (looks, looks + 1))
    won = np.minimum(np.arange(looks + 1), seen)
    found: Floats = np.maximum(log_e_better(won, seen), log_e_better(seen - won, seen))
    return found


def units_missed(runs: int, units: int, times: int, sd: float) -> dict[str, float]:
    """Return the shares of sessions that ever exclude the mean rate over all prompts.

    By units, as ``win_rate`` does once a unit comes twice (each vote by itself before that), and
    taking each click for independent.
    """
    rng = np.random.default_rng(SEED)
    rates = expit(0.4 + sd * rng.standard_normal((runs, units)))
    truth = float(expit(0.4 + sd * np.random.default_rng(1).standard_normal(1_000_000)).mean())
    wins = np.zeros((runs, units))
    missed, naive = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    for time in range(times):
        for unit in range(units):
            wins[:, unit] += rng.random(runs) < rates[:, unit]
            votes = time * units + unit + 1
            by_vote = log_mixture(wins.sum(axis=1), np.full(runs, votes), truth) >= PROOF
            naive |= by_vote
            missed |= by_vote if time == 0 else _unit_miss(wins, unit, time, truth)
    return {"by units": round(float(missed.mean()), 4), "by clicks": round(float(naive.mean()), 4)}


def strengths_missed(runs: int, sd: float, votes: int = 400, units: int = 40) -> dict[str, Any]:
    """Return how often intervals of strengths, and of the position effect, miss the truth.

    Where prompts differ, the truth is what a model without prompts finds over a great many of
    them: strengths over all prompts are nearer to each other than those on one.
    """
    truth, left = np.array(list(STRENGTHS.values())) - np.mean(list(STRENGTHS.values())), 0.3
    if sd > 0:
        large = rank(session(20_000, seed=10**6, units=20_000, sd=sd))
        truth = np.array([large.strengths[name].value for name in STRENGTHS])
        left = large.position.value
    misses, position, errors = [], [], []
    for run in range(runs):
        found = rank(session(votes, seed=run, units=units, sd=sd))
        fits = [found.strengths[name] for name in STRENGTHS]
        misses += [not fit.low <= at <= fit.high for fit, at in zip(fits, truth, strict=True)]
        errors += [abs(fit.value - at) for fit, at in zip(fits, truth, strict=True)]
        position.append(not found.position.low <= left <= found.position.high)
    return {
        "strength missed": round(float(np.mean(misses)), 4),
        "position missed": round(float(np.mean(position)), 4),
        "mean error, log odds": round(float(np.mean(errors)), 3),
    }


def judges_flagged(runs: int, golds: int) -> dict[str, float]:
    """Return the shares of honest judges and of careless ones that are flagged."""
    honest, careless = [], []
    for run in range(runs):
        names = flagged(panel(seed=run, golds=golds))
        honest += [name in names for name in ("ann", "ben", "cleo")]
        careless.append("dice" in names)
    return {
        "honest": round(float(np.mean(honest)), 4),
        "careless": round(float(np.mean(careless)), 4),
    }


def chosen_pairs(runs: int, votes: int = 150) -> dict[str, float]:
    """Return how often the best slot is found after 150 votes, by choice and by chance alone."""
    return {
        name: round(float(np.mean([_finds_best(run, votes, share) for run in range(runs)])), 3)
        for name, share in (("chosen", 0.2), ("by chance", 1.0))
    }


def session(
    votes: int,
    *,
    seed: int,
    units: int = 40,
    sd: float = 0.0,
    nu: float = 0.5,
    left: float = 0.3,
    judge: str = "ann",
) -> list[Vote]:
    """Return votes on random pairs of STRENGTHS; each prompt favors slots of its own by ``sd``."""
    rng = np.random.default_rng(seed)
    names = list(STRENGTHS)
    taste = sd * rng.standard_normal((units, len(names)))
    found = []
    for number in range(votes):
        i, j = rng.choice(len(names), 2, replace=False)
        unit = int(rng.integers(units))
        pulls = [STRENGTHS[names[slot]] + taste[unit, slot] for slot in (i, j)]
        choice = answer(pulls[0], pulls[1], rng, nu=nu, left=left)
        found.append(
            Vote(
                left=names[i],
                right=names[j],
                choice=choice,
                judge=judge,
                unit=f"p{unit:02}",
                number=number,
                milliseconds=int(rng.integers(900, 3000)),
            )
        )
    return found


def answer(a: float, b: float, rng: np.random.Generator, *, nu: float, left: float) -> Choice:
    """Draw an answer of Davidson's model to log strengths ``a`` on the left, ``b`` on the right."""
    logits = np.array([a + left, b, log(nu) + (a + left + b) / 2])
    chances = np.exp(logits) / np.exp(logits).sum()
    choices: tuple[Choice, ...] = ("left", "right", "tie")
    return choices[int(rng.choice(3, p=chances))]


def panel(*, seed: int, votes: int = 120, golds: int = 24) -> list[Vote]:
    """Return the votes of three judges who look and one who throws dice, with golds for each."""
    rng = np.random.default_rng([seed, 7])
    found: list[Vote] = []
    for index, name in enumerate(("ann", "ben", "cleo", "dice")):
        own = session(votes, seed=1000 * seed + index, left=0.0, judge=name)
        if name == "dice":
            own = [_thrown(vote, rng) for vote in own]
        found += own + [_gold(name, number, rng) for number in range(votes, votes + golds)]
    return found


def _thrown(vote: Vote, rng: np.random.Generator) -> Vote:
    choice: Choice = "left" if rng.random() < 0.5 else "right"
    return Vote(
        left=vote.left,
        right=vote.right,
        choice=choice,
        judge=vote.judge,
        unit=vote.unit,
        number=vote.number,
        milliseconds=int(rng.integers(850, 1500)),
    )


def _gold(judge: str, number: int, rng: np.random.Generator) -> Vote:
    right: Choice = "left" if rng.random() < 0.5 else "right"
    known = rng.random() < (0.5 if judge == "dice" else 0.95)
    wrong: Choice = "right" if right == "left" else "left"
    return Vote(
        left="e7",
        right="e7",
        choice=right if known else wrong,
        expected=right,
        judge=judge,
        unit=f"g{number}",
        number=number,
        purpose="gold",
    )


def _clear_votes(runs: int, rate: float, looks: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([SEED, int(1000 * rate)])
    won = np.cumsum(rng.random((runs, looks)) < rate, axis=1).astype(float)
    return won, np.arange(1.0, looks + 1) + np.zeros_like(won)


def _once(proof: Callable[[Floats, Floats], Floats], won: Floats, seen: Floats) -> Floats:
    """Return a proof [runs, looks], each number of wins and votes being worked out once."""
    codes, at = np.unique(seen * (LOOKS + 1) + won, return_inverse=True)
    found = proof(codes % (LOOKS + 1), codes // (LOOKS + 1))
    return found[at].reshape(won.shape)


def _unit_miss(wins: Floats, unit: int, time: int, truth: float) -> NDArray[np.bool_]:
    """Say which runs exclude the truth, with units up to ``unit`` voted on time + 1 times."""
    votes = np.full(wins.shape[1], time)
    votes[: unit + 1] += 1
    up, down = wealth_paths(wins / votes, np.array([truth]))
    missed: NDArray[np.bool_] = np.maximum(up, down)[0, :, -1] - log(2) >= PROOF
    return missed


def _finds_best(seed: int, votes: int, share: float) -> bool:
    rng = np.random.default_rng([SEED, seed])
    units = [f"p{unit:02}" for unit in range(40)]
    given: list[Vote] = []
    ranking = rank([], list(STRENGTHS))
    for number in range(votes):
        if number % 10 == 0:
            ranking = rank(given, list(STRENGTHS))
        at = next_pair(
            given,
            list(STRENGTHS),
            units,
            judge="ann",
            rng=rng,
            random_share=share,
            ranking=ranking,
        )
        assert at is not None
        choice = answer(STRENGTHS[at.left], STRENGTHS[at.right], rng, nu=0.5, left=0.0)
        given.append(
            Vote(
                left=at.left,
                right=at.right,
                choice=choice,
                judge="ann",
                unit=at.unit,
                number=number,
            )
        )
    return rank(given).slots[0] == "e9"


def with_and_without(seed: int, golds: int = 40) -> tuple[float, float]:
    """Return the errors of the strengths with everybody's votes and without the flagged."""
    votes = panel(seed=seed, golds=golds)
    truth = np.array(list(STRENGTHS.values())) - np.mean(list(STRENGTHS.values()))
    both = (votes, without_judges(votes, flagged(votes)))
    errors = [
        np.abs([rank(some).strengths[name].value for name in STRENGTHS] - truth).mean()
        for some in both
    ]
    return float(errors[0]), float(errors[1])


def _share(ever: NDArray[np.bool_]) -> float:
    return round(float(ever.any(axis=1).mean()), 4)


if __name__ == "__main__":
    main()
