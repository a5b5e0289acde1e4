"""The owner's live database is adopted in place: nothing lost, nothing changed, all told first."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.store import migrate
from core.store.database import Database

RELATIONS = (*migrate.OWNERS_TABLES, *migrate.OWNERS_VIEWS)


def columns(dsn: str, relation: str) -> dict[str, str]:
    """Return the columns of a table or view with their types and defaults, in order."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT a.attname, concat(format_type(atttypid, atttypmod), attnotnull, "
            "pg_get_expr(adbin, adrelid)) FROM pg_attribute a "
            "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [relation],
        ).fetchall()
    return dict(found)


def content(dsn: str, relation: str, names: list[str]) -> list[tuple[Any, ...]]:
    """Return the named columns of every row, sorted."""
    select = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(relation)
    )
    with psycopg.connect(dsn) as connection:
        return sorted(connection.execute(select).fetchall(), key=repr)


def test_no_row_is_lost_or_changed_and_no_old_column_either(old_dsn: str) -> None:
    """Tables and views answer on their old columns, of their old types, with their old content."""
    shapes = {relation: columns(old_dsn, relation) for relation in RELATIONS}
    before = {
        relation: content(old_dsn, relation, list(shapes[relation])) for relation in RELATIONS
    }
    assert [len(before[table]) for table in migrate.OWNERS_TABLES] == [3, 13, 1, 2, 2]

    migrate.migrate(old_dsn)

    for relation in RELATIONS:
        now = columns(old_dsn, relation)
        assert shapes[relation].items() <= now.items(), relation
        assert content(old_dsn, relation, list(shapes[relation])) == before[relation], relation
    for view in migrate.OWNERS_VIEWS:
        assert columns(old_dsn, view) == shapes[view], view
    assert "mood" in columns(old_dsn, "training_runs")


def test_the_owners_trigger_keeps_working_and_no_other_is_added(old_dsn: str) -> None:
    """The one trigger on the owner's tables is the owner's, with the owner's function."""
    query = (
        "SELECT tgname, prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid "
        "JOIN pg_class c ON c.oid = tgrelid "
        "WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace"
    )
    with psycopg.connect(old_dsn) as connection:
        before = connection.execute(query).fetchall()
    migrate.migrate(old_dsn)
    with psycopg.connect(old_dsn) as connection:
        assert connection.execute(query).fetchall() == before
        assert len(before) == 1


def test_an_adopted_table_has_the_columns_of_a_new_one(old_dsn: str, fresh_dsn: str) -> None:
    """Whatever the history, our statements find the same names and types."""
    migrate.migrate(old_dsn)
    migrate.migrate(fresh_dsn)
    types = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
    for table in migrate.OWNERS_TABLES:
        with psycopg.connect(old_dsn) as adopted, psycopg.connect(fresh_dsn) as fresh:
            old = set(adopted.execute(types, [table]).fetchall()) - {("mood", "character varying")}
            assert old == set(fresh.execute(types, [table]).fetchall())


def test_deleting_a_parent_run_frees_its_child(old_dsn: str) -> None:
    """The key the owner made forbade it before; now the child stays and forgets its parent."""
    delete = "DELETE FROM training_runs WHERE run_name = 'SD15_bespoke_baby_Nov7'"
    with psycopg.connect(old_dsn) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(delete)
    migrate.migrate(old_dsn)
    with psycopg.connect(old_dsn) as connection:
        assert connection.execute(delete).rowcount == 1
        child = connection.execute(
            "SELECT parent_run_id FROM training_runs WHERE run_name = 'SD15_PERFECT_Nov9'"
        ).fetchone()
    assert child == (None,)


def test_a_parent_long_gone_does_not_stop_the_adoption(old_dsn: str) -> None:
    """A column without a key may name runs that were deleted; it is adopted as it is."""
    with psycopg.connect(old_dsn) as connection:
        connection.execute(
            "ALTER TABLE training_runs DROP CONSTRAINT training_runs_parent_run_id_fkey"
        )
        connection.execute(
            "UPDATE training_runs SET parent_run_id = 4711 WHERE run_name = 'SDXL_Current'"
        )
    migrate.migrate(old_dsn)
    with psycopg.connect(old_dsn) as connection:
        connection.execute("UPDATE training_runs SET notes = 'still writable'")
        parents = connection.execute("SELECT parent_run_id FROM training_runs").fetchall()
        assert (4711,) in parents
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("UPDATE training_runs SET parent_run_id = 4712")


def test_migrating_an_adopted_database_twice_does_nothing(old_dsn: str) -> None:
    """The second time nothing is pending."""
    assert len(migrate.migrate(old_dsn)) == len(migrate.migrations())
    assert migrate.migrate(old_dsn) == ()


def test_the_preview_tells_what_changes_and_who_loses_access(old_dsn: str) -> None:
    """Rows, new columns, the replaced key and the roles are told, and nothing is done yet."""
    with Database(old_dsn, max_size=1) as database:
        with database.transaction() as connection:
            plan = migrate.preview(connection)
        assert plan.pending == migrate.migrations() == migrate.pending(old_dsn)
        assert plan.has_data
        assert dict(plan.rows) == {
            "training_runs": 3, "epoch_results": 13, "test_prompts": 1, "prompt_test_results": 2,
            "caption_versions": 2,
        }  # fmt: skip
        assert "column public.epoch_results.visual_score numeric" in plan.added
        assert "row-level security on public.training_runs" in plan.added
        assert "table epochwatch.measurements" in plan.added
        assert not any("epochwatch.measurements." in line for line in plan.added)
        assert len(plan.removed) == 1
        assert "training_runs_parent_run_id_fkey" in plan.removed[0]
        assert plan.losing_access == (
            ("anon", ("epoch_results", "training_comparison", "training_runs")),
            ("authenticated", ("training_runs",)),
        )
        assert any(line.startswith("! anon will see no rows") for line in plan.lines)

        migrate.migrate(old_dsn)
        with database.transaction() as connection:
            after = migrate.preview(connection)
        assert (after.pending, after.added, after.removed, after.losing_access) == ((), (), (), ())


def test_the_preview_of_an_empty_database_asks_nothing_of_a_person(fresh_dsn: str) -> None:
    """There are no rows and nobody loses anything."""
    with Database(fresh_dsn, max_size=1) as database, database.transaction() as connection:
        plan = migrate.preview(connection)
    assert not plan.has_data
    assert plan.losing_access == ()
    assert plan.removed == ()


def test_a_role_of_the_data_api_reads_nothing_after_the_adoption(
    old_dsn: str, any_server_dsn: str
) -> None:
    """What the preview told about anon is what happens: empty results, through views too."""
    as_anon = psycopg.conninfo.make_conninfo(old_dsn, user="anon")
    count = (
        "SELECT (SELECT count(*) FROM training_runs), (SELECT count(*) FROM training_comparison)"
    )
    with psycopg.connect(as_anon) as connection:
        assert connection.execute(count).fetchone() == (3, 3)
    migrate.migrate(old_dsn)
    with psycopg.connect(as_anon) as connection:
        assert connection.execute(count).fetchone() == (0, 0)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM epochwatch.scores")
