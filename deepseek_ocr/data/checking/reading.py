"""The first pass over a dataset: what its reader finds, put on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ...errors import PageError
from ..annotations import Annotation
from ..folder import DatasetFolder
from ..formats import Reader
from ..pages.references import parse_reference
from ..problems import Problem, Problems
from .annotation_spool import annotation_spool
from .held_names import HeldNames
from .identity import Names, repeated_ids
from .spool import Spool, text_spool

REMEMBERED = 1 << 16  # references; one that is named again later is passed on again


@dataclasses.dataclass(kw_only=True)
class RowsRead:
    """What a reader found.

    `rows` in its order, each with an id; `flawed[place]` is 1 for a row of which a problem is told
    already; `references` of all pages, most of them once; `files` that annotations came from;
    `num_lost` rows of which there are only problems; `held_names` notes those of `rows`.
    """

    rows: Spool[Annotation]
    flawed: bytearray
    references: Spool[str]
    files: set[str]
    num_lost: int
    held_names: HeldNames

    def close(self) -> None:
        """Give the disk space back."""
        self.rows.close()
        self.references.close()


Render = Callable[[Annotation], Annotation | Problem]
"""Makes the text to learn of a row's structure, which is not kept."""


def read_dataset(
    folder: DatasetFolder, reader: Reader, problems: Problems, render: Render
) -> RowsRead:
    """All rows of a dataset; what is wrong with them, as far as reading shows, to `problems`."""
    rows, references = annotation_spool(), _References()
    names, held_names, flawed = Names(), HeldNames(), bytearray()
    files: set[str] = set()
    num_lost, sample = 0, ""  # sample: the one before
    for found in reader.read(folder):
        _note_file(found.source or "", folder, files)
        if isinstance(found, Problem):
            problems.append(found)
            lost = found.sample or found.source
            if found.of_row and lost != sample:
                sample = lost
                num_lost += 1
            continue
        sample = found.source or ""
        rendered = render(found)
        flawed.append(isinstance(rendered, Problem))
        if isinstance(rendered, Problem):
            problems.append(rendered)
            rendered = found
        name = names.name_of(found)
        row = rendered if rendered.id == name else dataclasses.replace(rendered, id=name)
        rows.append(row)
        references.note(row)
        held_names.note(row)
        files.update(file for file in row.also_read if file in folder.names)
    for place, problem in repeated_ids(names.hashes, rows):
        problems.append(problem)
        flawed[place] = True
    return RowsRead(
        rows=rows,
        flawed=flawed,
        references=references.spool,
        files=files,
        num_lost=num_lost,
        held_names=held_names,
    )


class _References:
    """The references of rows as they come, those named shortly before left out."""

    def __init__(self) -> None:
        self.spool = text_spool()
        self._remembered: set[str] = set()

    def note(self, row: Annotation) -> None:
        for reference in row.images:
            if reference in self._remembered:
                continue
            try:
                parse_reference(reference)
            except PageError:  # told of the row when it is judged
                continue
            if len(self._remembered) == REMEMBERED:
                self._remembered.clear()
            self._remembered.add(reference)
            self.spool.append(reference)


def _note_file(source: str, folder: DatasetFolder, files: set[str]) -> None:
    """Note the file of a `file:line` (or of a plain file) if it is one of the dataset's."""
    file = source.rpartition(":")[0]
    if file in files:
        return
    if source in folder.names:
        files.add(source)
    elif file in folder.names:
        files.add(file)
