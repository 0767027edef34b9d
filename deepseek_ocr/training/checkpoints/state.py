"""The tensors of a run's state: of the optimizer, the random generators and what else is named.

In `trainer_state/`, as safetensors; what is larger than a file may be goes into `NAME.safetensors`,
`NAME-2.safetensors` and so on. The tensors of a sharded model are whole there: one process more or
less makes no other file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...errors import UserError
from ..processes.sharding import as_shared, whole_tensor

STATE_FOLDER = "trainer_state"
OPTIMIZER, RANDOM = "optimizer.safetensors", "random.safetensors"
MAX_FILE_BYTES = 5 * 10**9
NEXT = "next"
"""In a file's metadata: the name of the file that holds what did not fit into it."""


def is_main_process() -> bool:
    """Whether this process writes the files: the only one, or the first."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def gathered_tensors(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor whole, on the CPU of the main process, one at a time.

    Where tensors are shared, all processes must run through this, in the same order.
    """
    for name, tensor in tensors:
        whole = whole_tensor(tensor.detach())
        if is_main_process():
            yield name, whole.cpu().contiguous()


def save_in_files(tensors: Iterable[tuple[str, Tensor]], path: Path) -> None:
    """Write tensors to `path` and, where they do not fit into a file, to more beside it.

    No more than one file's tensors are held at a time.
    """
    number, size, held = 1, 0, dict[str, Tensor]()
    for name, tensor in tensors:
        if held and size + tensor.nbytes > MAX_FILE_BYTES:
            save_file(held, path, metadata={NEXT: (following := _numbered(path, number + 1)).name})
            path, number, size, held = following, number + 1, 0, {}
        held[name] = tensor
        size += tensor.nbytes
    save_file(held, path)


def _numbered(path: Path, number: int) -> Path:
    stem = path.stem.removesuffix(f"-{number - 1}")
    return path.with_stem(f"{stem}-{number}")


def read_files(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors that `save_in_files` wrote, one at a time.

    Raises:
        UserError: a file is absent or damaged.
    """
    following: Path | None = path
    while following is not None:
        file = following
        try:
            with safe_open(file, "pt") as stored:
                for name in stored.keys():  # noqa: SIM118  safe_open is no mapping
                    yield name, stored.get_tensor(name).clone()  # else it may be the file's memory
                more = (stored.metadata() or {}).get(NEXT)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{file}: cannot be read ({type(error).__name__}); resume from another checkpoint"
            ) from None
        following = path.with_name(more) if more else None


def load_extra(checkpoint: Path, name: str) -> dict[str, Tensor]:
    """The tensors that `save_checkpoint` was given as `extra[name]`, whole, on the CPU.

    Raises:
        UserError: the checkpoint has none, or they are damaged.
    """
    return dict(read_files(checkpoint / STATE_FOLDER / f"{name}.safetensors"))


def optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, Tensor]]:
    """The optimizer's state as `KEY/PARAMETER` and a tensor; whole numbers as integer tensors."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            yield f"{key}/{names[parameter]}", torch.as_tensor(value)


def load_optimizer(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved state into an optimizer of the same parameters."""
    parameters = dict(model.named_parameters())
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for name, tensor in read_files(checkpoint / STATE_FOLDER / OPTIMIZER):
        key, _, parameter_name = name.partition("/")
        parameter = parameters.get(parameter_name)
        if parameter is None or parameter not in groups:
            raise UserError(
                f"{checkpoint}: the optimizer's state has {parameter_name}, which does not train"
            )
        optimizer.state[parameter][key] = _as_state(key, tensor, parameter, groups[parameter])


def _as_state(key: str, tensor: Tensor, parameter: Tensor, group: Mapping[str, Any]) -> Any:
    """A saved value where the optimizer keeps it: the count of steps may be apart from the rest."""
    if key != "step":
        return as_shared(tensor, parameter)
    if tensor.dtype == torch.int64:  # bitsandbytes' is a number of Python
        return int(tensor)
    on_device = group.get("fused") or group.get("capturable")
    return tensor.to(parameter.device) if on_device else tensor


def everyones_random_states() -> dict[str, Tensor]:
    """The state of torch's random generators in all processes: `cpu`, and `1/cpu` of process 1."""
    states = random_states()
    if not (dist.is_available() and dist.is_initialized()):
        return states
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, states)
    return {
        (f"{process}/{device}" if process else device): state
        for process, states in enumerate(found)
        for device, state in states.items()
    }


def random_states() -> dict[str, Tensor]:
    """The state of this process's random generators, the CPU's and each CUDA device's."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return states


def load_random_states(checkpoint: Path, process: int = 0) -> None:
    """Put the saved states of a process back, for the devices that are here."""
    saved = dict(read_files(checkpoint / STATE_FOLDER / RANDOM))
    for device in ("cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))):
        state = saved.get(f"{process}/{device}", saved.get(device))
        if state is None:
            continue
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
