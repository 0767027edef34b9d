"""Documents to read, and jobs in processes of their own that end at a chosen moment.

They are forked from a process that has imported everything, as importing takes longer than a job.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from deepseek_ocr.cli import main as cli
from deepseek_ocr.data.pages.sources import PageSource
from deepseek_ocr.inference.results import PageResult

from .stub import Answer, StubEngine, say_where

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["deepseek_ocr.cli.read", "tests.reading.job_samples"])

ASKED = ".asked"
"""Of the file beside the output folder that lists the pages which engines were asked about."""
COUNT = ".count"
"""Of the file beside the output folder with the number of moments of the last whole run."""
NUM_PAGES = 40


def make_pdf(path: Path, num_pages: int, *, size: tuple[float, float] = (100, 140)) -> Path:
    """A PDF of empty pages."""
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument.new()
    for _ in range(num_pages):
        document.new_page(*size)
    document.save(path)
    document.close()
    return path


def make_documents(folder: Path) -> Path:
    """Forty pages in five documents, two of one name, and a document that cannot be opened."""
    (folder / "sub").mkdir(parents=True)
    make_pdf(folder / "a.pdf", 14)
    make_pdf(folder / "b.pdf", 12)
    make_pdf(folder / "sub" / "a.pdf", 10)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    Image.new("L", (60, 80), "white").save(folder / "scan.png")
    frames = [Image.new("1", (50, 70), 1) for _ in range(3)]
    frames[0].save(folder / "fax.tif", save_all=True, append_images=frames[1:])
    return folder


def answer(page: PageSource) -> str | PageResult:
    """A figure on every fifth page; a page that is cut short, one that loops, one that is empty."""
    where = (page.path.name, page.page)
    bad = {("b.pdf", 3): "truncated", ("b.pdf", 7): "repetition"}
    if status := bad.get(where):
        return result_of(page, "half of", status)
    if where == ("fax.tif", 2):
        return ""
    text = say_where(page)
    if page.page % 5 == 0:
        text += "\n<|ref|>image<|/ref|><|det|>[[100, 100, 400, 300]]<|/det|>\n"
    return text


def result_of(page: PageSource, text: str, status: str, reason: str = "so it is") -> PageResult:
    """A result that is not well."""
    return PageResult(
        text=text,
        status=status,  # type: ignore[arg-type]
        prompt="<image>\nFree OCR.",
        reason=reason,
        width=100,
        height=140,
        mode="base",
    )


def use_engine(engine: Any, replace: Callable[[str, Any], object] | None = None) -> None:
    """Let `deepseek-ocr read` find this engine in place of one with a model.

    `replace` puts a module in place; default: for the rest of this process.
    """
    loading = types.ModuleType("engine")
    loading.load_engine = lambda *_, **__: engine  # type: ignore[attr-defined]
    retries = types.ModuleType("retries")
    retries.retries_for = lambda *_, **__: ()  # type: ignore[attr-defined]
    put = replace or sys.modules.__setitem__
    put("deepseek_ocr.inference.engine", loading)
    put("deepseek_ocr.inference.retries", retries)


# --- jobs in processes ----------------------------------------------------------------------------


def run(
    out: Path, arguments: Sequence[str | Path], *, moment: int | None = None, torn: bool = False
) -> int:
    """Read into `out`; the exit code, -9 if it was killed, at that moment."""
    process = start(out, arguments, moment=moment, torn=torn)
    return end_of(process)


def start(
    out: Path,
    arguments: Sequence[str | Path],
    *,
    moment: int | None = None,
    torn: bool = False,
    gate: Any = None,
) -> Any:
    """Begin to read into `out`; see `end_of`. With a `gate`, `gate.wait()` comes before answers."""
    values = [str(argument) for argument in arguments]
    process = FORKS.Process(target=_read, args=(out, values, moment, torn, gate))
    process.start()
    return process


def end_of(process: Any) -> int:
    """Its exit code; a hang is a failure, not a wait for ever."""
    process.join(timeout=120)
    process.kill()
    process.join()
    return process.exitcode


def _read(out: Path, arguments: list[str], moment: int | None, torn: bool, gate: Any) -> None:
    os.environ["DEEPSEEK_OCR_MODEL"] = "stub"
    size = (100, 140)
    use_engine(StubEngine(_noted(out, gate), size=size))
    counted = kill_at(moment, torn)
    with (
        out.with_suffix(".log").open("a", buffering=1) as log,
        contextlib.redirect_stderr(log),
        contextlib.redirect_stdout(log),
    ):
        code = cli.run("read", [*arguments, f"--out={out}"])
    if code in (0, 3):
        out.with_suffix(COUNT).write_text(str(len(counted)))
    sys.exit(code)


def _noted(out: Path, gate: Any) -> Answer:
    def noted(page: PageSource) -> str | PageResult:
        if gate is not None:
            gate.wait(60)
        with out.with_suffix(ASKED).open("a") as file:
            file.write(f"{page.path.parent.name}/{page.path.name} {page.page}\n")
        return answer(page)

    return noted


def kill_at(moment: int | None, torn: bool) -> list[int]:
    """Puts a count before everything that changes the disk; returns the list that counts.

    At the moment of that number the process ends as if the power went; with `torn` in the middle of
    the line that it writes.
    """
    counted: list[int] = []

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(*arguments: Any, **named: Any) -> Any:
            counted.append(1)
            if moment is not None and len(counted) > moment:
                if torn and function is os_fsync:
                    _tear(arguments[0])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return counted_call

    os_fsync = os.fsync
    os.fsync = counting(os.fsync)
    Path.replace = counting(Path.replace)  # type: ignore[method-assign]
    Path.unlink = counting(Path.unlink)  # type: ignore[method-assign]
    Path.mkdir = counting(Path.mkdir)  # type: ignore[method-assign]
    return counted


def _tear(descriptor: int) -> None:
    """Leave half of the last line."""
    with contextlib.suppress(OSError):  # opened to be synced alone
        os.ftruncate(descriptor, max(0, os.fstat(descriptor).st_size - 7))


class Once:
    """A gate that all wait for, the first time."""

    def __init__(self, barrier: Any):
        self._barrier, self._waited = barrier, False

    def wait(self, timeout: float) -> None:
        if not self._waited:
            self._barrier.wait(timeout)
        self._waited = True


class Holds:
    """A gate that says that somebody stands before it, and never opens."""

    def __init__(self, reached: Any, never: Any):
        self._reached, self._never = reached, never

    def wait(self, timeout: float) -> None:
        self._reached.set()
        self._never.wait(timeout)


class Counts:
    """An open gate that says when so many have gone through."""

    def __init__(self, number: int, event: Any):
        self._left, self._event = number, event

    def wait(self, timeout: float) -> None:
        self._left -= 1
        if not self._left:
            self._event.set()


# --- what a job left ------------------------------------------------------------------------------


def asked_by(out: Path) -> list[tuple[str, int]]:
    """Pages that engines were asked about, as (folder/file, page), in order."""
    path = out.with_suffix(ASKED)
    lines = path.read_text().splitlines() if path.exists() else []
    return [(name, int(page)) for name, page in (line.rsplit(" ", 1) for line in lines)]


def told_by(out: Path) -> str:
    """What the runs into `out` said."""
    return out.with_suffix(".log").read_text()


def moments_of(out: Path) -> int:
    """At how many moments the last whole run into `out` could have been killed."""
    return int(out.with_suffix(COUNT).read_text())


def files_of(out: Path) -> dict[str, bytes]:
    """Every file for users but the journal: path -> bytes."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".reading" not in path.parts and path.name != "pages.jsonl"
    }


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The journal's rows."""
    path = out / "pages.jsonl"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def outcome_of(out: Path) -> list[str]:
    """The journal's rows but for seconds, attempts and order."""
    rows = [row | {"seconds": 0, "attempts": 0} for row in rows_of(out)]
    return sorted(map(json.dumps, rows))
