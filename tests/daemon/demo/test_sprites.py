"""The demo's training set: reproducible, worded truthfully, with pairs held out."""

from pathlib import Path

import numpy as np
import pytest

from daemon.demo import sprites

DATASET = Path(sprites.__file__).parent / "dataset"


def committed_captions() -> list[str]:
    """Read every committed caption."""
    return [file.read_text("utf-8") for file in sorted(DATASET.glob("*.txt"))]


def test_the_committed_training_set_regenerates_to_the_same_bytes(tmp_path: Path) -> None:
    """A person can rebuild the dataset from its seed and get these very files."""
    sprites.write_training_set(tmp_path, count=203, seed=sprites.DATASET_SEED)
    rebuilt = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert rebuilt == {file.name: file.read_bytes() for file in DATASET.iterdir()}
    assert len(rebuilt) == 2 * 203


def test_every_committed_caption_parses_back_to_itself() -> None:
    """Captions carry everything that they promise, and nothing else."""
    for text in committed_captions():
        assert sprites.caption(sprites.parse_caption(text)) == text.strip()


def test_a_caption_with_an_unknown_or_wrong_color_is_refused() -> None:
    """A hex that does not belong to its word is a mistake, not a look."""
    text = committed_captions()[0].strip()
    look = sprites.parse_caption(text)
    with pytest.raises(ValueError, match="not a demo caption"):
        sprites.parse_caption(text.replace(sprites.COLORS[look.background], "#123456"))


def test_held_out_pairs_never_appear_in_the_training_set() -> None:
    """Recombination prompts test something only if their pair was never shown."""
    looks = [sprites.parse_caption(text) for text in committed_captions()]
    assert not any(sprites.is_held_out(look.hair, look.background) for look in looks)
    assert {look.hair for look in looks} == {look.background for look in looks}
    assert {look.hair for look in looks} == set(sprites.COLORS)


def test_the_promised_background_reaches_the_top_and_side_borders() -> None:
    """The border cells are what the background color is measured on."""
    for look, variation in sprites.training_set(203, sprites.DATASET_SEED):
        cells = sprites.draw(look, variation)
        border = np.concatenate([cells[0], cells[:, 0], cells[:, -1]])
        assert (border == sprites.rgb(sprites.COLORS[look.background])).all()
