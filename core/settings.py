"""Everything that can be set, read once, by the only module that reads the environment.

Flags win over the environment, that over ./epochwatch.toml, that over the user's file.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from core.errors import Fixable


def _default_home() -> Path:
    """Return a place that pods do not wipe: never a temporary folder, a cache or the trainer's."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/epochwatch")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "epochwatch"


def _config_files() -> list[Path]:
    """Return the user's file first: later files win."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return [config / "epochwatch" / "epochwatch.toml", Path("epochwatch.toml")]


def _absolute(path: Path) -> Path:
    """Return a path that means the same in a process that starts in another folder."""
    return path.expanduser().absolute()


def _addresses(value: Any) -> Any:
    """Take addresses as people type them: one a line or with spaces between; or a JSON list."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return value.split()
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("is neither a JSON list nor addresses with spaces between") from None


def _postgres(value: Any) -> Any:
    """Refuse what is no address of a Postgres database before a driver quotes it, password and all."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or re.match(r"\s*\w+\s*=", text):  # "host=... dbname=..." is fine
        return value
    try:
        parts = urlsplit(text)
        several = "," in parts.netloc  # hosts, each with its port
        known = parts.scheme in ("postgresql", "postgres") and (several or parts.port != 0)
    except ValueError:
        known = False
    if not known:
        raise ValueError("is not written like postgresql://user:password@host:5432/name")
    return value


def _accounts(value: Any) -> Any:
    """Take e-mail addresses and @domains as people type them: with commas or spaces between."""
    names = value
    if isinstance(value, str):
        names = _addresses(value) if value.lstrip().startswith("[") else re.split(r"[,\s]+", value)
    if not isinstance(names, (list, tuple)):
        return value
    written = [str(name).strip() for name in names if str(name).strip()]
    if not all(
        re.fullmatch(r"[!-?A-~]*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", each) for each in written
    ):
        raise ValueError("has something that is neither an e-mail address nor an @domain")
    return [each.lower() for each in written]


_Place = Annotated[Path, AfterValidator(_absolute)]
_Accounts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_accounts)]


class Settings(BaseSettings):
    """All settings, frozen. Every field can be set as EPOCHWATCH_<NAME> or in epochwatch.toml."""

    model_config = SettingsConfigDict(
        env_prefix="EPOCHWATCH_", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    home: _Place = Field(default_factory=_default_home)
    host_name: str = Field(default_factory=socket.gethostname)
    database_url: Annotated[SecretStr | None, BeforeValidator(_postgres)] = None  # None: embedded
    image_store: str = ""  # a folder or s3://bucket/prefix?endpoint=...; "": <home>/store
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    base_model: str = ""  # path, name or hash
    base_models: dict[str, str] = Field(default_factory=dict)  # name or hash -> path
    vae: _Place | None = None  # file or folder of a VAE, used instead of the base model's own
    data: _Place | None = None  # the training images with their captions
    suite: _Place | None = None
    embeddings: _Place | None = None  # folder of textual inversions that prompts may call
    renderer_command: tuple[str, ...] = ()  # program and arguments of the renderer "command"
    comfyui_url: str = "http://127.0.0.1:8188"  # where the renderer "comfyui" draws
    comfyui_workflow: _Place | None = None  # your workflow, in API format, with placeholders
    comfyui_lora_folder: _Place | None = None  # that ComfyUI reads LoRAs from and we may write to
    comfyui_lora_prefix: str = ""  # before the names of its files, as ComfyUI lists them
    profile: Literal["auto", "pixel-art", "character", "style", "votes"] = "auto"  # measured as
    scorers: dict[str, _Place] = Field(default_factory=dict)  # name -> folder of a model; none
    tests: Literal["thrifty", "even", "full", "adaptive"] = "full"
    stop: Literal["careful", "normal", "eager"] = "normal"
    price_per_hour: float | None = Field(default=None, ge=0)  # of the GPU, in your currency
    gpu_name: str = ""  # of the rented GPU: gives a list price where price_per_hour is not set
    budget: float | None = Field(default=None, gt=0)  # for each run: alerts at 80 and 100 %
    storage_price: float | None = Field(default=None, ge=0)  # for a GB and month of the store
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    beside: Literal["auto", "share", "wait", "cpu"] = "auto"  # how it draws beside a trainer
    memory_cap: float | None = Field(default=None, gt=0)  # GiB that drawing may hold at most
    threads: int | None = Field(default=None, ge=1)  # of the drawing process; None: torch's choice
    batch: int | None = Field(default=None, ge=1, le=256)
    quiet_seconds: float = Field(default=5.0, ge=0.1)
    image_timeout: float = Field(default=300.0, gt=0)  # seconds until an image counts as hung
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_addresses)] = ()
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    dashboard_url: str = ""  # where people open the dashboard: goes with each alert
    admins: _Accounts = ()  # e-mail addresses or @domains of who may do everything when signed in
    voters: _Accounts = ()  # of who may vote, comment and score
    viewers: _Accounts = ()  # of who may look
    production: _Place | None = None  # where promoted checkpoints lie; None: <home>/production
    production_keep: int = Field(default=5, ge=1)  # checkpoints that stay there for a rollback
    promote_hook: tuple[str, ...] = ()  # program and arguments, run after each change
    full_models: bool = False  # take in whole models of a watched folder as epochs, not LoRAs only
    full_model_gb: float = Field(default=16.0, gt=0)  # the largest of them that is taken in
    spool_gb: float = Field(default=20.0, gt=0)  # private copies beyond this make room
    log_format: Literal["text", "json"] = "text"

    @property
    def store_url(self) -> str:
        """Where image bytes live: a folder's absolute path, or an address."""
        if "://" in self.image_store:
            return self.image_store
        return str(_absolute(Path(self.image_store)) if self.image_store else self.home / "store")

    @property
    def dashboard_address(self) -> str:
        """Where the dashboard listens, as a browser opens it."""
        host = self.dashboard_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.dashboard_port}/"

    @property
    def dashboard_home(self) -> str:
        """Where people reach the dashboard: as it was said, else where it listens; ends in a slash."""
        return (
            f"{self.dashboard_url.rstrip('/')}/" if self.dashboard_url else self.dashboard_address
        )

    @property
    def has_accounts(self) -> bool:
        """Tell whether people sign in to the dashboard."""
        return bool(self.admins or self.voters or self.viewers)

    @property
    def production_folder(self) -> Path:
        """Where a generator application finds what is in production."""
        return self.production or self.home / "production"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment before the two TOML files."""
        return init_settings, env_settings, _Files(settings_cls, _config_files(), deep_merge=True)


class _Files(TomlConfigSettingsSource):
    """The TOML files, whose mistakes are told with their name."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            return super()._read_file(file_path)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
            raise Fixable(f"{file_path} is not valid TOML: {trouble}") from None
        except OSError as trouble:
            raise Fixable(f"{file_path} cannot be read: {trouble.strerror}") from None


