"""The files that a split leaves in a folder, known again: by the manifest, never by name alone.

A user's own list may be called `train.json` too; it must be read and never be written over.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ...runlog import LOG_NAME, METRICS_NAME

FILE_NAMES = {"train": "train.json", "val": "val.json", "test": "test.json"}
MANIFEST_NAME = "manifest.json"
UNFINISHED_NAME = ".split.unfinished"  # stands in for the manifest while a split is written
EXPORT_MARK = ".exported-split"  # in the folder of an export, which is no part of a dataset
OUTPUT_NAMES = (*FILE_NAMES.values(), MANIFEST_NAME, LOG_NAME, METRICS_NAME)

_HEAD_KEYS = ("seed", "arguments", "format", "counts")
_AFTER_HEAD = b',\n "groups":'  # as `manifest` writes it
_BEFORE_TAIL = b',\n "written":'
_HEAD_BYTES = _TAIL_BYTES = 1 << 20  # the rest of a manifest grows with the dataset


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


def written_hashes(folder: Path) -> Mapping[str, str]:
    """SHA-256 of the files that the split in `folder` wrote, by name; empty without a manifest."""
    manifest = folder / MANIFEST_NAME
    if _counts(manifest) is None:
        return {}
    with contextlib.suppress(OSError, ValueError, RecursionError), manifest.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        _, found, tail = file.read().rpartition(_BEFORE_TAIL)
        written = json.loads(b"{" + _BEFORE_TAIL[1:] + tail)["written"] if found else None
        if isinstance(written, dict):
            return {str(name): str(sha256) for name, sha256 in written.items()}
    return {}


def _counts(manifest: Path) -> dict | None:
    """The `counts` of a manifest that a split has written, None for any other file."""
    try:
        if not manifest.is_file():  # a pipe would be waited on for ever
            return None
        with manifest.open("rb") as file:
            head, found, _ = file.read(_HEAD_BYTES).partition(_AFTER_HEAD)
        content = json.loads(head + b"}") if found else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or tuple(content)[: len(_HEAD_KEYS)] != _HEAD_KEYS:
        return None
    return content["counts"] if isinstance(content["counts"], dict) else None
