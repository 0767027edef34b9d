"""Seconds and peak memory of reading documents of 50, 500 and 5,000 pages, without a model.

python benchmarks/reading.py [--pages 50 500 5000] [--formats md,json] [--folder DIR]

Pages are opened and cut as they are for a model, by a process of its own; a stub answers each with
a kilobyte of text in boxes. Each size runs in a process of its own. `again` is the whole command,
from its start to its end, on the finished job.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections import deque
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from deepseek_ocr.inference.cutting import Cutter
from deepseek_ocr.inference.results import PageResult
from deepseek_ocr.resolution import MODES

AHEAD = 4
LINE = "<|ref|>text<|/ref|><|det|>[[100, {0}, 900, {0}]]<|/det|>\nThe quick brown fox, line {0}\n"


def main() -> None:
    """Draw the documents, measure each in a child, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--formats", default="md,json")
    parser.add_argument("--folder", type=Path, help="where the documents are made for a while")
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(*given.measure, given.formats)
        return
    print("| pages | s | ms a page | MB | MB of the largest child | again s |\n" + "|---" * 6 + "|")
    for num_pages in given.pages:
        with tempfile.TemporaryDirectory(dir=given.folder) as place:
            document, out = Path(place) / "document.pdf", Path(place) / "out"
            draw_pdf(document, num_pages)
            command = [sys.executable, __file__, "--formats", given.formats, "--measure"]
            command += [str(document), str(out)]
            first = measured(command)
            began = time.perf_counter()
            again = measured(command)
            again_s = time.perf_counter() - began
        assert (first["asked"], again["asked"]) == (num_pages, 0)
        print(
            f"| {num_pages:,} | {first['seconds']:.1f} | {1e3 * first['seconds'] / num_pages:.1f} "
            f"| {first['peak'] / 1e6:.0f} | {first['child_peak'] / 1e6:.0f} | {again_s:.2f} |"
        )


def draw_pdf(path: Path, num_pages: int) -> None:
    """A PDF of pages of A4 with forty lines of text each, written by hand."""
    lines = "".join(f"({n} The quick brown fox jumps over the lazy dog.) ' " for n in range(40))
    content = f"BT /F 11 Tf 50 800 Td 18 TL {lines} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (num_pages, b" ".join(b"%d 0 R" % (5 + n) for n in range(num_pages))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F 3 0 R >> >> >>"
    )
    places = []
    with path.open("wb") as file:
        file.write(b"%PDF-1.4\n")
        for number, body in enumerate([*objects, *[page] * num_pages], start=1):
            places.append(file.tell())
            file.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
        begin = file.tell()
        file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1))
        file.writelines(b"%010d 00000 n \n" % place for place in places)
        file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(places) + 1))
        file.write(b"startxref\n%d\n%%%%EOF\n" % begin)


def measured(command: list[str]) -> dict[str, Any]:
    """What `measure` prints, in a child."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class OpeningEngine:
    """Opens and cuts each page, ahead of its turn, and answers at once; counts the pages."""

    prompt = None

    def __init__(self) -> None:
        self.num_asked = 0
        self._text = "".join(LINE.format(100 + 50 * n) for n in range(12))

    def answer(
        self,
        requests: Iterable[tuple[Any, ...]],
        *,
        max_new_tokens: int,
        batch_size: int,
        in_order: bool,
        num_workers: int,
    ) -> Generator[tuple[int, PageResult], None, None]:
        """Each request with its answer."""
        modes = {"small": MODES["small"]}  # drawing is not what is measured
        with Cutter((127, 127, 127), num_workers) as cutter:
            waiting: deque[tuple[int, str, Any]] = deque()
            numbered = enumerate(requests)
            while True:
                while len(waiting) < AHEAD and (request := next(numbered, None)) is not None:
                    number, (pictures, prompt, *_) = request
                    waiting.append((number, prompt, cutter.begin(pictures, modes)))
                if not waiting:
                    return
                number, prompt, cutting = waiting.popleft()
                [view] = cutting.views()
                self.num_asked += 1
                width, height = view.size
                yield (
                    number,
                    PageResult(
                        text=self._text,
                        status="ok",
                        prompt=prompt,
                        num_tokens=300,
                        width=width,
                        height=height,
                        mode=view.mode,
                    ),
                )


def measure(document: Path, out: Path, formats: str) -> None:
    """Read a document; seconds, peak bytes and the number of pages asked about, as JSON."""
    from deepseek_ocr.cli import main as cli

    engine = OpeningEngine()
    loading = types.ModuleType("engine")
    loading.load_engine = lambda *_, **__: engine  # type: ignore[attr-defined]
    retries = types.ModuleType("retries")
    retries.retries_for = lambda *_, **__: ()  # type: ignore[attr-defined]
    sys.modules["deepseek_ocr.inference.engine"] = loading
    sys.modules["deepseek_ocr.inference.retries"] = retries
    began = time.perf_counter()
    flags = [f"--out={out}", f"--format={formats}", "--model=stub", "--quiet"]
    if code := cli.run("read", [str(document), *flags]):
        raise SystemExit(code)
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "child_peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit,
    }
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "asked": engine.num_asked, **peaks}))


if __name__ == "__main__":
    main()
