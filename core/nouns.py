"""The nouns of the house: frozen data that every part passes on, and the keys they are known by.

Nothing here reads a file, a clock or a database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

Tier = Literal["quick", "medium", "full"]
TIERS: tuple[Tier, ...] = ("quick", "medium", "full")
Verdict = Literal["best", "good", "acceptable", "skip", "failure"]
Unit = Literal["epoch", "step"]  # that a run's positions are
Origin = Literal["seen", "recombined", "unseen"]
NOT_APPLICABLE = "not applicable"  # begins the reason of what cannot be asked of such an image


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def unit_of(said: str | None) -> Unit:
    """Return what positions are counted in, by what a run says of it: epochs where it says nothing."""
    return "step" if said == "step" else "epoch"


def decimal_text(number: float) -> str:
    """Return a strength or guidance as decimal text with two places, so that it can be a key."""
    return f"{number:.2f}"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A base model and the LoRAs merged into it; no LoRA at all is the baseline."""

    base_sha256: str
    loras: tuple[tuple[str, str], ...] = ()  # (weights SHA-256, strength such as "0.80"), sorted

    def __post_init__(self) -> None:
        """Sort the LoRAs, since their order does not change the merged weights."""
        object.__setattr__(self, "loras", tuple(sorted(tuple(pair) for pair in self.loras)))

    @property
    def key(self) -> str:
        """SHA-256 of the stack: the name a job is known by inside its grid."""
        return digest(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the canonical form."""
        return {"base": self.base_sha256, "loras": [list(pair) for pair in self.loras]}

    @classmethod
    def of_checkpoint(
        cls, checkpoint: Mapping[str, Any], base_sha256: str | None, strength: str | None
    ) -> Stack:
        """Return what draws a stored checkpoint (its ``kind`` and ``drawn_as`` are read).

        A LoRA is merged into its base at ``strength`` (None: 1.00); a full model is its own base.
        """
        if checkpoint["kind"] == "base":
            return cls(base_sha256=checkpoint["drawn_as"])
        assert base_sha256 is not None, "a LoRA is asked for only where its base model is known"
        return cls(base_sha256=base_sha256, loras=((checkpoint["drawn_as"], strength or "1.00"),))

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Stack:
        """Build it back from ``as_json``."""
        return cls(
            base_sha256=body["base"],
            loras=tuple((sha256, strength) for sha256, strength in body["loras"]),
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything besides stack, prompt and seed that decides the pixels of an image."""

    sampler: str = "dpm++ 2m"
    steps: int = 30
    guidance: str = "7.50"  # decimal text
    width: int = 512  # pixels
    height: int = 512
    grid: int | None = (
        24  # cells along the width that the art is meant to have; None: not pixel art
    )
    negative: str = ""
    clip_skip: int = 1
    token_length: int = 75
    vae: str = ""  # SHA-256 of a VAE override; "" is the base's own
    precision: str = "auto"  # fp32 on a CPU, fp16 on a GPU
    renderer: str = "diffusers"
    finishing: str = "cells"  # how the small image is made from the large one

    def as_json(self) -> dict[str, Any]:
        """Return the canonical form."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a prompt promises: colors as '#rrggbb' or color words, and things to be seen."""

    background: str | None = None
    regions: tuple[tuple[str, str], ...] = ()  # (region such as "hair", color), sorted
    accessories: tuple[str, ...] = ()
    expression: str | None = None  # of a face, such as "smile"
    subject: str | None = None  # "tile", "icon", "full body"; None: a picture like the others

    def as_json(self) -> dict[str, Any]:
        """Return the canonical form, which says nothing of what came later and is not set."""
        later = {"expression": self.expression, "subject": self.subject}
        return {
            "background": self.background,
            "regions": dict(self.regions),
            "accessories": list(self.accessories),
        } | {name: value for name, value in later.items() if value is not None}

    @classmethod
    def from_json(cls, body: dict[str, Any] | None) -> Expectation:
        """Build it back from ``as_json``; an empty or missing body promises nothing."""
        body = body or {}
        return cls(
            background=body.get("background"),
            regions=tuple(sorted((body.get("regions") or {}).items())),
            accessories=tuple(body.get("accessories") or ()),
            expression=body.get("expression"),
            subject=body.get("subject"),
        )


# The category of prompts that show what a LoRA does uncalled: drawn and looked at, in no score.
BLEEDING = "bleeding (not scored)"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One line of a suite."""

    name: str
    text: str
    category: str = ""
    tier: Tier = "full"  # the smallest tier that holds it
    seeds: tuple[int, ...] = (42,)
    expect: Expectation = field(default_factory=Expectation)
    trigger: str = ""
    origin: Origin | None = None  # against the training captions; None when they are not known


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The test prompts and the recipe they are drawn with."""

    name: str
    recipe: Recipe
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image to be: its id never changes and says everything that decides the pixels."""

    stack: Stack
    prompt: str
    seed: int
    recipe: Recipe

    @property
    def sample_id(self) -> str:
        """SHA-256 of the canonical JSON (a golden vector in the tests holds it for ever)."""
        return digest(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the canonical form."""
        return {
            "stack": self.stack.as_json(),
            "prompt": self.prompt,
            "seed": self.seed,
            "recipe": self.recipe.as_json(),
        }


class MetricValue(NamedTuple):
    """One measured number, or None with the reason; the range says what its ends mean.

    A tuple, for each image has some twenty, and a frozen dataclass takes four times as long to make.
    """

    value: float | None
    low: float
    high: float
    higher_is_better: bool | None  # None: neither end is better, a description only
    explanation: str  # a sentence for a person; the reason when value is None
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and printed."""
        return {
            "value": self.value,
            "range": [self.low, self.high],
            "higher_is_better": self.higher_is_better,
            "explanation": self.explanation,
            "version": self.version,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> MetricValue:
        """Build it back from ``as_json``."""
        low, high = body["range"]
        return cls(
            value=body["value"],
            low=low,
            high=high,
            higher_is_better=body.get("higher_is_better"),
            explanation=body["explanation"],
            version=body.get("version", 1),
        )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """All that was measured on one image. Scores are 0-10, or None with a reason."""

    visual_quality: float | None
    style_match: float | None
    prompt_adherence: float | None
    reasons: dict[str, str]  # score name -> why it is None
    metrics: dict[str, MetricValue]
    issues: tuple[str, ...]  # ids of core.metrics.ISSUES
    strengths: tuple[str, ...]  # short words for a person
    background_hex: str | None  # "#rrggbb" of the largest color in the ring
    unique_colors: int | None
    composite: float | None = None  # by adopted weights, 0-10; None: the plain mean stands

    def as_json(self) -> dict[str, Any]:
        """Return what is stored; `epochwatch measure --json` adds the name and what it all means."""
        return {
            "visual_quality": self.visual_quality,
            "style_match": self.style_match,
            "prompt_adherence": self.prompt_adherence,
            "reasons": self.reasons,
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "issues": list(self.issues),
            "strengths": list(self.strengths),
            "background_hex": self.background_hex,
            "unique_colors": self.unique_colors,
            **({} if self.composite is None else {"composite": self.composite}),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Measurement:
        """Build it back from ``as_json``."""
        return cls(
            visual_quality=body["visual_quality"],
            style_match=body["style_match"],
            prompt_adherence=body["prompt_adherence"],
            reasons=body["reasons"],
            metrics={
                name: MetricValue.from_json(metric) for name, metric in body["metrics"].items()
            },
            issues=tuple(body["issues"]),
            strengths=tuple(body["strengths"]),
            background_hex=body["background_hex"],
            unique_colors=body["unique_colors"],
            composite=body.get("composite"),
        )


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """What a checkpoint file's header and name say, before anything is trusted to be right."""

    family: str  # "sd1", "sd2", "sdxl", ..., "unknown"
    kind: Literal["lora", "base", "other"]
    layout: str  # "kohya", "diffusers", "peft", "lycoris", ...
    output_name: str  # the run's name as the trainer knows it
    session_id: str | None
    epoch: int | None  # 1-based
    step: int | None
    planned_epochs: int | None
    planned_steps: int | None
    is_final: bool
    is_step_save: bool = False  # saved between epochs: it has a step, and no epoch of its own
    base_model_name: str | None
    base_model_sha256: str | None
    rank: int | None
    alpha: float | None
    saved_at: datetime | None  # aware UTC, from the metadata
    body_sha256_claimed: str | None  # sshs_model_hash
    module_count: int  # modules the file patches
    training: dict[str, Any]  # columns of training_runs the metadata fills
    notes: tuple[str, ...] = ()  # what disagreed or was ignored, for a person


@dataclass(frozen=True, kw_only=True)
class EpochScore:
    """The effective score of one tested position: the mean of each of the three over its images."""

    position: int
    visual: float | None
    style: float | None
    prompt: float | None
    images: int
    composite: float | None = None  # by adopted weights; None: the plain mean stands

    @property
    def average(self) -> float | None:
        """The composite, else the plain mean of the scores that exist; None when none does."""
        if self.composite is not None:
            return self.composite
        present = [score for score in (self.visual, self.style, self.prompt) if score is not None]
        return sum(present) / len(present) if present else None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place of a comparison: weights merged into a base, and what a person calls them."""

    label: str
    stack: Stack
    run_id: int | None = None  # the run of its first LoRA; None for a base model alone
    position: int | None = None  # the epoch or step of its first LoRA
    on: str | None = None  # a base model instead of its own, as a person named it

    @property
    def is_found(self) -> bool:
        """Say whether its base model is known by a hash, not by a name that is still looked for."""
        return self.on is None or self.stack.base_sha256 != unfound_base(self.on)

    @property
    def key(self) -> str:
        """SHA-256 of the stack: by this a slot is known in servings, votes and statistics."""
        return self.stack.key

    def as_json(self) -> dict[str, Any]:
        """Return the form in a grid's body."""
        body = {
            "label": self.label,
            "stack": self.stack.as_json(),
            "run_id": self.run_id,
            "position": self.position,
        }
        # Only where it is named: a comparison is known by its body, and those without stay the same.
        return body if self.on is None else {**body, "on": self.on}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Slot:
        """Build it back from ``as_json``."""
        return cls(
            label=body["label"],
            stack=Stack.from_json(body["stack"]),
            run_id=body.get("run_id"),
            position=body.get("position"),
            on=body.get("on"),
        )


def unfound_base(name: str) -> str:
    """Return what stands for the hash of a base model until a host has found it by this name."""
    return f"named {name}"


@dataclass(frozen=True, kw_only=True)
class SlotPart:
    """One LoRA of a slot as a person named it: "7", "pick@0.8", "palette:12", "base"."""

    run: str | None  # None: the run that the command is about
    what: int | str  # a position, or "pick", "production", "base"
    strength: str | None  # decimal text; None: the strength the run is tested at
    on: str | None = None  # the base model of the whole slot by name or hash; None: its run's
