"""Datasets whose authors split them already: told, because they are read as one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..folder import DatasetFolder

_SIDE = re.compile(r"(train|test|val|dev)(ing|id|idation)?(?=[^a-z]|$)")


def sides_read_together(folder: DatasetFolder, suffixes: Sequence[str]) -> str:
    """What is added to the reason of a reader where files (or folders) are named by their side."""
    sides: dict[str, str] = {}
    for file in folder.with_suffix(*suffixes):
        for part in file.lower().split("/"):
            if side := _SIDE.match(part):
                sides.setdefault(side[1], file)
    if len(sides) < 2:
        return ""
    shown = " and ".join(sides.values())
    return (
        f"; {shown} are read together and split anew by document: to keep their sides, give each "
        "its own folder and --data_root"
    )
