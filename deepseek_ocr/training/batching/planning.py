"""Which rows each step learns from: by seed and epoch alone, the same on every process.

Rows make batches in one of three ways: so many a batch (`--batch_size`); rows of alike length, as
many as fit (`--max_tokens_per_batch`); short rows laid end to end (`--packing`). Batches make
steps, `--grad_accum` of them on each process. Every row is in every epoch once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeAlias

from ...errors import UsageError, UserError
from ..config import TrainConfig
from ..tuning.parts import VISION
from .packing import Pack, best_fit

RowBatch: TypeAlias = "tuple[int, ...] | tuple[Pack, ...]"
"""The row numbers of a batch, or its packs of row numbers."""

NAMED = 5
"""Rows that an error names; of the others it tells how many."""
ROWS_SEARCHED = 2_000_000
"""For the largest batch, over the epochs: some seconds."""
VIEW_POSITIONS = 1000
"""Positions of the decoder that keep as much for the backward pass as one view of a vision side
that trains: at the published sizes 1,400 for an overview of 1024 pixels, 550 for a tile of 640."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCost:
    """What a row takes: positions in all, those whose token is learned, and views of its pages."""

    positions: int
    learned: int
    overviews: int
    tiles: int

    @property
    def views(self) -> int:
        """Overviews and tiles together."""
        return self.overviews + self.tiles


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """The rows of one optimizer step on one process, as batches of row numbers or of packs.

    `num_real` of the batches count. Those after it repeat a row and learn nothing: every process
    must go forward and backward equally often.
    """

    batches: tuple[RowBatch, ...]
    num_real: int

    @staticmethod
    def rows_of(batch: RowBatch) -> tuple[int, ...]:
        """See `rows_of`."""
        return rows_of(batch)


class Rows(Protocol):
    """What the planner asks of a dataset."""

    def __len__(self) -> int: ...

    def order(self, *, seed: int, epoch: int) -> Sequence[int]: ...

    def name(self, index: int) -> str: ...


def rows_of(batch: RowBatch) -> tuple[int, ...]:
    """The row numbers of a batch, those in packs too."""
    return tuple(chain.from_iterable(row if isinstance(row, tuple) else (row,) for row in batch))


