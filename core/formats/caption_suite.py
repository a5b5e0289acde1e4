"""A test suite made of training captions, for when nobody wrote one.

It speaks the captions' own language: their phrases, in their order, put together anew.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.errors import Fixable
from core.formats.color_names import BASIC_TERMS, COLOR_NAMES
from core.formats.prompt_text import expectation_from_text
from core.formats.prompt_weights import escape
from core.nouns import BLEEDING, Expectation, Origin, Prompt, Recipe, Suite, Tier

_QUICK, _MEDIUM = 1, 5  # prompts that a quick and a medium test hold
_TRIGGER_SHARE = 0.9  # of captions that begin alike
UNCALLED = ", without trigger"  # what the name of such a prompt has after that of its counterpart


@dataclass(frozen=True, kw_only=True)
class _Caption:
    """A caption as phrases, each with the attribute it speaks of ("" for none)."""

    phrases: tuple[str, ...]
    roles: tuple[str, ...]

    @property
    def text(self) -> str:
        """The caption."""
        return ", ".join(self.phrases)

    @property
    def values(self) -> tuple[tuple[str, str], ...]:
        """(role, phrase) of each attribute, sorted: what makes one caption differ from another."""
        return tuple(
            sorted(
                (role, phrase.lower())
                for role, phrase in zip(self.roles, self.phrases, strict=True)
                if role
            )
        )

    def with_role(self, role: str, phrase: str) -> "_Caption":
        """Return the caption with one attribute put in place of its own, else at the end."""
        if role not in self.roles:
            return _Caption(phrases=(*self.phrases, phrase), roles=(*self.roles, role))
        at = self.roles.index(role)
        phrases = (*self.phrases[:at], phrase, *self.phrases[at + 1 :])
        return replace(self, phrases=phrases)

    def without_role(self, role: str) -> "_Caption":
        """Return the caption without an attribute."""
        kept = [pair for pair in zip(self.phrases, self.roles, strict=True) if pair[1] != role]
        return _Caption(
            phrases=tuple(phrase for phrase, _ in kept), roles=tuple(role for _, role in kept)
        )


def _read(caption: str) -> _Caption:
    """Return a caption taken apart at its commas; a bare hex stays with the phrase before it."""
    phrases: list[str] = []
    for part in (part.strip() for part in re.split(r"[,\n]", caption)):
        if phrases and re.fullmatch(r"\(?#[0-9a-fA-F]{3,6}\)?", part):
            phrases[-1] += f", {part}"
        elif part:
            phrases.append(part)
    return _Caption(phrases=tuple(phrases), roles=tuple(_role(phrase) for phrase in phrases))


def _role(phrase: str) -> str:
    """Return "background", "hair" or "accessory" for a phrase that speaks of just that, else ""."""
    told = expectation_from_text(phrase)
    if told.background and not told.regions:
        return "background"
    if told.regions and told.regions[0][0] == "hair" and not told.background:
        return "hair"
    return "accessory" if told.accessories and not (told.regions or told.background) else ""


def derive_suite(
    captions: Sequence[str],
    *,
    recipe: Recipe,
    count: int = 12,
    seed: int = 0,
    trigger: str | None = None,
) -> Suite:
    """Return a suite of up to ``count`` prompts made of training captions; deterministic.

    A third repeats captions (seen), most put background, hair and accessories together anew
    (recombined), and a sixth asks for a color that no caption has (unseen). Captions without such
    attributes are repeated, and their tags shuffled. Where the ``trigger`` word is known, one prompt
    more repeats the first that says it without it: it shows bleeding, and is in no score. Raises
    Fixable without any caption.
    """
    read = [told for caption in captions if (told := _read(caption)).phrases]
    if not read:
        raise Fixable(
            "The training images have no captions, so no test prompts can be made of them; "
            "write a suite of prompts, or caption the images."
        )
    dice = random.Random(seed)  # noqa: S311 - a choice of prompts, no secret
    unseen = _unseen(read, count // 6, dice)
    seen = _typical(read, count - 2 * (count // 3) if count > 1 else 1)
    recombined = _recombined(read, count - len(seen) - len(unseen), dice)
    missing = count - len(seen) - len(recombined) - len(unseen)
    if missing > 0:
        seen = _typical(read, len(seen) + missing)
    kinds: list[tuple[Origin, list[_Caption]]] = [
        ("recombined", recombined), ("seen", seen), ("unseen", unseen),
    ]  # fmt: skip
    ordered = _interleaved(kinds)[:count]
    prompts = _prompts(ordered, _trigger(read))
    uncalled = _uncalled(prompts, trigger) if trigger else ()
    return Suite(name="from captions", recipe=recipe, prompts=(*prompts, *uncalled))


def _uncalled(prompts: Sequence[Prompt], trigger: str) -> tuple[Prompt, ...]:
    """Return the first prompt that says the trigger word once more, without it; none where none does."""
    words = r"[\s_]+".join(re.escape(word) for word in re.split(r"[\s_]+", escape(trigger)) if word)
    said = re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    texts = {prompt.text for prompt in prompts}
    for prompt in prompts:
        phrases = (" ".join(part.split()) for part in said.sub("", prompt.text).split(","))
        text = ", ".join(phrase for phrase in phrases if phrase)
        if words and said.search(prompt.text) and text and text not in texts:
            return (
                Prompt(
                    name=prompt.name + UNCALLED,
                    text=text,
                    category=BLEEDING,
                    tier="medium",
                    seeds=prompt.seeds,
                ),
            )
    return ()


def _typical(read: list[_Caption], count: int) -> list[_Caption]:
    """Return different captions, those first whose phrases are the commonest."""
    how_often = Counter(phrase.lower() for caption in read for phrase in set(caption.phrases))
    different = {caption.text: caption for caption in read}

    def commonness(caption: _Caption) -> float:
        return sum(how_often[phrase.lower()] for phrase in caption.phrases) / len(caption.phrases)

    ranked = sorted(different.values(), key=lambda caption: (-commonness(caption), caption.text))
    return _spread(ranked, count)


def _spread(ranked: list[_Caption], count: int) -> list[_Caption]:
    """Return the first ``count`` of a ranking, but no attribute twice while others are left."""
    chosen: list[_Caption] = []
    used: set[tuple[str, str]] = set()
    for caption in ranked:
        if len(chosen) < count and not used.intersection(caption.values):
            chosen.append(caption)
            used.update(caption.values)
    rest = [caption for caption in ranked if caption not in chosen]
    return chosen + rest[: max(0, count - len(chosen))]


def _values(read: list[_Caption], role: str) -> list[str]:
    """Return the phrases of one attribute, the commonest first."""
    said = Counter(
        phrase
        for caption in read
        for phrase, its_role in zip(caption.phrases, caption.roles, strict=True)
        if its_role == role
    )
    return sorted(said, key=lambda phrase: (-said[phrase], phrase))


def _recombined(read: list[_Caption], count: int, dice: random.Random) -> list[_Caption]:
    """Return captions whose attributes are known, but not in this combination."""
    known = {caption.values for caption in read} | {()}
    texts = {caption.text for caption in read}
    values = {role: _values(read, role) for role in ("background", "hair", "accessory")}
    made: list[_Caption] = []
    for attempt in range(40 * count):
        base = dice.choice(read)
        fresh = _new_mix(base, values, attempt, dice) if any(values.values()) else None
        if fresh is None:
            fresh = _shuffled(base, read, dice)
        if not fresh.text or _hides_the_hair(fresh) or fresh.text in texts:
            continue
        if fresh.values not in known or not fresh.values:
            texts.add(fresh.text)
            known.add(fresh.values)
            made.append(fresh)
        if len(made) == count:
            break
    return made


def _hides_the_hair(caption: _Caption) -> bool:
    """Return whether hair and background have the same color, so that neither could be judged."""
    told = expectation_from_text(caption.text)
    return told.background is not None and told.background == dict(told.regions).get("hair")


def _new_mix(
    base: _Caption, values: dict[str, list[str]], turn: int, dice: random.Random
) -> _Caption:
    """Return a caption with other attributes; ``turn`` walks through them so that all get used."""
    mixed = base
    for role in ("background", "hair"):
        if values[role]:
            mixed = mixed.with_role(
                role, values[role][(turn + dice.randrange(3)) % len(values[role])]
            )
    while "accessory" in mixed.roles:
        mixed = mixed.without_role("accessory")
    if values["accessory"] and turn % 2 == 0:
        mixed = mixed.with_role(
            "accessory", values["accessory"][turn // 2 % len(values["accessory"])]
        )
    return mixed


def _shuffled(base: _Caption, read: list[_Caption], dice: random.Random) -> _Caption:
    """Return a caption with about half of its tags, never the first, taken from other captions."""
    phrases = list(base.phrases)
    for at in range(1, len(phrases)):
        other = dice.choice(read).phrases
        if at < len(other) and dice.random() < 0.5 and other[at] not in phrases:
            phrases[at] = other[at]
    return _Caption(phrases=tuple(phrases), roles=tuple(_role(phrase) for phrase in phrases))


def _unseen(read: list[_Caption], count: int, dice: random.Random) -> list[_Caption]:
    """Return captions with a color that no caption gives to that attribute, in its usual form."""
    made: list[_Caption] = []
    for number in range(count):
        role = ("hair", "background")[number % 2]
        bases = [caption for caption in read if role in caption.roles]
        names = _missing_colors(_values(read, role), avoid=made)
        if not bases or not names:
            continue
        base = dice.choice(bases)
        phrase = _recolored(base.phrases[base.roles.index(role)], names[0], role)
        if phrase:
            made.append(base.with_role(role, phrase))
    return made


def _missing_colors(phrases: list[str], avoid: list[_Caption]) -> list[str]:
    """Return plain color words, and teal and the like, that none of the phrases has."""
    said = " ".join([*phrases, *(caption.text for caption in avoid)]).lower()
    candidates = ("teal", "orange", "purple", "yellow", "turquoise", "red", "blue", "green", "pink")
    return [name for name in (*candidates, *BASIC_TERMS) if name not in said]


def _recolored(phrase: str, name: str, role: str) -> str | None:
    """Return a phrase such as "pink hair #ff69b4" in another color, or None where it has none."""
    word = next(iter(_colors_in(phrase, role)), None)
    swapped = phrase
    if word and not word.startswith("#"):
        # "silver or white" is how "silver white" is read
        spelled = [re.escape(part) for part in word.split() if part != "or"]
        pattern = r"[\s_-]+(?:or[\s_-]+)?".join(spelled)
        pattern += rf"(?:[\s_-]+(?:{'|'.join(BASIC_TERMS)})\b)?"  # "navy blue" is read as "navy"
        swapped = re.sub(pattern, name, phrase, count=1, flags=re.IGNORECASE)
    swapped = re.sub(r"#[0-9a-fA-F]{6}\b", COLOR_NAMES[name].hex, swapped)
    return swapped if swapped != phrase else None


def _colors_in(phrase: str, role: str) -> list[str]:
    """Return the color words of a phrase about one attribute, read without its hex codes."""
    told = expectation_from_text(re.sub(r"#[0-9a-fA-F]+", " ", phrase))
    color = told.background if role == "background" else dict(told.regions).get(role)
    return color.split(" and ") if color else []


def _interleaved(kinds: list[tuple[Origin, list[_Caption]]]) -> list[tuple[Origin, _Caption]]:
    """Return captions of all kinds in turn, so that every tier holds some of each."""
    ordered: list[tuple[Origin, _Caption]] = []
    longest = max(len(captions) for _, captions in kinds)
    for at in range(longest):
        ordered += [(origin, captions[at]) for origin, captions in kinds if at < len(captions)]
    return ordered


def _trigger(read: list[_Caption]) -> str:
    """Return the phrase that nearly all captions begin with, or ""."""
    first, times = Counter(caption.phrases[0] for caption in read).most_common(1)[0]
    return first if len(read) > 1 and times >= _TRIGGER_SHARE * len(read) else ""


def _prompts(ordered: list[tuple[Origin, _Caption]], trigger: str) -> tuple[Prompt, ...]:
    """Return named prompts with their tiers."""
    names: Counter[str] = Counter()
    prompts: list[Prompt] = []
    for number, (origin, caption) in enumerate(ordered, start=1):
        tier: Tier = "quick" if number <= _QUICK else "medium" if number <= _MEDIUM else "full"
        expect = expectation_from_text(caption.text)
        spoken = expectation_from_text(re.sub(r"#[0-9a-fA-F]+", " ", caption.text))
        name = _name(spoken) or _name(expect) or origin
        names[name] += 1
        prompts.append(
            Prompt(
                name=name if names[name] == 1 else f"{name} {names[name]}",
                text=escape(caption.text),  # drawn as the trainer read it
                category=_category(expect),
                tier=tier,
                expect=expect,
                trigger=trigger,
                origin=origin,
            )
        )
    return tuple(prompts)


def _name(expect: Expectation) -> str:
    """Return a short name such as "pink hair green bg crown", or ""."""
    hair = dict(expect.regions).get("hair")
    parts = [f"{hair} hair" if hair else "", f"{expect.background} bg" if expect.background else ""]
    return " ".join([*(part for part in parts if part), *expect.accessories])


def _category(expect: Expectation) -> str:
    """Return what a prompt tests."""
    if expect.accessories:
        return "accessory"
    return "color" if expect.background or expect.regions else "general"
