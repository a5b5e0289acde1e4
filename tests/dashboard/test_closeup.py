"""The close-up of one picture: what was measured is a click away and costs nothing until then."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.store import gallery
from core.store.files import open_store
from dashboard import images
from dashboard.parts import closeup
from pictures import Portrait

ADDRESS = "/picture/1/x?s=y&as=measured"


def _detail(**known: Any) -> gallery.PictureDetail:
    values = dict.fromkeys(gallery.PictureDetail.__dataclass_fields__)
    values |= {"recipe": {"grid": 24}, "body": {"metrics": {}}, "sample_id": "x", "seed": 1}
    values |= {"prompt_name": "pink", "expect": Portrait().expect.as_json()}
    return gallery.PictureDetail(**{**values, **known})  # type: ignore[arg-type]


def test_a_measured_picture_offers_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed at first, and its picture is only fetched when it is opened."""
    monkeypatch.setattr(closeup.links, "original", lambda sha: f"/img/{sha}")
    page = closeup.page(_detail(image_sha256="a" * 64), ADDRESS)

    assert '<details class="ew-measured"><summary>What was measured' in page
    assert 'loading="lazy" src="/picture/1/x?s=y&amp;as=measured"' in page
    assert "ew-measured" not in closeup.page(_detail(image_sha256="a" * 64, body=None), ADDRESS)
    assert "ew-measured" not in closeup.page(_detail(image_sha256=None), ADDRESS)


def test_what_may_mislead_is_one_line_that_unfolds() -> None:
    """Where nothing may, there is no line."""
    page = closeup.page(_detail(doubts=("Tested at 96x96.", "Another <i>VAE</i>.")))
    assert page.count("Before you trust this test: 2 things to know") == 1
    assert "Another &lt;i&gt;VAE&lt;/i&gt;." in page
    assert "Before you trust" not in closeup.page(_detail())


def test_it_is_drawn_from_the_stored_image_and_its_promises(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PNG with the panel beside the image; a lost image is a sentence, not a crash."""
    store = open_store(tmp_path / "store")
    png = io.BytesIO()
    Image.fromarray(Portrait().drawn(96)).save(png, format="PNG")
    stored = store.put_image(png.getvalue())
    monkeypatch.setattr(images, "_store", lambda: store)
    reads = SimpleNamespace(ask=lambda *_: None)  # a run without training images
    monkeypatch.setattr(images, "shared_reads", lambda: reads)

    drawn = images._measured(1, _detail(image_sha256=stored.sha256))
    lost = images._measured(1, _detail(image_sha256="0" * 64))

    assert drawn.media_type == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(bytes(drawn.body))))
    assert shown.shape[1] > 768
    assert lost.status_code == 404
