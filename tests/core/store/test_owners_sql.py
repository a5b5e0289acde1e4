"""Every SQL statement of the owner's documents runs, on a new database and on an adopted one."""

# ruff: noqa: E501 - the statements stand as their authors wrote them

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.store import migrate
from databases import EXAMPLE_DATA, load, new_database, old_database

# As written in the documents: the pipeline's process, its roadmap, the tracking system's manual.
STATEMENTS = {
    "progress trend": """
        SELECT
            epoch_number,
            visual_quality_score,
            style_match_score,
            prompt_adherence_score,
            (visual_quality_score + style_match_score + prompt_adherence_score) / 3.0 as avg_score,
            verdict,
            observations
        FROM epoch_results
        WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = 'SD15_FINAL_CORRECTED_CAPTIONS')
        ORDER BY epoch_number;
    """,
    "best epoch": """
        SELECT
            epoch_number,
            (visual_quality_score + style_match_score + prompt_adherence_score) / 3.0 as avg_score,
            verdict,
            production_ready
        FROM epoch_results
        WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = 'SD15_FINAL_CORRECTED_CAPTIONS')
        ORDER BY avg_score DESC
        LIMIT 5;
    """,
    "mark the epoch production ready": """
        -- Update best epoch as production ready
        UPDATE epoch_results
        SET production_ready = true,
            verdict = 'best',
            notes = 'Selected as production model for deployment'
        WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = 'SD15_FINAL_CORRECTED_CAPTIONS')
          AND epoch_number = 7;  -- Replace with actual best epoch
    """,
    "mark the run production ready": """
        -- Update training run status
        UPDATE training_runs
        SET status = 'completed',
            overall_verdict = 'success',  -- or 'failure' or 'partial'
            quality_score = 9,  -- Best epoch score
            best_epoch = 7,
            production_ready = true
        WHERE run_name = 'SD15_FINAL_CORRECTED_CAPTIONS';
    """,
    "compare to previous runs": """
        -- Compare to previous runs
        SELECT
            run_name,
            network_dim,
            caption_version,
            quality_score,
            overall_verdict,
            best_epoch
        FROM training_runs
        ORDER BY run_date DESC
        LIMIT 5;
    """,
    "all runs": "SELECT * FROM training_comparison ORDER BY run_date DESC;",
    "production-ready models": "SELECT * FROM production_ready_epochs;",
    "training parameters": """
        SELECT
            run_name,
            model_type,
            network_dim,
            network_alpha,
            resolution,
            overall_verdict,
            quality_score
        FROM training_runs
        ORDER BY quality_score DESC;
    """,
    "best epoch of a run": """
        SELECT
            er.epoch_number,
            er.visual_quality_score,
            er.verdict,
            er.observations
        FROM epoch_results er
        JOIN training_runs tr ON er.training_run_id = tr.id
        WHERE tr.run_name = 'SD15_PERFECT_Nov9'
        ORDER BY er.visual_quality_score DESC;
    """,
    "failure patterns": """
        SELECT
            run_name,
            network_dim,
            issues_found,
            key_findings
        FROM training_runs
        WHERE overall_verdict = 'failure';
    """,
    "same captions, different networks": """
        SELECT
            run_name,
            network_dim,
            network_alpha,
            checkpoint_file_size_mb,
            caption_version,
            overall_verdict,
            quality_score,
            key_findings
        FROM training_runs
        WHERE caption_version = 'civitai_v2_7_training'
        ORDER BY quality_score DESC;
    """,
    "insert a run": """
        INSERT INTO training_runs (
            run_name,
            run_date,
            status,
            base_model,
            model_type,
            num_images,
            caption_version,
            resolution,
            network_dim,
            network_alpha,
            -- ... other parameters
            notes
        ) VALUES (
            'Your_Run_Name_Date',
            NOW(),
            'in_progress',
            'runwayml/stable-diffusion-v1-5',
            'SD15',
            203,
            'civitai_v2_7_training',
            '512x512',
            32,
            16,
            -- ... other values
            'Brief description of this training run'
        ) RETURNING id;
    """,
    "insert an epoch": """
        INSERT INTO epoch_results (
            training_run_id,
            epoch_number,
            checkpoint_path,
            checkpoint_file_size_mb,
            test_output_dir,
            visual_quality_score,
            style_match_score,
            prompt_adherence_score,
            has_wrong_backgrounds,
            has_random_pixels,
            verdict,
            production_ready,
            observations
        ) VALUES (
            123,  -- Use the id from previous query
            1,
            '/path/to/epoch-000001.safetensors',
            36,
            '/path/to/test/outputs',
            7,
            8,
            7,
            false,
            false,
            'good',
            false,
            'Your observations here'
        );
    """,
    "overall verdict": """
        UPDATE training_runs
        SET
            status = 'completed',
            overall_verdict = 'success',  -- or 'failure'
            quality_score = 9,
            production_ready = true,
            best_epoch = 7,
            key_findings = 'Summary of results',
            issues_found = ARRAY['issue1', 'issue2'],
            strengths = ARRAY['strength1', 'strength2']
        WHERE run_name = 'Your_Run_Name_Date';
    """,
    "see all runs": """
        -- See all training runs
        SELECT * FROM training_comparison;
    """,
    "similar parameters": """
        -- Check if similar parameters have been tried
        SELECT * FROM training_runs
        WHERE network_dim = 32 AND resolution = '512x512';
    """,
    "caption versions that worked": """
        -- See what caption versions worked
        SELECT
            cv.version_name,
            tr.run_name,
            tr.overall_verdict,
            tr.quality_score
        FROM caption_versions cv
        JOIN training_runs tr ON cv.version_name = tr.caption_version
        ORDER BY tr.quality_score DESC;
    """,
    "current best epoch": """
        -- Check current best epoch
        SELECT epoch_number, visual_quality_score, verdict
        FROM epoch_results
        WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = 'Current_Run')
        ORDER BY visual_quality_score DESC;
    """,
    "compare with runs of a type": """
        SELECT
            run_name,
            network_dim,
            network_alpha,
            quality_score,
            best_epoch,
            key_findings
        FROM training_runs
        WHERE model_type = 'SD15'  -- or 'SDXL'
        ORDER BY quality_score DESC;
    """,
    "network dimension": """
        SELECT
            run_name,
            network_dim,
            checkpoint_file_size_mb,
            overall_verdict,
            quality_score,
            key_findings
        FROM training_runs
        WHERE model_type = 'SD15'
        ORDER BY network_dim;
    """,
    "quality by model": """
        SELECT
            model_type,
            network_dim,
            resolution,
            AVG(quality_score) as avg_quality
        FROM training_runs
        GROUP BY model_type, network_dim, resolution;
    """,
    "quality by captions": """
        SELECT
            caption_version,
            COUNT(*) as num_runs,
            AVG(quality_score) as avg_quality,
            STRING_AGG(overall_verdict, ', ') as verdicts
        FROM training_runs
        GROUP BY caption_version;
    """,
    "all data as JSON": """
        -- Get all data as JSON
        SELECT json_agg(t) FROM training_comparison t;
    """,
    "delete discarded runs": """
        -- Delete training runs marked for discard (keeps history but flags as not relevant)
        DELETE FROM training_runs
        WHERE recommended_for = 'discard'
        AND run_date < NOW() - INTERVAL '6 months';
    """,
    "update the analysis": """
        -- After reviewing more test images, update epoch analysis
        UPDATE epoch_results
        SET
            visual_quality_score = 8,
            observations = 'Updated after detailed review',
            updated_at = NOW()
        WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = 'Run_Name')
        AND epoch_number = 5;
    """,
    "success rate": """
        SELECT
            model_type,
            COUNT(*) as total_runs,
            SUM(CASE WHEN overall_verdict = 'success' THEN 1 ELSE 0 END) as successful,
            ROUND(AVG(quality_score), 2) as avg_quality
        FROM training_runs
        GROUP BY model_type;
    """,
    "best parameters": """
        SELECT
            network_dim,
            network_alpha,
            resolution,
            COUNT(*) as times_tried,
            AVG(quality_score) as avg_quality,
            MAX(quality_score) as best_quality
        FROM training_runs
        WHERE overall_verdict != 'pending'
        GROUP BY network_dim, network_alpha, resolution
        ORDER BY avg_quality DESC;
    """,
    "issue frequency": """
        SELECT
            UNNEST(issues_found) as issue,
            COUNT(*) as frequency
        FROM training_runs
        WHERE overall_verdict = 'failure'
        GROUP BY issue
        ORDER BY frequency DESC;
    """,
}
EXPORT = """
    COPY (
        SELECT
            run_name,
            run_date,
            model_type,
            network_dim,
            resolution,
            overall_verdict,
            quality_score,
            production_ready,
            key_findings
        FROM training_runs
        ORDER BY run_date DESC
    ) TO '/tmp/training_runs.csv' WITH CSV HEADER;
"""
# The rows that the statements name, so that every UPDATE and INSERT has something to do.
NAMED_ROWS = """
    INSERT INTO training_runs (id, run_name, run_date, status, base_model, model_type)
    VALUES (123, 'SD15_FINAL_CORRECTED_CAPTIONS', now(), 'in_progress', 'sd15', 'SD15'),
           (124, 'Current_Run', now(), 'in_progress', 'sd15', 'SD15'),
           (125, 'Run_Name', now(), 'in_progress', 'sd15', 'SD15');
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score, style_match_score,
                               prompt_adherence_score)
    VALUES (123, 7, 9, 9, 8), (124, 1, 6, 6, 6), (125, 5, 7, 7, 7);
"""
YOUR_RUN = "UPDATE training_runs SET run_name = 'Your_Run_Name_Date' WHERE run_name = 'Current_Run'"


