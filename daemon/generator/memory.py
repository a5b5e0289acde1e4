"""Memory of the drawing process: how much it holds, how much it may hold, and how to need less."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.rules.beside import Squeeze

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTEXT = 512 * 1024**2  # bytes of a GPU that CUDA and its libraries take beside torch's own


def hold_at_most(limit: int | None, device: torch.device) -> None:
    """Let this process hold at most ``limit`` bytes of the memory it draws in; None: no limit.

    What is more fails here, as memory that ran out, and never in the process of somebody else.
    """
    if device.type == "cuda":
        total = torch.cuda.mem_get_info(device)[1]
        share = 1.0 if limit is None else min(1.0, max(0, limit - _CONTEXT) / total)
        torch.cuda.set_per_process_memory_fraction(share, device)
    elif device.type == "mps":
        total = torch.mps.recommended_max_memory()
        share = 1.0 if limit is None else min(1.0, limit / max(1, total))
        torch.mps.set_per_process_memory_fraction(share)
    elif sys.platform == "linux":
        import resource

        _, hardest = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(
            resource.RLIMIT_DATA, (resource.RLIM_INFINITY if limit is None else limit, hardest)
        )


def start_counting(device: torch.device) -> None:
    """Forget the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): VmHWM


def memory_facts(device: torch.device, *, at_rest: bool) -> dict[str, Any]:
    """Return bytes: "held" and "peak" of this process; "total" and "free" of a GPU, else None.

    ``at_rest``: give what torch keeps for later back first, since a trainer may need it now.
    """
    if at_rest:
        _give_back(device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) + _CONTEXT
        peak = torch.cuda.max_memory_reserved(device) + _CONTEXT
        return _facts(device, held, peak, total, free)
    if device.type == "mps":
        driver = int(torch.mps.driver_allocated_memory())
        return _facts(device, driver, driver, None, None)
    return _facts(device, *_resident(), None, None)


def place(pipeline: Any, device: torch.device, squeeze: Squeeze) -> None:
    """Put ``pipeline`` where it draws, the way ``squeeze`` asks for.

    "sliced" runs the UNet for one latent at a time, with and without the prompt apart, and the VAE
    in tiles; torch's own attention works in slices already. "offloaded" also keeps in the memory
    of the device only the model that is at work.
    """
    if device.type == "cuda" or squeeze != "none":
        pipeline.vae.enable_slicing()  # decoding a whole batch at once needs gigabytes
    if squeeze != "none":
        pipeline.vae.enable_tiling()
        if getattr(pipeline, "unet", None) is not None:
            pipeline.unet.forward = _one_by_one(pipeline.unet.forward)
    if squeeze == "offloaded":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _give_back(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _one_by_one(forward: Callable[..., Any]) -> Callable[..., tuple[torch.Tensor]]:
    """Return the UNet's ``forward`` for a batch, done one latent at a time."""

    def sliced(
        sample: torch.Tensor, timestep: Any, *args: Any, **options: Any
    ) -> tuple[torch.Tensor]:
        count = sample.shape[0]
        drawn = []
        for index in range(count):
            part = [_part(one, index, count) for one in (sample, timestep, *args)]
            named = {name: _part(one, index, count) for name, one in options.items()}
            drawn.append(forward(*part, **(named | {"return_dict": False}))[0])
        return (torch.cat(drawn),)

    return sliced


def _part(value: Any, index: int, count: int) -> Any:
    """Return the part of an argument that belongs to one latent of ``count``."""
    if isinstance(value, dict):
        return {name: _part(one, index, count) for name, one in value.items()}
    if isinstance(value, torch.Tensor) and value.ndim > 0 and value.shape[0] == count:
        return value[index : index + 1]
    return value


def _facts(
    device: torch.device, held: int | None, peak: int | None, total: int | None, free: int | None
) -> dict[str, Any]:
    return {"on": device.type, "held": held, "peak": peak, "total": total, "free": free}


def _resident() -> tuple[int | None, int | None]:
    """Return the main memory this process holds and held at most, as Linux counts it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None, None
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    if len(found) != 2:
        return None, None
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024
