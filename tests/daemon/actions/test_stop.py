"""A trainer is stopped once, by the means a person gave, and every outcome is told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import NOW, House, open_house

from core.errors import Fixable
from core.rules.alerting import notice
from core.store.database import Row, run
from core.store.files import LocalStore
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier
from daemon.actions.stop import Means, Stopper, end_process, means_of, run_command, state_beside
from daemon.telling import tell
from daemon.train_process import Identity, end_gently, identify

QUALITY: dict[int | None, float] = {None: 0.2, 1: 1.0, 2: 0.6, 3: 0.2}
PATIENT = "import time\nprint('on', flush=True)\ntime.sleep(600)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGINT, lambda *_: None)\n"
    "print('on', flush=True)\nwhile True: time.sleep(1)"
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run whose advice is to stop."""
    with open_house(migrated_dsn, tmp_path) as found:
        for epoch in (1, 2, 3):
            found.arrive(epoch, planned=5)
            found.draw(QUALITY)
            found.judge.judge()
        assert found.select("SELECT body FROM epochwatch.advice ORDER BY id DESC")[0]["body"][
            "stop"
        ]
        yield found


@pytest.fixture
def start() -> Iterator[Start]:
    """Give what starts a program and waits until it is at work."""
    begun: list[subprocess.Popen[str]] = []

    def run(code: str, *, prelude: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        words = [*prelude, sys.executable, "-c", code]
        begun.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        out = begun[-1].stdout
        assert out is not None
        out.readline()
        return begun[-1]

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def _actor(house: House, stopper: Stopper) -> Actor:
    return Actor(
        database=house.database,
        store=LocalStore(house.outbox.folder.parent / "store"),
        notifier=Notifier(),
        host="pod",
        find_weights=lambda _sha256: None,
        picture=lambda _connection, _action: None,
        stop=stopper.stop,
    )


def _stops(house: House) -> list[Row]:
    return house.select("SELECT * FROM epochwatch.actions WHERE kind = 'stop' ORDER BY key")


def _alerts(house: House) -> dict[str, str]:
    found = house.select("SELECT key, payload FROM epochwatch.actions WHERE kind = 'alert'")
    return {each["key"].split("/", 2)[2]: each["payload"]["body"] for each in found}


def test_a_flag_file_is_written_once_and_the_outcome_is_told(house: House, tmp_path: Path) -> None:
    """Decided, done, recorded with its reason, told; a second look and a restart change nothing."""
    flag = tmp_path / "stop-now"
    stopper = Stopper(
        database=house.database, host="pod", since=NOW, means=Means(flag=flag, unlocked=True)
    )
    for _ in range(2):
        stopper.decide()
        _actor(house, stopper).act()
    assert "allowed it before the score was checked" in flag.read_text()
    [stop] = _stops(house)
    assert (stop["state"], stop["key"]) == ("done", f"stop/{stop['run_id']}")
    assert stop["error"].startswith(f"Wrote {flag}.")
    assert "trainer_stopped/once" in _alerts(house)
    flag.unlink()
    again = Stopper(
        database=house.database, host="pod", since=NOW, means=Means(flag=flag, unlocked=True)
    )
    again.decide()
    _actor(house, again).act()
    assert not flag.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_unchecked_scores_stop_nothing_and_that_is_told_once(house: House, tmp_path: Path) -> None:
    """The lock holds until votes or the user open it."""
    stopper = Stopper(
        database=house.database, host="pod", since=NOW, means=Means(flag=tmp_path / "flag")
    )
    stopper.decide()
    stopper.decide()
    _actor(house, stopper).act()
    assert _stops(house) == []
    assert not (tmp_path / "flag").exists()
    assert "--stop-unlocked" in _alerts(house)["stop_held/locked"]
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.advice SET body = jsonb_set(body, '{checked}', 'true')"
        )
    stopper.decide()
    _actor(house, stopper).act()
    assert (tmp_path / "flag").exists()


def test_the_end_of_an_old_run_never_stops_the_trainer_of_a_new_one(
    house: House, tmp_path: Path
) -> None:
    """A stop advised before this trainer was named waits for a checkpoint saved since."""
    means = Means(flag=tmp_path / "flag", unlocked=True)
    late = Stopper(database=house.database, host="pod", means=means)
    late.decide()
    assert _stops(house) == []
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.checkpoints SET saved_at = now() + interval '10 years',"
            b" admitted_at = now() + interval '10 years' WHERE position = 3"
        )
    late.decide()
    assert len(_stops(house)) == 1


