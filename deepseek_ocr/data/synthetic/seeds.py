"""Random streams that depend on nothing but their name.

Page k of a stream can be drawn without pages 0 to k-1, by any worker, on any machine.
"""

from __future__ import annotations

import hashlib
import random


def stream(*parts: int | str) -> random.Random:
    """The random stream named by `parts`, such as `stream(seed, index, "letters")`."""
    name = "/".join(map(str, parts)).encode()
    return random.Random(int.from_bytes(hashlib.sha256(name).digest()[:16]))
