"""The pictures that a row names or carries -> references.

A path starts from the row's own folder or from the root. A picture within the row itself (a data
URL, base64, bytes) is named by its place: `rows.jsonl#line=7&image=2` (`data.pages.embedded`).
"""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ...errors import PageError
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..json_files.strict import json_type
from ..pages.embedded import PICTURE_KEYS, TURN_KEYS, embedded_pictures, is_embedded, named_file
from ..pages.references import parse_reference, shown
from ._near_names import path_hint
from ._placed import part_of
from ._unusable import Unusable

WITHOUT_PICTURE = "annotation without picture"
BAD_PATH = "bad path"
LONGEST_SHOWN = 120  # characters of a path in a message
SHORTEST_EMBEDDED = 5  # characters: `data:`


def pictures_of(row: Row, file: str, folder: DatasetFolder) -> tuple[str, ...] | None:
    """References to all pictures of a row, in their order; None if it has no key for them.

    Raises:
        Unusable: the first picture that cannot be used.
    """
    value = row.value
    key = picture_key(value)
    if key:
        named = value[key]
        _check_one_list(value)
        names = named if type(named) is list else (named,)
        if all(map(_is_path, names)) and not _turns_hold_pictures(value):  # nearly always
            return tuple([reference_of(name, file, folder) for name in names])
        _check_all_are_pictures(key, names)
    pictures = embedded_pictures(value)
    if not key and not pictures:
        return None
    return tuple(
        f"{file}#{part_of(row)}&image={number}"
        if is_embedded(picture)
        else reference_of(named_file(picture) or "", file, folder)
        for number, picture in enumerate(pictures, 1)
    )


def held_names_of(row: Row, images: Sequence[str], file: str) -> dict[str, str]:
    """The paths that pictures within a row of `file` had, from the row's own folder.

    Of Hugging Face's `{"bytes": ..., "path": "scan_p1.png"}`, say; `images` are its `pictures_of`.
    """
    pictures = embedded_pictures(row.value) if any("image=" in image for image in images) else []
    found: dict[str, str] = {}
    for reference, picture in zip(images, pictures, strict=False):
        written = picture.get("path") if isinstance(picture, Mapping) else None
        if is_embedded(picture) and isinstance(written, str) and written.strip("/\\"):
            path = written.replace("\\", "/").lstrip("/")
            found[reference] = posixpath.join(posixpath.dirname(file), path)
    return found


def picture_key(value: Mapping[str, Any]) -> str | None:
    """The key under which a row has its pictures; those of a conversation need none."""
    for key in PICTURE_KEYS:
        if value.get(key) is not None:
            return key
    return None


def pictures_as_written(value: Mapping[str, Any], file: str) -> Iterator[str]:
    """The paths that a row of `file` names, from the root and from the row's own folder."""
    place = file.rpartition("/")[0]
    for picture in embedded_pictures(value):
        path = (named_file(picture) or "").split("#")[0].removeprefix("./")
        yield path
        yield posixpath.normpath(f"{place or '.'}/{path}")


def reference_of(written: str, file: str, folder: DatasetFolder) -> str:
    """A path as a row of `file` writes it -> relative to the root.

    Raises:
        Unusable: it is an address, or leads to no file below the root.
    """
    if "#" not in written:  # nearly always enough
        place = file.rpartition("/")[0]
        beside = f"{place}/{written}" if place else written
        if beside in folder.names:
            return beside
        if written in folder.names:
            return written
    return _searched_for(_without_scheme(written), file, folder)


def folder_of_pictures(written: str, file: str, folder: DatasetFolder) -> tuple[str, ...]:
    """The pictures right in a folder that a row names, in natural order; () if it is none."""
    inside = _pictures_by_folder(folder)
    place = file.rpartition("/")[0]
    for path in (posixpath.join(place, written), written):
        found = inside.get(posixpath.normpath(path))
        if found:
            return found
    return ()


def _is_path(name: Any) -> bool:
    return type(name) is str and (len(name) < SHORTEST_EMBEDDED or not is_embedded(name))


def _turns_hold_pictures(value: Mapping[str, Any]) -> bool:
    """Whether they may: contents that are no plain strings, or turns with `images` of their own."""
    if value.get("image_info") is not None:
        return True
    for key in TURN_KEYS:
        for turn in value.get(key) or ():
            if type(turn) is not dict or "images" in turn:
                return True
            content = turn.get("content", turn.get("value"))
            if content is not None and type(content) is not str:
                return True
    return False


