"""Whether a long piece of JSON is complete, told from its brackets alone.

To decode a value takes twenty times its own memory at worst, so a value that comes in many pieces
is decoded when its last bracket is there, and not before.
"""

from __future__ import annotations

import functools
from typing import Any


class Brackets:
    """The brackets and quotes of a value that comes in pieces, from its first character on."""

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._in_string = False
        self._escape = ""  # a backslash whose character is in the next piece

    def feed(self, piece: str) -> None:
        """Look at the next piece; `closed` tells then whether the value ended in it."""
        piece = (self._escape + piece).replace("\\\\", "")
        self._escape = "\\" if piece.endswith("\\") else ""
        parts = piece.replace('\\"', "").split('"')
        outside = "".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        import numpy as np  # here, so that `--help` answers at once: few rows come in pieces

        codes = np.frombuffer(outside.encode("ascii", "replace"), np.uint8)
        depths = self._depth + np.cumsum(_steps()[codes], dtype=np.int64)
        if depths.size:
            self.closed = self.closed or bool((depths <= 0).any())
            self._depth = int(depths[-1])


@functools.cache
def _steps() -> Any:
    """By character code: 1 for an opening bracket, -1 for a closing one, else 0; (256,) int8."""
    import numpy as np

    steps = np.zeros(256, np.int8)
    steps[[ord("["), ord("{")]] = 1
    steps[[ord("]"), ord("}")]] = -1
    return steps
