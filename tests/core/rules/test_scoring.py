"""Bands, verdicts and the summary of an epoch."""

from __future__ import annotations

from typing import Any

import pytest

from core.metrics.tables import ISSUES
from core.nouns import Measurement, MetricValue
from core.rules import scoring


def measured(
    visual: float | None = 8.0,
    style: float | None = 8.0,
    prompt: float | None = 8.0,
    **changes: Any,
) -> Measurement:
    """Build a measurement with the given scores."""
    body = {
        "visual_quality": visual,
        "style_match": style,
        "prompt_adherence": prompt,
        "reasons": {},
        "metrics": {},
        "issues": (),
        "strengths": (),
        "background_hex": None,
        "unique_colors": None,
    }
    return Measurement(**{**body, **changes})


def percentage(value: float | None) -> MetricValue:
    """Build a 0-100 metric."""
    return MetricValue(value=value, low=0, high=100, higher_is_better=True, explanation="x")


@pytest.mark.parametrize(
    ("percent", "shown", "whole", "word"),
    [
        (100.0, 10.0, 10, "best"),
        (90.0, 9.0, 9, "best"),
        (89.99, 8.9, 8, "good"),
        (0.7 * 100, 7.0, 7, "good"),
        (69.999, 6.9, 6, "acceptable"),
        (50.0, 5.0, 5, "acceptable"),
        (49.99, 4.9, 4, "skip"),
        (0.0, 0.0, 0, "skip"),
    ],
)
def test_bands_hold_at_their_edges(percent: float, shown: float, whole: int, word: str) -> None:
    """A percentage is floored, never rounded up, for display, band and verdict alike."""
    score = percent / 10
    assert scoring.floor_for_display(score) == shown
    assert scoring.band(score) == whole
    assert scoring.verdict(score) == word


def test_every_tenth_survives_binary_fractions() -> None:
    """No score with one decimal is shown as the tenth below it."""
    for tenths in range(101):
        assert scoring.floor_for_display(tenths / 10) == tenths / 10
        assert scoring.floor_for_display(tenths * 0.1) == tenths / 10


def test_only_a_photorealistic_collapse_is_a_failure() -> None:
    """A collapse is a failure whatever the score; an unmeasured epoch has no verdict."""
    assert scoring.verdict(9.5, photorealistic_collapse=True) == "failure"
    assert scoring.verdict(0.0) == "skip"
    assert scoring.verdict(None) is None


@pytest.mark.parametrize(
    ("score", "words"), [(9, "Deploy"), (7.3, "Consider"), (5, "Keep training"), (4.9, "Stop")]
)
def test_actions_follow_the_owners_thresholds(score: float, words: str) -> None:
    """9, 7 and 5 part deploying, considering, going on and stopping."""
    assert scoring.action(score).startswith(words)


def test_missing_scores_are_skipped_with_their_reason_never_counted_as_zero() -> None:
    """A score that no image gives is None with the most frequent reason."""
    images = [
        measured(visual=8.0, prompt=None, reasons={"prompt_adherence": "no expectation"}),
        measured(visual=6.0, style=None, prompt=None, reasons={"style_match": "x"}),
    ]
    summary = scoring.summarize_epoch(3, images)
    assert (summary.visual, summary.style, summary.prompt) == (7.0, 8.0, None)
    assert summary.reasons == {"prompt_adherence": "no expectation"}
    assert summary.average == 7.5
    assert summary.score.position == 3


def test_no_images_give_no_verdict() -> None:
    """An epoch without images knows nothing and says so."""
    summary = scoring.summarize_epoch(1, [])
    assert summary.average is None
    assert summary.verdict is None
    assert summary.action is None
    assert summary.reasons["visual_quality"] == "No image has been measured yet."


def test_an_issue_of_a_quarter_of_the_images_flags_the_epoch() -> None:
    """One of four flags it, one of five does not."""
    bad = measured(issues=("wrong_background",))
    assert scoring.summarize_epoch(1, [bad] + [measured()] * 3).issues == ("wrong_background",)
    assert scoring.summarize_epoch(1, [bad] + [measured()] * 4).issues == ()


