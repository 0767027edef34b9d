"""The files that a split leaves in a folder, known again: by the manifest, never by name alone.

A user's own list may be called `train.json` too; it must be read and never be written over.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..runlog import LOG_NAME, METRICS_NAME

FILE_NAMES = {"train": "train.json", "val": "val.json", "test": "test.json"}
MANIFEST_NAME = "manifest.json"
UNFINISHED_NAME = ".split.unfinished"  # stands in for the manifest while a split is written
OUTPUT_NAMES = (*FILE_NAMES.values(), MANIFEST_NAME, LOG_NAME, METRICS_NAME)

_MANIFEST_KEYS = {"seed", "arguments", "format", "counts", "groups", "sha256", "rejected"}


def own_names(folder: Path) -> frozenset[str]:
    """Names of the files in `folder` that belong to an earlier split, finished or broken off.

    The logs of any run are among them: the two lie together nowhere else.
    """
    if (folder / UNFINISHED_NAME).exists():
        return frozenset(OUTPUT_NAMES)
    counts = _counts(folder / MANIFEST_NAME)
    if counts is None:
        logs = {LOG_NAME, METRICS_NAME}
        return frozenset(logs if all((folder / name).is_file() for name in logs) else ())
    sides = {name for side, name in FILE_NAMES.items() if side in counts}
    return frozenset(sides | {MANIFEST_NAME, LOG_NAME, METRICS_NAME})


def _counts(manifest: Path) -> dict | None:
    """The `counts` of a manifest that a split has written, None for any other file."""
    try:
        if not manifest.is_file():  # a pipe would be waited on for ever
            return None
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not content.keys() >= _MANIFEST_KEYS:
        return None
    return content["counts"] if isinstance(content["counts"], dict) else None
