"""The result of a vote in words, badges and tables; pure markup."""

from __future__ import annotations

from collections.abc import Sequence

from core.charts.votes import Strength
from core.rules.betting import Interval
from core.rules.poll import Poll
from core.rules.votes import VERDICTS
from core.rules.win_rate import CATEGORY_LEAST, WinRate
from dashboard.parts import badge, sheet, words
from dashboard.parts.safe import Html, fill, join, text

_SHAPES = {
    "EXCELLENT": "star",
    "GOOD": "disc",
    "MODERATE": "diamond",
    "MINIMAL": "bar",
    "POOR": "cross",
}
_DECIDED = {
    "B better": "star",
    "A better": "star",
    "equivalent": "level",
    "continue": "ring",
    "budget reached": "bar",
}


def headline(poll: Poll) -> Html:
    """Return the sentence, the decision, and the owner's verdict with its interval."""
    result = poll.result
    if not result.tally.total:
        return fill(
            '<p class="ew-sentence" data-part="poll">No vote on {a} and {b} yet.</p>',
            a=poll.a,
            b=poll.b,
        )
    return fill(
        '<p class="ew-sentence" data-part="poll">{sentence}</p>{bar}'
        '<div class="ew-rests"><span class="ew-badge" data-badge="{decision}">{shape}{decision}'
        "</span>{verdict}</div>{interval}",
        sentence=words.unbroken(poll.sentence),
        bar=fill('<p class="ew-quiet">{why}</p>', why=poll.higher_bar)
        if poll.higher_bar
        else text(""),
        decision=_decision(poll),
        shape=badge.shape(_DECIDED[poll.verdict]),
        verdict=_verdict(result),
        interval=_bar(result),
    )


def _decision(poll: Poll) -> str:
    return {"A better": f"{poll.a} better", "B better": f"{poll.b} better"}.get(
        poll.verdict, poll.verdict
    )


def _verdict(result: WinRate) -> Html:
    """Return the verdict word, never without its rate, count and interval."""
    if result.verdict is None or result.tally.win_rate is None:
        return text("")
    rate = result.tally.win_rate
    word = next(word for least, word in VERDICTS if rate >= least)
    return fill(
        '<span class="ew-badge" data-badge="{word}">{shape}{verdict}</span>',
        word=word,
        shape=badge.shape(_SHAPES[word]),
        verdict=words.unbroken(result.verdict),
    )


def _bar(result: WinRate) -> Html:
    """Return the interval as a bar over 0 to 100 %, with the middle and the owner's 60 % marked."""
    interval: Interval = result.interval
    value = result.tally.decisive_rate if result.counted == "votes" else result.tally.points_rate
    what = "of the clear votes" if result.counted == "votes" else "of the points"
    return fill(
        '<div class="ew-span" role="img" aria-label="{label}"><i class="ew-half"></i>'
        '<i class="ew-range" style="left:{low}%;width:{wide}%"></i>{at}</div>'
        '<p class="ew-quiet ew-ends"><span>{a} wins all</span><span>even</span>'
        "<span>{b} wins all</span></p>",
        label=f"{result.tally.b} has {_percent(value)} {what}, interval {interval}",
        low=f"{100 * interval.low:.1f}",
        wide=f"{100 * (interval.high - interval.low):.1f}",
        at=text("")
        if value is None
        else fill('<i class="ew-at" style="left:{value}%"></i>', value=f"{value:.1f}"),
        a=result.tally.a,
        b=result.tally.b,
    )


def figures(poll: Poll) -> Html:
    """Return the counts and rates of the result."""
    result, counts = poll.result, poll.result.tally
    lines: list[tuple[object, ...]] = [
        (
            "comparisons",
            (
                f"{counts.total}: {counts.b} {counts.b_wins}, {counts.a} {counts.a_wins}, "
                f"{counts.ties} ties, {counts.both_bad} both bad; {counts.skipped} skipped"
            ),
        ),
        ("win rate", _percent(counts.win_rate), f"ties in the total; {result.win_interval}"),
        (
            "decisive rate",
            _percent(counts.decisive_rate),
            f"ties left out; {result.interval}" if result.counted == "votes" else "ties left out",
        ),
        (
            "points rate",
            _percent(counts.points_rate),
            "a tie is half a point"
            + (
                f"; {result.interval} over {result.units} prompts and seeds"
                if result.counted == "units"
                else ""
            ),
        ),
        (
            "consistency",
            _percent(counts.consistency),
            "comparisons with a clear winner; low means they are close",
        ),
        ("votes to flip", _flip(result), "how many must turn round to undo this"),
        ("position", *_position(poll)),
        ("agreement", *_agreement(poll)),
    ]
    return sheet.table(
        ("figure", "value", "what it says"),
        [(*line, "") if len(line) == 2 else line for line in lines],
    )


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f} %"


def _flip(result: WinRate) -> str:
    if result.to_flip is None:
        return "nobody leads"
    if result.counted == "votes":
        return "1 vote" if result.to_flip == 1 else f"{result.to_flip} votes"
    return f"{result.to_flip} prompts and seeds"


def _position(poll: Poll) -> tuple[str, str]:
    sides = poll.sides
    if sides.chance is None:
        return "\u2013", "no clear vote yet"
    pull = poll.ranking.position
    found = "one side pulls" if poll.ranking.position_matters else "no side pulls measurably"
    return (
        f"left won {sides.left} of {sides.clear}",
        (
            f"{found}: log odds {pull.value:+.2f} ({pull.low:+.2f} to {pull.high:+.2f}); so uneven by "
            f"chance: {words.percent(sides.chance)}"
        ),
    )


