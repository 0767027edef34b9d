"""What identifies a run, and where one goes on: an output folder holds one run only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ...errors import UsageError, UserError
from ...files import sha256_of
from ...model.loading import ADAPTER_CONFIG, ADAPTER_WEIGHTS, base_model_record
from ...model.presets import PRESETS
from ...model.quantization import FORMAT
from ..config import TrainConfig
from ..optimization.step import everyones
from .checkpoint import (
    LAST,
    Checkpoint,
    check_not_in_the_way,
    find_checkpoints,
    read_checkpoint,
)

FOLLOWED = ("guard_file",)
"""Files that are measured beside what is learned: another content is another figure, no other run.
"""


def describe_run(
    config: TrainConfig, sha256: Mapping[str, str | None], num_processes: int
) -> dict[str, Any]:
    """What identifies a run: the settings, data and base model that decide what is learned."""
    base = describe_base(config.model_path) | {"seed": config.seed}
    settings = config.deciding() | {
        "num_processes": num_processes,
        # both round otherwise
        "feature_cache": config.feature_cache is not None,
        "compile": config.compile,
    }
    if config.tune == "qlora":
        base["quantization"] = FORMAT  # the adapter has learned beside rounded weights
    return {
        "settings": settings,
        "sha256": dict(sha256),
        "base_model": base,
    }


def id_of(run: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that tell a run from others; it has them again when it goes on."""
    deciding = {**run, "sha256": {k: v for k, v in run["sha256"].items() if k not in FOLLOWED}}
    content = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


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
    if not found:
        return _named(config, found) if config.resume != "auto" else None
    start = found[-1] if config.resume == "auto" else _named(config, found)
    for checkpoint in reversed(found):
        differences = find_differences(checkpoint.run, run)
        if differences.keys() == {"num_processes"} and is_over(start, config):
            return start  # nothing is left that would differ
        if differences:
            raise UserError(
                f"{checkpoint.path}: belongs to another run: {'; '.join(differences.values())}\n"
                + _way_out(config, differences.keys())
            )
    if not start.is_whole:
        raise UserError(
            f"{start.path}: holds the model alone (--save_only_model), with which no run goes on; "
            "resume from the last checkpoint"
        )
    return start


def _named(config: TrainConfig, found: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint of `--resume`, among those of the output folder."""
    named = read_checkpoint(Path(config.resume)).path.resolve()
    start = next((c for c in found if c.path.resolve() == named), None)
    if start is None:
        raise UsageError(f"--resume: {config.resume} is not a checkpoint of {config.output_dir}")
    return start


def is_over(checkpoint: Checkpoint, config: TrainConfig) -> bool:
    """Whether a run is at its end there: all its steps are done, or patience is."""
    position = checkpoint.position
    if position.validation_due:
        return False
    return (
        checkpoint.path.name == f"epoch-{config.epochs}"
        or (config.max_steps is not None and position.step >= config.max_steps)
        or (config.patience is not None and position.bad_validations >= config.patience)
    )


def _way_out(config: TrainConfig, names: Collection[str]) -> str:
    """What to do about a run that differs from the folder's in these settings."""
    if not set(names) <= {"epochs", "max_steps"}:
        return "Repeat that run's command to go on with it, or name another --output_dir"
    flags = " and ".join(f"--{name}" for name in sorted(names))
    return (
        f"{flags} {'decides' if len(names) == 1 else 'decide'} the learning rate's course; "
        + how_to_train_further(config)
    )


def how_to_train_further(config: TrainConfig) -> str:
    """What to do with the model of a run that is over, or shall last longer than it was planned."""
    last = config.output_dir / LAST
    merged = f"deepseek-ocr export {last} MERGED, then --model_path MERGED"
    start = merged if config.adapts else f"--model_path {last}"
    return f"to train further, start another run: {start} --output_dir OTHER"


def guard_note(checkpoint: Checkpoint | None, run: Mapping[str, Any]) -> str | None:
    """That the guard's rows are others than before: the run goes on, but its figures do not."""
    before = checkpoint.run["sha256"].get("guard_file") if checkpoint is not None else None
    if before in (None, run["sha256"].get("guard_file")):
        return None
    return (
        "note: --guard_file has another content than before; its earlier figures cannot be "
        "compared with those to come"
    )


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
        if difference := "; ".join(find_differences(first, other).values()):
            raise UserError(
                f"process {process} would train something else than process 0: {difference}\n"
                "Give all processes the same command and the same files"
            )
        if other_name != first_name:
            raise UserError(
                f"process {process} would go on from {other_name}, process 0 from {first_name}\n"
                "--output_dir must be one folder that all machines share"
            )


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)} | {
    "feature_cache": False
}


def find_differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """What tells two runs apart: the name of the setting -> the difference in words."""
    found = {}
    for name, value in wanted["settings"].items():
        before = saved["settings"].get(name, _DEFAULTS.get(name))  # or older than the setting
        if before != value:
            found[name] = f"{_flag(name)} was {_plain(before)}, now {_plain(value)}"
    for name, value in wanted["sha256"].items():
        if name not in FOLLOWED and saved["sha256"].get(name) != value:
            found[name] = f"--{name} has another content"
    before, now = saved["base_model"], wanted["base_model"]
    if before["sha256"] != now["sha256"] or (
        not now["sha256"] and before["base_model"] != now["base_model"]
    ):
        found["model_path"] = f"--model_path was {before['base_model']}, now {now['base_model']}"
    return found


def _flag(name: str) -> str:
    return "the number of processes" if name == "num_processes" else f"--{name}"


def _plain(value: Any) -> Any:
    """As people write it: a switch is on or off."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value
