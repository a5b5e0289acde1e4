"""Where settings come from, which one wins, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Fixable
from core.settings import Settings, load_settings

SECRET = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an empty environment and an empty user's configuration."""
    import os

    for name in list(os.environ):
        if name.startswith(("EPOCHWATCH_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def _users_file(here: Path, text: str) -> None:
    folder = here.parent / "config" / "epochwatch"
    folder.mkdir(parents=True)
    (folder / "epochwatch.toml").write_text(text)


def test_flags_win_over_environment_over_this_folder_over_the_user(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source is seen only where no stronger one speaks."""
    _users_file(here, "batch = 1\ndashboard_port = 1001\ndevice = 'mps'\nstop = 'eager'\n")
    assert (load_settings().batch, load_settings().dashboard_port) == (1, 1001)
    (here / "epochwatch.toml").write_text("batch = 2\ndashboard_port = 1002\ndevice = 'cpu'\n")
    monkeypatch.setenv("EPOCHWATCH_BATCH", "3")
    monkeypatch.setenv("EPOCHWATCH_DASHBOARD_PORT", "1003")
    settings = load_settings(batch=4, dashboard_port=None)
    assert settings.batch == 4
    assert settings.dashboard_port == 1003
    assert settings.device == "cpu"
    assert settings.stop == "eager"
    assert settings.quiet_seconds == 5.0


def test_database_url_is_read_under_its_usual_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosting services set DATABASE_URL; it wins over a file."""
    (here / "epochwatch.toml").write_text("database_url = 'postgresql://file/x'\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/x")
    found = load_settings().database_url
    assert found is not None
    assert found.get_secret_value() == "postgresql://environment/x"


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("S3_SECRET_KEY_FILE", "s3_secret_key"),
        ("EPOCHWATCH_S3_ACCESS_KEY_FILE", "s3_access_key"),
        ("EPOCHWATCH_S3_SECRET_KEY_FILE", "s3_secret_key"),
    ],
)
def test_a_secret_may_lie_in_a_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, variable: str, field: str
) -> None:
    """The line break at its end is not part of it."""
    (here / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv(variable, str(here / "secret"))
    assert getattr(load_settings(), field).get_secret_value() == SECRET


def test_the_address_of_the_database_may_lie_in_a_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Docker's and Kubernetes' secrets do."""
    (here / "secret").write_text("postgresql://u:p@h/x\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(here / "secret"))
    found = load_settings().database_url
    assert found is not None
    assert found.get_secret_value() == "postgresql://u:p@h/x"


def test_alert_addresses_may_lie_in_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One a line."""
    (here / "urls").write_text("json://one\njson://two\n")
    monkeypatch.setenv("EPOCHWATCH_ALERT_URLS_FILE", str(here / "urls"))
    assert [url.get_secret_value() for url in load_settings().alert_urls] == [
        "json://one",
        "json://two",
    ]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_file_that_cannot_be_read_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """The variable and the file are both told."""
    if content is not None:
        (here / "gone").write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", str(here / "gone"))
    with pytest.raises(Fixable, match=r"DATABASE_URL_FILE names a file .*gone"):
        load_settings()


@pytest.mark.parametrize(
    "typed",
    ['["json://a", "mailto://b"]', "json://a mailto://b", "json://a\nmailto://b\n"],
)
def test_alert_addresses_are_taken_as_people_type_them(
    monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """As JSON, or with spaces or line breaks between."""
    monkeypatch.setenv("EPOCHWATCH_ALERT_URLS", typed)
    found = [url.get_secret_value() for url in load_settings().alert_urls]
    assert found == ["json://a", "mailto://b"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EPOCHWATCH_BATCH", "many"),
        ("EPOCHWATCH_BATCH", "0"),
        ("EPOCHWATCH_STOP", "never"),
        ("EPOCHWATCH_DASHBOARD_PORT", "99999"),
        ("EPOCHWATCH_QUIET_SECONDS", "-1"),
        ("EPOCHWATCH_PRICE_PER_HOUR", "-0.5"),
        ("EPOCHWATCH_ALERT_URLS", f'["{SECRET}"'),
        ("EPOCHWATCH_BASE_MODELS", SECRET),
        ("EPOCHWATCH_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_is_not(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A person sees at once what to correct."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(Fixable, match=variable) as trouble:
        load_settings()
    assert SECRET not in str(trouble.value)
    assert trouble.value.__cause__ is None


@pytest.mark.parametrize(
    "typed",
    [
        f"nonsense-{SECRET}",
        f"mysql://u:{SECRET}@h/x",
        f"postgresql://u:{SECRET}@[bad",
        f"postgresql://u:{SECRET}@h:port/x",
    ],
)
def test_a_database_address_with_a_typing_mistake_is_refused_unseen(
    monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """A driver would quote it, password and all."""
    monkeypatch.setenv("DATABASE_URL", typed)
    with pytest.raises(
        Fixable, match=r"DATABASE_URL: is not written like postgresql://"
    ) as trouble:
        load_settings()
    assert SECRET not in str(trouble.value)


@pytest.mark.parametrize(
    "typed",
    [
        "postgresql://u:p@h:5432/x?sslmode=require",
        "postgres://h/x",
        "host=/run/pg dbname=x",
        "postgresql:///x?host=/run/pg",
        "postgresql://u:p%40%5B@h1:5432,h2:5433/x",
    ],
)
def test_every_way_to_write_a_database_address_is_taken(
    monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """As an address, or as words."""
    monkeypatch.setenv("DATABASE_URL", typed)
    found = load_settings().database_url
    assert found is not None
    assert found.get_secret_value() == typed


def test_all_mistakes_are_told_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody corrects one to be told the next."""
    (here / "epochwatch.toml").write_text("bacth = 4\nstop = 'never'\n")
    monkeypatch.setenv("EPOCHWATCH_BATCH", "0")
    with pytest.raises(Fixable) as trouble:
        load_settings()
    said = str(trouble.value)
    assert "bacth in epochwatch.toml: there is no such setting" in said
    assert "stop in epochwatch.toml" in said
    assert "EPOCHWATCH_BATCH" in said
    assert "\n" not in said


def test_a_file_that_is_not_toml_is_named_with_its_line(here: Path) -> None:
    """The first mistake of a new file."""
    (here / "epochwatch.toml").write_text("batch = 2\nstop = normal\n")
    with pytest.raises(Fixable, match=r"epochwatch.toml is not valid TOML.*line 2"):
        load_settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass what is not set as empty text."""
    monkeypatch.setenv("EPOCHWATCH_BATCH", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings().batch is None
    assert load_settings().database_url is None


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor as JSON."""
    for variable in ("EPOCHWATCH_S3_SECRET_KEY", "EPOCHWATCH_ALERT_URLS"):
        monkeypatch.setenv(variable, SECRET)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@h/x")
    settings = load_settings(s3_access_key=SECRET)
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump()} "
    assert SECRET not in settings.model_dump_json()


def test_settings_cannot_be_changed() -> None:
    """They are read once and mean the same everywhere."""
    with pytest.raises(Exception, match="frozen"):
        load_settings().batch = 3  # type: ignore[misc]


def test_paths_mean_the_same_in_a_process_that_starts_elsewhere(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dashboard is started from another folder with the same settings."""
    monkeypatch.setenv("HOME", "/home/owner")
    settings = load_settings(home="~/watch", suite="suite.toml", vae="vae", image_store="pictures")
    assert settings.home == Path("/home/owner/watch")
    assert (settings.suite, settings.vae) == (here / "suite.toml", here / "vae")
    assert settings.store_url == str(here / "pictures")


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("", "/h/store"),
        ("s3://bucket/prefix?endpoint=http://x", "s3://bucket/prefix?endpoint=http://x"),
    ],
)
def test_the_image_store_is_a_folder_of_the_home_or_an_address(store: str, expected: str) -> None:
    """Nothing to set for a single machine."""
    assert load_settings(home="/h", image_store=store).store_url == expected


def test_the_home_outlives_a_pods_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root keeps its data where services do, a person where their other data is."""
    import os

    assert "tmp" not in Settings().home.parts
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Settings().home == Path("/var/lib/epochwatch")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/owner/data")
    assert Settings().home == Path("/home/owner/data/epochwatch")


def test_lists_of_accounts_are_taken_as_people_type_them(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With commas, spaces or as JSON in the environment, as a list in the file; case says nothing."""
    (here / "epochwatch.toml").write_text("viewers = ['Vera@Example.org', '@studio.example']\n")
    monkeypatch.setenv("EPOCHWATCH_ADMINS", " Ada@example.org,\tbo@example.org ")
    monkeypatch.setenv("EPOCHWATCH_VOTERS", '["@example.org"]')
    settings = load_settings()
    assert settings.admins == ("ada@example.org", "bo@example.org")
    assert settings.voters == ("@example.org",)
    assert settings.viewers == ("vera@example.org", "@studio.example")
    assert settings.has_accounts
    monkeypatch.setenv("EPOCHWATCH_ADMINS", "")
    monkeypatch.setenv("EPOCHWATCH_VOTERS", "[]")
    (here / "epochwatch.toml").write_text("")
    assert not load_settings().has_accounts


@pytest.mark.parametrize("value", ["ann", "@", "*", "ann@", "a b@", "\u212a@example.org", "a@*"])
def test_what_is_no_address_is_on_no_list(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing mistake must not lock somebody out, or let everybody in, without a word."""
    monkeypatch.setenv("EPOCHWATCH_VOTERS", f"ann@example.org {value}")
    with pytest.raises(Fixable, match="EPOCHWATCH_VOTERS: has something that is neither"):
        load_settings()
