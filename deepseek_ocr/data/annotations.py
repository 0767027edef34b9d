"""The inner record of every dataset: which pictures, which prompt, which text.

A split writes them as a JSON array, one object a line (`train.json`, `test.json`), so that an error
can name `file:line` and a row can be looked at with `sed`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ..errors import AnnotationError, PageError
from ..files import replacing
from .json_files.rows import Row, first_character, read_array, read_lines
from .json_files.strict import json_type
from .pages.loading import reference_path, split_reference
from .problems import Problem
from .truth.structures import Block

IMAGE_TOKEN = "<image>"
BEGIN_TOKEN = "<｜begin▁of▁sentence｜>"
END_TOKEN = "<｜end▁of▁sentence｜>"

REQUIRED_KEYS = ("id", "images", "prompt", "text")
OPTIONAL_KEYS = ("regions", "group", "lang", "source", "weight")
REGION_KEYS = ("label", "box", "text", "image")

_encode = json.JSONEncoder(ensure_ascii=False).encode

BoxFrame = Literal["pixels", "shares", "thousandths", "points"]
"""How a reader gives boxes: pixels of the page as `load_page` gives it (the only one written);
shares of its sides, 0 to 1; thousandths of its sides, 0 to 1000; or PDF points, 72 an inch, from
the lower left corner, so that y1 of a box is its lower side."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A labelled part of a page: `box` is (x1, y1, x2, y2) in pixels of picture number `image`."""

    label: str
    box: tuple[float, float, float, float]
    text: str = ""
    image: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One sample: its pictures, what is asked of them, and the true answer, as written.

    `images` are paths relative to the data root, or parts of a file (`f.pdf#page=3`); empty for
    text only. `source` is the `file:line` it was read from; `group` the document it belongs to;
    `weight` how much its tokens count in training, where that is not 1.

    Not written: `attributes`, the other plain values of the row it was read from (for
    `--stratify_by`); `structure`, the truth as blocks where the format tells them; `box_frame`, the
    frame of the boxes as read; `has_box_marks`, whether each `<bbox>` in the prompt and the text
    stands for the next of the regions, to be written out once the sizes of the pages are known;
    `also_read`, further annotation files that it was made from; `held_names`, by reference, the
    paths that pictures within the row are said to have had. A reader may name all pages of a file
    with `f.pdf#page=*`.
    """

    id: str
    images: tuple[str, ...]
    prompt: str
    text: str
    regions: tuple[Region, ...] = ()
    group: str | None = None
    lang: str | None = None
    source: str | None = None
    weight: float | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    structure: tuple[Block, ...] = dataclasses.field(default=(), compare=False)
    box_frame: BoxFrame = "pixels"
    also_read: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    has_box_marks: bool = dataclasses.field(default=False, compare=False)
    held_names: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The object written to `train.json`; empty optional fields are left out."""
        row: dict[str, Any] = {
            "id": self.id,
            "images": list(self.images),
            "prompt": self.prompt,
            "text": self.text,
        }
        if self.regions:
            row["regions"] = [dataclasses.asdict(r) | {"box": list(r.box)} for r in self.regions]
        for key in ("group", "lang", "source", "weight"):
            if getattr(self, key) is not None:
                row[key] = getattr(self, key)
        return row


def write_annotations(path: Path, annotations: Iterable[Annotation]) -> None:
    """Write a JSON array, one object a line, whole or not at all."""
    with annotation_file(path) as write:
        for annotation in annotations:
            write(annotation)


