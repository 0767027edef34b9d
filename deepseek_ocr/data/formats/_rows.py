"""One row of a user's dataset, with the usual names of its keys -> an annotation.

`train.json` itself is read strictly (`data.annotations`); here other keys are welcome. Their plain
values become attributes of the sample, for `--stratify_by`. A shape of row with other rules gives
its own `find_truth` and `find_regions`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ..annotations import Annotation, BoxFrame, Region, regions_from, weight_from
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..json_files.strict import json_type
from ..pages.embedded import PICTURE_KEYS, embedded_pictures, named_file
from ..pages.references import parse_reference
from ..problems import Problem
from ..truth.structures import Block
from ._kept import KEPT_KEY, fields_kept_in
from ._row_pictures import (
    BAD_PATH,
    WITHOUT_PICTURE,
    held_names_of,
    pictures_of,
    reference_of,
)
from ._turns import (
    SYSTEM_KEYS,
    TURN_KEYS,
    question_and_answer,
    system_prompt,
    turns_of,
    with_system,
)
from ._unusable import Unusable

TEXT_KEYS = (
    "text",
    "ground_truth",
    "groundtruth",
    "gt",
    "markdown",
    "transcription",
    "transcript",
    "answer",
    "response",
    "output",
    "target",
    "label",
    "caption",
    "latex",
    "formula",
)
IMAGE_KEYS = PICTURE_KEYS
PROMPT_KEYS = ("prompt", "question", "query", "instruction")
GROUP_KEYS = ("group", "document", "document_id", "doc_id")
LANG_KEYS = ("lang", "language")
NO_ATTRIBUTES = frozenset(("id", *TEXT_KEYS, *PICTURE_KEYS, *PROMPT_KEYS, *TURN_KEYS, KEPT_KEY))
USUAL_KEYS = frozenset(
    (
        *("id", "regions", "image_info", *TEXT_KEYS, *PICTURE_KEYS, *PROMPT_KEYS),
        *(*TURN_KEYS, *SYSTEM_KEYS, *GROUP_KEYS, *LANG_KEYS),
    )
)
"""Keys that may be written in capitals too."""
LONGEST_ATTRIBUTE = 200  # characters


class Truth(NamedTuple):
    """What a row asks (None: nothing of its own) and the true answer, as text and as blocks."""

    prompt: str | None
    text: str
    structure: tuple[Block, ...] = ()


class Boxes(NamedTuple):
    """The regions of a row, and the frame of their boxes."""

    regions: tuple[Region, ...] = ()
    frame: BoxFrame = "pixels"


FindTruth = Callable[[Mapping[str, Any]], Truth]
FindRegions = Callable[[Mapping[str, Any]], Boxes]
FindPictures = Callable[[Row, str, DatasetFolder], "tuple[str, ...] | None"]


class _Keys(NamedTuple):
    """Which keys of a row mean what, in the order in which they are asked."""

    text: tuple[str, ...]
    prompt: tuple[str, ...]
    group: tuple[str, ...]
    lang: tuple[str, ...]
    system: tuple[str, ...]
    attributes: tuple[str, ...]
    has_turns: bool


@functools.lru_cache(maxsize=1024)
def _meaning(keys: tuple[str, ...]) -> _Keys:
    """Rows of one file mostly have the same keys, so that this is rarely worked out."""
    present = frozenset(keys)

    def of(known: Sequence[str]) -> tuple[str, ...]:
        return tuple(key for key in known if key in present)

    return _Keys(
        text=of(TEXT_KEYS),
        prompt=of(PROMPT_KEYS),
        group=of(GROUP_KEYS),
        lang=of(LANG_KEYS),
        system=of(SYSTEM_KEYS),
        attributes=tuple(key for key in keys if key not in NO_ATTRIBUTES),
        has_turns=not present.isdisjoint(TURN_KEYS),
    )


def usual_truth(value: Mapping[str, Any]) -> Truth:
    """The text and the prompt under their usual keys, or a conversation where there is no text."""
    keys = _meaning(tuple(value))
    if keys.has_turns and all(value[key] is None for key in keys.text):
        turns = turns_of(value)
        if turns is not None:
            return Truth(*question_and_answer(value, turns))
    return Truth(usual_prompt(value), _text(value, keys.text))


def usual_prompt(value: Mapping[str, Any]) -> str | None:
    """The prompt under its usual keys, behind what the system says; None without one."""
    keys = _meaning(tuple(value))
    prompt = _plain(value, keys.prompt) if keys.prompt else None
    if prompt and keys.system:
        return with_system([system_prompt(value)], prompt)
    return prompt


def turns_truth(value: Mapping[str, Any]) -> Truth:
    """The question and the answer of a conversation."""
    truth = Truth(*question_and_answer(value, turns_of(value)))
    text = value.get("text")
    if isinstance(text, str) and text != truth.text:
        reason = "'text' and the answer of the conversation differ; keep one of them"
        raise Unusable("ambiguous annotation", reason)
    return truth


def usual_regions(value: Mapping[str, Any]) -> Boxes:
    """The list under `regions`."""
    rows = value.get("regions")
    if not rows:
        return Boxes()
    try:
        named = [_usual_keys(row) for row in rows] if isinstance(rows, list) else rows
        regions = regions_from(named)
        for region in regions if KEPT_KEY not in value else ():  # this project wrote those
            _check_pixels(region.box)
        return Boxes(regions)
    except (ValueError, TypeError) as error:
        raise Unusable("region", str(error)) from None


def _check_pixels(box: Sequence[float]) -> None:
    """Raises ValueError for a box within the first pixel of its page, which shows nothing."""
    if any(box) and all(0 <= side <= 1 for side in box):
        shown = ", ".join(f"{side:g}" for side in box)
        reason = f"the box [{shown}] looks like shares of the page's sides; expected pixels"
        raise ValueError(f"{reason}: multiply by width and height")


def usual_pictures(row: Row, file: str, folder: DatasetFolder) -> tuple[str, ...]:
    """The pictures of a row that must have a key for them (`[]`: text only)."""
    found = pictures_of(row, file, folder)
    if found is None and not _meaning(tuple(row.value)).has_turns:
        reason = (
            f"no picture is named; expected a key 'image' or 'images' ({', '.join(PICTURE_KEYS)}), "
            f"found {_keys_shown(row.value)}"
        )
        raise Unusable(WITHOUT_PICTURE, reason)
    return found or ()


def pictures_if_any(row: Row, file: str, folder: DatasetFolder) -> tuple[str, ...]:
    """The pictures of a row that may as well be text only."""
    return pictures_of(row, file, folder) or ()


def annotation_of(
    row: Row,
    file: str,
    folder: DatasetFolder,
    pictures: Sequence[str] | None = None,
    *,
    find_truth: FindTruth = usual_truth,
    find_regions: FindRegions = usual_regions,
    find_pictures: FindPictures = usual_pictures,
) -> Iterable[Annotation | Problem]:
    """The sample in one row of `file`, or every problem of it.

    `pictures` are those that belong to the row by their name; without them the row names its own.
    """
    value = row.value
    try:
        if pictures is not None:
            images = _own_pictures(row, file, folder, pictures)
        else:
            images = find_pictures(row, file, folder) or ()
        truth = find_truth(value)
        boxes = find_regions(value)
        keys = _meaning(tuple(value))
        found = Annotation(
            id=_plain(value, ("id",)) or "",
            images=images,
            prompt=truth.prompt or "",
            text=truth.text,
            regions=boxes.regions,
            group=_plain(value, keys.group) if keys.group else None,
            lang=_plain(value, keys.lang) if keys.lang else None,
            source=f"{file}:{row.place}",
            weight=_weight(value) if "weight" in value else None,
            attributes=plain_values(value, keys.attributes) if keys.attributes else {},
            structure=truth.structure,
            box_frame=boxes.frame,
            held_names=held_names_of(row, images, file),
        )
        return (
            dataclasses.replace(found, **fields_kept_in(value)) if KEPT_KEY in value else found,
        )
    except Unusable:
        finders: list[Callable[[], Any]] = [
            lambda: (
                _own_pictures(row, file, folder, pictures)
                if pictures is not None
                else find_pictures(row, file, folder)
            ),
            lambda: find_truth(value),
            lambda: find_regions(value),
            *(lambda k=keys: _plain(value, k) for keys in (("id",), GROUP_KEYS, LANG_KEYS)),
            lambda: _weight(value),
            lambda: fields_kept_in(value),
        ]
        return list(_problems(finders, f"{file}:{row.place}"))


def _problems(finders: Iterable[Callable[[], Any]], source: str) -> Iterator[Problem]:
    """Whatever is wrong with a row, all of it."""
    for find in finders:
        try:
            find()
        except Unusable as error:
            yield Problem(kind=error.kind, source=source, reason=str(error))


def _own_pictures(
    row: Row, file: str, folder: DatasetFolder, pictures: Sequence[str]
) -> tuple[str, ...]:
    """Those of the row's name, unless it lists others itself under `images`."""
    if row.value.get("images"):
        return pictures_of(row, file, folder) or ()
    for picture in embedded_pictures(row.value):
        if name := named_file(picture):
            _check_note(name, file, folder, pictures)
    return tuple(pictures)


