"""Pictures that an annotation file names by a path."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from ..folder import DatasetFolder
from ..pages.references import split_reference
from ..problems import Problem, without_annotation
from ._row_pictures import reference_of


class NamedPictures:
    """Finds the pictures that annotations name, and remembers which no annotation named.

    `also_in` are folders beside an annotation file in which its pictures may lie.
    """

    def __init__(self, folder: DatasetFolder, also_in: Sequence[str] = ()):
        self._folder = folder
        self._also_in = also_in
        self._never_named = set(folder.pictures)

    def find(self, written: str, file: str) -> str:
        """As `find_picture`."""
        found = find_picture(self._folder, written, file, self._also_in)
        self._never_named.discard(split_reference(found)[0])
        return found

    def without_annotation(self, files: Sequence[str]) -> Iterator[Problem]:
        """The pictures that no annotation in `files` named, after all were read."""
        for picture in self._folder.pictures if self._never_named else ():
            if picture in self._never_named:
                shown = ", ".join(files[:3])
                reason = f"no row of {shown} names this picture; add a row or remove it"
                yield without_annotation(picture, reason)


def find_picture(
    folder: DatasetFolder, written: str, file: str, also_in: Sequence[str] = ()
) -> str:
    """The picture that `written` in `file` names -> its reference.

    From the file's own folder or the root, or from folders `also_in` there; a path may begin with
    the name of the folder it starts from, as PPOCRLabel writes it.

    Raises:
        Unusable: there is none, or the path leads out of the root.
    """
    place = posixpath.dirname(file)
    beside = f"{place}/{written}" if place else written
    if beside in folder.names:  # nearly always
        return beside
    climbs = ".." in written.split("/")  # from where it was written, and from nowhere else
    below = ("",) if climbs else ("", *also_in)
    for candidate in _candidates(folder, written, place, below):
        if found := folder.named(candidate):
            return found
    return reference_of(written, file, folder)


def shallow_first(files: Iterable[str]) -> list[str]:
    """Files in the order of their depth: those that speak for a whole dataset lie at its top."""
    return sorted(files, key=lambda file: file.count("/"))


def _candidates(
    folder: DatasetFolder, written: str, place: str, below: Sequence[str]
) -> Iterator[str]:
    for start in (place, "") if place else ("",):
        yield from (posixpath.normpath(posixpath.join(start, sub, written)) for sub in below)
    first, _, rest = written.removeprefix("./").partition("/")
    if rest and first == posixpath.basename(place or folder.root.resolve().name):
        yield posixpath.normpath(posixpath.join(place, rest))
