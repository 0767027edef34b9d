"""What a check leaves in its output folder: figures, problems, a chart, and pages to look at."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import UserError
from ...files import make_output_dir, replacing, write_atomic
from ..annotations import Annotation
from ..checking.spool import Spool
from ..pages.loading import load_page
from ..problems import Problem
from .charts import Panel, draw_panels
from .contact_sheet import Cell, contact_sheet
from .figures import Figure, Figures

CHECK_NAME, PROBLEMS_NAME = "check.json", "problems.jsonl"
CHART_NAME, SAMPLES_NAME = "histogram.png", "samples.png"
NAMES = (CHECK_NAME, PROBLEMS_NAME, CHART_NAME, SAMPLES_NAME)
SEED = 42  # of the choice of samples: evenly spaced rows of a regular dataset are of few kinds
WRITTEN_BY = "deepseek-ocr check"
"""The value of `written_by` in `check.json`, by which the files are known again."""


def check_not_in_the_way(output_dir: Path, dataset: Path) -> None:
    """Check that files written to `output_dir` replace only those of an earlier check.

    Raises:
        UserError: another's file has such a name, or the folder lies in the dataset.
    """
    if dataset.is_dir() and output_dir.resolve().is_relative_to(dataset.resolve()):
        raise UserError(
            f"{output_dir}: lies inside the dataset, and what is written there would be read as "
            "part of it; name another --output_dir"
        )
    there = [output_dir / name for name in NAMES if (output_dir / name).exists()]
    if there and not _is_ours(output_dir / CHECK_NAME):
        raise UserError(
            f"{there[0]}: was not written by an earlier check and would be lost; name another "
            "--output_dir, or move the file away"
        )


def _is_ours(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("written_by") == WRITTEN_BY


def write_check(
    output_dir: Path,
    content: Mapping[str, Any],
    problems: Iterable[Problem],
    figures: Figures,
    heading: str,
) -> None:
    """Write `check.json`, `problems.jsonl` (an object a line) and `histogram.png`."""
    with told_if_unwritten(output_dir):
        _write_check(output_dir, content, problems, figures, heading)


@contextlib.contextmanager
def told_if_unwritten(output_dir: Path) -> Iterator[None]:
    """Says of an error of writing that it is the folder's, and what to do."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        reason = (
            f"the files of the check could not all be written ({where}{error.strerror}); what is "
            "told above is complete: make room and run it again"
        )
        raise OSError(error.errno, reason, str(output_dir)) from error


def _write_check(
    output_dir: Path,
    content: Mapping[str, Any],
    problems: Iterable[Problem],
    figures: Figures,
    heading: str,
) -> None:
    make_output_dir(output_dir)
    text = json.dumps({"written_by": WRITTEN_BY, **content}, ensure_ascii=False, indent=1)
    write_atomic(output_dir / CHECK_NAME, text + "\n")  # first: it says whose the others are
    with (
        replacing(output_dir / PROBLEMS_NAME) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        for problem in problems:
            file.write(json.dumps(_row_of(problem), ensure_ascii=False) + "\n")
    chart = draw_panels([_panel(figure) for figure in figures.measures], heading)
    with replacing(output_dir / CHART_NAME) as temporary:
        chart.save(temporary, format="PNG")
    (output_dir / SAMPLES_NAME).unlink(missing_ok=True)  # of a dataset that was checked before


def _row_of(problem: Problem) -> dict[str, Any]:
    return {
        "source": problem.source,
        "kind": problem.kind,
        "reason": problem.reason,
        "of_row": problem.of_row,
    }


def _panel(figure: Figure) -> Panel:
    found = figure.quantiles
    note = (
        f"min {found.min:,} · median {found.median:,} · p90 {found.p90:,} · p99 {found.p99:,} · "
        f"max {found.max:,}"
    )
    return Panel(title=figure.title, note=note, histogram=figure.histogram)


def write_samples(
    output_dir: Path, samples: Spool[Annotation], num_shown: int, data_root: Path
) -> None:
    """Write `samples.png`: rows taken at random, always the same, each with its first page.

    Raises:
        PageError: a page was changed since it was checked.
    """
    count = min(num_shown, len(samples))
    places = sorted(random.Random(SEED).sample(range(len(samples)), count))
    sheet = contact_sheet(_cells((samples[place] for place in places), data_root))
    with told_if_unwritten(output_dir), replacing(output_dir / SAMPLES_NAME) as temporary:
        sheet.save(temporary, format="PNG")


def _cells(rows: Iterable[Annotation], data_root: Path) -> Iterator[Cell]:
    for row in rows:
        boxes = [(region.label, region.box) for region in row.regions if region.image == 0]
        if row.images:
            page = load_page(data_root, row.images[0])
            more = f" (1 of {len(row.images)} pages)" if len(row.images) > 1 else ""
        else:
            page, more = Image.new("RGB", (320, 40), "white"), " (text only)"
        yield Cell(page=page, title=row.id + more, text=row.text, boxes=boxes)
