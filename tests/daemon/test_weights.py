"""Checkpoints stay where somebody needs them, and come back from the store where they are gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from core.errors import Permanent
from core.nouns import Recipe, Slot, Stack
from core.rules.trying import TRY_PRIORITY, try_body, try_origin
from core.store import comparisons, promotions, tries
from core.store.database import Database, rows
from core.store.files import LocalStore
from core.store.promotions import Decision
from daemon.planner import plan
from daemon.spool import Spool
from daemon.weights import Weights
from seeded_history import sha


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[Database]:
    """Give a migrated database."""
    with Database(migrated_dsn) as opened:
        yield opened


@pytest.fixture
def weights(database: Database, tmp_path: Path) -> Weights:
    """Give the finder of a machine with an empty spool."""
    return Weights(
        database=database,
        spool=Spool(tmp_path / "spool"),
        store=LocalStore(tmp_path / "store"),
        folder=tmp_path / "fetched",
        most_bytes=0,
    )


def _keep(weights: Weights, content: bytes, dsn: str, *, name: str | None = None) -> str:
    """Put a checkpoint into the store alone; return the name it is known by."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = weights.spool.folder.parent / "given.safetensors"
    path.write_bytes(content)
    uri = weights.store.put_file("checkpoints", sha256, path)
    path.unlink()
    _weights(dsn, name or sha256, uri)
    return name or sha256


def _weights(dsn: str, sha256: str, uri: str | None = None) -> str:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256, size_bytes,"
            " uri) VALUES (%s, 'lora', 'sd1', 'kohya', %s, 9, %s) ON CONFLICT DO NOTHING",
            (sha256, sha256, uri),
        )
    return sha256


def test_a_kept_copy_comes_back_verified(weights: Weights, migrated_dsn: str) -> None:
    """The spool has forgotten it, the store has not; the second time it is at hand."""
    sha256 = _keep(weights, b"a lora", migrated_dsn)
    found = weights.find(sha256)
    assert found is not None
    assert found.read_bytes() == b"a lora"
    for stored in (weights.spool.folder.parent / "store").rglob("*.safetensors"):
        stored.unlink()
    assert weights.find(sha256) == found


def test_a_damaged_or_missing_copy_is_never_used(weights: Weights, migrated_dsn: str) -> None:
    """Damage is told, a loss is "not to be had", and of a pair one file alone is nothing."""
    damaged, gone = _keep(weights, b"one", migrated_dsn), _keep(weights, b"two", migrated_dsn)
    pair = _keep(weights, b"three", migrated_dsn, name=sha("a pair"))
    store = weights.spool.folder.parent / "store" / "checkpoints"
    (store / damaged[:2] / f"{damaged}.safetensors").write_bytes(b"0ne")
    (store / gone[:2] / f"{gone}.safetensors").unlink()
    with pytest.raises(Permanent, match="damaged"):
        weights.find(damaged)
    assert weights.find(gone) is None
    assert weights.find(pair) is None
    assert weights.find(sha("never seen")) is None
    assert not list(weights.folder.glob("*.safetensors"))


def _run_with_epochs(dsn: str, epochs: int) -> tuple[int, list[str]]:
    """Add a run whose epochs are all tested; the last one is without a test."""
    names = [_weights(dsn, sha(f"epoch {n}")) for n in range(1, epochs + 1)]
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "INSERT INTO public.training_runs (run_name, run_date, status, base_model, model_type,"
            " best_epoch) VALUES ('punks', now(), 'completed', 'sd15', 'SD15', 2) RETURNING id"
        ).fetchone()
        assert found is not None
        for position, name in enumerate(names, start=1):
            connection.execute(
                "INSERT INTO epochwatch.checkpoints (run_id, sha256, drawn_as, position, epoch,"
                " file_name, source_path, host, admitted_at)"
                " VALUES (%s, %s, %s, %s, %s, 'f', '/f', 'pod', now())",
                (found[0], name, name, position, position),
            )
            if position < epochs:
                connection.execute(
                    "INSERT INTO epochwatch.grids (origin, run_id, purpose, position, body,"
                    " planned_at) VALUES (%s, %s, 'epoch', %s, %s, now())",
                    (f"epoch/{position}", found[0], position, Jsonb({"sha256": name})),
                )
        body = {"pick": 2, "p_best": {"1": 0.1, "2": 0.6, "3": 0.25, "4": 0.05}}
        connection.execute(
            "INSERT INTO epochwatch.advice (run_id, evidence, sentence, body)"
            " VALUES (%s, %s, '', %s)",
            (found[0], sha("evidence"), Jsonb(body)),
        )
    return int(found[0]), names


