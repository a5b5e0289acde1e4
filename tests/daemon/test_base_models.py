"""A base model that is not found: what was looked for, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.errors import Fixable
from core.settings import load_settings
from daemon.base_models import BaseModels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("named", "written", "told"),
    [
        ("v1-5.ckpt", "unknown", "you named 'v1-5.ckpt', which is pickled"),
        (None, "v1-5-pruned.ckpt", "the checkpoints name 'v1-5-pruned.ckpt', which is pickled"),
        (None, "unknown", "the checkpoints name none. Start again with --base-model"),
        (None, "anything-v5", "the checkpoints name 'anything-v5', and it was looked for by name"),
    ],
)
def test_a_base_model_that_is_not_found_says_why(
    named: str | None, written: str, told: str, tmp_path: Path
) -> None:
    """A pickle is never opened, and metadata that name no model are no name to look for."""
    if named:
        (tmp_path / named).write_bytes(b"PK\x03\x04")
    settings = load_settings(home=tmp_path, base_model=named and str(tmp_path / named))
    models = BaseModels(settings=settings, found={})
    with pytest.raises(Fixable) as caught:
        models.find(written, None)
    assert told.replace("you named '", f"you named '{tmp_path}/") in str(caught.value)
