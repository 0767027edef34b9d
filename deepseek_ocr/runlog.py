"""What a run did, for people (`experiment_logs.txt`) and for programs (`metrics.jsonl`).

Both files are appended to, never truncated; one line is one event, on disk when the call returns.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
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
        pairs = "".join(f" {key}={_plain(value)}" for key, value in values.items())
        append_line(self.output_dir / LOG_NAME, f"{_now()} {self.command} event={event}{pairs}")

    def metrics(self, event: str, **values: Any) -> None:
        """The event for people, and the same figures as one JSON object for programs."""
        self.event(event, **values)
        self.figures(event, **values)

    def figures(self, event: str, **values: Any) -> None:
        """An event for programs alone: one JSON object, with its time (ISO, UTC)."""
        row = {"time": _now(), "command": self.command, "event": event, **values}
        append_line(
            self.output_dir / METRICS_NAME, json.dumps(row, ensure_ascii=False, default=str)
        )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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


def revision() -> str | None:
    """The git commit that this code was checked out from, `+` where files differ from it.

    None where it is no checkout, such as an installed package, or git is not here.
    """
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(here.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", here.name) is None:  # another's repository around us
        return None
    if (commit := git("rev-parse", "HEAD")) is None:
        return None
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no", ".") else "")


def processor_name() -> str:
    """The CPU's model, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
