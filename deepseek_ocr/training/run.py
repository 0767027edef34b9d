"""One training run from beginning to end: checks, model, loop, and the files in the output folder.

Everything that can be refused is refused before the first file is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ..data.annotations import Annotation, read_annotations
from ..errors import UsageError, UserError
from ..files import make_output_dir, sha256_of
from ..model.presets import PRESETS
from ..progress import Progress
from ..runlog import RunLog, versions
from .checkpoint import (
    BEST,
    Checkpoint,
    Position,
    has_heads,
    load_heads,
    load_optimizer,
    load_random_states,
    remove_left_overs,
)
from .config import TrainConfig
from .devices import accelerator_for, repeatable
from .drawn import PROMPT, draw_pages
from .heads import TaughtWithGlyphs, make_heads, without_heads
from .identity import describe_run, find_start
from .loop import Training, set_links
from .optimizer import make_optimizer
from .parts import count_by_part, parts_table
from .rows import check_lengths, common_prompt
from .sample_sheet import write_samples
from .step import reach_a_parameter
from .trainable import load_trainable, with_view_settings


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The rows of a run and the SHA-256 of their files; no rows where pages are drawn."""

    rows: Sequence[Annotation]
    val_rows: Sequence[Annotation]
    sha256: Mapping[str, str | None]


def train(config: TrainConfig, *, quiet: bool = False) -> Path:
    """Train as `config` says; the path of the best checkpoint (the last one without validation).

    Progress goes to stderr, unless `quiet`. A run that was stopped goes on where it was.

    Raises:
        UserError: refused before anything was written: data, model or output folder.
        TrainingError: the loss was not a number, memory ran out, or a row could not be read.
        KeyboardInterrupt: stopped by a signal, after the step was finished and saved.
    """
    samples = read_samples(config)
    text_only = not all(row.images for row in samples.rows)
    with (
        accelerator_for(config.device, config.dtype, find_unused=text_only) as accelerator,
        repeatable(accelerator.device),
    ):
        run = describe_run(config, samples.sha256, accelerator.num_processes)
        checkpoint = find_start(config, run)
        training = prepare(config, samples, accelerator, run, checkpoint, quiet)
        _run_logged(training, samples, checkpoint)
    return (config.output_dir / BEST).resolve()


def read_samples(config: TrainConfig) -> Samples:
    """The rows of the train file and the validation file, all checked."""
    rows, val_rows = (
        read_annotations(file, config.data_root) if file and config.data_root else []
        for file in (config.train_file, config.val_file)
    )
    files = {"train_file": config.train_file, "val_file": config.val_file}
    sha256 = {name: sha256_of(path) if path else None for name, path in files.items()}
    return Samples(rows=rows, val_rows=val_rows, sha256=sha256)


def prepare(
    config: TrainConfig,
    samples: Samples,
    accelerator: Accelerator,
    run: dict[str, Any],
    checkpoint: Checkpoint | None,
    quiet: bool = False,
) -> Training:
    """The run in memory, at the start or where `checkpoint` was."""
    set_seed(config.seed)
    model, processor = load_trainable(config, accelerator, checkpoint)
    processor = with_view_settings(processor, config)
    max_length = choose_max_length(config, model.config.text_config.max_position_embeddings)
    drawn = None
    if config.synth is None:
        processor.prompt = common_prompt(samples.rows)
    else:
        processor.prompt = PROMPT
        drawn = draw_pages(config, processor, max_length, accelerator.num_processes)
    for rows in (samples.rows, samples.val_rows):
        if config.data_root is not None:
            check_lengths(rows, processor, config.data_root, max_length)
    if config.has_heads:
        model = with_heads(model, config, checkpoint)
    optimizer = make_optimizer(
        model.to(accelerator.device), lr=config.peak_lr, weight_decay=config.weight_decay
    )
    if checkpoint is not None:
        load_optimizer(checkpoint.path, model, optimizer)
        load_random_states(checkpoint.path)
    reach_a_parameter(model)
    model, optimizer = accelerator.prepare(model, optimizer)
    if checkpoint is not None and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(dict(checkpoint.scaler))
    return Training(
        config=config,
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        processor=processor,
        rows=samples.rows,
        val_rows=samples.val_rows,
        drawn=drawn,
        position=checkpoint.position if checkpoint else Position(),
        run=run,
        log=RunLog(config.output_dir, "train"),
        quiet=quiet,
    )


