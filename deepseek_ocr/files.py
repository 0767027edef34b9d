"""How files are written: whole or not at all, growing files a locked line at a time.

And by whom: one run at a time in an output folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

_TORN = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # as mkstemp names them


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it is synced and takes its place.

    After a crash at any moment `path` holds its old content or the whole new one.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        make_readable(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_torn_files(folder: Path) -> None:
    """Delete what a killed process was writing with `replacing`; the folder must be locked."""
    for path in Path(folder).iterdir():
        if _TORN.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


def make_readable(*paths: Path) -> None:
    """Give files and folders the modes that the umask allows.

    Those of mkstemp, mkdtemp and safetensors are private, and would hide results from colleagues.
    """
    umask = os.umask(0)
    os.umask(umask)
    for path in paths:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all.

    Half a surrogate pair, which UTF-8 cannot hold, becomes `\\ud800`: in JSON the same text.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(_utf8(content) if isinstance(content, str) else content)


def append_line(path: Path, line: str) -> None:
    """Append one line under a lock and sync it; a torn last line is discarded first.

    For the files that grow: `experiment_logs.txt`, `metrics.jsonl`, `predictions.jsonl`.
    """
    with Path(path).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _discard_torn_line(file)
        file.write(_utf8(line.rstrip("\n")) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _discard_torn_line(file) -> None:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    block = 1 << 16
    while end > 0:
        start = max(0, end - block)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            file.truncate(start + newline + 1)
            return
        end = start
    file.truncate(0)


def sync(path: Path) -> None:
    """Ask the system to put a file's (or a folder's entries') bytes on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_output_dir(path: Path) -> None:
    """Check, before long work and without making it, that `path` can become an output folder.

    Raises:
        UserError: it is a file, or its nearest existing parent cannot be written to.
    """
    existing = Path(path).absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        problem = "cannot be written to" if existing.is_dir() else "is a file"
        raise UserError(
            f"{path}: cannot be used as output folder ({existing} {problem}); "
            f"name a folder that can be written to"
        )


def make_output_dir(path: Path) -> Path:
    """Create `path` if needed and check that files can be written there.

    Raises:
        UserError: it is a file, or cannot be created or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        problem = "it is a file" if path.is_file() else error.strerror
        raise UserError(
            f"{path}: cannot be used as output folder ({problem}); "
            f"name a folder that can be written to"
        ) from None
    return path


_locks: set[int] = set()


def _drop_locks() -> None:
    """In a forked worker: else it would hold the lock for a while after this process was killed."""
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


os.register_at_fork(after_in_child=_drop_locks)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock on an output folder, which ends with the process.

    Raises:
        UserError: another run is writing there, or the folder cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{folder}: cannot be used as output folder ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{folder}: another train.py or test.py is writing there; wait for it, or name "
                "another --output_dir"
            ) from None
        _locks.add(descriptor)
        yield
    finally:
        _locks.discard(descriptor)
        os.close(descriptor)


def cache_folder() -> Path | None:
    """Where things are kept between runs: `$DEEPSEEK_OCR_CACHE`, else in the user's caches.

    None, for nowhere, where that variable is empty or the user has no home.
    """
    chosen = os.environ.get("DEEPSEEK_OCR_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    caches = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(caches) if caches else Path.home() / ".cache") / "deepseek_ocr"
    except RuntimeError:
        return None
