"""What decides on which side of a split a sample falls, as arrays: about 70 bytes a sample.

A sample is called by its *place*, from 0 in the order of the dataset. Names, texts and pictures
stand here as 64-bit hashes; of a million different ones two are equal once in forty million
datasets, and then they are kept on one side, which is never wrong.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from array import array
from collections.abc import Collection, Iterable

from ..checking.identity import hash64
from ..checking.spool import text_spool


@dataclasses.dataclass(frozen=True, slots=True)
class PictureMark:
    """A picture of a sample: how it is named, and what it shows.

    `fingerprint` is the same for two pictures if and only if they show the same bytes;
    `perceptual_hash` (64 bits) is near that of pictures that look alike, None for blank ones.
    """

    reference: str
    fingerprint: str
    perceptual_hash: int | None = None


class Links:
    """Which samples have which thing: parallel arrays of places and of the things' hashes."""

    def __init__(self) -> None:
        self.places = array("I")
        self.hashes = array("Q")

    def add(self, place: int, hash_: int) -> None:
        """Note that the sample at `place` has the thing."""
        self.places.append(place)
        self.hashes.append(hash_)


class PictureLinks(Links):
    """Pictures, in the order of samples and of pictures within them, by hash of their bytes.

    `references` are hashes of their names; `perceptual` holds 0 where `has_perceptual` is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.references = array("Q")
        self.perceptual = array("Q")
        self.has_perceptual = array("B")


class SampleColumns:
    """The samples of a dataset, one `add` after another.

    `documents`: the documents a sample belongs to, several where it shows pages of several;
    `names[document_names[i]]` is the name of `documents.hashes[i]`. `files`: files whose copies
    under other names are the same document. `text_lengths` counts characters of `comparable_text`.
    `strata[place]` is a place in `stratum_values`. Arrays must not be held while samples are added.
    """

    def __init__(self) -> None:
        self.documents = Links()
        self.document_names = array("I")
        self.names = text_spool()
        self.files = Links()
        self.pictures = PictureLinks()
        self.text_hashes = array("Q")
        self.text_lengths = array("I")
        self.strata = array("I")
        self.stratum_values: list[str] = []
        self._stratum_codes: dict[str, int] = {}
        self._last_name: tuple[int, int] | None = None  # hash of the last document and its name

    def __len__(self) -> int:
        return len(self.text_hashes)

    def add(
        self,
        *,
        documents: Collection[str],
        text: str,
        pictures: Iterable[PictureMark] = (),
        files: Iterable[str] = (),
        stratum: str = "",
    ) -> None:
        """Note the next sample: its documents (one at least) and its text as it will be learned.

        `files` are SHA-256 of the files that hold its pictures, where `grouping.joins_copies`.
        """
        assert documents
        place = len(self)
        for name in sorted(documents):
            self._add_document(place, name)
        for file in files:
            self.files.add(place, hash64(file))
        for picture in pictures:
            self._add_picture(place, picture)
        compared = comparable_text(text)
        self.text_hashes.append(hash64(compared))
        self.text_lengths.append(len(compared))
        self.strata.append(self._code_of(stratum))

    def close(self) -> None:
        """Give the disk space of the names back."""
        self.names.close()

    def _add_document(self, place: int, name: str) -> None:
        found = hash64(name)
        self.documents.add(place, found)
        if self._last_name is None or self._last_name[0] != found:  # pages lie side by side
            self._last_name = found, len(self.names)
            self.names.append(name)
        self.document_names.append(self._last_name[1])

    def _add_picture(self, place: int, picture: PictureMark) -> None:
        links = self.pictures
        links.add(place, hash64(picture.fingerprint))
        links.references.append(hash64(picture.reference))
        links.perceptual.append(picture.perceptual_hash or 0)
        links.has_perceptual.append(picture.perceptual_hash is not None)

    def _code_of(self, stratum: str) -> int:
        code = self._stratum_codes.get(stratum)
        if code is None:
            code = self._stratum_codes[stratum] = len(self.stratum_values)
            self.stratum_values.append(stratum)
        return code


def comparable_text(text: str) -> str:
    """A text as near-duplicates are told by: NFKC, case folded, runs of white space one blank."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())  # folding can decompose
