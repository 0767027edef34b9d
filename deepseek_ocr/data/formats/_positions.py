"""The order in which parts of a page are read where only their boxes are known."""

from __future__ import annotations

from collections.abc import Sequence

from ._reading_order import Box

MAX_BOXES = 2000  # of a page; more are only sorted
MAX_CUTS = 40  # one inside the other; what is nested deeper is only sorted

_OVERLAP = 0.02  # of the extent that is cut: parts drawn by hand touch a little


def by_position(boxes: Sequence[Box], right_to_left: bool = False) -> list[int]:
    """Places of the boxes in reading order.

    Where a blank strip parts a page from top to bottom its columns follow each other; else its
    parts from top to bottom do, each again cut into columns. The XY-cut of G. Nagy and S. Seth,
    https://digitalcommons.unl.edu/cseconfwork/283/.
    """
    if right_to_left:
        boxes = [(-x2, y1, -x1, y2) for x1, y1, x2, y2 in boxes]
    cuts = MAX_CUTS if len(boxes) <= MAX_BOXES else 0
    return _ordered(boxes, list(range(len(boxes))), cuts)


def _ordered(boxes: Sequence[Box], places: list[int], cuts_left: int) -> list[int]:
    if cuts_left:
        for groups in (_parted(boxes, places, 0), _layers(boxes, places)):
            if len(groups) > 1:
                return [
                    place for group in groups for place in _ordered(boxes, group, cuts_left - 1)
                ]
    return sorted(places, key=lambda place: (boxes[place][1], boxes[place][0]))


def _layers(boxes: Sequence[Box], places: list[int]) -> list[list[int]]:
    """What lies one below the other; a gap that goes through columns by chance is none."""
    layers: list[list[int]] = []
    is_columns = False  # whether the last one can be cut into columns
    for group in _parted(boxes, places, 1):
        if is_columns and len(_parted(boxes, layers[-1] + group, 0)) > 1:
            layers[-1] += group
        else:
            layers.append(group)
            is_columns = len(_parted(boxes, group, 0)) > 1
    return layers


def _parted(boxes: Sequence[Box], places: list[int], axis: int) -> list[list[int]]:
    """Groups with a blank strip between them, along x (axis 0) or y (axis 1)."""
    ordered = sorted(places, key=lambda place: boxes[place][axis])
    if not ordered:
        return []
    end = boxes[ordered[0]][axis]
    allowed = _OVERLAP * (max(boxes[place][axis + 2] for place in ordered) - end)
    groups: list[list[int]] = []
    for place in ordered:
        if not groups or boxes[place][axis] >= end - allowed:
            groups.append([])
        groups[-1].append(place)
        end = max(end, boxes[place][axis + 2])
    return groups
