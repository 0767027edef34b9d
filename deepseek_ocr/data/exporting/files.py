"""Annotations -> a file in the shape that another tool for training reads.

What a shape has no place for (language, group, the texts of regions ...) goes to one more key,
`_deepseek_ocr`, a string of JSON that other tools leave alone: nothing is lost, and the reader of
the shape gives the same annotations again. Pictures stay relative to the data root, which is the
folder of pictures that those tools ask for; a part of a file (`f.pdf#page=3`) only this project
reads.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TextIO, cast

from ...errors import UsageError
from ...files import replacing
from ..annotations import Annotation
from ..folder import DatasetFolder
from ..formats._csv_rows import cell_value
from ..formats._generic import convert
from ..formats._kept import KEPT_KEY, kept_fields
from ..json_files.rows import Row
from ..json_files.stream import Elements, write_json
from ..problems import Problem
from ..prompts import with_image_tokens
from .rows import (
    TABLE_COLUMNS,
    alpaca_row,
    donut_row,
    imagefolder_row,
    llava_row,
    openai_row,
    own_row,
    sharegpt_row,
    swift_row,
    table_row,
    trl_row,
    unsloth_row,
)

_encode = json.JSONEncoder(ensure_ascii=False).encode

RowOf = Callable[[Annotation], dict[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """`row_of` makes a row, `container` how rows stand in the file; `file_name` is what it is
    called, with `{side}` for `train` and so on."""

    row_of: RowOf
    container: Literal["array", "lines", "table"]
    file_name: str


def export(path: Path, annotations: Iterable[Annotation], format: str) -> int:
    """Write annotations, as a split gives them, one after another; how many there were.

    The file is written whole or not at all.

    Raises:
        UsageError: no format has that name.
        ValueError: an annotation that cannot be used: without text, or with boxes not in pixels.
    """
    chosen = export_format(format)
    count = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal count
        for annotation in annotations:
            yield _whole_row(annotation, chosen)
            count += 1

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        _WRITERS[chosen.container](file, rows())
    return count


def export_format(name: str) -> ExportFormat:
    """The format of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"--export: no format {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def _whole_row(annotation: Annotation, format: ExportFormat) -> dict[str, Any]:
    """A row and, under `_deepseek_ocr`, whatever reading it would not give back."""
    if annotation.regions and annotation.box_frame != "pixels":
        raise ValueError(f"{annotation.id}: boxes in {annotation.box_frame}; expected pixels")
    row = format.row_of(annotation)
    found = _read_back(row, format)
    has_marks = isinstance(found, Problem) or found.has_box_marks
    if has_marks and row.pop("objects", None):  # the text itself says <bbox>
        found = _read_back(row, format)
    if isinstance(found, Problem):
        raise ValueError(f"{annotation.id}: {found.reason}")
    kept = kept_fields(_completed(annotation), _completed(found))
    return row | {KEPT_KEY: kept} if kept else row


def _read_back(row: Mapping[str, Any], format: ExportFormat) -> Annotation | Problem:
    value = dict(row)
    if format.container == "table":
        value = {column: cell_value(column, cell) for column, cell in row.items()}
    (found,) = list(convert(Row(1, value), "rows", _WITH_ALL_FILES))[:1]
    return found


def _completed(annotation: Annotation) -> Annotation:
    """With the marks of pictures that every reader's prompts get before they are used."""
    if not annotation.prompt.strip():
        return annotation
    prompt = with_image_tokens(annotation.prompt, len(annotation.images))
    return dataclasses.replace(annotation, prompt=prompt)


class _Everything:
    """Contains whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


class _FolderWithAllFiles:
    """Stands for the data root while a row is read back: every picture is there."""

    names = _Everything()
    root = Path()

    def named(self, path: str) -> str:
        """As `DatasetFolder.named`."""
        return path


_WITH_ALL_FILES = cast(DatasetFolder, _FolderWithAllFiles())


FORMATS: Mapping[str, ExportFormat] = MappingProxyType(
    {
        "json": ExportFormat(row_of=own_row, container="array", file_name="{side}.json"),
        "jsonl": ExportFormat(row_of=own_row, container="lines", file_name="{side}.jsonl"),
        "csv": ExportFormat(row_of=table_row, container="table", file_name="{side}.csv"),
        "imagefolder": ExportFormat(
            row_of=imagefolder_row, container="lines", file_name="{side}/metadata.jsonl"
        ),
        "donut": ExportFormat(
            row_of=donut_row, container="lines", file_name="{side}/metadata.jsonl"
        ),
        "llava": ExportFormat(row_of=llava_row, container="array", file_name="{side}.json"),
        "sharegpt": ExportFormat(row_of=sharegpt_row, container="array", file_name="{side}.json"),
        "swift": ExportFormat(row_of=swift_row, container="lines", file_name="{side}.jsonl"),
        "openai": ExportFormat(row_of=openai_row, container="lines", file_name="{side}.jsonl"),
        "trl": ExportFormat(row_of=trl_row, container="lines", file_name="{side}.jsonl"),
        "unsloth": ExportFormat(row_of=unsloth_row, container="lines", file_name="{side}.jsonl"),
        "alpaca": ExportFormat(row_of=alpaca_row, container="array", file_name="{side}.json"),
    }
)


def _write_array(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> None:
    write_json(file, Elements(rows))
    file.write("\n")


def _write_lines(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> None:
    file.writelines(_encode(row) + "\n" for row in rows)


def _write_table(file: TextIO, rows: Iterable[Mapping[str, Any]]) -> None:
    columns = (*TABLE_COLUMNS, KEPT_KEY)
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)


_WRITERS = {"array": _write_array, "lines": _write_lines, "table": _write_table}
