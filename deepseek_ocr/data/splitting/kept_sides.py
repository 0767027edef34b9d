"""The sides that an earlier split gave to its documents, for `--keep_sides MANIFEST`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..checking.identity import hash64
from .config import SIDES, Side, SplitConfig
from .joined_documents import JoinedDocuments

NOT_KEPT = -1


@dataclasses.dataclass(frozen=True)
class KeptSides:
    """Sorted hashes of documents' names, and the number of each one's side in `SIDES`."""

    path: Path
    hashes: NDArray[np.uint64]
    sides: NDArray[np.int8]

    def last_sides(self, documents: JoinedDocuments) -> NDArray[np.int8]:
        """(documents,) the last of the sides on which names of a joined document stood.

        `NOT_KEPT` for documents that are new.

        Raises:
            UserError: all are new.
        """
        stood = self._stood(documents)
        if not stood.any():
            raise UserError(
                f"{self.path}: names none of this dataset's {len(documents)} documents; "
                "--keep_sides expects the manifest.json of an earlier split of it"
            )
        last = len(SIDES) - 1 - np.argmax(stood[::-1], axis=0)
        return np.where(stood.any(axis=0), last, NOT_KEPT).astype(np.int8)

    def conflicts(self, documents: JoinedDocuments) -> list[tuple[int, tuple[Side, ...]]]:
        """The joined documents whose names stood on several sides, with these sides."""
        stood = self._stood(documents)
        several = np.flatnonzero(stood.sum(axis=0) > 1)
        return [(int(number), _sides(stood[:, number])) for number in several]

    def _stood(self, documents: JoinedDocuments) -> NDArray[np.bool_]:
        """(sides, documents): whether a name of the joined document stood on the side."""
        stood = np.zeros((len(SIDES), len(documents)), dtype=bool)
        if len(self.hashes):
            places = np.searchsorted(self.hashes, documents.hashes)
            places = np.minimum(places, len(self.hashes) - 1)
            known = self.hashes[places] == documents.hashes
            stood[self.sides[places[known]], documents.members[known]] = True
        return stood


def _sides(stood: NDArray[np.bool_]) -> tuple[Side, ...]:
    return tuple(side for side, on in zip(SIDES, stood, strict=True) if on)


def read_kept_sides(config: SplitConfig) -> KeptSides | None:
    """The sides of `--keep_sides`, None without it.

    Raises:
        UserError: the file is no manifest of a split, or of one that grouped otherwise.
    """
    path = config.keep_sides
    if path is None:
        return None
    manifest = _read(path)
    grouped = manifest["arguments"].get("group_by")
    if grouped != config.group_by:
        raise UserError(
            f"{path}: of a split with --group_by {grouped}, whose documents have other names than "
            f"those of --group_by {config.group_by}; expected the same"
        )
    names: dict[str, int] = {}
    others = manifest.get("joined", {})
    for number, side in enumerate(SIDES):  # what stands on several sides counts as the last's
        for name in manifest["groups"].get(side, ()):
            names.update(dict.fromkeys([name, *others.get(name, ())], number))
    hashes = np.fromiter(map(hash64, names), dtype=np.uint64, count=len(names))
    sides = np.fromiter(names.values(), dtype=np.int8, count=len(names))
    order = np.argsort(hashes)
    return KeptSides(path, hashes[order], sides[order])


def _read(path: Path) -> dict[str, Any]:
    advice = "--keep_sides expects the manifest.json of an earlier split"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: is no JSON; {advice}") from None
    if not _is_manifest(content):
        raise UserError(f"{path}: is no manifest of a split; {advice}")
    return content


def _is_manifest(content: Any) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("arguments"), dict):
        return False
    groups, joined = content.get("groups"), content.get("joined", {})
    if not isinstance(groups, dict) or not isinstance(joined, dict):
        return False
    return all(_are_names(names) for names in [*groups.values(), *joined.values()])


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
