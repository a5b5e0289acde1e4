"""Seeds as a person types them."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.formats.seed_text import MOST_SEEDS, read_seeds


def test_each_seed_is_taken_once_in_the_order_typed() -> None:
    """Commas or spaces, and nothing is the suite's own."""
    assert read_seeds("3, 1,3 2;") == (3, 1, 2)
    assert read_seeds("  ") == ()


@pytest.mark.parametrize("text", ["one", "1.5", "-1", "4294967296", "1_0", "\u0663"])
def test_what_is_no_seed_is_named(text: str) -> None:
    """The words that were typed stand in the answer, with what would be right."""
    with pytest.raises(Fixable, match="is no seed; write whole numbers"):
        read_seeds(f"1, {text}")


def test_too_many_are_refused() -> None:
    """A thousand seeds are a slip."""
    with pytest.raises(Fixable, match="At most 64"):
        read_seeds(",".join(map(str, range(MOST_SEEDS + 1))))