def _check_all_are_pictures(key: str, named: Iterable[Any]) -> None:
    for member in named:
        if isinstance(member, str | bytes) or (isinstance(member, dict) and member):
            continue
        found = json_type(member)
        reason = f"{key!r} holds {found}; expected the path of a picture, or a list of paths"
        raise Unusable(WITHOUT_PICTURE, reason)


def _check_one_list(value: Mapping[str, Any]) -> None:
    """Both `image` and `images` may be there, if nothing of them would be lost."""
    if value.get("image") is None or value.get("images") is None:
        return
    one, several = (v if isinstance(v, list) else [v] for v in (value["image"], value["images"]))
    if any(image not in several for image in one):
        reason = "'image' and 'images' name different pictures; keep 'images'"
        raise Unusable("ambiguous annotation", reason)


def _without_scheme(written: str) -> str:
    """`file:///a/b.png` -> `/a/b.png`; other addresses are refused."""
    scheme, separator, _ = written.partition("://")
    if not separator or not scheme.isalnum():
        return written
    if scheme.lower() == "file":
        return unquote(urlsplit(written).path)
    reason = (
        f"the picture is at {clipped(written)}; nothing is fetched: download it and name the file"
    )
    raise Unusable("remote picture", reason)


def _searched_for(written: str, file: str, folder: DatasetFolder) -> str:
    written = _inside_root(written, folder)
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), written))
    climbs = ".." in written.split("/") and not written.startswith("/")
    reference = beside if climbs and not beside.startswith("..") else written
    try:
        path = parse_reference(reference).path
    except PageError as error:
        raise Unusable(BAD_PATH, clipped(str(error), 2 * LONGEST_SHOWN)) from None
    part = reference[len(path) :]
    plain = posixpath.normpath(path)
    from_file = [] if climbs else [posixpath.normpath(posixpath.join(*_place(file), plain))]
    for candidate in (*from_file, plain):
        found = folder.named(candidate) or (candidate if _exists(folder, candidate) else None)
        if found is not None:
            return found + part
    hints = (path_hint(candidate.replace("\\", "/"), folder) for candidate in (*from_file, plain))
    advice = next(filter(None, hints), "add it or remove the row")
    advice = "write / in place of \\" if "\\" in written else advice
    reason = f"the picture {clipped(written)} does not exist below the data root; {advice}"
    raise Unusable(WITHOUT_PICTURE, reason)


def _inside_root(written: str, folder: DatasetFolder) -> str:
    """An absolute path -> from the root, where it lies there."""
    if not written.startswith("/"):
        return written
    path = posixpath.normpath(written)
    for root in _roots(folder):
        if path.startswith(root):
            return path.removeprefix(root)
    parts = path.split("#")[0].strip("/").split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    known = next((tail for tail in tails if tail in folder.names), None)
    found = f"{known} lies there: write that" if known else "expected one relative to it"
    raise Unusable(BAD_PATH, f"{clipped(written)}: an absolute path outside the data root; {found}")


@functools.lru_cache(maxsize=4)
def _roots(folder: DatasetFolder) -> tuple[str, ...]:
    """The root as it was named and where links lead, each with a slash."""
    absolute = os.path.abspath(folder.root)  # noqa: PTH100  (Path.absolute keeps "..")
    return tuple(f"{root.rstrip('/')}/" for root in {absolute, str(folder.root.resolve())})


@functools.lru_cache(maxsize=1)
def _pictures_by_folder(folder: DatasetFolder) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for picture in folder.pictures:
        found.setdefault(posixpath.dirname(picture) or ".", []).append(picture)
    return {place: tuple(pictures) for place, pictures in found.items()}


def _place(file: str) -> tuple[str, ...]:
    return tuple(file.split("/")[:-1]) or ("",)


def _exists(folder: DatasetFolder, candidate: str) -> bool:
    try:
        return folder.path(candidate).exists()
    except (OSError, ValueError):  # a name too long for any file
        return False


def clipped(text: str, length: int = LONGEST_SHOWN) -> str:
    """A text of others for a message, cut where it is long."""
    text = shown(text)
    return text if len(text) <= length else f"{text[:length]}..."
