"""The result of a vote as it is shown: pictures beside the counts they belong to."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.nouns import Slot, Stack
from core.rules.ballots import unique_labels
from core.rules.poll import read_poll
from core.rules.votes import Choice, Vote
from core.store.comparisons import Comparison, SlotPicture, Unit
from dashboard import access
from dashboard.parts import poll, poll_pictures

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign addresses without a home."""
    access.shared_key.cache_clear()
    monkeypatch.setattr(access, "read_key", lambda _: b"k" * 32)


def comparison(*labels: str) -> Comparison:
    """Return a comparison of one prompt; the picture of slot n is called 64 times n."""
    slots = tuple(
        Slot(label=label, stack=Stack(base_sha256="b" * 64, loras=((f"{n}" * 64, "1.00"),)))
        for n, label in enumerate(labels)
    )
    pictures = {
        slot.key: SlotPicture(
            sample_id=f"s{n}", image_sha256=f"{n}" * 64, defect=None, parked_reason=None,
            seconds=None, visual=None, style=None, prompt=None,
        )
        for n, slot in enumerate(slots)
    }  # fmt: skip
    unit = Unit(
        key="u0", prompt_name="portrait", prompt_text="", seed=1, category="", grid=None,
        pictures=pictures,
    )  # fmt: skip
    return Comparison(
        id=1, purpose="compare", title="", run_id=None, run_name=None, by_whom="ann",
        created_at=NOW, planned=True, slots=slots, units=(unit,),
    )  # fmt: skip


def split(left: str, right: str) -> list[Vote]:
    """Return three judges on one pair of images: two for the left one, one for the right one."""
    said: tuple[tuple[str, Choice], ...] = (("ann", "left"), ("ben", "left"), ("cleo", "right"))
    return [
        Vote(left=left, right=right, choice=choice, judge=judge, unit="u0", number=number)
        for number, (judge, choice) in enumerate(said)
    ]


def shown(markup: str) -> list[tuple[str, str, str]]:
    """Return number of the picture, its alt and its caption, as they stand."""
    return re.findall(
        r'alt="([^"]*)" src="/thumb/(.).{63}\.webp[^>]*></a> <figcaption>([^<]*)</figcaption>',
        markup,
    )


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (("production", "pick"), (1, 0)),  # in the slots' order the counts would be turned round
        (("base", "epoch 7"), (0, 1)),
        (("epoch 7", "epoch 7"), (0, 1)),  # the second is called "epoch 7 (2)"
    ],
)
def test_each_divided_picture_stands_beside_its_own_count(
    labels: tuple[str, str], order: tuple[int, int]
) -> None:
    """In the order of the words, each under its label."""
    made = comparison(*labels)
    names = list(unique_labels((slot.key, slot.label) for slot in made.slots).values())
    read = read_poll(split(names[0], names[1]), names)
    markup = poll_pictures.controversial(read, made)
    first, second = (names[n] for n in order)
    votes = {names[0]: 2, names[1]: 1}
    assert f"{first} {votes[first]}, {second} {votes[second]}, even 0" in markup
    assert shown(markup) == [(first, str(order[0]), first), (second, str(order[1]), second)]


def test_a_picture_that_is_gone_is_said_to_be() -> None:
    """The other keeps its name."""
    made = comparison("base", "pick")
    unit = made.units[0]
    left = {made.slots[0].key: unit.pictures[made.slots[0].key]}
    some = replace(made, units=(replace(unit, pictures=left),))
    markup = poll_pictures.controversial(read_poll(split("base", "pick"), ["base", "pick"]), some)
    assert shown(markup) == [("base", "0", "base")]
    assert "not there any more<figcaption>pick</figcaption>" in markup


def test_a_category_is_weak_with_its_interval_or_has_too_few_votes() -> None:
    """One lost vote says nothing yet."""
    lost = [
        Vote(
            left="base", right="pick", choice="left", judge="ann", unit=f"u{n}", number=n,
            category="tile" if n else "item",
        )
        for n in range(13)
    ]  # fmt: skip
    markup = poll.categories(read_poll(lost, ["base", "pick"]))
    assert "Weak: tile (0.0 % of the clear votes, 0.0 to 37.1 %)." in markup
    assert "Too few clear votes to call weak or not: item. 10 are needed." in markup


def test_a_slot_nobody_compared_has_no_strength_and_no_place() -> None:
    """Neither in the table nor in the chart."""
    given = [*split("base", "five"), *split("five", "base")]
    read = read_poll(given, ("base", "five", "nine"))
    assert [each.slot for each in poll.strengths(read)] == [
        slot for slot in read.ranking.slots if slot != "nine"
    ]
    told = str(poll.ranking(read))
    assert told.count("over 99") == 0
    assert told.count("not voted on against another") == 1
    assert "group" not in told


def test_the_best_of_many_is_shown_with_its_higher_bar() -> None:
    """Below the sentence; of two slots nothing is said."""
    given = split("base", "pick")
    assert "higher bar" not in poll.headline(read_poll(given, ["base", "pick"]))
    assert "higher bar" not in poll.pairs(read_poll(given, ["base", "pick"]))
    many = read_poll(given, ["base", "pick", "e1", "e2"])
    assert "The best of 3 is held to a higher bar" in poll.headline(many)
    assert "Of 6 pairs" in poll.pairs(many)
