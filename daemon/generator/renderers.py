"""Choose who draws a job: the resident pipeline, a command of the user's, or their ComfyUI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from core.errors import Fixable
from daemon.generator.client import Event, Refused
from daemon.generator.job import DrawJob, LoraFile
from daemon.generator.renderer import Renderer, Resident
from daemon.generator.renderer_comfyui import ComfyUI, ComfyUIRenderer
from daemon.generator.renderer_command import CommandRenderer

if TYPE_CHECKING:
    from types import TracebackType

    from core.settings import Settings

OWN = "diffusers"
_SETTING = {"command": "renderer_command", "comfyui": "comfyui_workflow"}


def renderer_of(kind: str, settings: Settings) -> CommandRenderer | ComfyUIRenderer:
    """Return the renderer ``kind`` ("command", "comfyui") as the settings describe it.

    Raises:
        Fixable: the settings do not describe it, or what they name cannot be used.
    """
    if kind == "command" and settings.renderer_command:
        return CommandRenderer(settings.renderer_command)
    if kind == "comfyui" and settings.comfyui_workflow is not None:
        place = ComfyUI(
            url=settings.comfyui_url,
            workflow=settings.comfyui_workflow,
            lora_folder=settings.comfyui_lora_folder,
            lora_prefix=settings.comfyui_lora_prefix,
        )
        return ComfyUIRenderer(place)
    setting = _SETTING.get(kind)
    hint = f"set {setting} in epochwatch.toml" if setting else "known: diffusers, command, comfyui"
    raise Fixable(f"The renderer {kind!r} cannot be used on this machine: {hint}.")


def renderer_identity(wanted: str, settings: Settings) -> str:
    """Return what a recipe that asks for ``wanted`` is stored with: "command:<12 hex digits>".

    The digits name the command line or workflow, since another one draws other pictures.

    Raises:
        Fixable: it cannot be used here, or ``wanted`` names another command line or workflow.
    """
    kind, _, pinned = wanted.partition(":")
    if kind == OWN:
        return OWN
    found = renderer_of(kind, settings).identity
    if pinned and wanted != found:
        raise Fixable(_changed(wanted, found))
    return found


class Renderers:
    """Draws each job with the renderer its recipe names."""

    def __init__(self, own: Resident, settings: Settings) -> None:
        """Draw with ``own``, except what a recipe asks another one for."""
        self._own = own
        self._settings = settings

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close them all."""
        self.close()

    def draw(
        self,
        job: DrawJob,
        on_event: Callable[[Event], None],
        *,
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Draw all samples of ``job``; raises as ``Generator.draw`` does."""
        renderer: Renderer = self._own
        if job.recipe.renderer != OWN:
            renderer = self._other(job.recipe.renderer)
        if job.samples:
            renderer.draw(job, on_event, image_timeout=image_timeout, should_stop=should_stop)

    def prefetch(self, loras: Iterable[LoraFile], base: Path | None = None) -> None:
        """Let the resident pipeline read ahead; other programs read for themselves."""
        self._own.prefetch(loras, base)

    def close(self) -> None:
        """Close them all."""
        self._own.close()

    def _other(self, wanted: str) -> Renderer:
        """Return the renderer that ``wanted`` pins, or raise Refused."""
        kind, _, pinned = wanted.partition(":")
        try:
            found = renderer_of(kind, self._settings)
        except Fixable as error:
            raise Refused("bad_recipe", str(error)) from error
        if pinned and found.identity != wanted:
            raise Refused("bad_recipe", _changed(wanted, found.identity))
        return found


def _changed(wanted: str, found: str) -> str:
    """Return the sentence for a template that is not the one a test was planned with."""
    return (
        f"The test is drawn with {wanted}, and the settings now describe {found}: a changed command "
        "line or workflow draws other pictures, which cannot be compared. Put the old one back, or "
        "start a new run."
    )
