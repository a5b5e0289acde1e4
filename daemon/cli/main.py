"""The command line. Nothing slow is imported before a command needs it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import EpochwatchError, Fixable
from daemon.cli import (
    alerts,
    backtest,
    calibrate,
    compare,
    db,
    exporting,
    plan,
    production,
    rescore,
    runs,
    scorers,
    suite,
    votes,
)
from daemon.cli.output import complain

app = typer.Typer(
    name="epochwatch",
    help="Watches the folder a LoRA trainer saves into, tests every checkpoint, and says when to "
    "stop and which epoch to ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(db.app, name="db")
app.add_typer(runs.app, name="runs")
app.add_typer(suite.app, name="suite")
app.add_typer(plan.app, name="plan")
app.add_typer(alerts.app, name="alerts")
app.add_typer(production.app, name="production")
app.add_typer(votes.app, name="votes")
runs.app.command("export")(exporting.export)

BaseModel = Annotated[
    str | None, typer.Option(help="Base model: a diffusers folder, a .safetensors file, or a name.")
]
SuiteFile = Annotated[
    Path | None, typer.Option("--suite", help="Test prompts: TOML, or one prompt a line.")
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="The training images with their captions.")
]
Profile = Annotated[
    str | None,
    typer.Option(help="Measure as pixel-art, character, style or votes; else found by itself."),
]
RunName = Annotated[str | None, typer.Option("--run", help="Put all checkpoints into this run.")]
FullModels = Annotated[
    bool, typer.Option("--full-models", help="Test full models as epochs too, not only LoRAs.")
]


def _say_version(asked: bool) -> None:
    """Print the version and end, before anything else is read."""
    if not asked:
        return
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"epochwatch {version('epochwatch')}")
    except PackageNotFoundError:  # run from a checkout
        told = tomllib.loads(
            Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8")
        )
        print(f"epochwatch {told['project']['version']} (a checkout)")
    raise typer.Exit


@app.callback()
def _before(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def watch(
    paths: Annotated[list[Path], typer.Argument(help="Folders the trainer saves into.")],
    base_model: BaseModel = None,
    suite: SuiteFile = None,
    data: DataFolder = None,
    profile: Profile = None,
    run: RunName = None,
    full_models: FullModels = False,
    once: Annotated[bool, typer.Option("--once", help="Test what is there, then end.")] = False,
    stop_file: Annotated[
        Path | None, typer.Option(help="Stop the trainer by writing this file, when advised.")
    ] = None,
    stop_pid: Annotated[
        int | None, typer.Option(help="Stop the trainer with this process number, when advised.")
    ] = None,
    stop_command: Annotated[
        str | None, typer.Option(help="Stop the trainer with this command, when advised.")
    ] = None,
    stop_unlocked: Annotated[
        bool, typer.Option("--stop-unlocked", help="Stop before the score is checked by votes.")
    ] = False,
    stop_dry_run: Annotated[
        bool, typer.Option("--stop-dry-run", help="Say what a stop would do, and do nothing.")
    ] = False,
    stop_from: Annotated[int | None, typer.Option(help="No stop before this epoch.")] = None,
    stop_at_budget: Annotated[
        bool, typer.Option("--stop-at-budget", help="Stop when the budget is spent, too.")
    ] = False,
) -> None:
    """Watch folders, and test and judge every checkpoint in them."""
    from daemon.actions.stop import means_of
    from daemon.cli.serving import watch as serve

    means = means_of(
        flag=stop_file,
        pid=stop_pid,
        command=stop_command,
        unlocked=stop_unlocked,
        dry_run=stop_dry_run,
        first=stop_from,
        at_budget=stop_at_budget,
    )
    serve(
        paths,
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        run_name=run,
        full_models=full_models,
        once=once,
        stop_means=means,
    )


@app.command(context_settings={"allow_interspersed_args": False})
def train(
    command: Annotated[list[str], typer.Argument(help="The trainer's command line, after --.")],
    run: Annotated[str | None, typer.Option("--run", help="The run it trains; else found.")] = None,
    stop: Annotated[
        bool, typer.Option("--stop-when-advised", help="End it gently when a stop is advised.")
    ] = False,
    stop_unlocked: Annotated[
        bool, typer.Option("--stop-unlocked", help="Stop before the score is checked by votes.")
    ] = False,
    stop_dry_run: Annotated[
        bool, typer.Option("--stop-dry-run", help="Say what a stop would do, and do nothing.")
    ] = False,
    stop_from: Annotated[int | None, typer.Option(help="No stop before this epoch.")] = None,
    stop_at_budget: Annotated[
        bool, typer.Option("--stop-at-budget", help="Stop when the budget is spent, too.")
    ] = False,
    stop_wait: Annotated[
        float, typer.Option(min=0, help="Seconds after SIGINT, and again after SIGTERM.")
    ] = 60.0,
    stop_kill: Annotated[
        bool, typer.Option("--stop-kill", help="Send SIGKILL when both waits were in vain.")
    ] = False,
) -> None:
    """Run a trainer and follow its log. It is ended gently when a stop is advised, if you allow it."""
    from daemon.cli.train import train as follow

    code = follow(
        command,
        run_name=run,
        stop=stop,
        unlocked=stop_unlocked,
        dry_run=stop_dry_run,
        first=stop_from,
        at_budget=stop_at_budget,
        patience=stop_wait,
        kill=stop_kill,
    )
    raise typer.Exit(code)


@app.command()
def wait(
    run: Annotated[str, typer.Argument(help="The run's name.")],
    then: Annotated[str, typer.Option(help="The command to run, once; it is run without a shell.")],
    deadline: Annotated[
        str | None, typer.Option(help="Give up after this long, such as 30m or 2h.")
    ] = None,
    at_deadline: Annotated[
        str, typer.Option(help="What to do then: exit, or run the command all the same.")
    ] = "exit",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say when it would run, and run nothing.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a command once all of a run is tested, judged and kept. Never earlier."""
    from daemon.cli.wait import wait as follow

    code = follow(
        run,
        then=then,
        deadline=deadline,
        at_deadline=at_deadline,
        dry_run=dry_run,
        every=every,
        as_json=json_,
    )
    raise typer.Exit(code)


