"""What was decided happens: once per address, through failures, kills and two daemons at once."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from pydantic import SecretStr
from structlog.testing import capture_logs

from core.errors import Permanent, Retryable
from core.formats.checkpoint_file import pair_sha256
from core.store.database import Connection, Database, Row, rows, run
from core.store.files import LocalStore, open_store
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "alert/1/stop_advised/7"
SECRET = "s3cr3t-t0ken"
Hurry = Callable[[], None]


def _png(*_: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "#50be50").save(out, "PNG")
    return out.getvalue()


def _actor(
    database: Database,
    urls: Sequence[SecretStr] = (),
    *,
    notifier: Notifier | None = None,
    host: str = "pod",
    folder: Path = Path("/nowhere"),
    find_weights: Callable[[str], Path | None] = lambda _sha256: None,
    picture: Callable[[Connection, Row], bytes | None] = _png,
) -> Actor:
    return Actor(
        database=database,
        store=open_store(folder / "store"),
        notifier=notifier or Notifier(urls=tuple(urls)),
        host=host,
        find_weights=find_weights,
        picture=picture,
    )


def _decide(database: Database, key: str = KEY, kind: str = "alert", **payload: Any) -> None:
    words = {"title": "punks: stop, epoch 7 is best", "body": "Epoch 7 is best with 82 %."}
    with database.transaction() as connection:
        run(
            connection, "actions.decide",
            key=key, kind=kind, run_id=1, payload=payload or words, host=None,
        )  # fmt: skip


def _actions(database: Database) -> dict[str, Row]:
    with database.transaction() as connection:
        return {
            each["key"]: each
            for kind in ("alert", "hook", "keep")
            for each in rows(connection, "actions.recent", kind=kind, limit=500)
        }


def _beat(database: Database, host: str, state: str = "drawing") -> None:
    with database.transaction() as connection:
        run(connection, "actions.beat", name=host, state=state, doing="", detail={})
        # For long: no pause of this machine makes it silent.
        connection.execute(b"UPDATE epochwatch.hosts SET last_seen = now() + interval '1 h'")


def _work(actor: Actor, hurry: Hurry, times: int) -> None:
    for _ in range(times):
        actor.act()
        hurry()


def test_an_alert_reaches_every_address_with_its_picture(
    database: Database, make_due: Hurry, web: Any, mail: Any
) -> None:
    """Mail and web hook both get it once, and the message carries its key."""
    _decide(database)
    _work(_actor(database, (web.url(), mail.url())), make_due, 4)
    assert len(web.taken) == len(mail.taken) == 1
    assert web.taken[0]["message"] == f"Epoch 7 is best with 82 %.\n[{KEY}]"
    assert len(web.taken[0]["attachments"]) == 1
    assert any(part.get_content_maintype() == "image" for part in mail.taken[0].walk())
    assert {each["state"] for each in _actions(database).values()} == {"done"}


def test_an_alert_leads_to_the_page_of_its_run(
    database: Database, make_due: Hurry, web: Any
) -> None:
    """Read on a phone at night: one touch, and the pictures are there."""
    _decide(database)
    actor = _actor(database, (web.url(),))
    actor.dashboard_url = "https://epochs.example/"
    _work(actor, make_due, 4)
    assert "\nhttps://epochs.example/run?run=1\n" in web.taken[0]["message"]


def test_every_decided_alert_is_delivered_through_a_bad_night(
    database: Database, make_due: Hurry, web: Any
) -> None:
    """Twelve alerts, and a receiver that fails in each way it can: none is lost, none comes twice."""
    keys = [f"alert/1/new_best/{number}" for number in range(12)]
    for key in keys:
        _decide(database, key)
    web.script = ["500", "200", "reset", "429", "200", "503", "200", "404"]
    _work(_actor(database, (web.url(),)), make_due, 6)
    arrived = [body["message"].rpartition("[")[2].rstrip("]") for body in web.taken]
    assert sorted(arrived) == sorted(keys)


def test_an_address_that_fails_never_makes_another_receive_twice(
    database: Database, make_due: Hurry, web: Any, mail: Any
) -> None:
    """The mail came at once; the web hook is tried again alone until it takes the alert."""
    web.script = ["500"] * 5
    _decide(database)
    actor = _actor(database, (web.url(), mail.url()))
    _work(actor, make_due, 4)
    assert (len(mail.taken), len(web.taken)) == (1, 0)
    _work(actor, make_due, 6)
    assert (len(mail.taken), len(web.taken), web.asked) == (1, 1, 6)


def test_tries_are_further_and_further_apart(
    database: Database, dsn: str, make_due: Hurry, web: Any
) -> None:
    """A receiver that is away is left in peace: not asked again before its time."""
    web.script = ["500"] * 9
    _decide(database)
    actor = _actor(database, (web.url(),))
    actor.act()  # from now on the delivery is what waits
    for number in range(3):
        make_due()
        began = _told(dsn, "SELECT now()")
        actor.act()
        # An hour more: however long this takes, the next look comes before the next try.
        put_off = "UPDATE epochwatch.actions SET not_before = not_before + interval '1 h'"
        again = _told(dsn, f"{put_off} WHERE state = 'pending' RETURNING not_before")
        actor.act()
        assert web.asked == number + 1
        assert again - began >= timedelta(hours=1, seconds=5 * 2**number)
    [delivery] = [each for key, each in _actions(database).items() if key != KEY]
    assert (delivery["state"], delivery["tries"]) == ("pending", 3)
    assert "did not take the message" in delivery["error"]


def _told(dsn: str, question: str) -> datetime:
    with psycopg.connect(dsn) as connection:
        [[told]] = connection.execute(question.encode()).fetchall()
    return told


def test_an_address_that_never_answers_is_told_on_the_alert_itself(
    database: Database, dsn: str, make_due: Hurry, web: Any, mail: Any
) -> None:
    """The alert fails with a sentence, the other address has it, and nobody is asked again."""
    web.script = ["500"] * 9
    _decide(database)
    actor = _actor(database, (web.url(), mail.url()))
    _work(actor, make_due, 2)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE epochwatch.actions SET tries = 99 WHERE state = 'pending'")
    _work(actor, make_due, 3)
    alert = _actions(database)[KEY]
    assert alert["state"] == "failed"
    assert "did not take the message" in alert["error"]
    assert alert["error"].endswith("Given up after 100 tries.")
    assert len(mail.taken) == 1
    assert web.asked == 2


def test_secrets_of_an_address_are_in_no_row_and_no_log(
    database: Database, dsn: str, make_due: Hurry, web: Any
) -> None:
    """Whatever happens to an alert, its address stays in the settings."""
    web.script = ["500"]
    _decide(database)
    with capture_logs() as said:
        _work(_actor(database, (web.url(),)), make_due, 3)
    with psycopg.connect(dsn) as connection:
        stored = connection.execute("SELECT a::text FROM epochwatch.actions a").fetchall()
    assert len(web.taken) == 1
    assert SECRET not in f"{stored}{said}"


def test_two_actors_at_once_send_once(database: Database, make_due: Hurry, web: Any) -> None:
    """Two daemons see the same alerts at the same moment; each message goes out once."""
    for number in range(8):
        _decide(database, f"alert/1/new_best/{number}")
    actors = [_actor(database, (web.url(),), host=host) for host in ("pod", "desk")]
    for _ in range(3):
        start = threading.Barrier(2)

        def act(actor: Actor, start: threading.Barrier = start) -> None:
            start.wait()
            actor.act()

        threads = [threading.Thread(target=act, args=(actor,)) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(web.taken) == web.asked == 8


DYING = """
import os, sys
from pydantic import SecretStr
from core.store.database import Database
from core.store.files import open_store
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier

