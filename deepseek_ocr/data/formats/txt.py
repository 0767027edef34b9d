"""`txt`: each picture or PDF has a text file of its name (`a.png` and `a.txt` or `a.gt.txt`)."""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import read_text
from ..problems import Problem
from ._detection import Detection
from ._pairs import pages_of, pair, paired_share, unpaired
from .sroie import hold_boxes

NAME = "txt"
SUFFIXES = (".gt.txt", ".gold.txt", ".txt")


def detect(folder: DatasetFolder) -> Detection | None:
    pairs = list(pair(folder, SUFFIXES))
    files = [file for file, pictures, _ in pairs if file and pictures]
    if not files or hold_boxes(folder, files):
        return None
    num_paired, num_pages = paired_share(pairs)
    return Detection(
        score=0.99 * num_paired / num_pages,  # JSON files tell more
        reason=f"{num_paired} of {num_pages} pictures have a .txt file of the same name",
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a text file, of all pages of its picture.

    The line end that editors put last is no part of the text.
    """
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .txt or .gt.txt file", folder)
        if problem:
            yield problem
            continue
        assert file is not None
        text = read_text(folder.path(file), file)
        if isinstance(text, Problem):
            yield text
            continue
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            reason = "a null character in the text; expected plain text"
            yield Problem(kind="bad value", source=f"{file}:{line}", reason=reason)
            continue
        text = text.replace("\r\n", "\n").removesuffix("\n")
        images = tuple(map(pages_of, pictures))
        yield Annotation(id="", images=images, prompt="", text=text, source=f"{file}:1")
