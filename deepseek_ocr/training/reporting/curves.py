"""`curves.png`: losses, error rates and learning rate of a run, from its `metrics.jsonl`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...files import replacing
from ...runlog import METRICS_NAME
from ..checkpoints.checkpoint import LAST, read_checkpoint

CURVES_NAME = "curves.png"
DPI = 120
WIDTH, LEFT, BELOW, ABOVE = 8.0, 0.95, 0.55, 0.25
"""Of the picture, and of its margins, in inches."""
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
Draw = Callable[[Any, Curves, "Best | None"], None]
"""Draws a panel: onto an axis, from the curves, with a mark at the best."""
GUARDS = "guard_"
"""Before the names of the figures of `--guard_file`."""
METRICS = {
    "loss": "loss",
    "cer": "character error rate",
    "wer": "word error rate",
    "edit_similarity": "edit similarity",
}
"""Figures of validation -> how they are called beside their axis; one of them chooses `best`."""
DRAWN = {
    "step": ("loss", "lr", "grad_norm", "tokens_per_s"),
    "validation": tuple(prefix + name for name in METRICS for prefix in ("", "guard_")),
}
"""The figures of each event that are drawn, or may be."""
HIGHEST_RATE = 2.0
"""Of the axis of an error rate: an answer that runs on without end would flatten all others."""
MOST_OUTSIDE = 3
"""Of the points of a line that lie above its axis, so many are shown at the edge."""
SHOWN_STEPS = 0.995
"""The part of all steps that lies below the top of the axis, at the least."""
CHUNK = 1000  # lines that are parsed at once, which takes half the time of one by one


@dataclass(frozen=True, kw_only=True)
class Best:
    """The validation that chose `best`: by which figure, and after which step."""

    metric: str
    step: int


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
    of_events = {
        event: [(name, found[event, name]) for name in names] for event, names in figures.items()
    }
    for row in _rows(output_dir / METRICS_NAME):
        if row.get("command") != "train" or (step := row.get("step")) is None:
            continue
        for name, curve in of_events.get(row.get("event", ""), ()):
            if name in row:
                curve[step] = row[name]
    return {key: dict(sorted(curve.items())) for key, curve in found.items()}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        while lines := list(itertools.islice(file, CHUNK)):
            try:
                rows = json.loads(f"[{','.join(lines)}]")
            except ValueError:
                rows = [row for line in lines for row in _parsed(line)]
            yield from (row for row in rows if isinstance(row, dict))


def _parsed(line: str) -> list[Any]:
    """What stands in a line, unless it is torn."""
    try:
        return [json.loads(line)]
    except ValueError:
        return []


def draw_curves(output_dir: Path) -> Path:
    """Draw `curves.png` anew: losses, error rates where rows were read, and how the steps went.

    The training loss is drawn twice, as it was and smoothed; a star is the checkpoint `best`, in
    the panel of the figure that chose it. What lies above an axis stands as an arrow at its edge.
    """
    from matplotlib.figure import Figure  # here: it takes a second to load

    curves = read_curves(output_dir, DRAWN)
    best = find_best(output_dir, curves)
    panels = _panels(curves, best)
    heights = [height for _, height in panels]
    height = BELOW + ABOVE + 1.45 * sum(heights)
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    # fixed, as to measure labels would take as long as all the rest
    figure.subplots_adjust(LEFT / WIDTH, BELOW / height, 0.97, 1 - ABOVE / height, hspace=0.16)
    for (draw, _), axis in zip(panels, axes[:, 0], strict=True):
        draw(axis, curves, best)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.margins(x=0.02)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.align_ylabels()
    last = axes[-1, 0]
    last.set_xlabel("step")
    last.xaxis.get_major_locator().set_params(integer=True)
    path = output_dir / CURVES_NAME
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
    return path


def find_best(output_dir: Path, curves: Curves) -> Best | None:
    """What chose the checkpoint `best`, where a validation has; as the newest checkpoint tells."""
    try:
        newest = read_checkpoint((output_dir / LAST).resolve())
    except ValueError:
        return None
    value = newest.position.best_value
    metric = newest.run.get("settings", {}).get("best_metric", "loss")
    found = curves.get(("validation", metric), {})
    # the model before training is no checkpoint, however good; of equal ones the first was kept
    steps = (step for step, measured in found.items() if step > 0 and measured == value)
    step = next(steps, None)
    return None if step is None else Best(metric=metric, step=step)


def _panels(curves: Curves, best: Best | None) -> list[tuple[Draw, float]]:
    """Who draws which panel, and how high it is, from top to bottom."""
    chosen = best.metric if best is not None else "cer"
    figures = [name for name in METRICS if name == "cer" or (name == chosen and name != "loss")]
    read = [name for name in figures if _measured(curves, name) or _measured(curves, name, GUARDS)]
    return [
        (_draw_losses, 3.0),
        *((partial(_draw_reading, name), 2.0) for name in read),
        (partial(_draw_steps, "lr", "learning rate"), 0.8),
        *(
            (partial(_draw_steps, name, label), 0.8)
            for name, label in {"grad_norm": "gradient norm", "tokens_per_s": "tokens/s"}.items()
            if curves["step", name]
        ),
    ]


def _draw_losses(axis: Any, curves: Curves, best: Best | None) -> None:
    training = _finite(curves["step", "loss"])
    _draw_line(axis, training, "training")
    _draw_measured(axis, curves, "loss", best)
    axis.set_ylabel("loss per token")
    validations = (_measured(curves, "loss", prefix) for prefix in ("", GUARDS))
    axis.set_ylim(0, _top(training, [v for curve in validations for v in curve.values()]))
    _mark_outside(axis, (training, TRAINING))
    _explain(axis)


def _draw_reading(metric: str, axis: Any, curves: Curves, best: Best | None) -> None:
    """The panel of a figure of the rows that are read."""
    _draw_measured(axis, curves, metric, best)
    axis.set_ylabel(METRICS[metric])
    rows, guard = _measured(curves, metric), _measured(curves, metric, GUARDS)
    values = [*rows.values(), *guard.values(), 1e-3]
    axis.set_ylim(0, 1.1 * max([v for v in values if v <= HIGHEST_RATE]))
    _mark_outside(axis, (rows, VALIDATION), (guard, GUARD))
    _explain(axis)


def _draw_measured(axis: Any, curves: Curves, metric: str, best: Best | None) -> None:
    """A figure of the validation rows and of the guard's, and where `best` stands."""
    measured, guard = _measured(curves, metric), _measured(curves, metric, GUARDS)
    if measured:
        axis.plot(*_columns(measured), "o-", color=VALIDATION, markersize=4, label="validation")
    if guard:
        axis.plot(*_columns(guard), "s--", color=GUARD, markersize=4, linewidth=1.2, label="guard")
    if best is None:
        return
    axis.axvline(best.step, color=BEST_COLOUR, linewidth=0.8, linestyle=":")
    if best.metric == metric and best.step in measured:
        value = measured[best.step]
        label = f"best: {value:.4g} after step {best.step:,}"
        axis.plot([best.step], [value], "*", color=BEST_COLOUR, markersize=14, label=label)


