"""What deserves a picture? Turns untested checkpoints into grids, and grids into samples and jobs.

Reads checkpoints and documents, writes grids, samples and jobs. Needs neither GPU nor folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.formats.prompt_suite import for_tier, suite_from_json
from core.formats.run_plan import RunPlan
from core.metrics import metric_versions
from core.nouns import Prompt, Recipe, Stack, Suite, Tier, digest
from core.rules.gates import deepest_tier
from core.rules.planning import (
    expand,
    nested,
    references,
    rubric_digest,
    spread_order,
    tier_for,
    wanted_prompts,
)
from core.rules.trying import is_try, what_to_try
from core.store import weightings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from daemon.gatekeeper import plan_of

_BASELINE_PRIORITY = 100  # drawn once, and everything is compared with it
_EPOCH_PRIORITY = 50


def plan(database: Database) -> int:
    """Ask for what is untested and expand what is asked for; return how many grids were expanded."""
    with database.transaction() as connection:
        untested = rows(connection, "checkpoints.untested")
        for order, checkpoint in enumerate(_interesting_first(untested)):
            _ask_for_epoch(connection, checkpoint, priority=_EPOCH_PRIORITY - min(order, 40))
        grids = rows(connection, "grids.unplanned")
        for grid in grids:
            _expand(connection, grid)
        if grids:
            bump(connection)
        return len(grids)


def _interesting_first(untested: list[Row]) -> list[Row]:
    """First, middle and last before the rest, so that the shape of the curve is seen early."""
    by_position = {(found["run_id"], found["position"]): found for found in untested}
    ordered: list[Row] = []
    for run_id in dict.fromkeys(found["run_id"] for found in untested):
        positions = [position for of_run, position in by_position if of_run == run_id]
        ordered += [by_position[run_id, position] for position in spread_order(positions)]
    return ordered


def _ask_for_epoch(connection: Connection, checkpoint: Row, *, priority: int) -> None:
    run_id, position = checkpoint["run_id"], checkpoint["position"]
    depth = _depth(connection, checkpoint)
    shared = {"suite": checkpoint["suite"], "profile": checkpoint["profile"]}
    if checkpoint["base_sha256"] is not None:
        _ask_for_baseline(connection, checkpoint, shared)
    run(
        connection,
        "grids.ask",
        origin=f"epoch/{run_id}/{checkpoint['sha256']}/{depth.name}",
        run_id=run_id,
        purpose="epoch",
        position=position,
        body={
            **shared,
            "tier": depth.tier,
            "prompts": list(depth.prompts),
            "sha256": checkpoint["sha256"],
            "stack": Stack.of_checkpoint(
                checkpoint, checkpoint["base_sha256"], checkpoint["strength"]
            ).as_json(),
        },
        priority=priority,
        why=f"{depth.name} test of {checkpoint['position']}",
        by_whom="epochwatch",
    )


def _ask_for_baseline(connection: Connection, checkpoint: Row, shared: Mapping[str, Any]) -> None:
    """Ask once for what the base model alone draws."""
    run_id = checkpoint["run_id"]
    baseline = {
        **shared,
        "tier": "full",
        "stack": Stack(base_sha256=checkpoint["base_sha256"]).as_json(),
    }
    run(
        connection,
        "grids.ask",
        origin=baseline_origin(run_id, baseline),
        run_id=run_id,
        purpose="baseline",
        position=None,
        body=baseline,
        priority=_BASELINE_PRIORITY,
        why="the same prompts without any LoRA",
        by_whom="epochwatch",
    )


def baseline_origin(run_id: int, body: Mapping[str, Any]) -> str:
    """Return what a baseline is asked for once by: its run, and all that is asked of it."""
    return f"baseline/{run_id}/{digest(body)[:16]}"


@dataclass(frozen=True, kw_only=True)
class _Depth:
    """How deep an epoch is tested first; no prompts named are all of the tier."""

    name: str
    tier: Tier
    prompts: tuple[str, ...] = ()


def _depth(connection: Connection, checkpoint: Row) -> _Depth:
    """Return how deep an epoch is tested first: as a gate asks, else as the dial says."""
    its_plan = plan_of(connection, checkpoint["run_id"])
    gated = its_plan is not None and deepest_tier(its_plan, checkpoint["position"]) is not None
    if checkpoint["tests"] == "adaptive" and not gated:
        first = nested(load_suite(connection, checkpoint["suite"]).prompts)[0]
        return _Depth(name="first", tier="full", prompts=(first.name,))
    tier = _tier(checkpoint, its_plan)
    return _Depth(name=tier, tier=tier)


def _tier(checkpoint: Row, its_plan: RunPlan | None) -> Tier:
    """Return how deep to test: in full where a gate is due; steps are read as tenths of the run."""
    wished = deepest_tier(its_plan, checkpoint["position"]) if its_plan else None
    if wished is not None:
        return wished
    position, planned = checkpoint["position"], checkpoint["max_train_epochs"]
    if checkpoint["position_unit"] == "step" and checkpoint["total_steps"]:
        position, planned = math.ceil(10 * position / checkpoint["total_steps"]), 10
    return tier_for(position, planned=planned, dial=checkpoint["tests"])


def _expand(connection: Connection, grid: Row) -> None:
    """Store the samples of one grid and a job for each of its stacks."""
    body = grid["body"]
    prompts, recipe = _asked_for(connection, body)
    slots = body.get("slots") or [body]
    for stack in (Stack.from_json(slot["stack"]) for slot in slots):
        expand_into(connection, grid, stack, prompts, recipe, profile=body.get("profile"))
    run(connection, "grids.planned", grid_id=grid["id"])


def _asked_for(connection: Connection, body: Row) -> tuple[tuple[Prompt, ...], Recipe]:
    """Return the prompts of a grid and their recipe: a person's own, else a suite's."""
    if is_try(body):
        prompt, recipe = what_to_try(body)
        return (prompt,), recipe
    suite = load_suite(connection, body["suite"])
    return wanted_prompts(for_tier(suite, body["tier"]), body), suite.recipe


def load_suite(connection: Connection, suite_digest: str) -> Suite:
    """Return the suite stored under this digest."""
    found = row(connection, "results.document", digest=suite_digest)
    if found is None:
        raise LookupError(f"suite {suite_digest} is not in the database")
    return suite_from_json(found["body"])


def expand_into(
    connection: Connection,
    grid: Row,
    stack: Stack,
    prompts: tuple[Prompt, ...],
    recipe: Recipe,
    *,
    profile: str | None,
) -> None:
    """Add every sample of ``stack x prompts x seeds`` to the grid, and the one job that draws them."""
    versions, weighting = metric_versions(), weightings.of_run(connection, grid["run_id"])
    by_text: dict[tuple[str, int], Prompt] = {
        (prompt.text, seed): prompt for prompt in prompts for seed in prompt.seeds
    }
    for ordinal, sample in enumerate(expand(stack, prompts, recipe)):
        prompt = by_text[sample.prompt, sample.seed]
        run(
            connection,
            "grids.add_sample",
            sample_id=sample.sample_id,
            stack_key=stack.key,
            stack=stack.as_json(),
            prompt=sample.prompt,
            seed=sample.seed,
            recipe=recipe.as_json(),
        )
        wanted: dict[str, Any] = {
            "grid_id": grid["id"],
            "sample_id": sample.sample_id,
            "stack_key": stack.key,
            "ordinal": ordinal,
            "prompt_name": prompt.name,
            "category": prompt.category,
            "origin": prompt.origin,
            "expect": prompt.expect.as_json(),
            "rubric": rubric_digest(versions, prompt.expect, references(profile, weighting)),
            "profile": profile,
            "weighting": weighting,
        }
        run(connection, "grids.add_grid_sample", **wanted)
    run(
        connection,
        "grids.add_job",
        grid_id=grid["id"],
        stack_key=stack.key,
        base_sha256=stack.base_sha256,
        priority=grid["priority"],
    )
