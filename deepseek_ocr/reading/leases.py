"""Who reads what, where several processes share a job: locks of the system on bytes of one file.

A lock ends with its process, however that ends, so there is nothing stale to wait for and no clock
to trust. Byte 0 is the job's: whoever works in it shares it, and whoever must be alone tries to
have it to itself. Every lease has a byte of its own, chosen by a hash of its name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..errors import UserError

HASH_BYTES = 7
"""Of a lease's place: far fewer than fit into an offset, and no two names meet."""

_open_here: set[Path] = set()
"""Files of leases that this process has open: locks of the system do not part its threads."""


class Leases:
    """Leases on the parts of a job in `folder`; use as a context manager.

    Raises:
        UserError: this process works in that job already, or the folder's disk has no locks.
    """

    def __init__(self, folder: Path):
        self.path = Path(folder).resolve() / "leases"
        self._descriptor = -1
        self._held: set[str] = set()

    def __enter__(self) -> Leases:
        if self.path in _open_here:
            raise UserError(
                f"{self.path.parent}: this process already reads into it; wait for the first job"
            )
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _open_here.add(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _open_here.discard(self.path)
        os.close(self._descriptor)  # with it go all locks
        self._held.clear()

    def join(self, when_alone: Callable[[], None]) -> bool:
        """Work in the job from now on; whether nobody else does.

        `when_alone` runs only then, while nobody else can join.
        """
        alone = self._lock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if alone:
            when_alone()
        self._lock(0, fcntl.LOCK_SH)
        return alone

    def if_alone(self, act: Callable[[], None]) -> bool:
        """Do something, unless another process works in the job; whether it was done."""
        if not self._lock(0, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        try:
            act()
        finally:
            self._lock(0, fcntl.LOCK_SH)
        return True

    def take(self, name: str) -> bool:
        """Whether `name` is this process's now; not if it, or another, has it already."""
        if name in self._held or not self._lock(_place(name), fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        self._held.add(name)
        return True

    def give_back(self, name: str) -> None:
        """Others may take it."""
        if name in self._held:
            self._held.discard(name)
            self._lock(_place(name), fcntl.LOCK_UN)

    def _lock(self, place: int, kind: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, kind, 1, place, os.SEEK_SET)
        except (BlockingIOError, PermissionError):  # which of them differs between systems
            return False
        except OSError as error:
            raise UserError(
                f"{self.path}: the disk has no locks ({error.strerror}), which keep two jobs from "
                "doing the same; name an --out folder on another disk"
            ) from None
        return True


def _place(name: str) -> int:
    return 1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:HASH_BYTES], "big")
