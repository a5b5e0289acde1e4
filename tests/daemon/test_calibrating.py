"""From votes on drawn pictures to the sentence beside the advice, adopted weights and a fall back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from house import House, open_house

from core import learning
from core.errors import Fixable
from core.rules.calibration import Calibration, calibrate
from core.store import objections, voting, weightings
from core.store.comparisons import comparison
from core.store.database import Connection
from core.wishes import ask_comparison
from daemon import calibrating


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database, with two epochs and a comparison of them drawn."""
    with open_house(migrated_dsn, tmp_path) as parts:
        quality: dict[int | None, float] = {None: 0.2, 1: 0.4, 2: 1.0}
        for epoch in (1, 2):
            run_id = parts.arrive(epoch)
            parts.draw(quality)
        with parts.database.transaction() as connection:
            ask_comparison(connection, run_id=run_id, slots=["1", "2"], by_whom="ann")
        parts.draw(quality)
        yield parts


def _run_id(house: House) -> int:
    return int(house.select("SELECT id FROM public.training_runs")[0]["id"])


def _vote(
    house: House, *, judge: str = "ann", for_the_better: bool = True, times: int = 1,
    blind: bool = True,
) -> None:  # fmt: skip
    """Answer every unit of the comparison; ``times`` makes new servings of the same units."""
    pictures = house.select(
        "SELECT g.id, gs.sample_id, gs.stack_key, s.prompt, s.seed, s.stack"
        " FROM epochwatch.grids g JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id"
        " JOIN epochwatch.samples s USING (sample_id) WHERE g.purpose = 'compare'"
    )
    units: dict[tuple[str, int], dict[int, dict]] = {}
    for each in pictures:
        epoch = int(each["stack"]["loras"][0][0], 16)
        units.setdefault((each["prompt"], each["seed"]), {})[epoch] = each
    with house.database.transaction() as connection:
        for _ in range(times):
            session = voting.begin(connection, pictures[0]["id"], judge, "local", blind=blind)
            for number, ((prompt, seed), sides) in enumerate(units.items()):
                left, right = (1, 2) if number % 2 else (2, 1)
                name = voting.serve(
                    connection,
                    session,
                    unit=f"{prompt}#{seed}",
                    category="",
                    slots=[sides[left]["stack_key"], sides[right]["stack_key"]],
                    samples=[sides[left]["sample_id"], sides[right]["sample_id"]],
                )
                assert name is not None
                choice = "left" if (left == 2) is for_the_better else "right"
                voting.answer(connection, session, name, 0, choice)
            voting.end(connection, session.id)


def _standing(house: House) -> dict:
    return house.select("SELECT sentence, body FROM epochwatch.advice ORDER BY current_at DESC")[0]


def test_the_advice_says_how_far_the_score_agrees_with_votes(house: House) -> None:
    """Unchecked before the first vote; the judge looks again when votes come in."""
    house.judge.judge()
    assert "not yet checked against your votes" in _standing(house)["body"]["basis"]
    assert _standing(house)["body"]["checked"] is False
    _vote(house)
    house.judge.judge()

    said = "the score agrees with your votes on 4 of 4 pairs, too few to tell"
    assert _standing(house)["body"]["basis"].endswith(said)
    assert _standing(house)["body"]["checked"] is False


def test_votes_with_names_shown_check_and_teach_nothing(house: House) -> None:
    """They are told, cannot unlock stopping, and count no drift; blind votes beside them do."""
    since = datetime(2020, 1, 1, tzinfo=UTC)
    _vote(house, blind=False, times=12)
    house.judge.judge()
    assert _standing(house)["body"]["checked"] is False
    assert _standing(house)["body"]["basis"].endswith(
        "not yet checked against your votes; 48 votes with names shown are not counted"
    )
    with house.database.transaction() as connection:
        assert learning.votes_of(connection, _run_id(house)) == []
        assert weightings.votes_since(connection, since) == 0
        said = learning.left_out(connection)
    assert said == ["48 votes with names shown are not counted."]
    _vote(house, judge="bo")
    house.judge.judge()
    assert _standing(house)["body"]["basis"].endswith(
        "on 4 of 4 pairs, too few to tell; 48 votes with names shown are not counted"
    )


def _fail_golds(house: House, judge: str) -> None:
    """Answer two golds wrongly: the same picture on both sides, one of them spoiled."""
    picture = house.select(
        "SELECT g.id, gs.sample_id, gs.stack_key FROM epochwatch.grids g"
        " JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id WHERE g.purpose = 'compare'"
    )[0]
    with house.database.transaction() as connection:
        session = voting.begin(connection, picture["id"], judge, "local")
        for unit in ("one", "two"):
            name = voting.serve(
                connection, session, unit=unit, category="", slots=[picture["stack_key"]] * 2,
                samples=[picture["sample_id"]] * 2, purpose="gold", expected="left",
            )  # fmt: skip
            assert name is not None
            voting.answer(connection, session, name, 0, "right")
        voting.end(connection, session.id)


