"""What a name that no file has may have meant: for messages, once something is missing."""

from __future__ import annotations

import functools
import posixpath
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from ..folder import ANNOTATION_SUFFIXES, CONVERT_IT, DatasetFolder, is_unread_picture, stem_of
from ..pages.loading import holds_pages
from ._sister_folders import ANNOTATION_FOLDERS, PICTURE_FOLDERS

_MOST_ENDINGS = 3  # `a.png.gt.txt` -> `a`


def picture_hint(file: str, folder: DatasetFolder) -> str:
    """What to do about an annotation file that has no picture of its name."""
    near = _near(file, folder)
    unread = next(filter(is_unread_picture, near), None)
    if unread is not None:
        return f"{unread} is of a kind that is not read; {CONVERT_IT}"
    picture = next(filter(holds_pages, near), None)
    if picture is None:
        return "add it or remove the annotation"
    return f"{picture} has that name, {_apart(picture, file)}"


def annotation_hint(picture: str, folder: DatasetFolder) -> str:
    """Behind `expected a .txt of the same name`: the files of other kinds that have it."""
    found = [f for f in _beside(picture, folder) if f.lower().endswith(ANNOTATION_SUFFIXES)]
    return f", not {' and '.join(found[:3])}: one folder is read in one format" if found else ""


def path_hint(path: str, folder: DatasetFolder) -> str | None:
    """The pictures that a row may have meant by a path that leads to none."""
    found = [f for f in _near(path, folder) if holds_pages(f) or is_unread_picture(f)]
    if not found:
        return None
    return f"{' and '.join(found[:3])} {'exists' if len(found) == 1 else 'exist'}: write that"


class _Index(NamedTuple):
    """All files without their ending, in small letters and composed: by path, and by name."""

    by_path: dict[str, list[str]]
    by_name: dict[str, list[str]]


@functools.lru_cache(maxsize=1)
def _index(folder: DatasetFolder) -> _Index:
    index = _Index({}, {})
    for file in folder.files:
        path = _folded(stem_of(file))
        index.by_path.setdefault(path, []).append(file)
        index.by_name.setdefault(posixpath.basename(path), []).append(file)
    return index


def _beside(path: str, folder: DatasetFolder) -> list[str]:
    """The other files that differ from a path in case, in composition or in the ending."""
    by_path = _index(folder).by_path
    return next((some for stem in _stems(path) if (some := _others(by_path, stem, path))), [])


def _near(path: str, folder: DatasetFolder) -> list[str]:
    """Those beside it, then those of its name in other folders."""
    by_name = _index(folder).by_name
    names = map(posixpath.basename, _stems(path))
    elsewhere = next((some for name in names if (some := _others(by_name, name, path))), [])
    return list(dict.fromkeys((*_beside(path, folder), *elsewhere)))


def _others(files: dict[str, list[str]], key: str, path: str) -> list[str]:
    return [file for file in files.get(key, ()) if file != path]


def _stems(path: str) -> Iterator[str]:
    """A path folded: as it is, then without one ending, without two."""
    stem = _folded(path)
    for _ in range(_MOST_ENDINGS + 1):
        yield stem
        shorter = stem_of(stem)
        if shorter == stem:
            return
        stem = shorter


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _apart(picture: str, file: str) -> str:
    """Why a picture and an annotation of one name do not belong together."""
    of_picture = _unknown(picture, PICTURE_FOLDERS)
    of_file = _unknown(file, ANNOTATION_FOLDERS)
    while of_picture and of_file and of_picture[0] == of_file[0]:
        del of_picture[0], of_file[0]
    if not of_picture and not of_file:
        return "but in other letters; give both files the same"
    known = "(docs/data_format.md lists those known)"
    if not of_file and len(of_picture) == 1:
        return f"but {of_picture[0]}/ is not a known folder of pictures; call it images {known}"
    if not of_picture and len(of_file) == 1:
        return f"but {of_file[0]}/ is not a known folder of annotations; call it labels {known}"
    return "but lies in another folder; put the two side by side"


def _unknown(file: str, known: frozenset[str]) -> list[str]:
    return [part for part in file.split("/")[:-1] if part.lower() not in known]
