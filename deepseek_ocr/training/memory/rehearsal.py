"""What is tried before the first step: whether memory suffices, the largest batch, a dry run.

A trial leaves weights, optimizer, gradients and random generators as they were: a run gives the
same bytes with it and without. Where several processes train, each of them calls these functions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import UserError
from ...progress import Progress
from ...runlog import RunLog
from ..batching.batches import Batch, PageDataset, Steps, learned_weight
from ..batching.planning import Planner, StepRows, rows_of
from ..checkpoints.checkpoint import Position, find_checkpoints
from ..checkpoints.state import random_states
from ..config import TrainConfig
from ..drawn.heads import without_heads
from ..failures import is_out_of_memory
from ..optimization.step import to_device
from ..processes.devices import shares_weights
from ..reporting.curves import read_curve
from ..validation.reading import RowReader
from .advice import advise, summary
from .batch_size import BatchSize, packed_size_of, size_of
from .device_memory import memory_of, peak_memory
from .estimate import Workload, gigabytes, optimizer_bytes, weight_bytes
from .model_facts import facts_of_weights
from .parameter_counts import counts_of, empty_model

if TYPE_CHECKING:
    from ..loop import Training
    from ..validation.validator import Validator

READ_TOKENS = 16
"""Most tokens of the answers in a dry run."""


def check_weights_fit(config: TrainConfig, accelerator: Accelerator) -> None:
    """Before the weights are read: an estimate may err, but without them nothing can be done.

    Raises:
        UserError: the device, or the main memory that they are read into, has less.
    """
    network, stored = facts_of_weights(config.model_path)
    precision = accelerator.mixed_precision
    need = weight_bytes(config, counts_of(network, config), precision=precision, stored=stored)
    shares = accelerator.num_processes if shares_weights(config, accelerator) else 1
    device = accelerator.device
    check_room(need // shares, memory_of(device), f"the device {device}")
    if device.type == "cuda":
        check_room(need, memory_of(torch.device("cpu")), "the machine, which reads them first,")


def check_room(need: int, limit: int | None, where: str) -> None:
    """Whether `need` bytes of weights fit into `limit`.

    Raises:
        UserError: they do not.
    """
    if limit is not None and need > limit:
        raise UserError(
            f"the weights alone take {gigabytes(need)}; {where} has {gigabytes(limit)}\n"
            "Use --tune lora or qlora, which keep them in fewer bits; --fsdp on several devices; "
            "or a device with more memory"
        )


def check_memory(training: Training, *, whole: bool = False) -> None:
    """Tell what the run needs and what its device has; where it is tight, or if `whole`, in parts.

    An estimate may err: it warns, and refuses nothing.
    """
    limit = memory_of(training.accelerator.device)
    _say(training, summary(_settings(training), workload(training), limit, whole=whole))


def _settings(training: Training) -> TrainConfig:
    """The run's, with `fsdp` also where accelerate was told so by its own configuration."""
    shared = shares_weights(training.config, training.accelerator)
    return dataclasses.replace(training.config, fsdp=shared)


def workload(training: Training) -> Workload:
    """What the run computes with, its largest batch included."""
    accelerator = training.accelerator
    model = without_heads(accelerator.unwrap_model(training.model))
    return Workload(
        network=empty_model(model.config),
        batch=_largest_size(training),
        settings=training.processor.image_processor.settings(),
        precision=accelerator.mixed_precision,
        stored=stored_bytes(model),
        num_processes=accelerator.num_processes,
        device=accelerator.device.type,
    )


def stored_bytes(model: nn.Module) -> int:
    """Bytes of a weight as it is loaded, told by the token embedding, which nothing quantises."""
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    return embedding.weight.element_size()


def _largest_size(training: Training) -> BatchSize:
    [batch] = training.planner.largest().batches
    if (costs := training.planner.costs) is None:  # of drawn pages: what the last ones take
        inputs = _read(training, training.planner.largest())
        rows, width = inputs["input_ids"].shape
        return BatchSize(
            rows=rows,
            width=width,
            learned=int(learned_weight(inputs)),
            overviews=len(inputs["pixel_values"]),
            tiles=len(inputs["tile_values"]),
        )
    packs = [[costs[row] for row in pack] for pack in batch if isinstance(pack, tuple)]
    return packed_size_of(packs) if packs else size_of([costs[row] for row in rows_of(batch)])


