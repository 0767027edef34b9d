"""The pictures of a row that carries them within itself.

A row is an object of JSON, or a row of parquet or arrow as Python values. Beside names of files it
may hold pictures as data URLs, as base64 or as bytes. A reference such as `f.jsonl#line=7&image=2`
names the second of `embedded_pictures(row)`; files that the row names count there too.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

Picture: TypeAlias = str | bytes | Mapping[str, Any]
"""A path, URL, data URL or base64; the bytes of a file; or `{"bytes": ..., "path": ...}`."""

PICTURE_KEYS = (
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
TURN_KEYS = ("messages", "conversations", "conversation")
_KEYS = frozenset((*PICTURE_KEYS, *TURN_KEYS, "image_info"))
INSIDE_PART = ("image_url", "image", "source", "input_image", "url", "path", "base64", "data")
"""Keys under which a part of a turn's content holds its picture."""

_BEGINS_A_PICTURE = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkq", "TU0A")
"""Base64 of the first bytes of PNG, JPEG, GIF, WEBP and TIFF files."""
_SHORTEST_BASE64 = 64  # characters; the smallest pictures have more, and few paths
_BLANKS = re.compile(r"\s+")


def embedded_pictures(row: Mapping[str, Any]) -> list[Picture]:
    """All pictures of a row, in the order in which `image=1`, `image=2`, ... name them.

    First those under the first of `PICTURE_KEYS` that has any; then those within the turns of a
    conversation (`images` of a turn, then the parts of its content), then those of `image_info`. A
    row that has none of these: the values that are pictures by themselves, in the order of keys.
    """
    found = next((some for key in PICTURE_KEYS if (some := list(_pictures(row.get(key))))), [])
    for key in TURN_KEYS:
        for turn in _mappings(row.get(key)):
            found.extend(_of_turn(turn))
    for part in _mappings(row.get("image_info")):
        found.extend(_of_part(part))
    return found or [
        picture for value in row.values() for picture in _pictures(value) if is_embedded(picture)
    ]


def in_usual_case(row: Mapping[str, Any], known: Set[str] = _KEYS) -> Mapping[str, Any]:
    """The row with `Image` or `IMAGE` called `image`, as are other `known` keys, unless two keys
    would be called the same."""
    renamed = _renamed(tuple(row), frozenset(known))
    return {renamed.get(key, key): value for key, value in row.items()} if renamed else row


@functools.lru_cache(maxsize=1024)
def _renamed(keys: tuple[str, ...], known: frozenset[str]) -> Mapping[str, str]:
    """Rows of one file mostly have the same keys, so that this is rarely worked out."""
    counts = Counter(key.lower() for key in keys)
    return {
        key: key.lower()
        for key in keys
        if key not in known and key.lower() in known and counts[key.lower()] == 1
    }


def is_embedded(picture: Picture) -> bool:
    """Whether the picture itself is there, not the name of a file or an address."""
    if isinstance(picture, str):
        if picture[:5].lower() == "data:":
            return True
        starts = len(picture) >= _SHORTEST_BASE64 and picture.startswith(_BEGINS_A_PICTURE)
        return starts and "." not in picture[-6:]  # a path would have an ending there
    return isinstance(picture, bytes) or picture.get("bytes") is not None


def named_file(picture: Picture) -> str | None:
    """The path or address that a picture is named by; None where the picture itself is there."""
    if is_embedded(picture):
        return None
    path = picture if isinstance(picture, str) else picture.get("path")  # type: ignore[union-attr]
    return path if isinstance(path, str) else None


def picture_bytes(picture: Picture) -> bytes:
    """The file's bytes of a picture for which `is_embedded` holds.

    Raises:
        ValueError: it is not there, or is neither bytes nor valid base64.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str):
        return _from_url(picture) if picture[:5].lower() == "data:" else _from_base64(picture)
    held = picture.get("bytes")
    if not isinstance(held, str | bytes) or not held:
        raise ValueError('no picture there; expected a data URL or {"bytes": ...}')
    return picture_bytes(held)


def _pictures(value: Any) -> Iterator[Picture]:
    """The pictures in a value: one, or a list of them."""
    for member in value if isinstance(value, list | tuple) else (value,):
        picture = _unwrapped(member)
        if picture is not None:
            yield picture


def _unwrapped(value: Any) -> Picture | None:
    """A picture out of the ways to write one: a string, bytes, or an object around either."""
    if isinstance(value, str | bytes):
        return value or None
    if not isinstance(value, Mapping):
        return None
    if value.get("bytes") is not None or isinstance(value.get("path"), str):
        return value
    for key in ("base64", "data"):
        if isinstance(value.get(key), str | bytes):
            return {"bytes": value[key]}
    address = value.get("url", value.get("image_url"))
    return address if isinstance(address, str) and address else None


def _of_turn(turn: Mapping[str, Any]) -> Iterator[Picture]:
    yield from _pictures(turn.get("images"))
    for part in _mappings(turn.get("content", turn.get("value"))):
        if part.get("type") != "text":
            yield from _of_part(part)


def _of_part(part: Mapping[str, Any]) -> Iterator[Picture]:
    """The picture of one part; none in `{"type": "image"}`, which stands for one listed above."""
    for key in INSIDE_PART:
        if part.get(key) is not None:
            wrapped = {key: part[key]} if key in ("base64", "data") else part[key]
            yield from _pictures(wrapped)
            return
    if part.get("bytes") is not None:
        yield part


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    members = value if isinstance(value, list | tuple) else ()
    return [member for member in members if isinstance(member, Mapping)]


def _from_url(url: str) -> bytes:
    header, comma, content = url.partition(",")
    if not comma:
        raise ValueError("a data URL without a comma; expected data:image/png;base64,...")
    if ";base64" not in header.lower():
        return unquote_to_bytes(content)
    return _from_base64(content)


def _from_base64(text: str) -> bytes:
    if "%" in text:  # as some write data URLs
        text = unquote_to_bytes(text).decode("latin-1")
    plain = _BLANKS.sub("", text).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the picture is not valid base64; write it again") from None
