"""Short rows laid into packs of few empty positions, by best fit."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

Pack = tuple[int, ...]
"""Numbers of the rows that are laid end to end in one row of a batch, in that order."""


def best_fit(rows: Sequence[int], lengths: Sequence[int], limit: int) -> list[Pack]:
    """Rows, taken in order, each into the pack that it leaves the least room in.

    Args:
        rows: row numbers; from long to short they fill packs best.
        lengths: positions of every row, by row number; none above `limit`.
        limit: most positions of a pack.
    """
    packs: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # free positions -> numbers of packs
    rooms: list[int] = []  # the keys of `with_room`, sorted
    for row in rows:
        place = bisect_left(rooms, lengths[row])
        if place == len(rooms):
            number, free = len(packs), limit
            packs.append([])
        else:
            free = rooms[place]
            number = with_room[free].pop()
            if not with_room[free]:
                del with_room[free], rooms[place]
        packs[number].append(row)
        left = free - lengths[row]
        if left > 0:
            if left not in with_room:
                insort(rooms, left)
            with_room.setdefault(left, []).append(number)
    return [tuple(pack) for pack in packs]
