"""A metric that stands still tells nothing, and is said to."""

from core.metrics.tables import metric_value
from core.nouns import Measurement
from core.rules.saturation import saturated


def image(**values: float | None) -> Measurement:
    """Return a measurement with these metrics and nothing else."""
    return Measurement(
        visual_quality=None,
        style_match=None,
        prompt_adherence=None,
        reasons={},
        metrics={
            name: metric_value(name.replace("region_hair", "region"), value, "measured")
            for name, value in values.items()
        },
        issues=(),
        strengths=(),
        background_hex=None,
        unique_colors=None,
    )


def epochs(count: int, **values: list[float]) -> dict[int, list[Measurement]]:
    """Return two images an epoch: metrics by name, one mean an epoch."""
    return {
        at + 1: [image(**{name: each[at] for name, each in values.items()})] * 2
        for at in range(count)
    }


def test_a_metric_that_is_the_same_at_five_positions_is_named_with_its_value_and_them() -> None:
    """The background has matched since epoch 3; the hair still moves."""
    told = epochs(7, background_match=[20, 60] + [100] * 5, region_hair=[5, 9, 20, 40, 60, 80, 90])

    assert saturated(told, "epoch") == (
        "background_match is 100 at epochs 3-7: it no longer tells epochs apart."
    )


def test_always_eighteen_tells_as_little_as_always_a_hundred() -> None:
    """Stuck is stuck, at any height, and in steps as in epochs."""
    told = {at * 500: [image(region_hair=18.2)] for at in range(1, 6)}

    assert saturated(told, "step") == (
        "region_hair is 18.2 at steps 500-2500: it no longer tells steps apart."
    )


def test_four_positions_are_too_few_to_say() -> None:
    """Nothing is said before the fifth tested position."""
    assert saturated(epochs(4, background_match=[100] * 4), "epoch") is None


def test_what_moves_by_more_than_a_point_is_left_alone() -> None:
    """Two points of a hundred, or two hundredths of a share, are a difference."""
    moving = epochs(5, background_match=[98, 99, 100, 98, 99], cell_flatness=[0.9] * 4 + [0.92])

    assert saturated(moving, "epoch") is None


def test_metrics_that_enter_no_score_are_not_looked_at() -> None:
    """Tones and banding may stand still as they like."""
    assert saturated(epochs(5, tones=[40.0] * 5, banding=[0.1] * 5), "epoch") is None


def test_many_metrics_make_one_sentence_that_names_three() -> None:
    """It never grows into a list."""
    same = [100.0] * 5
    told = epochs(
        5, background_match=same, background_solid=same, region_hair=same, purity=same,
        grid_alignment=[1.0] * 5,
    )  # fmt: skip

    assert saturated(told, "epoch") == (
        "background_match (100), background_solid (100), region_hair (100) and 2 more stand still "
        "at epochs 1-5: they no longer tell epochs apart."
    )


def test_what_could_not_be_measured_somewhere_is_not_said_to_stand_still() -> None:
    """An epoch without the number breaks the series; an image without it does not."""
    told = epochs(5, background_match=[100] * 5)
    told[2] = [image(background_match=None), image(background_match=100)]
    assert saturated(told, "epoch") is not None

    told[2] = [image(background_match=None)]
    assert saturated(told, "epoch") is None
