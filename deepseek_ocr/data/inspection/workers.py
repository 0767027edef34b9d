"""Files inspected in processes of their own, which can crash, hang or use up memory for one file.

A worker is a fresh interpreter. It takes a task a line from its standard input and writes a report
a line to its standard output, as JSON. An alarm of the system kills it when a page keeps it too
long, whatever it is caught in; it ends when its input does, so it never outlives its parent.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import importlib
import json
import os
import queue
import resource
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .one_file import FileReport, Found, Inspection, PageReport, inspect

TASKS_AHEAD = 3  # small files are done before the next task would arrive
TIME_LIMIT_S = 60  # for a page; the slowest honest ones take a tenth of it
BYTES_A_PIXEL = 20  # of the largest picture allowed, while it is composed on white
BYTES_BESIDE = 1 << 30

_START = """
import sys
sys.path[:] = sys.argv[4:]
from deepseek_ocr.data.inspection.workers import work
work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
"""
_READY, _DONE = "ready", "done"


@dataclasses.dataclass(frozen=True, slots=True)
class Crash:
    """Why a worker died on a file: at one `part` of it, or (None) before it was open."""

    part: str | None
    fault: str


class Worker:
    """A process that inspects one file after another."""

    def __init__(self, data_root: Path, max_pixels: int, time_limit_s: int):
        self.time_limit_s = time_limit_s
        settings = (os.fspath(data_root), str(max_pixels), str(time_limit_s))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *settings, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.input: IO[bytes] = self._process.stdin
        self.output: IO[bytes] = self._process.stdout
        self.tasks: collections.deque[Inspection] = collections.deque()
        self._num_reports = 0  # of the task it is at
        self._begun = b""  # a line that has not arrived whole
        self._is_ready = False

    def give(self, task: Inspection) -> None:
        """Put a task behind those that it has."""
        self.tasks.append(task)
        line = json.dumps(dataclasses.astuple(task)) + "\n"
        with contextlib.suppress(BrokenPipeError):  # it is dead, as `read` will tell
            self.input.write(line.encode())
            self.input.flush()

    def read(self) -> Iterator[tuple[str, Found]]:
        """The reports that have arrived, with the paths of their files.

        Raises:
            EOFError: the process is dead.
        """
        piece = os.read(self.output.fileno(), 1 << 16)
        if not piece:
            if not self._is_ready:
                raise RuntimeError("a process to open pictures in does not start")
            raise EOFError
        *lines, self._begun = (self._begun + piece).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message == _READY:
                self._is_ready = True
            elif message == _DONE:
                self.tasks.popleft()
                self._num_reports = 0
            else:
                self._num_reports += 1
                part, values = message
                report = FileReport(*values) if part is None else (part, PageReport(*values))
                yield self.tasks[0].path, report

    def crash(self) -> Crash:
        """What a dead worker died on: the first thing of its first task without a report."""
        task = self.tasks[0]
        expected = [*([None] if task.with_file else []), *task.parts]
        part = expected[min(self._num_reports, len(expected) - 1)]
        if self._process.wait() == -signal.SIGALRM:
            reason = f"takes more than {self.time_limit_s} seconds to open; replace the file"
        else:
            reason = "the decoder crashed on it or ran out of memory; replace the file"
        return Crash(part, f"{task.path}{part or ''}: {reason}")

    def end(self) -> None:
        """Kill the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        self.output.close()


def inspect_in_workers(
    tasks: Iterator[Inspection],
    data_root: Path,
    max_pixels: int,
    num_workers: int,
) -> Iterator[tuple[str, Found | Crash]]:
    """What is found, with the path of its file, in the order in which it arrives.

    Pages that a worker had still to come to when it died on another have no report.
    """
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:

        def start(task: Inspection) -> None:
            worker = Worker(data_root, max_pixels, TIME_LIMIT_S)
            stack.callback(worker.end)
            selector.register(worker.output, selectors.EVENT_READ, worker)
            worker.give(task)

        for _, first in zip(range(num_workers), tasks, strict=False):
            start(first)
        while selector.get_map():
            for key, _ in selector.select():
                worker: Worker = key.data
                try:
                    yield from worker.read()
                    is_alive = True
                except EOFError:
                    is_alive = False
                    if worker.tasks:
                        yield worker.tasks[0].path, worker.crash()
                while is_alive and len(worker.tasks) < TASKS_AHEAD and (task := next(tasks, None)):
                    worker.give(task)
                if is_alive and worker.tasks:
                    continue
                selector.unregister(worker.output)
                worker.end()
                if not is_alive and (task := next(tasks, None)):
                    start(task)


def work(data_root: str, max_pixels: int, time_limit_s: int) -> None:
    """What a worker process runs: inspect until there are no more tasks."""
    importlib.import_module("numpy")  # its time should not count as the first page's
    reports = os.fdopen(os.dup(1), "wb")
    _write(reports, _READY)
    _silence()
    _limit_memory(max_pixels)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends the process by itself
    tasks: queue.SimpleQueue[Inspection] = queue.SimpleQueue()
    threading.Thread(target=_take_tasks, args=(tasks,), daemon=True).start()
    renew_alarm = functools.partial(signal.alarm, time_limit_s)
    while True:
        task = tasks.get()
        renew_alarm()
        for found in inspect(task, Path(data_root), max_pixels, renew_alarm):
            part, report = (None, found) if isinstance(found, FileReport) else found
            _write(reports, [part, dataclasses.astuple(report)])
            renew_alarm()
        signal.alarm(0)
        _write(reports, _DONE)


def _take_tasks(tasks: queue.SimpleQueue[Inspection]) -> None:
    for line in sys.stdin.buffer:
        path, parts, with_file = json.loads(line)
        tasks.put(Inspection(path, tuple(parts), with_file))
    os._exit(0)  # the parent has ended, or wants no more


def _write(reports: IO[bytes], message: Any) -> None:
    reports.write(json.dumps(message).encode() + b"\n")
    reports.flush()


def _silence() -> None:
    """No decoder writes among the reports, or to the user's terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _limit_memory(max_pixels: int) -> None:
    """Where the system keeps such a limit (Linux does), memory that runs away ends in an error."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no files of a process that crashes
    limit = max_pixels * BYTES_A_PIXEL + BYTES_BESIDE
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or limit < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
