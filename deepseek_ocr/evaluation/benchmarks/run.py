"""The part of `test.py --benchmark`: pages as rows to answer, answered rows as the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.annotations import Annotation
from .answers import plain_markdown
from .printing import print_table
from .protocol import BenchmarkTable, find_benchmark

if TYPE_CHECKING:
    from ..evaluate import ScoredRow

__all__ = ["benchmark_annotations", "print_table", "score_benchmark"]


def benchmark_annotations(name: str, data_root: Path) -> list[Annotation]:
    """The pages of a benchmark as rows of a test file, without truths: it has its own.

    Raises:
        UserError: no such benchmark, or `data_root` does not hold it in its published layout.
    """
    return [
        Annotation(id=page.id, images=page.images, prompt=page.prompt, text="")
        for page in find_benchmark(name).pages(Path(data_root))
    ]


def score_benchmark(
    name: str, data_root: Path, rows: Iterable[ScoredRow], output_dir: Path
) -> BenchmarkTable:
    """The benchmark's table of the answered rows, all of its pages; one without counts as empty.

    Raises:
        UserError: as `benchmark_annotations`.
    """
    benchmark = find_benchmark(name)
    answers = {row.annotation.id: plain_markdown(row.prediction) for row in rows}
    table = benchmark.score(Path(data_root), answers, Path(output_dir))
    missing = table.num_pages - len(answers)
    if missing <= 0:
        return table
    have = "has" if missing == 1 else "have"
    note = (
        f"{missing} of {table.num_pages} pages {have} no answer here and "
        f"{'is scored as an empty answer' if missing == 1 else 'are scored as empty answers'}."
    )
    return dataclasses.replace(table, notes=(note, *table.notes))
