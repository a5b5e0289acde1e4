"""Of several colors promised for one thing, each has to be there."""

import pytest

from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.evidence import evidence_of
from core.nouns import Expectation, Measurement
from pictures import Bytes, Portrait, portraits, rgb

PINK, BLUE = "#ff69b4", "#3c5adc"
TWO, ONE = Portrait(second_hair=BLUE).cells(), Portrait().cells()


@pytest.fixture(scope="module")
def known() -> TrainingProfile:
    """Give what 60 portraits teach."""
    drawn = portraits()
    return learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)


def hair(cells: Bytes, color: str, profile: TrainingProfile | None) -> Measurement:
    """Measure a picture against the promise of hair in a color."""
    return measure(cells, expect=Expectation(regions=(("hair", color),)), grid=24, profile=profile)


def score(measured: Measurement, name: str = "region_hair") -> float:
    """Return the value of a metric that is there."""
    value = measured.metrics[name].value
    assert value is not None
    return value


@pytest.mark.parametrize("images", ["known", "unknown"])
@pytest.mark.parametrize("promised", ["pink and blue", f"{PINK} and {BLUE}"])
def test_of_two_promised_colors_one_alone_keeps_half(
    promised: str, images: str, known: TrainingProfile
) -> None:
    """Pink and blue hair is no pink hair, with or without training images, and says what lacks."""
    profile = known if images == "known" else None
    both, one = hair(TWO, promised, profile), hair(ONE, promised, profile)

    assert score(both) == pytest.approx(100, abs=1)
    assert score(one) == pytest.approx(50, abs=1)
    second = promised.partition(" and ")[2]
    assert f"hardly any {second} is there" in one.metrics["region_hair"].explanation
    assert "hardly any" not in both.metrics["region_hair"].explanation


def test_either_of_two_colors_is_enough_where_either_is_promised(known: TrainingProfile) -> None:
    """Silver white is read as "silver or white": a shade that is one of them, or between."""
    assert score(hair(ONE, "pink or blue", known)) == score(hair(TWO, "pink or blue", known)) == 100


def test_shades_of_one_hue_need_not_all_be_there(known: TrainingProfile) -> None:
    """Captions name the shadow and the light of hair, too, of which a picture may have none."""
    assert score(hair(ONE, f"{PINK} and #d84c94", known)) == pytest.approx(100, abs=1)


def test_a_streak_is_enough(known: TrainingProfile) -> None:
    """Black hair with pink tips: a tenth of the hair in the second color is all of it."""
    cells = Portrait(hair="#1e1c22").cells()
    cells[4, 6:12] = rgb(PINK)

    assert score(hair(cells, f"#1e1c22 and {PINK}", known)) == pytest.approx(100, abs=1)


def test_a_background_of_two_colors_wants_both() -> None:
    """A plain green border is no checkered one."""
    expect = Expectation(background="green and white")
    plain = measure(ONE, expect=expect, grid=24)
    checkered = ONE.copy()
    checkered[0, ::2] = 240
    both = measure(checkered, expect=expect, grid=24)

    assert score(plain, "background_match") == pytest.approx(50)
    assert score(both, "background_match") == pytest.approx(100)
    assert "hardly any white is there" in plain.metrics["background_match"].explanation


def test_each_of_several_colors_is_drawn_beside_what_was_found(known: TrainingProfile) -> None:
    """A missing blue is not hidden by a pink that is right."""
    expect = Expectation(regions=(("hair", f"{PINK} and {BLUE}"),))
    for cells, blue in ((TWO, BLUE), (ONE, PINK)):
        _, evidence = evidence_of(cells, expect=expect, grid=24, profile=known)
        assert evidence is not None
        told = {each.promised: each.measured for each in evidence.comparisons}
        assert told == {PINK: PINK, BLUE: blue}


def test_one_color_or_the_other_is_drawn_as_one_promise(known: TrainingProfile) -> None:
    """Hair that is pink, as it may be, is not said to be another color than the blue it may be."""
    expect = Expectation(regions=(("hair", f"{PINK} or {BLUE}"),))
    _, evidence = evidence_of(ONE, expect=expect, grid=24, profile=known)
    assert evidence is not None
    (told,) = evidence.comparisons
    assert (told.promised, told.wanted, told.measured) == (f"{PINK} or {BLUE}", PINK, PINK)
