"""Ready for production or not: the owner's checklist, criterion by criterion."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from core.errors import Fixable
from core.metrics import measure
from core.metrics.profile import without_images
from core.nouns import Expectation, Measurement, MetricValue
from core.rules.criteria import TRAIT_ISSUES, Candidate, Criterion
from core.rules.promotion import Checklist, candidate_of, checklist, set_aside
from core.rules.telling import Told
from core.rules.vote_criteria import Ballot
from core.rules.votes import Choice, Vote
from pictures import Portrait

GOOD = Candidate(
    average=8.6,
    images=12,
    defects=0,
    issues={},
    told=dict.fromkeys(TRAIT_ISSUES, Told(images=12, reason=None)),
    prompts=12,
    weak_spots=(),
    accessories=("crown",),
    accessories_seen=(),
    seconds=2.0,
    people=(8.0, 9.0),
    is_pixel_art=True,
    has_production=True,
)


def _mixed(answers: list[Choice]) -> list[Choice]:
    random.Random(1).shuffle(answers)
    return answers


def _votes(
    wins: int, losses: int, ties: int = 0, *, against: str = "old", **more: Any
) -> list[Vote]:
    """Return answers on as many prompts, interleaved."""
    answers: list[Choice] = ["left"] * wins + ["right"] * losses + ["tie"] * ties
    return [
        Vote(
            left="new",
            right=against,
            choice=choice,
            judge="n",
            unit=f"{against}{i}",
            number=i,
            **more,
        )
        for i, choice in enumerate(_mixed(answers))
    ]


def _ballot(*votes: Vote) -> Ballot:
    return Ballot(candidate="new", production="old", base="base", votes=votes)


def _one(checked: Checklist, key: str) -> Criterion:
    return next(each for each in checked.criteria if each.key == key)


def test_without_votes_a_good_epoch_is_ready_and_says_that_nobody_voted() -> None:
    """Unknown is told, and blocks only where everything was asked to be proven."""
    checked = checklist(GOOD)
    assert checked.is_ready
    assert checked.sentence.startswith("Ready, unchecked by votes. Not known: accessories.")
    assert "crown" in _one(checked, "accessories").found
    assert not checklist(GOOD, strict=True).is_ready


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "state"),
    [
        (31, 9, 0, "met"),
        (6, 1, 0, "not met"),  # 86 %, and not proven
        (30, 10, 12, "not met"),  # proven, and ties leave 57.7 %
        (9, 31, 0, "not met"),
        (0, 0, 0, "not known"),
    ],
)
def test_production_is_beaten_by_more_than_60_percent_and_a_proof(
    wins: int, losses: int, ties: int, state: str
) -> None:
    """Both the observed rate, ties in the total, and an e-value of 20."""
    found = _one(checklist(GOOD, _ballot(*_votes(wins, losses, ties))), "production")
    assert found.state == state
    assert (state == "not known") == ("No blind votes yet" in found.found)


def test_strict_asks_for_proof_that_more_than_60_percent_prefer_it() -> None:
    """31 of 40 prove "better", and not yet "better in more than 60 %"."""
    some = _ballot(*_votes(31, 9))
    assert _one(checklist(GOOD, some), "production").state == "met"
    assert _one(checklist(GOOD, some, strict=True), "production").state == "not met"
    many = _ballot(*_votes(90, 15))
    assert _one(checklist(GOOD, many, strict=True), "production").state == "met"
    repeated = [
        replace(vote, unit=f"{n % 60}", judge=f"j{n // 60}", number=n)
        for n, vote in enumerate(_votes(105, 15))
    ]
    assert _one(checklist(GOOD, _ballot(*repeated), strict=True), "production").state == "met"


def test_nothing_in_production_is_nothing_to_beat() -> None:
    """The first promotion needs no votes."""
    assert checklist(replace(GOOD, has_production=False)).sentence.startswith("Ready.")


def test_categories_pass_one_by_one_and_never_on_few_votes() -> None:
    """Above 70 % with ten clear votes; below them not known; one that fails fails all."""
    strong = _votes(14, 2, against="base", category="characters")
    few = [replace(v, unit=f"t{v.unit}") for v in _votes(6, 0, against="base", category="tiles")]
    found = _one(checklist(GOOD, _ballot(*strong)), "categories")
    assert (found.state, found.must) == ("met", False)
    assert "characters: 87.5 % (" in found.found
    found = _one(checklist(GOOD, _ballot(*strong, *few)), "categories")
    assert found.state == "not known"
    assert "tiles: 100.0 %" in found.found
    assert "only 6 clear votes of 10" in found.found
    weak = [replace(v, unit=f"i{v.unit}") for v in _votes(6, 6, against="base", category="icons")]
    assert _one(checklist(GOOD, _ballot(*strong, *few, *weak)), "categories").state == "not met"
    assert _one(checklist(GOOD, _ballot(*strong)), "overall").state == "met"


@pytest.mark.parametrize(
    ("wins", "losses", "state", "strict"),
    [
        (1, 0, "not known", "not known"),  # 100 % of one vote
        (9, 0, "not known", "not known"),
        (12, 1, "met", "not known"),  # above 80 %, and not proven
        (60, 2, "met", "met"),
        (12, 8, "not met", "not met"),
    ],
)
def test_the_base_model_is_beaten_by_votes_enough_and_strictly_by_proof(
    wins: int, losses: int, state: str, strict: str
) -> None:
    """Fewer than ten clear votes prove nothing; strict asks for an e-value of 20 as well."""
    ballot = _ballot(*_votes(wins, losses, against="base"))
    found = _one(checklist(GOOD, ballot), "overall")
    assert found.state == state
    assert ("clear votes of 10" in found.found) == (wins + losses < 10)
    found = _one(checklist(GOOD, ballot, strict=True), "overall")
    assert found.state == strict
    assert ("and 20 is needed" in found.found) == (state != strict)


def test_votes_with_names_shown_are_told_and_not_counted() -> None:
    """They decide nothing, neither where they stand alone nor beside blind ones."""
    named = [*_votes(40, 0), *_votes(12, 0, against="base", category="tiles")]
    alone = checklist(GOOD, replace(_ballot(), named=named))
    for key, count in (("production", 40), ("overall", 12), ("categories", 12)):
        assert _one(alone, key).state == "not known"
        assert f"{count} votes were given with names shown: not counted." in _one(alone, key).found
    beside = _one(checklist(GOOD, replace(_ballot(*_votes(9, 31)), named=named[:1])), "production")
    assert beside.state == "not met"
    assert beside.found.endswith("1 vote was given with names shown: not counted.")


def test_votes_without_a_category_are_told_with_the_overall_rate_only() -> None:
    """What stands without a doubted judge says nothing of categories that nobody voted on."""
    asked = checklist(GOOD, replace(_ballot(*_votes(8, 2, against="base")), flagged=["n"]))
    assert "All votes are of n" in _one(asked, "overall").found
    assert _one(asked, "categories").found == "No blind votes yet on prompts of a category."


def test_what_stands_without_judges_that_the_checks_doubt_is_told() -> None:
    """Their votes count, and the words say what the others found; or that there are no others."""
    clicked = [replace(v, judge="bo", unit=f"b{v.unit}") for v in _votes(30, 0)]
    ballot = replace(_ballot(*clicked, *_votes(4, 6)), flagged=["bo", "somebody else"])
    found = _one(checklist(GOOD, ballot), "production")
    assert found.state == "met"
    assert "Without bo, whose answers the checks doubt: 40.0 % of 10 comparisons" in found.found
    only = replace(ballot, votes=clicked)
    assert "All votes are of bo" in _one(checklist(GOOD, only), "production").found
    assert (
        "checks doubt"
        not in _one(checklist(GOOD, replace(ballot, flagged=["x"])), "production").found
    )


def test_strict_asks_for_proof_in_every_category() -> None:
    """14 of 16 are above 70 %, and may be chance; the units of one category count by themselves."""
    some = _votes(14, 2, against="base", category="tiles")
    ballot = _ballot(*some, *_votes(60, 1, against="base", category="icons"))
    assert _one(checklist(GOOD, ballot), "categories").state == "met"
    found = _one(checklist(GOOD, ballot, strict=True), "categories")
    assert found.state == "not known"
    assert found.found.count("and 20 is needed") == 1
    twice = [replace(v, judge=j, number=2 * v.number + (j == "m")) for v in some for j in "nm"]
    few = _one(checklist(GOOD, _ballot(*twice), strict=True), "categories")
    assert few.state == "not known"


@pytest.mark.parametrize(
    ("issues", "key", "sentence"),
    [
        ({"noisy_background": 3}, "backgrounds", "Ready, backgrounds excluded."),
        (
            {"wrong_colors": 6, "wrong_background": 4},
            "colors",
            "Ready, colors and backgrounds excluded.",
        ),
        ({"photorealistic": 3}, "style", "Not ready: pixel-art style."),
    ],
)
def test_a_trait_that_fails_is_named_and_may_be_all_that_is_excluded(
    issues: dict[str, int], key: str, sentence: str
) -> None:
    """A quarter of the images makes an issue of the epoch; photographs exclude nothing less."""
    checked = checklist(replace(GOOD, issues=issues))
    assert _one(checked, key).state == "not met"
    assert checked.sentence.startswith(sentence)
    assert not checked.is_ready
    assert checklist(replace(GOOD, issues={"noisy_background": 2})).is_ready


def _told_by(images: list[dict[str, Any]], score: float = 8.5) -> Checklist:
    """Return the checklist of images with a person's score."""
    person = {"visual": score, "style": score, "prompt": score}
    return checklist(candidate_of(images=images, people=[person], epoch=None, has_production=False))


