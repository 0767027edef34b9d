"""What a run came to, on stderr and in its log: the best checkpoint, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from ...progress import duration
from ...runlog import RunLog
from ..checkpoints.checkpoint import BEST, LAST, Position
from ..config import TrainConfig
from ..validation.validator import better
from .curves import CURVES_NAME, read_curve

SPLIT_TEST = "test.json"
"""The file of test rows that `data_utils.py` writes beside that of the train rows."""


def tell_outcome(
    config: TrainConfig,
    position: Position,
    log: RunLog,
    say: Callable[[str], None],
    *,
    num_steps: int,
    learned: int,
    seconds: float,
) -> None:
    """Of a run that has ended after `learned` steps in `seconds`: good news and bad, what is next.

    Args:
        num_steps: how many were planned in all; with fewer, patience came to its end.
    """
    if position.step < num_steps:
        log.event("early_stop", step=position.step, of=num_steps, best=position.best)
        value = position.best_value
        than = "" if value is None else f" than {value:.4f} of {position.best}"
        say(
            f"stopped early after step {position.step} of {num_steps}: "
            f"{position.bad_validations} validations without a better {config.best_metric}{than}"
        )
    if (reason := no_gain(config, position)) is not None:
        log.event("no_gain", reason=reason)
        say(f"warning: {reason}")
    steps = "step" if learned == 1 else "steps"
    say(f"{learned} {steps} in {duration(seconds)}; {_best(config, position)}")
    if (config.output_dir / CURVES_NAME).is_file():
        say(f"curves: {config.output_dir / CURVES_NAME}")
    if config.data_root is not None:
        say(f"next: {_test_command(config, config.data_root)}")


def no_gain(config: TrainConfig, position: Position) -> str | None:
    """That nothing became better than the model was before, in words, where that is so."""
    metric = config.best_metric
    before = read_curve(config.output_dir, "validation", metric).get(0)
    if position.best_value is None or before is None:
        return None
    if better(metric, position.best_value, before):
        return None
    return (
        f"no checkpoint is better than the model before training ({metric} {before:.4f}, "
        f"the best then {position.best_value:.4f} of {position.best}); lower --lr, or "
        "train longer"
    )


def _best(config: TrainConfig, position: Position) -> str:
    folder = config.output_dir / BEST
    if position.best is None or position.best_value is None:
        return f"the last checkpoint is {config.output_dir / LAST} (nothing chose a best one)"
    figure = f"{config.best_metric} {position.best_value:.4f}"
    return f"the best checkpoint is {folder} ({position.best}, {figure})"


def _test_command(config: TrainConfig, data_root: Path) -> str:
    """How the rows that nothing was learned from are read with the best checkpoint."""
    split = config.train_file.with_name(SPLIT_TEST) if config.train_file else None
    file = split if split is not None and split.is_file() else config.val_file
    words = ["python", "test.py", "--data_root", str(data_root)]
    words += ["--test_file", "TEST_FILE" if file is None else str(file)]
    words += ["--model_path", str(config.output_dir / BEST), "--output_dir", "results"]
    return shlex.join(words)