@pytest.fixture(scope="module", params=["new", "adopted"])
def database_dsn(request: pytest.FixtureRequest, any_server_dsn: str) -> Iterator[str]:
    """Give a migrated database with the example data; what a test does in it is rolled back."""
    if request.param == "adopted":
        with old_database(any_server_dsn) as dsn:
            migrate.migrate(dsn)
            yield dsn
        return
    with new_database(any_server_dsn, owner="plain_owner") as dsn:
        migrate.migrate(dsn)
        load(dsn, EXAMPLE_DATA)
        yield dsn


@contextmanager
def tried(dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a connection with the rows that the documents name; it is rolled back."""
    with psycopg.connect(dsn) as connection, connection.transaction(force_rollback=True):
        connection.execute(NAMED_ROWS)
        yield connection


def execute(connection: psycopg.Connection[tuple[Any, ...]], text: str) -> psycopg.Cursor[Any]:
    """Run the text as it is written, `%` and all."""
    return connection.execute(sql.SQL(text))


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_statement_runs_as_written(database_dsn: str, name: str) -> None:
    """It finds or touches at least one row, as its author meant it to."""
    with tried(database_dsn) as connection:
        if name == "overall verdict":
            execute(connection, YOUR_RUN)
        assert execute(connection, STATEMENTS[name]).rowcount >= 1


def test_verdicts_are_text_and_means_can_be_rounded(database_dsn: str) -> None:
    """The aggregates that a change of type would break give what they always gave."""
    with tried(database_dsn) as connection:
        rates = execute(connection, STATEMENTS["success rate"]).fetchall()
        verdicts = execute(connection, STATEMENTS["quality by captions"]).fetchall()
    assert ("SD15", 5, 1, Decimal("4.50")) in rates
    together = next(row[3] for row in verdicts if row[0] == "civitai_v2_7_training")
    assert sorted(together.split(", ")) == ["failure", "partial", "success"]


def test_the_export_to_a_file_of_the_server_needs_a_superuser(database_dsn: str) -> None:
    """The plain owner is refused by PostgreSQL itself; the same rows can go to the client."""
    with tried(database_dsn) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            execute(connection, EXPORT)
        to_client = EXPORT.replace("'/tmp/training_runs.csv'", "STDOUT").rstrip().rstrip(";")
        with connection.cursor().copy(sql.SQL(to_client)) as copied:
            lines = b"".join(bytes(part) for part in copied).decode().splitlines()
    assert lines[0].startswith("run_name,run_date,model_type")
    assert len(lines) == 1 + 6


def test_the_roadmaps_new_columns_are_there_already(database_dsn: str) -> None:
    """What the roadmap adds by hand is a column already; adding it again says so."""
    with tried(database_dsn) as connection:
        execute(connection, "SELECT parent_run_id, starting_checkpoint FROM training_runs")
        with pytest.raises(psycopg.errors.DuplicateColumn):
            execute(connection, "ALTER TABLE training_runs ADD COLUMN starting_checkpoint TEXT;")


def test_an_epoch_the_daemon_wrote_cannot_be_inserted_again(database_dsn: str) -> None:
    """The old unique key holds: `log` is the way that adds to what is there."""
    with tried(database_dsn) as connection:
        execute(connection, STATEMENTS["insert an epoch"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            execute(connection, STATEMENTS["insert an epoch"])


def test_discarded_runs_can_be_deleted_whatever_we_know_of_them(database_dsn: str) -> None:
    """Checkpoints, grids, images, scores, advice, a promotion and a child never stand in the way."""
    with tried(database_dsn) as connection:
        execute(connection, OUR_ROWS)
        execute(connection, "UPDATE training_runs SET recommended_for = 'discard' WHERE id = 123")
        execute(connection, "UPDATE training_runs SET run_date = '2020-01-01' WHERE id = 123")
        execute(connection, STATEMENTS["delete discarded runs"])
        left = {
            name: connection.execute(sql.SQL(query)).fetchall()
            for name, query in {
                "run": "SELECT FROM training_runs WHERE id = 123",
                "epochs": "SELECT FROM epoch_results WHERE training_run_id = 123",
                "checkpoints": "SELECT FROM epochwatch.checkpoints WHERE run_id = 123",
                "grids": "SELECT FROM epochwatch.grids WHERE run_id = 123",
                "child": "SELECT run_name, parent_run_id FROM training_runs WHERE id = 124",
                "images": "SELECT defect FROM epochwatch.images",
                "sightings": "SELECT state FROM epochwatch.sightings",
                "history": "SELECT key FROM epochwatch.actions WHERE run_id = 123",
            }.items()
        }
    assert left == {
        "run": [], "epochs": [], "checkpoints": [], "grids": [],
        "child": [("Current_Run", None)],
        "images": [("empty",)],
        "sightings": [("admitted",)],
        "history": [("promote/123/7",)],
    }  # fmt: skip


OUR_ROWS = """
    INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256, size_bytes)
    VALUES (repeat('a', 64), 'lora', 'sd1', 'kohya', repeat('a', 64), 1);
    INSERT INTO epochwatch.run_sources VALUES ('session:1', 123);
    INSERT INTO epochwatch.run_setups (run_id) VALUES (123);
    INSERT INTO epochwatch.checkpoints (run_id, sha256, drawn_as, position, file_name, source_path, host,
                                        admitted_at)
    VALUES (123, repeat('a', 64), repeat('a', 64), 7, 'x', '/x', 'pod', now());
    INSERT INTO epochwatch.sightings (host, path, root, size_bytes, mtime_ns, inode, state)
    VALUES ('pod', '/x', '/', 1, 1, 1, 'admitted');
    INSERT INTO epochwatch.grids (origin, run_id, purpose, body) VALUES ('epoch/123/7', 123, 'epoch', '{}');
    INSERT INTO epochwatch.samples (sample_id, stack_key, stack, prompt, seed, recipe)
    VALUES (repeat('b', 64), repeat('c', 64), '{}', 'crown', 42, '{}');
    INSERT INTO epochwatch.grid_samples (grid_id, sample_id, stack_key, ordinal, prompt_name, rubric)
    SELECT id, repeat('b', 64), repeat('c', 64), 0, 'crown', repeat('d', 64) FROM epochwatch.grids;
    INSERT INTO epochwatch.jobs (grid_id, stack_key, base_sha256)
    SELECT id, repeat('c', 64), repeat('e', 64) FROM epochwatch.grids;
    INSERT INTO epochwatch.images (sample_id, defect, host) VALUES (repeat('b', 64), 'empty', 'pod');
    INSERT INTO epochwatch.measurements (sample_id, rubric, body) VALUES (repeat('b', 64), repeat('d', 64), '{}');
    INSERT INTO epochwatch.scores (run_id, position, judge, visual, style, prompt) VALUES (123, 7, 'me', 9, 9, 9);
    INSERT INTO epochwatch.advice (run_id, evidence, sentence, body) VALUES (123, repeat('f', 64), 'Stop.', '{}');
    INSERT INTO epochwatch.actions (key, kind, run_id) VALUES ('promote/123/7', 'promote', 123);
    INSERT INTO epochwatch.trainer_samples (run_id, file_name, image_sha256) VALUES (123, 's.png', repeat('a', 64));
    INSERT INTO epochwatch.written (table_name, row_id, cells) VALUES ('training_runs', 123, '{"status": "x"}');
    UPDATE training_runs SET parent_run_id = 123 WHERE id = 124;
"""


def test_the_example_data_can_be_loaded_again(database_dsn: str) -> None:
    """A second time changes nothing: three runs, thirteen epochs, two caption versions."""
    load(database_dsn, EXAMPLE_DATA)
    with psycopg.connect(database_dsn) as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM training_runs), (SELECT count(*) FROM epoch_results), "
            "(SELECT count(*) FROM caption_versions)"
        ).fetchone()
    assert counts == (3, 13, 2)
