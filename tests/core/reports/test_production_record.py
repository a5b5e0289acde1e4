"""The record of production and the settings inside an image, as other programs read them."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from core.reports.production_record import as_text, live_record, production_record
from core.reports.sample_settings import as_parameters, sample_settings, with_settings
from core.rules.strengths import StrengthFinding

ABOUT: dict[str, Any] = {
    "run_name": "SD15\nFINAL", "position_unit": None, "base_model": "sd15.safetensors",
    "base_sha256": "b" * 64, "network_dim": 32, "network_alpha": 16, "resolution": "512x512",
    "learning_rate": None, "caption_format": "12+ hex codes", "caption_version": "final_v1",
    "strength": "0.80", "suite": "d" * 64,
}  # fmt: skip
CHECKPOINT = {
    "position": 7, "sha256": "a" * 64, "file_name": "p-000007.safetensors", "size_bytes": 9,
    "family": "sd1", "kind": "lora",
}  # fmt: skip


def _record(**cells: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "about": ABOUT, "checkpoint": CHECKPOINT, "score": 8.996, "verdict": "Ready.",
        "issues": ["random_pixels"], "excluded": ["backgrounds"], "versions": {"epochwatch": "1"},
        "suite": {"name": "punks", "body": {"recipe": {"steps": 30}, "prompts": [
            {"trigger": ""}, {"trigger": "punk"}]}},
        **cells,
    }  # fmt: skip
    return production_record(**told)


def test_the_record_holds_what_a_generator_and_its_owner_need() -> None:
    """Unknown is None; the file is named by its content."""
    record = _record()
    assert record["file"] == f"{'a' * 64}.safetensors"
    assert record["parameters"] == {"network_dim": 32, "network_alpha": 16, "resolution": "512x512"}
    assert (record["trigger"], record["strength"], record["unit"]) == ("punk", "0.80", "epoch")
    assert record["strength_range"] is None
    assert _record(checkpoint=CHECKPOINT | {"kind": "base"})["strength"] is None
    swept = StrengthFinding(
        position=7, best="0.80", means={}, losses={}, usable=("0.60", "0.80"), units=9
    )
    assert _record(strengths=swept)["strength_range"] == ["0.60", "0.80"]
    assert "usable from 0.60 to 0.80" in as_text(
        live_record(
            _record(strengths=swept),
            number=1,
            by_whom="",
            decided_at=datetime(2025, 1, 1, tzinfo=UTC),
            reason="",
            overridden=[],
            rolled_back_from=None,
        )
    )
    bare = _record(suite=None, score=None)
    assert (bare["trigger"], bare["recipe"], bare["score"]) == (None, None, None)
    json.dumps(bare)


def test_the_owners_form_says_it_in_lines_that_stay_lines() -> None:
    """As the owner's document has it: model, score, date, parameters, captions, issues, status."""
    live = live_record(
        _record(), number=3, by_whom="Ilyssa", decided_at=datetime(2025, 11, 10, tzinfo=UTC),
        reason="go", overridden=["speed"], rolled_back_from=None,
    )  # fmt: skip
    text = as_text(live)
    for line in (
        "- **Production Model:** SD15 FINAL Epoch 7",
        "- **Score:** 8.9/10",
        "- **Date:** 2025-11-10T00:00:00+00:00",
        "- **Parameters:** dim=32, alpha=16, resolution=512x512",
        "- **Caption Format:** final_v1, 12+ hex codes",
        "- **Issues:** random pixels",
        "- **Excluded:** backgrounds",
        "- **Status:** Production, in spite of speed: go",
    ):
        assert line in text.splitlines()
    assert "- **Strength:** tested at 0.80" in text.splitlines()
    back = as_text({**live, "rolled_back_from": 2, "score": None})
    assert "went back from number 2" in back
    assert "- **Score:** not known" in back


def test_an_image_carries_its_settings_and_keeps_its_pixels() -> None:
    """JSON for us, a line for other programs; not a pixel changes."""
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    settings = sample_settings(
        label="pick", prompt="a punk \u2713", seed=7, sample_id="s",
        recipe={"steps": 30, "sampler": "euler", "guidance": "7.50", "width": 8, "height": 8,
                "negative": "grey"},
        stack={"base": "b" * 64, "loras": [["c" * 64, "0.80"]]},
    )  # fmt: skip
    with Image.open(io.BytesIO(with_settings(png.getvalue(), settings))) as image:
        assert isinstance(image.text, dict)  # type: ignore[attr-defined]
        told = image.text  # type: ignore[attr-defined]
        assert np.array_equal(np.asarray(image), pixels)
    assert json.loads(told["epochwatch"]) == settings
    assert told["parameters"] == as_parameters(settings)
    assert told["parameters"].splitlines()[1] == "Negative prompt: grey"
    assert "Seed: 7" in told["parameters"]
    assert 'Lora hashes: "cccccccccc: 0.80"' in told["parameters"]