def try_largest(training: Training) -> None:
    """Forward and backward of the largest batch: memory runs out now, or not at all.

    Raises:
        UserError: it does run out; the message names the settings that would take less.
    """
    step = training.planner.largest()
    accelerator = training.accelerator
    inputs = _read(training, step)
    reason = ""
    with untouched(training), _reserved(training):
        try:
            _forward_and_backward(training, inputs)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
    if not any(gather_object([bool(reason)])):
        return
    work = workload(training)
    limit = memory_of(accelerator.device)
    size = work.batch
    lines = [
        f"the largest batch ({size.rows} rows of {size.width} positions, {size.overviews} "
        f"overviews and {size.tiles} tiles) does not fit into memory"
        + (f": {reason}" if reason else "")
    ]
    lines += advise(_settings(training), work, limit or 0)
    raise UserError("\n".join(lines))


def _forward_and_backward(training: Training, inputs: Batch) -> None:
    accelerator, model = training.accelerator, training.model
    alone = isinstance(model, DistributedDataParallel)
    loss = (accelerator.unwrap_model(model) if alone else model)(
        **to_device(inputs, accelerator),
        num_items_in_batch=learned_weight(inputs),
        label_smoothing=training.config.label_smoothing,
    ).loss
    if not loss.requires_grad:
        return
    if alone:
        # with `backward` DDP would note which parameters have a gradient, and miss it in the first
        # step if the rows there do not reach them
        trained = [p for p in model.parameters() if p.requires_grad]
        torch.autograd.grad(loss, trained, allow_unused=True)
    else:
        accelerator.backward(loss)


@contextlib.contextmanager
def untouched(training: Training) -> Iterator[None]:
    """Afterwards gradients, random generators and the model's mode are as they were."""
    model, training_before = training.model, training.model.training
    gradients = {p: p.grad for p in model.parameters() if p.grad is not None}
    states = random_states()
    model.train()
    for parameter in gradients:
        parameter.grad = None  # new ones would be added to these
    try:
        yield
    finally:
        for parameter in model.parameters():
            parameter.grad = gradients.get(parameter)
        set_random_states(states)
        model.train(training_before)


def set_random_states(states: dict[str, Tensor]) -> None:
    """Put back what `random_states` gave."""
    for device, state in states.items():
        if device == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)


