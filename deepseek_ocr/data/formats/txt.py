"""`txt`: each picture has a text file of the same name (`a.png` and `a.txt` or `a.gt.txt`)."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_rows import read_text
from ..problems import Problem
from ._detection import Detection
from ._pairs import pair, unpaired
from .sroie import hold_boxes

NAME = "txt"
SUFFIXES = (".gt.txt", ".txt")


def detect(folder: DatasetFolder) -> Detection | None:
    pairs = [file for file, pictures, _ in pair(folder, SUFFIXES) if file and pictures]
    if not pairs or hold_boxes(folder, pairs):
        return None
    num_pairs = len(pairs)
    return Detection(
        score=0.99 * num_pairs / len(folder.pictures),  # JSON files tell more
        reason=f"{num_pairs} of {len(folder.pictures)} pictures have a .txt file of the same name",
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a text file; the line end that editors put last is no part of the text."""
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .txt or .gt.txt file")
        if problem:
            yield problem
            continue
        assert file is not None
        text = read_text(folder.path(file), file)
        if isinstance(text, Problem):
            yield text
            continue
        if "\0" in text:
            reason = "a null character in the text; expected plain text"
            yield Problem(kind="bad value", source=f"{file}:1", reason=reason)
            continue
        text = text.replace("\r\n", "\n").removesuffix("\n")
        yield Annotation(id="", images=pictures, prompt="", text=text, source=f"{file}:1")
