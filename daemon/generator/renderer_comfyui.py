"""Draw with the user's own ComfyUI: their workflow in API format, its placeholders filled in.

Speaks the routes of ComfyUI's server.py: POST /prompt, GET /history/{id}, GET /view, and for a
picture that is not wanted any more GET and POST /queue and POST /interrupt.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any

from core.errors import Fixable
from core.formats.sampler_names import comfyui_sampler
from daemon.generator.client import Event, Interrupted, Refused
from daemon.generator.comfyui_workflow import bypassed, filled, lora_slots, read_workflow
from daemon.generator.job import DrawJob, DrawSample
from daemon.generator.renderer import LARGEST, Values, Watch, draw_each, identity, recipe_values

_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 30.0  # a busy server answers late: it loads models in the thread that listens
_LARGEST_ANSWER = 32 * 2**20  # bytes of JSON


@dataclass(frozen=True, kw_only=True)
class ComfyUI:
    """Where the user's ComfyUI listens, and how it comes to see a LoRA."""

    url: str  # "http://127.0.0.1:8188"
    workflow: Path  # in API format
    lora_folder: Path | None = None  # that it reads LoRAs from; None: no LoRA can be given to it
    lora_prefix: str = ""  # what it puts before the names of that folder's files, "epochwatch/"


