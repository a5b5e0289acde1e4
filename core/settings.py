"""Everything that can be set, read once: flags > environment > ./epochwatch.toml > the user's file > defaults.

The only module that reads the environment.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import Fixable


def _default_home() -> Path:
    """Return the place that pods do not wipe: never a temporary folder, a cache or the trainer's."""
    if os.environ.get("EPOCHWATCH_HOME"):
        return Path(os.environ["EPOCHWATCH_HOME"]).expanduser()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/epochwatch")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "epochwatch"


def _config_files() -> list[Path]:
    """Return the user's file first: later files win."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return [config / "epochwatch" / "epochwatch.toml", Path("epochwatch.toml")]


class Settings(BaseSettings):
    """All settings, frozen. Every field can be set as EPOCHWATCH_<NAME> or in epochwatch.toml."""

    model_config = SettingsConfigDict(env_prefix="EPOCHWATCH_", frozen=True, extra="forbid")

    home: Path = Field(default_factory=_default_home)
    host_name: str = Field(default_factory=socket.gethostname)
    database_url: SecretStr | None = None  # DATABASE_URL; None: the embedded server
    image_store: str = ""  # a folder or s3://bucket/prefix?endpoint=...; "": <home>/store
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    base_model: str = ""  # path, name or hash
    base_models: dict[str, str] = Field(default_factory=dict)  # name or hash -> path
    data: Path | None = None  # the training images with their captions
    suite: Path | None = None
    tests: Literal["thrifty", "even", "full"] = "full"
    stop: Literal["careful", "normal", "eager"] = "normal"
    price_per_hour: float | None = Field(default=None, ge=0)  # of the GPU, in your currency
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    batch: int | None = Field(default=None, ge=1, le=256)
    quiet_seconds: float = Field(default=5.0, ge=0.1)
    image_timeout: float = Field(default=300.0, gt=0)  # seconds for one image before it counts as hung
    alert_urls: tuple[SecretStr, ...] = ()  # Apprise URLs
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8501, ge=1, le=65535)
    log_format: Literal["text", "json"] = "text"

    @property
    def store_url(self) -> str:
        """Where image bytes live."""
        return self.image_store or str(self.home / "store")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment before the two TOML files."""
        files = TomlConfigSettingsSource(settings_cls, _config_files(), deep_merge=True)
        return init_settings, env_settings, files


_SECRETS = ("database_url", "s3_access_key", "s3_secret_key")


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


def load_settings(**flags: Any) -> Settings:
    """Return the settings; ``flags`` that are not None win over everything.

    Raises Fixable that names each variable with a bad value.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**{**_from_outside(), **given})
    except ValidationError as trouble:
        lines = [
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in trouble.errors(include_input=False)
        ]
        raise Fixable("Settings are wrong. " + "; ".join(lines)) from None


@cache
def shared_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()
