"""Which checkpoints of a run stay: decided by what is in the folder, not by who wrote it when.

A run that was killed at any moment removes at its next start what it would have removed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .checkpoint import (
    HEADS,
    STATE,
    Checkpoint,
    Position,
    find_checkpoints,
    remove_checkpoint,
)
from .state import STATE_FOLDER


def remove_outdated(
    output_dir: Path, position: Position, *, keep: int | None, save_only_model: bool
) -> None:
    """Delete the checkpoints that a run at this position needs no more.

    With `save_only_model` those before the last lose what is needed only to go on from them.
    """
    found = find_checkpoints(output_dir)
    gone = outdated(found, position, keep)
    for path in gone:
        remove_checkpoint(path)
    if save_only_model:
        for checkpoint in _so_far(found, position)[:-1]:
            if checkpoint.path not in gone:
                _leave_the_model(checkpoint.path)


def outdated(found: Sequence[Checkpoint], position: Position, keep: int | None) -> list[Path]:
    """The folders to delete among those found, which are in the order of their steps.

    The last one and the best stay. Of the others those that were asked for, an epoch's and those of
    `--save_steps`; with `keep` the newest of them, so that with the last there are so many. What
    lies after the position, where a run goes on from an earlier checkpoint, is not touched.
    """
    if not (so_far := _so_far(found, position)):
        return []
    *before, last = so_far
    asked_for = [checkpoint.path.name for checkpoint in before if checkpoint.asked_for]
    if keep is not None:
        asked_for = asked_for[max(len(asked_for) - (keep - 1), 0) :]
    staying = {*asked_for, last.path.name, position.best}
    return [checkpoint.path for checkpoint in before if checkpoint.path.name not in staying]


def _so_far(found: Sequence[Checkpoint], position: Position) -> list[Checkpoint]:
    return [checkpoint for checkpoint in found if checkpoint.position.step <= position.step]


def _leave_the_model(checkpoint: Path) -> None:
    """Delete the tensors of `trainer_state/`, but for the heads, which are weights.

    Where the run was stays known.
    """
    for file in sorted((checkpoint / STATE_FOLDER).iterdir()):
        if file.name not in (STATE, HEADS):
            file.unlink()
