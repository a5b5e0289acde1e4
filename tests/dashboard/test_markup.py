"""No page lets foreign text become markup, whatever table or picture it comes in."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from core.rules.poll import read_poll
from core.rules.votes import Vote
from core.store.gallery import (
    Alert,
    CheckpointLine,
    EpochResult,
    PersonScore,
    Picture,
    PictureDetail,
    RefusedFile,
    TrainerSample,
)
from dashboard import access
from dashboard.parts import badge, closeup, poll, safe, tables, wall

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BAD = "\"'><script>x</script><img src=x onerror=y>{0}"
ALLOWED = {
    *(
        "a",
        "b",
        "br",
        "button",
        "details",
        "div",
        "figcaption",
        "figure",
        "h3",
        "i",
        "img",
        "li",
        "p",
        "small",
    ),
    *("span", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign addresses without a home."""
    access.shared_key.cache_clear()
    monkeypatch.setattr(access, "read_key", lambda _: b"k" * 32)


class _Seen(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        assert all(not (value or "").startswith("javascript:") for _, value in attrs)


def _made(kind: type[Any], **known: Any) -> Any:
    """Return a row whose every text is hostile."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        words = str(each.type)
        values[each.name] = (
            NOW if "datetime" in words
            else [BAD] if "list" in words
            else {"title": BAD, "body": BAD, "sampler": BAD} if "Mapping" in words
            else BAD if "str" in words
            else False if words == "bool"
            else 3
        )  # fmt: skip
    return kind(**{**values, **known})


def _markups() -> list[safe.Html]:
    sha = "a" * 64
    body = {
        "reasons": {"visual_quality": BAD},
        "issues": [BAD],
        "strengths": [BAD],
        "metrics": {BAD: {"value": None, "explanation": BAD, "range": [0, 1]}},
        "background_hex": BAD,
        "unique_colors": BAD,
    }
    picture = _made(Picture, image_sha256=sha)
    result = _made(EpochResult, position=3, verdict=BAD)
    return [
        closeup.page(_made(PictureDetail, image_sha256=sha, body=body, visual=None)),
        closeup.page(_made(PictureDetail, image_sha256=None, body=None)),
        wall.newest(1, [picture, _made(Picture, image_sha256=None)], BAD),
        wall.grid(1, [picture, _made(Picture, image_sha256=None, defect=None, position=None)],
                  {3: result}, unit=BAD, pick=3),
        wall.trainer_samples([_made(TrainerSample, image_sha256=sha)]),
        tables.scores([result], [_made(PersonScore, position=3)], unit=BAD, pick=3),
        tables.metrics([result], unit=BAD),
        tables.weak_spots([picture], 3, BAD),
        tables.parameters({BAD: BAD, "notes": BAD, "issues_found": [BAD]}),
        tables.checkpoints([_made(CheckpointLine, parked_reason=None)], NOW),
        tables.refused([_made(RefusedFile)], NOW),
        tables.alerts([_made(Alert, state="failed"), _made(Alert, state="pending")], NOW),
        badge.status(BAD),
        badge.verdict(BAD),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(14))
def test_hostile_rows_make_only_our_own_tags(number: int) -> None:
    """No script, no handler, no tag that we did not write."""
    seen = _Seen()
    seen.feed(_markups()[number])
    assert seen.tags <= ALLOWED
    assert not [name for name in seen.attributes if name.startswith("on")]


@pytest.mark.parametrize("word", ["best", "good", "acceptable", "skip", "failure"])
def test_every_verdict_has_a_shape_of_its_own_and_its_word(word: str) -> None:
    """Color is never the only sign."""
    shapes = {badge.verdict(each).split("ew-shape ")[1].split('"')[0] for each in badge.VERDICTS}
    assert len(shapes) == 5
    assert badge.verdict(word).endswith(f"{word}</span>")


def test_no_clear_vote_is_no_rate_of_zero() -> None:
    """Three ties say nothing of who wins: the bar has an interval and no mark."""
    ties = [
        Vote(left="a", right="b", choice="tie", judge="Ann", unit=f"u{n}", number=n)
        for n in range(3)
    ]
    shown = poll.headline(read_poll(ties, ["a", "b"]))
    assert "ew-at" not in shown
    assert "b has \u2013 of the clear votes" in shown
    told = poll.headline(read_poll([replace(ties[0], choice="right")], ["a", "b"]))
    assert 'class="ew-at" style="left:100.0%"' in told
