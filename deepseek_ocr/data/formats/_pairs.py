"""Pictures and the annotation files that belong to them by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..folder import DatasetFolder, stem_of
from ..problems import Problem

PICTURE_FOLDERS = frozenset({"images", "image", "img", "imgs", "pictures", "pages"})
ANNOTATION_FOLDERS = frozenset(
    {"annotations", "annotation", "labels", "label", "json", "txt", "text", "gt", "ground_truth"}
)


def pair(
    folder: DatasetFolder, suffixes: Sequence[str]
) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """(annotation file or None, its pictures) for all pictures and all files with such suffixes.

    A file belongs to the picture of its stem beside it, or in the sister folder: `images/a/1.png`
    and `labels/a/1.json`. Two pictures of one stem come together: the caller reports them.
    """
    stems: dict[str, str] = {}
    for file in folder.with_suffix(*suffixes):
        stems[_without(file, suffixes)] = file
    sisters = {_sister_key(stem, ANNOTATION_FOLDERS): file for stem, file in stems.items()}
    pictures: dict[str, list[str]] = {file: [] for file in stems.values()}
    without: list[str] = []
    for picture in folder.pictures:
        stem = stem_of(picture)
        owner = stems.get(stem) or stems.get(picture)  # a.json, or a.png.json
        owner = owner or sisters.get(_sister_key(stem, PICTURE_FOLDERS))
        pictures.get(owner or "", without).append(picture)
    for file, group in pictures.items():
        yield file, tuple(group)
    for picture in without:
        yield None, (picture,)


def unpaired(file: str | None, pictures: tuple[str, ...], expected: str) -> Problem | None:
    """The problem of a pair that is none: a side is missing, or two pictures share a file."""
    if file is None:
        reason = f"no annotation for this picture; expected {expected} of the same name"
        return Problem(kind="picture without annotation", source=pictures[0], reason=reason)
    if not pictures:
        reason = "no picture of the same name; add it or remove the annotation"
        return Problem(kind="annotation without picture", source=f"{file}:1", reason=reason)
    if len(pictures) > 1:
        reason = f"belongs to {' and '.join(pictures)} alike; keep one picture of that name"
        return Problem(kind="ambiguous annotation", source=f"{file}:1", reason=reason)
    return None


def _without(file: str, suffixes: Sequence[str]) -> str:
    longest = max((s for s in suffixes if file.lower().endswith(s)), key=len)
    return file[: -len(longest)]


def _sister_key(stem: str, folders: frozenset[str]) -> str:
    *parts, name = stem.split("/")
    return "/".join([*(part for part in parts if part.lower() not in folders), name])
