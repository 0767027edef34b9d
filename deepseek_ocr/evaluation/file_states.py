"""Whether files are still what they were, without reading them again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def file_state(path: Path) -> list[int]:
    """Size and time of the last change; empty for what is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return []
    return [state.st_size, state.st_mtime_ns]


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    plain = json.dumps(value, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()
