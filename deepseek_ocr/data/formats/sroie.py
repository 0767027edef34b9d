"""`sroie`: scanned receipts, each with a file of its lines, and one of the values to extract.

A line of `box/X.csv` is `x1,y1,x2,y2,x3,y3,x4,y4,text`, corners from the top left clockwise in
pixels; commas in the text are its own. The text of a receipt is its lines in reading order.
`key/X.json` holds company, date, address and total: the fields of the sample.

The files of one receipt are known by its name: `img/X.jpg`, `box/X.csv` (or `.txt`), `key/X.json`
(or `entities/X.txt`), also below `train/` and `test/`; or `X.jpg` beside `X.txt`, as in
`0325updated.task1train(626p)`, with the values in another folder's `X.txt`, which is JSON.
https://rrc.cvc.uab.es/?ch=13
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from ..annotations import Annotation
from ..folder import DatasetFolder, stem_of
from ..json_files.allowance import Allowance
from ..json_files.rows import first_character, read_object, read_text
from ..problems import Problem
from ..truth.structures import Fields
from ._detection import Detection
from ._pairs import Pair, pair, paired_share, unpaired
from ._reading_order import Piece, box_around, reading_order, regions_of, text_of
from ._sister_folders import PICTURE_FOLDERS, sister_key

NAME = "sroie"
SUFFIXES = (".csv", ".txt")
LOOKED_AT = 20  # files
MAX_LINES_BYTES = 4 << 20  # of the lines of a receipt
KEY_SUFFIXES = (".json", ".txt")
KEY_FOLDERS = frozenset({"key", "keys", "entities"})

_BOX_LINE = re.compile(r"\s*(-?\d+\s*,\s*){8}")


def detect(folder: DatasetFolder) -> Detection | None:
    in_box = _in_box(folder)
    if in_box:
        return Detection(score=1.0, reason=f"{len(in_box)} files of lines in box/")
    pairs = list(pair(folder, SUFFIXES))
    files = [file for file, pictures, _ in pairs if file and pictures]
    if not hold_boxes(folder, files):
        return None
    num_paired, num_pages = paired_share(pairs)
    reason = f"{num_paired} of {num_pages} pictures have a file of boxes and lines"
    return Detection(score=0.995 * num_paired / num_pages, reason=reason)


def hold_boxes(folder: DatasetFolder, files: Sequence[str]) -> bool:
    """Whether the first of these files hold lines `x1,y1,...,y4,text`, which are no plain text.

    Those with JSON in them, the values of a receipt, may lie among them.
    """
    found = False
    for file in files[:LOOKED_AT]:
        allowance = Allowance(MAX_LINES_BYTES)
        text = read_text(folder.path(file), file, allowance=allowance)
        if isinstance(text, str) and _first(text) not in ("", "{"):
            lines = (line for line in text.splitlines() if line.strip())
            if not allowance.left or not all(map(_BOX_LINE.match, lines)):
                return False
            found = True
    return found


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a receipt; its lines are also its regions."""
    keys = _Keys(folder)
    no_lines = frozenset(keys.files)
    files = _in_box(folder) or [f for f in folder.with_suffix(*SUFFIXES) if f not in no_lines]
    names = {_name(file) for file in files}
    for file, pictures, rivals in _receipts(folder, files):
        if file is None and _name(pictures[0]) in names and keys.lie_beside(pictures[0]):
            continue  # the second copy of a receipt, for the task of the values alone
        problem = unpaired(file, pictures, rivals, "a file of boxes and lines", folder)
        if problem:
            yield problem
        elif file is not None:
            yield from _samples(folder, file, pictures[0], keys.of(pictures[0]))
    yield from keys.without_receipt()


def _first(text: str) -> str:
    return text.lstrip()[:1]


def _in_box(folder: DatasetFolder) -> list[str]:
    """The files of lines of a dataset with folders `box` and `img`; none of any other."""
    places = {picture.rpartition("/")[0].lower() for picture in folder.pictures}
    return [
        file
        for file in folder.with_suffix(*SUFFIXES)
        if (box := file.rpartition("/")[0].lower()).rpartition("/")[2] == "box"
        and any(box.removesuffix("box") + name in places for name in ("img", "images", "image"))
    ]


