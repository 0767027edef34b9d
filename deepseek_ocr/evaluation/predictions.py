"""`predictions.jsonl`: grows by a row as rows are answered, put in order at the end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import append_line, write_atomic
from .evaluate import ScoredRow

PREDICTIONS_NAME = "predictions.jsonl"

# Valid in JSON, but UTF-8 cannot hold surrogates and many readers break lines at the others.
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def json_line(row: Any) -> str:
    """`row` as one line of JSON that every reader takes as one line, whatever its texts hold."""
    plain = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)


class PredictionFile:
    """The rows of one test, on disk as soon as they are added."""

    def __init__(self, output_dir: Path):
        """Begins an empty file; an earlier test's rows in the same folder are replaced."""
        self.path = Path(output_dir) / PREDICTIONS_NAME
        write_atomic(self.path, "")

    def append(self, row: ScoredRow) -> None:
        """Add one row; it survives a crash once this returns."""
        append_line(self.path, json_line(row.to_json()))

    def finish(self, rows: Sequence[ScoredRow]) -> None:
        """Write all rows again in the order of the test file, whole or not at all."""
        write_atomic(self.path, "".join(json_line(row.to_json()) + "\n" for row in rows))