@app.command()
def costs(
    run: Annotated[str | None, typer.Argument(help="The run's name; without it, all runs.")] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Keep this as the price of an hour of its GPU.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Keep this as its budget: alerts at 80 and 100 %.")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help="Keep this as its GPU, for the list price if none is set.")
    ] = None,
    list_prices: Annotated[
        bool, typer.Option("--list-prices", help="Show the list prices that are known here.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what runs cost, by epoch. Also what stopping earlier would have saved."""
    from daemon.cli.costs import costs as show

    show(run, price=price, budget=budget, gpu=gpu, list_prices=list_prices, as_json=json_)


@app.command()
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Checkpoint files, or folders of them.")],
    base_model: BaseModel = None,
    suite: SuiteFile = None,
    data: DataFolder = None,
    profile: Profile = None,
    run: RunName = None,
    full_models: FullModels = False,
) -> None:
    """Test checkpoints at hand and show what came out. First, middle and last come first."""
    from daemon.cli.serving import evaluate as serve

    serve(
        files,
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        run_name=run,
        full_models=full_models,
    )


@app.command()
def dashboard(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    clerk: Annotated[
        bool, typer.Option(help="Judge and alert from here while no other host is alive.")
    ] = True,
) -> None:
    """Serve the dashboard until Ctrl-C."""
    from daemon.cli.dashboard import dashboard as serve

    serve(host=host, port=port, clerk=clerk)


@app.command()
def demo(
    epochs: Annotated[int, typer.Option(min=3, max=50, help="Epochs to train.")] = 10,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End when the run is judged instead of serving on.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the trainer.")] = 0,
    browser: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Serve the dashboard meanwhile.")
    ] = True,
    again: Annotated[
        bool, typer.Option("--again", help="Serve the dashboard of earlier demos; train nothing.")
    ] = False,
) -> None:
    """Train a real LoRA on a small model and watch it being judged."""
    from daemon.demo.story import show_again, tell

    if again:
        show_again()
    else:
        tell(epochs=epochs, end=exit_, seed=seed, with_dashboard=browser)


