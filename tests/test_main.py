"""`deepseek-ocr COMMAND`: errors are plain lines on stderr, and exit codes say what happened."""

from __future__ import annotations

import signal
import subprocess
import sys
import types

import pytest

from deepseek_ocr.cli import main as entry
from deepseek_ocr.errors import AnnotationError, PageError, UsageError, UserError
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def keep_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def command(monkeypatch):
    """Make `deepseek-ocr fake` do something."""

    def make(action):
        module = types.ModuleType("deepseek_ocr.cli.fake")
        module.main = action
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(entry.COMMANDS, "fake", "for tests")

    return make


def raising(error: BaseException):
    def action(argv):
        raise error

    return action


@pytest.mark.parametrize("code", [0, 3, 4])
def test_the_exit_code_is_the_commands(command, code):
    command(lambda argv: code)
    assert entry.main(["fake"]) == code


def test_arguments_are_handed_on(command, monkeypatch):
    seen = []
    command(lambda argv: seen.append(list(argv)) or 0)
    entry.main(["fake", "--flag", "x"])
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "1"])
    entry.run("fake")
    monkeypatch.setattr(sys, "argv", ["deepseek-ocr", "fake", "y"])
    entry.main()
    assert seen == [["--flag", "x"], ["--lr", "1"], ["y"]]


@pytest.mark.parametrize(
    "error, code",
    [(UserError("a: broken"), 4), (AnnotationError("a:3: broken"), 4), (PageError("a: broken"), 4), (UsageError("--x: broken"), 2)],
)  # fmt: skip
def test_a_users_error_is_one_line_without_a_traceback(command, capsys, error, code):
    command(raising(error))
    assert entry.main(["fake"]) == code
    assert capsys.readouterr() == ("", f"fake: {error}\n")


def test_an_internal_error_is_one_line_that_names_debug(command, capsys):
    command(raising(ZeroDivisionError("division by zero")))
    assert entry.main(["fake"]) == 1
    expected = "fake: internal error (ZeroDivisionError: division by zero); --debug shows where\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("error, code", [(ZeroDivisionError("x"), 1), (UserError("x"), 4)])
def test_debug_shows_the_traceback(command, capsys, error, code):
    command(raising(error))
    assert entry.main(["fake", "--debug"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Traceback (most recent call last)")
    assert type(error).__name__ in err


def test_an_interrupt_ends_with_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert entry.main(["fake"]) == 130
    assert capsys.readouterr() == ("", "fake: interrupted\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_both_signals_interrupt_in_order(name):
    code = f"""
import os, signal, sys, types
from deepseek_ocr.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under `pytest ... &`
def action(argv):
    try:
        os.kill(os.getpid(), signal.{name})
        signal.sigtimedwait([], 20)
    finally:
        print("tidied up")
module = types.ModuleType("deepseek_ocr.cli.fake")
module.main = action
sys.modules[module.__name__] = module
main.COMMANDS["fake"] = ""
raise SystemExit(main.main(["fake"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "tidied up\n")
    assert done.stderr == "fake: interrupted\n"


@pytest.mark.parametrize("argv, code", [(["--help"], 0), (["-h"], 0), ([], 2)])
def test_help_lists_every_command(capsys, argv, code):
    assert entry.main(argv) == code
    out = capsys.readouterr().out
    assert out.startswith("usage: deepseek-ocr COMMAND")
    for name, text in entry.COMMANDS.items():
        assert name in out
        assert text in out


@pytest.mark.parametrize("name, advice", [("trian", "did you mean train?"), ("zzz", "known: split, ")])  # fmt: skip
def test_an_unknown_command_names_the_nearest(capsys, name, advice):
    assert entry.main([name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"deepseek-ocr: unknown command {name}; {advice}")


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_names_the_flag_that_is_wrong(capsys, name):
    assert entry.main([name, "--no-such-flag-at-all"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "unknown flag --no-such-flag-at-all" in err
    assert err.count("\n") == 1


def test_a_terminal_without_utf_8_ends_no_job():
    code = """
import sys, types
from deepseek_ocr.cli import main
module = types.ModuleType("deepseek_ocr.cli.fake")
module.main = lambda argv: print("漢") or 0
sys.modules[module.__name__] = module
raise SystemExit(main.run("fake", []))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "\\u6f22\n")


@pytest.mark.parametrize("arguments", [["--help"], ["split", "--help"], ["nonsense"]])
def test_a_reader_that_leaves_is_no_error(arguments):
    command = f"{sys.executable} -m deepseek_ocr.cli.main {' '.join(arguments)} 2>&1 | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == (2 if arguments == ["nonsense"] else 0)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&-"])
def test_a_closed_stream_is_no_error(closed, tmp_path):
    command = f"{sys.executable} -m deepseek_ocr.cli.main synth {tmp_path}/s --count 1 --kind lines"
    done = subprocess.run(["bash", "-c", f"{command} {closed}"], cwd=REPOSITORY)
    assert done.returncode == 0
    assert len(list((tmp_path / "s").glob("*.png"))) == 1
