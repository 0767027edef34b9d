"""What a run left behind, and ways to end one early."""

from __future__ import annotations

from pathlib import Path

from deepseek_ocr.training import TrainConfig, loop
from deepseek_ocr.training.reporting.curves import read_curve


def content_of(path: Path) -> dict[str, bytes]:
    """Every file of a checkpoint: name -> bytes."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def losses_of(config: TrainConfig) -> dict[int, float]:
    return read_curve(config.output_dir, "step", "loss")


def weights_of(config: TrainConfig) -> bytes:
    return (config.output_dir / "last" / "model.safetensors").read_bytes()


def events_of(config: TrainConfig) -> list[str]:
    """The events of the log, in order."""
    lines = (config.output_dir / "experiment_logs.txt").read_text().splitlines()
    return [line.split()[2].removeprefix("event=") for line in lines]


def interrupt_after(monkeypatch, step, how):
    """Let step number `step` of the next run end with `how()`, once its weights have changed."""
    original, count = loop.train_step, iter(range(1, 1000))

    def stopping(*args, **kwargs):
        result = original(*args, **kwargs)
        if next(count) == step:
            how()
        return result

    monkeypatch.setattr(loop, "train_step", stopping)
    return lambda: monkeypatch.setattr(loop, "train_step", original)


class Killed(BaseException):
    """Ends a run as a kill would: nothing of ours catches it."""


def killed():
    raise Killed
