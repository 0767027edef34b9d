"""Annotations to batches: rows are read in workers, in the order of a plan."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ...data.annotations import Annotation
from ...data.augmentation import Augmentation, has_boxes
from ...data.pages.loading import load_page
from ...errors import UserError
from ...model.labels import IGNORE
from ...model.processing import DeepseekOcrProcessor
from .collation import (
    GLYPHS,
    VIEWS,
    WEIGHTS,
    Batch,
    Collator,
    learned_weight,
    num_learned,
)
from .planning import RowBatch, StepRows, plan_steps, rows_of, shuffled
from .rows import row_name

if TYPE_CHECKING:
    from .feature_cache import PageFeatures

__all__ = [
    "GLYPHS",
    "VIEWS",
    "Batch",
    "BatchReader",
    "Collator",
    "PageDataset",
    "Sample",
    "StepRows",
    "Steps",
    "WorkerLost",
    "inputs_of",
    "learned_weight",
    "lost_worker",
    "num_learned",
    "plan_steps",
    "rows_of",
    "shuffled",
]

PREFETCHED = 2
"""Batches that each worker prepares ahead."""
LOST = re.compile(r"DataLoader worker \(pid.*\) (is killed|exited unexpectedly)")

OpenPage = Callable[[str], Image.Image]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A row as it is learned: its pages (worn, if that is asked for), what is asked, the answer."""

    pages: list[Image.Image]
    prompt: str
    answer: str


class PageDataset(Dataset[Batch]):
    """Annotations -> the model's inputs of one row each, pictures opened and views cut.

    With `augmentation` pages are worn, each in its own way in each epoch (`set_epoch`); where a row
    holds boxes, nothing on its pages moves. With `features` (see `feature_cache`) no picture is
    opened: a row holds `image_embeds` in place of views. A row with a weight holds `label_weights`.

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
        self.features: PageFeatures | None = None
        self.root = Path(data_root)
        self.open_page: OpenPage = partial(open_page, self.root)

    def __len__(self) -> int:
        return len(self.annotations)

    def order(self, *, seed: int, epoch: int) -> Sequence[int]:
        """Row numbers as that epoch takes them."""
        return shuffled(len(self), seed=seed, epoch=epoch)

    def name(self, index: int) -> str:
        """How a row is called in messages."""
        return row_name(self.annotations[index])

    def pictures(self, index: int) -> Sequence[str]:
        """The pictures of a row, as it refers to them."""
        return self.annotations[index].images

    def set_epoch(self, epoch: int) -> None:
        """From now on rows are read for that epoch, counted from 1."""
        self.epoch = epoch

    def sample(self, index: int) -> Sample:
        """A row before its views are cut."""
        row = self.annotations[index]
        try:
            pages = [self.open_page(reference) for reference in row.images]
        except ValueError as error:
            raise UserError(f"{row_name(row)}: {error}; mend or replace the file") from None
        if self.augmentation is not None:
            boxed = has_boxes(row.prompt, row.text)
            pages = [
                self.augmentation(page, epoch=self.epoch, row=index, picture=i, has_boxes=boxed)
                for i, page in enumerate(pages)
            ]
        return Sample(pages=pages, prompt=row.prompt, answer=row.text)

    def __getitem__(self, index: int) -> Batch:
        row = self.annotations[index]
        try:
            batch = (
                inputs_of(self.sample(index), self.processor)
                if self.features is None
                else self.features.inputs_of(row, self.processor)
            )
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{self.name(index)}: {error}") from None
        if row.weight is not None:
            batch[WEIGHTS] = torch.full(batch["labels"].shape, row.weight, dtype=torch.float32)
        return batch


def inputs_of(sample: Sample, processor: DeepseekOcrProcessor) -> Batch:
    """The model's inputs of one row."""
    return dict(processor(images=sample.pages, text=[sample.prompt], answers=[sample.answer]))