def _agreement(poll: Poll) -> tuple[str, str]:
    found = poll.agreement
    if found.alpha is None:
        return "\u2013", "needs two judges on the same images who did not all say the same"
    ends = "" if found.low is None else f" ({found.low:.2f} to {found.high:.2f})"
    return (
        f"alpha {found.alpha:.2f}{ends}",
        f"{found.reading}, over {found.judged} pairs of images; near 0 is normal between equals",
    )


def strengths(poll: Poll) -> list[Strength]:
    """Return the slots by strength, as their chart takes them."""
    found = poll.ranking
    return [
        Strength(
            slot=slot,
            value=found.strengths[slot].value,
            low=found.strengths[slot].low,
            high=found.strengths[slot].high,
            p_best=found.p_best[slot],
        )
        for slot in found.slots
        if slot not in found.unknown
    ]


def ranking(poll: Poll) -> Html:
    """Return the slots by strength, and those that nobody has compared yet without a number."""
    found = poll.ranking
    groups = [group for group in found.groups if len(group) > 1]
    known = [slot for slot in found.slots if slot not in found.unknown]
    lines: list[tuple[object, ...]] = [
        (
            place,
            slot,
            f"{found.strengths[slot].value:+.2f}",
            f"{found.strengths[slot].low:+.2f} to {found.strengths[slot].high:+.2f}",
            words.percent(found.p_best[slot]),
            _apart(groups, slot),
        )
        for place, slot in enumerate(known, start=1)
    ]
    unknown = [slot for slot in poll.slots if slot in found.unknown]
    none = "\u2013"
    lines += [("", slot, none, none, none, "not voted on against another") for slot in unknown]
    return sheet.table(("", "slot", "strength", "95 %", "best", ""), lines)


def _apart(groups: Sequence[Sequence[str]], slot: str) -> str:
    if len(groups) < 2:
        return ""
    number = next(n for n, group in enumerate(groups, start=1) if slot in group)
    return f"within group {number}: never compared with the slots of another"


def pairs(poll: Poll) -> Html:
    """Return every pair of slots that was voted on."""
    table = sheet.table(
        ("pair", "result", "decision"),
        [
            (f"{b} against {a}", words.unbroken(each.verdict or ""), _of_pair(each, a, b))
            for (a, b), each in poll.pairs.items()
        ],
    )
    among = max((each.among for each in poll.pairs.values()), default=1)
    if among == 1:
        return table
    return fill(
        '{table}<p class="ew-quiet">Of {among} pairs some look decided by luck, so that each is held '
        "to a higher bar than the sentence above, and has a wider interval.</p>",
        table=table,
        among=among,
    )


def _of_pair(each: WinRate, a: str, b: str) -> str:
    return {"A better": f"{a} better", "B better": f"{b} better"}.get(each.decision, each.decision)


def categories(poll: Poll) -> Html:
    """Return each category's result and which are weak."""
    if not poll.categories:
        return sheet.empty("The prompts of this comparison have no categories.")
    lines: list[tuple[object, ...]] = [
        (
            name,
            each.verdict or "no vote yet",
            f"{each.tally.decisive} clear votes"
            + ("" if each.enough else "; too few to pass anything"),
        )
        for name, each in poll.categories.items()
    ]
    weak = (
        fill(
            "<p>Weak: {names}. {b} wins no more than half of the clear votes there.</p>",
            names=", ".join(_weak(name, poll.categories[name]) for name in poll.weak_categories),
            b=poll.b,
        )
        if poll.weak_categories
        else text("")
    )
    unknown = [name for name, each in poll.categories.items() if not each.enough]
    few = (
        fill(
            '<p class="ew-quiet">Too few clear votes to call weak or not: {names}. '
            "{least} are needed.</p>",
            names=", ".join(unknown),
            least=CATEGORY_LEAST,
        )
        if unknown
        else text("")
    )
    return join([sheet.table(("category", "result", "evidence"), lines), weak, few])


def _weak(name: str, each: WinRate) -> str:
    """Return a weak category, never without its rate and interval."""
    if each.counted == "votes":
        return f"{name} ({_percent(each.tally.decisive_rate)} of the clear votes, {each.interval})"
    return f"{name} ({_percent(each.tally.points_rate)} of the points, {each.interval})"


def judges(poll: Poll) -> Html:
    """Return what the checks say of each judge, and the result without those they flag."""
    lines: list[tuple[object, ...]] = [
        (
            each.name,
            each.votes,
            f"{each.golds_passed} of {each.golds}" if each.golds else "\u2013",
            f"{each.repeats_same} of {each.repeats}" if each.repeats else "\u2013",
            f"{each.median_ms / 1000:.1f} s" if each.median_ms is not None else "\u2013",
            "; ".join(each.flags) or "nothing to remark",
        )
        for each in poll.judges
    ]
    table = sheet.table(
        ("judge", "votes", "golds passed", "repeats alike", "median time", "checks"), lines
    )
    without = (
        fill(
            "<p>Without the judges who are flagged: {sentence}</p>",
            sentence=words.unbroken(poll.without_flagged.sentence),
        )
        if poll.without_flagged
        else text("")
    )
    alone = (
        fill(
            "<p>Without {names} alone the decision would be another.</p>",
            names=" or ".join(poll.decisive_judges),
        )
        if poll.decisive_judges
        else text("")
    )
    return join([table, without, alone])
