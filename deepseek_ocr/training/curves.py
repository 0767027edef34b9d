"""`curves.png`: losses, error rates and learning rate of a run, from its `metrics.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing
from ..runlog import METRICS_NAME
from .checkpoint import BEST, read_checkpoint

CURVES_NAME = "curves.png"
DPI = 120
MOST_POINTS = 2000
"""Of a line: more than a picture of this width can show."""
SMOOTHED_OVER = 50
"""The smoothed line is the mean over this part of all steps, on both sides of each."""
TRAINING, VALIDATION, GUARD, BEST_COLOUR = "#0072B2", "#D55E00", "#009E73", "#555555"
"""Of Okabe and Ito's palette, which colour-blind readers tell apart."""

Curve = dict[int, float]
"""Step -> a figure, in the order of the steps."""
Curves = Mapping[tuple[str, str], Curve]
"""(event, figure) -> its curve."""
MEASURED = ("loss", "cer", "guard_loss", "guard_cer")
DRAWN = {"step": ("loss", "lr"), "validation": MEASURED}
"""The figures of each event that are drawn."""


def read_curve(output_dir: Path, event: str, figure: str) -> Curve:
    """Step -> a figure of the run's events; where a resumed run repeats a step, its later one."""
    return read_curves(output_dir, {event: (figure,)})[event, figure]


def read_curves(
    output_dir: Path, figures: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Curve]:
    """Figures of events -> (event, figure) -> its curve, with one pass over the file.

    Of what there is not, an empty one.
    """
    found: dict[tuple[str, str], Curve] = {
        (event, name): {} for event, names in figures.items() for name in names
    }
    for row in _rows(output_dir / METRICS_NAME):
        event = row.get("event", "")
        if row.get("command") != "train" or "step" not in row:
            continue
        for name in figures.get(event, ()):
            if name in row:
                found[event, name][row["step"]] = row[name]
    return {key: dict(sorted(curve.items())) for key, curve in found.items()}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue  # a torn last line
            if isinstance(row, dict):
                yield row


def draw_curves(output_dir: Path) -> Path:
    """Draw `curves.png` anew: losses, error rates where rows were read, learning rate.

    The training loss is drawn twice, as it was and smoothed; a star is the checkpoint `best`.
    """
    from matplotlib.figure import Figure  # here: it takes a second to load

    curves = read_curves(output_dir, DRAWN)
    best = best_step(output_dir)
    panels = [_draw_losses, _draw_rates, _draw_learning_rate]
    heights = [3.0, 2.0, 1.0]
    if not any(curves["validation", name] for name in ("cer", "guard_cer")):
        del panels[1], heights[1]
    figure = Figure(figsize=(8, 2 + 1.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    for draw, axis in zip(panels, axes[:, 0], strict=True):
        draw(axis, curves, best)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.margins(x=0.02)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    last = axes[-1, 0]
    last.set_xlabel("step")
    last.xaxis.get_major_locator().set_params(integer=True)
    path = output_dir / CURVES_NAME
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
    return path


def best_step(output_dir: Path) -> int | None:
    """The step of the checkpoint `best`, where a validation has chosen it."""
    try:
        position = read_checkpoint((output_dir / BEST).resolve()).position
    except ValueError:
        return None
    return None if position.best is None else position.step


def _draw_losses(axis: Any, curves: Curves, best: int | None) -> None:
    training = _finite(curves["step", "loss"])
    if len(training) == 1:  # a line of one point would not be seen
        axis.plot(*_columns(training), "o", color=TRAINING, label="training")
    elif training:
        axis.plot(*thinned(training), color=TRAINING, alpha=0.3, linewidth=0.8)
        name = "training" if len(training) < SMOOTHED_OVER else "training, smoothed"
        axis.plot(*smoothed(training), color=TRAINING, linewidth=1.8, label=name)
    _draw_measured(axis, curves, "loss", best)
    axis.set_ylabel("loss per token")
    measured = (curves["validation", name] for name in ("loss", "guard_loss"))
    lines = [*smoothed(training)[1], *(v for curve in measured for v in _finite(curve).values())]
    axis.set_ylim(0, _top([*training.values(), *lines], lines))
    _explain(axis)


def _draw_rates(axis: Any, curves: Curves, best: int | None) -> None:
    _draw_measured(axis, curves, "cer", best)
    axis.set_ylabel("character error rate")
    values = [v for name in ("cer", "guard_cer") for v in curves["validation", name].values()]
    # an answer that runs on without end has a rate far above 1, which would flatten all others
    axis.set_ylim(0, min(max([*values, 1e-3]) * 1.1, 1.5))
    _explain(axis)


def _draw_measured(axis: Any, curves: Curves, figure: str, best: int | None) -> None:
    """A figure of the validation rows and of the guard's, and where `best` stands."""
    measured = _finite(curves["validation", figure])
    guard = _finite(curves["validation", f"guard_{figure}"])
    if measured:
        axis.plot(*_columns(measured), "o-", color=VALIDATION, markersize=4, label="validation")
    if guard:
        axis.plot(*_columns(guard), "s--", color=GUARD, markersize=4, linewidth=1.2, label="guard")
    if best in measured:
        axis.axvline(best, color=BEST_COLOUR, linewidth=0.8, linestyle=":")
        axis.plot(
            [best],
            [measured[best]],
            "*",
            color=BEST_COLOUR,
            markersize=14,
            label=f"best: {measured[best]:.4g} at step {best}",
        )


def _draw_learning_rate(axis: Any, curves: Curves, best: int | None) -> None:
    rates = _finite(curves["step", "lr"])
    marker = "o" if len(rates) == 1 else None
    axis.plot(*thinned(rates), color=BEST_COLOUR, linewidth=1.2, marker=marker)
    axis.set_ylabel("learning rate")
    axis.set_ylim(bottom=0)


def _explain(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False)


def _finite(curve: Curve) -> Curve:
    return {step: value for step, value in curve.items() if math.isfinite(value)}


def _columns(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values."""
    return np.array(list(curve), dtype=float), np.array(list(curve.values()), dtype=float)


def thinned(curve: Curve, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of up to `most` points that look the same: of each run of neighbours that
    would fall together, the lowest and the highest.
    """
    steps, values = _columns(curve)
    if len(steps) <= most:
        return steps, values
    kept = []
    for part in np.array_split(np.arange(len(steps)), most // 2):
        kept += sorted({part[values[part].argmin()], part[values[part].argmax()]})
    return steps[kept], values[kept]


def smoothed(curve: Curve, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Steps and means of the values around them, so many as `thinned` would give; of few steps,
    the values themselves.
    """
    steps, values = _columns(curve)
    reach = len(values) // SMOOTHED_OVER
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))
    # as far to the right as to the left, or the ends would lean towards the middle
    reaches = np.minimum(reach, np.minimum(places, len(values) - 1 - places))
    means = (sums[places + reaches + 1] - sums[places - reaches]) / (2 * reaches + 1)
    return steps[places], means


def _top(values: Sequence[float], lines: Sequence[float]) -> float | None:
    """Of the axis: the highest value, but not far above the lines for the sake of a lone spike."""
    return min(1.05 * max(values), 1.25 * max(lines)) or None if values else None