class Dying(Notifier):
    def send(self, *words, **more):
        super().send(*words, **more)
        os._exit(9)

dsn, folder, *urls = sys.argv[1:]
notifier = Dying(urls=tuple(map(SecretStr, urls)))
actor = Actor(database=Database(dsn), store=open_store(folder), notifier=notifier, host="pod",
              find_weights=lambda _: None, picture=lambda *_: None)
actor.act()
actor.act()
"""


def test_a_kill_between_sending_and_saying_so_costs_one_duplicate_at_most(
    database: Database, dsn: str, make_due: Hurry, web: Any, mail: Any, tmp_path: Path
) -> None:
    """The one message in flight may come again, with its key; everything else once."""
    urls = (web.url(), mail.url())
    _decide(database)
    words = [dsn, str(tmp_path), *(url.get_secret_value() for url in urls)]
    killed = subprocess.run([sys.executable, "-c", DYING, *words], cwd=REPOSITORY, check=False)
    assert killed.returncode == 9
    actor = _actor(database, urls)
    actor.act()
    sent_before = len(web.taken) + len(mail.taken)
    _work(actor, make_due, 4)
    assert sent_before <= 2
    assert len(web.taken) + len(mail.taken) == 3
    assert {each["state"] for each in _actions(database).values()} == {"done"}


class _Cutting(Notifier):
    """Takes the database away as soon as the message is out."""

    def send(self, name: str, title: str, body: str, *, picture: bytes | None = None) -> None:
        super().send(name, title, body, picture=picture)
        _admit(os.environ["TEST_SERVER"], os.environ["TEST_NAME"], "false")


def _admit(server: str, name: str, allow: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allow}')  # type: ignore[arg-type]
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


def test_a_database_that_goes_away_after_sending_costs_no_duplicate(
    server_dsn: str, dsn: str, database: Database, make_due: Hurry, web: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The daemon remembers what it sent until it can say so."""
    name = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
    monkeypatch.setenv("TEST_SERVER", server_dsn)
    monkeypatch.setenv("TEST_NAME", name)
    _decide(database)
    with Database(dsn) as hurried:
        actor = _actor(hurried, notifier=_Cutting(urls=(web.url(),)))
        actor.act()
        with pytest.raises(Retryable):
            actor.act()
        assert len(web.taken) == 1
        _admit(server_dsn, name, "true")
        make_due()
        while True:
            with suppress(Retryable):  # the pool finds its way back within seconds
                actor.act()
                break
    assert len(web.taken) == 1
    assert {each["state"] for each in _actions(database).values()} == {"done"}


