"""What a run measures on rows that it does not learn from: their loss, and how some are read.

Measuring leaves no trace in the run: weights, modes and random generators are as before, so that
a run learns the same with and without it.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ...data.annotations import Annotation
from ...model.processing import DeepseekOcrProcessor
from ...progress import Progress, say
from ...runlog import RunLog
from ..batching.batches import Collator, PageDataset, StepRows, Steps, learned_weight
from ..config import TrainConfig
from ..failures import explained_memory
from ..optimization.step import read_together, to_device
from ..processes.devices import choose_num_workers
from ..processes.sharding import share_again
from ..reporting.trackers import Tracker
from .forgetting import Guard
from .reading import (
    ReadRow,
    RowReader,
    Watch,
    cut,
    reading_figures,
    share_out,
    unwatched,
)
from .sample_predictions import SHOWN, log_sample, sample_fields, show_sample, wants_colours

HIGHER_IS_BETTER = ("edit_similarity",)
TIMES_BATCH_SIZE, MOST_TOGETHER = 4, 8
"""Rows measured together, over `--batch_size`, and at most: nothing is kept for a backward pass."""
GUARD = "guard_"
"""Before the names of the figures of `--guard_file`."""


def better(metric: str, new: float, best: float | None) -> bool:
    """Whether a figure of validation is better than the best so far (None: there is none yet)."""
    if math.isnan(new):
        return False
    if best is None or math.isnan(best):
        return True
    return new > best if metric in HIGHER_IS_BETTER else new < best


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Rows that are measured; `prefix` stands before the names of their figures."""

    prefix: str
    dataset: PageDataset
    reader: RowReader

    @property
    def name(self) -> str:
        """How they are called in the log."""
        return "guard" if self.prefix else "validation"


