"""How long a report of many rows takes to be written, and to open in a browser.

    python benchmarks/report.py --rows 10000 --characters 3000

Needs a Chromium on PATH. Opening: from navigation to the load event, and until the list of all rows
stands and the page has painted it; each the median of five fresh loads. Searching: until a search
for a word that one row alone has is answered, every text looked through.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deepseek_ocr.evaluation.report import REPORT_NAME, OtherRun, write_report
from tests.evaluation.report.browser import Browser, find_browser
from tests.evaluation.report.samples import row, summary_of

NUM_LOADS = 5
NEEDLE = "zyzzyva"
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def misread(text: str, rate: float, chance: random.Random) -> str:
    """The text with a share of its characters replaced, lost or doubled."""
    found = []
    for character in text:
        if chance.random() >= rate:
            found.append(character)
        else:
            found.append(chance.choice(("", character * 2, chance.choice("aeinrst"))))
    return "".join(found)


def drawn_rows(count: int, num_chars: int, error_rate: float, seed: int) -> list[dict[str, Any]]:
    """Rows of made-up words, read with about `error_rate`."""
    chance = random.Random(0)  # the same truths for every seed
    letters = "eeeennnniiissrrraattddhhuulcgmobwfkzv"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(5000)]
    errors = random.Random(seed)
    rows = []
    for number in range(count):
        truth = " ".join(chance.choices(words, k=num_chars // 7 + 1))[:num_chars]
        if number == count - 1:
            truth = f"{NEEDLE} {truth}"
        answer = misread(truth, error_rate * errors.random() * 2, errors)
        rows.append(row(answer, truth, number=number, group=f"document-{number // 50}"))
    return rows


def report(arguments: argparse.Namespace, folder: Path) -> Path:
    """Writes the report and says how long that took."""
    rows = drawn_rows(arguments.rows, arguments.characters, arguments.errors, seed=1)
    summary = summary_of(rows)
    other = None
    if arguments.compare:
        theirs = drawn_rows(arguments.rows, arguments.characters, 2 * arguments.errors, seed=2)
        other = OtherRun(name="the other run", rows=theirs, summary=summary_of(theirs))
    page = Image.effect_noise((1000, 1400), 40)
    path = folder / REPORT_NAME
    started = time.perf_counter()
    write_report(path, rows, summary, open_page=lambda reference: page, other=other)
    print(
        f"written in {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1e6:.1f} MB",
        flush=True,
    )
    return path


def measure(path: Path, browser: Browser) -> None:
    """Says how long the page takes to open and to be searched."""
    loaded, usable = [], []
    for _ in range(NUM_LOADS):
        took = browser.open(path)
        started = time.perf_counter()
        loaded.append(took)
        browser.wait_for("document.querySelector('.list .item')")
        browser.value(PAINTED)
        usable.append(took + time.perf_counter() - started)
    print(f"loaded in {statistics.median(loaded):.2f} s (slowest {max(loaded):.2f} s)")
    print(f"list painted in {statistics.median(usable):.2f} s (slowest {max(usable):.2f} s)")
    started = time.perf_counter()
    browser.value(
        f"const box = document.querySelector('.tools input'); box.value = '{NEEDLE}'; "
        "box.dispatchEvent(new Event('input'))"
    )
    browser.wait_for("document.querySelector('.tools output').value.startsWith('1 of')")
    print(f"all texts searched in {time.perf_counter() - started:.2f} s")
    if browser.errors:
        sys.exit(f"errors in the page: {browser.errors}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--characters", type=int, default=3_000, help="of a truth")
    parser.add_argument("--errors", type=float, default=0.05, help="mean error rate of the answers")
    parser.add_argument("--compare", action="store_true", help="with another run beside it")
    arguments = parser.parse_args()
    path = find_browser()
    if path is None:
        sys.exit("no Chromium on PATH; install one to measure a browser")
    with tempfile.TemporaryDirectory() as folder, Browser(path) as browser:
        measure(report(arguments, Path(folder)), browser)


if __name__ == "__main__":
    main()
