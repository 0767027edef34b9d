"""Pictures and the annotation files that belong to them by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..folder import DatasetFolder, stem_of
from ..problems import Problem, without_annotation

PICTURE_FOLDERS = frozenset({"images", "image", "img", "imgs", "pictures", "pages"})
ANNOTATION_FOLDERS = frozenset(
    {"annotations", "annotation", "labels", "label", "json", "txt", "text", "gt", "ground_truth"}
)


class Pair(NamedTuple):
    """An annotation file (None: there is none) and its pictures; `rivals` are further files that
    would annotate the same ones."""

    file: str | None
    pictures: tuple[str, ...]
    rivals: tuple[str, ...] = ()


def pair(folder: DatasetFolder, suffixes: Sequence[str]) -> Iterator[Pair]:
    """The pairs of all pictures and all files with such suffixes.

    A file belongs to the picture of its stem beside it, or in the sister folder: `images/a/1.png`
    and `labels/a/1.json`. Two pictures of one stem, and two files of one picture, come together:
    the caller reports them.
    """
    files = folder.with_suffix(*suffixes)
    beside, sisters = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for file in files:
        stem = _without(file, suffixes)
        beside[stem].append(file)
        sisters[_sister_key(stem, ANNOTATION_FOLDERS)].append(file)
    picture_stems = {stem_of(picture) for picture in folder.pictures}
    pictures: dict[str, list[str]] = {file: [] for file in files}
    suitors: dict[str, list[str]] = {}  # file -> those that would do for its first picture as well
    without: list[str] = []
    for picture in folder.pictures:
        stem = stem_of(picture)
        found = [*beside.get(stem, ()), *beside.get(picture, ())]  # a.json, or a.png.json
        in_sisters = sisters.get(_sister_key(stem, PICTURE_FOLDERS), [])
        found += sorted(in_sisters, key=lambda file: _without(file, suffixes) in picture_stems)
        if not found:
            without.append(picture)
            continue
        pictures[found[0]].append(picture)
        suitors.setdefault(found[0], found[1:])
    rivals = {  # a file that has a picture of its own is no rival
        file: tuple(dict.fromkeys(o for o in others if o != file and not pictures[o]))
        for file, others in suitors.items()
    }
    all_rivals = {rival for others in rivals.values() for rival in others}
    for file, group in pictures.items():
        if file not in all_rivals:
            yield Pair(file, tuple(group), rivals.get(file, ()))
    for picture in without:
        yield Pair(None, (picture,))


def unpaired(
    file: str | None, pictures: tuple[str, ...], rivals: tuple[str, ...], expected: str
) -> Problem | None:
    """The problem of a pair that is none: a side is missing, or there are two of it."""
    if file is None:
        reason = f"no annotation for this picture; expected {expected} of the same name"
        return without_annotation(pictures[0], reason)
    if not pictures:
        reason = "no picture of the same name; add it or remove the annotation"
        return Problem(kind="annotation without picture", source=f"{file}:1", reason=reason)
    if len(pictures) > 1:
        reason = f"belongs to {' and '.join(pictures)} alike; keep one picture of that name"
        return Problem(kind="ambiguous annotation", source=f"{file}:1", reason=reason)
    if rivals:
        reason = f"annotates {pictures[0]}, as {' and '.join(rivals)} does; keep one of them"
        return Problem(kind="ambiguous annotation", source=f"{file}:1", reason=reason)
    return None


def _without(file: str, suffixes: Sequence[str]) -> str:
    longest = max((s for s in suffixes if file.lower().endswith(s)), key=len)
    return file[: -len(longest)]


def _sister_key(stem: str, folders: frozenset[str]) -> str:
    *parts, name = stem.split("/")
    return "/".join([*(part for part in parts if part.lower() not in folders), name])