def test_a_dry_run_says_what_it_would_do_and_a_real_stop_can_follow(
    house: House, tmp_path: Path
) -> None:
    """Nothing is touched; the run has not used up its one stop."""
    means = Means(flag=tmp_path / "flag", unlocked=True, dry_run=True)
    stopper = Stopper(database=house.database, host="pod", since=NOW, means=means)
    stopper.decide()
    _actor(house, stopper).act()
    assert not (tmp_path / "flag").exists()
    [stop] = _stops(house)
    assert f"A real stop would write {tmp_path / 'flag'}" in stop["error"]
    real = Stopper(
        database=house.database, host="pod", since=NOW, means=replace(means, dry_run=False)
    )
    real.decide()
    _actor(house, real).act()
    assert (tmp_path / "flag").exists()


def test_a_spent_budget_stops_the_trainer_where_that_was_asked_for(
    house: House, tmp_path: Path
) -> None:
    """No votes are needed for money; without the wish, a spent budget is only told."""
    spent = notice("budget", "5.0000/100", title="spent", body="spent", run_name="punk", run_id=1)
    with house.database.transaction() as connection:
        connection.execute(b"UPDATE epochwatch.run_setups SET budget = 5")
        tell(connection, 1, spent)
    means = Means(flag=tmp_path / "flag")
    Stopper(database=house.database, host="pod", since=NOW, means=means).decide()
    assert _stops(house) == []
    stopper = Stopper(
        database=house.database, host="pod", since=NOW, means=replace(means, at_budget=True)
    )
    stopper.decide()
    _actor(house, stopper).act()
    assert "The budget of this run is spent." in (tmp_path / "flag").read_text()


def test_a_stop_that_was_begun_and_broke_off_is_not_done_again(
    house: House, tmp_path: Path
) -> None:
    """A daemon killed between doing and saying so must not hit the next trainer."""
    means = Means(flag=tmp_path / "flag", unlocked=True)
    stopper = Stopper(database=house.database, host="pod", since=NOW, means=means)
    stopper.decide()
    stopper._begin(_stops(house)[0]["key"])
    again = Stopper(database=house.database, host="pod", since=NOW, means=means)
    _actor(house, again).act()
    [stop] = _stops(house)
    assert stop["state"] == "failed"
    assert "not done again" in stop["error"]
    assert not (tmp_path / "flag").exists()
    assert "stop_failed/once" in _alerts(house)


def test_an_old_decision_and_one_that_new_results_contradict_are_left(
    house: House, tmp_path: Path
) -> None:
    """What was right an hour ago may meet another trainer now."""
    means = Means(flag=tmp_path / "flag", unlocked=True)
    stopper = Stopper(database=house.database, host="pod", since=NOW, means=means)
    stopper.decide()
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.actions SET created_at = now() - interval '1 h' WHERE kind = 'stop'"
        )
    _actor(house, stopper).act()
    assert "over ten minutes ago" in _stops(house)[0]["error"]
    with house.database.transaction() as connection:
        connection.execute(b"DELETE FROM epochwatch.actions WHERE kind = 'stop'")
    stopper.decide()
    with house.database.transaction() as connection:
        connection.execute(b"UPDATE public.training_runs SET status = 'completed'")
    _actor(house, stopper).act()
    assert "Training has ended" in _stops(house)[0]["error"]
    assert not (tmp_path / "flag").exists()


def test_a_row_in_the_database_alone_never_makes_this_machine_do_something(house: House) -> None:
    """The means come from the daemon's command line; a daemon without any says so."""
    bare = Stopper(database=house.database, host="pod")
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.run_setups SET stopping ="
            b' \'{"host": "pod", "how": "command", "since": "2026-01-01T00:00:00+00:00",'
            b' "command": ["touch", "/tmp/x"], "unlocked": true}\''
        )
    bare.decide()
    assert _stops(house) == []
    with house.database.transaction() as connection:
        run(
            connection, "actions.decide", key="stop/1", kind="stop", run_id=1, host="pod",
            payload={"run_name": "punk", "dry_run": False},
        )  # fmt: skip
    _actor(house, bare).act()
    assert "started without a way to stop" in _stops(house)[0]["error"]


