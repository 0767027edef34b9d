"""The loop: epochs of steps, and what is due between them (validation, checkpoints, curves)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import nn

from ..data.annotations import Annotation
from ..errors import EXIT_INTERNAL, UserError
from ..model.processing import DeepseekOcrProcessor
from ..progress import Progress
from ..runlog import RunLog
from .batches import Batch, Collator, PageDataset, StepRows, Steps, plan_steps
from .checkpoint import BEST, LAST, Position, link, remove_old_steps, save_checkpoint
from .config import TrainConfig
from .curves import draw_curves
from .devices import choose_num_workers
from .drawn import DrawnPages
from .heads import TaughtWithGlyphs
from .interrupts import StopRequest
from .optimizer import learning_rate, set_learning_rate
from .step import NotFinite, Unreadable, read_together, totals, train_step
from .validation import validation_loss

BALANCE_LOSS_WEIGHT = 0.001
"""Of the balance loss where the router trains, as in the released code; 0 where it does not."""


class TrainingError(UserError):
    """Training cannot go on: the loss is no number, memory ran out, a row broke (exit code 1)."""

    exit_code = EXIT_INTERNAL


@dataclass(kw_only=True)
class Training:
    """A run in memory: what learns, what it learns from, and how far it is."""

    config: TrainConfig
    accelerator: Accelerator
    model: nn.Module
    optimizer: Any
    processor: DeepseekOcrProcessor
    rows: Sequence[Annotation]
    val_rows: Sequence[Annotation]
    drawn: DrawnPages | None
    position: Position
    run: dict[str, Any]
    log: RunLog
    quiet: bool = False

    def __post_init__(self) -> None:
        self.num_workers = choose_num_workers(self.accelerator.device, self.config.num_workers)
        self.collator = Collator(self.processor)
        root = self.config.data_root or Path()  # none where all pages are drawn
        self.dataset = self.drawn or PageDataset(
            self.rows, self.processor, root, augmentation=self.config.augmentation
        )
        self.val_dataset = PageDataset(self.val_rows, self.processor, root)
        self.steps_per_epoch = len(self.plan(epoch=1))
        planned = (1 if self.drawn else self.config.epochs) * self.steps_per_epoch
        self.num_steps = min(planned, self.config.max_steps or planned)
        self.saved_step = self.position.step

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.accelerator.is_main_process

    def plan(self, epoch: int) -> list[StepRows]:
        """The steps of an epoch on this process."""
        return plan_steps(
            self.dataset.order(seed=self.config.seed, epoch=epoch),
            batch_size=self.config.batch_size,
            grad_accum=self.config.grad_accum,
            num_processes=self.accelerator.num_processes,
            process=self.accelerator.process_index,
        )

    def finish(self) -> None:
        """Train from the position on to the end of the run.

        Raises:
            KeyboardInterrupt: the run was asked to stop; the step was finished, and saved.
            TrainingError: the loss is not a number, memory ran out, or a row cannot be read; what
                was learned before such a row is saved.
        """
        quiet = self.quiet or not self.is_main
        progress = Progress(self.num_steps, "steps", "train", start=self.position.step, quiet=quiet)
        self.model.train()
        with StopRequest() as stop, progress:
            try:
                if self.position.validation_due:
                    self.position.validation_due = False
                    self._between_steps(progress, stopping=False)
                while self.position.step < self.num_steps:
                    self._epoch(progress, stop)
            except Unreadable as error:
                raise self._saved_before(error) from None

    def _saved_before(self, error: Unreadable) -> TrainingError:
        """Save what was learned; the error that says what to do."""
        step = self.position.step
        if step > self.saved_step:
            self.save(f"step-{step}", None)
        saved = f"Saved after step {step}. " if step else ""
        return TrainingError(
            f"after step {step}: {error}\n{saved}Mend the file; the same command then goes on"
        )

    def _epoch(self, progress: Progress, stop: StopRequest) -> None:
        """The steps that are left of the current epoch."""
        position = self.position
        if position.step_in_epoch == self.steps_per_epoch:
            position.epoch, position.step_in_epoch = position.epoch + 1, 0
            position.epoch_loss, position.epoch_tokens = 0.0, 0
        left = self.plan(position.epoch)[position.step_in_epoch :]
        left = left[: self.num_steps - position.step]
        began = time.monotonic()
        self.dataset.set_epoch(position.epoch)
        steps = Steps(self.dataset, self.collator, left, self.num_workers)
        for rows, batches in read_together(self.accelerator, steps):
            self._step(rows, batches, progress, began)
            stopping = totals(self.accelerator, [int(stop.requested)]) != [0]
            self._between_steps(progress, stopping)
            began = time.monotonic()  # waiting for the next batch counts, validation does not
            if stopping and position.step < self.num_steps:
                if self.is_main:
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
        lr = learning_rate(
            position.step,
            peak=config.peak_lr,
            num_steps=self.num_steps,
            warmup_ratio=config.warmup_ratio,
        )
        set_learning_rate(self.optimizer, lr)
        self._set_glyph_weight()
        with self._explained(rows, batches), self._balance_loss():
            result = train_step(
                self.model,
                self.accelerator,
                self.optimizer,
                batches,
                max_norm=config.max_grad_norm,
            )
        seconds = max(time.monotonic() - began, 1e-9)
        position.step += 1
        position.step_in_epoch += 1
        position.epoch_loss += result.loss * result.num_learned
        position.epoch_tokens += result.num_learned
        tokens_per_s = round(result.num_positions / seconds, 1)
        self._metrics(
            "step",
            epoch=position.epoch,
            step=position.step,
            loss=result.loss,
            lr=lr,
            grad_norm=result.grad_norm,
            num_learned=result.num_learned,
            tokens_per_s=tokens_per_s,
            samples_per_s=round(result.num_rows / seconds, 3),
            **({} if result.glyph_loss is None else {"glyph_loss": result.glyph_loss}),
        )
        rate: dict[str, Any] = {"tokens/s": f"{tokens_per_s:.0f}"}
        progress.advance(loss=f"{result.loss:.4f}", lr=f"{lr:.2e}", **rate)

    def _set_glyph_weight(self) -> None:
        """Of this step: on a line from the first step's to the last's."""
        own = self.accelerator.unwrap_model(self.model)
        if isinstance(own, TaughtWithGlyphs):
            first, last = self.config.glyph_weights
            own.weight = first + (last - first) * self.position.step / max(self.num_steps - 1, 1)

    @contextlib.contextmanager
    def _balance_loss(self) -> Iterator[None]:
        """Its weight while a step learns; the config that is saved keeps its own."""
        config = self.accelerator.unwrap_model(self.model).config
        before = config.balance_loss_weight
        trains_router = self.config.tune == "full" and "router" in self.config.trained_parts
        config.balance_loss_weight = BALANCE_LOSS_WEIGHT if trains_router else 0.0
        try:
            yield
        finally:
            config.balance_loss_weight = before

    @contextlib.contextmanager
    def _explained(self, rows: StepRows, batches: Sequence[Batch]) -> Iterator[None]:
        """Numbers that are none, and exhausted memory, as errors that say where and what to do."""
        number = self.position.step + 1
        try:
            yield
        except NotFinite as error:
            found = rows.batches if error.batch is None else [rows.batches[error.batch]]
            names = ", ".join(self.dataset.name(i) for batch in found for i in batch)
            raise TrainingError(
                f"step {number}: {error} is not a finite number; rows: {names}\n"
                "Look at these rows, lower --lr, or use --dtype float32"
            ) from None
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            height, width = max(tuple(batch["input_ids"].shape) for batch in batches)
            raise TrainingError(
                f"step {number}: out of memory with {height} rows of {width} positions\n"
                "Lower --batch_size (and raise --grad_accum by as much), then --max_tiles or "
                "--mode; --tune lora and fewer --parts need less, too"
            ) from None

    def _between_steps(self, progress: Progress, stopping: bool) -> None:
        """Validation, checkpoint and curves, where they are due."""
        position, config = self.position, self.config
        epoch_ends = position.step_in_epoch == self.steps_per_epoch
        ends = stopping or epoch_ends or position.step == self.num_steps
        validates = (
            epoch_ends or (ends and not stopping) or _is_due(position.step, config.eval_steps)
        )
        loss = self._validate(progress) if validates and self.val_rows else None
        if epoch_ends:
            self._metrics(
                "epoch",
                epoch=position.epoch,
                step=position.step,
                loss=position.epoch_loss / position.epoch_tokens,
            )
        if ends or _is_due(position.step, config.save_steps):
            self.save(f"epoch-{position.epoch}" if epoch_ends else f"step-{position.step}", loss)

    def _validate(self, progress: Progress) -> float:
        position = self.position
        position.validation_due = True
        loss = validation_loss(
            self.model,
            self.accelerator,
            self.val_dataset,
            self.collator,
            batch_size=self.config.batch_size,
            num_workers=self.num_workers,
        )
        position.validation_due = False
        self._metrics("validation", epoch=position.epoch, step=position.step, loss=loss)
        if self.is_main:
            progress.message(f"step {position.step}: validation loss {loss:.4f}")
        return loss

    def save(self, name: str, loss: float | None) -> None:
        """Write a checkpoint with its links, and the curves; `loss` is its validation loss.

        Raises:
            TrainingError: it cannot be written; the checkpoints before it are whole.
        """
        position = self.position
        if loss is not None and (position.best_loss is None or loss < position.best_loss):
            position.best_loss, position.best = loss, name
        if self.is_main:
            try:
                self._write(name)
            except (OSError, SafetensorError) as error:
                raise TrainingError(
                    f"{self.config.output_dir / name}: cannot be written ({error})\n"
                    "Make room; the same command then goes on from the checkpoint before"
                ) from None
        self.saved_step = position.step
        self.accelerator.wait_for_everyone()

    def _write(self, name: str) -> None:
        folder, scaler = self.config.output_dir, self.accelerator.scaler
        path = save_checkpoint(
            folder,
            name,
            model=self.accelerator.unwrap_model(self.model),
            processor=self.processor,
            optimizer=getattr(self.optimizer, "optimizer", self.optimizer),
            position=self.position,
            run=self.run,
            scaler=None if scaler is None else scaler.state_dict(),
        )
        set_links(folder, name, self.position)
        if self.config.keep is not None:
            remove_old_steps(folder, self.config.keep)
        self.log.event("saved", step=self.position.step, path=path)
        draw_curves(folder)

    def _metrics(self, event: str, **figures: Any) -> None:
        if self.is_main:
            self.log.metrics(event, **figures)


def set_links(output_dir: Path, name: str, position: Position) -> None:
    """`last` -> `name`; `best` -> the lowest validation loss, without one the same as `last`."""
    link(output_dir, LAST, name)
    best = position.best if position.best and (output_dir / position.best).is_dir() else name
    link(output_dir, BEST, best)


def _is_due(step: int, interval: int | None) -> bool:
    return interval is not None and step % interval == 0


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
