"""The page of a run in a real browser: nothing is fetched, nothing foreign runs, and it can be read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.charts.progress import Progress
from core.reports.run_report import Cell, GridRow, Planned, Story, run_report
from core.rules.gates import ExpectationState, GateState
from served_dashboard import CHROMIUM, PATIENCE_MS, real_browser

pytest.importorskip("playwright.sync_api")
in_a_browser = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here")
no_chart = Progress(averages={})  # a second less for each page
XSS = (
    "<script>window.__xss=1</script>",
    "<img src=x onerror=window.__xss=1>",
    '"><svg onload=window.__xss=1>',
    "' onmouseover='window.__xss=1' x='",
    "</title></style></table><script>window.__xss=1</script>",
    "</textarea><iframe srcdoc='<script>parent.__xss=1</script>'>",
    "<a href=javascript:window.__xss=1 id=foreign>x</a>",
    "<base href=http://127.0.0.1:9/><link rel=stylesheet href=//127.0.0.1:9/x.css>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "red;background:url(http://127.0.0.1:9/x.png)",
    "{{ 7*7 }} {% raw %} ${7*7} <!-- --> ]]> \u202e\x00",
)


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 24), "#50be50").save(out, "PNG")
    return out.getvalue()


def _epoch(position: int, text: str | None = None, **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "position": position, "visual": 6.0 + position, "style": 6.0, "prompt": 6.5,
        "average": 6.0 + position / 2, "verdict": text or "good", "picked": False,
        "issues_detail": [text or "random_pixels"], "strengths_detail": [], "observations": text,
        "color_accuracy_score": 80.0, "style_quality_score": None,
        "background_color": text or "#50be50", "unique_colors": 21, "num_test_images": 1,
    }  # fmt: skip
    return {**known, **changes}


def _story(text: str | None = None, positions: int = 3, **changes: Any) -> Story:
    places = list(range(1, positions + 1))
    cells = [Cell(image=_picture(), score=7.94, note=text or "") for _ in (0, *places)]
    cells[1:2] = [Cell(image=None, score=None, note=text or "came out black")]
    known: dict[str, Any] = {
        "run_name": text or "punks-v7",
        "status": "in_progress",
        "unit": "epoch",
        "advice": {"sentence": text or "Stop. Epoch 2 is best.", "reasons": [text or "It fell."], "pick": 2},
        "advice_history": [(datetime(2026, 11, 20, tzinfo=UTC), text or "Continue.")],
        "progress": Progress(averages={p: 6 + p / 2 for p in places}, p_best={2: 0.82, 3: 0.18}, pick=2),
        "epochs": [_epoch(place, text) for place in places],
        "grid": [GridRow(name=text or "pink", text=text or "pink hair", origin=text or "seen", cells=cells)],
        "positions": places,
        "parameters": {"base_model": text or "anything-v5", "learning_rate": 1e-4},
        "written_at": datetime(2026, 11, 21, tzinfo=UTC),
    }  # fmt: skip
    return Story(**{**known, **changes})


def _planned(text: str | None = None) -> Planned:
    gate = GateState(
        gate="green", state="failed", sentence=text or "green: failed at epoch 2.", epoch=2,
        must=True, stop_at=3, failing=False,
    )  # fmt: skip
    expected = ExpectationState(
        text=text or "Green comes.", first=1, last=3, held=(2,), missed=(1,), unknown=(3,),
        sentence="", said="", measured=True,
    )  # fmt: skip
    return Planned(
        sentence=text or "The hypothesis does not hold: green failed.",
        hypothesis=text or "green comes early",
        gates=[gate],
        expectations=[expected],
        is_late=True,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a browser."""
    with real_browser() as started:
        yield started


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Give what opens a page; every request besides the page itself is noted."""
    pages = []

    def open_(html: str, *, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / f"{len(pages)}.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(PATIENCE_MS)
        pages.append(page)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_
    for page in pages:
        page.close()


def _outside(page: Any) -> list[str]:
    return [url for url in page.asked if not url.startswith(("data:", "file:"))]


CONTRAST = """each => {
  const light = color => {
    const parts = color.match(/[0-9.]+/g).slice(0, 3).map(value => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ink = light(getComputedStyle(each).color);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("text", XSS)
def test_foreign_text_is_shown_and_never_runs(opened: Any, text: str) -> None:
    """Everywhere at once: names, prompts, notes, titles, and cells of the owner's tables."""
    page = opened(run_report(_story(text, progress=no_chart, planned=_planned(text))))
    page.mouse.move(200, 60)
    page.wait_for_timeout(30)
    assert page.evaluate("window.__xss") is None
    assert _outside(page) == []
    assert page.inner_text("h1").startswith(text.replace("\x00", ""))
    assert page.locator("#foreign, iframe, link, base, script").count() == 0
    assert page.locator("h2").count() == 6


@pytest.fixture(scope="module")
def whole() -> str:
    """Give the page of a run with twelve epochs, and a judge who means no good."""
    places = list(range(1, 13))
    averages = {place: 3 + place / 2 for place in places}
    people = [(2, 7.5, XSS[0])]
    progress = Progress(averages=averages, people=people, p_best={2: 0.82, 3: 0.18}, pick=2)
    return run_report(_story(positions=12, progress=progress, planned=_planned()))


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(opened: Any, whole: str, width: int, scheme: str) -> None:
    """Nothing is wider than the window, the chart wears the theme, and text has contrast."""
    page = opened(whole, width=width, scheme=scheme)
    assert _outside(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    chart = page.locator("img.chart")
    assert chart.evaluate("each => each.complete && each.naturalWidth") > 250
    assert chart.bounding_box()["width"] <= width
    drawn = Image.open(io.BytesIO(chart.screenshot())).convert("L")
    dark, light = drawn.getextrema()
    assert (drawn.getpixel((3, 3)) < 40) == (scheme == "dark")
    assert int(light) - int(dark) > 150
    for name in ("body", "h1", "td.prompt small", "td .badge", "footer"):
        assert page.locator(name).first.evaluate(CONTRAST) >= 4.5


def test_the_page_needs_nothing_from_outside(whole: str) -> None:
    """One file, a policy that forbids the rest, and no script."""
    page = whole
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert not re.findall(r"<script|<link|<iframe|\bon\w+=|javascript:", page)
    assert all(
        found.startswith("data:image/") for found in re.findall(r'src(?:set)?="([^"]*)', page)
    )


def test_scores_are_floored_and_unknown_is_a_dash() -> None:
    """A 7.94 is not shown as an 8, and what is not known is never 0."""
    page = run_report(
        _story(progress=no_chart, epochs=[_epoch(1, average=7.96, style=None, unique_colors=None)])
    )
    row = page[page.index("<h2>Scores") :]
    assert '<td class="number">7.9</td>' in row
    assert row.count('<td class="number">-</td>') == 3


def test_the_report_says_which_expectations_held_at_which_epoch() -> None:
    """One column an epoch; the gates stand above with their word, and a late plan is called late."""
    page = run_report(_story(progress=no_chart, planned=_planned()))
    assert "\u2715 failed, must" in page
    assert "The plan was set or changed after results existed." in page
    row = page[page.index("Green comes.") :].partition("</tr>")[0]
    assert re.findall(r'title="([^"]+)"', row) == ["not held", "held", "cannot be told"]
    assert "The plan</h2>" not in run_report(_story(progress=no_chart))


def test_a_run_without_anything_tested_still_has_a_page() -> None:
    """A blocked run, or the first minute of one."""
    page = run_report(
        _story(positions=0, advice=None, advice_history=[], progress=no_chart, grid=[], parameters={})
    )  # fmt: skip
    assert "Nothing is tested yet." in page
    assert page.count("<h2>") == 0


def test_a_run_without_a_pick_shows_no_pick() -> None:
    """Too little is tested to choose."""
    page = run_report(
        _story(progress=no_chart, advice={"sentence": "Continue.", "reasons": [], "pick": None})
    )
    assert "<dt>pick</dt>" not in page
    assert "· pick" not in page


def test_a_background_that_is_no_color_stays_out_of_the_style() -> None:
    """The owner's table takes any text there."""
    page = run_report(
        _story(progress=no_chart, epochs=[_epoch(1, background_color="red;position:fixed")])
    )
    assert "style=" not in page[page.index("<body>") :]
    assert "red;position:fixed" in page
