"""Runs of `train.py` in processes of their own, which can be killed at an exact moment.

They are forked from a process that has imported everything: torch alone takes seconds.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate"}
COUNT = ".count"
"""Of the file beside the output folder that a run's number of changes is written to."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["deepseek_ocr.training.run", "tests.training.killed"])

Moment = int | tuple[str, int]
"""Before which change of a file: its number, or the number of its kind; counted from 0."""


def run(output_dir: Path, flags: Sequence[str], kill_before: Moment | None = None) -> int:
    """Train into `output_dir`; the exit code, -9 if it was killed."""
    [code] = _exit_codes([(output_dir, flags, kill_before, None, {})])
    return code


def run_together(
    output_dir: Path, flags: Sequence[str], num_processes: int = 2, dies: tuple[int, int] = (-1, 0)
) -> list[int]:
    """Train in several processes, as torchrun starts them; their exit codes.

    `dies`: the number of the process that is killed, and before which of its steps, from 1.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": num_processes}
    runs = []
    for rank in range(num_processes):
        env = place | {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": num_processes}
        step = dies[1] if rank == dies[0] else None
        runs.append((output_dir, flags, None, step, {k: str(v) for k, v in env.items()}))
    return _exit_codes(runs)


def _exit_codes(runs: Sequence[tuple]) -> list[int]:
    processes = [FORKS.Process(target=_train, args=arguments) for arguments in runs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)  # a hang is a failure, not a wait for ever
        process.kill()
        process.join()
    return [process.exitcode or 0 for process in processes]


def count_of(output_dir: Path) -> int:
    """How many times the last whole run into `output_dir` changed a file there."""
    return int(output_dir.with_suffix(COUNT).read_text())


def output_of(output_dir: Path) -> str:
    """What the runs into `output_dir` said."""
    return output_dir.with_suffix(".log").read_text()


def _train(
    output_dir: Path,
    flags: Sequence[str],
    kill_before: Moment | None,
    dies_in_step: int | None,
    environment: dict[str, str],
) -> None:
    os.environ.update(environment)
    from deepseek_ocr.cli.main import run
    from deepseek_ocr.training import loop
    from deepseek_ocr.training.checkpoints import saving

    saving.draw_curves = lambda *_, **__: None  # it takes longer than these runs
    if dies_in_step is not None:
        loop.train_step = _killed_in(dies_in_step, loop.train_step)
    counts = _count_changes(output_dir, kill_before)
    with (
        output_dir.with_suffix(".log").open("a", buffering=1) as log,
        contextlib.redirect_stderr(log),
        contextlib.redirect_stdout(log),
    ):
        code = run("train", [f"--output_dir={output_dir}", *flags])
    if code == 0:
        output_dir.with_suffix(COUNT).write_text(str(sum(counts.values())))
    sys.exit(code)


def _killed_in(step: int, train_step):
    numbers = iter(range(1, 1000))

    def killed(*args, **kwargs):
        if next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return train_step(*args, **kwargs)

    return killed


def _count_changes(output_dir: Path, kill_before: Moment | None) -> dict[str, int]:
    """Counts of the changes to come in a folder, by kind; at `kill_before` the process is killed.

    The interpreter announces each change before it makes it.
    """
    counts = dict.fromkeys(CHANGES, 0)

    def announced(event: str, args: tuple) -> None:
        inside = f"{output_dir}{os.sep}"
        if event not in CHANGES or not any(str(path).startswith(inside) for path in args[:2]):
            return
        if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if kill_before in (sum(counts.values()), (event, counts[event])):
            os.kill(os.getpid(), signal.SIGKILL)
        counts[event] += 1

    sys.addaudithook(announced)
    return counts


def losses_of(output_dir: Path) -> dict[tuple[str, int], float]:
    """Losses by event and step; of a step that was repeated the last one."""
    rows = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    return {(row["event"], row["step"]): row["loss"] for row in rows if "loss" in row}


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a checkpoint: name -> bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
