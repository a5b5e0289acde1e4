"""The daemon's whole job on a real model: files come, verdicts appear, and nothing that goes wrong ends it."""

from __future__ import annotations

import os
import pickle
import random
import re
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import torch
from moto.server import ThreadedMotoServer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from checkpoints_made import kohya_metadata, safetensors_bytes, sdxl_tensors
from core.store import gallery
from core.store.database import Database
from core.store.files import open_store
from daemon.demo.story import MODEL
from whole_program import (
    SMALL_SUITE,
    Program,
    advised_on,
    ask,
    drop,
    judged_positions,
    select,
    some_images,
    wait_for,
)

pytestmark = [pytest.mark.story, pytest.mark.timeout(2400)]


@pytest.fixture
def program(tmp_path: Path, fresh_dsn: str) -> Iterator[Program]:
    """Give a home of its own on a new, migrated database."""
    program = Program(home=tmp_path / "home", environment={"DATABASE_URL": fresh_dsn})
    migrated = program.run("db", "migrate", "--yes")
    assert migrated.returncode == 0, migrated.stderr
    return program


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Give a suite of three prompts."""
    path = tmp_path / "suite.toml"
    path.write_text(SMALL_SUITE, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give training images, enough to learn a profile from."""
    return some_images(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder the trainer saves into."""
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def test_order_of_arrival_does_not_change_the_advice(
    program: Program, suite: Path, data: Path, folder: Path, trained: list[Path]
) -> None:
    """Shuffled files, some before the start and some after it, are each tested once, with one advice."""
    shuffled = random.Random(5).sample(trained, len(trained))
    drop(shuffled[0], folder)
    with program.database() as database, program.watching(folder, suite, data=data):
        for checkpoint in shuffled[1:]:
            drop(checkpoint, folder)
        wait_for(lambda: advised_on(database, [1, 2, 3, 4]), what="the advice")
        assert_each_sample_once(database, checkpoints=4, prompts=3)
    with program.database() as database:  # no daemon goes on while both are compared
        advice = advised_on(database, [1, 2, 3, 4])
        assert advice is not None
        runs = ask(database, "runs.all")
        told = program.run(
            "converge", str(_scores_file(program, folder)), "--planned", "4", "--json"
        )
    assert [run["run_name"] for run in runs] == ["punk"]
    about = runs[0]
    assert about["status"] == "completed"
    assert about["best_epoch"] == advice["body"]["pick"]
    assert about["network_dim"] is not None
    for key in ("label", "status", "pick", "p_best", "p_later_better", "stop"):
        assert json_of(told.stdout)[key] == advice["body"][key], key


def test_killed_in_the_middle_it_resumes_and_does_nothing_twice(
    program: Program, suite: Path, data: Path, folder: Path, trained: list[Path]
) -> None:
    """After kill -9 during an epoch a new daemon finishes it; images drawn before are kept."""
    drop(trained[0], folder)
    with program.database() as database:
        with program.watching(folder, suite, data=data) as daemon:
            wait_for(
                lambda: select(database, "SELECT sample_id FROM epochwatch.images"),
                what="the first image", rest=0.02,
            )  # fmt: skip
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
            before = {
                row["sample_id"]: row["created_at"]
                for row in select(database, "SELECT * FROM epochwatch.images")
            }
        drop(trained[1], folder)
        with program.watching(folder, suite, data=data):
            wait_for(lambda: advised_on(database, [1, 2]), what="both verdicts")
        after = {
            row["sample_id"]: row["created_at"]
            for row in select(database, "SELECT * FROM epochwatch.images")
        }
        assert_each_sample_once(database, checkpoints=2, prompts=3)
    assert before.items() <= after.items()


def test_bad_files_become_clear_lines_and_the_daemon_goes_on(
    program: Program, suite: Path, data: Path, folder: Path, trained: list[Path], tmp_path: Path
) -> None:
    """Truncated, zero-filled, half-overwritten, pickled and full-model files harm nothing.

    LoRAs that are whole files but cannot act on this base model end with their reason, too: half
    of their modules unknown, of rank 0, with NaN, for SDXL. Nothing of them is drawn or scored.
    """
    whole = trained[1].read_bytes()
    marker = tmp_path / "unpickled"
    bad = {
        "punk-000011.safetensors": whole[: len(whole) // 2],
        "punk-000012.safetensors": whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2),
        "punk-000013.safetensors": whole[:-4000] + trained[0].read_bytes()[-4000:],
        "punk-000014.safetensors": pickle.dumps(_Bomb(str(marker))),
        "base.safetensors": next((MODEL / "unet").glob("*.safetensors")).read_bytes(),
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    unfit = _unfit_loras(trained[0], folder)
    with program.database() as database, program.watching(folder, suite, data=data):
        drop(trained[0], folder)
        wait_for(lambda: advised_on(database, [1]), what="the good file's verdict")
        told = wait_for(lambda: _all_told(database, unfit), what="a reason for each")
        drawn = select(
            database,
            "SELECT DISTINCT c.file_name FROM epochwatch.images i"
            " JOIN epochwatch.samples s USING (sample_id)"
            " JOIN epochwatch.checkpoints c ON s.stack #>> '{loras,0,0}' = c.drawn_as",
        )
        scored = select(
            database,
            "SELECT DISTINCT t.output_name FROM public.epoch_results e"
            " JOIN public.training_runs t ON t.id = e.training_run_id",
        )
        seen = {
            Path(row["path"]).name: row
            for row in ask(database, "checkpoints.sightings", host=os.uname().nodename)
        }
    assert not marker.exists()
    assert seen["punk-000001.safetensors"]["state"] == "admitted"
    for name in bad:
        assert seen[name]["state"] in ("incomplete", "refused", "quarantined"), seen[name]
        assert len(seen[name]["reason"]) > 20, seen[name]
    assert "pickle" in seen["punk-000014.safetensors"]["reason"].lower()
    assert "base" in seen["base.safetensors"]["reason"].lower()
    for name, words in unfit.items():
        assert re.search(words, told[name]), (name, told[name])
    assert [each["file_name"] for each in drawn] == ["punk-000001.safetensors"]
    assert [each["output_name"] for each in scored] == ["punk"]


def test_two_machines_with_one_database_and_one_bucket_show_the_same(
    fresh_dsn: str, tmp_path: Path, suite: Path, data: Path, folder: Path, trained: list[Path]
) -> None:
    """What the first machine draws, the second can show: images, thumbnails and the kept checkpoints."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"EPOCHWATCH_S3_ACCESS_KEY": "test", "EPOCHWATCH_S3_SECRET_KEY": "test"}
        endpoint = f"http://{host}:{port}"
        make_bucket(endpoint)
        shared = {
            "DATABASE_URL": fresh_dsn,
            "EPOCHWATCH_IMAGE_STORE": f"s3://images/epochwatch?endpoint={endpoint}&region=us-east-1",
            **keys,
        }
        first = Program(home=tmp_path / "pod", environment=shared)
        second = Program(home=tmp_path / "laptop", environment=shared)
        assert first.run("db", "migrate", "--yes").returncode == 0
        drop(trained[0], folder)
        with first.database() as database, first.watching(folder, suite, data=data):
            wait_for(lambda: advised_on(database, [1]), what="the verdict")
            kept = wait_for(
                lambda: select(database, "SELECT uri FROM epochwatch.weights WHERE uri IS NOT NULL"),
                what="the kept checkpoint",
            )  # fmt: skip
            images = select(database, "SELECT image_sha256 FROM epochwatch.images")
        store = open_store(shared["EPOCHWATCH_IMAGE_STORE"], access_key="test", secret_key="test")
        assert len(images) == 6  # three prompts, with and without the LoRA
        for row in images:
            assert store.get("images", row["image_sha256"]).startswith(b"\x89PNG")
            assert store.get("thumbs", row["image_sha256"])
        assert kept
        report = second.run("report", "punk", "-o", str(tmp_path / "punk.html"))
        assert report.returncode == 0, report.stderr
        page = (tmp_path / "punk.html").read_text(encoding="utf-8")
        assert len(re.findall("data:image/(?:webp|png)", page)) == 6
    finally:
        server.stop()


def test_evaluate_tests_files_at_hand(
    program: Program, suite: Path, data: Path, trained: list[Path], tmp_path: Path
) -> None:
    """`epochwatch evaluate` takes files and folders, ends with scores, and names a bad file."""
    more = tmp_path / "more"
    more.mkdir()
    drop(trained[3], more)
    broken = tmp_path / "punk-000009.safetensors"
    broken.write_bytes(b"not a checkpoint at all")
    done = program.run(
        "evaluate", str(trained[0]), str(more), str(broken), "--base-model", str(MODEL),
        "--suite", str(suite), "--data", str(data),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # one of them was not tested
    assert "Not tested: punk-000009.safetensors" in done.stderr
    assert "punk:" in done.stdout
    assert "punk-000009.safetensors: refused" in done.stdout
    with program.database() as database:
        assert judged_positions(database) == [1, 4]


def test_without_a_base_model_it_says_what_it_looked_for(
    program: Program, folder: Path, trained: list[Path], suite: Path, data: Path
) -> None:
    """A run whose base model is not found is blocked with advice, and starts once it is given."""
    drop(trained[0], folder)
    done = program.run("watch", str(folder), "--once", "--suite", str(suite))
    assert done.returncode == 2, done.stderr
    assert "--base-model" in done.stdout
    with program.database() as database, program.watching(folder, suite, data=data):
        wait_for(lambda: advised_on(database, [1]), what="the verdict")


def _unfit_loras(good: Path, folder: Path) -> dict[str, str]:
    """Write LoRAs of runs of their own that cannot be drawn; return what the reason of each says."""
    with safe_open(good, "pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if not k.startswith("sshs_")}
    tensors = load_file(good)
    first = next(name for name in tensors if name.endswith("lora_up.weight"))
    made = {
        "half": {
            name.replace("_up_blocks", "_top_blocks"): 2 * one for name, one in tensors.items()
        },
        "rankless": {
            name: one[:, :0] if "lora_up" in name else one[:0] if "lora_down" in name else one
            for name, one in tensors.items()
        },
        "broken": {**tensors, first: torch.full_like(tensors[first], torch.nan)},
    }
    for name, changed in made.items():
        whole = {key: one.contiguous() for key, one in changed.items()}
        told = metadata | {"ss_output_name": name, "ss_session_id": name}
        save_file(whole, folder / f"{name}-000001.safetensors", told)
    for_sdxl = kohya_metadata(1, ss_output_name="larger", ss_session_id="larger")
    content = safetensors_bytes(sdxl_tensors(), for_sdxl)
    (folder / "larger-000001.safetensors").write_bytes(content)
    return {
        "half-000001.safetensors": r"of the LoRA's \d+ modules",
        "rankless-000001.safetensors": r"^rankless-000001\.safetensors has .* rank is 0",
        "broken-000001.safetensors": "NaN",
        "larger-000001.safetensors": "larger is a LoRA for SDXL, and the base model",
    }


def _all_told(database: Database, files: Collection[str]) -> dict[str, str] | None:
    """Return the reason that the pages show for each of the files, once each has one."""
    with database.transaction() as connection:
        told = {Path(each.path).name: each.reason for each in gallery.refused(connection)}
        for run in gallery.runs(connection):
            blocked = (gallery.run(connection, run.id) or {})["blocked_reason"]
            for line in gallery.checkpoints(connection, run.id):
                reason = line.invalid_reason or line.parked_reason or blocked
                if reason:
                    told[line.file_name] = reason
    return {name: told[name] for name in files} if told.keys() >= set(files) else None


def assert_each_sample_once(database: Database, *, checkpoints: int, prompts: int) -> None:
    """Check counts: every prompt for every checkpoint and for the baseline, each once, nothing missing.

    A second look at the two best comes after, and is not counted here.
    """
    counted = select(
        database,
        "WITH tested AS (SELECT DISTINCT gs.sample_id FROM epochwatch.grid_samples gs"
        " JOIN epochwatch.grids g ON g.id = gs.grid_id WHERE g.purpose IN ('epoch', 'baseline'))"
        " SELECT (SELECT count(*) FROM epochwatch.images JOIN tested USING (sample_id)) AS images,"
        " (SELECT count(*) FROM epochwatch.measurements JOIN tested USING (sample_id)) AS measurements,"
        " (SELECT count(*) FROM epochwatch.checkpoints) AS checkpoints,"
        " (SELECT count(*) FROM epochwatch.missing JOIN tested USING (sample_id)) AS missing,"
        " (SELECT count(*) FROM public.prompt_test_results) AS prompt_rows",
    )[0]
    assert counted["checkpoints"] == checkpoints
    assert counted["images"] == (checkpoints + 1) * prompts
    assert counted["measurements"] == (checkpoints + 1) * prompts
    assert counted["missing"] == 0
    assert counted["prompt_rows"] == checkpoints * prompts


def _scores_file(program: Program, folder: Path) -> Path:
    printed = program.run("runs", "scores", "punk")
    assert printed.returncode == 0, printed.stderr
    path = folder.parent / "scores.csv"
    path.write_text(printed.stdout, encoding="utf-8")
    return path


def json_of(text: str) -> dict[str, object]:
    """Read JSON that a command printed."""
    import json

    return dict(json.loads(text))


def make_bucket(endpoint: str) -> None:
    """Make the bucket both machines use."""
    import boto3

    boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    ).create_bucket(Bucket="images")  # fmt: skip


class _Bomb:
    """Would make a file if anything ever unpickled it."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.marker,)
