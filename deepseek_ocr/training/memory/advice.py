"""Whether a run fits into the memory that there is, and which settings would take less."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from ...errors import UsageError
from ...resolution import view_settings
from ..config import ADAPTERS, TrainConfig
from .estimate import Workload, estimate_memory, gigabytes, memory_table

TIGHT = 0.8
"""Share of a device's memory above which an estimate is told in full: it may err by a quarter."""

LEANER: tuple[Literal["lora", "qlora"], ...] = ("lora", "qlora")
"""Ways of tuning that take less than full, each less than the one before."""


def summary(config: TrainConfig, work: Workload, limit: int | None, *, whole: bool = False) -> str:
    """What a run needs against the `limit` bytes that the device has, for people.

    One line where it fits easily; the table (always if `whole`), and what would take less, where it
    is tight.
    """
    estimate = estimate_memory(config, work)
    need = f"memory: needs about {gigabytes(estimate.total)}"
    if limit is None:
        line, tight = f"{need}; how much the device has is not known", False
    else:
        line = f"{need}, the device has {gigabytes(limit)}"
        tight = estimate.total > TIGHT * limit
    lines = [line]
    if tight and limit is not None:
        lines += [f"  {text}" for text in advise(config, work, limit)]
    if tight or whole:
        lines.append(memory_table(estimate))
    return "\n".join(lines)


def advise(config: TrainConfig, work: Workload, limit: int) -> list[str]:
    """What would take less: the first settings that fit, and the least one where none does."""
    tried = [
        (flags, estimate_memory(other, changed).total)
        for flags, other, changed in alternatives(config, work)
    ]
    now = estimate_memory(config, work).total
    fitting = [(flags, need) for flags, need in tried if need <= TIGHT * limit][:2]
    if fitting:
        return [f"{flags} would need {gigabytes(need)}" for flags, need in fitting]
    least = min(tried, key=lambda pair: pair[1], default=None)
    if least is None or least[1] >= now:
        return []
    return [f"{least[0]} would need {gigabytes(least[1])}, which is the least known"]


def alternatives(
    config: TrainConfig, work: Workload
) -> Iterator[tuple[str, TrainConfig, Workload]]:
    """Settings that take less, the mildest first: flags, and what they make of the run."""
    mild: list[tuple[str, TrainConfig, Workload]] = []
    if config.recomputed != ("sam", "clip", "decoder"):
        changed = dataclasses.replace(config, gradient_checkpointing="all")
        mild.append(("--gradient_checkpointing all", changed, work))
    if work.batch.rows > 1:
        mild.append(_one_row(config, work))
    yield from mild
    if len(mild) == 2:
        (checkpointing, changed, _), (one_row, _, smaller) = mild
        yield f"{checkpointing} {one_row}", changed, smaller
    smallest = mild[-1][2] if mild else work
    leanest = dataclasses.replace(config, gradient_checkpointing="all")
    before = " ".join(flags for flags, _, _ in mild)
    for tune in LEANER:
        if other := _adapted(leanest, tune):
            yield f"{before} --tune {tune}".strip(), other, smallest
    if work.batch.tiles and work.settings.tile_size is not None:
        seen = dataclasses.replace(
            smallest,
            batch=smallest.batch.without_tiles(work.settings.tile_size),
            settings=view_settings("base"),
        )
        yield f"{before} --mode base".strip(), leanest, seen


def _one_row(config: TrainConfig, work: Workload) -> tuple[str, TrainConfig, Workload]:
    smaller = dataclasses.replace(work, batch=work.batch.with_rows(1))
    if config.max_tokens_per_batch is not None or config.packing:
        return f"--max_tokens_per_batch {work.batch.width}", config, smaller
    accumulated = config.grad_accum * work.batch.rows
    return f"--batch_size 1 --grad_accum {accumulated}", config, smaller


def _adapted(config: TrainConfig, tune: Literal["lora", "qlora"]) -> TrainConfig | None:
    """The same run with an adapter in place of what trains; None where that is no step down."""
    if tune not in LEANER[LEANER.index(config.tune) + 1 if config.tune in LEANER else 0 :]:
        return None
    parts = config.parts if config.tune in ADAPTERS else None
    try:
        return dataclasses.replace(config, tune=tune, parts=parts)
    except UsageError:  # such as heads that need full tuning
        return None
