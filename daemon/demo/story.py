"""The whole story on the shipped model: a real trainer saves, the daemon watches, the dashboard shows."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import Permanent
from core.rules.wording import percent
from core.settings import Settings, load_settings
from core.store.database import row, rows
from daemon.actions.report import write_report
from daemon.cli.dashboard import free_port, serve, served
from daemon.cli.logs import start_logs
from daemon.commands import end_program
from daemon.service import Service, opened, stopped_by_signals, wait_until_idle

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model"
DATASET = HERE / "dataset"
SUITE = HERE / "prompts.toml"
OF_THE_MACHINE = (
    "host_name", "device", "beside", "memory_cap", "price_per_hour", "gpu_name", "dashboard_host",
    "admins", "voters", "viewers", "log_format",
)  # fmt: skip
# What libraries say while they load would bury the few lines that the story is told in.
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TQDM_DISABLE": "1",
}


def tell(*, epochs: int, end: bool, seed: int, with_dashboard: bool) -> None:
    """Train, watch, judge; then serve until Ctrl-C, and end with a summary."""
    settings = demo_settings()
    start_logs(settings)
    folder = settings.home / "output" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    print(
        f"A real LoRA trains for {epochs} epochs on a small model. Each is drawn, measured and judged "
        "as it is saved, which takes a few minutes.",
        flush=True,
    )
    with opened(settings, [folder]) as service:
        with contextlib.ExitStack() as stack:
            if with_dashboard:
                stack.enter_context(served(settings))
            stack.enter_context(stopped_by_signals(service))
            command = trainer_command(folder, epochs=epochs, seed=seed)
            stack.enter_context(beside(service, folder, command, end=end, is_served=with_dashboard))
            service.run()
        print_summary(service, folder, is_served=False)


def show_again() -> None:
    """Serve the dashboard of the demos that were told here, until Ctrl-C."""
    serve(demo_settings())


def demo_settings() -> Settings:
    """Return settings of the demo's own home: it never touches a real database, store or production.

    Of this machine's own settings it takes what says how to run here, and nothing of what for.
    """
    mine = load_settings()
    theirs = {
        name: known.get_default(call_default_factory=True)
        for name, known in Settings.model_fields.items()
        if name not in OF_THE_MACHINE
    }
    own = {
        "home": mine.home / "demo",
        "base_model": str(MODEL),
        "data": DATASET,
        "suite": SUITE,
        "threads": max(1, (os.cpu_count() or 2) // 2),  # the other half trains
        "dashboard_port": free_port(mine.dashboard_host, mine.dashboard_port),
    }
    return mine.model_copy(update={**theirs, **own})


@contextlib.contextmanager
def beside(
    service: Service, folder: Path, command: list[str], *, end: bool, is_served: bool
) -> Iterator[None]:
    """Train beside the daemon; when all is judged, print the summary, and stop if that was wished."""
    trainer = subprocess.Popen(command, env={**os.environ, **QUIET})

    def look() -> None:
        has_failed = trainer.wait() != 0 and not service.stopping.is_set()
        if has_failed:
            print("The demo's trainer failed; see above.", file=sys.stderr)
        else:
            wait_until_idle(service)
        if end or has_failed or service.stopping.is_set():
            service.stopping.set()
            return
        print_summary(service, folder, is_served=is_served)
        print(f"{'The dashboard' if is_served else 'Watching'} goes on until Ctrl-C.", flush=True)

    threading.Thread(target=look, name="story", daemon=True).start()
    try:
        yield
    finally:
        end_program(trainer)


def trainer_command(folder: Path, *, epochs: int, seed: int) -> list[str]:
    """Return the command that trains the demo's LoRA into ``folder``."""
    options: dict[str, Any] = {
        "base": MODEL,
        "data": DATASET,
        "out": folder,
        "name": "punk",
        "epochs": epochs,
        "seed": seed,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "daemon.demo.lora_trainer", *words]


def print_summary(service: Service, folder: Path, *, is_served: bool) -> None:
    """Print best epoch, probability, when a stop was advised, and where to look."""
    with service.database.transaction() as connection:
        about = row(connection, "runs.by_folder", root=str(folder))
        if about is None:
            raise Permanent("No checkpoint arrived, so there is nothing to sum up.")
        history = rows(connection, "results.advice_history", run_id=about["id"])
        report = write_report(
            connection, service.store, about["id"], service.settings.home / "reports"
        )
    if not history:
        print("Nothing was judged yet.")
        return
    body = history[-1]["body"]
    first_stop = next((each["body"] for each in history if each["body"]["stop"]), None)
    print()
    print(history[-1]["sentence"])
    if body["pick"] is not None:
        share = body["p_best"].get(str(body["pick"]), 0)
        print(f"  best epoch     {body['pick']} ({percent(share)} sure, by score)")
    if first_stop is not None:
        print(
            f"  stop advised   after epoch {first_stop['latest']}, naming epoch {first_stop['pick']}"
        )
    print(f"  report         {report}")
    served_at = service.settings.dashboard_address if is_served else _again(service.settings)
    print(f"  dashboard      {served_at}", flush=True)


def _again(settings: Settings) -> str:
    """Return the command that shows it once more, wherever it was installed and whatever is set."""
    program = Path(sys.executable).with_name("epochwatch")
    home = f"EPOCHWATCH_HOME={settings.home.parent}"
    return shlex.join(["env", home, str(program), "demo", "--again"])
