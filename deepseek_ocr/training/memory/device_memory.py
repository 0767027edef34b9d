"""How much memory a device has for this process: what is free, and what the process holds."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
_MEMINFO, _STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
_PAIRS = (
    # version 2 of the kernel's control groups, then version 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def memory_of(device: torch.device) -> int | None:
    """Bytes that this process may come to on `device`; None where nobody says."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return _main_memory()


def _main_memory() -> int | None:
    """Of the machine, or of the container that this process runs in."""
    free = [bytes_ for bytes_ in (_free_of_machine(), _free_of_container()) if bytes_ is not None]
    return min(free) + held_by_this_process() if free else None


def _free_of_machine() -> int | None:
    """Bytes that can be had without swapping."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        if sys.platform == "darwin":  # no count of what is free: half is a fair guess
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        return None
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(entries["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in entries else None


def _free_of_container(root: Path = CGROUP) -> int | None:
    """Bytes below the limit of the control group; None without one."""
    for limit, usage in _PAIRS:
        try:
            most = (root / limit).read_text(encoding="ascii").strip()
            used = int((root / usage).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        # what files left in memory counts as used, though it would give way
        return None if most == "max" else max(0, int(most) - used + _cached(root / limit))
    return None


def _cached(limit: Path) -> int:
    try:
        lines = (limit.parent / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    entries = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(entries.get("inactive_file", 0)) + int(entries.get("active_file", 0))


def held_by_this_process() -> int:
    """Bytes of main memory that this process holds already."""
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_memory(device: torch.device) -> int:
    """Bytes: the most that tensors took on CUDA, else the most that this process held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
