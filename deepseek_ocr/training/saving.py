"""Writing a run's checkpoint, its links and curves; deleting what it outdates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from .checkpoint import (
    BEST,
    LAST,
    Position,
    link,
    remove_checkpoint,
    remove_old_steps,
    save_checkpoint,
)
from .curves import draw_curves
from .failures import TrainingError
from .step import everyones

if TYPE_CHECKING:
    from .loop import Training

TRAINED = "trained"
"""The name of a checkpoint's file of what trains, where the model's own weights are its average."""


def save_run(training: Training, name: str) -> None:
    """Write the checkpoint `name` with its links, and the curves; every process calls it.

    Raises:
        TrainingError: in all of them, if it cannot be written; those before it are whole.
    """
    reason = ""
    try:
        _write(training, name)
    except (OSError, SafetensorError) as error:
        reason = str(error)
    if reason := "".join(everyones(training.accelerator, reason)):
        raise TrainingError(
            f"{training.config.output_dir / name}: cannot be written ({reason})\n"
            "Make room; the same command then goes on from the checkpoint before"
        )


def _write(training: Training, name: str) -> None:
    folder, keep = training.config.output_dir, training.config.keep
    scaler, average = training.accelerator.scaler, training.average
    path = save_checkpoint(
        folder,
        name,
        model=training.accelerator.unwrap_model(training.model),
        processor=training.processor,
        optimizer=getattr(training.optimizer, "optimizer", training.optimizer),
        position=training.position,
        run=training.run,
        scaler=None if scaler is None else scaler.state_dict(),
        extra={} if average is None else {TRAINED: average.tensors()},
    )
    if not training.is_main:
        return
    set_links(folder, name, training.position)
    _remove_best_before(training)
    if keep is not None:
        remove_old_steps(folder, keep)
    training.log.event("saved", step=training.position.step, path=path)
    draw_curves(folder)


def _remove_best_before(training: Training) -> None:
    """A checkpoint that was saved only because it was the best, and is so no more."""
    name = training.best_before
    if name in (None, training.position.best) or not str(name).startswith("step-"):
        return
    path = training.config.output_dir / str(name)
    asked_for = is_due(int(path.name.removeprefix("step-")), training.config.save_steps)
    if path.is_dir() and not asked_for:
        remove_checkpoint(path)


def set_links(output_dir: Path, name: str, position: Position) -> None:
    """`last` -> `name`; `best` -> the best by validation, without one the same as `last`."""
    link(output_dir, LAST, name)
    best = position.best if position.best and (output_dir / position.best).is_dir() else name
    link(output_dir, BEST, best)


def is_due(step: int, interval: int | None) -> bool:
    """Whether something is done after this step that is done after every so many; None: never."""
    return interval is not None and step % interval == 0
