"""Annotations to batches: rows are read in workers, in an order that the seed alone decides."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.annotations import Annotation
from ..data.augmentation import Augmentation, has_boxes
from ..data.pages.loading import load_page
from ..errors import UserError
from ..model.labels import IGNORE
from ..model.processing import DeepseekOcrProcessor
from .rows import row_name

Batch = dict[str, Tensor]
OpenPage = Callable[[str], Image.Image]

VIEWS = ("pixel_values", "tile_values", "tile_grids")
GLYPHS = "glyphs"
"""What stands under each part of a drawn page's overview; only there where heads learn it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row as it is learned: its pages (worn, if that is asked for), what is asked, the answer."""

    pages: list[Image.Image]
    prompt: str
    answer: str


class PageDataset(Dataset[Batch]):
    """Annotations -> the model's inputs of one row each, pictures opened and views cut.

    With `augmentation` pages are worn, each in its own way in each epoch (`set_epoch`); where a row
    holds boxes, nothing on its pages moves.

    Raises:
        UserError: a picture that cannot be opened, or an answer that cannot be encoded; it names
            the row and where it was annotated.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        processor: DeepseekOcrProcessor,
        data_root: Path | str,
        open_page: Callable[[Path, str], Image.Image] = load_page,
        augmentation: Augmentation | None = None,
    ):
        self.annotations = list(annotations)
        self.processor = processor
        self.augmentation, self.epoch = augmentation, 1
        self.open_page: OpenPage = partial(open_page, Path(data_root))

    def __len__(self) -> int:
        return len(self.annotations)

    def order(self, *, seed: int, epoch: int) -> Sequence[int]:
        """Row numbers as that epoch takes them."""
        return shuffled(len(self), seed=seed, epoch=epoch)

    def name(self, index: int) -> str:
        """How a row is called in messages."""
        return row_name(self.annotations[index])

    def set_epoch(self, epoch: int) -> None:
        """From now on rows are read for that epoch, counted from 1."""
        self.epoch = epoch

    def sample(self, index: int) -> Sample:
        """A row before its views are cut."""
        row = self.annotations[index]
        try:
            pages = [self.open_page(reference) for reference in row.images]
        except ValueError as error:
            raise UserError(f"{row_name(row)}: {error}") from None
        if self.augmentation is not None:
            boxed = has_boxes(row.prompt, row.text)
            pages = [
                self.augmentation(page, epoch=self.epoch, row=index, picture=i, has_boxes=boxed)
                for i, page in enumerate(pages)
            ]
        return Sample(pages=pages, prompt=row.prompt, answer=row.text)

    def __getitem__(self, index: int) -> Batch:
        sample = self.sample(index)
        try:
            return inputs_of(sample, self.processor)
        except ValueError as error:
            raise UserError(f"{self.name(index)}: {error}") from None


def inputs_of(sample: Sample, processor: DeepseekOcrProcessor) -> Batch:
    """The model's inputs of one row."""
    return dict(processor(images=sample.pages, text=[sample.prompt], answers=[sample.answer]))


class Collator:
    """Rows of `PageDataset` -> one batch, padded on the right; also for `transformers.Trainer`.

    Returns:
        `input_ids`, `attention_mask`, `labels` (B, N); `pixel_values`, `tile_values`, `tile_grids`
        of the pictures of all rows, in order.
    """

    def __init__(self, processor: DeepseekOcrProcessor):
        self.fillers = {"input_ids": processor.pad_id, "attention_mask": 0, "labels": IGNORE}

    def __call__(self, rows: Sequence[Mapping[str, Tensor]]) -> Batch:
        length = max(row["input_ids"].shape[1] for row in rows)
        batch = {
            name: torch.cat(
                [F.pad(row[name], (0, length - row[name].shape[1]), value=filler) for row in rows]
            )
            for name, filler in self.fillers.items()
        }
        views = [name for name in (*VIEWS, GLYPHS) if name in rows[0]]
        return batch | {name: torch.cat([row[name] for row in rows]) for name in views}


def num_learned(batch: Mapping[str, Tensor]) -> int:
    """Positions of a batch whose token is learned."""
    return int((batch["labels"][:, 1:] != IGNORE).sum())


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """The rows of one optimizer step on one process, as batches of row numbers.

    `num_real` of the batches count. Those after it repeat a row and learn nothing: every process
    must go forward and backward equally often.
    """

    batches: tuple[tuple[int, ...], ...]
    num_real: int


def shuffled(num_rows: int, *, seed: int, epoch: int) -> list[int]:
    """All row numbers, in the order of that epoch: by seed and epoch alone."""
    order = list(range(num_rows))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def plan_steps(
    order: Sequence[int],
    *,
    batch_size: int,
    grad_accum: int = 1,
    num_processes: int = 1,
    process: int = 0,
) -> list[StepRows]:
    """Row numbers in order -> the steps that one of `num_processes` takes; each row once.

    The last step takes what is left. Batches go round the processes, so that a step has the same
    rows however many share it, if `grad_accum * num_processes` is the same.
    """
    batches = [tuple(order[i : i + batch_size]) for i in range(0, len(order), batch_size)]
    a_step = grad_accum * num_processes
    steps = []
    for start in range(0, len(batches), a_step):
        step = batches[start : start + a_step]
        own = step[process::num_processes]
        longest = -(-len(step) // num_processes)
        silent = [step[0][:1]] * (longest - len(own))
        steps.append(StepRows(batches=(*own, *silent), num_real=len(own)))
    return steps


class Steps:
    """Iterates over the batches of each step, prepared by `num_workers` processes ahead of time.

    What a worker cannot read is raised here, as the plain `UserError` that it was there.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        collator: Collator,
        steps: Sequence[StepRows],
        num_workers: int,
    ):
        self.steps = steps
        self.loader: DataLoader = DataLoader(
            _RowBatches(dataset, collator),
            batch_size=None,
            sampler=[rows for step in steps for rows in step.batches],  # type: ignore[arg-type]
            collate_fn=_unchanged,
            num_workers=num_workers,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else each epoch draws from the global one
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Iterator[tuple[StepRows, list[Batch]]]:
        prepared = iter(self.loader)
        for step in self.steps:
            batches = [_raised(next(prepared)) for _ in step.batches]
            for silent in batches[step.num_real :]:
                silent["labels"].fill_(IGNORE)
            yield step, batches


class _RowBatches(Dataset):
    """Row numbers -> their batch, or the error of the row that cannot be read.

    As a value: an exception that crosses processes comes out with the worker's traceback as text.
    """

    def __init__(self, dataset: Dataset[Batch], collator: Collator):
        self.dataset, self.collator = dataset, collator

    def __getitem__(self, rows: Sequence[int]) -> Batch | UserError:
        try:
            return self.collator([self.dataset[row] for row in rows])
        except UserError as error:
            return error


def _raised(outcome: Batch | UserError) -> Batch:
    if isinstance(outcome, UserError):
        raise outcome
    return outcome


def _unchanged(outcome: Any) -> Any:
    return outcome


def _start_worker(_: int) -> None:
    """Ctrl-C reaches every process of a terminal: it is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
