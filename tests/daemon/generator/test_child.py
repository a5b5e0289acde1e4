"""The child: what kind of trouble an exception is, since that decides what happens next."""

from __future__ import annotations

import pytest
import torch

from daemon.generator.child import classify
from daemon.generator.job import EXIT_CODES, JobError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "cuda"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "cuda"),
        (JobError("bad_lora", "half a match"), "bad_lora"),
        (OSError(28, "No space left on device"), "internal"),
        (ZeroDivisionError(), "internal"),
    ],
)
def test_trouble_is_sorted(error: Exception, kind: str) -> None:
    """Memory and GPU errors poison a process; a bad file does not."""
    found, message = classify(error)
    assert found == kind
    assert message


def test_only_a_useless_child_ends_itself() -> None:
    """The exit codes are those of the kinds after which nothing can be trusted."""
    assert EXIT_CODES == {"internal": 1, "oom": 10, "cuda": 11}
