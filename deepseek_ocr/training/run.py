"""One training run from beginning to end: checks, model, loop, and the files in the output folder.

Everything that can be refused is refused before the first file is written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ..data.annotations import Annotation, read_annotations
from ..errors import UsageError
from ..files import alone_in, check_output_dir, make_output_dir, sha256_of
from ..model.presets import PRESETS
from ..model.processing import DeepseekOcrProcessor
from ..model.recomputation import recompute
from ..progress import say as say_plainly
from ..runlog import RunLog
from .batching.batches import Collator, PageDataset
from .batching.feature_cache import prepare_features, rehearse_features
from .batching.planning import Planner, RowCost
from .batching.rows import common_prompt, row_costs
from .batching.sample_sheet import write_samples
from .checkpoints import saving
from .checkpoints.checkpoint import (
    BEST,
    Checkpoint,
    Position,
    has_heads,
    load_heads,
    remove_left_overs,
)
from .checkpoints.disk import check_disk
from .checkpoints.identity import (
    check_same_everywhere,
    describe_run,
    find_start,
    guard_note,
    how_to_train_further,
    is_over,
)
from .checkpoints.saving import TRAINED, tidy
from .checkpoints.state import load_extra, load_optimizer, load_random_states
from .config import TrainConfig
from .drawn.heads import TaughtWithGlyphs, make_heads
from .drawn.pages import PROMPT, DrawnPages, draw_pages
from .loop import Training
from .memory.rehearsal import (
    check_memory,
    check_weights_fit,
    dry_run,
    first_rows,
    try_largest,
)
from .optimization.averaging import Average
from .optimization.compilation import check_compile, compile_layers
from .optimization.optimizer import Adam, Rates, check_optimizer, make_optimizer
from .processes.devices import (
    accelerator_for,
    choose_num_workers,
    distribute,
    repeatable,
    shares_weights,
)
from .reporting.records import log_end, log_start, tell_parts
from .reporting.trackers import Tracker, check_trackers, open_trackers
from .tuning.trainable import load_trainable, with_view_settings
from .validation.validator import Validator


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The rows of a run and the SHA-256 of the files that identify it.

    No `rows` where pages are drawn.
    """

    rows: Sequence[Annotation]
    val_rows: Sequence[Annotation]
    guard_rows: Sequence[Annotation]
    sha256: Mapping[str, str | None]


def train(config: TrainConfig, *, quiet: bool = False) -> Path:
    """Train as `config` says; the path of the best checkpoint (the last one without validation).

    With `dry_run` that of the output folder, into which nothing was written.

    Progress goes to stderr, unless `quiet`. A run that was stopped goes on where it was.

    Raises:
        UserError: refused before anything was written: data, model or output folder.
        TrainingError: the loss was not a number, memory ran out, or a row could not be read.
        KeyboardInterrupt: stopped by a signal, after the step was finished and saved.
    """
    check_trackers(config.trackers)
    check_output_dir(config.output_dir)
    samples = read_samples(config)
    with (
        accelerator_for(config.device, config.dtype) as accelerator,
        repeatable(accelerator.device),
    ):
        check_optimizer(config.optimizer, accelerator.device)
        if config.compile:
            check_compile(accelerator.device)
        run = describe_run(config, samples.sha256, accelerator.num_processes)
        checkpoint = find_start(config, run)
        check_same_everywhere(accelerator, run, checkpoint)
        say = partial(say_plainly, quiet=quiet or not accelerator.is_main_process)
        if checkpoint is not None and is_over(checkpoint, config) and not config.dry_run:
            if accelerator.is_main_process:
                _end_again(config, checkpoint)
            say(f"already finished; {how_to_train_further(config)}")
            return (config.output_dir / BEST).resolve()
        training = prepare(config, samples, accelerator, run, checkpoint, quiet)
        for note in (check_disk(training), guard_note(checkpoint, run)):
            if note is not None:
                say(note)
        if config.dry_run:
            tell_parts(training, log=False)
            dry_run(training)
            return config.output_dir
        if not training.is_finished:
            check_memory(training)
            if config.try_largest:
                try_largest(training)
        _run_logged(training, samples, checkpoint)
    return (config.output_dir / BEST).resolve()


