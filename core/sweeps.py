"""What the sweeps of a run say: at which strength each of its checkpoints is best used."""

from __future__ import annotations

from core.nouns import Measurement
from core.rules.scoring import average_of
from core.rules.strengths import StrengthFinding, StrengthScore, find_strengths
from core.store.database import Connection, rows


def findings_of(connection: Connection, run_id: int) -> tuple[StrengthFinding, ...]:
    """Return what the sweeps of a run say of each position, as far as they are measured."""
    found = rows(connection, "comparisons.sweep_of_run", run_id=run_id)
    scores = []
    for each in found:
        score = average_of(Measurement.from_json(each["body"]))
        if score is not None:
            scores.append(
                StrengthScore(
                    position=each["position"],
                    strength=each["strength"],
                    unit=f"{each['prompt_name']}#{each['seed']}",
                    score=score,
                )
            )
    return find_strengths(scores)