def test_without_an_address_the_dashboard_shows_it(database: Database) -> None:
    """Nothing is sent and nothing fails."""
    _decide(database)
    _actor(database).act()
    alert = _actions(database)[KEY]
    assert alert["state"] == "done"
    assert "no alert address" in alert["error"]


def test_a_machine_without_an_address_leaves_the_alert_to_one_at_work(
    database: Database, make_due: Hurry, web: Any
) -> None:
    """The dashboard's machine must not swallow what the pod can send."""
    _beat(database, "pod")
    _decide(database)
    _work(_actor(database, host="desk"), make_due, 2)
    assert _actions(database)[KEY]["state"] == "pending"
    _work(_actor(database, (web.url(),), host="pod"), make_due, 2)
    assert len(web.taken) == 1


def test_a_machine_that_stopped_is_not_waited_for(database: Database) -> None:
    """It said goodbye, so this one does what it can."""
    _beat(database, "pod", "stopped")
    _decide(database)
    _actor(database, host="desk").act()
    assert _actions(database)[KEY]["state"] == "done"


def test_an_address_that_left_the_settings_is_said_and_tried_again(
    database: Database, make_due: Hurry, web: Any
) -> None:
    """A machine that still has it may come back; until then the row says what is missing."""
    _decide(database)
    _actor(database, (web.url(),)).act()
    make_due()
    _actor(database).act()
    [delivery] = [each for key, each in _actions(database).items() if key != KEY]
    assert delivery["state"] == "pending"
    assert "No machine at work has json-" in delivery["error"]
    make_due()
    _actor(database, (web.url(),)).act()
    assert len(web.taken) == 1


def test_an_alert_goes_without_a_picture_that_cannot_be_made(
    database: Database, make_due: Hurry, web: Any
) -> None:
    """A damaged image must not silence the words."""

    def broken(*_: object) -> bytes:
        raise Permanent("The stored image is damaged.")

    _decide(database)
    _work(_actor(database, (web.url(),), picture=broken), make_due, 2)
    assert len(web.taken) == 1
    assert not web.taken[0].get("attachments")


def test_keep_copies_the_checkpoint_into_the_store(
    database: Database, dsn: str, tmp_path: Path
) -> None:
    """The file that must outlive the pod is there, whole, and its place is remembered."""
    weights = tmp_path / "punks-000007.safetensors"
    weights.write_bytes(b"weights" * 1000)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256, size_bytes)"
            " VALUES (%(sha)s, 'lora', 'sd1', 'kohya', %(sha)s, 7000)",
            {"sha": sha256},
        )
    _decide(database, f"keep/{sha256}", "keep", sha256=sha256)
    _actor(database, folder=tmp_path, find_weights=lambda _sha256: weights).act()
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT uri FROM epochwatch.weights").fetchone()
    copied = tmp_path / "store" / "checkpoints" / sha256[:2] / f"{sha256}.safetensors"
    assert found == (copied.as_uri(),)
    assert copied.read_bytes() == weights.read_bytes()
    assert _actions(database)[f"keep/{sha256}"]["state"] == "done"


def test_keep_copies_both_files_of_a_pair(database: Database, dsn: str, tmp_path: Path) -> None:
    """PEFT's weights are of no use without the configuration that lies beside them."""
    pair = {"adapter_model.safetensors": b"weights" * 1000, "adapter_config.json": b'{"r": 4}'}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in pair.items()}
    for name, content in pair.items():
        (tmp_path / name).write_bytes(content)
    sha256 = pair_sha256(*hashes.values())
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256, size_bytes)"
            " VALUES (%(sha)s, 'lora', 'sd1', 'peft', %(sha)s, 7000)",
            {"sha": sha256},
        )
    _decide(database, f"keep/{sha256}", "keep", sha256=sha256)
    weights = tmp_path / "adapter_model.safetensors"
    _actor(database, folder=tmp_path, find_weights=lambda _sha256: weights).act()
    assert _actions(database)[f"keep/{sha256}"]["state"] == "done"
    store = LocalStore(tmp_path / "store")
    assert store.get("checkpoints", hashes["adapter_model.safetensors"]) == b"weights" * 1000
    assert store.get("files", hashes["adapter_config.json"]) == b'{"r": 4}'


def test_keep_fails_with_a_sentence_when_the_file_is_gone(database: Database) -> None:
    """The dashboard tells why the file was not saved."""
    _decide(database, "keep/x", "keep", sha256="0" * 64)
    _actor(database).act()
    kept = _actions(database)["keep/x"]
    assert kept["state"] == "failed"
    assert "gone from this machine" in kept["error"]