def read_samples(config: TrainConfig) -> Samples:
    """The rows of the train file, the validation file and the guard file, all checked."""
    rows, val_rows, guard_rows = (
        read_annotations(file, config.data_root) if file and config.data_root else []
        for file in (config.train_file, config.val_file, config.guard_file)
    )
    sha256 = {
        name: sha256_of(path) if (path := getattr(config, name)) else None
        for name in ("train_file", "val_file", "guard_file")
    }
    return Samples(rows=rows, val_rows=val_rows, guard_rows=guard_rows, sha256=sha256)


def prepare(
    config: TrainConfig,
    samples: Samples,
    accelerator: Accelerator,
    run: dict[str, Any],
    checkpoint: Checkpoint | None,
    quiet: bool = False,
) -> Training:
    """The run in memory, at the start or where `checkpoint` was."""
    check_weights_fit(config, accelerator)
    set_seed(config.seed)
    model, processor = load_trainable(config, accelerator, checkpoint)
    processor = with_view_settings(processor, config)
    max_length = choose_max_length(config, model.config.text_config.max_position_embeddings)
    dataset, costs = _learned_from(
        config, samples, processor, max_length, accelerator.num_processes
    )
    if config.has_heads:
        model = with_heads(model, config, checkpoint)
    planner = Planner(config, dataset, costs, accelerator.num_processes, accelerator.process_index)
    if config.feature_cache is not None:
        assert isinstance(dataset, PageDataset)
        inputs = model.to(accelerator.device), accelerator, dataset
        num_workers = choose_num_workers(accelerator.device, config.num_workers)
        if config.dry_run:
            rows = first_rows(planner)
            rehearse_features(*inputs, rows, num_workers=num_workers, quiet=quiet)
        else:
            folder = config.feature_cache
            prepare_features(*inputs, folder, num_workers=num_workers, quiet=quiet)
    model, optimizer, average = _learner(config, accelerator, model, checkpoint)
    collator = Collator(processor)
    log = RunLog(config.output_dir, "train")
    validator = Validator(
        config,
        accelerator,
        processor,
        samples.val_rows,
        samples.guard_rows,
        collator,
        log,
        quiet=quiet or not accelerator.is_main_process,
    )
    return Training(
        config=config,
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        average=average,
        processor=processor,
        dataset=dataset,
        collator=collator,
        planner=planner,
        validator=validator if samples.val_rows or samples.guard_rows else None,
        position=checkpoint.position if checkpoint else Position(),
        run=run,
        log=log,
        tracker=_tracker(config, accelerator),
        quiet=quiet,
    )


def _learned_from(
    config: TrainConfig,
    samples: Samples,
    processor: DeepseekOcrProcessor,
    max_length: int,
    num_processes: int,
) -> tuple[PageDataset | DrawnPages, list[RowCost] | None]:
    """The rows of the train file with what each takes, or pages to draw; their prompt is kept.

    Raises:
        UserError: a row, of whichever file, does not fit into `max_length` positions.
    """
    root = config.data_root or Path()  # none where all pages are drawn
    for rows in (samples.val_rows, samples.guard_rows):
        row_costs(rows, processor, root, max_length)
    if config.synth is not None:
        processor.prompt = PROMPT
        return draw_pages(config, processor, max_length, num_processes), None
    processor.prompt = common_prompt(samples.rows)
    costs = row_costs(samples.rows, processor, root, max_length)
    return PageDataset(samples.rows, processor, root, augmentation=config.augmentation), costs


