"""One JSON object of a user's dataset, with the usual names of its keys -> an annotation.

`train.json` itself is read strictly (`data.annotations`); here other keys are welcome. Their plain
values become attributes of the sample, for `--stratify_by`.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ...errors import PageError
from ..annotations import Annotation, Region, regions_from
from ..folder import DatasetFolder
from ..json_rows import Row
from ..pages import split_reference
from ..problems import Problem
from ..strict_json import json_type

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
)
IMAGE_KEYS = (
    "images",
    "image",
    "image_path",
    "img",
    "img_path",
    "file_name",
    "filename",
    "picture",
    "path",
)
PROMPT_KEYS = ("prompt", "question", "query", "instruction")
GROUP_KEYS = ("group", "document", "document_id", "doc_id")
LANG_KEYS = ("lang", "language")
NO_ATTRIBUTES = frozenset(("id", *TEXT_KEYS, *IMAGE_KEYS, *PROMPT_KEYS))
TURN_KEYS = ("conversations", "messages", "conversation")
ASKING = frozenset({"human", "user"})
ANSWERING = frozenset({"gpt", "assistant", "model", "chatgpt"})


class _Unusable(ValueError):
    """Why a value of a row cannot be used, with the kind of problem it is."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


def annotation_of(
    row: Row, file: str, folder: DatasetFolder, pictures: Sequence[str] | None = None
) -> Iterator[Annotation | Problem]:
    """The sample in one row of `file`, or every problem of it.

    `pictures` are those that belong to the row by their name; without them the row names its own.
    """
    source = f"{file}:{row.place}"
    problems: list[Problem] = []

    def value(find: Any, *arguments: Any) -> Any:
        try:
            return find(row.value, *arguments)
        except _Unusable as error:
            problems.append(Problem(kind=error.kind, source=source, reason=str(error)))
            return None

    images = value(_images, file, folder, pictures)
    asked, text = value(_question_and_answer) or (None, "")
    regions = value(_regions)
    identity = value(_plain, ("id",))
    group, lang = value(_plain, GROUP_KEYS), value(_plain, LANG_KEYS)
    if problems:
        yield from problems
        return
    yield Annotation(
        id=identity or "",
        images=images,
        prompt=asked or "",
        text=text,
        regions=regions,
        group=group,
        lang=lang,
        source=source,
        attributes=_attributes(row.value),
    )


def image_paths(row: Mapping[str, Any]) -> list[str] | None:
    """The pictures that a row names, as written; None where it names none in a known way."""
    key = next((key for key in IMAGE_KEYS if row.get(key) is not None), None)
    if key is None:
        return None
    found = row[key] if isinstance(row[key], list) else [row[key]]
    return found if all(isinstance(image, str) for image in found) else None


def _images(
    row: Mapping[str, Any], file: str, folder: DatasetFolder, pictures: Sequence[str] | None
) -> tuple[str, ...]:
    named = image_paths(row)
    _check_one_list(row)
    if named is None:
        if pictures is not None:
            return tuple(pictures)
        reason = (
            f"no picture is named; expected a key 'image' or 'images' ({', '.join(IMAGE_KEYS)})"
        )
        raise _Unusable("annotation without picture", reason)
    if pictures is not None and not row.get("images"):
        for image in named:
            _check_note(image, file, folder, pictures)
        return tuple(pictures)
    return tuple(_reference(image, file, folder) for image in named)


def _check_one_list(row: Mapping[str, Any]) -> None:
    """Both `image` and `images` may be there, if nothing of them would be lost."""
    if row.get("image") is None or row.get("images") is None:
        return
    one, several = (v if isinstance(v, list) else [v] for v in (row["image"], row["images"]))
    if any(image not in several for image in one):
        reason = "'image' and 'images' name different pictures; keep 'images'"
        raise _Unusable("ambiguous annotation", reason)


def _check_note(written: str, file: str, folder: DatasetFolder, pictures: Sequence[str]) -> None:
    """A sidecar's note of its picture's name: an old path will do, another picture will not."""
    if re.split(r"[/\\]", written)[-1] in {PurePosixPath(picture).name for picture in pictures}:
        return
    try:
        reference = _reference(written, file, folder)
    except _Unusable as error:
        if error.kind == "bad path":
            raise
        return  # the name of the scan that the picture was made from, perhaps
    reason = f"names {reference}, but lies beside {pictures[0]}; name the right one under 'images'"
    raise _Unusable("ambiguous annotation", reason)


