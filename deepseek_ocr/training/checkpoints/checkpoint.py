"""Checkpoints: folders that `load_model` loads, with what is needed to go on exactly.

`epoch-1/` holds the model (or the adapter), the processor, and `trainer_state/`: the optimizer's
tensors and the state of the random generators as safetensors, the position as JSON. A folder is
written under a temporary name, synced, and renamed: it is whole or absent.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers.utils import logging

from ...errors import UserError
from ...files import make_readable, sync
from ...model.late_imports import is_adapted
from ...model.loading import BASE_MODEL
from ...model.processing import DeepseekOcrProcessor
from ..drawn.heads import GlyphHeads, TaughtWithGlyphs, without_heads
from .state import (
    OPTIMIZER,
    RANDOM,
    STATE_FOLDER,
    everyones_random_states,
    gathered_tensors,
    is_main_process,
    optimizer_tensors,
    read_files,
    save_in_files,
)

STATE, HEADS = "state.json", "glyph_heads.safetensors"
LAST, BEST = "last", "best"
MAX_SHARD_SIZE = "5GB"

_NAME = re.compile(r"(epoch|step)-\d+")
_LEFT_OVER = re.compile(r"\.((epoch|step)-\d+|last|best|curves\.png)\.\w+\.(tmp|old)")


@dataclasses.dataclass(kw_only=True)
class Position:
    """How far a run is: `step` steps, of which `step_in_epoch` in epoch number `epoch` (from 1).

    `epoch_loss` is the sum over the epoch's `epoch_tokens` learned tokens, each of which counts as
    much as its row weighs. `best_value` is the best figure of a validation, whose checkpoint is
    called `best`; `bad_validations` came after it and were no better. `validation_due`: the
    validation after this step was not finished, as the run was asked to stop, or a row could not
    be read.
    """

    step: int = 0
    epoch: int = 1
    step_in_epoch: int = 0
    epoch_loss: float = 0.0
    epoch_tokens: float = 0.0
    best_value: float | None = None
    best: str | None = None
    bad_validations: int = 0
    validation_due: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A saved folder, where its run was, and what identifies the run.

    `asked_for`: it is an epoch's or one of `--save_steps`, not written only as it was the best then
    or as the run was stopped.
    """

    path: Path
    position: Position
    run: Mapping[str, Any]
    scaler: Mapping[str, Any]
    asked_for: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether a run can go on from it: `--save_only_model` leaves the model alone of some."""
        return (self.path / STATE_FOLDER / OPTIMIZER).exists()


def save_checkpoint(
    output_dir: Path,
    name: str,
    *,
    model: nn.Module,
    processor: DeepseekOcrProcessor,
    optimizer: torch.optim.Optimizer,
    position: Position,
    run: Mapping[str, Any],
    scaler: Mapping[str, Any] | None = None,
    extra: Mapping[str, Mapping[str, Tensor]] | None = None,
    asked_for: bool = True,
) -> Path:
    """Write `output_dir/name`, in place of an older folder of that name.

    Every process calls it, and the main one writes. `run` identifies the run; its `base_model` goes
    beside an adapter. `extra`: further tensors for `load_extra`, by the name of their file.
    `asked_for`: see `Checkpoint`.
    """
    weights = gathered_tensors(_shared_weights(without_heads(model)))
    files = {
        name: gathered_tensors(tensors)
        for name, tensors in _state_tensors(model, optimizer, extra or {}).items()
    }
    random = everyones_random_states()
    try:
        if is_main_process():
            with _new_folder(output_dir, name) as folder:
                _save_model(folder, without_heads(model), run["base_model"], weights)
                processor.save_pretrained(folder)
                state = folder / STATE_FOLDER
                state.mkdir()
                for file, tensors in files.items():
                    save_in_files(tensors, state / file)
                save_file(random, state / RANDOM)
                content = {
                    "position": dataclasses.asdict(position),
                    "run": run,
                    "scaler": scaler or {},
                    "asked_for": asked_for,
                }
                (state / STATE).write_text(_json(content), encoding="utf-8")
    finally:
        for tensors in (weights, *files.values()):
            # to its end, also after an error: at each shared tensor all processes wait for all
            collections.deque(tensors, maxlen=0)
    return output_dir / name


@contextlib.contextmanager
def _new_folder(output_dir: Path, name: str) -> Iterator[Path]:
    """A folder to fill, which becomes `output_dir/name` when the block ends well."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=output_dir))
    try:
        yield temporary
        make_readable(temporary, *temporary.rglob("*"))
        _sync_tree(temporary)
        _replace_folder(temporary, output_dir / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _state_tensors(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    extra: Mapping[str, Mapping[str, Tensor]],
) -> dict[str, Iterable[tuple[str, Tensor]]]:
    """What goes into each file of `trainer_state`."""
    files: dict[str, Iterable[tuple[str, Tensor]]] = {
        OPTIMIZER: optimizer_tensors(model, optimizer)
    }
    files |= {f"{name}.safetensors": tensors.items() for name, tensors in extra.items()}
    if isinstance(model, TaughtWithGlyphs):
        files[HEADS] = model.heads.state_dict().items()
    return files


def _shared_weights(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Of a sharded model what is saved, all of it or its adapter; else nothing is gathered."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return ()
    tensors = model.state_dict(keep_vars=True).items()
    adapted = is_adapted(model)
    return ((name, tensor) for name, tensor in tensors if tensor.requires_grad or not adapted)


def _save_model(
    folder: Path,
    model: nn.Module,
    base_model: Mapping[str, Any],
    gathered: Iterable[tuple[str, Tensor]],
) -> None:
    state_dict = dict(gathered)
    weights: dict[str, Any] = {"state_dict": state_dict} if state_dict else {}
    if not is_adapted(model):
        with _no_progress_bar():
            model.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE, **weights)  # type: ignore[operator]
        return
    model.peft_config["default"].base_model_name_or_path = base_model["base_model"]
    # False: with "auto" PEFT may ask the Hub for the base model's vocabulary
    model.save_pretrained(folder, save_embedding_layers=False, **weights)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form
    (folder / BASE_MODEL).write_text(_json(base_model), encoding="utf-8")


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """`transformers` would draw its own across ours."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _sync_tree(folder: Path) -> None:
    for place, _, files in os.walk(folder, topdown=False):
        for file in files:
            sync(Path(place) / file)
        sync(Path(place))


def _replace_folder(new: Path, path: Path) -> None:
    old = new.with_suffix(".old")
    if path.exists():
        path.rename(old)
    new.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def link(output_dir: Path, name: str, target: str) -> None:
    """Let `output_dir/name` point to the folder `target` beside it, at once."""
    temporary = output_dir / f".{name}.{os.getpid()}.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(output_dir / name)
    sync(output_dir)


def check_not_in_the_way(output_dir: Path) -> None:
    """What is not ours and has the name of a checkpoint or a link is not replaced.

    Raises:
        UserError: there is such a file or folder.
    """
    if not output_dir.is_dir():
        return
    for path in sorted(output_dir.iterdir()):
        ours = (path / STATE_FOLDER / STATE).is_file()
        taken = _NAME.fullmatch(path.name) and not ours
        if taken or (path.name in (LAST, BEST) and not path.is_symlink()):
            raise UserError(
                f"{path}: was not written by train.py, which needs this name; move it, or name "
                "another --output_dir"
            )


def find_checkpoints(output_dir: Path) -> list[Checkpoint]:
    """The checkpoints of a run, in the order of their steps."""
    if not output_dir.is_dir():
        return []
    folders = [path for path in output_dir.iterdir() if _NAME.fullmatch(path.name)]
    found = [read_checkpoint(path) for path in folders if (path / STATE_FOLDER / STATE).exists()]
    return sorted(found, key=lambda c: (c.position.step, not c.position.validation_due))


def read_checkpoint(path: Path) -> Checkpoint:
    """Where the run of a saved folder was.

    Raises:
        UserError: it is no checkpoint of `train.py`.
    """
    file = path / STATE_FOLDER / STATE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Checkpoint(
            path=path,
            position=_read_position(content["position"]),
            run=content["run"],
            scaler=content["scaler"],
            asked_for=content.get("asked_for", True),  # an older version's is never in doubt
        )
    except OSError:
        raise UserError(
            f"{path}: not a checkpoint ({STATE_FOLDER}/{STATE} cannot be read); expected a folder "
            "such as epoch-1 that train.py has written"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: not the state of a training run; resume from another") from None


def _read_position(saved: dict[str, Any]) -> Position:
    """A saved position; also of a version that chose by the loss alone, and called it so."""
    if "best_loss" in saved:
        saved = {**saved, "best_value": saved["best_loss"]}
        del saved["best_loss"]
    return Position(**saved)


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint at once: a kill leaves all of it, or what `remove_left_overs` deletes."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.rename(hidden)
    sync(path.parent)
    shutil.rmtree(hidden, ignore_errors=True)


def has_heads(folder: Path) -> bool:
    """Whether a model's folder is a checkpoint of a run that had heads naming glyphs."""
    return (folder / STATE_FOLDER / HEADS).is_file()


def load_heads(checkpoint: Path, heads: GlyphHeads) -> None:
    """Put saved heads into `heads`; those of other sizes are none of this model's.

    Raises:
        UserError: there are none, or they do not fit.
    """
    try:
        heads.load_state_dict(dict(read_files(checkpoint / STATE_FOLDER / HEADS)))
    except RuntimeError:
        raise UserError(
            f"{checkpoint / STATE_FOLDER / HEADS}: does not fit this model; start from another"
        ) from None


def remove_left_overs(output_dir: Path) -> None:
    """Delete what a killed run was writing; a folder that was being replaced gets its name back."""
    for path in output_dir.iterdir():
        if not _LEFT_OVER.fullmatch(path.name):
            continue
        original = output_dir / path.name[1:].split(".")[0]
        if path.suffix == ".old" and not original.exists():
            path.rename(original)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