@contextlib.contextmanager
def annotation_file(path: Path) -> Iterator[Callable[[Annotation], None]]:
    """A function that writes a row more; when the block ends well the array takes its place.

    Half a surrogate pair, which UTF-8 cannot hold, becomes `\\ud800`: in JSON the same text.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        separators = itertools.chain(["[\n"], itertools.repeat(",\n"))

        def write(annotation: Annotation) -> None:
            file.write(next(separators) + _encode(annotation.to_json()))

        yield write
        file.write("[]\n" if next(separators) == "[\n" else "\n]\n")


def read_annotations(path: Path, data_root: Path | None = None) -> list[Annotation]:
    """The rows of a `train.json` or `test.json` (JSON array or JSONL), every one checked.

    With `data_root`, each file that a row names must exist below it.

    Raises:
        AnnotationError: the first bad row as `file:line: reason`, with the number of all bad rows;
            an empty file; a picture that is not below `data_root`.
    """
    path = Path(path)
    annotations: list[Annotation] = []
    problems: list[Problem] = []
    lines: dict[str, str] = {}  # id -> where
    for row in rows_of(path):
        if isinstance(row, Problem):
            problems.append(row)
            continue
        try:
            annotation = annotation_from(row.value)
            if annotation.id in lines:
                first = lines[annotation.id]
                raise ValueError(f"the id {annotation.id!r} is already that of line {first}")
        except ValueError as error:
            problems.append(Problem(kind="row", source=f"{path}:{row.place}", reason=str(error)))
        else:
            lines[annotation.id] = row.place
            annotations.append(annotation)
    if problems:
        others = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
        raise AnnotationError(f"{problems[0]}{others}")
    if not annotations:
        raise AnnotationError(f"{path}:1: holds no samples; expected at least one row")
    if data_root is not None:
        _check_pictures_exist(path, Path(data_root), annotations, lines)
    return annotations


def annotation_from(row: Mapping[str, Any]) -> Annotation:
    """An object of `train.json` -> its annotation.

    Raises:
        ValueError: a missing or unknown key, a value of the wrong type, or one of `find_faults`.
    """
    annotation = parse_annotation(row)
    for _, reason in find_faults(annotation):
        raise ValueError(reason)
    return annotation


def parse_annotation(row: Mapping[str, Any]) -> Annotation:
    """As `annotation_from`, without asking for `find_faults`.

    Raises:
        ValueError: a missing or unknown key, or a value of the wrong type.
    """
    for key in row:
        _known(key, REQUIRED_KEYS + OPTIONAL_KEYS)
    for key in REQUIRED_KEYS:
        if key not in row:
            raise ValueError(f"no {key!r}; expected the keys {', '.join(REQUIRED_KEYS)}")
    images = row["images"]
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise ValueError("'images': expected a list of strings")
    annotation = Annotation(
        id=_string(row, "id"),
        images=tuple(images),
        prompt=_string(row, "prompt"),
        text=_string(row, "text"),
        regions=regions_from(row.get("regions") or []),
        group=_optional_string(row, "group"),
        lang=_optional_string(row, "lang"),
        source=_optional_string(row, "source"),
        weight=weight_from(row.get("weight")),
    )
    if not annotation.id:
        raise ValueError("'id' is empty; expected a name for the sample")
    return annotation


def regions_from(rows: Any) -> tuple[Region, ...]:
    """The list under `regions` -> regions.

    Raises:
        ValueError: what is wrong with the first region that cannot be used.
    """
    if not isinstance(rows, list):
        raise ValueError(f"'regions': expected a list, found {json_type(rows)}")
    return tuple(_region_from(row) for row in rows)


def weight_from(value: Any) -> float | None:
    """The value under `weight` -> the weight; None where there is none.

    Raises:
        ValueError: it is no finite number above 0.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= sys.float_info.max:  # false for NaN
        found = value if is_number and abs(value) < 1e9 else json_type(value)
        raise ValueError(f"'weight': expected a finite number above 0, found {found}")
    return float(value)


