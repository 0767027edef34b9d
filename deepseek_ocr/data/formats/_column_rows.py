"""Rows of parquet and arrow files, as Hugging Face `datasets` saves them.

The bytes of pictures are not kept: a single byte stands for those that are there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..json_files.rows import Row, opened, unreadable
from ..json_files.strict import RowError
from ..problems import CutShort, Problem
from ._placed import PlacedRow

NOT_COLUMNS = "damaged file"
WITHOUT_PYARROW = 'reading it needs pyarrow; install it with pip install "deepseek-ocr[parquet]"'
ROWS_AT_ONCE = 1024
PICTURES_AT_ONCE = 16

_THERE = b"\1"


def read_columns(path: Path, name: str) -> Iterator[Row | Problem]:
    """The rows of a file, numbered from 1; `name` is what problems call the file."""
    number = 0
    try:
        with opened(path):  # a file that can be read, and no pipe
            pass
        with _faults_told():
            for batch in _batches(path):
                size = PICTURES_AT_ONCE if _holds_binary(batch.schema) else ROWS_AT_ONCE
                for start in range(0, batch.num_rows, size):
                    for value in batch.slice(start, size).to_pylist():
                        number += 1
                        yield PlacedRow(number, _without_bytes(value), None, f"row={number}")
    except OSError as error:
        yield unreadable(name, error)
    except RowError as error:
        source = f"{name}:{number + 1}"
        yield CutShort(kind=error.kind, source=source, reason=error.reason)


def _batches(path: Path) -> Iterator[Any]:
    """Record batches of a parquet file, an arrow stream (as saved to disk) or an arrow file."""
    import pyarrow
    from pyarrow import ipc, parquet

    if path.suffix.lower() == ".parquet":
        with parquet.ParquetFile(path, memory_map=True) as file:
            size = PICTURES_AT_ONCE if _holds_binary(file.schema_arrow) else ROWS_AT_ONCE
            yield from file.iter_batches(size, use_threads=False)
        return
    with pyarrow.memory_map(os.fspath(path)) as file:
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        if is_stream:
            yield from ipc.open_stream(file)
        else:
            reader = ipc.open_file(file)
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """Turns what pyarrow raises into a `RowError`."""
    try:
        import pyarrow
    except ImportError:
        raise RowError("pyarrow is missing", WITHOUT_PYARROW) from None
    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        found = str(error).split("\n")[0][:100]
        reason = f"the file is damaged, or no parquet or arrow file ({found}); write it again"
        raise RowError(NOT_COLUMNS, reason) from None


def _holds_binary(schema: Any) -> bool:
    return "binary" in str(schema)


def _without_bytes(value: Any) -> Any:
    """A row whose bytes are replaced by one; those of nothing are null."""
    if isinstance(value, dict):
        return {key: _without_bytes(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_bytes(member) for member in value]
    return (_THERE if value else None) if isinstance(value, bytes) else value
