"""The loop: epochs of steps, and what is due between them (validation, checkpoints, curves)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from torch import nn

from ..model.processing import DeepseekOcrProcessor
from ..progress import Progress
from ..runlog import RunLog
from .averaging import Average
from .batches import Batch, BatchReader, Collator, PageDataset, lost_worker
from .checkpoint import Position
from .config import TrainConfig
from .curves import read_curve
from .devices import choose_num_workers
from .drawn import DrawnPages
from .failures import TrainingError, explained_memory, explained_numbers
from .figures import progress_notes, step_figures
from .heads import TaughtWithGlyphs
from .interrupts import StopRequest
from .optimizer import set_learning_rates
from .partners import Partners
from .planning import Planner, StepRows, rows_of
from .saving import is_due, save_run
from .schedule import Schedule
from .step import Unreadable, read_together, totals, train_step
from .trackers import Tracker
from .validation import Validator, better


@dataclass(kw_only=True)
class Training:
    """A run in memory: what learns, what it learns from, and how far it is."""

    config: TrainConfig
    accelerator: Accelerator
    model: nn.Module
    optimizer: Any
    average: Average | None
    processor: DeepseekOcrProcessor
    dataset: PageDataset | DrawnPages
    collator: Collator
    planner: Planner
    validator: Validator | None
    position: Position
    run: dict[str, Any]
    log: RunLog
    tracker: Tracker
    quiet: bool = False

    def __post_init__(self) -> None:
        config = self.config
        num_workers = choose_num_workers(self.accelerator.device, config.num_workers)
        self.reader = BatchReader(self.dataset, self.collator, num_workers)
        epochs = 1 if isinstance(self.dataset, DrawnPages) else config.epochs
        planned = sum(self.planner.num_steps(1 + number) for number in range(epochs))
        self.num_steps = min(planned, config.max_steps or planned)
        self.schedule = Schedule(
            name=config.lr_schedule,
            num_steps=self.num_steps,
            warmup_ratio=config.warmup_ratio,
            decay_ratio=config.decay_ratio,
        )
        self.partners = Partners(self.accelerator)
        self.saved_step = self.position.step
        self.best_before = self.position.best  # the name of the best that was saved last
        if self.validator is not None:
            self.validator.log, self.validator.tracker = self.log, self.tracker

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.accelerator.is_main_process

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to learn: all steps are done, or patience is at its end."""
        return self.position.step >= self.num_steps or self.is_out_of_patience

    @property
    def is_out_of_patience(self) -> bool:
        """Whether so many validations as `--patience` allows found nothing better."""
        patience = self.config.patience
        return patience is not None and self.position.bad_validations >= patience

    def finish(self) -> None:
        """Train from the position on to the end of the run.

        Raises:
            KeyboardInterrupt: the run was asked to stop; the step was finished, and saved.
            TrainingError: the loss is not a number, memory ran out, or a row cannot be read; what
                was learned before such a row is saved. Or another process is gone.
        """
        quiet = self.quiet or not self.is_main
        progress = Progress(self.num_steps, "steps", "train", start=self.position.step, quiet=quiet)
        self.model.train()
        stop = StopRequest()
        partners = self.partners.explained(self._what_is_saved, stop.end_undisturbed)
        with stop, progress, partners:
            try:
                if self.position.step == 0 and self.validator is not None:
                    self._measure()  # what the model could do before
                if self.position.validation_due:
                    self._between_steps(stopping=False)
                while not self.is_finished:
                    self._epoch(progress, stop)
            except Unreadable as error:
                raise self._saved_before(error) from None
            except RuntimeError as error:  # PyTorch raises it in the middle of anything
                if (lost := lost_worker(error)) is None:
                    raise
                raise TrainingError(f"{lost}\n{self._what_is_saved()}") from None
            if self.position.step > progress.start:
                self._say_outcome(progress)

    def _what_is_saved(self) -> str:
        """What is on disk, and what to do, in words."""
        if not self.saved_step:
            return "Nothing was saved yet; the same command starts again"
        return f"Saved after step {self.saved_step}; the same command goes on from there"

    def _saved_before(self, error: Unreadable) -> TrainingError:
        """Save what was learned; the error that says what to do."""
        step = self.position.step
        if step > self.saved_step:
            self.save(f"step-{step}")
        saved = f"Saved after step {step}. " if step else ""
        return TrainingError(
            f"after step {step}: {error}\n{saved}Mend the file; the same command then goes on"
        )

    def _epoch(self, progress: Progress, stop: StopRequest) -> None:
        """The steps that are left of the current epoch."""
        position = self.position
        if position.step_in_epoch == self.planner.num_steps(position.epoch):
            position.epoch, position.step_in_epoch = position.epoch + 1, 0
            position.epoch_loss, position.epoch_tokens = 0.0, 0
        left = self.planner.epoch(position.epoch)[position.step_in_epoch :]
        left = left[: self.num_steps - position.step]
        began = time.monotonic()
        steps = self.reader.steps(left, position.epoch)
        for rows, batches in read_together(self.accelerator, steps):
            self._step(rows, batches, progress, began)
            stopping = totals(self.accelerator, [int(stop.requested)]) != [0]
            self._between_steps(stopping)
            began = time.monotonic()  # waiting for the next batch counts, validation does not
            if self.is_finished:
                return
            if stopping:
                progress.message(
                    f"stopped and saved after step {position.step} of {self.num_steps}; "
                    "the same command goes on from there"
                )
                raise KeyboardInterrupt

    def _step(
        self, rows: StepRows, batches: Sequence[Batch], progress: Progress, began: float
    ) -> None:
        """Learn one step and log it; it began with waiting for its batches."""
        config, position = self.config, self.position
        share = self.schedule(position.step)
        set_learning_rates(self.optimizer, share)
        self._set_glyph_weight()
        with self._explained(rows, batches), self._balance_loss():
            result = train_step(
                self.model,
                self.accelerator,
                self.optimizer,
                batches,
                max_norm=config.max_grad_norm,
                label_smoothing=config.label_smoothing,
            )
        if self.average is not None:
            self.average.update(self._own_model)
        seconds = max(time.monotonic() - began, 1e-9)
        position.step += 1
        position.step_in_epoch += 1
        position.epoch_loss += result.loss * result.num_learned
        position.epoch_tokens += result.num_learned
        figures = step_figures(
            result, lr=config.peak_lr * share, seconds=seconds, device=self.accelerator.device
        )
        self._metrics("step", figures)
        notes: dict[str, Any] = progress_notes(figures)
        progress.advance(**notes)

    @property
    def _own_model(self) -> Any:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    def _set_glyph_weight(self) -> None:
        """Of this step: on a line from the first step's to the last's."""
        own = self._own_model
        if isinstance(own, TaughtWithGlyphs):
            first, last = self.config.glyph_weights
            own.weight = first + (last - first) * self.position.step / max(self.num_steps - 1, 1)

    @contextlib.contextmanager
    def _balance_loss(self) -> Iterator[None]:
        """Its weight while a step learns; the config that is saved keeps its own."""
        config = self._own_model.config
        before = config.balance_loss_weight
        config.balance_loss_weight = self.config.balance_weight
        try:
            yield
        finally:
            config.balance_loss_weight = before

    @contextlib.contextmanager
    def _explained(self, rows: StepRows, batches: Sequence[Batch]) -> Iterator[None]:
        """Numbers that are none, and exhausted memory, as errors that say where and what to do."""
        number = self.position.step + 1

        def names(batch: int | None, process: int | None) -> str:
            met = rows if process is None else self._rows_on(process)
            found = met.batches if batch is None else [met.batches[batch]]
            return ", ".join(self.dataset.name(i) for b in found for i in rows_of(b))

        def content() -> str:
            height, width = max(tuple(batch["input_ids"].shape) for batch in batches)
            return f"{height} rows of {width} positions"

        with (
            explained_numbers(number, names),
            explained_memory(self.config, f"step {number}", content),
        ):
            yield

    def _rows_on(self, process: int) -> StepRows:
        """The rows of the current step on one of the processes."""
        ours = self.planner
        planner = Planner(self.config, self.dataset, ours.costs, ours.num_processes, process)
        return planner.epoch(self.position.epoch)[self.position.step_in_epoch]

    def _between_steps(self, stopping: bool) -> None:
        """Validation, checkpoint and curves, where they are due."""
        position, config = self.position, self.config
        epoch_ends = position.step_in_epoch == self.planner.num_steps(position.epoch)
        last = position.step == self.num_steps
        name = f"epoch-{position.epoch}" if epoch_ends else f"step-{position.step}"
        improved = False
        if self.validator is not None:
            due = epoch_ends or last or is_due(position.step, config.eval_steps)
            # who asks to stop may not wait; it is made up for when the run goes on
            position.validation_due = due and stopping and not last
            if due and not position.validation_due:
                improved = self._validate(name)
        if epoch_ends and not position.validation_due:
            mean = position.epoch_loss / position.epoch_tokens
            self._metrics("epoch", {"loss": mean})
        ends = epoch_ends or last or stopping or self.is_out_of_patience
        if ends or improved or is_due(position.step, config.save_steps):
            self.save(name)

    def _validate(self, name: str) -> bool:
        """Whether the validation after a step is the best so far, which `name` will be then."""
        position, metric = self.position, self.config.best_metric
        position.validation_due = True
        value = self._measure()[metric]
        position.validation_due = False
        if not better(metric, value, position.best_value):
            position.bad_validations += 1
            return False
        position.best_value, position.best, position.bad_validations = value, name, 0
        return True

    def _measure(self) -> dict[str, float]:
        assert self.validator is not None
        position = self.position
        with self._averaged():
            return self.validator.measure(self.model, step=position.step, epoch=position.epoch)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts the model holds the average of its weights, where there is one."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of(self._own_model)

    def _say_outcome(self, progress: Progress) -> None:
        """What a finished run found: that it ended early, or that nothing became better."""
        position, metric = self.position, self.config.best_metric
        if not self.is_main or position.best_value is None:
            return
        if self.is_out_of_patience and position.step < self.num_steps:
            self.log.event("early_stop", step=position.step, of=self.num_steps, best=position.best)
            progress.message(
                f"stopped early after step {position.step} of {self.num_steps}: "
                f"{position.bad_validations} validations without a better {metric} than "
                f"{position.best_value:.4f} of {position.best}"
            )
        before = read_curve(self.config.output_dir, "validation", metric).get(0)
        if before is not None and not better(metric, position.best_value, before):
            reason = (
                f"no checkpoint is better than the model before training ({metric} {before:.4f}, "
                f"the best then {position.best_value:.4f} of {position.best}); lower --lr, or "
                "train longer"
            )
            self.log.event("no_gain", reason=reason)
            progress.message(f"warning: {reason}")

    def save(self, name: str) -> None:
        """Write a checkpoint with its links, and the curves.

        Raises:
            TrainingError: it cannot be written; the checkpoints before it are whole.
        """
        with self._averaged():
            save_run(self, name)
        self.saved_step = self.position.step
        self.best_before = self.position.best

    def _metrics(self, event: str, figures: dict[str, Any]) -> None:
        """To the log, and whoever else follows."""
        if self.is_main:
            position = self.position
            self.log.metrics(event, epoch=position.epoch, step=position.step, **figures)
            self.tracker.log(event, figures, position.step)