def _check_note(written: str, file: str, folder: DatasetFolder, pictures: Sequence[str]) -> None:
    """A sidecar's note of its picture's name: an old path will do, another picture will not."""
    files = [parse_reference(picture).path for picture in pictures]
    if re.split(r"[/\\]", written)[-1] in {PurePosixPath(path).name for path in files}:
        return
    try:
        reference = reference_of(written, file, folder)
    except Unusable as error:
        if error.kind == BAD_PATH:
            raise
        return  # the name of the scan that the picture was made from, perhaps
    reason = f"names {reference}, but lies beside {files[0]}; name the right one under 'images'"
    raise Unusable("ambiguous annotation", reason)


def _text(value: Mapping[str, Any], known: Sequence[str]) -> str:
    keys = [key for key in known if value[key] is not None]
    if keys and keys[0] == "text":
        keys = ["text"]
    if not keys:
        raise Unusable("no text", _no_text(value, known))
    for key in keys:
        if not isinstance(value[key], str):
            raise Unusable("no text", f"{key!r} is {json_type(value[key])}; expected a string")
    if len(keys) > 1 and len({value[key] for key in keys}) > 1:
        reason = f"{' and '.join(map(repr, keys))} differ; call the one to learn 'text'"
        raise Unusable("no text", reason)
    return value[keys[0]]


