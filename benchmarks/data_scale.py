"""Seconds and peak memory of checking and splitting a dataset of 10^4, 10^5 and 10^6 rows.

python benchmarks/data_scale.py [--sizes 10000 100000 1000000] [--pictures 4000] [--folder DIR]

Each size runs in a process of its own, without pictures and with a few thousand of them, and gives
a line of a table: processor seconds of each pass, seconds of the whole run, and bytes of memory a
row beyond what a run of ten rows takes. Temporary rows lie in TMPDIR, on a disk preferably.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

PASSES = {  # function -> what the table calls it
    "read_dataset": "read",
    "verify_pictures": "pictures",
    "judge_rows": "judge",
    "plan_split": "split",
    "write_split": "write",
}
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs"]


def main() -> None:
    """Draw the datasets, measure each in a child, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--folder", type=Path, help="where the datasets are made for a while")
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(*given.measure)
        return
    passes = " | ".join(f"{name} s" for name in PASSES.values())
    print(f"| rows | pictures | {passes} | run s | MB | B a row |")
    print("|---" * (len(PASSES) + 5) + "|")
    empty = 0
    for num_pictures in (0, given.pictures):
        for size in (10, *given.sizes):
            with tempfile.TemporaryDirectory(dir=given.folder) as place:
                root = Path(place) / "dataset"
                write_dataset(root, size, num_pictures)
                found = measured(root, Path(place) / "split")
            if size == 10:
                empty = found["peak"]
                continue
            seconds = " | ".join(f"{found.get(name, 0):.1f}" for name in PASSES)
            a_row = (found["peak"] - empty) / size
            peak = f"{found['peak'] / 1e6:.0f} | {a_row:.0f}"
            print(
                f"| {size:,} | {num_pictures} | {seconds} | {found['run']:.1f} | {peak} |",
                flush=True,
            )


def write_dataset(root: Path, num_rows: int, num_pictures: int) -> None:
    """A JSONL file of rows of about 400 characters, and the pictures that they name in turn."""
    root.mkdir()
    random.seed(0)
    for number in range(min(num_pictures, num_rows)):
        colour = (number % 256, number // 256, 99)
        Image.new("RGB", (16, 16), colour).save(root / f"page-{number:06d}.png")
    with (root / "rows.jsonl").open("w") as file:
        for number in range(num_rows):
            row: dict[str, Any] = {"id": f"row-{number}", "images": []}
            if num_pictures:
                row["images"] = [f"page-{number % num_pictures:06d}.png"]
            row["text"] = f"{number} " + " ".join(random.choices(WORDS, k=70))
            row["lang"] = random.choice(["en", "de", "fr"])
            file.write(json.dumps(row) + "\n")


def measured(root: Path, output_dir: Path) -> dict[str, float]:
    """What `measure` prints, in a child."""
    command = [sys.executable, __file__, "--measure", str(root), str(output_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def measure(root: Path, output_dir: Path) -> None:
    """Split the dataset at `root`; seconds of each pass and peak bytes as JSON."""
    from deepseek_ocr.cli import split as command
    from deepseek_ocr.data.checking import dataset as checking
    from deepseek_ocr.data.splitting import files as split_files
    from deepseek_ocr.data.splitting import plan as splitting

    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable) -> Callable:
        def run(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                seconds[name] = time.process_time() - began

        return run

    for module in (checking, splitting, split_files):
        for name in PASSES:
            if hasattr(module, name):
                setattr(module, name, timed(name, getattr(module, name)))
    began = time.perf_counter()
    if code := command.main(["--data_root", str(root), "--output_dir", str(output_dir)]):
        raise SystemExit(code)
    seconds["run"] = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps(seconds | {"peak": peak}))


if __name__ == "__main__":
    main()
