"""Seconds and peak anonymous memory of loading a model folder (Linux).

python benchmarks/loading.py FOLDER
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from deepseek_ocr.model.loading import load_model


def rss_anon() -> int:
    """Bytes of memory that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status; this needs Linux")


def main() -> None:
    """Load the folder named on the command line and print what it took."""
    peak, done = rss_anon(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, rss_anon())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    model, _ = load_model(sys.argv[1])
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    print(
        f"{model.num_parameters():,} parameters, {size / 1e9:.2f} GB as {model.dtype}: "
        f"{seconds:.1f} s, peak RssAnon {peak / 1e9:.2f} GB = {peak / size:.2f} of the weights"
    )


if __name__ == "__main__":
    main()
