"""What a training run is asked to do: the flags of `train.py` and the keys of its YAML files."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import UsageError
from .lora import adapted_parts
from .parts import expand_parts

Mode = Literal["tiny", "small", "base", "large", "gundam", "gundam-m", "auto"]
DEFAULT_PARTS = {"full": "all", "lora": "attention,dense,shared"}
DEFAULT_LR = {"full": 2e-5, "lora": 2e-4}

_AT_LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "grad_accum": 1,
    "lora_rank": 1,
    "max_steps": 1,
    "max_length": 1,
    "save_steps": 1,
    "eval_steps": 1,
    "seed": 0,
    "num_workers": 0,
    "weight_decay": 0,
    "base_size": 64,
    "tile_size": 64,
    "max_tiles": 1,
}
MAX_SEED = 2**32 - 1
"""The largest that NumPy's generator takes."""
# Where results go, and how fast they come: neither changes what is learned.
_CHANGES_NOTHING = ("output_dir", "resume", "num_workers", "device", "save_steps", "eval_steps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained on what, and how."""

    data_root: Annotated[Path, "folder that the pictures of the train file are relative to"]
    train_file: Annotated[Path, "train.json as written by data_utils.py"]
    model_path: Annotated[str, "model folder, Hub id or preset (nano, nano-untrained, ...)"]
    output_dir: Annotated[Path, "folder for checkpoints, curves and logs"]
    epochs: Annotated[int, "times that every row is seen"] = 3
    batch_size: Annotated[int, "rows a forward pass (and device)"] = 2
    val_file: Annotated[Path | None, "rows for the validation loss, which chooses `best`"] = None

    tune: Annotated[Literal["full", "lora"], "train the weights, or an adapter beside them"] = (
        "full"
    )
    parts: Annotated[
        str | None,
        "comma list of sam, compressor, clip, projector, separators, attention, dense, shared, "
        "experts, router, embeddings, head, or the sets vision, decoder, all; "
        "default: all, with lora attention,dense,shared",
    ] = None
    lora_rank: Annotated[int, "rank of the adapter's matrices; its alpha is twice that"] = 16

    lr: Annotated[float | None, "peak learning rate; default: 2e-5, with lora 2e-4"] = None
    weight_decay: Annotated[float, "of AdamW; norms, biases and vectors are exempt"] = 0.01
    warmup_ratio: Annotated[float, "share of the steps in which the learning rate rises"] = 0.03
    grad_accum: Annotated[int, "batches a step; their gradients add up to one large batch's"] = 1
    max_grad_norm: Annotated[float, "longer gradients are shortened to this norm"] = 1.0
    max_steps: Annotated[int | None, "end after so many steps, if the epochs do not before"] = None
    max_length: Annotated[
        int | None, "most positions of a row; a longer one is an error; default: the model's"
    ] = None

    mode: Annotated[Mode | None, "resolution of the views; default: the model's"] = None
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None

    save_steps: Annotated[int | None, "also save after every so many steps"] = None
    eval_steps: Annotated[int | None, "also measure the validation loss every so many steps"] = None
    resume: Annotated[
        str, "auto: go on with the run in the output folder; none: only start; or a checkpoint"
    ] = "auto"

    device: Annotated[str, "cpu, cuda, cuda:1, mps or auto"] = "auto"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        "of the computation; auto: bfloat16 where CUDA has it, else float32",
    ] = "auto"
    seed: Annotated[int, "of the order of the rows and of new weights"] = 42
    num_workers: Annotated[
        int | None, "processes that prepare batches; default: 0 on a CPU, else up to 4"
    ] = None

    def __post_init__(self):
        for name in ("data_root", "train_file", "output_dir", "val_file"):  # from Python: str, too
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(value))
        self._check_types()
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise UsageError(f"--{name} must be at least {least}, got {value}")
        if self.seed > MAX_SEED:
            raise UsageError(f"--seed must be at most {MAX_SEED}, got {self.seed}")
        for name in ("lr", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name} must be above 0, got {value}")
        if not 0 <= self.warmup_ratio <= 1:
            raise UsageError(f"--warmup_ratio must lie between 0 and 1, got {self.warmup_ratio}")
        if self.eval_steps is not None and self.val_file is None:
            raise UsageError("--eval_steps needs rows to measure; name them with --val_file")
        _ = self.trained_parts  # an unknown part fails here

    def _check_types(self) -> None:
        """From Python any value may come: choices and numbers must be what the fields declare."""
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if expected := _expected(value, hint):
                raise UsageError(f"--{name}: expected {expected}, got {value!r}")

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """The parts that train, or get an adapter, in the order of the network."""
        text = DEFAULT_PARTS[self.tune] if self.parts is None else self.parts
        return adapted_parts(text) if self.tune == "lora" else expand_parts(text)

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up."""
        return DEFAULT_LR[self.tune] if self.lr is None else self.lr

    def to_json(self) -> dict[str, Any]:
        """Every setting as a JSON value, with what the defaults stand for."""
        values = dataclasses.asdict(self)
        values |= {"parts": ",".join(self.trained_parts), "lr": self.peak_lr}
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}

    def deciding(self) -> dict[str, Any]:
        """The settings that decide what is learned, for telling one run from another.

        Files are told apart by their content, not by these paths.
        """
        left_out = (*_CHANGES_NOTHING, "data_root", "train_file", "val_file", "model_path")
        return {k: v for k, v in self.to_json().items() if k not in left_out}


def _expected(value: Any, hint: Any) -> str:
    """What a field of this type takes, in words, where `value` is something else; else empty."""
    kinds = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    if value is None and type(None) in kinds:
        return ""
    for kind in kinds:
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            return "one of " + ", ".join(typing.get_args(kind))
        if kind is int and type(value) is not int:
            return "a whole number"
        if kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            return "a number"
    return ""
