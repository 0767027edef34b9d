"""What identifies a run, and where one goes on: an output folder holds one run only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import UsageError, UserError
from ..files import sha256_of
from ..model.loading import ADAPTER_CONFIG, ADAPTER_WEIGHTS, base_model_record
from ..model.presets import PRESETS
from ..model.quantization import FORMAT
from .checkpoint import Checkpoint, check_not_in_the_way, find_checkpoints, read_checkpoint
from .config import TrainConfig
from .step import everyones


def describe_run(
    config: TrainConfig, sha256: Mapping[str, str | None], num_processes: int
) -> dict[str, Any]:
    """What identifies a run: the settings, data and base model that decide what is learned."""
    base = describe_base(config.model_path) | {"seed": config.seed}
    if config.tune == "qlora":
        base["quantization"] = FORMAT  # the adapter has learned beside rounded weights
    return {
        "settings": config.deciding() | {"num_processes": num_processes},
        "sha256": dict(sha256),
        "base_model": base,
    }


def describe_base(source: str) -> dict[str, Any]:
    """A base model's name or path with the SHA-256 of its weights; also of an adapter's folder."""
    folder = Path(source)
    if source not in PRESETS and (folder / ADAPTER_CONFIG).exists():
        weights = folder / ADAPTER_WEIGHTS
        if not weights.exists():
            raise UserError(f"{folder}: no {ADAPTER_WEIGHTS}; other formats are never loaded")
        return {"base_model": str(folder.resolve()), "sha256": {weights.name: sha256_of(weights)}}
    return base_model_record(source)


def find_start(config: TrainConfig, run: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint to go on from; None to start.

    Raises:
        UserError: the output folder holds another run, or `--resume none` meets one.
    """
    check_not_in_the_way(config.output_dir)
    found = find_checkpoints(config.output_dir)
    if config.resume == "none":
        if found:
            raise UserError(
                f"{config.output_dir}: holds a run ({found[-1].path.name}); go on with it by "
                "--resume auto, or name another --output_dir"
            )
        return None
    for checkpoint in found:
        if difference := _difference(checkpoint.run, run):
            raise UserError(
                f"{checkpoint.path}: belongs to another run: {difference}\n"
                "Repeat that run's command to go on with it, or name another --output_dir"
            )
    if config.resume == "auto":
        return found[-1] if found else None
    named = read_checkpoint(Path(config.resume)).path.resolve()
    start = next((c for c in found if c.path.resolve() == named), None)
    if start is None:
        raise UsageError(f"--resume: {config.resume} is not a checkpoint of {config.output_dir}")
    return start


def check_same_everywhere(
    accelerator: Accelerator, run: Mapping[str, Any], start: Checkpoint | None
) -> None:
    """Whether all processes, on whatever machines, have the same settings, data and start.

    Raises:
        UserError: in all of them; it names the first that differs, and the difference.
    """
    name = "the first step" if start is None else start.path.name
    [(first, first_name), *others] = everyones(accelerator, (dict(run), name))
    for process, (other, other_name) in enumerate(others, start=1):
        if difference := _difference(first, other):
            raise UserError(
                f"process {process} would train something else than process 0: {difference}\n"
                "Give all processes the same command and the same files"
            )
        if other_name != first_name:
            raise UserError(
                f"process {process} would go on from {other_name}, process 0 from {first_name}\n"
                "--output_dir must be one folder that all machines share"
            )


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}


def _difference(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What tells two runs apart, in words; empty if nothing does."""
    differences = []
    for name, value in wanted["settings"].items():
        before = saved["settings"].get(name, _DEFAULTS.get(name))  # or older than the setting
        if before != value:
            differences.append(f"--{name} was {before}, now {value}")
    for name, value in wanted["sha256"].items():
        if saved["sha256"].get(name) != value:
            differences.append(f"--{name} has another content")
    before, now = saved["base_model"], wanted["base_model"]
    if before["sha256"] != now["sha256"] or (
        not now["sha256"] and before["base_model"] != now["base_model"]
    ):
        differences.append(f"--model_path was {before['base_model']}, now {now['base_model']}")
    return "; ".join(differences)