def find_faults(annotation: Annotation) -> Iterator[tuple[str, str]]:
    """What makes a sample unusable, as (kind, reason): asked of every row, wherever it is from."""
    if not annotation.text.strip():
        yield "empty text", "the text is empty; expected what the pictures say"
    if "\0" in annotation.text:
        yield "bad value", "a null character stands in the text; remove it"
    for token in (IMAGE_TOKEN, BEGIN_TOKEN, END_TOKEN):
        if token in annotation.text:
            yield "special token", f"the special token {token} stands in the text; remove it"
    for token in (BEGIN_TOKEN, END_TOKEN):
        if token in annotation.prompt:
            yield "special token", f"the special token {token} stands in the prompt; remove it"
    found, expected = annotation.prompt.count(IMAGE_TOKEN), len(annotation.images)
    if found != expected:
        reason = (
            f"the prompt has {found} {IMAGE_TOKEN} for {expected} pictures; expected one for each"
        )
        yield "prompt", reason
    for reference in annotation.images:
        try:
            split_reference(reference)
        except PageError as error:
            yield "bad path", str(error)
    for region in annotation.regions:
        if not 0 <= region.image < expected:
            yield (
                "region",
                f"a region of picture {region.image}; pictures count from 0 to {expected - 1}",
            )


def rows_of(path: Path) -> Iterator[Row | Problem]:
    """The objects of a JSON array or of JSONL, as they are.

    Raises:
        AnnotationError: there is no such file, or it cannot be opened.
    """
    try:
        is_array = first_character(path) == "[" or path.suffix.lower() == ".json"
    except OSError as error:
        advice = "expected a file that data_utils.py has written"
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    yield from (read_array if is_array else read_lines)(path, str(path))


def _check_pictures_exist(
    path: Path, data_root: Path, annotations: list[Annotation], lines: Mapping[str, str]
) -> None:
    checked: dict[str, str] = {}  # file -> what is wrong with it, or ""
    first = ""
    for annotation in annotations:
        for reference in annotation.images:
            file, _ = split_reference(reference)
            if file not in checked:
                try:
                    reference_path(data_root, reference)
                    checked[file] = ""
                except PageError as error:
                    checked[file] = str(error)
                    first = first or f"{path}:{lines[annotation.id]}: {error}"
    missing = sum(bool(reason) for reason in checked.values())
    if missing:
        raise AnnotationError(
            f"{first} ({missing} of {len(checked)} files cannot be used)\n"
            f"Was the file written for another --data_root than {data_root}?"
        )


def _region_from(row: Any) -> Region:
    if not isinstance(row, dict):
        raise ValueError(f"'regions': expected objects, found {json_type(row)}")
    for key in row:
        _known(key, REGION_KEYS)
    box = row.get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_coordinate(side) for side in box):
        raise ValueError("'box' of a region: expected four numbers [x1, y1, x2, y2] in pixels")
    if box[0] > box[2] or box[1] > box[3]:
        raise ValueError(
            f"'box' of a region: {box} ends before it begins; expected x1 <= x2, y1 <= y2"
        )
    image = row.get("image", 0)
    if not isinstance(image, int) or isinstance(image, bool):
        raise ValueError(f"'image' of a region: expected a number from 0, found {json_type(image)}")
    label = row.get("label", "")
    text = row.get("text") or ""
    if not isinstance(label, str) or not isinstance(text, str):
        raise ValueError("'label' and 'text' of a region: expected strings")
    x1, y1, x2, y2 = box
    return Region(label=label, box=(x1, y1, x2, y2), text=text, image=image)


def _is_coordinate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9  # false for NaN; a picture has fewer pixels a side


def _known(key: str, keys: tuple[str, ...]) -> None:
    if key not in keys:
        near = difflib.get_close_matches(key, keys, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(keys)}"
        raise ValueError(f"unknown key {key!r}; {advice}")


def _string(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(row[key], str):
        raise ValueError(f"{key!r}: expected a string, found {json_type(row[key])}")
    return row[key]


def _optional_string(row: Mapping[str, Any], key: str) -> str | None:
    return None if row.get(key) is None else _string(row, key)
