"""What is known of the rows before training: what each takes, and whether they share a prompt."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ...data.annotations import Annotation
from ...data.inspection.cache import InspectionCache, cache_folder
from ...data.inspection.one_file import FileReport, Inspection
from ...data.inspection.verification import available_cores
from ...data.pages.references import parse_reference
from ...data.pages.sizes import Size, page_sizes
from ...data.statistics.row_lengths import LengthRule
from ...errors import PageError, UserError
from ...model.processing import FORBIDDEN_IN_ANSWERS, IMAGE, DeepseekOcrProcessor
from ...pictures import MAX_PIXELS
from .planning import RowCost, first_of

WORTH_WORKERS = 4096
"""Rows that are measured sooner than processes for it start."""
ROWS_A_TASK = 512


def common_prompt(annotations: Sequence[Annotation]) -> str | None:
    """The prompt of all rows, as the model sees it; None if they have several."""
    prompts = {row.prompt.strip() for row in annotations}
    return prompts.pop() if len(prompts) == 1 else None


def row_name(row: Annotation) -> str:
    """How a row is called in messages: its id, and the line it was annotated at."""
    return f"row {row.id}" + (f" ({row.source})" if row.source else "")


def row_costs(
    rows: Sequence[Annotation],
    processor: DeepseekOcrProcessor,
    data_root: Path | None,
    max_length: int,
    *,
    num_workers: int | None = None,
) -> list[RowCost]:
    """What each row takes, its views in the processor's sizes, without decoding its pictures.

    `num_workers` None: one process a core where there are many rows. `data_root` is needed where
    rows have pictures.

    Raises:
        UserError: rows that take more than `max_length` positions, as nothing is ever cut off; or
            rows that cannot be learned. It names the first of them, and tells how many there are.
    """
    _check_encodable(rows, processor)
    rule = LengthRule(
        views=processor.image_processor.settings(),
        tokenizer=processor.tokenizer.backend_tokenizer,
    )
    known = _kept_sizes(rows, data_root)
    measure = _Measure(rule=rule, data_root=data_root, known=known)
    costs: list[RowCost] = []
    faults: list[str] = []
    for row, cost in zip(rows, _measured(measure, rows, num_workers), strict=True):
        if isinstance(cost, str):
            faults.append(f"{row_name(row)}: {cost}")
        else:
            costs.append(cost)
    if faults:
        raise UserError(first_of(faults))
    _check_lengths(rows, costs, max_length)
    return costs


def _check_lengths(rows: Sequence[Annotation], costs: Sequence[RowCost], max_length: int) -> None:
    too_long = [
        f"{row_name(row)}: takes {cost.positions} positions, the limit is {max_length}"
        for row, cost in zip(rows, costs, strict=True)
        if cost.positions > max_length
    ]
    if too_long:
        raise UserError(
            f"{first_of(too_long)}\n"
            "Split the text, raise --max_length if the model has more positions, or lower --mode, "
            "--max_tiles"
        )


def _check_encodable(rows: Iterable[Annotation], processor: DeepseekOcrProcessor) -> None:
    """Every row can be written as ids; files of annotations are checked for it when read.

    Raises:
        UserError: names the first row that cannot.
    """
    for row in rows:
        held = any(token in row.text for token in FORBIDDEN_IN_ANSWERS)
        if held or row.prompt.count(IMAGE) != len(row.images):
            try:
                processor.encode(row.prompt, [0] * len(row.images), row.text)
            except ValueError as error:
                raise UserError(f"{row_name(row)}: {error}") from None


def _kept_sizes(rows: Iterable[Annotation], data_root: Path | None) -> dict[str, Size]:
    """Sizes that `data_utils.py` has found out, of pages that are slow to measure.

    Those of PDFs, of pictures within rows of a file and of what is cut to its content.
    """
    slow: dict[str, set[str]] = {}
    for row in rows:
        for text in row.images:
            try:
                reference = parse_reference(text)
            except PageError:
                continue
            is_pdf = reference.path.lower().endswith(".pdf")
            if is_pdf or reference.crop or reference.is_embedded:
                slow.setdefault(reference.path, set()).add(reference.part)
    if not slow or data_root is None:
        return {}
    sizes: dict[str, Size] = {}
    with InspectionCache(cache_folder(), data_root, MAX_PIXELS) as cache:
        for path, parts in slow.items():
            found, _ = cache.recall(Inspection(path, tuple(sorted(parts)), with_file=False))
            for report in found:
                if not isinstance(report, FileReport):
                    part, page = report
                    sizes[path + part] = page.width, page.height
    return sizes


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """Rows -> what each takes, or why it cannot be learned; also in a process of its own."""

    rule: LengthRule
    data_root: Path | None
    known: dict[str, Size] = field(default_factory=dict)

    def __call__(self, rows: Sequence[Annotation]) -> list[RowCost | str]:
        sizes = self._sizes(rows)
        answers = self.rule.answer_tokens([row.text for row in rows])
        asked = {prompt: self.rule.other_tokens(prompt) for prompt in {row.prompt for row in rows}}
        return [
            self._cost(row, sizes, asked[row.prompt], answer)
            for row, answer in zip(rows, answers, strict=True)
        ]

    def _sizes(self, rows: Sequence[Annotation]) -> dict[str, Size | PageError]:
        wanted = {image: None for row in rows for image in row.images if image not in self.known}
        if not wanted:
            return {}
        assert self.data_root is not None
        return page_sizes(self.data_root, wanted)

    def _cost(
        self,
        row: Annotation,
        sizes: dict[str, Size | PageError],
        other_tokens: int,
        answer_tokens: int,
    ) -> RowCost | str:
        positions, tiles = other_tokens + answer_tokens, 0
        for image in row.images:
            size = self.known.get(image) or sizes[image]
            if isinstance(size, PageError):
                return str(size)
            page_tiles, image_tokens = self.rule.page_cost(*size)
            tiles += page_tiles
            positions += image_tokens
        return RowCost(
            positions=positions,
            learned=answer_tokens + 1,  # the end, too
            overviews=len(row.images),
            tiles=tiles,
        )


def _measured(
    measure: _Measure, rows: Sequence[Annotation], num_workers: int | None
) -> Iterator[RowCost | str]:
    """One for each row, in order."""
    tasks = [rows[i : i + ROWS_A_TASK] for i in range(0, len(rows), ROWS_A_TASK)]
    if num_workers is None:
        num_workers = available_cores() if len(rows) >= WORTH_WORKERS else 0
    if num_workers < 2:
        for task in tasks:
            yield from measure(task)
        return
    num_workers = min(num_workers, len(tasks))
    try:
        with ProcessPoolExecutor(
            num_workers, initializer=_start_worker, initargs=(measure,)
        ) as pool:
            for costs in pool.map(_measured_in_worker, tasks):
                yield from costs
    except BrokenExecutor:
        raise UserError(
            "a process that measures the pages of the rows was ended by a damaged file, or for "
            "want of memory; `deepseek-ocr check` finds the file"
        ) from None


_of_worker: list[_Measure] = []
"""In a worker the one that it was started with: a tokenizer is too large to come with each task."""


def _start_worker(measure: _Measure) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _of_worker.append(measure)


def _measured_in_worker(rows: Sequence[Annotation]) -> list[RowCost | str]:
    return _of_worker[0](rows)
