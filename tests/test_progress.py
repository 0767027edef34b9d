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
from deepseek_ocr.progress import SECONDS_BETWEEN_LINES, Progress, duration, speed

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
        "train: 2/100 steps", "train: 4/100 steps",
    ]  # fmt: skip
    assert lines[0].endswith(", 15 s/step, 24:30 left")


def test_what_was_done_before_does_not_count_for_the_rate(capsys, clock):
    with Progress(100, "steps", "train", start=90) as bar:
        clock[0] += 10
        bar.advance(5)
    assert capsys.readouterr().err == "train: 95/100 steps, 2 s/step, 10 s left\n"


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
    assert "test: 100% [####" in shown and "] 4/4 rows, " in shown
    assert "rows/s, 0 s left, loss=0.5" in shown
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


BRIEF = ["loss 0.1234", "lr 1.0e-4", "12k tok/s", "12.3 rows/s", "123GB"]


@pytest.mark.parametrize("columns", range(60, 200))
def test_a_line_is_never_wider_than_the_terminal(clock, columns):
    bar = Progress(9000, "steps", "train", quiet=True)
    clock[0] += 1000
    bar.advance(1234, brief=BRIEF, loss="0.123456")
    assert len(bar.for_terminal(columns)) < columns


def test_80_columns_hold_all_that_people_watch(clock):
    bar = Progress(9000, "steps", "train", quiet=True)
    clock[0] += 1400
    bar.advance(1234, brief=BRIEF)
    line = bar.for_terminal(80)
    assert line.startswith("train: 1234/9000 2:26:51 left ")
    assert all(note in line for note in BRIEF)


def test_where_there_is_room_a_bar_is_drawn_and_the_rate_is_told(clock):
    bar = Progress(4, "steps", "train", quiet=True)
    clock[0] += 2.5
    bar.advance(2, brief=BRIEF)
    line = bar.for_terminal(120)
    assert line.startswith("train:  50% [#") and "1.25 s/step, 2 s left, loss" in line


def test_a_pause_counts_neither_for_the_rate_nor_for_the_time_left(capsys, clock):
    with Progress(4, "steps", "train") as bar:
        with bar.paused():
            clock[0] += 1000
            assert bar.rate == 0
        clock[0] += 1
        bar.advance(2)
        with bar.paused():
            clock[0] += 1000
            assert bar.seconds_left == 1
    assert capsys.readouterr().err == "train: 2/4 steps, 2 steps/s, 1 s left\n"


@pytest.mark.parametrize("seconds, num_lines", [(1, 0), (20, 2)])
def test_what_is_over_soon_leaves_no_line_in_a_log(capsys, clock, seconds, num_lines):
    with Progress(3, "batches", "reading", passing=True) as bar:
        for _ in range(3):
            clock[0] += seconds
            bar.advance()
    assert len(capsys.readouterr().err.splitlines()) == num_lines


def test_nothing_to_do_has_no_line_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(0, "steps", "train") as bar:
        bar.message("said")
    assert terminal.getvalue().strip() == "said"


def test_spans_and_rates_in_words():
    assert [duration(s) for s in (0.4, 59, 125, 3723)] == ["0 s", "59 s", "2:05", "1:02:03"]
    assert duration(float("inf")) == "?"
    assert (speed(4.9, "rows"), speed(0.5, "batches")) == ("4.9 rows/s", "2 s/batch")