def with_heads(
    model: nn.Module, config: TrainConfig, checkpoint: Checkpoint | None
) -> TaughtWithGlyphs:
    """The model with heads that name glyphs: the checkpoint's, or those of the run before.

    Where neither has any, they are new.
    """
    heads = make_heads(model)
    before = Path(config.model_path)
    if checkpoint is not None:
        load_heads(checkpoint.path, heads)
    elif config.model_path not in PRESETS and has_heads(before):
        load_heads(before, heads)
    return TaughtWithGlyphs(model, heads, glyphs_only=config.synth_task == "glyphs")


def choose_max_length(config: TrainConfig, positions: int) -> int:
    """The most positions of a row: those of the model, or fewer."""
    if config.max_length is not None and config.max_length > positions:
        raise UsageError(
            f"--max_length is {config.max_length}, the model has {positions} positions"
        )
    return config.max_length or positions


def _run_logged(training: Training, samples: Samples, checkpoint: Checkpoint | None) -> None:
    """The loop between `start` and `end` of the log; what ends it early is logged, too."""
    config, log = training.config, training.log
    if not training.is_main:
        training.finish()
        return
    with alone_in(make_output_dir(config.output_dir)):
        remove_left_overs(config.output_dir)
        if checkpoint is not None:  # it may have been killed between the folder and its links
            set_links(config.output_dir, checkpoint.path.name, training.position)
        _log_start(training, samples)
        try:
            _show_samples(training)
            training.finish()
        except KeyboardInterrupt:
            log.event("interrupted", step=training.position.step, of=training.num_steps)
            raise
        except Exception as error:
            log.event("error", type=type(error).__name__, reason=str(error))
            raise
        log.metrics("end", step=training.position.step, best_loss=training.position.best_loss)


def _show_samples(training: Training) -> None:
    config = training.config
    if config.show_samples is None:
        return
    num_rows = config.show_samples
    path = write_samples(config.output_dir, training.dataset, num_rows=num_rows, seed=config.seed)
    training.log.event("samples", path=path)
    Progress(0, "steps", "train", quiet=training.quiet).message(f"samples: {path}")


_locks: set[int] = set()


def _drop_locks() -> None:
    """In a forked worker: else it would hold the lock for a while after this process was killed."""
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on the output folder, which ends with the process.

    Raises:
        UserError: another run is writing there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another train.py is writing there; wait for it, or name another "
                "--output_dir"
            ) from None
        _locks.add(descriptor)
        yield
    finally:
        _locks.discard(descriptor)
        os.close(descriptor)


def _log_start(training: Training, samples: Samples) -> None:
    accelerator = training.accelerator
    device = str(accelerator.device)
    if accelerator.device.type == "cuda":
        device += f" {torch.cuda.get_device_name(accelerator.device)}"
    training.log.event(
        "start",
        arguments=training.config.to_json(),
        versions=versions(),
        device=device,
        precision=accelerator.mixed_precision,
        num_processes=accelerator.num_processes,
        sha256=samples.sha256,
        base_model=training.run["base_model"],
        num_rows=len(training.dataset),  # type: ignore[arg-type]
        num_val_rows=len(samples.val_rows),
        steps=training.num_steps,
        from_step=training.position.step,
    )
    counts = count_by_part(without_heads(accelerator.unwrap_model(training.model)))
    trained, frozen = ({part: pair[i] for part, pair in counts.items()} for i in (0, 1))
    training.log.event("parts", trained=trained, frozen=frozen)
    say = Progress(0, "steps", "train", quiet=training.quiet).message
    say(parts_table(counts))
    if step := training.position.step:
        finished = step == training.num_steps
        say("already finished" if finished else f"going on after step {step}")