def shuffled(num_rows: int, *, seed: int, epoch: int) -> list[int]:
    """All row numbers, in the order of that epoch: by seed and epoch alone."""
    order = list(range(num_rows))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def fixed_batches(order: Sequence[int], batch_size: int) -> list[RowBatch]:
    """So many rows a batch, in order; the last takes what is left."""
    return [tuple(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]


def budget_batches(
    order: Sequence[int], costs: Sequence[RowCost], max_tokens: int
) -> list[RowBatch]:
    """Rows of alike length and views, as many a batch as fit into `max_tokens`, from long to short.

    A batch counts as its rows times its longest: padding included.
    """
    batches: list[RowBatch] = []
    batch: list[int] = []
    longest = 0
    for row in by_length(order, costs):
        longest = max(longest, costs[row].positions)
        if (len(batch) + 1) * longest > max_tokens and batch:
            batches.append(tuple(batch))
            batch, longest = [], costs[row].positions
        batch.append(row)
    return [*batches, tuple(batch)] if batch else batches


def by_length(order: Sequence[int], costs: Sequence[RowCost]) -> list[int]:
    """From long to short, within about 5 % of length from many views to few, else as in `order`.

    So rows that are alike lie together, with other neighbours in each epoch.
    """

    def alike(row: int) -> tuple[int, int]:
        positions = costs[row].positions
        step = 1 << max(positions.bit_length() - 5, 0)  # 16 steps between powers of two
        return positions // step * step, costs[row].views

    return sorted(order, key=alike, reverse=True)  # stable, also in reverse


def deal(
    batches: Sequence[RowBatch], *, grad_accum: int = 1, num_processes: int = 1, process: int = 0
) -> list[StepRows]:
    """Batches in order -> the steps that one of `num_processes` takes.

    The last step takes what is left. Batches go round the processes, so that a step has the same
    rows however many share it, if `grad_accum * num_processes` is the same.
    """
    a_step = grad_accum * num_processes
    steps = []
    for start in range(0, len(batches), a_step):
        step = batches[start : start + a_step]
        own = step[process::num_processes]
        longest = -(-len(step) // num_processes)
        silent = [_one_row_of(step[0])] * (longest - len(own))
        steps.append(StepRows(batches=(*own, *silent), num_real=len(own)))
    return steps


def plan_steps(
    order: Sequence[int],
    *,
    batch_size: int,
    grad_accum: int = 1,
    num_processes: int = 1,
    process: int = 0,
) -> list[StepRows]:
    """Row numbers in order -> the steps of so many rows a batch; see `deal`."""
    return deal(
        fixed_batches(order, batch_size),
        grad_accum=grad_accum,
        num_processes=num_processes,
        process=process,
    )


class Planner:
    """The steps of each epoch of a run, on this process.

    Args:
        config: says how rows make batches and steps.
        dataset: in whose order they come.
        costs: of every row; None where they are not known, as of drawn pages.
        num_processes, process: who takes part, and which of them this one is, from 0.

    Raises:
        UserError: a row does not fit into `--max_tokens_per_batch`.
        UsageError: batches by length of rows whose lengths are not known.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: Rows,
        costs: Sequence[RowCost] | None = None,
        num_processes: int = 1,
        process: int = 0,
    ):
        self.config, self.dataset, self.costs = config, dataset, costs
        self.num_processes, self.process = num_processes, process
        self._last: tuple[int, list[RowBatch]] | None = None
        if costs is None and (config.max_tokens_per_batch is not None or config.packing):
            raise UsageError(
                "--max_tokens_per_batch and --packing need rows whose lengths are known, which "
                "drawn pages (--synth) are not; use --batch_size"
            )
        if costs is not None and config.max_tokens_per_batch is not None:
            check_budget(dataset, costs, config.max_tokens_per_batch)

    def epoch(self, number: int) -> list[StepRows]:
        """The steps of an epoch, counted from 1, on this process."""
        return deal(
            self._batches(number),
            grad_accum=self.config.grad_accum,
            num_processes=self.num_processes,
            process=self.process,
        )

    def num_steps(self, epoch: int) -> int:
        """How many steps that epoch has, on every process."""
        if self.config.max_tokens_per_batch is None and not self.config.packing:
            num_batches = -(-len(self.dataset) // self.config.batch_size)
        else:
            num_batches = len(self._batches(epoch))
        return -(-num_batches // (self.config.grad_accum * self.num_processes))

    def largest(self) -> StepRows:
        """The batch that costs the most memory on any process, as a step of its own.

        Of all epochs, of a great many rows of the first ones. Where costs are not known the last
        batch: drawn pages become harder.
        """
        costs = self.costs
        if costs is None:
            last = self.dataset.order(seed=self.config.seed, epoch=1)[-self.config.batch_size :]
            return StepRows(batches=(tuple(last),), num_real=1)
        trains_vision = not set(VISION).isdisjoint(self.config.trained_parts)
        weight = VIEW_POSITIONS if trains_vision else 0

        def memory(batch: RowBatch) -> tuple[int, int, int]:
            rows = [costs[row] for row in rows_of(batch)]
            views = sum(row.views for row in rows)
            learned = sum(row.learned for row in rows)
            return padded_positions(batch, costs) + weight * views, learned, views

        num_epochs = min(self.config.epochs, 1 + ROWS_SEARCHED // len(costs))
        of_epochs = (self._batches(1 + n) for n in range(num_epochs))
        largest = max((max(batches, key=memory) for batches in of_epochs), key=memory)
        return StepRows(batches=(largest,), num_real=1)

    def _batches(self, epoch: int) -> list[RowBatch]:
        """Of all processes, in the order in which they are learned."""
        if self._last is None or self._last[0] != epoch:
            self._last = epoch, self._planned(epoch)
        return self._last[1]

    def _planned(self, epoch: int) -> list[RowBatch]:
        config, costs = self.config, self.costs
        order = self.dataset.order(seed=config.seed, epoch=epoch)
        batches: list[RowBatch]
        if costs is None or (config.max_tokens_per_batch is None and not config.packing):
            return fixed_batches(order, config.batch_size)
        shuffle = random.Random(f"{config.seed}/{epoch}/batches").shuffle
        if not config.packing:
            assert config.max_tokens_per_batch is not None
            batches = budget_batches(order, costs, config.max_tokens_per_batch)
            shuffle(batches)
            return batches
        lengths = [cost.positions for cost in costs]
        packs = best_fit(by_length(order, costs), lengths, self.pack_positions)
        shuffle(packs)
        a_batch = config.batch_size if config.max_tokens_per_batch is None else 1
        return [tuple(packs[i : i + a_batch]) for i in range(0, len(packs), a_batch)]

    @property
    def pack_positions(self) -> int:
        """Most positions of a pack: the budget, which then is a whole batch's, or the longest's."""
        assert self.costs is not None
        return self.config.max_tokens_per_batch or max(cost.positions for cost in self.costs)


def padded_positions(batch: RowBatch, costs: Sequence[RowCost]) -> int:
    """Positions that a batch takes, padding included."""
    lines = [line if isinstance(line, tuple) else (line,) for line in batch]
    lengths = [sum(costs[row].positions for row in line) for line in lines]
    return len(lengths) * max(lengths)


def check_budget(dataset: Rows, costs: Sequence[RowCost], max_tokens: int) -> None:
    """Every row must fit into a batch by itself.

    Raises:
        UserError: names the first rows that do not, and tells how many do not.
    """
    over = [row for row, cost in enumerate(costs) if cost.positions > max_tokens]
    if over:
        lines = [f"{dataset.name(row)}: takes {costs[row].positions} positions" for row in over]
        longest = max(costs[row].positions for row in over)
        raise UserError(
            f"--max_tokens_per_batch {max_tokens} is less than some rows take:\n"
            f"{first_of(lines)}\n"
            f"Raise it to at least {longest}, or split these texts, or lower --mode, --max_tiles"
        )


def first_of(lines: Sequence[str]) -> str:
    """The first few lines, and how many more there are."""
    more = len(lines) - NAMED
    rest = [f"and {more} more row{'s' if more > 1 else ''}"] if more > 0 else []
    return "\n".join([*lines[:NAMED], *rest])


def _one_row_of(batch: RowBatch) -> RowBatch:
    first = batch[0]
    return (first[:1],) if isinstance(first, tuple) else (first,)
