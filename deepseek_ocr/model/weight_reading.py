"""Weights from safetensors files straight to where they stay: no copy, no map of the file.

Loading through a map of the file would hold every page of it beside the experts that are stacked
from it, nearly twice the weights at the peak. Here each tensor is read into its own place; what is
not yet read takes no memory. Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError

DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}
LENGTH_BYTES = 8
"""Of the header's length, at the start of a file."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, from byte `start` of it on; `dtype` as the file calls it."""

    dtype: str
    shape: tuple[int, ...]
    start: int


def stored_tensors(path: Path) -> Iterator[tuple[str, Stored]]:
    """Names and places of the tensors of a file that is whole, in its order."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start = LENGTH_BYTES + length + tensor["data_offsets"][0]
        yield name, Stored(tensor["dtype"], tuple(tensor["shape"]), start)


def published_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Published name and tensor of everything on disk; of stacked experts each one's own part."""
    for name, tensor in model.state_dict().items():
        stem, _, last = name.rpartition(".")
        if last not in ("gate_up_proj", "down_proj"):
            yield name, tensor
            continue
        for index, expert in enumerate(tensor):
            if last == "down_proj":
                yield f"{stem}.{index}.down_proj.weight", expert
            else:
                gate, up = expert.chunk(2)
                yield f"{stem}.{index}.gate_proj.weight", gate
                yield f"{stem}.{index}.up_proj.weight", up


def stored_dtype(files: list[Path]) -> torch.dtype:
    """The type of the first weight."""
    for path in files:
        for _, stored in stored_tensors(path):
            if stored.dtype in DTYPES:
                return DTYPES[stored.dtype]
    raise UserError(f"{files[0]}: holds no weight; expected types {', '.join(DTYPES)}")


def read_weights(model: nn.Module, files: list[Path]) -> None:
    """Fill a model on the CPU; names that it does not have are passed by.

    Raises:
        UserError: a file ends early, or a weight has a type that is none of theirs.
    """
    places = dict(published_tensors(model))
    for path in files:
        with path.open("rb", buffering=0) as file:
            for name, stored in stored_tensors(path):
                if name not in places:
                    continue
                if stored.dtype not in DTYPES:
                    raise UserError(
                        f"{path}: {name} has type {stored.dtype}; expected one of "
                        f"{', '.join(DTYPES)}"
                    )
                _read(file, path, stored, places[name])


def _read(file: io.RawIOBase, path: Path, stored: Stored, target: Tensor) -> None:
    dtype = DTYPES[stored.dtype]
    same = dtype == target.dtype and target.is_contiguous()
    into = target if same else torch.empty(stored.shape, dtype=dtype)
    buffer: Any = into.detach().reshape(-1).view(torch.uint8).numpy()
    room = memoryview(buffer)
    file.seek(stored.start)
    done = 0
    while done < len(room):
        count = file.readinto(room[done:])
        if not count:
            raise UserError(f"{path}: ends in the middle of a tensor; copy or download it again")
        done += count
    if not same:
        target.copy_(into)