def test_what_stands_without_judges_that_the_checks_doubt_is_told(house: House) -> None:
    """Somebody who fails golds counts, and the basis says what the others found."""
    _vote(house, judge="bo", for_the_better=False, times=2)
    _fail_golds(house, "bo")
    with house.database.transaction() as connection:
        alone = calibrating.check_of(connection, _run_id(house))
    assert alone is not None
    assert alone.told.endswith("without bo, whose answers the checks doubt, on none")
    _vote(house, judge="ann")
    house.judge.judge()
    assert _standing(house)["body"]["basis"].endswith(
        "on 0 of 4 pairs, too few to tell; without bo, whose answers the checks doubt, on 4 of 4"
    )
    with house.database.transaction() as connection:
        assert "answers of bo" in learning.left_out(connection, _run_id(house))[0]


def test_judges_who_disagree_decide_by_majority(house: House) -> None:
    """Two against one turn a pair; one against one leaves it out."""
    _vote(house, judge="ann", for_the_better=False)
    with house.database.transaction() as connection:
        found = calibrating.check_of(connection, _run_id(house))
        assert found is not None
        assert (found.hits, found.pairs) == (0, 4)
    _vote(house, judge="bo")
    with house.database.transaction() as connection:
        assert calibrating.check_of(connection, _run_id(house)) is None
    _vote(house, judge="cleo")
    with house.database.transaction() as connection:
        found = calibrating.check_of(connection, _run_id(house))
    assert found is not None
    assert (found.hits, found.pairs) == (4, 4)


def test_a_check_needs_pairs_enough_and_to_beat_a_coin() -> None:
    """60 of 84 count as checked, 12 of 12 and 50 of 84 do not."""
    enough = calibrating.Check(hits=60, pairs=84, low=0.61, high=0.8)
    assert enough.is_checked
    assert enough.sentence == "the score agrees with your votes on 60 of 84 pairs"
    few = replace(enough, hits=12, pairs=12)
    assert not few.is_checked
    chance = replace(enough, hits=50, low=0.49)
    assert chance.sentence.endswith("which may be chance")


def test_votes_are_read_with_their_parts_and_the_same_side_first(house: House) -> None:
    """Whatever was shown left, A is always the same slot, and the better epoch has fewer strays."""
    _vote(house)
    with house.database.transaction() as connection:
        votes = learning.votes_of(connection, _run_id(house))

    assert len({vote.pair for vote in votes}) == 1
    assert len({vote.outcome for vote in votes}) == 1
    for vote in votes:
        assert vote.gap is not None
        assert (vote.gap > 0) == (vote.outcome == 1)
        better = vote.parts_a if vote.outcome == 1 else vote.parts_b
        worse = vote.parts_b if vote.outcome == 1 else vote.parts_a
        assert better["few_strays"] > worse["few_strays"]


def test_a_score_called_wrong_is_learned_from_until_it_is_withdrawn(house: House) -> None:
    """It counts as a pair of half weight and never as a vote."""
    run_id = _run_id(house)
    sample = house.select(
        "SELECT sample_id FROM epochwatch.grid_samples gs JOIN epochwatch.grids g ON g.id = grid_id"
        " WHERE g.position = 2 ORDER BY sample_id LIMIT 1"
    )[0]["sample_id"]
    with house.database.transaction() as connection:
        objections.add(connection, run_id, sample, "style", "too_high", "ann")
        (pair,) = learning.votes_of(connection, run_id)
        assert (pair.is_objection, pair.outcome, pair.is_decisive) == (True, 0.0, False)
        objections.add(connection, run_id, sample, "style", "withdrawn", "ann")
        assert learning.votes_of(connection, run_id) == []


def _found(**changed: object) -> Calibration:
    return replace(calibrate([]), **{"adopt": True, "weights": {"promises": 1.0}, **changed})  # type: ignore[arg-type]


def test_only_what_the_votes_bear_is_adopted(house: House) -> None:
    """A refusal changes nothing; an adoption is for new runs, with its name and its history."""
    with house.database.transaction() as connection:
        with pytest.raises(Fixable, match="Nothing was adopted"):
            learning.adopt(connection, _found(adopt=False, reason="Too few."), "ann")
        assert weightings.in_force(connection) is None
        key = learning.adopt(connection, _found(), "ann")
        assert weightings.in_force(connection) == key
        assert weightings.of_run(connection, _run_id(house)) is None
        learning.back_to_default(connection, "ann", "second thoughts")
        assert weightings.in_force(connection) is None
        assert [each.adopted_by for each in weightings.history(connection)] == ["ann", "ann"]