class BatchReader:
    """Batches of a dataset, prepared ahead of time by `num_workers` processes that stay.

    They start with the first steps that are read, and live as long as the reader.
    """

    def __init__(self, dataset: Dataset[Batch], collator: Collator, num_workers: int):
        self.dataset, self.collator, self.num_workers = dataset, collator, num_workers
        self._sampler = _Planned()
        self.loader: DataLoader = DataLoader(
            _RowBatches(dataset, collator),
            batch_size=None,
            sampler=self._sampler,  # type: ignore[arg-type]
            collate_fn=_unchanged,
            num_workers=num_workers,
            prefetch_factor=PREFETCHED if num_workers else None,
            persistent_workers=num_workers > 0,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else each epoch draws from the global one
            pin_memory=torch.cuda.is_available(),
        )

    def steps(self, steps: Sequence[StepRows], epoch: int | None = None) -> Steps:
        """The batches of these steps; of that epoch, where the dataset wears its pages.

        One at a time: those that were asked for before end here.
        """
        return Steps(self.dataset, self.collator, steps, self.num_workers, epoch, reader=self)

    def batches(self, steps: Sequence[StepRows], epoch: int | None) -> Iterator[Batch]:
        """One after the other.

        Raises:
            UserError: a row that cannot be read, as the worker said it.
            WorkerLost: a worker was killed.
        """
        self._sampler.batches = [(epoch, batch) for step in steps for batch in step.batches]
        try:
            for outcome in self.loader:
                yield _raised(outcome)
        except RuntimeError as error:
            if (lost := lost_worker(error)) is None:
                raise
            raise lost from None


class Steps:
    """Iterates over the batches of each step, prepared by `num_workers` processes ahead of time.

    What a worker cannot read is raised here, as the plain `UserError` that it was there. With a
    `reader` by its workers, see `BatchReader.steps`.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        collator: Collator,
        steps: Sequence[StepRows],
        num_workers: int,
        epoch: int | None = None,
        *,
        reader: BatchReader | None = None,
    ):
        self.steps, self.epoch = steps, epoch
        self.reader = reader or BatchReader(dataset, collator, num_workers)

    def __iter__(self) -> Iterator[tuple[StepRows, list[Batch]]]:
        prepared = self.reader.batches(self.steps, self.epoch)
        for step in self.steps:
            batches = [next(prepared) for _ in step.batches]
            for silent in batches[step.num_real :]:
                silent["labels"].fill_(IGNORE)
            yield step, batches


class WorkerLost(UserError):
    """A process that prepared batches was killed."""


def lost_worker(error: RuntimeError) -> WorkerLost | None:
    """What PyTorch raises, wherever it is at that moment, when such a process has died; else None.

    In words that say what to do.
    """
    if not LOST.search(str(error)):
        return None
    return WorkerLost(
        "a process that prepares batches was killed, mostly because memory ran out; lower "
        "--num_workers, or close what else needs memory"
    )


class _Planned:
    """What a loader is to read, put anew before each time."""

    def __init__(self) -> None:
        self.batches: Sequence[tuple[int | None, RowBatch]] = ()

    def __iter__(self) -> Iterator[tuple[int | None, RowBatch]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _RowBatches(Dataset):
    """An epoch and row numbers (or packs of them) -> their batch, or the error of a bad row.

    As a value: an exception that crosses processes comes out with the worker's traceback as text.
    The epoch comes with the rows, as a worker that stays would not hear of it otherwise.
    """

    def __init__(self, dataset: Dataset[Batch], collator: Collator):
        self.dataset, self.collator = dataset, collator

    def __getitem__(self, planned: tuple[int | None, RowBatch]) -> Batch | UserError:
        epoch, batch = planned
        if epoch is not None:
            self.dataset.set_epoch(epoch)  # type: ignore[attr-defined]
        try:
            if not isinstance(batch[0], tuple):
                return self.collator([self.dataset[row] for row in batch])
            packs = [[self.dataset[row] for row in pack] for pack in batch]  # type: ignore[union-attr]
            return self.collator.packed(packs)
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
