"""A ComfyUI workflow in API format: read, checked, its placeholders filled and loaders bypassed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

from core.errors import Fixable
from daemon.generator.renderer import Values, fill, placeholders

_LARGEST = 16 * 2**20  # bytes
_NEEDED = ("prompt", "seed")
_LORA = re.compile(r"lora(\d*)")
_PASSED_ON = ("model", "clip")  # outputs of LoraLoader, in order, and the inputs they come from


def read_workflow(path: Path) -> dict[str, Any]:
    """Return the nodes of a workflow by their id.

    Raises:
        Fixable: it cannot be read, is not in API format, or would ignore prompt or seed.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise Fixable(f"The ComfyUI workflow {path} has more than {_LARGEST} bytes.")
        body = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise Fixable(f"The ComfyUI workflow {path} cannot be read: {error}") from error
    nodes = body if isinstance(body, dict) else {}
    if not nodes or not all(_is_node(node) for node in nodes.values()):
        raise Fixable(
            f"{path} is no ComfyUI workflow in API format. Export it with 'Export (API)' in "
            "ComfyUI's menu (with older versions: 'Save (API Format)' after enabling dev mode)."
        )
    used = _used(nodes)
    lacking = [name for name in _NEEDED if name not in used]
    if lacking:
        names = " and ".join(f"{{{name}}}" for name in lacking)
        raise Fixable(
            f"The ComfyUI workflow {path} has no {names}, so every picture would be the same. Write "
            "{prompt} as the text of the positive CLIPTextEncode and {seed} as the seed."
        )
    return nodes


def filled(nodes: dict[str, Any], values: Values) -> dict[str, Any]:
    """Return the workflow with every placeholder filled in; numbers become numbers.

    Raises:
        Refused: a placeholder is not known.
    """
    done: dict[str, Any] = _map_text(
        nodes, lambda text: fill(text, values, where="The ComfyUI workflow")
    )
    return done


def lora_slots(nodes: dict[str, Any]) -> int:
    """Return how many LoRAs the workflow has placeholders for: {lora}, {lora2}, ..."""
    used = _used(nodes)
    count = 0
    while ("lora" if count == 0 else f"lora{count + 1}") in used:
        count += 1
    return count


def bypassed(nodes: dict[str, Any], *, after: int) -> dict[str, Any]:
    """Return the workflow without the loaders of the LoRAs beyond the first ``after``.

    What came into such a loader goes to those that took what came out of it, as ComfyUI's own
    bypass does it, so that a baseline is drawn by the plain model.

    Raises:
        Fixable: a node with such a placeholder passes nothing on.
    """
    rest = copy.deepcopy(nodes)
    for number, node in nodes.items():
        slots = [int(found[1] or 1) for name in _used(node) if (found := _LORA.fullmatch(name))]
        if slots and min(slots) > after:
            _bypass(rest, number)
    return rest


def _bypass(nodes: dict[str, Any], number: str) -> None:
    """Take one loader out."""
    inputs = nodes.pop(number)["inputs"]
    sources = [inputs.get(name) for name in _PASSED_ON]
    for node in nodes.values():
        for name, value in node["inputs"].items():
            if not _is_link(value) or value[0] != number:
                continue
            source = sources[value[1]] if 0 <= value[1] < len(sources) else None
            if not _is_link(source):
                raise Fixable(
                    f"The ComfyUI workflow cannot be drawn without its LoRA: node {number} takes "
                    "no model that could be passed on. Put {lora} into a LoraLoader."
                )
            node["inputs"][name] = source


def _is_link(value: Any) -> bool:
    """Return whether an input comes from another node: [id, number of its output]."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _is_node(node: Any) -> bool:
    return (
        isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    )


def _used(value: Any) -> set[str]:
    """Return the placeholders in a node or a whole workflow."""
    found: set[str] = set()

    def note(text: str) -> str:
        found.update(placeholders(text))
        return text

    _map_text(value, note)
    return found


def _map_text(value: Any, change: Any) -> Any:
    """Return ``value`` with ``change`` applied to each text in it; keys are left alone."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_text(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _map_text(one, change) for key, one in value.items()}
    return value