def test_what_somebody_looks_at_is_pinned_and_the_rest_makes_room(
    weights: Weights, database: Database, migrated_dsn: str
) -> None:
    """Pick, runner-up, untested, compared, in production: pinned. Everything else may go."""
    run_id, names = _run_with_epochs(migrated_dsn, 7)
    with database.transaction() as connection:
        slot = Slot(label="5", stack=Stack(base_sha256=sha("base"), loras=((names[4], "1.00"),)))
        comparisons.ask(
            connection, origin="compare/x", run_id=run_id, by_whom="n",
            body={"title": "t", "slots": [slot.as_json()]},
        )  # fmt: skip
        promotions.decide(
            connection,
            Decision(
                run_id=run_id, run_name="punks", position=6, sha256=names[5], record={},
                checklist=[], overridden=[], reason="", by_whom="n",
            ),
        )  # fmt: skip
        pinned = promotions.pinned(connection)
    assert {names.index(name) + 1 for name in pinned} == {2, 3, 5, 6, 7}
    weights.folder.mkdir()
    for name in names:
        (weights.folder / f"{name}.safetensors").write_bytes(b"x")
    assert {names.index(name) + 1 for name in weights.tidy()} == {1, 4}


def test_a_try_is_planned_with_its_own_prompt_before_all_else(
    database: Database, migrated_dsn: str
) -> None:
    """One sample a slot, at top priority; asked for twice it is one, and given up it is another."""
    run_id, names = _run_with_epochs(migrated_dsn, 2)
    slots = [
        Slot(label="base", stack=Stack(base_sha256=sha("base"))),
        Slot(label="1", stack=Stack(base_sha256=sha("base"), loras=((names[0], "0.80"),))),
    ]
    body = try_body(
        slots=slots, prompt="a pink punk, green background", negative="grey", seed=9,
        recipe=Recipe(steps=5), profile=None,
    )  # fmt: skip
    with database.transaction() as connection:
        numbers = [
            comparisons.ask(
                connection, origin=try_origin(body), body=body, run_id=run_id, by_whom="n",
                purpose="try", priority=TRY_PRIORITY,
            )
            for _ in range(2)
        ]  # fmt: skip
    plan(database)
    with database.transaction() as connection:
        shown = tries.tries(connection)
        made = comparisons.comparison(connection, numbers[0])
        found = rows(connection, "comparisons.pictures", grid_id=numbers[0])
        assert tries.failed_attempts(connection, try_origin(body)) == 0
        connection.execute(
            "UPDATE epochwatch.jobs SET parked_reason = 'lost' WHERE grid_id = %s", (numbers[0],)
        )
        assert tries.failed_attempts(connection, try_origin(body)) == 1
        given_up = tries.one(connection, numbers[0])
    assert numbers[0] == numbers[1]
    assert [(each.wanted, each.drawn, each.finished) for each in shown] == [(2, 0, False)]
    assert made is not None
    assert [slot.label for slot in made.slots] == ["base", "1"]
    assert [(each["seed"], each["recipe"]["negative"]) for each in found] == [(9, "grey")] * 2
    assert found[0]["expect"]["background"] == "green"
    assert given_up is not None
    assert given_up.parked_reason == "lost"