def _draw_steps(figure: str, label: str, axis: Any, curves: Curves, best: Best | None) -> None:
    """The small panel of a figure of the steps."""
    found = _finite(curves["step", figure])
    _draw_line(axis, found, label, color=BEST_COLOUR, smooth=figure != "lr")
    axis.set_ylabel(label)
    if found:
        axis.set_ylim(0, _top(found, []))
        _mark_outside(axis, (found, BEST_COLOUR))


def _draw_line(
    axis: Any, curve: Curve, label: str, *, color: str = TRAINING, smooth: bool = True
) -> None:
    """A figure of the steps: lightly as it was and, if `smooth`, the mean of neighbours on it."""
    if len(curve) == 1:  # a line of one point would not be seen
        axis.plot(*_columns(curve), "o", color=color, label=label)
    elif curve and len(curve) >= SMOOTHED_OVER and smooth:
        axis.plot(*thinned(curve), color=color, alpha=0.3, linewidth=0.8)
        axis.plot(*smoothed(curve), color=color, linewidth=1.8, label=f"{label}, smoothed")
    elif curve:
        axis.plot(*thinned(curve), color=color, linewidth=1.5, label=label)


def _mark_outside(axis: Any, *curves: tuple[Curve, str]) -> None:
    """Arrows at the upper edge for the highest points above it, in numbers: a few of each curve."""
    top = axis.get_ylim()[1]
    for line, (curve, color) in enumerate(curves):
        steps, values = _columns(curve)
        above = values > top
        outside = sorted(zip(values[above], steps[above], strict=True), reverse=True)
        outside = outside[:MOST_OUTSIDE]
        for _, step in outside:
            axis.plot([step], [top], "^", color=color, markersize=5, clip_on=False)
        for value, step in outside:
            beside = (6, 8 * line)  # of the same step: one above the other
            look = {"va": "center", "color": color, "fontsize": "small"}
            axis.annotate(f"{value:.3g}", (step, top), beside, textcoords="offset points", **look)


def _explain(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False)


def _measured(curves: Curves, metric: str, prefix: str = "") -> Curve:
    """A figure of the validation rows, or with `GUARDS` of the guard's, where it is a number."""
    return _finite(curves["validation", prefix + metric])


def _finite(curve: Curve) -> Curve:
    return {step: value for step, value in curve.items() if math.isfinite(value)}


def _columns(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values."""
    steps = np.fromiter(curve.keys(), dtype=float, count=len(curve))
    return steps, np.fromiter(curve.values(), dtype=float, count=len(curve))


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


def _top(steps: Curve, others: Sequence[float]) -> float | None:
    """Of the axis: above all `others` and the smoothed steps, but not for the sake of a lone spike
    of single steps.
    """
    if not steps:
        return 1.05 * max(others) or None if others else None
    values = _columns(steps)[1]
    low = [float(np.quantile(values, SHOWN_STEPS)), *smoothed(steps)[1], *others]
    return min(1.05 * max([float(values.max()), *others]), 1.25 * max(low)) or None
