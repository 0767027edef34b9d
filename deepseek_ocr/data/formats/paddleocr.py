r"""`paddleocr`: text files with a picture and its annotation a line, a tab between them.

* recognition: `train/1.jpg<TAB>text`, or `["1.jpg", "2.jpg"]<TAB>text`, a sample each;
* detection: `page.jpg<TAB>[{"transcription": "text", "points": [[x, y], ...]}, ...]`, in pixels;
  for key information with `label` or `key_cls`, `id` and `linking`, as in XFUND.

Texts `###` and `*` stand for what nobody could read: they are left out, and their number is the
attribute `num_ignored`. Crops that PPOCRLabel made of a page (`crop_img/page_crop_0.jpg`) belong to
the page's document. https://paddlepaddle.github.io/PaddleOCR/
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Any

from ...pictures import SUFFIXES as PICTURE_SUFFIXES
from ..annotations import Annotation
from ..folder import DatasetFolder, stem_of
from ..json_files.strict import decode_whole
from ..json_files.text_lines import read_text_lines
from ..problems import CutShort, Problem
from ..splitting.grouping import document_of
from ..truth.structures import Fields
from ._detection import Detection
from ._forms import Part, labelled_fields, linked_fields, links_of
from ._json_pairs import text_in
from ._named import NamedPictures, shallow_first
from ._reading_order import box_around, reading_order, regions_of, text_of
from ._unusable import Unusable

NAME = "paddleocr"
SUFFIXES = (".txt",)
LOOKED_AT = 20  # lines of each file, and files

IGNORED = frozenset({"###", "*"})
PLACEHOLDERS = frozenset({"待识别", "TEMPORARY"})  # what PPOCRLabel writes into a new box
UNLABELLED = frozenset({"", "none", "other"})

_STATE_FILE = "filestate.txt"  # PPOCRLabel's list of the pages that were looked at
_EMPTY_LIST = re.compile(r"\s*\[\s*\]\s*")
_BEGIN_OF_BOXES = re.compile(r"\s*\[\s*\{")
_CROP = re.compile(r"(?P<place>.*/|)crop_img/(?P<stem>[^/]+)_crop_\d+\.\w+")


def detect(folder: DatasetFolder) -> Detection | None:
    num_lines = num_matching = 0
    matching: list[str] = []
    for file in shallow_first(folder.with_suffix(*SUFFIXES))[:LOOKED_AT]:
        lines = _first_texts(folder, file)
        matches = sum(map(_is_label, lines))
        if matches:  # other files may be anything
            num_lines, num_matching = num_lines + len(lines), num_matching + matches
            matching.append(file)
    if not matching:
        return None
    more = f" and {len(matching) - 1} more files" if len(matching) > 1 else ""
    reason = f"the lines of {matching[0]}{more} begin with a picture and a tab"
    return Detection(score=0.97 * num_matching / num_lines, reason=reason)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a picture, over all such files."""
    texts = folder.with_suffix(*SUFFIXES)
    files = [file for file in texts if _may_hold_labels(folder, file)]
    pictures = NamedPictures(folder)
    pages = {stem_of(picture): picture for picture in folder.pictures}
    all_read = True
    for file in files or texts:
        of_boxes = any(_holds_boxes(_value(line)) for line in _first_texts(folder, file))
        for line in read_text_lines(folder.path(file), file):
            if isinstance(line, Problem):
                all_read = all_read and not isinstance(line, CutShort)
                yield line
            elif line[1].strip():
                yield from _samples(*line, file, pictures, pages, of_boxes)
    if all_read:
        yield from pictures.without_annotation(files or texts)


def _may_hold_labels(folder: DatasetFolder, file: str) -> bool:
    """Whether a text file is read: for its labels, or to tell why it cannot be read."""
    lines = _first_lines(folder, file)
    return any(isinstance(line, Problem) or _is_label(line) for line in lines)


def _first_lines(folder: DatasetFolder, file: str) -> list[str | Problem]:
    if file.rpartition("/")[2].lower() == _STATE_FILE:
        return []
    lines = islice(read_text_lines(folder.path(file), file), LOOKED_AT)
    plain = (line if isinstance(line, Problem) else line[1] for line in lines)
    return [line for line in plain if isinstance(line, Problem) or line.strip()]


def _first_texts(folder: DatasetFolder, file: str) -> list[str]:
    return [line for line in _first_lines(folder, file) if isinstance(line, str)]


def _value(line: str) -> str:
    return line.partition("\t")[2]


