"""The whole story on the shipped model: a real trainer saves, the daemon watches, the dashboard shows."""

from __future__ import annotations

import contextlib
import os
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
from daemon.cli.dashboard import dashboard_address, free_port, served
from daemon.cli.logs import start_logs
from daemon.service import Service, opened, stopped_by_signals, wait_until_idle

HERE = Path(__file__).resolve().parent
MODEL = HERE / "model"
DATASET = HERE / "dataset"
SUITE = HERE / "prompts.toml"
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
    with opened(settings, [folder]) as service:
        with contextlib.ExitStack() as stack:
            if with_dashboard:
                stack.enter_context(served(settings))
            stack.enter_context(stopped_by_signals(service))
            stack.enter_context(_told(service, folder, epochs=epochs, seed=seed, end=end))
            service.run()
        print_summary(service, folder, with_dashboard=with_dashboard)


def demo_settings() -> Settings:
    """Return settings of the demo's own home, so that it never touches a real database or store."""
    mine = load_settings()
    return load_settings(
        home=mine.home / "demo",
        base_model=str(MODEL),
        data=DATASET,
        suite=SUITE,
        price_per_hour=mine.price_per_hour if mine.price_per_hour is not None else 0.44,
        threads=max(1, (os.cpu_count() or 2) // 2),  # the other half trains
        dashboard_port=free_port(mine.dashboard_host, mine.dashboard_port),
        image_store=str(mine.home / "demo" / "store"),
    ).model_copy(update={"database_url": None})


@contextlib.contextmanager
def _told(service: Service, folder: Path, *, epochs: int, seed: int, end: bool) -> Iterator[None]:
    """Train beside the daemon; when all is judged, print the summary, and stop if that was wished."""
    command = trainer_command(folder, epochs=epochs, seed=seed)
    trainer = subprocess.Popen(command, env={**os.environ, **QUIET})

    def look() -> None:
        if trainer.wait() != 0 and not service.stopping.is_set():
            print("The demo's trainer failed; see above.", file=sys.stderr)
        wait_until_idle(service)
        if end or service.stopping.is_set():
            service.stopping.set()
            return
        print_summary(service, folder, with_dashboard=True)
        print("The dashboard goes on until Ctrl-C.", flush=True)

    threading.Thread(target=look, name="story", daemon=True).start()
    try:
        yield
    finally:
        if trainer.poll() is None:
            trainer.terminate()
            trainer.wait()


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


def print_summary(service: Service, folder: Path, *, with_dashboard: bool) -> None:
    """Print best epoch, probability, when a stop was advised, and where the report is."""
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
    if with_dashboard:
        print(f"  dashboard      {dashboard_address(service.settings)}", flush=True)
