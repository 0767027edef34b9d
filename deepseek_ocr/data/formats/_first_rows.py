"""The first rows of files, by which readers tell whether a folder has their shape.

Nearly every reader looks at the same ones: a file is read once for all of them, and not far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ..folder import Beginning, DatasetFolder
from ..json_files.allowance import Allowance
from ..json_files.rows import Row, read_object
from ..problems import Problem
from ._containers import ARRAYS, rows_of

LOOKED_AT = 20  # rows of each file, and files
FILE_BYTES = 8 << 20  # a row with a scanned page in it has a few
FOLDER_BYTES = 32 << 20


def first_rows(folder: DatasetFolder, file: str) -> Sequence[Row | Problem]:
    """The first rows of a file, or the object that a `.json` file holds alone.

    What lies further inside than may be read seems not to be there: the last row is a problem then.
    """
    known = folder.beginnings.get(file)
    if known is None:
        left = FOLDER_BYTES - sum(known.num_bytes for known in folder.beginnings.values())
        given = min(FILE_BYTES, left // 2)  # so that something is left for every file
        allowance = Allowance(given)
        if file.lower().endswith(ARRAYS) and file not in folder.arrays:
            rows = [read_object(folder.path(file), file, allowance=allowance)]
        else:
            rows = list(islice(rows_of(folder, file, allowance), LOOKED_AT))
        known = folder.beginnings[file] = Beginning(rows, given - allowance.left)
    return known.rows
