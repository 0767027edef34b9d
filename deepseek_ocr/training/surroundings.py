"""Whether a run can take place as it was started here; told at once, before torch is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .reporting.trackers import check_trackers

if TYPE_CHECKING:
    from .config import TrainConfig

COUNTS_OF_PROCESSES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""What torchrun, or MPI under `accelerate launch`, tells each process."""


def check_surroundings(config: TrainConfig) -> None:
    """Refuse what this machine, or the way of starting, does not have.

    Raises:
        UsageError: `--fsdp` in a single process, a tracker that is not installed, a `--resume`
            that is no folder.
    """
    if config.fsdp and not any(os.environ.get(name) for name in COUNTS_OF_PROCESSES):
        raise UsageError(
            "--fsdp shares the model among processes, and this is the only one; start several by "
            "`torchrun --nproc_per_node=N train.py ...`, or leave --fsdp out"
        )
    check_trackers(config.trackers)
    if config.resume not in ("auto", "none") and not Path(config.resume).is_dir():
        raise UsageError(
            f"--resume: {config.resume} is no folder; expected auto, none, or a checkpoint in the "
            "output folder"
        )