def _adopted_long_ago(connection: Connection, share: float) -> None:
    found = _found(learned=None)
    body_share = {"share": share}
    key = learning.save_document(
        connection, "weighting", "test", {**found.as_json(), "learned": body_share}
    )
    weightings.adopt(connection, key, "ann", "")
    connection.execute(b"UPDATE epochwatch.weightings SET adopted_at = now() - interval '1 day'")


def test_weights_that_newer_votes_contradict_are_dropped(house: House) -> None:
    """After fifty clear votes that agree far less than promised, the default is back, with the reason."""
    with house.database.transaction() as connection:
        _adopted_long_ago(connection, 0.95)
    _vote(house, for_the_better=False, times=12)
    with house.database.transaction() as connection:
        assert calibrating.fall_back_on_drift(connection) is None  # 48 votes are too few
    _vote(house, for_the_better=False, times=2)
    house.judge.judge()

    with house.database.transaction() as connection:
        standing = weightings.current(connection)
    assert standing is not None
    assert standing.weights is None
    assert "95 % of the votes they were learned from" in standing.why


def test_weights_that_newer_votes_confirm_stay(house: House) -> None:
    """Nothing is written."""
    with house.database.transaction() as connection:
        _adopted_long_ago(connection, 0.7)
    _vote(house, times=14)
    with house.database.transaction() as connection:
        assert calibrating.fall_back_on_drift(connection) is None
        assert len(weightings.history(connection)) == 1


def _rank(house: House, choice: str = "ranking", *, judge: str = "ann") -> None:
    """Answer every unit of a comparison of the base and both epochs at once, the worst shown first."""
    with house.database.transaction() as connection:
        asked = ask_comparison(
            connection, run_id=_run_id(house), slots=["base", "1", "2"], by_whom="ann"
        )
    house.draw({None: 0.2, 1: 0.4, 2: 1.0})
    with house.database.transaction() as connection:
        made = comparison(connection, asked)
        assert made is not None
        sitting = voting.begin(connection, asked, judge, "local")
        for unit in made.units:
            slots = [slot.key for slot in made.slots]
            name = voting.serve(
                connection,
                sitting,
                unit=f"{unit.prompt_text}#{unit.seed}",
                category="",
                slots=slots,
                samples=[unit.pictures[slot].sample_id for slot in slots],
            )
            assert name is not None
            order = [2, 1, 0] if choice == "ranking" else None
            voting.answer(connection, sitting, name, 0, choice, ranking=order)
        voting.end(connection, sitting.id)


def test_rankings_are_learned_from_as_their_pairs(house: House) -> None:
    """Three pairs of two thirds each: what the judge says of two pictures, with their parts."""
    _rank(house)
    with house.database.transaction() as connection:
        votes = learning.votes_of(connection, _run_id(house))
        found = learning.calibration_of(connection, _run_id(house))
        since = datetime(2020, 1, 1, tzinfo=UTC)
        assert weightings.votes_since(connection, since) == 4 * 2
        check = calibrating.check_of(connection, _run_id(house))

    assert len(votes) == 4 * 3
    assert {round(vote.weight, 6) for vote in votes} == {round(2 / 3, 6)}
    for vote in votes:
        assert vote.gap is not None
        assert (vote.gap > 0) == (vote.outcome == 1)
    assert (found.decisive, found.units) == (8, 4)
    assert found.default is not None
    assert (found.default.hits, found.default.votes) == pytest.approx((8, 8))
    assert check is not None
    assert (check.hits, check.pairs) == (8, 8)


def test_a_pair_that_was_asked_by_itself_too_counts_once(house: House) -> None:
    """The ranking adds the two pairs with the base; another judge's counts as ever."""
    _vote(house)
    _rank(house)
    with house.database.transaction() as connection:
        votes = learning.votes_of(connection, _run_id(house))
        assert sorted(vote.weight for vote in votes) == pytest.approx([2 / 3] * 8 + [1.0] * 4)
        check = calibrating.check_of(connection, _run_id(house))
    assert check is not None
    assert check.pairs == 9  # four whole pairs and eight of two thirds
    _rank(house, judge="bo")
    with house.database.transaction() as connection:
        votes = learning.votes_of(connection, _run_id(house))
        again = calibrating.check_of(connection, _run_id(house))
    assert len(votes) == 12 + 12
    assert again == check


def test_several_pictures_that_tie_are_ties_of_their_pairs(house: House) -> None:
    """Learned from as halves, and no clear vote."""
    _rank(house, "tie")
    with house.database.transaction() as connection:
        votes = learning.votes_of(connection, _run_id(house))
        assert calibrating.check_of(connection, _run_id(house)) is None
        assert weightings.votes_since(connection, datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert [vote.outcome for vote in votes] == [0.5] * 12
