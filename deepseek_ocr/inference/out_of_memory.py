"""Which errors mean that memory ran out, and how much of it there is."""

from __future__ import annotations

from pathlib import Path

import torch

SIGNS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory")
"""In the messages of the plain `RuntimeError`s that torch raises, on CPU above all."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at once could succeed where this failed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in message for sign in SIGNS)


def free_bytes(device: torch.device) -> int | None:
    """What can still be taken on a device; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    return _free_host_bytes() if device.type == "cpu" else None


def _free_host_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        free = int(available.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return None
    try:  # a container's own limit; what it keeps of files goes when memory is wanted
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))  # "max": none
        used = int((group / "memory.current").read_text(encoding="ascii"))
        kept = (group / "memory.stat").read_text(encoding="ascii").split()
        return min(free, limit - used + int(kept[kept.index("file") + 1]))
    except (OSError, ValueError, IndexError):
        return free
