"""Figures of a run for other programs: TensorBoard, and W&B or MLflow where they are installed.

Each is imported only when asked for with `--track`, and only then may anything use the network.
A run that goes on continues its log there, without showing a step twice.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...errors import UsageError, UserError
from ...files import write_atomic

TENSORBOARD_FOLDER = "tensorboard"
TRACKING_NAME = "tracking.json"
"""Holds which W&B and MLflow runs are this one's."""
PROJECT = "deepseek-ocr"
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
FLUSH_SECONDS = 10
_NOT_FIGURES = ("step", "epoch")

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Somewhere that figures go."""

    def log(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        """The numbers and texts of an event (`step`, `validation`, ...) after so many steps."""

    def close(self) -> None:
        """Nothing comes any more."""


def check_trackers(names: Sequence[str]) -> None:
    """Whether what is asked for is installed; nothing is imported.

    Raises:
        UsageError: it is not; the message has the command that installs it.
    """
    for name in names:
        package = PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                f"--track {name} needs the package {package}, which is not installed: "
                f"pip install {package}"
            )


def open_trackers(names: Sequence[str], output_dir: Path, config: Any) -> Tracker:
    """One tracker for all programs of those names; `config` has `to_json()`.

    Nothing is written or sent before the first figures come: what may still be refused is then
    known to be good.

    Raises:
        UsageError: a program is not installed.
    """
    check_trackers(names)
    return _All(names, output_dir, config)


class _All:
    """Passes everything on to each program; one that fails is told of once, and left out."""

    def __init__(self, names: Sequence[str], output_dir: Path, config: Any):
        self.names, self.output_dir, self.config = names, output_dir, config
        self.trackers: dict[str, Tracker] | None = None

    def log(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        """Raises:
        UserError: with the first figures, if a program cannot be started.
        """
        if self.trackers is None:
            self.trackers = {name: self._open(name, step) for name in self.names}
        for name in list(self.trackers):
            with self._or_left_out(name):
                self.trackers[name].log(event, figures, step)

    def close(self) -> None:
        for name in list(self.trackers or {}):
            with self._or_left_out(name):
                self.trackers.pop(name).close()  # type: ignore[union-attr]

    def _open(self, name: str, step: int) -> Tracker:
        try:
            return _PROGRAMS[name](self.output_dir, self.config.to_json(), step)
        except Exception as error:  # whatever these programs raise
            raise UserError(
                f"--track {name}: cannot be started ({type(error).__name__}: {error}); set it up, "
                "or leave it out of --track"
            ) from error

    @contextlib.contextmanager
    def _or_left_out(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  a server that is gone must not end a training
            (self.trackers or {}).pop(name, None)
            logger.warning(
                "--track %s failed and gets no more figures (%s: %s); metrics.jsonl has them all",
                name,
                type(error).__name__,
                error,
            )


def numbers(event: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """`train/loss`, `validation/cer`, `guard/cer`, ... -> value; texts and the like left out."""
    return {
        _tag(event, name): float(value)
        for name, value in figures.items()
        if name not in _NOT_FIGURES
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }


def texts(event: str, figures: Mapping[str, Any]) -> dict[str, str]:
    """`validation sample 1/prediction`, ... -> text."""
    return {_tag(event, name): value for name, value in figures.items() if isinstance(value, str)}


def _tag(event: str, name: str) -> str:
    if name.startswith("guard_"):
        return f"guard/{name.removeprefix('guard_')}"
    return f"{'train' if event == 'step' else event}/{name}"


class _TensorBoard:
    """Event files in a folder; what a stopped run wrote from the first step here on is dropped."""

    def __init__(self, output_dir: Path, config: Mapping[str, Any], step: int):
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(
            logdir=str(output_dir / TENSORBOARD_FOLDER),
            purge_step=step,
            flush_secs=FLUSH_SECONDS,
            # else two runs that begin in the same second would write over each other
            filename_suffix=f".{time.time_ns()}",
        )
        self.writer.add_text("arguments", _as_code(json.dumps(config, indent=2)), step)

    def log(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        for tag, value in numbers(event, figures).items():
            self.writer.add_scalar(tag, value, step)
        for tag, text in texts(event, figures).items():
            self.writer.add_text(tag, _as_code(text), step)

    def close(self) -> None:
        self.writer.close()


def _as_code(text: str) -> str:
    """As Markdown that shows the text and nothing but the text."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


class _Wandb:
    """A W&B run; one that goes on ignores steps that it has (its `step` never goes back)."""

    def __init__(self, output_dir: Path, config: Mapping[str, Any], step: int):
        import wandb

        known = _read_ids(output_dir).get("wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=output_dir.name,
            config=dict(config),
            dir=str(output_dir),
            id=known,
            resume="allow" if known else None,
        )
        _keep_id(output_dir, "wandb", self.run.id)

    def log(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        self.run.log({**numbers(event, figures), **texts(event, figures)}, step=step)

    def close(self) -> None:
        self.run.finish()


class _Mlflow:
    """An MLflow run; of one that goes on, the steps that it has are not sent again."""

    def __init__(self, output_dir: Path, config: Mapping[str, Any], step: int):
        import mlflow

        self.mlflow = mlflow
        known = _read_ids(output_dir).get("mlflow")
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        self.id = mlflow.start_run(run_id=known, run_name=output_dir.name).info.run_id
        self.sent: dict[str, int] = {}
        if known is None:
            mlflow.log_params({key: str(value)[:500] for key, value in config.items()})
            _keep_id(output_dir, "mlflow", self.id)
        self.resumed = known is not None

    def log(self, event: str, figures: Mapping[str, Any], step: int) -> None:
        found = {
            tag: value for tag, value in numbers(event, figures).items() if math.isfinite(value)
        }
        new = {tag: value for tag, value in found.items() if step > self._last_step(tag)}
        if new:
            self.mlflow.log_metrics(new, step=step)
        for tag, text in texts(event, figures).items():
            name = tag.replace(" ", "_").replace("/", "-")
            self.mlflow.log_text(text, f"samples/step-{step}/{name}.txt")

    def _last_step(self, tag: str) -> int:
        """The last step that the run had of a figure when it was opened here."""
        if not self.resumed:
            return -1
        if tag not in self.sent:
            history = self.mlflow.MlflowClient().get_metric_history(self.id, tag)
            self.sent[tag] = max((metric.step for metric in history), default=-1)
        return self.sent[tag]

    def close(self) -> None:
        self.mlflow.end_run()


_PROGRAMS: dict[str, Callable[[Path, Mapping[str, Any], int], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
    "mlflow": _Mlflow,
}


def _read_ids(output_dir: Path) -> dict[str, str]:
    """Name of a program -> its run's id; none where nothing (readable) was kept."""
    try:
        found = json.loads((output_dir / TRACKING_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep_id(output_dir: Path, name: str, run_id: str) -> None:
    ids = _read_ids(output_dir) | {name: run_id}
    write_atomic(output_dir / TRACKING_NAME, json.dumps(ids) + "\n")
