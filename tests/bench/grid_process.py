"""One process that draws one image, as `tests.bench.grid` times it: BASE LORA PROMPT."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.bench.grid import _one, _pipeline


def main() -> None:
    """Load everything, draw, and end."""
    base, lora, prompt = sys.argv[1:]
    torch.set_num_threads(1)
    pipeline = _pipeline(Path(base))
    pipeline.load_lora_weights(lora)
    _one(pipeline, prompt=prompt)


if __name__ == "__main__":
    main()