@app.command()
def converge(
    scores: Annotated[str, typer.Argument(help='"6,7,7", or a CSV with epoch,prompt,score.')],
    planned: Annotated[int | None, typer.Option(min=1, help="The last planned epoch.")] = None,
    stop: Annotated[str, typer.Option(help="careful, normal or eager.")] = "normal",
    seconds: Annotated[
        float | None, typer.Option("--seconds-per-epoch", min=0, help="How long an epoch trains.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price-per-hour", min=0, help="What an hour of the GPU costs.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a list of scores: label, best epoch, whether to stop."""
    from daemon.cli.facts import converge as show

    show(scores, planned=planned, stop=stop, seconds=seconds, price=price, as_json=json_)


@app.command()
def measure(
    images: Annotated[list[Path], typer.Argument(help="Images to measure.")],
    prompt: Annotated[
        str | None, typer.Option(help="The prompt: its promises are checked.")
    ] = None,
    background: Annotated[str | None, typer.Option(help="Promised background color.")] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Promised color of a region, such as hair=#ff69b4.")
    ] = None,
    grid: Annotated[
        int | None, typer.Option(help="Cells along the width; found if not given.")
    ] = None,
    data: DataFolder = None,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Draw what was measured: a .png file, or a folder for several images."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure any image: colors, pixel-art style, fit to a prompt."""
    from daemon.cli.measuring import measure as show

    show(
        images,
        prompt=prompt,
        background=background,
        regions=region or [],
        grid=grid,
        data=data,
        annotate=annotate,
        as_json=json_,
    )


@app.command()
def doctor() -> None:
    """Check this machine. Database, image store, disk, alert addresses, what would draw."""
    from daemon.cli.facts import doctor as show

    show()


app.command("log")(runs.log)
app.command("report")(runs.report)
app.command("compare")(compare.compare)
app.command("rescore")(rescore.rescore)
app.command("calibrate")(calibrate.calibrate)
app.command("backtest")(backtest.backtest)
app.command("scorers")(scorers.scorers)
app.command("promote")(production.promote)

# What typer raises for wrong words: the base of BadParameter, which has no public name.
_WrongWords: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line: 0 done, 1 failed, 2 wrong input or settings; one line says what to do."""
    # An error is one line: the driver would say each failed try of its own accord.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    try:
        code = app(standalone_mode=False, prog_name="epochwatch")
    except _WrongWords as trouble:
        sys.exit(_explain(trouble))
    except typer.Abort:
        sys.exit(1)  # nothing was confirmed, so nothing was done
    except BrokenPipeError:  # whoever read us has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (EpochwatchError, OSError) as trouble:
        sys.exit(complain(trouble))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code)


def _explain(trouble: Any) -> int:
    """Say in one line what is wrong with the words, or show the help where only a command is missing."""
    said = trouble.format_message()
    if "\n" in said.strip():  # the help itself
        print(said, file=sys.stderr)
        return 2
    where = trouble.ctx.command_path if trouble.ctx is not None else _named(sys.argv[1:])
    ended = said if said.endswith("?") else f"{said.rstrip('.?')}."
    return complain(Fixable(f"{ended} See: {where} --help"))


def _named(words: list[str]) -> str:
    """Return the command that words name: an option without its value does not say whose it is."""
    path, here = "epochwatch", typer.main.get_command(app)
    for word in words:
        below = getattr(here, "commands", {}).get(word)
        if below is None:
            break
        path, here = f"{path} {word}", below
    return path


if __name__ == "__main__":
    main()
