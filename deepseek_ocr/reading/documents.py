"""What is to be read: files, folders, globs, lists and stdin, as documents with names.

A name is what the outputs of a document are called by: its path below the folder that was named,
or the bare file name. Names are unique, also on disks that do not tell `A.pdf` from `a.pdf`.
Nothing that was named is left out in silence: what cannot be read is a document with a `fault`.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import shutil
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..data.folder import UNREAD_PICTURES, natural_order
from ..errors import UsageError, UserError
from ..pictures import SUFFIXES
from .config import FORMATS

STDIN = "-"
STDIN_NAME = "stdin"
READ_SUFFIXES = (*SUFFIXES, ".pdf")
TOLD_SUFFIXES = (*UNREAD_PICTURES, ".fits", ".fit")
"""Kinds of pictures that are not read; in a folder, each is told instead of left out."""
MOST_NAME_BYTES = 200
"""Of a file's name, so that endings and the names of temporary files beside it have room."""
HASH_DIGITS = (8, 16, 64)
"""Of those that stand behind a shared name; more only where fewer are the same."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """A file to be read.

    `source`: as the journal names it, the path as given (folder and the path below it), `-` for
    stdin. `path`: the file (stdin's is a temporary one, removed at the end). `name`: relative
    POSIX path that its outputs are named by. `fault`: why it cannot be read, where that is known
    already; `count_pages` raises it.
    """

    source: str
    path: Path
    name: str
    fault: str | None = None


def find_documents(
    inputs: Sequence[str], *, out: Path | None = None, watched: Path | None = None
) -> list[Document]:
    """The documents of `INPUT...`, in the order given, folders in the order of their names.

    An input is a file, a folder (all pictures and PDFs below it; hidden files are left out, and so
    is the folder `out`), a glob (where no file has that very name), `@list.txt` (a path a line,
    from the current folder) or `-`. A file that is named twice is read once. `watched` is one more
    folder, which may still be empty.

    Raises:
        UsageError: nothing is piped into stdin, a list cannot be read, `watched` is no folder.
        UserError: `out` is a folder that is read.
    """
    found: list[Document] = []
    for given in inputs:
        found += _named(given, out)
    if watched is not None:
        if not _is_folder(str(watched)):
            raise UsageError(f"--watch: {_shown(str(watched))}: there is no such folder; make it")
        found += _in_folder(str(watched), out)
    return _with_unique_names(_once_each(found))


def _named(given: str, out: Path | None) -> Iterator[Document]:
    if given == STDIN:
        yield _spooled()
    elif given.startswith("@") and not os.path.lexists(given):
        for entry in _entries(given[1:]):
            yield from _at(entry, out)
    else:
        yield from _at(given, out)


def _entries(path: str) -> list[str]:
    """The paths that a list holds, a line each (or ended by NUL, as `find -print0` writes them)."""
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise UsageError(f"@{_shown(path)}: the list cannot be read ({reason})") from None
    text = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf"))
    lines = text.split("\0") if "\0" in text else text.split("\n")
    return [entry for line in lines if (entry := line.removesuffix("\r")).strip()]


def _at(given: str, out: Path | None) -> Iterator[Document]:
    """The documents of a path or a glob."""
    if "\0" in given or not given:
        yield _faulty(given, "not a valid file name; expected a picture, a PDF or a folder")
    elif _is_folder(given):
        yield from _in_folder_or_faulty(given, out)
    elif os.path.lexists(given) or not glob.has_magic(given):
        yield _file(given)
    else:
        matches = sorted(glob.glob(given, recursive=True), key=natural_order)  # noqa: PTH207  keeps the spelling
        if not matches:
            yield _faulty(given, "matches no file; expected pictures, PDFs or folders")
        for match in matches:
            yield from _in_folder_or_faulty(match, out) if _is_folder(match) else [_file(match)]


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # too long a name, a folder on the way that cannot be entered
        return False


def _file(given: str) -> Document:
    path = Path(given)
    if not os.path.lexists(given):
        return _faulty(given, "does not exist; expected a picture, a PDF or a folder")
    return Document(source=given, path=path, name=path.name)


def _faulty(given: str, fault: str) -> Document:
    name = Path(given.replace("\0", "")).name or "input"
    return Document(source=given, path=Path(given), name=name, fault=f"{_shown(given)}: {fault}")


# --- folders --------------------------------------------------------------------------------------


def _in_folder_or_faulty(given: str, out: Path | None) -> list[Document]:
    found = list(_in_folder(given, out))
    return found or [_faulty(given, "the folder holds no picture and no PDF")]


def _in_folder(given: str, out: Path | None) -> Iterator[Document]:
    root = Path(given)
    if out is not None and _is_same(root, out):
        raise UserError(
            f"{_shown(given)}: is the folder that is read and the one that is written; give --out "
            "another"
        )
    files, faults = _walk(root, out)
    for relative, fault in faults:
        place = root / relative
        yield Document(source=str(place), path=place, name=_below(root, relative), fault=fault)
    for relative in sorted(files, key=natural_order):
        yield Document(source=str(root / relative), path=root / relative, name=relative)


def _walk(root: Path, out: Path | None) -> tuple[list[str], list[tuple[str, str]]]:
    """Relative paths of the files to read, and of the folders that cannot be, with the reason.

    Linked folders are followed, each real one once, so that no loop of links is endless.
    """
    files: list[str] = []
    faults: list[tuple[str, str]] = []
    seen: set[tuple[int, int]] = set()

    def tell(error: OSError) -> None:
        place = Path(os.fsdecode(error.filename))
        reason = f"{_shown(str(place))}: the folder cannot be read ({error.strerror})"
        faults.append((place.relative_to(root).as_posix(), reason))

    for place, folders, names in os.walk(root, onerror=tell, followlinks=True):
        here = Path(place)
        if not _is_first_visit(here, seen):
            folders.clear()
            continue
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and not (out is not None and _is_same(here / name, out))
        ]
        files += [
            (here / name).relative_to(root).as_posix()
            for name in names
            if not name.startswith(".") and name.lower().endswith((*READ_SUFFIXES, *TOLD_SUFFIXES))
        ]
    return files, faults


def _is_first_visit(folder: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        found = folder.stat()
    except OSError:  # it has gone
        return False
    is_first = (found.st_dev, found.st_ino) not in seen
    seen.add((found.st_dev, found.st_ino))
    return is_first


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:
        return False


def _below(root: Path, relative: str) -> str:
    """The name of a folder that cannot be read: the one that was named has no name below itself."""
    return root.resolve().name or "input" if relative == "." else relative


# --- stdin ----------------------------------------------------------------------------------------

_SPOOLS: list[tempfile.TemporaryDirectory] = []  # removed with the process


def _spooled() -> Document:
    """What is piped in, as a file, since PDFs and TIFFs are read from their end, too.

    Raises:
        UsageError: nothing is piped in.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("-: nothing is piped in; use it as in: deepseek-ocr read - < page.png")
    if not _SPOOLS:
        folder = tempfile.TemporaryDirectory(prefix="deepseek-ocr-")
        with (Path(folder.name) / STDIN_NAME).open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        _SPOOLS.append(folder)
    return Document(source=STDIN, path=Path(_SPOOLS[0].name) / STDIN_NAME, name=STDIN_NAME)


# --- names ----------------------------------------------------------------------------------------


def _once_each(found: Sequence[Document]) -> list[Document]:
    """Of documents that are the same file, the first."""
    first: dict[str, Document] = {}
    for document in found:
        first.setdefault(_absolute(document.path), document)
    return list(first.values())


def _with_unique_names(found: Sequence[Document]) -> list[Document]:
    names = [_usable(document) for document in found]
    folders = {alike(str(folder)) for name in names for folder in PurePosixPath(name).parents}
    names = [
        hashed_name(document, HASH_DIGITS[0]) if _is_blocked(name, folders) else name
        for document, name in zip(found, names, strict=True)
    ]
    for digits in HASH_DIGITS:
        counts = Counter(map(alike, names))
        names = [
            hashed_name(document, digits) if counts[alike(name)] > 1 else name
            for document, name in zip(found, names, strict=True)
        ]
    return [
        dataclasses.replace(document, source=_text(document.source), name=name)
        for document, name in zip(found, names, strict=True)
    ]


def _is_blocked(name: str, folders: Collection[str]) -> bool:
    """Whether a folder is called like one of its outputs, as `a.pdf.md/` beside `a.pdf`."""
    return any(alike(f"{name}.{kind}") in folders for kind in FORMATS)


def _usable(document: Document) -> str:
    """Its name; with a hash where no file can be called so."""
    last = document.name.rpartition("/")[2]
    fits = len(os.fsencode(last)) <= MOST_NAME_BYTES and _text(document.name) == document.name
    return document.name if fits else hashed_name(document, HASH_DIGITS[0])


def hashed_name(document: Document, digits: int) -> str:
    """Its name, `~` and the first digits of its absolute path's SHA-256."""
    folder, slash, last = _text(document.name).rpartition("/")
    digest = hashlib.sha256(os.fsencode(_absolute(document.path))).hexdigest()
    kept = last.encode()[:MOST_NAME_BYTES].decode(errors="ignore")
    return f"{folder}{slash}{kept}~{digest[:digits]}"


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  links keep their own names


def alike(name: str) -> str:
    """The same for names that some disk takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _text(name: str) -> str:
    """A name as text; bytes of it that are none as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _shown(name: str) -> str:
    """A name as messages show it, on one line."""
    text = _text(name)
    return text if text.isprintable() else repr(text)
