"""A disk that fails at a chosen write: half of the bytes are written, and then an error comes."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FailingDisk:
    """Counts the writes and syncs of files in `folder`; at number `fails_at` (from 0) one fails."""

    def __init__(self, folder: Path, fails_at: int | None = None, error: int = 0):
        self.folder, self.fails_at, self.error = str(folder), fails_at, error
        self.count = 0
        self._open, self._fsync = io.open, os.fsync

    def check(self) -> None:
        """Raises OSError where it is this write's turn, and at every later one, too."""
        self.count += 1
        if self.fails_at is not None and self.count > self.fails_at:
            raise OSError(self.error, os.strerror(self.error))

    @contextmanager
    def installed(self) -> Iterator[FailingDisk]:
        """Stand between Python and the disk."""

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            stream = self._open(file, mode, *args, **kwargs)
            inside = isinstance(file, str | os.PathLike) and str(file).startswith(self.folder)
            return FailingFile(stream, self) if inside and set(mode) & set("wa+x") else stream

        def fsync(descriptor: int) -> None:
            self.check()
            self._fsync(descriptor)

        io.open = builtins.open = opened  # type: ignore[assignment]
        os.fsync = fsync
        try:
            yield self
        finally:
            io.open = builtins.open = self._open
            os.fsync = self._fsync


class FailingFile:
    """An open file of a `FailingDisk`."""

    def __init__(self, stream: Any, disk: FailingDisk):
        self._stream, self._disk = stream, disk

    def write(self, content: Any) -> int:
        try:
            self._disk.check()
        except OSError:
            self._stream.write(content[: len(content) // 2])
            raise
        return self._stream.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> FailingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)
