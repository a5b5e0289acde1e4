"""Draw a job: merge its stack, encode its prompts, draw them in batches of one fixed shape."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from core.errors import Fixable
from core.formats.base_model import family
from core.formats.sampler_names import Sampler, find_sampler
from daemon.generator.base_loading import Base, choose_device, choose_precision, load_base
from daemon.generator.conditioning import conditions, encode, encode_negative
from daemon.generator.embedding_vectors import EmbeddingFolder
from daemon.generator.flow_models import flow_sampler
from daemon.generator.job import DrawJob, DrawSample, JobError, largest_batch
from daemon.generator.noise_schedule import combine, told_by
from daemon.generator.reading_ahead import Shelf
from daemon.generator.result_files import why_refused, write_result
from daemon.generator.suitability import FLOW, check_job

if TYPE_CHECKING:
    from core.nouns import Recipe
    from daemon.generator.merging import Merged
    from daemon.generator.prompt_text import Encoded

Say = Callable[..., None]  # say("image", sample_id=...): one event
_WRITERS = 2
_STEP_SECONDS = 1.0  # at most one "step" event in this time


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """All that the batches of a job share."""

    job: DrawJob
    base: Base
    sampler: Sampler
    noise: dict[str, Any]  # what the scheduler is told beyond the base model's own settings
    merged: Merged
    shape: int  # images in every batch, the last one padded
    negative: Encoded


class Studio:
    """Keeps one base model, and one stack merged into it, from job to job."""

    def __init__(self, say: Say, stopped: Callable[[], bool], shelf: Shelf | None = None) -> None:
        """Tell what happens by ``say``; give up between two steps when ``stopped()``.

        LoRA files that lie on ``shelf`` were read ahead and checked; the others are read now.
        """
        torch.backends.cudnn.deterministic = True  # the same shape must give the same bits
        self._say = say
        self._stopped = stopped
        self._shelf = Shelf() if shelf is None else shelf
        self._base: Base | None = None
        self._base_key: tuple[Any, ...] = ()
        self._merged: Merged | None = None
        self._stack_key: tuple[Any, ...] = ()

    def draw(self, job: DrawJob) -> None:
        """Draw every sample of ``job`` into its folder.

        Raises:
            JobError: the job cannot be done; images finished before stay where they are.
        """
        started = time.monotonic()
        check_job(job)
        kind = family(job.base_path)
        sampler = flow_sampler(job.recipe, kind) if kind in FLOW else _sampler(job.recipe)
        base = self._load(job)
        base.encoder.embeddings = EmbeddingFolder(job.embeddings)
        noise = _noise(job, base, sampler)
        merged = self._merge(job, base)
        shape = batch_shape(job, choose_device(job.device).type)
        self._say(
            "loaded",
            modules_patched=merged.modules_patched,
            modules_changed=merged.modules_changed,
            batch_shape=shape,
            seconds=round(time.monotonic() - started, 3),
            read_ahead=self._shelf.used,  # files, since this process began
            **base.facts,
        )
        job.out.mkdir(parents=True, exist_ok=True)
        plan = _Plan(
            job=job,
            base=base,
            sampler=sampler,
            noise=noise,
            merged=merged,
            shape=shape,
            negative=encode_negative(base, merged, job.recipe),
        )
        refused = self._draw_all(plan)
        self._say("done", images=len(job.samples) - len(refused), refused=refused)
        if refused:
            message = (
                f"{len(refused)} of {len(job.samples)} images are black or no numbers at all "
                "and were not kept. The training may have diverged, or the model overflows "
                f"{base.precision}."
            )
            raise JobError("not_finite", message)

    def _load(self, job: DrawJob) -> Base:
        """Return the resident base model, loading it when another one is asked for."""
        device = choose_device(job.device)
        precision = choose_precision(job.recipe.precision, device, family(job.base_path))
        vae = (job.vae_path, job.recipe.vae)
        key = (job.base_path, job.base_sha256, vae, str(device), precision, job.squeeze)
        if self._base is None or self._base_key != key:
            self._base = self._merged = None  # free the old one first: two may not fit
            self._say("loading", base=str(job.base_path))
            self._base = load_base(job, device, precision)
            self._base_key = key
        return self._base

    def _merge(self, job: DrawJob, base: Base) -> Merged:
        """Merge the stack of ``job`` unless it is the one already there."""
        key = tuple((lora.sha256, lora.strength) for lora in job.loras)
        if self._merged is None or self._stack_key != key:
            self._merged = None
            stack = [
                (self._shelf.take(one.path, one.sha256), float(one.strength)) for one in job.loras
            ]
            self._merged = base.merger.apply(stack)
            self._stack_key = key
        return self._merged

    def _draw_all(self, plan: _Plan) -> list[str]:
        """Draw all batches; write files beside the drawing. Return the refused sample ids."""
        refused: list[str] = []
        with ThreadPoolExecutor(_WRITERS) as writers:
            writes: list[Future[None]] = []
            for samples in _batches(plan.job.samples, plan.shape):
                started = time.monotonic()
                prompts = [
                    encode(plan.base, plan.merged, plan.job.recipe, one.prompt) for one in samples
                ]
                pixels = self._draw_batch(plan, samples, prompts)
                seconds = (time.monotonic() - started) / len(samples)
                for one, prompt, picture in zip(samples, prompts, pixels, strict=False):
                    reason = why_refused(picture)
                    if reason is not None:
                        refused.append(one.sample_id)
                        reason = f"{reason}; it was not kept"
                        self._say(
                            "refused", sample_id=one.sample_id, kind="not_finite", reason=reason
                        )
                        continue
                    facts = {
                        "seconds": round(seconds, 4),
                        "provenance": _provenance(plan, len(samples), prompt),
                    }
                    writes.append(writers.submit(self._write, plan, one, picture, facts))
            for write in writes:
                write.result()
        return refused

    def _write(
        self,
        plan: _Plan,
        sample: DrawSample,
        picture: npt.NDArray[np.float32],
        facts: dict[str, Any],
    ) -> None:
        """Write one image, and only then say so."""
        written = write_result(plan.job.out, sample.sample_id, picture, facts)
        self._say(
            "image",
            sample_id=sample.sample_id,
            path=str(written.path),
            sha256=written.sha256,
            seconds=facts["seconds"],
            truncated_tokens=facts["provenance"]["truncated_tokens"],
        )

    def _draw_batch(
        self, plan: _Plan, samples: Sequence[DrawSample], prompts: Sequence[Encoded]
    ) -> npt.NDArray[np.float32]:
        """Return the pictures of a batch padded to its shape: (shape, height, width, 3), 0 to 1."""
        filler = plan.shape - len(samples)
        seeds = [one.seed for one in samples] + [samples[-1].seed] * filler
        wanted = [*prompts, *[prompts[-1]] * filler]
        pipeline, recipe = plan.base.pipeline, plan.job.recipe
        scheduler = getattr(diffusers, plan.sampler.scheduler)
        # A scheduler remembers the last images, so each batch gets a fresh one.
        pipeline.scheduler = scheduler.from_config(
            plan.base.scheduler_config, **plan.noise, **plan.sampler.options
        )
        return np.asarray(
            pipeline(
                **conditions(wanted, None if plan.base.family == "flux" else plan.negative),
                width=recipe.width,
                height=recipe.height,
                num_inference_steps=recipe.steps,
                guidance_scale=float(recipe.guidance),
                # One generator per image on the CPU, as diffusers documents for reproducibility.
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="np",
                callback_on_step_end=self._watch_steps(recipe.steps),
            ).images
        )

    def _watch_steps(self, steps: int) -> Callable[..., dict[str, Any]]:
        """Return a callback that tells the progress and ends a job that was called off."""
        last = time.monotonic()

        def after_step(_pipe: Any, step: int, _time: Any, _state: Any) -> dict[str, Any]:
            nonlocal last
            if self._stopped():
                raise JobError("stopped", "The job was called off.")
            if time.monotonic() - last >= _STEP_SECONDS:
                last = time.monotonic()
                self._say("step", step=step + 1, steps=steps)
            return {}

        return after_step


def batch_shape(job: DrawJob, device: str) -> int:
    """Return how many images are drawn at once: the same for all batches of the job.

    The samples are spread evenly, so that little is padded: 5 samples at 4 at most are 3 and 3.
    """
    if job.batch is not None:
        return min(job.batch, job.most or job.batch)
    most = largest_batch(job.recipe, device)
    most = min(most, job.most or most)
    batches = max(1, math.ceil(len(job.samples) / most))
    return max(1, math.ceil(len(job.samples) / batches))


def _batches(samples: Sequence[DrawSample], size: int) -> Iterator[list[DrawSample]]:
    """Yield ``samples`` in order, ``size`` at a time."""
    rest = iter(samples)
    while batch := list(islice(rest, size)):
        yield batch


def _noise(job: DrawJob, base: Base, sampler: Sampler) -> dict[str, Any]:
    """Return what the scheduler is told: the base and the LoRAs are drawn as they were trained.

    Raises:
        JobError: "bad_recipe", zero terminal SNR with a sampler that cannot do it.
    """
    if base.family in FLOW:
        return {}  # a flow has neither betas nor a kind of prediction to choose
    noise = combine(base.noise, [told_by(lora.path) for lora in job.loras])
    options = noise.options(base.scheduler_config)
    flag = "rescale_betas_zero_snr"
    zero = options.get(flag) or base.scheduler_config.get(flag)
    able = inspect.signature(getattr(diffusers, sampler.scheduler).__init__).parameters
    if zero and flag not in able:
        message = (
            f"The sampler {sampler.name!r} cannot begin at zero terminal SNR, as this model was"
            " trained; euler, euler a, ddim, dpm++ 2m and unipc can."
        )
        raise JobError("bad_recipe", message)
    return options


def _sampler(recipe: Recipe) -> Sampler:
    """Return the sampler of ``recipe``, or raise JobError."""
    try:
        return find_sampler(recipe.sampler)
    except Fixable as error:
        raise JobError("bad_recipe", str(error)) from error


def _provenance(plan: _Plan, filled: int, prompt: Encoded) -> dict[str, Any]:
    """Return everything that decided the pixels beyond the sample itself."""
    return {
        **plan.base.facts,
        "renderer": plan.job.recipe.renderer,
        "sampler": plan.sampler.name,
        "sampler_class": plan.sampler.scheduler,
        "batch_shape": plan.shape,
        "batch_filled": filled,
        "squeeze": plan.job.squeeze,
        "merge": "float32, rounded once",
        "modules_patched": plan.merged.modules_patched,
        "modules_changed": plan.merged.modules_changed,
        "base_sha256": plan.job.base_sha256,
        "vae_sha256": plan.job.recipe.vae,
        "noise": plan.noise,
        "loras": [[lora.sha256, lora.strength] for lora in plan.job.loras],
        "embeddings": [
            list(one) for one in sorted({*prompt.embeddings, *plan.negative.embeddings})
        ],
        "truncated_tokens": prompt.truncated,
        "truncated_negative_tokens": plan.negative.truncated,
    }