_SECRETS = ("database_url", "s3_access_key", "s3_secret_key", "alert_urls")


def _from_outside() -> dict[str, Any]:
    """Return what comes under other people's names: DATABASE_URL, and secrets kept in NAME_FILE."""
    found: dict[str, Any] = {}
    if os.environ.get("DATABASE_URL"):
        found["database_url"] = os.environ["DATABASE_URL"]
    for name in _SECRETS:
        for variable in (f"EPOCHWATCH_{name.upper()}_FILE", f"{name.upper()}_FILE"):
            if path := os.environ.get(variable):
                found[name] = _secret_in(variable, path)
    return found


def _secret_in(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as trouble:
        raise Fixable(f"{variable} names a file that cannot be read: {trouble}") from trouble
    except UnicodeDecodeError:
        raise Fixable(f"{variable} names a file that is not UTF-8 text: {path}") from None


def load_settings(**flags: Any) -> Settings:
    """Return the settings; ``flags`` that are not None win over everything.

    Raises Fixable that names each variable or key with a bad value, and never the value.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**{**_from_outside(), **given})
    except ValidationError as trouble:
        lines = [
            f"{_origin(error['loc'], given)}: {_said(error)}"
            for error in trouble.errors(include_input=False, include_url=False)
        ]
        raise Fixable(f"Settings are wrong, so nothing was started. {'; '.join(lines)}.") from None
    except SettingsError as trouble:
        name = next((each for each in Settings.model_fields if f'"{each}"' in str(trouble)), "")
        raise Fixable(
            f"Settings are wrong, so nothing was started. EPOCHWATCH_{name.upper()} is not JSON."
        ) from None


def _origin(place: tuple[int | str, ...], given: dict[str, Any]) -> str:
    """Return where a bad value came from, as the person knows it: a variable, or a key of a file."""
    name = str(place[0]) if place else "settings"
    key = ".".join(str(part) for part in place)
    if name in given:
        return key
    outside = {f"EPOCHWATCH_{name}_FILE", f"{name}_FILE", f"EPOCHWATCH_{name}"}
    outside |= {"DATABASE_URL"} if name == "database_url" else set()
    variables = [each for each in os.environ if each.upper() in {o.upper() for o in outside}]
    return variables[0] if variables else f"{key} in epochwatch.toml"


def _said(error: Any) -> str:
    """Return what is wrong with a value; a key nobody knows is most often a typing mistake."""
    if error["type"] == "extra_forbidden":
        return "there is no such setting"
    return str(error["msg"]).removeprefix("Value error, ")


@cache
def shared_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
