"""A test in a process of its own that is killed at a chosen write; started by `test_resuming`.

python -m tests.evaluation.killed_run NUMBER TORN ENGINE FLAG...

NUMBER counts from 0 every moment at which something is put on disk (sync, rename, removal); at that
one the process ends as if the power went, with TORN=1 in the middle of the line that it writes. A
number beyond the last: the test runs to its end, and the number of moments is printed. ENGINE is
`whole`, which answers whole batches, or `running`.
"""

from __future__ import annotations

import os
import signal
import sys
import types
from pathlib import Path

from deepseek_ocr.cli import main as cli

from .samples import RunningStub, StubEngine

ANSWERS = ["a cat", "two lines", "Größe 😀", "", "the matt", "sat", "x"]


def answer(number: int) -> str | BaseException:
    """Row 5 fails; the others answer something near their truth."""
    return RuntimeError("no memory") if number == 5 else ANSWERS[number]


def kill_at(moment: int, torn: bool) -> list[int]:
    """Puts a count before everything that changes the disk; returns the list that counts."""
    counted: list[int] = []

    def counting(function):
        def counted_call(*arguments, **named):
            counted.append(1)
            if len(counted) > moment:
                if torn and function is os_fsync and isinstance(arguments[0], int):
                    tear(arguments[0])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return counted_call

    os_fsync = os.fsync
    os.fsync = counting(os.fsync)
    Path.replace = counting(Path.replace)
    Path.unlink = counting(Path.unlink)
    return counted


def tear(descriptor: int) -> None:
    """Leave half of the last line."""
    try:
        os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - 7))
    except OSError:  # opened to be synced alone
        return


def main(moment: int, torn: bool, engine: str, flags: list[str]) -> int:
    """Run `test.py` with an engine whose answers are known, killed at that moment."""
    module = types.ModuleType("engine")
    kind = {"whole": StubEngine, "running": RunningStub}[engine]
    module.load_engine = lambda *_, **__: kind(answer)  # type: ignore[attr-defined]
    sys.modules["deepseek_ocr.inference.engine"] = module
    counted = kill_at(moment, torn)
    code = cli.run("test", flags)
    print(len(counted))
    return code


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3], sys.argv[4:]))
