"""Everything foreign becomes text."""

from __future__ import annotations

import html.parser

import pytest

from dashboard.parts import safe

CORPUS = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    '"><iframe src="javascript:alert(1)">',
    "' onmouseover='alert(1)",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "<a href='data:text/html;base64,PHNjcmlwdD4='>x</a>",
    "{name} {0} {name.__class__}",
    "&lt;script&gt;",
    "a\x00b\u202ec\u2066d",
)


class _Tags(html.parser.HTMLParser):
    """Collects what a browser would take for markup."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(markup: str) -> _Tags:
    parser = _Tags()
    parser.feed(markup)
    parser.close()
    return parser


@pytest.mark.parametrize("words", CORPUS)
def test_foreign_text_adds_no_tag_and_no_attribute(words: str) -> None:
    """Inside an element and inside an attribute, only our own markup is markup."""
    made = safe.fill('<b title="{words}">{words}</b>', words=words)
    assert _parsed(made).tags == [("b", ["title"])]


@pytest.mark.parametrize("words", [each for each in CORPUS if each.isprintable()])
def test_a_reader_sees_the_very_characters(words: str) -> None:
    """Nothing is dropped or changed on the way."""
    assert _parsed(safe.fill("<p>{words}</p>", words=words)).text == words


def test_marks_that_reorder_or_hide_text_become_visible() -> None:
    """A name cannot pretend to be another one."""
    assert safe.text("a\x00b\u202ec") == "a\u00b7b\u00b7c"
    assert safe.plain("a\u202eb\nc") == "a\u00b7b c"


def test_our_own_markup_is_not_escaped_twice() -> None:
    """Pieces can be put together."""
    inner = safe.fill("<i>{x}</i>", x="<&>")
    assert safe.fill("<p>{inner}</p>", inner=inner) == "<p><i>&lt;&amp;&gt;</i></p>"
    assert safe.join([inner, "<b>"]) == "<i>&lt;&amp;&gt;</i>&lt;b&gt;"


def test_nothing_known_is_an_empty_text() -> None:
    """None is not the word None."""
    assert safe.text(None) == ""


def test_markdown_shows_links_as_they_are_written() -> None:
    """No character of Markdown keeps its meaning."""
    assert safe.markdown("[a](javascript:b) **c**") == r"\[a\]\(javascript\:b\) \*\*c\*\*"
