"""Documents with published scores, where the folder of shared data lies beside the repository."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "data" / "opendataloader_metrics"

needs_documents = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data (opendataloader_metrics) are not here"
)

_TABLE = re.compile("<table.*?</table>", re.DOTALL)


def documents(engine: str) -> list[tuple[str, str, dict[str, str]]]:
    """(prediction, truth, published row) of every document that the engine read."""
    folder = SHARED / "prediction" / engine
    with (folder / "evaluation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (
            _read(folder / "markdown" / f"{row['document_id'].lstrip(chr(39))}.md"),
            _read(
                SHARED / "ground-truth" / "markdown" / f"{row['document_id'].lstrip(chr(39))}.md"
            ),
            row,
        )
        for row in rows
    ]


def tables(markdown: str) -> list[str]:
    return _TABLE.findall(markdown)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
