"""Annotation files that name their picture inside them: finding it, and what is left over.

The name was written on another machine: its folders need not exist here, and the picture may have
been converted since (`.tif` to `.jpg`) or renamed together with its annotation.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..pages.references import split_reference
from ..problems import Problem, without_annotation
from ._unusable import Unusable

KIND_WORD = re.compile(
    "images?|imgs?|pictures?|pages?|scans?|photos?|jpe?g|png|tiff?|webp|pdfs?|originals?|orig?"
    "|master|annotations?|anno?|anns|labels?|gt|ground|truth|groundtruth|xml|alto|hocr|html|ocr|d"
    "|json|txt|texts?|transcriptions?|transcripts?|layout|seg|md|markdown"
)
"""A word of a folder's name that only tells what lies in it: `scans_vol2` and `alto_vol2` hold the
pictures and the annotations of the same volume, `vol1` and `vol2` do not."""

_KIND_ENDING = re.compile(r"[._-](alto|page|hocr|gt|ocr|ori)$", re.IGNORECASE)  # of `a.alto.xml`


class PictureFinder:
    """Finds the pictures and PDFs that annotation files name."""

    def __init__(self, folder: DatasetFolder):
        self._folder = folder
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for picture in (*folder.pictures, *folder.with_suffix(".pdf")):
            self._by_stem[_place_and_stem(picture)].append(picture)

    def find(self, file: str, written: str, *, own_name: bool = True) -> str:
        """The picture that `file` names as `written`: at that path, else by its name, else (with
        `own_name`) by the name of `file` itself; in the folder of `file` or one belonging to it.

        Raises:
            Unusable: none is found, or several that would do.
        """
        path = re.sub(r"^file:(//)?", "", written.strip()).replace("\\", "/")
        for name in dict.fromkeys((path, urllib.parse.unquote(path))):
            found = self._at_path(file, name) or self._by_name(file, name)
            if found is not None:
                return found
        found = self._by_name(file, file) if own_name else None
        if found is not None:
            return found
        named = f"the picture {written.strip()} does not exist below the data root"
        named = named if path else "no picture is named"
        called = f", and none is called as {posixpath.basename(file)}" if own_name else ""
        reason = f"{named}{called}; add it or remove the annotation"
        raise Unusable("annotation without picture", reason)

    def beside(self, file: str) -> list[str]:
        """The pictures that have the stem of `file`, in its folder or one that belongs to it."""
        return self._by_stem.get(_place_and_stem(file), [])

    def _at_path(self, file: str, name: str) -> str | None:
        """From the folder of `file`, or from a folder above it."""
        place = posixpath.dirname(file)
        while True:
            candidate = posixpath.normpath(posixpath.join(place, name))
            if candidate in self._folder.names and self._is_picture(candidate):
                return candidate
            if not place:
                return None
            place = posixpath.dirname(place)

    def _by_name(self, file: str, name: str) -> str | None:
        base = posixpath.basename(name)
        if not base:
            return None
        found = self.beside(posixpath.join(posixpath.dirname(file), base))
        for narrowed in (
            [p for p in found if _folded(posixpath.basename(p)) == _folded(base)],
            [p for p in found if posixpath.dirname(p) == posixpath.dirname(file)],
        ):
            found = narrowed or found
        if len(found) > 1:
            reason = f"{' and '.join(found[:3])} would all do for {base}; keep one of them"
            raise Unusable("ambiguous annotation", reason)
        return found[0] if found else None

    def _is_picture(self, candidate: str) -> bool:
        return candidate in self._by_stem.get(_place_and_stem(candidate), ())


def page_reference(picture: str, page: int, num_pages: int) -> str:
    """The reference to a page that an annotation file tells of: page number `page` of a PDF; of a
    TIFF where the file tells of `num_pages` > 1; else the picture itself."""
    name = picture.lower()
    if name.endswith(".pdf") or (num_pages > 1 and name.endswith((".tif", ".tiff"))):
        return f"{picture}#page={page}"
    return picture


def each_picture_once(
    folder: DatasetFolder,
    finder: PictureFinder,
    found: Iterable[Annotation | Problem],
    *,
    expected: str,
    other_pictures: Sequence[str] | set[str] = (),
) -> Iterator[Annotation | Problem]:
    """What a reader found, no page twice; then the pictures that no sample shows.

    `other_pictures` need no annotation, such as the copies of a page; they may grow meanwhile.
    `expected` names what annotates a picture.
    """
    owners: dict[str, str] = {}  # page -> the source of its sample
    named: set[str] = set()
    for sample in found:
        if isinstance(sample, Problem):
            named.update(finder.beside(sample.source.rpartition(":")[0]))
            yield sample
            continue
        source = sample.source or ""
        twice = next((page for page in sample.images if owners.get(page, source) != source), None)
        if twice is not None:
            reason = f"annotates {twice}, as {owners[twice]} does; keep one of them"
            yield Problem(kind="ambiguous annotation", source=source, reason=reason)
            continue
        owners.update(dict.fromkeys(sample.images, source))
        named.update(split_reference(image)[0] for image in sample.images)
        yield sample
    left_out = {*other_pictures, *named}
    for picture in folder.pictures:
        if picture not in left_out:
            yield without_annotation(picture, f"no {expected} names this picture; add one")


def _place_and_stem(file: str) -> str:
    *folders, name = file.split("/")
    stem = name.rpartition(".")[0] or name
    stem = _KIND_ENDING.sub("", stem) or stem
    kept = (re.split(r"[\s._-]+", _folded(folder)) for folder in folders)
    reduced = ("-".join(word for word in words if not KIND_WORD.fullmatch(word)) for words in kept)
    return "/".join([*(folder for folder in reduced if folder), _folded(stem)])


def _folded(name: str) -> str:
    """As file systems that ignore case and composition compare names."""
    return unicodedata.normalize("NFC", name).casefold()
