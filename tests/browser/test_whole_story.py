"""The whole story: a real base model, real LoRA files dropped one at a time, a real browser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.formats.prompt_suite import read_suite
from core.store.database import Database
from daemon.demo.story import MODEL
from daemon.outbox import pixels_of
from served_dashboard import PATIENCE_MS, real_browser
from whole_program import SMALL_SUITE, Program, advised_on, drop, select, wait_for

pytestmark = [pytest.mark.story, pytest.mark.browser, pytest.mark.timeout(2400)]
VERDICT_S = 1200.0  # a model is loaded and a test drawn in half a minute where nothing else runs
PER_EPOCH = """
    SELECT g.position, gs.prompt_name, i.image_sha256 FROM epochwatch.grids g
    JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
    JOIN epochwatch.images i USING (sample_id)
    WHERE g.purpose IN ('epoch', 'baseline') ORDER BY g.position NULLS FIRST, gs.ordinal
"""


@pytest.fixture
def page() -> Iterator[Page]:
    """Give a tab of a real browser."""
    with real_browser() as chromium:
        tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
        tab.set_default_timeout(PATIENCE_MS)
        yield tab


def test_a_checkpoint_lands_and_a_verdict_appears_in_the_browser(
    page: Page, tmp_path: Path, fresh_dsn: str, trained: list[Path]
) -> None:
    """Images appear by themselves and are right; the advice shown is what the rows say.

    Each epoch's images differ from the base's and from the epoch before's, and equal what a fresh
    pipeline with that file draws; `epochwatch converge` on the rows gives the advice that is shown.
    """
    program = Program(home=tmp_path / "home", environment={"DATABASE_URL": fresh_dsn})
    assert program.run("db", "migrate", "--yes").returncode == 0
    suite = tmp_path / "suite.toml"
    suite.write_text(SMALL_SUITE, encoding="utf-8")
    folder = tmp_path / "output"
    folder.mkdir()
    with program.database() as database, program.dashboard() as address:
        page.goto(address)
        page.get_by_text("epochwatch watch").first.wait_for()  # nothing yet: it says what to type
        with program.watching(folder, suite):
            drop(trained[0], folder)
            wait_for(lambda: advised_on(database, [1]), what="a verdict", seconds=VERDICT_S)
            page.goto(f"{address}/run")
            page.evaluate("window.sameDocument = true")
            _shows(page, database, 1)
            for number, checkpoint in enumerate(trained[1:], start=2):
                drop(checkpoint, folder)
                seen = list(range(1, number + 1))
                wait_for(lambda: advised_on(database, seen), what="more", seconds=VERDICT_S)  # noqa: B023
                _shows(page, database, number)
        assert page.evaluate("window.sameDocument") is True
        advice = advised_on(database, [1, 2, 3, 4])
        assert advice is not None
        expect(page.locator("[data-part=sentence]")).to_have_text(advice["sentence"])
        page.locator(".stVegaLiteChart canvas, .stVegaLiteChart svg").first.wait_for()
        _assert_advice_is_what_converge_says(program, tmp_path, advice["body"])
        images = _images(page, address, database)
    _assert_every_epoch_draws_differently(images)
    _assert_equal_to_a_fresh_pipeline(images, trained, suite)


def _shows(page: Page, database: Database, position: int) -> None:
    """Wait, without a reload, until the column of a position shows its images and its score."""
    head = page.locator(f'th[data-key="column {position}"]')
    head.wait_for()
    expect(head).not_to_contain_text("not scored yet")
    for row in select(database, PER_EPOCH):
        if row["position"] == position:
            page.locator(f'.ew-grid img[src*="{row["image_sha256"]}"]').first.wait_for()


def _assert_advice_is_what_converge_says(
    program: Program, folder: Path, shown: dict[str, Any]
) -> None:
    printed = program.run("runs", "scores", "punk")
    assert printed.returncode == 0, printed.stderr
    table = folder / "scores.csv"
    table.write_text(printed.stdout, encoding="utf-8")
    told = program.run("converge", str(table), "--planned", "4", "--json")
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    for key in ("label", "status", "pick", "p_best", "p_later_better", "stop", "sentence"):
        assert said[key] == shown[key], key


def _images(
    page: Page, address: str, database: Database
) -> dict[tuple[int | None, str], np.ndarray]:
    """Return the originals as the dashboard serves them: by position (None: the baseline) and prompt."""
    served = {}
    for row in select(database, PER_EPOCH):
        picture = page.locator(f'.ew-grid img[src*="{row["image_sha256"]}"]').first
        closeup = picture.locator("xpath=..").get_attribute("data-open")
        assert closeup is not None
        with urllib.request.urlopen(f"{address}{closeup}", timeout=60) as answer:
            text = answer.read().decode("utf-8")
        original = next(
            part.partition('"')[0] for part in text.split('"') if part.startswith("/img/")
        ).replace("&amp;", "&")
        with urllib.request.urlopen(f"{address}{original}", timeout=60) as answer:
            served[row["position"], row["prompt_name"]] = pixels_of(answer.read())
    return served


def _assert_every_epoch_draws_differently(
    images: dict[tuple[int | None, str], np.ndarray],
) -> None:
    """The LoRA acts: a fifth of the pixels differ from the base's by more than 8 levels."""
    for (position, prompt), pixels in images.items():
        if position is None:
            continue
        before = images[position - 1 if position > 1 else None, prompt]
        assert not np.array_equal(pixels, before), (position, prompt)
        if position > 1:
            apart = np.abs(pixels.astype(int) - images[None, prompt]).max(axis=-1) > 8
            assert apart.mean() > 0.2, (position, prompt, apart.mean())


def _assert_equal_to_a_fresh_pipeline(
    images: dict[tuple[int | None, str], np.ndarray], trained: list[Path], suite: Path
) -> None:
    """Draw the same with diffusers alone: the file loaded into a pipeline that has seen nothing else."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    loaded = read_suite(suite).suite
    recipe = loaded.recipe
    torch.set_num_threads(2)
    for position, file in ((None, None), *enumerate(trained, start=1)):
        pipeline = StableDiffusionPipeline.from_pretrained(
            MODEL, torch_dtype=torch.float32, use_safetensors=True, safety_checker=None
        )
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        if file is not None:
            pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
        drawn = pipeline(
            [prompt.text for prompt in loaded.prompts],
            negative_prompt=[recipe.negative] * len(loaded.prompts),
            width=recipe.width,
            height=recipe.height,
            num_inference_steps=recipe.steps,
            guidance_scale=float(recipe.guidance),
            generator=[torch.Generator().manual_seed(p.seeds[0]) for p in loaded.prompts],
        ).images
        for prompt, picture in zip(loaded.prompts, drawn, strict=True):
            ours, fresh = images[position, prompt.name].astype(int), np.asarray(picture).astype(int)
            off = np.abs(ours - fresh)
            assert off.max() <= 1, (position, prompt.name, off.max())
            assert (off > 0).mean() <= 0.001, (position, prompt.name, (off > 0).mean())
