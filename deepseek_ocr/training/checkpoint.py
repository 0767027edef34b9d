"""Checkpoints: folders that `load_model` loads, with what is needed to go on exactly.

`epoch-1/` holds the model (or the adapter), the processor, and `trainer_state/`: the optimizer's
tensors and the state of the random generators as safetensors, the position as JSON. A folder is
written under a temporary name, synced, and renamed: it is whole or absent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import logging

from ..errors import UserError
from ..files import make_readable, sync
from ..model.loading import BASE_MODEL
from ..model.processing import DeepseekOcrProcessor
from .heads import GlyphHeads, TaughtWithGlyphs, without_heads

STATE_FOLDER = "trainer_state"
STATE, OPTIMIZER, RANDOM = "state.json", "optimizer.safetensors", "random.safetensors"
HEADS = "glyph_heads.safetensors"
LAST, BEST = "last", "best"
MAX_SHARD_SIZE = "5GB"

_NAME = re.compile(r"(epoch|step)-\d+")
_LEFT_OVER = re.compile(r"\.((epoch|step)-\d+|last|best|curves\.png)\.\w+\.(tmp|old)")


@dataclasses.dataclass(kw_only=True)
class Position:
    """How far a run is: `step` steps, of which `step_in_epoch` in epoch number `epoch` (from 1).

    `epoch_loss` is the sum over the epoch's `epoch_tokens` learned tokens; `best_loss` the lowest
    validation loss of a checkpoint, which is called `best`. `validation_due`: the validation after
    this step was not finished, as a row could not be read.
    """

    step: int = 0
    epoch: int = 1
    step_in_epoch: int = 0
    epoch_loss: float = 0.0
    epoch_tokens: int = 0
    best_loss: float | None = None
    best: str | None = None
    validation_due: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A saved folder, where its run was, and what identifies the run."""

    path: Path
    position: Position
    run: Mapping[str, Any]
    scaler: Mapping[str, Any]


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
) -> Path:
    """Write `output_dir/name`, in place of an older folder of that name.

    `run` identifies the run; its `base_model` goes beside an adapter.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=output_dir))
    try:
        _save_model(temporary, without_heads(model), run["base_model"])
        processor.save_pretrained(temporary)
        state = temporary / STATE_FOLDER
        state.mkdir()
        save_file(optimizer_tensors(model, optimizer), state / OPTIMIZER)
        save_file(random_states(), state / RANDOM)
        if isinstance(model, TaughtWithGlyphs):
            save_file(model.heads.state_dict(), state / HEADS)
        content = {"position": dataclasses.asdict(position), "run": run, "scaler": scaler or {}}
        (state / STATE).write_text(_json(content), encoding="utf-8")
        make_readable(temporary, *temporary.rglob("*"))
        _sync_tree(temporary)
        _replace_folder(temporary, output_dir / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output_dir / name


def _save_model(folder: Path, model: nn.Module, base_model: Mapping[str, Any]) -> None:
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        with _no_progress_bar():
            model.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)  # type: ignore[operator]
        return
    model.peft_config["default"].base_model_name_or_path = base_model["base_model"]
    # False: with "auto" PEFT may ask the Hub for the base model's vocabulary
    model.save_pretrained(folder, save_embedding_layers=False)
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
            position=Position(**content["position"]),
            run=content["run"],
            scaler=content["scaler"],
        )
    except OSError:
        raise UserError(
            f"{path}: not a checkpoint ({STATE_FOLDER}/{STATE} cannot be read); expected a folder "
            "such as epoch-1 that train.py has written"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: not the state of a training run; resume from another") from None


def remove_old_steps(output_dir: Path, keep: int) -> None:
    """Delete the checkpoints within epochs, but for the newest `keep` and those with a link."""
    linked = {(output_dir / name).resolve().name for name in (LAST, BEST)}
    steps = [c.path for c in find_checkpoints(output_dir) if c.path.name.startswith("step-")]
    for path in steps[:-keep]:
        if path.name not in linked:
            shutil.rmtree(path)


def has_heads(folder: Path) -> bool:
    """Whether a model's folder is a checkpoint of a run that had heads naming glyphs."""
    return (folder / STATE_FOLDER / HEADS).is_file()


def load_heads(checkpoint: Path, heads: GlyphHeads) -> None:
    """Put saved heads into `heads`; those of other sizes are none of this model's.

    Raises:
        UserError: there are none, or they do not fit.
    """
    try:
        heads.load_state_dict(_read(checkpoint, HEADS))
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


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `KEY/PARAMETER` -> tensor on the CPU."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{key}/{names[parameter]}": torch.as_tensor(value).detach().cpu().contiguous()
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
    }


def load_optimizer(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved state into an optimizer of the same parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    order = [names[p] for group in optimizer.param_groups for p in group["params"]]
    numbers = {name: number for number, name in enumerate(order)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _read(checkpoint, OPTIMIZER).items():
        key, _, parameter = name.partition("/")
        if parameter not in numbers:
            raise UserError(
                f"{checkpoint}: the optimizer's state has {parameter}, which does not train"
            )
        state.setdefault(numbers[parameter], {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def random_states() -> dict[str, Tensor]:
    """The state of torch's random generators, the CPU's and each CUDA device's."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def load_random_states(checkpoint: Path) -> None:
    """Put the saved states back, for the devices that are here."""
    for device, state in _read(checkpoint, RANDOM).items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif int(device.removeprefix("cuda:")) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)


def _read(checkpoint: Path, name: str) -> dict[str, Tensor]:
    path = checkpoint / STATE_FOLDER / name
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); resume from another checkpoint"
        ) from None
