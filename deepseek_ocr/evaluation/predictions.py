"""`predictions.jsonl`: grows by a row as rows are answered, put in order at the end; and back.

What is read may come from anywhere: only `id` and `prediction` must be there.
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ..data.annotations import IMAGE_TOKEN, Annotation, regions_from
from ..errors import UserError
from ..files import append_line, write_atomic
from ..inference.results import PageResult, Status
from .evaluate import ScoredRow, score_row
from .facts import PageFacts

PREDICTIONS_NAME = "predictions.jsonl"

STATUSES: tuple[str, ...] = get_args(Status)

# Valid in JSON, but UTF-8 cannot hold surrogates and many readers break lines at the others.
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def json_line(row: Any) -> str:
    """`row` as one line of JSON that every reader takes as one line, whatever its texts hold."""
    plain = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", plain)


class PredictionFile:
    """The rows of one test, on disk as soon as they are added."""

    def __init__(
        self, output_dir: Path, kept: Sequence[ScoredRow] = (), *, has_truths: bool = True
    ):
        """Begins a file of the rows that an interrupted test left; any others are replaced."""
        self.path = Path(output_dir) / PREDICTIONS_NAME
        self.has_truths = has_truths
        self.finish(kept)

    def append(self, row: ScoredRow) -> None:
        """Add one row; it survives a crash once this returns."""
        append_line(self.path, json_line(row.to_json(has_truth=self.has_truths)))

    def finish(self, rows: Sequence[ScoredRow]) -> None:
        """Write all rows again in the order of the test file, whole or not at all."""
        write_predictions(self.path, rows, has_truths=self.has_truths)


def write_predictions(path: Path, rows: Sequence[ScoredRow], *, has_truths: bool = True) -> None:
    """Write all rows, whole or not at all; without truths they have no scores."""
    lines = (json_line(row.to_json(has_truth=has_truths)) + "\n" for row in rows)
    write_atomic(path, "".join(lines))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadRow:
    """An object of a `predictions.jsonl`, and its `file:line`."""

    place: str
    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id of the row that it answers."""
        return self.values["id"]


def read_predictions(path: Path, *, may_be_torn: bool = False) -> list[ReadRow]:
    """The rows of a file, each with an `id` of its own and a `prediction`.

    `may_be_torn`: a last line without an end, as a crash leaves it, is left out.

    Raises:
        UserError: the file cannot be read, or the first bad row as `file:line: reason`.
    """
    rows: list[ReadRow] = []
    lines: dict[str, str] = {}  # id -> where
    for place, line in _lines(path, may_be_torn):
        row = ReadRow(place=place, values=_object(place, line))
        if row.id in lines:
            raise UserError(f"{place}: the id {row.id!r} is already that of {lines[row.id]}")
        lines[row.id] = place
        rows.append(row)
    return rows


def _lines(path: Path, may_be_torn: bool) -> Iterator[tuple[str, str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); expected the predictions.jsonl of a test"
        ) from None
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")  # as some editors begin a file
    last = lines.pop()
    if last and not may_be_torn:
        lines.append(last)
    for number, line in enumerate(lines, start=1):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{place}: not UTF-8; expected one JSON object a line") from None


def _object(place: str, line: str) -> dict[str, Any]:
    if line.lstrip().startswith("["):
        raise UserError(
            f"{place}: a JSON array; expected JSON Lines: one object a line, without brackets and "
            "commas around them"
        )
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{place}: not valid JSON; expected one object a line") from None
    if not isinstance(row, dict):
        raise UserError(f"{place}: expected an object with 'id' and 'prediction'")
    for key in ("id", "prediction"):
        if not isinstance(row.get(key), str):
            raise UserError(f"{place}: {key!r}: expected a string, as in the rows of a test")
    if not isinstance(row.get("text", ""), str):
        raise UserError(f"{place}: 'text': expected a string, the truth")
    return row


def annotation_of(row: ReadRow) -> Annotation:
    """What was asked, and the truth, as the row itself tells them.

    Raises:
        UserError: it has no truth, or a value that does not fit.
    """
    values = row.values
    if "text" not in values:
        raise UserError(f"{row.place}: no 'text', the truth; name a --test_file that has it")
    images = values.get("images") or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise UserError(f"{row.place}: 'images': expected a list of strings")
    try:
        regions = regions_from(values.get("regions") or [])
    except ValueError as error:
        raise UserError(f"{row.place}: {error}") from None
    prompt = values.get("prompt")
    return Annotation(
        id=row.id,
        images=tuple(images),
        prompt=prompt if isinstance(prompt, str) else IMAGE_TOKEN * len(images),
        text=values["text"],
        regions=regions,
        group=_text_or_none(values, "group"),
        lang=_text_or_none(values, "lang"),
        source=_text_or_none(values, "source"),
    )


def status_of_text(prediction: str) -> Status:
    """What an answer counts as of which nobody said how its decoding ended."""
    return "ok" if prediction.strip() else "empty"


def scored_row(row: ReadRow, annotation: Annotation) -> ScoredRow:
    """The row's answer, scored against an annotation's truth.

    Raises:
        UserError: the status is none of the known ones.
    """
    values, prediction = row.values, row.values["prediction"]
    is_assumed = "status" not in values or values.get("status_assumed") is True
    status = values.get("status", status_of_text(prediction))
    if status not in STATUSES:
        raise UserError(
            f"{row.place}: 'status' is {status!r}; expected one of {', '.join(STATUSES)}"
        )
    result = PageResult(
        text=prediction,
        status=status,
        prompt=annotation.prompt,
        reason=_text_or_none(values, "reason") or "",
        num_tokens=_count(values, "num_tokens") or 0,
        num_image_tokens=_count(values, "num_image_tokens") or 0,
        seconds=_seconds(values),
    )
    facts = PageFacts(
        page_sizes=_sizes(values.get("page_sizes")),
        num_tiles=_count(values, "num_tiles"),
        num_vision_tokens=_count(values, "num_vision_tokens"),
        # of another truth nobody counted them
        num_text_tokens=(
            _count(values, "num_text_tokens") if values.get("text") == annotation.text else None
        ),
    )
    row_scored = score_row(annotation, result, facts)
    return dataclasses.replace(row_scored, is_status_assumed=is_assumed)


def _text_or_none(values: Mapping[str, Any], key: str) -> str | None:
    return values[key] if isinstance(values.get(key), str) else None


def _count(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None


def _seconds(values: Mapping[str, Any]) -> float:
    value = values.get("seconds")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= sys.float_info.max else 0.0  # false for NaN


def _sizes(value: Any) -> tuple[tuple[int, int], ...] | None:
    """Pairs of pixels; None where the value is not such a list."""
    if not isinstance(value, list):
        return None
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            return None
        if not all(isinstance(side, int) and 0 < side < 2**31 for side in pair):
            return None
    return tuple((width, height) for width, height in value)
