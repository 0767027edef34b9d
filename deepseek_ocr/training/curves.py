"""`curves.png`: loss, validation loss and learning rate of a run, from its `metrics.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import replacing
from ..runlog import METRICS_NAME

CURVES_NAME = "curves.png"
DPI = 120


def read_curve(output_dir: Path, event: str, figure: str) -> dict[int, float]:
    """Step -> a figure of the run's events; where a resumed run repeats a step, its later one."""
    curve = {
        row["step"]: row[figure]
        for row in _rows(output_dir / METRICS_NAME)
        if row.get("command") == "train" and row.get("event") == event and figure in row
    }
    return dict(sorted(curve.items()))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # a torn last line
        if isinstance(row, dict):
            yield row


def draw_curves(output_dir: Path) -> Path:
    """Draw `curves.png` anew."""
    from matplotlib.figure import Figure  # here: it takes a second to load

    losses = read_curve(output_dir, "step", "loss")
    validation = read_curve(output_dir, "validation", "loss")
    rates = read_curve(output_dir, "step", "lr")
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    marker = "o" if len(losses) == 1 else None  # a line of one point would not be seen
    upper.plot(list(losses), list(losses.values()), label="training", linewidth=1, marker=marker)
    if validation:
        upper.plot(list(validation), list(validation.values()), "o-", label="validation")
    upper.set_ylabel("loss per token")
    upper.set_ylim(bottom=0)
    upper.legend()
    lower.plot(list(rates), list(rates.values()), linewidth=1, marker=marker)
    lower.set_ylabel("learning rate")
    lower.set_xlabel("step")
    lower.xaxis.get_major_locator().set_params(integer=True)
    path = output_dir / CURVES_NAME
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
    return path
