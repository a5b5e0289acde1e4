"""Prompts taken apart: weights, breaks, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Fixable
from core.formats.prompt_weights import Break, Span, escape, parse_prompt, prompt_chunks


def spans(text: str) -> list[tuple[str, float]]:
    """Return text and weight of each span; a break is ("BREAK", -1)."""
    return [
        (piece.text, round(piece.weight, 6)) if isinstance(piece, Span) else ("BREAK", -1)
        for piece in parse_prompt(text)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        (r"\(literal\]", [("(literal]", 1)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).)",
            [
                ("a ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1), ("hill", 0.55),
                (", sun, ", 1.1), ("sky", 1.4641), (".", 1.1),
            ],
        ),
        ("((word))", [("word", 1.21)]),
        ("[[word]]", [("word", 0.826446)]),
        ("(word: 1.3 )", [("word", 1.3)]),
        ("(word:.5) (word:-1)", [("word", 0.5), (" ", 1), ("word", -1)]),
        ("(a, (b:2):0.5)", [("a, ", 0.5), ("b", 1)]),
        ("(re:zero)", [("re:zero", 1.1)]),
        ("(a BREAK b:1.2)", [("a ", 1.2), ("BREAK", -1), (" b", 1.2)]),
        ("aBREAK, break, BREAKS, AND_, land", [("aBREAK, break, BREAKS, AND_, land", 1)]),
        (r"\o/ \\ \BREAK \AND", [(r"o/ \ BREAK AND", 1)]),
    ],
)  # fmt: skip
def test_attention_is_read_as_its_authors_document(
    text: str, expected: list[tuple[str, float]]
) -> None:
    """The examples of A1111's own parser, and the corners around them."""
    assert spans(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pink hair #ff69b4, green background #50be50, a girl's crown",
        "it's 50% off: 3 > 2 < 4, <3, a|b, 1:2, \"quoted\" & 'so' / on + 😀 ☆ ñ_ü 0__0",
    ],
)
def test_plain_prompts_stay_as_they_are(text: str) -> None:
    """Commas, hex codes, apostrophes, colons and emoji mean nothing special."""
    assert parse_prompt(text) == (Span(text=text),)
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a (b", "'(' at character 3 is never closed"),
        ("a b)", "')' at character 4 closes nothing"),
        ("smile :)", r"\) for the character itself"),
        ("[a", "'[' at character 1 is never closed"),
        ("a]", "']' at character 2 closes nothing"),
        ("(a]", "']' at character 3 closes nothing"),
        ("[a:1.2)", "')' at character 3 closes nothing"),
        ("{a|b}", "{a|b} is a choice"),
        ("[cat:dog:0.5]", "prompt editing"),
        ("[cat:0.5]", "prompt editing"),
        ("[a|b]", "alternation"),
        ("a cat AND a dog", "composition"),
        ("<lora:punk:0.8> a cat", "<lora:punk:0.8>' names a network"),
        ("<hypernet:x:1>", "names a network"),
        ("a photo of <my-cat>", "'<my-cat>' looks like a textual-inversion embedding"),
        ("a __color__ cat", "'__color__' was not expanded"),
        ("(word:1,3)", "'1,3' is no weight"),
        ("(word:1.2.3)", "'1.2.3' is no weight"),
        ("(time, 12:30)", "weight 30 of"),
        ("(" * 30 + "a" + ")" * 30, "beyond 10"),
        ("a\\", "lone backslash"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_to_write(text: str, told: str) -> None:
    """Nothing that asks for more reaches the text encoder as words."""
    with pytest.raises(Fixable) as refused:
        parse_prompt(text)
    assert told in str(refused.value)


def test_breaks_divide_a_prompt_into_stretches() -> None:
    """As many as A1111 makes chunks of: none after a last BREAK, an empty one between two."""
    assert [len(prompt_chunks(text)) for text in ("", "a", "a BREAK b", "a BREAK ")] == [1, 1, 2, 1]
    assert prompt_chunks("BREAK a BREAK BREAK b")[2] == (Span(text=" "),)
    assert parse_prompt("BREAK") == (Break(),)


@given(st.text(max_size=60) | st.text(alphabet="()[]{}<>\\:|_ AaNDBREK1.\n", max_size=30))
def test_any_text_can_be_escaped(text: str) -> None:
    """What a trainer read literally is drawn literally."""
    assert parse_prompt(escape(text)) == ((Span(text=text),) if text else ())


@given(st.text(alphabet="()[]{}<>\\:|_ AaNDBREK1.,-\n", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other error, and every weight is one that can be drawn."""
    try:
        pieces = parse_prompt(text)
    except Fixable:
        return
    assert all(abs(piece.weight) <= 10 for piece in pieces if isinstance(piece, Span))


WORDS = st.sampled_from(("pink hair", "#ff69b4", "a crown, ", "😀"))
Weighted = tuple[str, list[tuple[str, float]]]


def _wrapped(inner: Weighted, kind: str) -> Weighted:
    """Return a prompt in one more pair of brackets, and what its words weigh then."""
    before, after, factor = {
        "(": ("(", ")", 1.1), "[": ("[", "]", 1 / 1.1), ":": ("(", ":1.25)", 1.25),
    }[kind]  # fmt: skip
    return before + inner[0] + after, [(word, weight * factor) for word, weight in inner[1]]


PROMPTS = st.recursive(
    WORDS.map(lambda word: (word, [(word, 1.0)])),
    lambda inner: (
        st.builds(_wrapped, inner, st.sampled_from("([:"))
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: ("".join(text for text, _ in parts), [w for _, ws in parts for w in ws])
        )
    ),
    max_leaves=6,
)


@given(PROMPTS)
def test_nested_weights_multiply(prompt: Weighted) -> None:
    """Every character weighs the product of all brackets around it."""
    text, expected = prompt
    characters = [(char, weight) for word, weight in expected for char in word]
    found = [(c, p.weight) for p in parse_prompt(text) if isinstance(p, Span) for c in p.text]

    assert "".join(char for char, _ in found) == "".join(char for char, _ in characters)
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in characters])
