"""PEFT's configuration of an adapter: the scale of each module, where the tensors do not say it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import regex

from daemon.generator.job import JobError

_KNOWN = {"LORA", "LOHA", "LOKR"}
_LONGEST_MATCH = 0.2  # seconds
# These take what the adapter begins with out of the base weights (arXiv 2404.02948 and others), so
# that the adapter alone, added to the usual base, is another model.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What adapter_config.json, or the same in a file's metadata, says; empty when there is none."""

    body: Mapping[str, Any]  # in metadata each key has its part before it: "unet.lora_alpha"

    @classmethod
    def parse(cls, text: str, name: str) -> AdapterConfig:
        """Read the JSON ``text`` of the file ``name``.

        Raises:
            JobError: "bad_lora", it is no configuration of an adapter that can be merged.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"The adapter configuration of {name} is not JSON: {error}."
            raise JobError("bad_lora", message) from error
        if not isinstance(body, dict):
            raise JobError("bad_lora", f"The adapter configuration of {name} is no JSON object.")
        config = cls(body=body)
        for trouble in config._troubles():
            raise JobError("bad_lora", f"{name} {trouble} It was not drawn.")
        return config

    def scale(self, module: str, rank: int | None) -> float:
        """Return alpha / rank (or over its root) of ``module``; 1.0 when nothing says otherwise."""
        part, _, rest = module.partition(".")
        inside = any(key.startswith(f"{part}.") for key in self.body)
        prefix, name = (f"{part}.", rest) if inside else ("", module)
        alpha = self._of(prefix, name, "alpha_pattern", "lora_alpha", "alpha")
        rank = rank or self._of(prefix, name, "rank_pattern", "r")
        if alpha is None or not rank:
            return 1.0
        root = bool(self.body.get(f"{prefix}use_rslora"))
        return float(alpha) / (math.sqrt(rank) if root else rank)

    def _of(self, prefix: str, module: str, patterns: str, *keys: str) -> Any:
        """Return what the patterns say of ``module``, or else the first of ``keys`` there is."""
        special = self.body.get(f"{prefix}{patterns}") or {}
        for pattern, value in special.items():
            if _fits(pattern, module):
                return value
        present = (self.body.get(f"{prefix}{key}") for key in keys)
        return next((value for value in present if value is not None), None)

    def _troubles(self) -> Iterator[str]:
        """Yield why the adapter cannot be merged, as the rest of a sentence."""
        for key, value in self.body.items():
            setting = key.rpartition(".")[2]
            if setting == "peft_type" and str(value) not in _KNOWN:
                yield f"is PEFT's {value}, which this version cannot merge; it knows LoRA, LoHa, LoKr."
            if setting == "init_lora_weights" and str(value).lower().startswith(_CHANGES_BASE):
                yield (
                    f"was trained with init_lora_weights={value!r}, which changes the base model "
                    "too. Save it as a plain LoRA (PEFT: path_initial_model_for_weight_conversion)."
                )


def _fits(pattern: str, module: str) -> bool:
    """Say whether a pattern means this module, as PEFT does.

    Patterns come with the file, and some take hours to match: none gets longer than a moment.
    Raises ValueError for those, and for what is no pattern.
    """
    try:
        return bool(regex.fullmatch(rf"(.*\.)?({pattern})", module, timeout=_LONGEST_MATCH))
    except (TimeoutError, regex.error) as error:
        raise ValueError(f"the pattern {pattern[:80]!r}: {error}") from error
