"""Functions that run in processes of their own, which may crash, hang or take all memory.

What opens files of strangers runs here. A call names a function, which gets values (JSON) and blobs
(bytes) and gives both; nothing is pickled, so that a child whose decoder was taken over has nothing
to reach its parent with. A child that does not answer in time is killed, only the call that it was
at fails, and the next call gets a fresh one. No child outlives its parent.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple, TypeAlias

from .errors import PageError

Blob: TypeAlias = bytes | bytearray | memoryview
START_LIMIT_S = 120  # for a fresh interpreter, on a machine that is busy
GRACE_S = 5  # after which a child ends itself, if its parent should have forgotten it

_START = """
import sys
sys.path[:] = sys.argv[4:]
from deepseek_ocr.children import serve
serve(*map(int, sys.argv[1:4]))
"""


class Answer(NamedTuple):
    """What a function gave: `values` as JSON knows them, and blobs."""

    values: Any
    blobs: list[bytes]


Function: TypeAlias = Callable[[Any, list[bytes]], tuple[Any, Sequence[Blob]]]
"""What a child can run."""


class Child:
    """A process that runs one function after another; for one thread at a time.

    Args:
        memory_bytes: that its data may take, where the system keeps such a limit.
    """

    def __init__(self, memory_bytes: int):
        self._connection, theirs = Pipe()
        ours, lifeline = os.pipe()
        try:
            handles = (theirs.fileno(), ours)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *map(str, (*handles, memory_bytes)), *sys.path],
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # no decoder writes among the results
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for the parent, which ends its children
            )
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            theirs.close()
            os.close(ours)
        self._lifeline: int | None = lifeline
        self._is_ready = False

    def call(
        self, function: str, values: Any, blobs: Sequence[Blob] = (), *, timeout_s: float
    ) -> Answer:
        """What `package.module:function` gives in the child.

        Raises:
            PageError: the function raised it.
            ChildEndedError: the child crashed, or took longer; it is of no more use.
        """
        self._await_start()
        try:
            _send(self._connection, [function, values, timeout_s], blobs)
            if not self._connection.poll(timeout_s):
                raise ChildTooSlowError(
                    f"takes more than {timeout_s:g} seconds to open; replace the file"
                )
            (fault, given), received = _receive(self._connection)
        except (EOFError, OSError, ValueError):
            raise ChildEndedError(
                "the decoder crashed on it or ran out of memory; replace the file"
            ) from None
        if fault is not None:
            raise PageError(fault)
        return Answer(given, received)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process, whatever it is at; from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and forget it; not while another thread calls it."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            os.close(lifeline)

    def _await_start(self) -> None:
        """Its time should not count as that of the first call."""
        if self._is_ready:
            return
        with contextlib.suppress(EOFError, OSError):
            started = self._connection.poll(START_LIMIT_S)
            self._is_ready = started and bool(self._connection.recv_bytes())
        if not self._is_ready:
            raise RuntimeError("a process to open files in does not start")


class ChildEndedError(Exception):
    """Why a child ended in the middle of a call; to be said after the name of what it was at."""


class ChildTooSlowError(ChildEndedError):
    """It did not answer in time."""


class Children:
    """Up to `count` children that share calls; each is started when there is work for it.

    A context manager; its end kills what is under way.
    """

    def __init__(self, count: int, memory_bytes: int, time_limit_s: float):
        self._count, self._memory_bytes, self._time_limit_s = count, memory_bytes, time_limit_s
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(
        self, function: str, values: Any, blobs: Sequence[Blob] = (), *, name: str
    ) -> Future[Answer]:
        """Have a function run; what ends two children fails with a `PageError` about `name`.

        One may have been killed for want of memory that others took.
        """
        call = _Call(function, values, blobs, name, Future())
        self._calls.put(call)
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, args=(len(self._threads),), daemon=True)
            self._threads.append(thread)
            thread.start()
        return call.future

    def close(self) -> None:
        """Kill all children; calls that have not ended are cancelled or fail."""
        with self._lock:
            self._is_closed = True
            for child in self._children.values():
                child.kill()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        for child in self._children.values():
            child.end()
        self._threads, self._children = [], {}

    def _run(self, place: int) -> None:
        while (call := self._calls.get()) is not None:
            if self._is_closed:
                call.future.cancel()
            elif call.future.set_running_or_notify_cancel():
                try:
                    call.future.set_result(self._ask(place, call))
                except BaseException as error:  # noqa: BLE001  whoever waits for it gets it
                    call.future.set_exception(error)

    def _ask(self, place: int, call: _Call) -> Answer:
        try:
            try:
                return self._ask_once(place, call)
            except ChildTooSlowError:
                raise
            except ChildEndedError:
                return self._ask_once(place, call)
        except ChildEndedError as ended:
            raise PageError(f"{call.name}: {ended}") from None

    def _ask_once(self, place: int, call: _Call) -> Answer:
        child = self._child(place)
        try:
            return child.call(call.function, call.values, call.blobs, timeout_s=self._time_limit_s)
        except ChildEndedError:
            with self._lock:
                del self._children[place]
            child.end()
            raise

    def _child(self, place: int) -> Child:
        with self._lock:
            if self._is_closed:
                raise ChildEndedError("its reading was interrupted")
            if place not in self._children:
                self._children[place] = Child(self._memory_bytes)
            return self._children[place]


class _Call(NamedTuple):
    function: str
    values: Any
    blobs: Sequence[Blob]
    name: str
    future: Future[Answer]


def serve(connection: int, lifeline: int, memory_bytes: int) -> None:
    """What a child runs: call after call, until its parent has ended."""
    os.set_inheritable(connection, False)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends the process by itself
    _limit_memory(memory_bytes)
    channel = Connection(connection)
    channel.send_bytes(b"ready")
    while True:
        try:
            (name, values, timeout_s), blobs = _receive(channel)
        except (EOFError, OSError):
            return
        signal.alarm(int(timeout_s) + GRACE_S)
        fault, given, produced = _outcome(name, values, blobs)
        signal.alarm(0)
        del blobs
        _send(channel, [fault, given], produced)


def _outcome(name: str, values: Any, blobs: list[bytes]) -> tuple[str | None, Any, Sequence[Blob]]:
    """Why a function failed, what it gave, its blobs."""
    module, _, attribute = name.partition(":")
    try:
        function: Function = getattr(importlib.import_module(module), attribute)
        given, produced = function(values, blobs)
    except PageError as error:
        return str(error), None, ()
    except Exception as error:  # noqa: BLE001  decoders raise what they like, about one file
        return f"the file cannot be opened ({type(error).__name__}: {error}); replace it", None, ()
    return None, given, produced


def _send(connection: Connection, values: Any, blobs: Sequence[Blob]) -> None:
    connection.send_bytes(json.dumps([len(blobs), values]).encode())
    for blob in blobs:
        connection.send_bytes(blob)


def _receive(connection: Connection) -> tuple[Any, list[bytes]]:
    count, values = json.loads(connection.recv_bytes())
    return values, [connection.recv_bytes() for _ in range(count)]


def _end_with_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: it returns when the other end is closed
    os._exit(1)


def _limit_memory(memory_bytes: int) -> None:
    """Where the system keeps such a limit (Linux does), memory that runs away ends in an error."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no files of a process that crashes
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or memory_bytes < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, most))