def _reference(written: str, file: str, folder: DatasetFolder) -> str:
    """A path as a row writes it -> relative to the root: from the row's own folder, or the root."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    climbs = ".." in written.split("/") and not written.startswith("/")
    reference = beside if climbs and not beside.startswith("..") else written
    try:
        path, _ = split_reference(reference)
    except PageError as error:
        raise _Unusable("bad path", str(error)) from None
    part = reference[len(path) :]
    plain = PurePosixPath(path)
    from_file = [] if climbs else [str(PurePosixPath(file).parent / plain)]
    for candidate in (*from_file, str(plain)):
        if candidate in folder.names or folder.path(candidate).exists():
            return candidate + part
    advice = "write / in place of \\" if "\\" in written else "add it or remove the row"
    reason = f"the picture {written} does not exist below the data root; {advice}"
    raise _Unusable("annotation without picture", reason)


def _question_and_answer(row: Mapping[str, Any]) -> tuple[str | None, str]:
    turns = next((row[key] for key in TURN_KEYS if row.get(key) is not None), None)
    if turns is not None and not any(row.get(key) is not None for key in TEXT_KEYS):
        return _one_turn(turns)
    return _plain(row, PROMPT_KEYS), _text(row)


def _text(row: Mapping[str, Any]) -> str:
    keys = [key for key in TEXT_KEYS if row.get(key) is not None]
    if not keys:
        empty = next((key for key in TEXT_KEYS if key in row), None)
        if empty:
            raise _Unusable("no text", f"{empty!r} is null; expected a string")
        reason = (
            f"no key 'text'; {_advice(row)} (docs/data_format.md lists the names that are known)"
        )
        raise _Unusable("no text", reason)
    for key in ["text"] if "text" in keys else keys:
        if not isinstance(row[key], str):
            raise _Unusable("no text", f"{key!r} is {json_type(row[key])}; expected a string")
    if "text" in keys:
        return row["text"]
    if len({row[key] for key in keys}) > 1:
        reason = f"{' and '.join(map(repr, keys))} differ; call the one to learn 'text'"
        raise _Unusable("no text", reason)
    return row[keys[0]]


def _advice(row: Mapping[str, Any]) -> str:
    for key in row:
        near = difflib.get_close_matches(key.lower(), TEXT_KEYS, 1)
        if near and key not in NO_ATTRIBUTES:
            return f"did you mean {near[0]!r} where {key!r} stands?"
    return f"found {', '.join(list(row)[:8]) or 'none'}"


def _one_turn(turns: Any) -> tuple[str | None, str]:
    """A conversation of one question and one answer; later turns are refused."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _Unusable("conversation", "a conversation: expected a list of objects")
    said: list[tuple[str, str]] = []
    for turn in turns:
        role = str(turn.get("from", turn.get("role", ""))).lower()
        content = turn.get("value", turn.get("content"))
        if not isinstance(content, str):
            raise _Unusable(
                "conversation", "a turn of a conversation: expected its text as a string"
            )
        said.append((role, content))
    roles = [role for role, _ in said]
    if sum(role in ANSWERING for role in roles) > 1 or sum(role in ASKING for role in roles) > 1:
        reason = (
            "a conversation's later turns are not supported; expected one question and one answer"
        )
        raise _Unusable("conversation", reason)
    if len(said) != 2 or roles[0] not in ASKING or roles[1] not in ANSWERING:
        found = ", ".join(roles) or "no turns"
        reason = (
            f"a conversation of {found}; expected a turn of the user, then one of the assistant"
        )
        raise _Unusable("conversation", reason)
    return said[0][1], said[1][1]


def _regions(row: Mapping[str, Any]) -> tuple[Region, ...]:
    try:
        return regions_from([_usual_keys(region) for region in row.get("regions") or []])
    except (ValueError, TypeError) as error:
        raise _Unusable("region", str(error)) from None


def _usual_keys(region: Any) -> Any:
    if isinstance(region, dict) and "bbox" in region and "box" not in region:
        return {("box" if key == "bbox" else key): value for key, value in region.items()}
    return region


def _plain(row: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The value under the first of `keys` that is there, as a string."""
    for key in keys:
        value = row.get(key)
        if value is None:
            continue
        if isinstance(value, bool | list | dict):
            raise _Unusable("bad value", f"{key!r} is {json_type(value)}; expected a string")
        return str(value)
    return None


def _attributes(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: str(value)
        for key, value in row.items()
        if key not in NO_ATTRIBUTES and isinstance(value, str | int) and len(str(value)) <= 200
    }
