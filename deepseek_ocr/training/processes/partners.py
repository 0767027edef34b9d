"""The other processes of a run: what to say when one of them is gone."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from accelerate import Accelerator
from torch.distributed import DistError

from ..failures import TrainingError
from ..optimization.step import everyones

PATIENCE = 20
"""How often is looked who is gone."""

_LOST = re.compile(r"gloo|nccl|peer|connection|socket|broken pipe", re.IGNORECASE)


class Partners:
    """Where each process of a run lives, remembered while all of them are there."""

    def __init__(self, accelerator: Accelerator):
        self.own = accelerator.process_index
        self.places = everyones(accelerator, (socket.gethostname(), os.getpid()))

    @contextlib.contextmanager
    def explained(self, saved: Callable[[], str], last_words: Callable[[], None]) -> Iterator[None]:
        """A lost connection, as an error that says who is gone and what was saved.

        Args:
            saved: what is on disk, and what to do, in words.
            last_words: called first; from then on no signal shall end this process.

        Raises:
            TrainingError: another process has ended, was killed, or cannot be reached.
        """
        try:
            yield
        except RuntimeError as error:
            if len(self.places) == 1 or not is_lost_connection(error):
                raise
            last_words()
            raise TrainingError(f"{self.gone()}; the others cannot go on\n{saved()}") from None

    def gone(self) -> str:
        """Which processes of this machine are gone, in words."""
        here = socket.gethostname()
        others = [
            (number, pid)
            for number, (host, pid) in enumerate(self.places)
            if number != self.own and host == here
        ]
        for _ in range(PATIENCE):
            if gone := [f"{number} (pid {pid})" for number, pid in others if not is_alive(pid)]:
                return f"process {', '.join(gone)} of {len(self.places)} was killed or has failed"
            time.sleep(0.05)  # its connections end a moment before it does
        return "another process has failed, or cannot be reached"


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error of a collective operation says that a process cannot be reached."""
    return isinstance(error, DistError) or bool(_LOST.search(str(error)))


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs; one that waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:  # no Linux
        return True
    return state not in "ZX"