class Validator:
    """Measures the rows of `--val_file` and `--guard_file`, the same ones each time.

    Attributes:
        tracker: gets the figures and the samples, too; None: nobody does.
        between_batches: called between two batches, equally often in all processes; it may raise.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        processor: DeepseekOcrProcessor,
        val_rows: Sequence[Annotation],
        guard_rows: Sequence[Annotation],
        collator: Collator,
        log: RunLog,
        *,
        quiet: bool = False,
    ):
        self.config, self.accelerator, self.collator, self.log = config, accelerator, collator, log
        self.quiet = quiet
        self.say: Callable[[str], None] = partial(say, quiet=quiet)
        self.between_batches: Callable[[], None] = lambda: None
        self.tracker: Tracker | None = None
        self.guard = Guard(config.output_dir, reads=config.eval_samples > 0)
        self.batch_size = min(TIMES_BATCH_SIZE * config.batch_size, MOST_TOGETHER)
        self.batch_size = max(self.batch_size, config.batch_size)
        self.num_workers = choose_num_workers(accelerator.device, config.num_workers)
        self.sets = [
            self._rows(prefix, rows, processor)
            for prefix, rows in (("", val_rows), (GUARD, guard_rows))
            if rows
        ]

    def _rows(
        self, prefix: str, rows: Sequence[Annotation], processor: DeepseekOcrProcessor
    ) -> _Rows:
        config = self.config
        assert config.data_root is not None, "rows come from a file, whose pictures have a root"
        dataset = PageDataset(rows, processor, config.data_root)
        reader = RowReader(
            dataset,
            self.accelerator,
            num_rows=config.eval_samples,
            seed=config.seed,
            batch_size=self.batch_size,
            max_new_tokens=config.eval_max_new_tokens,
        )
        return _Rows(prefix=prefix, dataset=dataset, reader=reader)

    def measure(self, model: nn.Module, *, step: int, epoch: int) -> dict[str, float]:
        """Loss and reading of all rows, logged; every process calls it and gets the same figures.

        `loss`, `cer`, `wer`, `edit_similarity`, `repetition_rate`, `empty_rate`, `truncation_rate`
        of the validation rows, and with the prefix `guard_` of the guard's. Without rows to read
        (`--eval_samples 0`) the loss alone; without any rows, nothing.

        Raises:
            Unreadable: in all processes, if one cannot open a row's picture.
            TrainingError: memory ran out.
        """
        began = time.monotonic()
        figures: dict[str, float] = {}
        answers = []
        when = f"validation after step {step}"
        with (
            explained_memory(self.config, when, lambda: f"{self.batch_size} rows together"),
            undisturbed(model, self.accelerator.device),
            _uncompiled(self.config.compile),
        ):
            for rows in self.sets:
                loss = self._loss(model, rows)
                read = rows.reader.read(model, self._watch)
                found = {"loss": loss, **reading_figures(read)}
                figures |= {f"{rows.prefix}{name}": value for name, value in found.items()}
                answers.append((rows, read))
        if self.accelerator.is_main_process and self.sets:
            self._tell(figures, answers, step, epoch, time.monotonic() - began)
        return figures

    def _loss(self, model: nn.Module, rows: _Rows) -> float:
        return validation_loss(
            model,
            self.accelerator,
            rows.dataset,
            self.collator,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            watch=self._watch,
        )

    @contextlib.contextmanager
    def _watch(self, label: str, num_batches: int) -> Iterator[Callable[[], None]]:
        """How far a part of the measuring is, and whether it goes on, where it takes long."""
        quiet = self.quiet or not num_batches
        with Progress(num_batches, "batches", label, quiet=quiet, passing=True) as progress:

            def batch_done() -> None:
                progress.advance()
                if progress.count < num_batches:
                    self.between_batches()

            self.between_batches()
            yield batch_done

    def _tell(
        self,
        figures: dict[str, float],
        answers: Sequence[tuple[_Rows, Sequence[ReadRow]]],
        step: int,
        epoch: int,
        seconds: float,
    ) -> None:
        """Figures, samples and warnings, for the logs, the trackers and the terminal."""
        self.log.metrics("validation", epoch=epoch, step=step, **figures, seconds=round(seconds, 3))
        if self.tracker is not None:
            self.tracker.log("validation", figures, step)
        self.say(f"step {step}: {summary(figures)} ({seconds:.1f} s)")
        for rows, read in answers:
            self._tell_samples(rows, read[:SHOWN], step)
        if (warning := self.guard.warning(figures, step=step)) is not None:
            self.log.event("forgetting", step=step, reason=warning)
            self.say(f"warning: {warning}")

    def _tell_samples(self, rows: _Rows, read: Sequence[ReadRow], step: int) -> None:
        colours = wants_colours()
        for number, row in enumerate(read, start=1):
            annotation = rows.dataset.annotations[row.row]
            log_sample(self.log, rows.name, row, annotation, step=step)
            show_sample(self.say, row, annotation, colours=colours)
            if self.tracker is not None:
                fields = sample_fields(row, annotation)
                self.tracker.log(f"{rows.name} sample {number}", fields, step)


def summary(figures: dict[str, float]) -> str:
    """The figures that people look at first, in a line."""
    names = {"loss": "validation loss", "cer": "CER", "wer": "WER"}
    names |= {f"{GUARD}loss": "guard loss", f"{GUARD}cer": "guard CER"}
    return ", ".join(f"{name} {figures[key]:.4f}" for key, name in names.items() if key in figures)


@torch.no_grad()
def validation_loss(
    model: nn.Module,
    accelerator: Accelerator,
    dataset: PageDataset,
    collator: Collator,
    *,
    batch_size: int,
    num_workers: int = 0,
    watch: Watch = unwatched,
) -> float:
    """Mean cross entropy a learned token over all rows, weighted where they have weights.

    The balance loss is left out.

    Raises:
        Unreadable: in all processes, if one cannot open a row's picture.
    """
    total, learned = 0.0, 0.0
    plan = _plan(dataset, accelerator, batch_size)
    steps = Steps(dataset, collator, plan, num_workers)
    with (
        undisturbed(model, accelerator.device),
        watch("validation", len(plan)) as batch_done,
    ):
        for _, batches in read_together(accelerator, steps):
            for batch in batches:
                output = model(**to_device(batch, accelerator), num_items_in_batch=1)
                balance = 0.0 if output.balance_loss is None else float(output.balance_loss)
                total += float(output.loss) - balance
                learned += learned_weight(batch)
            batch_done()
    if accelerator.num_processes > 1:
        # float32 on devices that have no longer numbers
        kind = torch.float32 if accelerator.device.type == "mps" else torch.float64
        pair = torch.tensor([total, learned], dtype=kind, device=accelerator.device)
        total, learned = accelerator.reduce(pair).tolist()
    return total / learned


def _plan(dataset: PageDataset, accelerator: Accelerator, batch_size: int) -> list[StepRows]:
    """Batches of this process, alike lengths together; where it has none left, a row that counts
    for nothing, as all processes must go forward equally often.
    """
    rows = sorted(range(len(dataset)), key=lambda row: -len(dataset.annotations[row].text))
    share = share_out(cut(rows, batch_size), accelerator.num_processes, accelerator.process_index)
    return [
        StepRows(batches=(batch or tuple(rows[:1]),), num_real=int(batch is not None))
        for batch in share
    ]


@contextlib.contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """In eval mode; afterwards every module's mode and all random generators are as before."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  others' code uses it
    devices = [device] if device.type == "cuda" else []
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        share_again(model)
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextlib.contextmanager
def _uncompiled(is_compiled: bool) -> Iterator[None]:
    """Run compiled layers as they were written: each new length would be compiled again."""
    if not is_compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
