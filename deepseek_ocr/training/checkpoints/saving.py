"""Writing a run's checkpoint, its links and curves; deleting what it outdates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from ..failures import TrainingError
from ..optimization.step import everyones
from ..reporting.curves import draw_curves
from .checkpoint import (
    BEST,
    LAST,
    Position,
    link,
    read_checkpoint,
    save_checkpoint,
)
from .retention import remove_outdated

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..loop import Training

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
            f"Make room; the same command then {_what_follows(training.config.output_dir)}"
        )


def _what_follows(output_dir: Path) -> str:
    """Where the run goes on, in words, when a checkpoint or what follows it cannot be written."""
    last = output_dir / LAST
    if not last.is_dir():
        return "starts again from the beginning"
    step = read_checkpoint(last.resolve()).position.step
    return f"goes on from {last.readlink()}, after step {step}"


def _write(training: Training, name: str) -> None:
    config, position = training.config, training.position
    scaler, average = training.accelerator.scaler, training.average
    due = is_due(position.step, config.save_steps) and not position.validation_due
    path = save_checkpoint(
        config.output_dir,
        name,
        model=training.accelerator.unwrap_model(training.model),
        processor=training.processor,
        optimizer=getattr(training.optimizer, "optimizer", training.optimizer),
        position=position,
        run=training.run,
        scaler=None if scaler is None else scaler.state_dict(),
        extra={} if average is None else {TRAINED: average.tensors()},
        asked_for=due or name.startswith("epoch-"),
    )
    if training.is_main:
        tidy(config, name, position)
        training.log.metrics("saved", step=position.step, path=path)
        draw_curves(config.output_dir)


def tidy(config: TrainConfig, name: str, position: Position) -> None:
    """What follows a checkpoint's folder, and its run's next start if it was killed in between:
    links to it, and no checkpoints that it outdates.
    """
    set_links(config.output_dir, name, position)
    remove_outdated(
        config.output_dir,
        position,
        keep=config.keep,
        save_only_model=config.save_only_model,
    )


def set_links(output_dir: Path, name: str, position: Position) -> None:
    """`last` -> `name`; `best` -> the best by validation, without one the same as `last`."""
    link(output_dir, LAST, name)
    best = position.best if position.best and (output_dir / position.best).is_dir() else name
    link(output_dir, BEST, best)


def is_due(step: int, interval: int | None) -> bool:
    """Whether something is done after this step that is done after every so many; None: never."""
    return interval is not None and step % interval == 0
