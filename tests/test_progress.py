"""Progress goes to stderr: a bar on a terminal, few plain lines in a log, nothing when quiet."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from deepseek_ocr import progress
from deepseek_ocr.progress import SECONDS_BETWEEN_LINES, Progress

from .conftest import REPOSITORY


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_one_plain_line_at_the_end(capsys, clock):
    with Progress(10, "rows", "test") as bar:
        for _ in range(10):
            clock[0] += 0.5
            bar.advance(loss=0.25)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "test: 10/10 rows, 2 rows/s, 0 s left loss=0.25\n"


def test_a_log_gets_a_line_every_half_minute(capsys, clock):
    with Progress(100, "steps", "train") as bar:
        for _ in range(4):
            clock[0] += SECONDS_BETWEEN_LINES / 2
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "train: 2/100 steps", "train: 4/100 steps", "train: 4/100 steps",
    ]  # fmt: skip
    assert lines[0].endswith("1470 s left")


def test_what_was_done_before_does_not_count_for_the_rate(capsys, clock):
    with Progress(100, "steps", "train", start=90) as bar:
        clock[0] += 10
        bar.advance(5)
    assert capsys.readouterr().err == "train: 95/100 steps, 0.5 steps/s, 10 s left\n"


def test_nothing_done_says_nothing(capsys):
    with Progress(10, "rows", "test"):
        pass
    assert capsys.readouterr() == ("", "")


def test_quiet_says_nothing(capsys, clock):
    with Progress(2, "rows", "test", quiet=True) as bar:
        clock[0] += 99
        bar.advance(2)
        bar.message("hidden")
    assert capsys.readouterr() == ("", "")


def test_a_message_is_a_line_on_stderr(capsys):
    with Progress(2, "rows", "test") as bar:
        bar.message("saved epoch-1")
    assert capsys.readouterr() == ("", "saved epoch-1\n")


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(4, "rows", "test") as bar:
        bar.advance(4, loss=0.5)
        assert bar.bar.n == 4
    shown = terminal.getvalue()
    assert "test: 100%" in shown
    assert "4/4" in shown
    assert "loss=0.5" in shown
    assert "rows/s" in shown
    assert capsys.readouterr().out == ""


def test_a_quiet_terminal_has_no_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(4, "rows", "test", quiet=True) as bar:
        bar.advance()
    assert terminal.getvalue() == ""


def test_the_total_may_turn_out_larger(capsys, clock):
    with Progress(2, "pages", "pictures") as bar:
        clock[0] += 1
        bar.advance()
        bar.extend(4)
    assert capsys.readouterr().err == "pictures: 1/4 pages, 1 pages/s, 3 s left\n"


def test_a_high_rate_is_written_out(capsys, clock):
    with Progress(9820, "pages", "pictures") as bar:
        clock[0] += 2
        bar.advance(9820)
    assert capsys.readouterr().err == "pictures: 9820/9820 pages, 4,910 pages/s, 0 s left\n"


def test_a_terminal_without_a_width_gets_a_bar_all_the_same():
    code = (
        "import sys\nfrom deepseek_ocr.progress import Progress\n"
        "with Progress(4, 'rows', 'test') as bar: bar.advance(4)\n"
    )
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    subprocess.run([sys.executable, "-c", code], stderr=stderr, cwd=REPOSITORY, check=True)
    os.close(stderr)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal, on Linux
        while part := os.read(terminal, 1 << 16):
            shown += part
    assert b"4/4" in shown
    os.close(terminal)