def _drawn(**asked: Any) -> dict[str, Any]:
    """Return the row of a good portrait, really measured."""
    one = Portrait()
    body = measure(one.drawn(96), grid=24, **{"expect": one.expect, **asked}).as_json()
    return _row(body=body, expect={})


def test_with_votes_only_no_trait_is_met() -> None:
    """A person's 8.5 makes it ready, and what no machine has looked at is named as not known."""
    found = _told_by([_drawn(profile=without_images("votes", 24)) for _ in range(3)])
    for key in TRAIT_ISSUES:
        assert _one(found, key).state == "not known"
        assert "None of 3 images can tell: not applicable" in _one(found, key).found
    assert found.sentence == (
        "Ready. Not known: pixel-art style, colors, backgrounds, accessories."
    )


def test_what_no_prompt_promises_is_not_met() -> None:
    """Without a promised color or background neither is known; one promise of three is enough."""
    bare = _drawn(expect=Expectation())
    found = _told_by([bare] * 3)
    assert [_one(found, key).state for key in ("colors", "backgrounds")] == ["not known"] * 2
    assert "the prompt promises no background" in _one(found, "backgrounds").found
    assert [_one(found, key).state for key in ("style", "artifacts")] == ["met"] * 2
    found = _told_by([bare, bare, _drawn()])
    assert _one(found, "backgrounds").state == "met"
    assert _one(found, "backgrounds").found == "No fault on the 1 of 3 images that can tell."


