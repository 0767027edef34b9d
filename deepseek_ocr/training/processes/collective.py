"""What the processes of a run tell each other: sums, and what each has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

Count = TypeVar("Count", int, float)


def totals(accelerator: Accelerator, counts: Sequence[Count]) -> list[Count]:
    """Each count, summed over all processes."""
    if accelerator.num_processes == 1:
        return list(counts)
    dtype = torch.float64 if isinstance(counts[0], float) else torch.int64
    return accelerator.reduce(torch.tensor(counts, dtype=dtype, device=accelerator.device)).tolist()


def everyones(accelerator: Accelerator, value: Any) -> list[Any]:
    """What each process gave, in the order of the processes."""
    return gather_object([value]) if accelerator.num_processes > 1 else [value]
