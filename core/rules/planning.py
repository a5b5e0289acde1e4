"""What deserves a picture: how deep an epoch is tested, and which samples that makes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, assert_never

from core.nouns import BLEEDING, TIERS, Expectation, Prompt, Recipe, Sample, Stack, Tier, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Item = TypeVar("Item")
Spread = Literal["thrifty", "even", "full", "adaptive"]
TABLE_LENGTH = 10  # epochs of the run that the owner's table was written for
# The owner's progressive table for ten epochs: quick up to 7, medium after; 5 and 7 stand alone.
_MIDDLE, _EXPECTED_BEST = 5, 7


def tier_for(
    epoch: int,
    *,
    planned: int | None,
    dial: Spread = "thrifty",
    named: Mapping[int, Tier] | None = None,
) -> Tier:
    """Return how deep an epoch (1-based) is tested.

    Thrifty is the owner's progressive table: quick for epochs 1-4 and 6, medium for 5, full for 7
    (where the best is expected), medium for 8-10. Runs of another length stretch it: the middle,
    the expected best at seven tenths, medium after. Even is medium throughout, full is full.
    ``named`` holds epochs that a plan or a person names alone; they override every range, as the
    7 of the table overrides its 6-7.
    """
    if named and epoch in named:
        return named[epoch]
    match dial:
        case "even":
            return "medium"
        case "full" | "adaptive":
            return "full"
        case "thrifty":
            return _progressive(epoch, planned or TABLE_LENGTH)
        case _:
            assert_never(dial)


def wanted_prompts(prompts: Sequence[Prompt], body: Mapping[str, Any]) -> tuple[Prompt, ...]:
    """Return the prompts that the body of a grid asks for, with its seeds where it names some.

    What no score counts is compared and voted on only where it is named.
    """
    names, seeds = set(body.get("prompts") or ()), tuple(body.get("seeds") or ())
    usual = [prompt for prompt in prompts if "slots" not in body or prompt.category != BLEEDING]
    chosen = [prompt for prompt in prompts if prompt.name in names] if names else usual
    return tuple(replace(prompt, seeds=seeds) if seeds else prompt for prompt in chosen)


def nested(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Return the prompts in the order in which deeper tests add them: by tier, then as written.

    Those that no score counts tell nothing of which epoch is best, so that they add nothing.
    """
    scored = [prompt for prompt in prompts if prompt.category != BLEEDING]
    return tuple(sorted(scored, key=lambda prompt: TIERS.index(prompt.tier)))


def expand(stack: Stack, prompts: Sequence[Prompt], recipe: Recipe) -> tuple[Sample, ...]:
    """Return prompt x seed as samples, in the order given and each once."""
    pairs = dict.fromkeys((prompt.text, seed) for prompt in prompts for seed in prompt.seeds)
    return tuple(Sample(stack=stack, prompt=text, seed=seed, recipe=recipe) for text, seed in pairs)


def rubric_digest(
    metric_versions: Mapping[str, int], expect: Expectation, reference_digest: str
) -> str:
    """Return the SHA-256 of all that turns an image into scores.

    ``metric_versions`` are those of metrics, scores and issues; ``reference_digest`` stands for the
    training profile and the adopted weights of the average (``references``).
    """
    return digest(
        {
            "metrics": dict(metric_versions),
            "expect": expect.as_json(),
            "references": reference_digest,
        }
    )


def references(profile: str | None, weighting: str | None) -> str:
    """Return the digest of what images are measured against; without weights it is the profile's."""
    return digest({"profile": profile, "weighting": weighting}) if weighting else profile or ""


def spread_order(positions: Sequence[int]) -> tuple[int, ...]:
    """Return the order in which a back-fill is most telling soonest.

    First, middle and last come first, then the middle of each gap that is left, widest level by
    level from the start of the run.
    """
    places = sorted(set(positions))
    if len(places) < 3:
        return tuple(places)
    middle = (len(places) - 1) // 2
    order = [0, middle, len(places) - 1]
    gaps = [(0, middle), (middle, len(places) - 1)]
    while gaps:
        halves = [(low, (low + high) // 2, high) for low, high in gaps if high - low > 1]
        order += [center for _, center, _ in halves]
        gaps = [gap for low, center, high in halves for gap in ((low, center), (center, high))]
    return tuple(places[index] for index in order)


def batches(items: Sequence[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield the items in order, ``size`` (at least 1) at a time; the last may be shorter."""
    if size < 1:
        raise ValueError(f"A batch holds at least one sample, not {size}.")
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])


def _progressive(epoch: int, planned: int) -> Tier:
    expected_best = math.ceil(planned * _EXPECTED_BEST / TABLE_LENGTH)
    if epoch == expected_best:
        return "full"
    if epoch > expected_best or epoch == math.ceil(planned * _MIDDLE / TABLE_LENGTH):
        return "medium"
    return "quick"