@pytest.mark.parametrize(
    ("score", "state", "action"),
    [
        (7.9999, "not met", "Consider for production."),
        (8.0, "met", "Consider for production."),
        (9.0, "met", "Deploy to production."),
        (5.5, "not met", "Keep training or adjust."),
        (4.99, "not met", "Stop and analyze the failure."),
    ],
)
def test_the_score_is_held_against_eight_and_says_what_to_do(
    score: float, state: str, action: str
) -> None:
    """The owner's thresholds with their actions; 7.9999 is shown as 7.9."""
    found = _one(checklist(replace(GOOD, average=score)), "score")
    assert found.state == state
    assert found.found.endswith(action)
    assert "8.0 of 10" not in found.found or score == 8.0


def test_an_untested_epoch_is_never_ready() -> None:
    """No score is no pass, even where unknown is taken on trust."""
    nothing = replace(GOOD, average=None, images=0, prompts=0, people=(), seconds=None)
    checked = checklist(nothing)
    assert not checked.is_ready
    assert checked.sentence.startswith("Not ready: a score of 8.")
    assert checked.excluded == ()


def test_wishes_are_shown_and_block_only_strictly() -> None:
    """A slow model with weak prompts, stray pixels and cool judges is still ready by default."""
    cool = replace(
        GOOD,
        seconds=6.0,
        people=(5.0,),
        issues={"random_pixels": 4},
        weak_spots=("fails on blue (3.2)",),
    )
    checked = checklist(cool)
    assert checked.is_ready
    failing = {each.key for each in checked.criteria if each.state == "not met"}
    assert failing == {"consistent", "artifacts", "speed", "feedback"}
    assert "It fails on blue (3.2)." in _one(checked, "consistent").found
    assert failing <= {each.key for each in checklist(cool, strict=True).blocking}


def test_overriding_needs_a_reason_and_names_what_is_set_aside() -> None:
    """Without one nothing happens, and the person reads what was found."""
    checked = checklist(replace(GOOD, average=7.0))
    with pytest.raises(Fixable, match=r"Score of at least 8: 7.0 of 10"):
        set_aside(checked, "  ")
    assert set_aside(checked, "deadline") == ("score",)
    assert set_aside(checklist(GOOD), "") == ()


def _row(**cells: Any) -> dict[str, Any]:
    measurement = Measurement(
        visual_quality=9.0, style_match=8.0, prompt_adherence=None, reasons={}, issues=(),
        strengths=(), background_hex=None, unique_colors=None,
        metrics={"accessory_crown": MetricValue(
            value=None, low=0, high=100, higher_is_better=True, explanation="no eyes")},
    )  # fmt: skip
    return {
        "body": measurement.as_json(), "defect": None, "seconds": 2.0, "prompt_name": "a",
        "expect": {"accessories": ["crown"]}, "recipe": {"grid": 24}, **cells,
    }  # fmt: skip


def test_people_come_before_machines_and_history_speaks_last() -> None:
    """A person's score is the score; the owner's old row counts only where nothing is measured."""
    images = [_row(), _row(prompt_name="b"), _row(body=None, defect="black", seconds=None)]
    found = candidate_of(images=images, people=[], epoch={"average": 3.0}, has_production=False)
    assert (found.average, found.images, found.defects, found.prompts) == (8.5, 2, 1, 2)
    assert (found.accessories, found.accessories_seen) == (("crown",), ())
    person = {"visual": 7, "style": 7, "prompt": 10}
    told = candidate_of(images=images, people=[person], epoch=None, has_production=False)
    assert told.average == 8.0
    old = candidate_of(images=[], people=[], epoch={"average": 8.7}, has_production=False)
    assert old.average == 8.7
    assert _one(checklist(replace(old, images=3)), "style").state == "not known"  # no pixel grid
