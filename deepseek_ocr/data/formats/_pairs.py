"""Pictures and PDFs, and the annotation files that belong to them by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..folder import DatasetFolder, stem_of
from ..problems import Problem, without_annotation
from ._near_names import annotation_hint, picture_hint
from ._sister_folders import ANNOTATION_FOLDERS, PICTURE_FOLDERS, key_of_stem, sister_key

DOCUMENT_SUFFIXES = (".pdf", ".tif", ".tiff")
"""Files of many pages, all of which one annotation is about."""


class Pair(NamedTuple):
    """An annotation file (None: there is none) and its pictures; `rivals` are further files that
    would annotate the same ones."""

    file: str | None
    pictures: tuple[str, ...]
    rivals: tuple[str, ...] = ()


def pair(
    folder: DatasetFolder, suffixes: Sequence[str], files: Iterable[str] | None = None
) -> Iterator[Pair]:
    """The pairs of all pictures and all files with such suffixes, or those of them in `files`.

    A file belongs to the picture of its stem beside it, or in the sister folder: `images/a/1.png`
    and `labels/a/1.json`; accents may be composed in the one name and taken apart in the other.
    Two pictures of one stem, and two files of one picture, come together: the caller reports them.
    A PDF counts as a picture, unless a picture of its stem shows it or no PDF of the folder is
    annotated.
    """
    files = folder.with_suffix(*suffixes) if files is None else tuple(files)
    beside, sisters = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for file in files:
        stem = _without(file, suffixes)
        beside[stem].append(file)
        sisters[key_of_stem(stem, ANNOTATION_FOLDERS)].append(file)
    picture_stems = {stem_of(picture) for picture in folder.pictures}
    pictures: dict[str, list[str]] = {file: [] for file in files}
    suitors: dict[str, list[str]] = {}  # file -> those that would do for its first picture as well
    without: list[str] = []
    for picture in (*folder.pictures, *_pdfs(folder)):
        stem = stem_of(picture)
        found = [*beside.get(stem, ()), *beside.get(picture, ())]  # a.json, or a.png.json
        in_sisters = sisters.get(key_of_stem(stem, PICTURE_FOLDERS), [])
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
    pdfs_are_pages = any(_is_pdf(picture) for group in pictures.values() for picture in group)
    for picture in without:
        if pdfs_are_pages or not _is_pdf(picture):
            yield Pair(None, (picture,))


def paired_share(pairs: Iterable[Pair]) -> tuple[int, int]:
    """How many pictures and PDFs there are, and how many of them have an annotation: (2, 3)."""
    num_paired = num_pages = 0
    for file, pictures, _ in pairs:
        num_pages += len(pictures)
        num_paired += len(pictures) if file is not None else 0
    return num_paired, num_pages


def pages_of(picture: str) -> str:
    """The reference to all that a picture file shows: the pages of a PDF or TIFF, however many."""
    return f"{picture}#page=*" if picture.lower().endswith(DOCUMENT_SUFFIXES) else picture


def unpaired(
    file: str | None,
    pictures: tuple[str, ...],
    rivals: tuple[str, ...],
    expected: str,
    folder: DatasetFolder,
) -> Problem | None:
    """The problem of a pair that is none: a side is missing, or there are two of it."""
    if file is None:
        reason = f"no annotation for this picture; expected {expected} of the same name"
        reason += annotation_hint(pictures[0], folder)
        return without_annotation(pictures[0], reason)
    if not pictures:
        reason = f"no picture of the same name; {picture_hint(file, folder)}"
        return Problem(kind="annotation without picture", source=f"{file}:1", reason=reason)
    if len(pictures) > 1:
        reason = f"belongs to {' and '.join(pictures)} alike; keep one picture of that name"
        return Problem(kind="ambiguous annotation", source=f"{file}:1", reason=reason)
    if rivals:
        reason = f"annotates {pictures[0]}, as {' and '.join(rivals)} does; keep one of them"
        return Problem(kind="ambiguous annotation", source=f"{file}:1", reason=reason)
    return None


def _pdfs(folder: DatasetFolder) -> list[str]:
    """PDFs of which no picture shows a page: a picture of the same stem is the better page."""
    pdfs = folder.with_suffix(".pdf")
    if not pdfs:
        return []
    shown = {sister_key(picture, PICTURE_FOLDERS) for picture in folder.pictures}
    return [pdf for pdf in pdfs if sister_key(pdf, PICTURE_FOLDERS) not in shown]


def _is_pdf(picture: str) -> bool:
    return picture.lower().endswith(".pdf")


def _without(file: str, suffixes: Sequence[str]) -> str:
    longest = max((s for s in suffixes if file.lower().endswith(s)), key=len)
    return file[: -len(longest)]
