"""What is written down of a run: with what it started, what it took; for people and programs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ...progress import Progress
from ...runlog import processor_name, revision, versions
from ..checkpoints.identity import id_of
from ..config import TrainConfig
from ..drawn.heads import without_heads
from ..memory.device_memory import peak_memory
from ..tuning.parts import count_by_part, formats_by_part, parts_table
from ..tuning.trainable import rates_by_part

if TYPE_CHECKING:
    from ..loop import Training


def log_start(training: Training, num_rows: Mapping[str, int]) -> None:
    """The event `start`: what identifies the run, the machine, settings and data.

    In `metrics.jsonl` all settings; for people first those that are not the defaults, at the end
    of the line the others. Args: `num_rows`: name of a file -> its rows.
    """
    accelerator, config = training.accelerator, training.config
    facts: dict[str, Any] = {
        "run": id_of(training.run),
        "steps": training.num_steps,
        "from_step": training.position.step,
        **num_rows,
        "versions": versions(),
        "revision": revision(),
        "device": str(accelerator.device),
        "device_name": device_name(accelerator.device),
        "precision": accelerator.mixed_precision,
        "num_processes": accelerator.num_processes,
        "sha256": training.run["sha256"],
        "base_model": training.run["base_model"],
    }
    chosen, rest = split_settings(config)
    training.log.event("start", arguments=chosen, **facts, defaults=rest)
    training.log.figures("start", **facts, arguments=chosen | rest)


def split_settings(config: TrainConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that are not the defaults, and those that are, as JSON values."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    values = config.to_json()
    chosen = {k: v for k, v in values.items() if getattr(config, k) != defaults[k]}
    return chosen, {k: v for k, v in values.items() if k not in chosen}


def device_name(device: torch.device) -> str:
    """The model of the GPU or CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def log_end(training: Training, began: float) -> None:
    """The event `end`; `began`: when this process started to train, by `time.monotonic`."""
    training.log.metrics(
        "end",
        step=training.position.step,
        best_value=training.position.best_value,
        best=training.position.best,
        seconds=round(time.monotonic() - began, 1),
        peak_memory_gb=round(peak_memory(training.accelerator.device) / 1e9, 3),
    )


def tell_parts(training: Training, *, log: bool = True) -> None:
    """The table of what trains, on stderr; with `log` as the event `parts`, too."""
    own = without_heads(training.accelerator.unwrap_model(training.model))
    counts, formats = count_by_part(own), formats_by_part(own)
    if log:
        trained, frozen = ({part: pair[i] for part, pair in counts.items()} for i in (0, 1))
        training.log.event("parts", trained=trained, frozen=frozen, formats=formats)
    quiet = training.quiet or not training.is_main
    say = Progress(0, "steps", "train", quiet=quiet).message
    say(parts_table(counts, formats, rates_by_part(training.config)))
