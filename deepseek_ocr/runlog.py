"""What a run did, for people (`experiment_logs.txt`) and for programs (`metrics.jsonl`).

Both files are appended to, never truncated; one line is one event, on disk when the call returns.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .files import append_line

LOG_NAME = "experiment_logs.txt"
METRICS_NAME = "metrics.jsonl"


class RunLog:
    """Appends the events of one run of `split`, `train` or `test` to its output folder."""

    def __init__(self, output_dir: Path, command: str):
        self.output_dir = Path(output_dir)
        self.command = command

    def event(self, event: str, **values: Any) -> None:
        """One line `TIME COMMAND event=EVENT key=value ...`; values with blanks are JSON."""
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        pairs = "".join(f" {key}={_plain(value)}" for key, value in values.items())
        append_line(self.output_dir / LOG_NAME, f"{time} {self.command} event={event}{pairs}")

    def metrics(self, event: str, **values: Any) -> None:
        """The event for people, and the same figures as one JSON object for programs."""
        self.event(event, **values)
        row = {"command": self.command, "event": event, **values}
        append_line(
            self.output_dir / METRICS_NAME, json.dumps(row, ensure_ascii=False, default=str)
        )


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    text = str(value)
    plain = text and not any(c.isspace() or c in '"=' or not c.isprintable() for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in (
        "deepseek-ocr",
        "torch",
        "transformers",
        "accelerate",
        "peft",
        "tokenizers",
        "numpy",
        "pillow",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
