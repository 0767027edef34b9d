"""What ends training early, as errors that say where it was met and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from ..errors import EXIT_INTERNAL, UserError
from .config import RECOMPUTED, TrainConfig
from .optimization.not_finite import NotFinite, Place


class TrainingError(UserError):
    """Training cannot go on: the loss is no number, memory ran out, a row broke (exit code 1)."""

    exit_code = EXIT_INTERNAL


NAMED = 10
"""Rows with numbers that are none that are named; of the others it is said how many."""


@contextlib.contextmanager
def explained_numbers(step: int, name_of_row: Callable[[Place], str]) -> Iterator[None]:
    """A loss or gradient that is no number, as an error that names the rows and their pictures.

    Args:
        step: number of the step, from 1.
        name_of_row: where a row stands in this step -> how it is called, with its pictures.
    """
    try:
        yield
    except NotFinite as error:
        rows = [name_of_row(place) for place in error.rows[:NAMED]]
        if len(error.rows) > NAMED:
            rows.append(f"and {len(error.rows) - NAMED} more")
        which = "with" if error.proved else "with at least one of"
        raise TrainingError(
            "\n".join(
                [
                    f"step {step}: {error} is not a finite number {which}",
                    *(f"  {row}" for row in rows),
                    "Look at what is named, lower --lr, or use --dtype float32",
                ]
            )
        ) from None


@contextlib.contextmanager
def explained_memory(config: TrainConfig, when: str, content: Callable[[], str]) -> Iterator[None]:
    """Memory that ran out, as an error that names the settings to change.

    Args:
        when: such as "step 3".
        content: what was in memory, in words.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{when}: out of memory with {content()}\n{advise_less(config)}"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    text = str(error)
    return isinstance(error, kinds) or "can't allocate memory" in text or "out of memory" in text


def advise_less(config: TrainConfig) -> str:
    """The settings of this run that take memory, those that cost least to change first."""
    advice = []
    if set(config.recomputed) != set(RECOMPUTED):
        advice.append("--gradient_checkpointing all (the same result, slower)")
    if config.max_tokens_per_batch is not None or config.packing:
        advice.append("a lower --max_tokens_per_batch")
    elif config.batch_size > 1:
        advice.append("a lower --batch_size, with --grad_accum raised by as much")
    if config.dtype == "float32" and config.device != "cpu":
        advice.append("--dtype bfloat16")
    if config.optimizer == "adamw" and config.tune == "full":
        advice.append("--optimizer adamw8bit or adafactor")
    if config.tune == "full":
        advice.append("--tune lora or fewer --parts")
    elif config.tune != "qlora":
        advice.append("--tune qlora")
    advice.append("a lower --max_tiles or --mode")
    return "What takes less: " + "; ".join(advice)
