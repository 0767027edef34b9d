"""Whether a dataset and its split are still what a manifest says: every file hashed anew.

`data_utils.py --verify MANIFEST --data_root DIR`; nothing is taken from the cache of pictures.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from ...errors import UserError
from ...files import sha256_of
from ...progress import Progress
from ..folder import DatasetFolder

FILES_AT_ONCE = 1024

_ADVICE = "expected a manifest.json that data_utils.py has written"


ChangeKind = Literal["changed", "missing", "unreadable", "new"]
KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)


@dataclasses.dataclass(frozen=True, order=True)
class Change:
    """A file that is not as the manifest says; `path` is relative to its root."""

    kind: ChangeKind
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedFiles:
    """What a manifest says of files.

    `dataset`: SHA-256 by path relative to the data root, "" of what could not be read; `not_read`:
    files that were there and not read, most of them without a hash; `written`: SHA-256 of the
    split's own files, by their names beside the manifest.
    """

    dataset: Mapping[str, str]
    not_read: frozenset[str]
    written: Mapping[str, str]

    @property
    def known_by_name(self) -> frozenset[str]:
        """The files of which nobody knows what was in them."""
        return self.not_read - self.dataset.keys()


def read_manifest(path: Path) -> RecordedFiles:
    """The files that a manifest records.

    Raises:
        UserError: it cannot be read, or no split has written it.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_ADVICE}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not valid JSON; {_ADVICE}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no object; {_ADVICE}")
    not_read = content.get("not_read")
    if not isinstance(not_read, list) or not all(isinstance(file, str) for file in not_read):
        raise UserError(f"{path}: no list 'not_read'; {_ADVICE}")
    return RecordedFiles(
        dataset=_hashes(path, content, "sha256"),
        not_read=frozenset(not_read),
        written=_hashes(path, content, "written"),
    )


def changes(
    recorded: RecordedFiles, data_root: Path, split_dir: Path, *, quiet: bool = True
) -> Iterator[Change]:
    """Every file below `data_root`, and of the split in `split_dir`, that is not as recorded.

    Raises:
        UserError: `data_root` is no folder that can be read.
    """
    folder = DatasetFolder(data_root, left_out=[split_dir / name for name in recorded.written])
    by_name = recorded.known_by_name
    known = recorded.dataset.keys() | by_name
    total = len(recorded.dataset) + len(recorded.written)
    refused = {problem.source for problem in folder.problems}  # links that lead out by now, say
    with Progress(total, "files", "hashed", quiet=quiet) as progress:
        yield from _differing(data_root, recorded.dataset, refused, progress)
        yield from _differing(split_dir, recorded.written, (), progress)
    yield from (Change("missing", file) for file in sorted(by_name - folder.names))
    yield from (Change("new", file) for file in folder.files if file not in known)


def _differing(
    root: Path, files: Mapping[str, str], refused: Collection[str], progress: Progress
) -> Iterator[Change]:
    with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter to other threads
        waiting = iter(files)
        while names := tuple(islice(waiting, FILES_AT_ONCE)):
            found = pool.map(_hash_of, (root / name for name in names))
            for name, sha256 in zip(names, found, strict=True):
                progress.advance()
                if sha256 is None:
                    yield Change("missing", name)
                elif sha256 != files[name] or name in refused:
                    is_readable = sha256 and name not in refused
                    yield Change("changed" if is_readable else "unreadable", name)


def _hash_of(path: Path) -> str | None:
    """A file's SHA-256, "" if it cannot be read, None if it is not there."""
    try:
        return sha256_of(path) if path.is_file() else None
    except OSError:
        return ""


def _hashes(path: Path, content: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = content.get(key)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise UserError(f"{path}: no SHA-256 of files under {key!r}; {_ADVICE}")
    _check_inside(path, found)
    return found


def _check_inside(path: Path, names: Iterable[str]) -> None:
    for name in names:
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise UserError(f"{path}: names {name!r}, which leads out of its folder; {_ADVICE}")
