"""The commands that test checkpoints: watch, evaluate."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from core.errors import Fixable, Permanent
from core.formats.checkpoint_name import shown
from core.settings import Settings, load_settings
from core.store.database import row, rows
from daemon.actions.stop import Means
from daemon.cli.logs import start_logs
from daemon.service import Service, opened, stopped_by_signals, wait_until_idle

log = structlog.get_logger()

_NOT_TAKEN = ("refused", "quarantined", "blocked", "incomplete")


def watch(
    paths: list[Path],
    *,
    base_model: str | None,
    suite: Path | None,
    data: Path | None,
    profile: str | None = None,
    run_name: str | None,
    full_models: bool = False,
    once: bool,
    stop_means: Means | None = None,
) -> None:
    """Watch folders until asked to stop, or until everything there is tested."""
    settings = load_settings(
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        full_models=full_models or None,
    )
    start_logs(settings)
    folders = _folders(paths)
    if once and not any(folder.exists() for folder in folders):
        raise Fixable(f"There is no folder {folders[0]}, so nothing can be tested once.")
    _check_named(settings, base_model=base_model, data=data)
    with opened(settings, folders, run_name=run_name, stop_means=stop_means) as service:
        if once:
            _run_to_the_end(service)
            print_outcome(service, paths)
            return
        with stopped_by_signals(service):
            _say_what_is_watched(service)
            service.run()


def _check_named(settings: Settings, *, base_model: str | None, data: Path | None) -> None:
    """Raise Fixable for what was typed and is not there, before a first checkpoint is waited for."""
    if settings.suite is not None:
        from core.formats.prompt_suite import read_suite

        read_suite(settings.suite, settings.embeddings)
    if data is not None and not data.expanduser().is_dir():
        raise Fixable(
            f"There is no folder {data} with training images, so nothing was started. Correct "
            "--data, or leave it out: then what needs them is not measured."
        )
    path = Path(base_model or "").expanduser()
    is_path = path.is_absolute() or path.suffix == ".safetensors"
    if base_model and is_path and base_model not in settings.base_models and not path.exists():
        raise Fixable(
            f"There is no base model {base_model}, and without it nothing can be drawn, so nothing "
            "was started. Correct --base-model."
        )


def _say_what_is_watched(service: Service) -> None:
    """Tell somebody who waits at a terminal that it is at work, and a folder that is not there."""
    assert service.watcher is not None, "only a clerk has none"
    for root in service.watcher.roots:
        if root.is_dir():
            log.info("watching", folder=shown(root))
        else:
            log.warning("no such folder yet: it is watched once it is there", folder=shown(root))
    log.info("end with Ctrl-C; look at it with: epochwatch dashboard")


def _folders(paths: list[Path]) -> list[Path]:
    files = [path for path in paths if path.is_file()]
    if files:
        raise Fixable(
            f"{files[0]} is a file. Watch its folder, or test it: epochwatch evaluate FILE"
        )
    return [path.expanduser().absolute() for path in paths]


def _run_to_the_end(service: Service) -> None:
    """Work until nothing is left to do.

    Raises KeyboardInterrupt when it was asked to end earlier: a script must not go on as if all
    were tested.
    """
    idle = threading.Event()

    def look() -> None:
        wait_until_idle(service)
        if not service.stopping.is_set():
            idle.set()
        service.stopping.set()

    with stopped_by_signals(service):
        threading.Thread(target=look, name="look", daemon=True).start()
        service.run()
    if not idle.is_set():
        said = "Ended before all was tested. What is drawn is kept: the same command goes on from there."
        print(f"epochwatch: {said}", file=sys.stderr)
        raise KeyboardInterrupt


def evaluate(
    files: list[Path],
    *,
    base_model: str | None,
    suite: Path | None,
    data: Path | None,
    profile: str | None = None,
    run_name: str | None,
    full_models: bool = False,
) -> None:
    """Test files and folders at hand with a progress bar, then print what came out."""
    missing = [path for path in files if not path.exists()]
    if missing:
        raise Fixable(f"There is no file or folder {missing[0]}.")
    settings = load_settings(
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        full_models=full_models or None,
    )
    _check_named(settings, base_model=base_model, data=data)
    start_logs(settings, quiet=True)
    folders = [path.absolute() for path in files if path.is_dir()]
    wanted = [path.absolute() for path in files if not path.is_dir()]
    with opened(settings, folders, run_name=run_name, files=wanted) as service:
        with _progress(service):
            _run_to_the_end(service)
        refused = {each.name for each in wanted} & print_outcome(service, files)
    if refused:
        raise Permanent(f"Not tested: {', '.join(sorted(refused))}. The reason stands above.")


@contextlib.contextmanager
def _progress(service: Service) -> Iterator[None]:
    """Show how many of the wanted images are drawn, until the daemon stops."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("checking files", total=None)

        def look() -> None:
            while not service.stopping.wait(0.5):
                with contextlib.suppress(Exception), service.database.transaction() as connection:
                    found = row(connection, "grids.progress_open")
                    if found and found["wanted"]:
                        doing = service.worker.doing if service.worker else ""
                        bar.update(
                            task,
                            total=found["wanted"],
                            completed=found["measured"],
                            description=doing or "measuring",
                        )

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        yield
        thread.join(timeout=2)


def print_outcome(service: Service, asked: Sequence[Path]) -> set[str]:
    """Print advice and epochs of the runs that were asked for; return files that are not tested.

    Raises Fixable where there was nothing to test, and where a run is blocked.
    """
    from daemon.cli.output import EPOCH_COLUMNS, print_table

    host = service.settings.host_name
    roots = {str(root) for root in service.watcher.roots} if service.watcher else set()
    files = {shown(path.absolute()) for path in asked}
    with service.database.transaction() as connection:
        known = rows(connection, "checkpoints.sightings", host=host)
        seen = [each for each in known if each["root"] in roots or each["path"] in files]
        digests = [each["sha256"] for each in seen if each["sha256"] is not None]
        runs = rows(connection, "runs.of_files", host=host, sha256s=digests)
        for about in runs:
            advice = row(connection, "results.current_advice", run_id=about["id"])
            print(f"{about['run_name']}: ", end="")
            told = advice["sentence"] if advice else "nothing tested yet"
            print(about["blocked_reason"] or told)
            epochs = rows(connection, "runs.epochs", run_id=about["id"])
            if epochs:
                print_table(epochs, EPOCH_COLUMNS)
    refused = [each for each in seen if each["state"] in _NOT_TAKEN]
    for each in refused:
        print(f"{Path(each['path']).name}: {each['state']}: {each['reason']}")
    if not runs and not refused:
        places = ", ".join(str(path) for path in asked)
        raise Fixable(
            f"No checkpoint was found in {places}, so nothing was tested. Name the folder that the "
            "trainer saves .safetensors files into."
        )
    if blocked := [each["run_name"] for each in runs if each["blocked_reason"]]:
        raise Fixable(f"Not tested: {', '.join(blocked)}. The reason stands above.")
    return {Path(each["path"]).name for each in refused}