def _learner(
    config: TrainConfig, accelerator: Accelerator, model: nn.Module, checkpoint: Checkpoint | None
) -> tuple[nn.Module, Any, Average | None]:
    """The model on its device, its optimizer and its average, as they were at the checkpoint."""
    rates = Rates(
        lr=config.peak_lr,
        weight_decay=config.weight_decay,
        part_lr=config.lr_of_parts,
        part_weight_decay=config.weight_decay_of_parts,
    )
    adam = Adam(beta1=config.adam_beta1, beta2=config.adam_beta2, epsilon=config.adam_epsilon)
    if config.recomputed:
        recompute(model, config.recomputed)
    if config.compile:
        compile_layers(model)
    model, optimizer = distribute(
        model,
        lambda model: make_optimizer(config.optimizer, model, rates, adam),
        accelerator,
        shared=shares_weights(config, accelerator),
    )
    if checkpoint is not None:
        load_optimizer(checkpoint.path, accelerator.unwrap_model(model), optimizer.optimizer)
        load_random_states(checkpoint.path, accelerator.process_index)
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(dict(checkpoint.scaler))
    return model, optimizer, _average(config, accelerator.unwrap_model(model), checkpoint)


def _average(
    config: TrainConfig, model: nn.Module, checkpoint: Checkpoint | None
) -> Average | None:
    """Of the weights, if `--ema` asks for one: checkpoints hold it as the model's weights."""
    if config.ema is None:
        return None
    average = Average(model, config.ema, checkpoint.position.step if checkpoint else 0)
    if checkpoint is not None:
        average.load(model, load_extra(checkpoint.path, TRAINED))
    return average


def _tracker(config: TrainConfig, accelerator: Accelerator) -> Tracker:
    """Of the main process, for the programs that `--track` names; of no use in a dry run."""
    follows = accelerator.is_main_process and not config.dry_run
    return open_trackers(config.trackers if follows else (), config.output_dir, config)


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


def _end_again(config: TrainConfig, checkpoint: Checkpoint) -> None:
    """Of a run that is over, what is still to do if it was killed before its very end."""
    with alone_in(config.output_dir):
        remove_left_overs(config.output_dir)
        tidy(config, checkpoint.path.name, checkpoint.position)
        saving.draw_curves(config.output_dir)
        log = RunLog(config.output_dir, "train")
        log.event("already_finished", step=checkpoint.position.step)


def _run_logged(training: Training, samples: Samples, checkpoint: Checkpoint | None) -> None:
    """The loop between `start` and `end` of the log; what ends it early is logged, too."""
    config, log = training.config, training.log
    if not training.is_main:
        training.finish()
        return
    began = time.monotonic()
    with alone_in(make_output_dir(config.output_dir)):
        remove_left_overs(config.output_dir)
        if checkpoint is not None:  # it may have been killed between the folder and its links
            tidy(config, checkpoint.path.name, training.position)
        num_rows = {
            "num_rows": len(training.dataset),  # type: ignore[arg-type]
            "num_val_rows": len(samples.val_rows),
            "num_guard_rows": len(samples.guard_rows),
        }
        log_start(training, num_rows)
        tell_parts(training)
        if step := training.position.step:
            say_plainly(f"going on after step {step}", quiet=training.quiet)
        try:
            _show_samples(training)
            training.finish()
            training.tell_outcome()
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # the disk may be full: what ended it counts
                log.event("interrupted", step=training.position.step, of=training.num_steps)
            raise
        except Exception as error:
            with contextlib.suppress(OSError):
                log.event("error", type=type(error).__name__, reason=str(error))
            raise
        finally:
            training.tracker.close()
        log_end(training, began)


def _show_samples(training: Training) -> None:
    config = training.config
    if config.show_samples is None:
        return
    num_rows = config.show_samples
    path = write_samples(config.output_dir, training.dataset, num_rows=num_rows, seed=config.seed)
    training.log.event("samples", path=path)
    say_plainly(f"samples: {path}", quiet=training.quiet)
