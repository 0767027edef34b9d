"""What a page was read from, and with what: so that what is done is known, and what has changed.

A fingerprint is `FILE-VERSION`: FILE stands for the document's path, as seen from the output folder
(so that both can move together), VERSION for the file's size and time and for every setting and
model file that decides an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..files import sha256_of
from .config import ReadConfig
from .documents import STDIN, Document

_MODEL_FILES = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "processor_config.json",
    "tokenizer.json",
)
_DIGITS = 16


def settings_digest(config: ReadConfig) -> str:
    """What decides every answer of a job: its settings, and the model's files."""
    files = [_folder_state(name) for name in (config.model_path, config.adapter)]
    return digest([config.deciding(), files])


def job_digest(config: ReadConfig) -> str:
    """What processes that share a job must have in common."""
    return digest([settings_digest(config), config.rendering(), config.pages])


def fingerprint(document: Document, out: Path, settings: str) -> str:
    """A document's `FILE-VERSION`; `settings` as `settings_digest` gives them."""
    if document.source == STDIN:
        return f"{digest(STDIN)}-{digest([sha256_of(document.path), settings])}"
    version = digest([file_state(document.path), settings])
    return f"{digest(path_from(out, document))}-{version}"


def path_from(out: Path, document: Document) -> str:
    """Where a document is, as seen from the output folder."""
    if document.source == STDIN:
        return STDIN
    return os.path.relpath(Path(document.path).absolute(), Path(out).absolute())


def file_of(fingerprint: str) -> str:
    """The FILE of a fingerprint."""
    return fingerprint.partition("-")[0]


def digest(value: Any) -> str:
    """The first digits of a JSON value's SHA-256."""
    plain = json.dumps(value, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:_DIGITS]


def file_state(path: Path) -> list[int]:
    """Size and time of the last change; empty for what is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return []
    return [state.st_size, state.st_mtime_ns]


def _folder_state(name: str | Path | None) -> Any:
    """Sizes and times of a model's files; None for a preset or a Hub id, whose name says all."""
    if name is None or not Path(name).is_dir():
        return None
    files = [path for pattern in _MODEL_FILES for path in sorted(Path(name).glob(pattern))]
    return [[path.name, *file_state(path)] for path in files]