class ComfyUIRenderer:
    """Queues one workflow for each picture and waits for it."""

    kind = "comfyui"

    def __init__(self, place: ComfyUI) -> None:
        """Read the workflow; nothing is asked of the server yet.

        Raises:
            Fixable: the address or the workflow cannot be used.
        """
        parts = urllib.parse.urlsplit(place.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise Fixable(
                f"The setting comfyui_url is {place.url!r}, which is no address like "
                "http://127.0.0.1:8188."
            )
        self._place = place
        self._workflow = read_workflow(place.workflow)
        # No proxy and no redirect: a workflow goes to the server that was named and nowhere else.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect).open

    @property
    def identity(self) -> str:
        """What a recipe calls this workflow."""
        return identity(self.kind, self._workflow)

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def draw(
        self,
        job: DrawJob,
        on_event: Callable[[Event], None],
        *,
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Draw all samples of ``job``.

        Raises:
            Refused: the workflow cannot draw this job, or ComfyUI refuses it.
            Interrupted: ComfyUI is away, out of memory or late; it may work next time.
        """
        workflow = self._for_stack(job)
        provenance = {
            "renderer": self.identity,
            "server": urllib.parse.urlsplit(self._place.url).netloc.rpartition("@")[2],
            "base_sha256": job.base_sha256,
            "loras": [[lora.sha256, lora.strength] for lora in job.loras],
        }
        watch = Watch(seconds=image_timeout, should_stop=should_stop)
        with self._lent(job) as names:

            def draw_one(sample: DrawSample, clock: Watch) -> bytes:
                values = _values(job, sample, names)
                return self._picture(filled(workflow, values), clock)

            draw_each(job, draw_one, on_event, watch, provenance)

    def _for_stack(self, job: DrawJob) -> dict[str, Any]:
        """Return the workflow with the loaders that this stack needs no LoRA for taken out."""
        slots = lora_slots(self._workflow)
        if len(job.loras) > slots:
            message = (
                f"This test merges {len(job.loras)} LoRAs, and the workflow {self._place.workflow} "
                f"has placeholders for {slots}: {{lora}}, {{lora2}}, ... in loaders of their own."
            )
            raise Refused("bad_recipe", message)
        try:
            return bypassed(self._workflow, after=len(job.loras))
        except Fixable as error:
            raise Refused("bad_recipe", str(error)) from error

    @contextlib.contextmanager
    def _lent(self, job: DrawJob) -> Iterator[list[str]]:
        """Put the LoRAs where ComfyUI sees them, for as long as the job lasts; yield their names."""
        folder = self._place.lora_folder
        if job.loras and folder is None:
            message = (
                "ComfyUI cannot see the checkpoint: name a folder that it reads LoRAs from in the "
                "setting comfyui_lora_folder."
            )
            raise Refused("bad_recipe", message)
        placed: list[Path] = []
        try:
            for lora in job.loras:
                assert folder is not None
                path = folder / f"epochwatch-{lora.sha256[:16]}.safetensors"
                if not path.exists():
                    _place(lora.path, path)
                    placed.append(path)
            yield [
                f"{self._place.lora_prefix}epochwatch-{lora.sha256[:16]}.safetensors"
                for lora in job.loras
            ]
        finally:
            for path in placed:
                path.unlink(missing_ok=True)

    def _picture(self, workflow: dict[str, Any], watch: Watch) -> bytes:
        """Queue ``workflow``, wait for its end, and return the one picture it makes."""
        deadline = watch.deadline()
        body = {"prompt": workflow, "client_id": uuid.uuid4().hex}
        answer = self._ask("/prompt", body)
        job = answer.get("prompt_id")
        if not isinstance(job, str) or answer.get("node_errors"):
            raise Refused("bad_recipe", f"ComfyUI refused the workflow. {_why(answer)}")
        quoted = urllib.parse.quote(job, safe="")
        try:
            while (entry := self._ask(f"/history/{quoted}").get(job)) is None:
                watch.check(deadline, "ComfyUI")
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self._give_up(job)
            raise
        status = entry.get("status") or {}
        if status.get("status_str") == "error":
            raise _failure(status.get("messages") or [])
        query = urllib.parse.urlencode(_one_image(entry.get("outputs") or {}))
        return self._get(f"/view?{query}", None, LARGEST)

    def _give_up(self, job: str) -> None:
        """Take a picture out of the queue; end it only where it is ours that runs."""
        with contextlib.suppress(Interrupted, Refused, AttributeError, TypeError, LookupError):
            self._ask("/queue", {"delete": [job]})
            running = self._ask("/queue").get("queue_running", [])
            if any(entry[1] == job for entry in running):
                self._ask("/interrupt", {"prompt_id": job})

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON object that ``path`` answers with; {} for an empty answer."""
        data = self._get(path, body, _LARGEST_ANSWER)
        try:
            found = json.loads(data) if data.strip() else {}
        except ValueError as error:
            message = f"What answers at {self._place.url} is no ComfyUI: {path} gives no JSON."
            raise Refused("bad_recipe", message) from error
        return found if isinstance(found, dict) else {}

    def _get(self, path: str, body: Mapping[str, Any] | None, most: int) -> bytes:
        """Return the bytes of an answer, at most ``most``; with ``body`` it is a POST."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._place.url.rstrip("/") + path,
            data=data,
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._open(request, timeout=_ANSWER_SECONDS) as answer:
                found: bytes = answer.read(most + 1)
        except urllib.error.HTTPError as error:
            raise self._refusal(path, error) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = (
                f"ComfyUI does not answer at {self._place.url} ({reason}). Start it, or correct "
                "the setting comfyui_url; it is tried again."
            )
            raise Interrupted("comfyui", message) from error
        if len(found) > most:
            raise Refused("bad_recipe", f"ComfyUI's answer to {path} has more than {most} bytes.")
        return found

    def _refusal(self, path: str, error: urllib.error.HTTPError) -> Refused | Interrupted:
        """Return what an HTTP error means; 400 is how ComfyUI refuses a workflow."""
        with error:
            try:
                answer = json.loads(error.read(_LARGEST_ANSWER))
            except (ValueError, OSError):
                answer = {}
        if error.code >= 500:
            return Interrupted("comfyui", f"ComfyUI failed with status {error.code}.")
        told = _why(answer) if isinstance(answer, dict) else ""
        message = f"ComfyUI refused {path.partition('?')[0]} with status {error.code}. {told}"
        return Refused("bad_recipe", message.strip())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for what it is: not the server that was named."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow none."""


def _values(job: DrawJob, sample: DrawSample, names: list[str]) -> Values:
    """Return what the placeholders of a workflow stand for."""
    try:
        sampler, scheduler = comfyui_sampler(job.recipe.sampler)
    except Fixable as error:
        raise Refused("bad_recipe", str(error)) from error
    values = recipe_values(job, sample) | {
        "sampler": sampler,
        "scheduler": scheduler,
        "clip_layer": -job.recipe.clip_skip,  # as CLIPSetLastLayer counts
    }
    for number, (name, lora) in enumerate(zip(names, job.loras, strict=True), start=1):
        end = "" if number == 1 else str(number)
        values |= {f"lora{end}": name, f"strength{end}": float(lora.strength)}
    return {"strength": 0.0} | values


def _place(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be; whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            half = target.with_suffix(".part")
            shutil.copyfile(source, half)
            half.replace(target)
    except OSError as error:
        message = (
            f"The checkpoint cannot be put into {target.parent} for ComfyUI ({error.strerror}): "
            "let the setting comfyui_lora_folder name a folder that can be written."
        )
        raise Refused("bad_recipe", message) from error


def _one_image(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the query that fetches the picture; a saved one counts before previews."""
    images = [
        image
        for output in outputs.values()
        if isinstance(output, dict)
        for image in output.get("images") or []
        if isinstance(image, dict)
    ]
    saved = [image for image in images if image.get("type") == "output"] or images
    if len(saved) != 1:
        message = (
            f"The workflow made {len(saved)} pictures, and exactly one is needed: let it end in one "
            "SaveImage with a batch of 1."
        )
        raise Refused("bad_recipe", message)
    return {key: str(saved[0].get(key, "")) for key in ("filename", "subfolder", "type")}


def _failure(messages: list[Any]) -> Refused | Interrupted:
    """Return why a workflow that was begun did not end well."""
    facts: dict[str, Any] = {}
    for message in messages:
        if isinstance(message, list) and len(message) == 2 and isinstance(message[1], dict):
            kind, told = message
            if kind == "execution_interrupted":
                return Interrupted("comfyui", "The picture was interrupted in ComfyUI.")
            facts = told if kind == "execution_error" else facts
    words = _line(facts.get("exception_message", "it does not say why"))
    if "out of memory" in words.lower() or "OutOfMemory" in str(facts.get("exception_type")):
        return Interrupted("oom", f"ComfyUI ran out of memory: {words}")
    node = _line(facts.get("node_type", "a node"))
    return Refused("bad_recipe", f"ComfyUI could not run the workflow: {node} said: {words}")


def _why(answer: Mapping[str, Any]) -> str:
    """Return the reasons in a refusal, in one line."""
    error = answer.get("error")
    told = [error.get("message", "") if isinstance(error, dict) else error or ""]
    errors = answer.get("node_errors")
    for node, facts in errors.items() if isinstance(errors, dict) else ():
        for one in facts.get("errors", []) if isinstance(facts, dict) else []:
            if isinstance(one, dict):
                kind = facts.get("class_type", "")
                told.append(f"node {node} ({kind}): {one.get('message')}: {one.get('details')}")
    return _line("; ".join(str(part) for part in told if part))


def _line(words: Any) -> str:
    """Return foreign words in one printable line of at most 400 characters."""
    text = " ".join(str(words).split())
    return "".join(sign if sign.isprintable() else " " for sign in text)[:400]
