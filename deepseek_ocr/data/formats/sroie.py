"""`sroie`: scanned receipts, `img/X.jpg` with `box/X.csv` and `key/X.json`, or X.jpg beside X.txt.

A line of `box/X.csv` is `x1,y1,x2,y2,x3,y3,x4,y4,text`, corners from the top left clockwise in
pixels; commas in the text are its own. The text of a receipt is its lines in reading order. The
four values of `key/X.json` are for extraction, and are not read here.
https://rrc.cvc.uab.es/?ch=13
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from ..annotations import Annotation, Region
from ..folder import DatasetFolder, stem_of
from ..json_rows import read_text
from ..problems import Problem, without_annotation
from ._detection import Detection
from ._pairs import pair, unpaired

NAME = "sroie"
SUFFIXES = (".csv", ".txt")
LOOKED_AT = 5  # files

_BOX_LINE = re.compile(r"\s*(-?\d+\s*,\s*){8}")


def detect(folder: DatasetFolder) -> Detection | None:
    if _has_folders(folder):
        num_boxes = len(_box_files(folder))
        return Detection(score=1.0, reason=f"img/ with {num_boxes} files of lines in box/")
    pairs = [file for file, pictures, _ in pair(folder, SUFFIXES) if file and pictures]
    if not hold_boxes(folder, pairs):
        return None
    return Detection(
        score=0.995 * len(pairs) / len(folder.pictures),
        reason=f"{len(pairs)} of {len(folder.pictures)} pictures have a file of boxes and lines",
    )


def hold_boxes(folder: DatasetFolder, files: Sequence[str]) -> bool:
    """Whether the first of these files hold lines `x1,y1,...,y4,text`, which are no plain text."""
    looked_at = [read_text(folder.path(file), file) for file in files[:LOOKED_AT]]
    texts = [text for text in looked_at if isinstance(text, str) and text.strip()]
    return bool(texts) and all(
        _BOX_LINE.match(line) for text in texts for line in text.splitlines() if line.strip()
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a receipt; its lines are also its regions."""
    yield from _read_folders(folder) if _has_folders(folder) else _read_pairs(folder)


def _has_folders(folder: DatasetFolder) -> bool:
    tops = {file.split("/")[0] for file in folder.files if "/" in file}
    return {"img", "box"} <= tops and bool(_box_files(folder))


def _box_files(folder: DatasetFolder) -> list[str]:
    return [file for file in folder.with_suffix(*SUFFIXES) if file.startswith("box/")]


def _read_pairs(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    for file, pictures, rivals in pair(folder, SUFFIXES):
        problem = unpaired(file, pictures, rivals, "a .txt or .csv file")
        if problem:
            yield problem
        elif file is not None:
            yield from _receipt(folder, file, pictures[0])


def _read_folders(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    pictures = {stem_of(f.removeprefix("img/")): f for f in folder.pictures if f.startswith("img/")}
    boxes = {stem_of(file.removeprefix("box/")): file for file in _box_files(folder)}
    for stem, file in boxes.items():
        if stem not in pictures:
            reason = f"no picture img/{stem}.jpg; add it or remove the annotation"
            yield Problem(kind="annotation without picture", source=f"{file}:1", reason=reason)
            continue
        yield from _receipt(folder, file, pictures[stem])
    for stem, picture in pictures.items():
        if stem not in boxes:
            reason = f"no annotation for this picture; expected box/{stem}.csv"
            yield without_annotation(picture, reason)


def _receipt(folder: DatasetFolder, file: str, picture: str) -> Iterator[Annotation | Problem]:
    content = read_text(folder.path(file), file)
    if isinstance(content, Problem):
        yield content
        return
    problems, lines = [], []
    for number, row in enumerate(content.replace("\r\n", "\n").split("\n"), 1):
        if row.strip():
            try:
                lines.append(_line(row))
            except ValueError as error:
                source = f"{file}:{number}"
                problems.append(Problem(kind="bad line", source=source, reason=str(error)))
    if problems:
        yield from problems
        return
    rows = reading_order(lines)
    yield Annotation(
        id="",
        images=(picture,),
        prompt="",
        text="\n".join(" ".join(line.text for line in row) for row in rows),
        regions=tuple(
            Region(label="text", box=line.box, text=line.text) for row in rows for line in row
        ),
        source=f"{file}:1",
    )


@dataclasses.dataclass(frozen=True)
class _Line:
    """A piece of text and its upright (x1, y1, x2, y2) in pixels."""

    text: str
    box: tuple[float, float, float, float]

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2


def _line(row: str) -> _Line:
    *corners, text = row.split(",", 8)
    try:
        x1, y1, x2, y2, x3, y3, x4, y4 = (int(number) for number in corners)
    except ValueError:
        raise ValueError(
            f"{row[:60]!r}: expected eight whole numbers and a text, with commas between"
        ) from None
    xs, ys = (x1, x2, x3, x4), (y1, y2, y3, y4)
    return _Line(text, (min(xs), min(ys), max(xs), max(ys)))


def reading_order(lines: list[_Line]) -> list[list[_Line]]:
    """Rows from top to bottom, each from left to right.

    Pieces share a row if they share more than half the height of the lower one, and stand beside
    each other: a line printed twice, one over the other, stays two lines.
    """
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: (line.middle, line.box[0])):
        if rows and _same_row(rows[-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _same_row(row: list[_Line], line: _Line) -> bool:
    beside = all(_shared(other.box[0::2], line.box[0::2]) < 0.5 for other in row)
    return beside and _shared(row[0].box[1::2], line.box[1::2]) > 0.5


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """What two spans (begin, end) have in common, as a share of the shorter one."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return common / max(min(one[1] - one[0], other[1] - other[0]), 1)
