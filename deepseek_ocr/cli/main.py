"""`deepseek-ocr COMMAND ...`: runs a command, turns its errors into lines and exit codes."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from ..errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, UserError
from .streams import lasting_streams

COMMANDS = {
    "split": "check annotations and split them into train and test files",
    "train": "fine-tune the model on a train file",
    "test": "score a model on a test file",
    "read": "pictures and PDFs to text",
    "check": "tell every problem of a dataset, and how long its rows are",
    "export": "write a model, its adapter merged, as other programs read it",
    "synth": "draw annotated sample documents",
    "info": "tell what a model is made of, what would train, and the memory it takes",
    "completion": "let a shell complete commands and flags",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (see `deepseek_ocr.errors`)."""
    with lasting_streams():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: deepseek-ocr COMMAND [--help] ...\n")
        print("\n".join(f"  {name:10s} {text}" for name, text in COMMANDS.items()))
        return EXIT_OK if arguments else EXIT_USAGE
    command = arguments[0]
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(COMMANDS)}"
        print(f"deepseek-ocr: unknown command {command}; {advice}", file=sys.stderr)
        return EXIT_USAGE
    return run(command, arguments[1:])


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Run `deepseek_ocr.cli.COMMAND.main(argv)` and turn what it raises into an exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: finish files, exit 130
    with lasting_streams():
        try:
            entry: Callable[[Sequence[str]], int] = importlib.import_module(
                f".{command}", __package__
            ).main
            return entry(arguments)
        except KeyboardInterrupt as interrupt:
            advice = f"; {interrupt}" if interrupt.args else ""
            print(f"{command}: interrupted{advice}", file=sys.stderr)
            return EXIT_INTERRUPTED
        except Exception as error:  # noqa: BLE001  the one place where a command ends
            if "--debug" in arguments:
                traceback.print_exc()
            else:
                print(f"{command}: {plain(error)}", file=sys.stderr)
            return error.exit_code if isinstance(error, UserError) else EXIT_INTERNAL


def plain(error: Exception) -> str:
    """An error as a line for users."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        if error.strerror != os.strerror(error.errno or 0):  # our own words, which say what to do
            return f"{where}{error.strerror}. --debug shows where"
        return f"{where}{error.strerror}; nothing half-written is left. --debug shows where"
    return f"internal error ({type(error).__name__}: {error}); --debug shows where"


if __name__ == "__main__":
    raise SystemExit(main())