def _holds_boxes(value: str, in_file_of_boxes: bool = False) -> bool:
    """Whether a value is meant as boxes, broken ones too. What only looks like them is a text;
    `[]` is a page without text in a file that has boxes of others."""
    if _EMPTY_LIST.fullmatch(value):
        return in_file_of_boxes
    if not _BEGIN_OF_BOXES.match(value):
        return False
    return '"transcription"' in value or _is_list_of_objects(value)


def _is_list_of_objects(value: str) -> bool:
    try:
        found = decode_whole(value)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(member, dict) for member in found)


def _is_label(line: str) -> bool:
    written, tab, _ = line.partition("\t")
    written = written.rstrip('"] ')  # of a list of pictures
    return bool(tab) and written.lower().endswith(PICTURE_SUFFIXES)


def _samples(
    number: int,
    line: str,
    file: str,
    pictures: NamedPictures,
    pages: dict[str, str],
    of_boxes: bool,
) -> Iterator[Annotation | Problem]:
    source = f"{file}:{number}"
    written, tab, value = line.partition("\t")
    if not tab:
        reason = f"{line[:60]!r}: expected a picture, a tab and its annotation"
        yield Problem(kind="bad line", source=source, reason=reason)
        return
    try:
        images = [pictures.find(name, file) for name in _names(written)]
        parts = _parts(value) if _holds_boxes(value, of_boxes) else None
    except Unusable as error:
        yield Problem(kind=error.kind, source=source, reason=str(error))
    except ValueError as error:
        yield Problem(kind="bad value", source=source, reason=str(error))
    else:
        for image in images:
            if parts is None:
                group = _document_of_crop(image, pages)
                yield Annotation(
                    id="", images=(image,), prompt="", text=value, group=group, source=source
                )
            else:
                yield _page(image, parts, source)


def _names(written: str) -> list[str]:
    """One picture, or the pictures of a list."""
    if not written.lstrip().startswith("["):
        return [written]
    names = decode_whole(written)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{written[:60]!r}: expected a picture, or a list of pictures")
    return names


def _page(image: str, parts: Sequence[Part], source: str) -> Annotation | Problem:
    legible = [part for part in parts if part.text not in IGNORED]
    num_ignored = len(parts) - len(legible)
    if parts and not legible:
        reason = (
            f"all {num_ignored} texts are ### or *, which nobody could read; leave the page out"
        )
        return Problem(kind="empty text", source=source, reason=reason)
    rows = reading_order(legible)
    fields = _fields([part for row in rows for part in row])
    return Annotation(
        id="",
        images=(image,),
        prompt="",
        text=text_of(rows),
        regions=regions_of(rows),
        source=source,
        attributes={"num_ignored": str(num_ignored)} if num_ignored else {},
        structure=(Fields(value=fields),) if fields else (),
    )


def _parts(value: str) -> list[Part]:
    """The boxes of a page.

    Raises:
        ValueError: what is wrong with the first that cannot be used.
    """
    boxes = decode_whole(value)
    found = []
    for number, box in enumerate(boxes, 1):
        try:
            found.append(_part(box, number))
        except ValueError as error:
            raise ValueError(f"box {number}: {error}") from None
    return found


def _part(box: Any, number: int) -> Part:
    if not isinstance(box, dict) or not isinstance(box.get("transcription"), str):
        raise ValueError("expected an object with 'transcription' and 'points'")
    text = box["transcription"]
    if text in PLACEHOLDERS:
        raise ValueError(f"{text} is what the tool writes before the text is known; write the text")
    identity: Hashable = box.get("id")
    if not isinstance(identity, int | str):
        identity = ("box", number)
    label = text_in(box, "key_cls") or text_in(box, "label")
    return Part(
        text,
        box_around(box.get("points")),
        "" if label.lower() == "none" else label,
        identity,
        links_of(box.get("linking")),
    )


def _fields(parts: Sequence[Part]) -> dict[str, Any]:
    """What is linked, of a form; else what has a label of its own."""
    kinds = {part.kind for part in parts}
    if "question" in kinds or "answer" in kinds:
        return linked_fields(parts)
    return labelled_fields(parts, UNLABELLED)


def _document_of_crop(image: str, pages: dict[str, str]) -> str | None:
    """The document of the page that a crop was cut from, if the page is there."""
    crop = _CROP.fullmatch(image)
    page = pages.get(crop["place"] + crop["stem"]) if crop else None
    return document_of(page) if page else None
