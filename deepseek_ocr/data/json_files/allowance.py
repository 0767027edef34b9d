"""How far into files may be read where only a glance is meant."""

from __future__ import annotations

import dataclasses
import io
from typing import IO


@dataclasses.dataclass
class Allowance:
    """How many bytes may yet be read of a file; behind them it seems to end."""

    left: int

    def of(self, file: IO[bytes]) -> IO[bytes]:
        """The file, as far as it may be read."""
        return io.BufferedReader(_Beginning(file, self))


class _Beginning(io.RawIOBase):
    def __init__(self, file: IO[bytes], allowance: Allowance):
        self._file, self._allowance = file, allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._file.read(min(len(buffer), self._allowance.left))
        self._allowance.left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()