def test_a_process_is_asked_with_sigint_first(house: House, start: Start) -> None:
    """A trainer that listens ends by SIGINT, and the note says so."""
    trainer = start(PATIENT)
    means = means_of(pid=trainer.pid, unlocked=True)
    stopper = Stopper(database=house.database, host="pod", since=NOW, means=means)
    stopper.decide()
    _actor(house, stopper).act()
    assert trainer.wait(120) == -signal.SIGINT
    assert "after SIGINT" in _stops(house)[0]["error"]


def test_a_process_that_ignores_sigint_gets_sigterm_at_once(start: Start) -> None:
    """Programs started with & in a script ignore SIGINT: waiting for it would be in vain."""
    deaf = start(PATIENT, prelude=("sh", "-c", 'trap "" INT; exec "$@"', "sh"))
    who = identify(deaf.pid)
    assert who.ignores(signal.SIGINT)
    assert not who.ignores(signal.SIGTERM)
    assert "SIGTERM" in end_process(who)
    assert deaf.wait(120) == -signal.SIGTERM


def test_a_process_that_goes_on_after_everything_is_never_killed(start: Start) -> None:
    """The steps are all that is sent; SIGKILL is not among them."""
    trainer = start(STUBBORN)
    who = identify(trainer.pid)
    outcome = end_gently(who.is_alive, who.send, ((signal.SIGINT, 0.2),))
    assert outcome == "was sent SIGINT and is still running"
    assert trainer.poll() is None
    steps = ((signal.SIGINT, 0.2), (signal.SIGTERM, 120.0))
    assert "after SIGTERM" in end_gently(who.is_alive, who.send, steps)


def test_a_number_used_again_is_never_hit(start: Start) -> None:
    """Another process with the trainer's number is left alone."""
    other = start(PATIENT)
    trainer = Identity(pid=other.pid, started=f"{identify(other.pid).started}0")
    assert not trainer.is_alive()
    assert not trainer.send(signal.SIGTERM)
    with pytest.raises(Fixable, match="left alone"):
        end_process(trainer)
    time.sleep(0.1)
    assert other.poll() is None


def test_a_command_is_run_without_a_shell_and_its_end_is_recorded(tmp_path: Path) -> None:
    """What it says is kept, a failure is one."""
    made = tmp_path / "a b; touch c"
    assert "Ran touch" in run_command(("touch", str(made)))
    assert made.exists()
    assert "It said: hello" in run_command(("echo", "hello"))
    with pytest.raises(Fixable, match="exit code 3"):
        run_command(("sh", "-c", "exit 3"))


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts behind it must not wait for ever."""
    monkeypatch.setattr("daemon.actions.stop.COMMAND_SECONDS", 0.3)
    with pytest.raises(Fixable, match="had not ended"):
        run_command(("sh", "-c", "sleep 6000 & wait"))


def test_options_that_cannot_work_are_refused_before_anything_starts(tmp_path: Path) -> None:
    """Better now than when the trainer is to be stopped at night."""
    assert means_of() is None
    for wrong, words in (
        ({"flag": tmp_path / "no" / "where"}, "in a folder that is there"),
        ({"flag": tmp_path}, "name a file"),
        ({"pid": 5_000_000}, "no process"),
        ({"pid": 1}, "no process"),
        ({"command": "no-such-program x"}, "no program"),
        ({"command": "'open"}, "cannot be read"),
        ({"flag": tmp_path / "f", "command": "true"}, "Give one of"),
        ({"unlocked": True}, "Say how to stop"),
    ):
        with pytest.raises(Fixable, match=words):
            means_of(**wrong)  # type: ignore[arg-type]


def test_a_saved_state_makes_a_stop_reversible(tmp_path: Path) -> None:
    """Kohya's and diffusers' folders count, empty ones do not, and unseen is unknown."""
    checkpoint = tmp_path / "punk-000003.safetensors"
    assert state_beside(str(checkpoint)) is False
    (tmp_path / "punk-000003-state").mkdir()
    assert state_beside(str(checkpoint)) is False
    (tmp_path / "punk-000003-state" / "optimizer.bin").touch()
    assert state_beside(str(checkpoint)) is True
    deep = tmp_path / "d" / "checkpoint-500"
    deep.mkdir(parents=True)
    (deep / "optimizer.bin").touch()
    assert state_beside(str(deep / "pytorch_lora_weights.safetensors")) is True
    assert state_beside("/not/here/x.safetensors") is None
    assert state_beside(None) is None
