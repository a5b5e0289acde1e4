"""Asks a scorer in a process of its own, and lets it count only when it has proved itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from core.errors import Fixable
from core.formats.caption_file import CaptionedImage
from core.metrics.proof import Proof
from daemon.generator.client import clean_environment
from daemon.scorers.contract import (
    Floats,
    Trial,
    likeness,
    proof_by_captions,
    proof_by_likeness,
)

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a model makes of images and texts: rows of length 1."""

    reads_text: bool
    model: str  # SHA-256 of its weights
    images: Floats  # (n, d)
    texts: Floats  # (m, d); empty for a model that reads no text


@dataclass(kw_only=True)
class Scorer:
    """One model in a folder of the user's; its process starts with the first question."""

    name: str
    folder: Path
    _child: subprocess.Popen[str] | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(OSError), child:  # leaving waits for its end
                child.kill()

    def look(self, images: Sequence[Path], texts: Sequence[str]) -> Seen:
        """Return what the model sees. Raises Fixable when it cannot be loaded or read."""
        if not (self.folder / "config.json").is_file():
            raise self._broken("there is no config.json in it")
        request = {
            "folder": str(self.folder),
            "images": [str(path) for path in images],
            "texts": list(texts),
        }
        said = self._ask(request)
        if "trouble" in said:
            self.close()
            raise self._broken(str(said["trouble"]).splitlines()[0])
        return Seen(
            reads_text=said["reads_text"],
            model=said["sha256"],
            images=np.array(said["images"], dtype=np.float64),
            texts=np.array(said["texts"], dtype=np.float64),
        )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "daemon.scorers.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                cwd=_ROOT, env=clean_environment(os.environ),
            )  # fmt: skip
        child = self._child
        assert child.stdin, "it is a pipe"
        assert child.stdout, "it is a pipe"
        limit = threading.Timer(_SECONDS, child.kill)
        limit.start()
        try:
            with contextlib.suppress(OSError):  # it has ended; what it said is still read
                child.stdin.write(json.dumps(request) + "\n")
                child.stdin.flush()
            said: dict[str, Any] = json.loads(child.stdout.readline())
        except ValueError:
            self.close()
            raise self._broken("it ended without an answer") from None
        finally:
            limit.cancel()
        return said

    def _broken(self, reason: str) -> Fixable:
        return Fixable(
            f"The scorer {self.name!r} cannot be used: {reason}. It has to be a folder with "
            f"config.json, model.safetensors and tokenizer, as transformers saves it: {self.folder}. "
            "Nothing is downloaded."
        )

    def trial(
        self,
        training: Sequence[CaptionedImage],
        *,
        images: Sequence[Path] = (),
        text: str = "",
        base: Sequence[Path] = (),
    ) -> Trial:
        """Return the proof on captioned training images, and the values of ``images``.

        A model that reads text has to tell own captions from others', and gives the cosine to
        ``text``; another one has to tell training images from those of the base model, and gives
        the mean likeness to the training images. Without a proof that holds there is no value.
        """
        told = [each for each in training if each.caption]
        captions = [each.caption for each in told]
        paths = [each.path for each in told]
        seen = self.look([*paths, *images, *base], [*captions, *([text] if text else [])])
        own, asked = seen.images[: len(paths)], seen.images[len(paths) :][: len(images)]
        proof: Proof | None
        if seen.reads_text:
            proof = proof_by_captions(own @ seen.texts[: len(paths)].T, captions)
            values = asked @ seen.texts[-1] if text else None
        else:
            proof = proof_by_likeness(own, seen.images[len(paths) + len(images) :])
            values = likeness(asked, own) if len(own) else None
        counts = proof is not None and proof.holds
        return Trial(
            name=self.name,
            what="image and text" if seen.reads_text else "likeness",
            proof=proof,
            values=_short(values) if counts and values is not None else None,
        )


def _short(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
