"""Whether the output folder's disk has room for the checkpoints of a run, before its first step."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...errors import UserError
from ...model.late_imports import is_adapted
from ..drawn.heads import without_heads
from ..memory.estimate import OPTIMIZER_BYTES, gigabytes
from ..memory.parameter_counts import factors_of
from ..optimization.step import everyones

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..loop import Training

FACTOR_BYTES = 4


def check_disk(training: Training) -> str | None:
    """What to tell where the run's checkpoints will not all fit; None where they do.

    Every process calls it; the main one looks.

    Raises:
        UserError: in all processes, if not even one fits.
    """
    reason, warning = "", None
    if training.is_main:
        reason, warning = _judge(training)
    if reason := "".join(everyones(training.accelerator, reason)):
        raise UserError(reason)
    return warning


def _judge(training: Training) -> tuple[str, str | None]:
    """Why the run cannot save at all, and what to warn of; empty and None where all is well."""
    config = training.config
    size, free = checkpoint_bytes(training), free_bytes(config.output_dir)
    wanted, fitting = most_at_once(training), int(free // max(size, 1))
    if fitting >= wanted:
        return "", None
    found = (
        f"{config.output_dir}: a checkpoint takes about {gigabytes(size)}, and {gigabytes(free)} "
        "are free there"
    )
    if not fitting:
        return f"{found}; make room, or name another --output_dir", None
    fewer = "" if config.keep is not None else "--keep 1, --save_only_model or "
    return "", (
        f"warning: {found}: room for {fitting}, while the run comes to write {wanted} that stay; "
        f"make room, or use {fewer}another --output_dir"
    )


def checkpoint_bytes(training: Training) -> int:
    """Of the weights that are saved, of the optimizer's state, and of what an average stands for.

    Small files, such as the tokenizer, are not counted.
    """
    model: nn.Module = training.accelerator.unwrap_model(training.model)
    own = without_heads(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    saved = [p for p in own.parameters() if p.requires_grad or not is_adapted(own)]
    average = bytes_of(trained) if training.average is not None else 0
    heads = bytes_of(model.parameters()) - bytes_of(own.parameters())
    return bytes_of(saved) + _optimizer_bytes(training.config, trained) + average + heads


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Of whole tensors, also where processes share them."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _optimizer_bytes(config: TrainConfig, trained: list[nn.Parameter]) -> int:
    if config.optimizer == "adafactor":
        return sum(factors_of(tuple(p.shape)) for p in trained) * FACTOR_BYTES
    return int(sum(p.numel() for p in trained) * OPTIMIZER_BYTES[config.optimizer])


def free_bytes(folder: Path) -> int:
    """Free for us on the disk of a folder that may not exist yet."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def most_at_once(training: Training) -> int:
    """Checkpoints still to come that lie there at the same time, the one being written included.

    At least two: a checkpoint is whole before the one before it goes.
    """
    config, position = training.config, training.position
    epochs = max(config.epochs - position.epoch + 1, 1) if config.synth is None else 1
    left = training.num_steps - position.step
    planned = min(epochs, left) + (left // config.save_steps if config.save_steps else 0)
    if config.keep is not None:
        planned = min(planned, config.keep + 1)
    return max(planned, 2)