@contextlib.contextmanager
def _reserved(training: Training) -> Iterator[None]:
    """Hold the memory that the optimizer will take at its first step."""
    device = training.accelerator.device
    optimizer = getattr(training.optimizer, "optimizer", training.optimizer)
    held = None
    if device.type != "cpu" and not optimizer.state:
        network = empty_model(training.accelerator.unwrap_model(training.model).config)
        needed = optimizer_bytes(training.config, counts_of(network, training.config))
        shares = training.accelerator.num_processes if _settings(training).fsdp else 1
        with contextlib.suppress(torch.OutOfMemoryError):  # the trial will say so
            held = torch.empty(needed // shares, dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del held


def _read(training: Training, step: StepRows) -> Batch:
    """The batch of a step that has one, prepared here."""
    [(_, [inputs])] = list(Steps(training.dataset, training.collator, [step], num_workers=0))
    return inputs


def dry_run(training: Training) -> None:
    """One step of everything, in a temporary folder: validation, a step, a checkpoint, loaded back.

    Prints what it took. Nothing is written into the output folder.

    Of the rows of `--val_file` and of `--guard_file` as many as go together are measured, the
    longest ones, and one of each file is read, for a few tokens.

    Raises:
        UserError: whatever the run itself would have stumbled over.
    """
    check_memory(training, whole=True)
    began = time.monotonic()
    try_largest(training)
    tried = time.monotonic()
    with _temporary_folder(training.accelerator) as folder:
        config = dataclasses.replace(training.config, output_dir=folder, max_steps=1, dry_run=False)
        trial = dataclasses.replace(  # from the first step on, wherever the run itself may be
            training, config=config, log=RunLog(folder, "train"), position=Position()
        )
        with _measuring_little(training.validator):
            trial.finish()
        finished = time.monotonic()
        _load_back(trial)
        loaded = time.monotonic()
        if training.is_main:
            _say(training, f"dry run: {_outcome(trial)}")
    _say(
        training,
        f"the largest batch {tried - began:.1f} s; validation, a step and saving "
        f"{finished - tried:.1f} s; loading back {loaded - finished:.1f} s\n"
        "nothing was written; the same command without --dry_run trains",
    )


def first_rows(planner: Planner) -> list[int]:
    """The rows of the train file that a dry run learns from, on this process."""
    steps = [planner.largest(), *planner.epoch(1)[:1]]
    return sorted({row for step in steps for batch in step.batches for row in rows_of(batch)})


@contextlib.contextmanager
def _measuring_little(validator: Validator | None) -> Iterator[None]:
    """Meanwhile it measures one batch of each file, and reads one row of it."""
    if validator is None:
        yield
        return
    sets = validator.sets
    validator.sets = [_few_of(validator, rows) for rows in sets]
    try:
        yield
    finally:
        validator.sets = sets


def _few_of(validator: Validator, rows: Any) -> Any:
    """The longest rows of a file, a batch for each process, and a reader of one of them."""
    dataset, config = rows.dataset, validator.config
    longest = sorted(dataset.annotations, key=lambda row: -len(row.text))
    few = longest[: validator.batch_size * validator.accelerator.num_processes]
    dataset = PageDataset(few, dataset.processor, dataset.root)
    reader = RowReader(
        dataset,
        validator.accelerator,
        num_rows=min(1, config.eval_samples),
        seed=config.seed,
        batch_size=1,
        max_new_tokens=min(READ_TOKENS, rows.reader.max_new_tokens),
    )
    return dataclasses.replace(rows, dataset=dataset, reader=reader)


def _outcome(trial: Training) -> str:
    """What the step of a dry run took: memory, seconds, and bytes of its checkpoint."""
    folder = trial.config.output_dir
    [*_, checkpoint] = find_checkpoints(folder)
    size = sum(path.stat().st_size for path in checkpoint.path.rglob("*") if path.is_file())
    rates = read_curve(folder, "step", "samples_per_s")
    step = trial.planner.epoch(1)[0]
    num_rows = sum(len(rows_of(batch)) for batch in step.batches[: step.num_real])
    num_rows *= trial.accelerator.num_processes
    seconds = "".join(f"{num_rows / rate:.2f} s the first step; " for rate in rates.values())
    memory = gigabytes(peak_memory(trial.accelerator.device))
    return f"{memory} of memory at most; {seconds}a checkpoint takes {gigabytes(size)}"


def _load_back(trial: Training) -> None:
    """The checkpoint of a dry run loads, and holds the weights that were trained.

    Raises:
        UserError: it does not.
    """
    from ..tuning.trainable import load_trainable

    if trial.is_main:
        [*_, checkpoint] = find_checkpoints(trial.config.output_dir)
        load_trainable(trial.config, trial.accelerator, checkpoint)
    trial.accelerator.wait_for_everyone()


@contextlib.contextmanager
def _temporary_folder(accelerator: Accelerator) -> Iterator[Path]:
    """One for all processes, on the main one's machine."""
    names = [tempfile.mkdtemp(prefix="dry-run-") if accelerator.is_main_process else ""]
    if accelerator.num_processes > 1:
        broadcast_object_list(names)
    folder = Path(names[0])
    try:
        yield folder
    finally:
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            shutil.rmtree(folder, ignore_errors=True)


def _say(training: Training, text: str) -> None:
    quiet = training.quiet or not training.is_main
    Progress(0, "steps", "train", quiet=quiet).message(text)