def _receipts(folder: DatasetFolder, files: Sequence[str]) -> Iterator[Pair]:
    """The pairs of pictures and files, at last those of one name in folders that tell nothing."""
    alone: dict[str, list[str]] = defaultdict(list)
    pictures: dict[str, list[str]] = defaultdict(list)
    for found in pair(folder, SUFFIXES, files):
        if found.file is None:
            pictures[_name(found.pictures[0])].extend(found.pictures)
        elif not found.pictures:
            alone[_name(found.file)].append(found.file)
        else:
            yield found
    for name, same_name in alone.items():
        if len(same_name) == len(pictures.get(name, ())) == 1:
            yield Pair(same_name[0], tuple(pictures.pop(name)))
        else:
            yield from (Pair(file, ()) for file in same_name)
    yield from (Pair(None, (picture,)) for group in pictures.values() for picture in group)


class _Keys:
    """The files of values to extract, by the receipts they belong to."""

    def __init__(self, folder: DatasetFolder):
        receipts = {_name(picture) for picture in folder.pictures}
        self.files = [file for file in folder.files if _is_key(folder, file, receipts)]
        self._stems = {stem_of(file) for file in self.files}
        self._by_place: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._used: set[str] = set()
        for file in self.files:
            self._by_place[sister_key(file, KEY_FOLDERS)].append(file)
            self._by_name[_name(file)].append(file)

    def lie_beside(self, picture: str) -> bool:
        """Whether such a file has the picture's very name."""
        return stem_of(picture) in self._stems

    def of(self, picture: str) -> list[str]:
        """Those of a receipt: in its own place, or else of its name anywhere."""
        found = self._by_place.get(sister_key(picture, PICTURE_FOLDERS))
        found = found or self._by_name.get(_name(picture), [])
        self._used.update(found)
        return found

    def without_receipt(self) -> Iterator[Problem]:
        """Those that were asked for by no receipt."""
        for file in self.files:
            if file not in self._used:
                reason = "no receipt of this name; add its picture and lines, or remove it"
                yield Problem(kind="annotation without picture", source=f"{file}:1", reason=reason)


def _is_key(folder: DatasetFolder, file: str, receipts: Container[str]) -> bool:
    """Whether a file holds values, not lines: by its folder, or as JSON named as a receipt."""
    if not file.lower().endswith(KEY_SUFFIXES):
        return False
    if not KEY_FOLDERS.isdisjoint(part.lower() for part in file.split("/")[:-1]):
        return True
    if _name(file) not in receipts:
        return False
    try:
        return first_character(folder.path(file)) == "{"
    except OSError:  # reading it as lines will tell the reason
        return False


def _samples(
    folder: DatasetFolder, file: str, picture: str, keys: Sequence[str]
) -> Iterator[Annotation | Problem]:
    """The sample of one receipt, or what is wrong with its files."""
    if len(keys) > 1:
        reason = f"holds the values of {picture}, as {' and '.join(keys[1:])} does; keep one"
        yield Problem(kind="ambiguous annotation", source=f"{keys[0]}:1", reason=reason)
        return
    rows = [read_object(folder.path(key), key, keep_numbers=True) for key in keys]
    found = list(_lines(folder, file))
    problems = [value for value in (*found, *rows) if isinstance(value, Problem)]
    if problems:
        yield from (dataclasses.replace(problem, sample=file) for problem in problems)
        return
    in_rows = reading_order(piece for piece in found if isinstance(piece, Piece))
    yield Annotation(
        id="",
        images=(picture,),
        prompt="",
        text=text_of(in_rows),
        regions=regions_of(in_rows),
        source=f"{file}:1",
        structure=tuple(Fields(value=row.value) for row in rows if not isinstance(row, Problem)),
        also_read=tuple(keys),
    )


def _lines(folder: DatasetFolder, file: str) -> Iterator[Piece | Problem]:
    content = read_text(folder.path(file), file)
    if isinstance(content, Problem):
        yield content
        return
    for number, row in enumerate(content.replace("\r\n", "\n").split("\n"), 1):
        if row.strip():
            try:
                yield _piece(row)
            except ValueError as error:
                yield Problem(kind="bad line", source=f"{file}:{number}", reason=str(error))


def _piece(row: str) -> Piece:
    *corners, text = row.split(",", 8)
    try:
        numbers = [int(number) for number in corners]
        box = box_around([numbers[place : place + 2] for place in (0, 2, 4, 6)])
    except ValueError:
        raise ValueError(
            f"{row[:60]!r}: expected eight whole numbers and a text, with commas between"
        ) from None
    return Piece(text, box)


def _name(file: str) -> str:
    return stem_of(file).rpartition("/")[2]