def test_the_owners_columns_follow_the_issues() -> None:
    """Each column stands for an issue that the metrics know; without images all are unknown."""
    numbers = {name: percentage(80.0) for name in ("region_hair", "style_quality")}
    summary = scoring.summarize_epoch(1, [measured(issues=("wrong_background",), metrics=numbers)])
    assert summary.flags == {
        "has_wrong_backgrounds": True,
        "has_random_pixels": False,
        "has_wrong_colors": False,
        "is_photorealistic": False,
    }
    assert set(scoring.summarize_epoch(1, []).flags.values()) == {None}
    assert set(scoring.FLAGS.values()) <= set(ISSUES)


@pytest.mark.parametrize(
    ("metrics", "known"),
    [
        ({"background_match": percentage(100.0)}, {"has_wrong_backgrounds"}),
        ({"background_match": percentage(None)}, set()),
        ({"region_hair": percentage(None), "region_lips": percentage(90.0)}, {"has_wrong_colors"}),
        ({"style_quality": percentage(90.0)}, {"has_random_pixels", "is_photorealistic"}),
    ],
)
def test_a_column_is_false_only_where_an_image_could_tell(
    metrics: dict[str, MetricValue], known: set[str]
) -> None:
    """What nobody promised, or nothing measured, is None; one image that can tell is enough."""
    images = [measured(), measured(metrics=metrics)]
    flags = scoring.summarize_epoch(1, images).flags
    assert {column for column, flag in flags.items() if flag is not None} == known
    assert not any(flags.values())


def test_of_blank_images_and_of_photographs_the_rest_is_not_known() -> None:
    """A blank epoch has no flag at all, and one of photographs says nothing of its cells."""
    blank = measured(None, None, None, issues=("blank_image",))
    assert set(scoring.summarize_epoch(1, [blank]).flags.values()) == {None}
    photo = measured(issues=("photorealistic",), metrics={"style_quality": percentage(20.0)})
    flags = scoring.summarize_epoch(1, [photo]).flags
    assert (flags["is_photorealistic"], flags["has_random_pixels"]) == (True, None)


def test_a_flag_of_photorealism_makes_the_epoch_a_failure() -> None:
    """The verdict follows the flag of the epoch, not the score."""
    photo = measured(9, 9, 9, issues=("photorealistic",))
    assert scoring.summarize_epoch(1, [photo, measured(9, 9, 9)]).verdict == "failure"


def test_backgrounds_colors_and_percentages_are_folded() -> None:
    """The commonest background, the median of colors and the mean of percentages are reported."""
    images = [
        measured(
            background_hex="#00ff00", unique_colors=9, metrics={"color_accuracy": percentage(80.0)}
        ),
        measured(
            background_hex="#00ff00", unique_colors=30, metrics={"color_accuracy": percentage(None)}
        ),
        measured(
            background_hex="#0000ff", unique_colors=12, metrics={"color_accuracy": percentage(60.0)}
        ),
    ]
    summary = scoring.summarize_epoch(1, images)
    assert summary.background_hex == "#00ff00"
    assert summary.unique_colors == 12
    assert summary.color_accuracy_score == 70.0
    assert summary.style_quality_score is None


def test_weak_spots_name_what_fails_while_the_rest_works() -> None:
    """Blue hair fails while pink works: the sentence says so."""
    images = [measured(9, 9, 9), measured(9, 9, 9), measured(3, 3, 3.6)]
    summary = scoring.summarize_epoch(1, images, prompts=["pink_hair", "crown", "blue_hair"])
    assert [spot.text for spot in summary.weak_spots] == ["fails on blue hair (3.2)"]
    assert scoring.summarize_epoch(1, images).weak_spots == ()


def test_prompt_names_must_match_the_images() -> None:
    """A list of names of another length is a mistake of the caller."""
    with pytest.raises(ValueError, match="argument"):
        scoring.summarize_epoch(1, [measured(), measured()], prompts=["one"])
