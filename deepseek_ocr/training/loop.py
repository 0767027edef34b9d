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
from .batching.batches import Batch, BatchReader, Collator, PageDataset, lost_worker
from .batching.planning import Planner, StepRows, rows_of
from .checkpoints.checkpoint import Position
from .checkpoints.saving import is_due, save_run
from .config import TrainConfig
from .drawn.heads import TaughtWithGlyphs
from .drawn.pages import DrawnPages
from .failures import TrainingError, explained_memory, explained_numbers
from .interrupts import StopRequest, StopRequested
from .optimization.averaging import Average
from .optimization.not_finite import Place
from .optimization.optimizer import set_learning_rates
from .optimization.schedule import Schedule
from .optimization.step import Unreadable, read_together, totals, train_step
from .processes.devices import choose_num_workers
from .processes.partners import Partners
from .reporting.figures import brief_notes, progress_notes, step_figures
from .reporting.outcome import tell_outcome
from .reporting.trackers import Tracker
from .validation.validator import Validator, better


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
            warmup_steps=config.warmup_steps,
            decay_ratio=config.decay_ratio,
        )
        self.partners = Partners(self.accelerator)
        self.silent = self.quiet or not self.is_main
        self.progress = Progress(self.num_steps, "steps", "train", quiet=True)  # until it begins
        self.stop = StopRequest(quiet=self.silent)
        self.first_step, self.seconds = self.position.step, 0.0
        self.saved_step = self.position.step
        if self.validator is not None:
            self.validator.log, self.validator.tracker = self.log, self.tracker
            self.validator.between_batches = self._end_if_stopping

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.accelerator.is_main_process

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do: all steps are done, or patience is at its end."""
        if self.position.validation_due:
            return False
        return self.position.step >= self.num_steps or self.is_out_of_patience

    @property
    def is_out_of_patience(self) -> bool:
        """Whether so many validations as `--patience` allows found nothing better."""
        patience = self.config.patience
        return patience is not None and self.position.bad_validations >= patience

    def finish(self) -> None:
        """Train from the position on to the end of the run.

        Raises:
            KeyboardInterrupt: the run was asked to stop; the step was finished, and saved. Or it
                was asked twice, and ended at once.
            TrainingError: the loss is not a number, memory ran out, or a row cannot be read; what
                was learned before such a row is saved. Or another process is gone.
        """
        began = time.monotonic()
        self.first_step = self.position.step
        self.model.train()
        partners = self.partners.explained(self._what_is_saved, self.stop.end_undisturbed)
        with self.stop, self._new_progress() as self.progress, partners:
            try:
                self._before_steps()
                while not self.is_finished:
                    self._epoch()
            except StopRequested:
                raise self._stopped() from None
            except KeyboardInterrupt:  # asked twice
                saved = self._what_is_saved()
                raise KeyboardInterrupt(f"{saved[0].lower()}{saved[1:]}") from None
            except Unreadable as error:
                raise self._saved_before(error) from None
            except RuntimeError as error:  # PyTorch raises it in the middle of anything
                if (lost := lost_worker(error)) is None:
                    raise
                raise TrainingError(f"{lost}\n{self._what_is_saved()}") from None
        self.seconds = time.monotonic() - began

    def _new_progress(self) -> Progress:
        start = self.position.step
        return Progress(self.num_steps, "steps", "train", start=start, quiet=self.silent)

    def _before_steps(self) -> None:
        """Measure what the model can do before it learns, or what was left over from before.

        Raises:
            StopRequested: meanwhile the run was asked to stop.
        """
        if self.position.step == 0 and self.validator is not None and self.config.eval_at_start:
            self._measure()
            self._end_if_stopping()
        if self.position.validation_due and self._between_steps(stopping=False):
            raise StopRequested

    @property
    def _is_stopping(self) -> bool:
        """Whether a process was asked to stop; all of them ask at the same moment."""
        return totals(self.accelerator, [int(self.stop.requested)]) != [0]

    def _end_if_stopping(self) -> None:
        if self._is_stopping:
            raise StopRequested

    def _stopped(self) -> KeyboardInterrupt:
        """What is raised where the run was asked to stop, once it has told what is saved."""
        step = self.position.step
        self.progress.message(
            f"stopped and saved after step {step} of {self.num_steps}; "
            "the same command goes on from there"
            if step
            else "stopped before the first step; nothing was saved; the same command starts again"
        )
        return KeyboardInterrupt()

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
        saved = f"Saved after step {step}" if step else "Nothing was saved yet"
        return TrainingError(
            f"after step {step}: {error}\n{saved}; the same command then "
            + ("goes on from there" if step else "starts again")
        )

    def _epoch(self) -> None:
        """The steps that are left of the current epoch."""
        position = self.position
        if position.step_in_epoch == self.planner.num_steps(position.epoch):
            position.epoch, position.step_in_epoch = position.epoch + 1, 0
            position.epoch_loss, position.epoch_tokens = 0.0, 0.0
        left = self.planner.epoch(position.epoch)[position.step_in_epoch :]
        left = left[: self.num_steps - position.step]
        began = time.monotonic()
        steps = self.reader.steps(left, position.epoch)
        for _, batches in read_together(self.accelerator, steps):
            self._step(batches, began)
            stopping = self._between_steps(self._is_stopping)
            began = time.monotonic()  # waiting for the next batch counts, validation does not
            if self.is_finished:
                return
            if stopping:
                raise StopRequested

    def _step(self, batches: Sequence[Batch], began: float) -> None:
        """Learn one step and log it; it began with waiting for its batches."""
        config, position = self.config, self.position
        share = self.schedule(position.step)
        set_learning_rates(self.optimizer, share)
        self._set_glyph_weight()
        with self._explained(batches), self._balance_loss():
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
        position.epoch_loss += result.loss * result.learned_weight
        position.epoch_tokens += result.learned_weight
        figures = step_figures(
            result, lr=config.peak_lr * share, seconds=seconds, device=self.accelerator.device
        )
        self._metrics("step", figures)
        notes: dict[str, Any] = progress_notes(figures)
        self.progress.advance(brief=brief_notes(figures), **notes)

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
    def _explained(self, batches: Sequence[Batch]) -> Iterator[None]:
        """Numbers that are none, and exhausted memory, as errors that say where and what to do."""
        number = self.position.step + 1

        def name(place: Place) -> str:
            row = rows_of(self._rows_on(place.process).batches[place.batch])[place.row]
            pictures = self.dataset.pictures(row)
            return self.dataset.name(row) + (f": {', '.join(pictures)}" if pictures else "")

        def content() -> str:
            height, width = max(tuple(batch["input_ids"].shape) for batch in batches)
            return f"{height} rows of {width} positions"

        with (
            explained_numbers(number, name),
            explained_memory(self.config, f"step {number}", content),
        ):
            yield

    def _rows_on(self, process: int) -> StepRows:
        """The rows of the current step on one of the processes."""
        ours = self.planner
        planner = Planner(self.config, self.dataset, ours.costs, ours.num_processes, process)
        return planner.epoch(self.position.epoch)[self.position.step_in_epoch]

    def _between_steps(self, stopping: bool) -> bool:
        """Validation, checkpoint and curves, where they are due; whether the run is to stop."""
        position, config = self.position, self.config
        epoch_ends = position.step_in_epoch == self.planner.num_steps(position.epoch)
        last = position.step == self.num_steps
        name = f"epoch-{position.epoch}" if epoch_ends else f"step-{position.step}"
        improved = False
        if self.validator is not None:
            due = epoch_ends or last or is_due(position.step, config.eval_steps)
            # who asks to stop may not wait; it is made up for when the run goes on
            position.validation_due = due
            if due and not stopping:
                try:
                    improved = self._validate(name)
                    stopping = self._is_stopping
                except StopRequested:
                    stopping = True
        if epoch_ends and not position.validation_due:
            mean = position.epoch_loss / position.epoch_tokens
            self._metrics("epoch", {"loss": mean})
        ends = epoch_ends or last or stopping or self.is_out_of_patience
        if ends or improved or is_due(position.step, config.save_steps):
            self.save(name)
        return stopping

    def _validate(self, name: str) -> bool:
        """Whether the validation after a step is the best so far, which `name` will be then."""
        position, metric = self.position, self.config.best_metric
        value = self._measure().get(metric)
        position.validation_due = False
        if value is None:  # the guard alone is measured, which chooses nothing
            return False
        if not better(metric, value, position.best_value):
            position.bad_validations += 1
            return False
        position.best_value, position.best, position.bad_validations = value, name, 0
        return True

    def _measure(self) -> dict[str, float]:
        assert self.validator is not None
        position = self.position
        with self._averaged(), self.progress.paused():
            return self.validator.measure(self.model, step=position.step, epoch=position.epoch)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts the model holds the average of its weights, where there is one."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place_of(self._own_model)

    def tell_outcome(self) -> None:
        """What the run came to, once it has ended by itself; nothing where nothing was learned."""
        if self.position.step > self.first_step:
            tell_outcome(
                self.config,
                self.position,
                self.log,
                self.progress.message,
                num_steps=self.num_steps,
                learned=self.position.step - self.first_step,
                seconds=self.seconds,
            )

    def save(self, name: str) -> None:
        """Write a checkpoint with its links, and the curves.

        Raises:
            TrainingError: it cannot be written; the checkpoints before it are whole.
        """
        with self._averaged():
            save_run(self, name)
        self.saved_step = self.position.step

    def _metrics(self, event: str, figures: dict[str, Any]) -> None:
        """To the log, and whoever else follows."""
        if self.is_main:
            position = self.position
            self.log.metrics(event, epoch=position.epoch, step=position.step, **figures)
            self.tracker.log(event, figures, position.step)
