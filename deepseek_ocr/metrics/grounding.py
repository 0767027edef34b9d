"""Boxes against boxes: which labelled regions of a page were found, and how well they fit.

Regions of one label are paired one to one so that as many pairs as possible have an intersection
over union (IoU) of at least the threshold, and of those ways the one with the largest sum of IoU
(Hungarian assignment). A pair is a true positive; what stays alone is a false one or a miss.
Labels are compared as written.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2), the boxes of both sides in one frame, such as page pixels."""

Region = tuple[str, Box]
"""A label and where it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionCounts:
    """Pairs, regions predicted, regions in the truth, and the sum of the pairs' IoU."""

    num_matched: int = 0
    num_predicted: int = 0
    num_true: int = 0
    iou_sum: float = 0.0

    @property
    def precision(self) -> float | None:
        """Pairs / predicted regions; None without a prediction."""
        return self.num_matched / self.num_predicted if self.num_predicted else None

    @property
    def recall(self) -> float | None:
        """Pairs / regions of the truth; None without any."""
        return self.num_matched / self.num_true if self.num_true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where neither side has a region."""
        total = self.num_predicted + self.num_true
        return 2 * self.num_matched / total if total else None

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU of the pairs; None without a pair."""
        return self.iou_sum / self.num_matched if self.num_matched else None

    def to_json(self) -> dict[str, float | int | None]:
        """The rates and the counts behind them."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "mean_iou": self.mean_iou,
            "num_matched": self.num_matched,
            "num_predicted": self.num_predicted,
            "num_true": self.num_true,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroundingScore:
    """The regions of one picture, or of all pictures of a row: counts by label."""

    labels: Mapping[str, RegionCounts]

    @property
    def overall(self) -> RegionCounts:
        """All labels together."""
        return _sum(self.labels.values())

    @property
    def f1(self) -> float | None:
        """F1 over all labels."""
        return self.overall.f1

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU of all pairs."""
        return self.overall.mean_iou


def grounding_score(
    predicted: Sequence[Region], truth: Sequence[Region], iou: float = 0.5
) -> GroundingScore:
    """Pairs the regions of one picture; pairs have an IoU of at least `iou`.

    A box without area, or with a side that is no number, fits nothing. The regions of a row with
    several pictures are scored picture by picture and added with `add_scores`.
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou must lie above 0 and be at most 1, got {iou}")
    found, true = _by_label(predicted), _by_label(truth)
    return GroundingScore(
        labels={
            label: _counts(found.get(label, []), true.get(label, []), iou)
            for label in sorted({*found, *true})
        }
    )


def _by_label(regions: Sequence[Region]) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for label, box in regions:
        boxes.setdefault(label, []).append(box)
    return boxes


def add_scores(scores: Iterable[GroundingScore]) -> GroundingScore:
    """The counts of several pictures as those of one."""
    by_label: dict[str, list[RegionCounts]] = {}
    for score in scores:
        for label, counts in score.labels.items():
            by_label.setdefault(label, []).append(counts)
    return GroundingScore(labels={label: _sum(by_label[label]) for label in sorted(by_label)})


def summarize_grounding(scores: Sequence[GroundingScore]) -> dict[str, Any]:
    """All rows together: `overall`, and `labels` with the truth's labels, the most frequent first.

    Labels that no truth has are in `overall` and counted in `num_invented_labels`: a model can
    write any number of them.
    """
    total = add_scores(scores)
    known = {label: counts for label, counts in total.labels.items() if counts.num_true}
    frequent = sorted(known, key=lambda label: (-known[label].num_true, label))
    rows = Counter(
        label for score in scores for label, counts in score.labels.items() if counts.num_true
    )
    return {
        "overall": total.overall.to_json(),
        "labels": {label: known[label].to_json() | {"num_rows": rows[label]} for label in frequent},
        "num_invented_labels": len(total.labels) - len(known),
        "num_rows": len(scores),
    }


def _sum(counts: Iterable[RegionCounts]) -> RegionCounts:
    parts = list(counts)
    return RegionCounts(
        num_matched=sum(part.num_matched for part in parts),
        num_predicted=sum(part.num_predicted for part in parts),
        num_true=sum(part.num_true for part in parts),
        iou_sum=float(np.sum(sorted(part.iou_sum for part in parts))),  # the same in any order
    )


def _counts(predicted: Sequence[Box], truth: Sequence[Box], threshold: float) -> RegionCounts:
    pairs = matched_ious(predicted, truth, threshold)
    return RegionCounts(
        num_matched=len(pairs),
        num_predicted=len(predicted),
        num_true=len(truth),
        iou_sum=float(pairs.sum()),
    )


def matched_ious(
    predicted: Sequence[Box], truth: Sequence[Box], threshold: float
) -> NDArray[np.float64]:
    """IoU of each pair of the best one-to-one assignment, in no order that matters."""
    if not predicted or not truth:
        return np.zeros(0)
    overlaps = iou_matrix(predicted, truth)
    overlaps[overlaps < threshold] = 0
    # Rows and columns without a candidate cannot pair; answers in a loop have thousands.
    overlaps = overlaps[overlaps.any(1)][:, overlaps.any(0)]
    if not overlaps.size:
        return np.zeros(0)
    from scipy.optimize import linear_sum_assignment

    # One pair more outweighs any gain in the sum of IoU.
    worth = np.where(overlaps > 0, overlaps + min(overlaps.shape), 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    found = overlaps[rows, columns]
    return np.sort(found[found > 0])


def iou_matrix(first: Sequence[Box], second: Sequence[Box]) -> NDArray[np.float64]:
    """(first, second): area of the intersection / area of the union, 0 to 1."""
    one = _boxes(first)[:, None]  # (first, 1, 4)
    two = _boxes(second)[None]  # (1, second, 4)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(0).prod(-1)
    union = _areas(one) + _areas(two) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


LARGEST = 1e100
"""Coordinates end here, so that areas stay finite and whole numbers of any size fit."""


def _boxes(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """(boxes, 4), with boxes of no area or with a NaN as points."""
    capped = [[min(max(side, -LARGEST), LARGEST) for side in box] for box in boxes]
    array = np.array(capped, dtype=np.float64)
    filled = np.all(array[:, 2:] > array[:, :2], axis=1, keepdims=True)  # false of NaN, too
    return np.where(filled, array, 0.0)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
