"""A worker's `inspect` that does, by the file's name, what strange files do to decoders."""

from __future__ import annotations

import os
import signal
import sys

from deepseek_ocr.data.inspection import one_file as inspection
from deepseek_ocr.data.inspection import workers as inspection_worker


def inspect(task, *arguments):
    """As the real one, but for files called `crash...`, `hang...` and so on."""
    if task.path.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if task.path.startswith("hang"):
        while True:
            pass
    if task.path.startswith("memory"):
        bytearray(1 << 40)
    if task.path.startswith("noisy"):
        os.write(1, b"a decoder's own words")
        os.write(2, b"a decoder's own words")
    for found in inspection.inspect(task, *arguments):
        is_page = task.path.startswith("page") and not isinstance(found, inspection.FileReport)
        if is_page and found[0][-1] in "02468":
            os.kill(os.getpid(), signal.SIGSEGV)
        yield found


START = """
import sys
sys.path[:] = sys.argv[4:]
from tests.data.inspection.misbehaving import main
main()
"""


def main() -> None:
    """What a misbehaving worker runs."""
    inspection_worker.inspect = inspect
    inspection_worker.work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
