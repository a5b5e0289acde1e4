"""The demo's prompt suite: what it expects must be what it says."""

import tomllib
from pathlib import Path

from daemon.demo import sprites

FOLDER = Path(sprites.__file__).parent
SUITE = tomllib.loads((FOLDER / "prompts.toml").read_text("utf-8"))


def test_every_expected_color_is_named_in_its_prompt() -> None:
    """A prompt is measured only against colors that it promises."""
    for prompt in SUITE["prompt"]:
        expect = prompt["expect"]
        assert f"background {expect['background']}" in prompt["text"]
        assert f"hair {expect['regions']['hair']}" in prompt["text"]
        assert all(f", {name}" in prompt["text"] for name in expect["accessories"])


def test_the_tiers_grow_from_two_to_five_or_less_to_twelve() -> None:
    """The quick look is cheap, the full look complete."""
    tiers = [prompt["tier"] for prompt in SUITE["prompt"]]
    assert len(tiers) == 12
    assert tiers.count("quick") == 2
    assert tiers.count("quick") + tiers.count("medium") == 5


def test_the_suite_holds_seen_and_recombined_and_unseen_prompts() -> None:
    """Six prompts repeat a trained pair, four recombine, two use another wording."""
    kinds = [kind(prompt["text"]) for prompt in SUITE["prompt"]]
    assert kinds == ["seen"] * 6 + ["recombined"] * 4 + ["unseen"] * 2


def kind(text: str) -> str:
    """Compare one prompt with the committed training captions."""
    try:
        look = sprites.parse_caption(text)
    except ValueError:
        return "unseen"
    captions = [file.read_text("utf-8") for file in (FOLDER / "dataset").glob("*.txt")]
    trained = [sprites.parse_caption(caption) for caption in captions]
    pairs = {(other.hair, other.background) for other in trained}
    return "seen" if (look.hair, look.background) in pairs else "recombined"
