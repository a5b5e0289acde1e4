"""Result files: whole or absent, JSON last."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.generator.result_files import to_levels, why_refused, write_result

PIXELS = np.random.default_rng(1).random((16, 24, 3)).astype(np.float32)


def test_the_pair_says_what_it_holds(tmp_path: Path) -> None:
    """The PNG has the pixels and no text; the JSON has its hash, its size and the facts."""
    written = write_result(tmp_path, "s1", PIXELS, {"seconds": 1.5})
    image = Image.open(written.path)
    assert np.array_equal(np.asarray(image), to_levels(PIXELS))
    assert image.info == {}
    body = json.loads((tmp_path / "s1.json").read_text())
    assert body["image_sha256"] == hashlib.sha256(written.path.read_bytes()).hexdigest()
    assert (body["width"], body["height"], body["seconds"]) == (24, 16, 1.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1.json", "s1.png"]


def test_the_json_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two leaves an image that nobody takes for finished."""
    renamed: list[str] = []
    replace = Path.replace

    def follow(self: Path, target: Path) -> Path:
        renamed.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", follow)
    write_result(tmp_path, "s1", PIXELS, {})
    assert renamed == ["s1.png", "s1.json"]


def test_a_full_disk_leaves_no_part_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk says no at the last moment, the half-written file goes too."""

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daemon.generator.result_files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_result(tmp_path, "s1", PIXELS, {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_picture_is_told_in_words() -> None:
    """NaN, infinity and all black; a dark picture with one light pixel is a picture."""
    broken = PIXELS.copy()
    broken[0, 0, 0] = np.inf
    assert "1 of 1152 pixel values" in str(why_refused(broken))
    black = np.zeros_like(PIXELS)
    assert "black" in str(why_refused(black))
    black[5, 5] = 0.5
    assert why_refused(black) is None