def _no_text(value: Mapping[str, Any], known: Sequence[str]) -> str:
    if known:
        return f"{known[0]!r} is null; expected a string"
    return f"no key 'text'; {_advice(value)} (docs/data_format.md lists the names that are known)"


def _advice(value: Mapping[str, Any]) -> str:
    for key in value:
        near = difflib.get_close_matches(key.lower(), TEXT_KEYS, 1)
        if near and key not in NO_ATTRIBUTES:
            return f"did you mean {near[0]!r} where {key!r} stands?"
    return f"found {_keys_shown(value)}"


def _keys_shown(value: Mapping[str, Any]) -> str:
    return ", ".join(list(value)[:8]) or "none"


def _usual_keys(region: Any) -> Any:
    if isinstance(region, dict) and "bbox" in region and "box" not in region:
        return {("box" if key == "bbox" else key): value for key, value in region.items()}
    return region


def _plain(value: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The value under the first of `keys` that is there, as a string."""
    for key in keys:
        found = value.get(key)
        if isinstance(found, str):
            return found
        if found is None:
            continue
        if isinstance(found, bool | list | dict | bytes):
            raise Unusable("bad value", f"{key!r} is {json_type(found)}; expected a string")
        return str(found)
    return None


def _weight(value: Mapping[str, Any]) -> float | None:
    """The number under `weight`; what else is there, such as that of a font, is an attribute."""
    found = value.get("weight")
    try:
        return weight_from(found) if isinstance(found, int | float) else None
    except ValueError as error:
        raise Unusable("bad value", str(error)) from None


def plain_values(value: Mapping[str, Any], keys: Iterable[str] | None = None) -> dict[str, str]:
    """The strings and numbers under `keys` (all, if not given) that are short enough to sort by."""
    found = {}
    for key in value if keys is None else keys:
        member = value[key]
        if isinstance(member, str | int):
            text = str(member)
            if len(text) <= LONGEST_ATTRIBUTE:
                found[key] = text
    return found
