"""Pages a second and how long each waits, against how many are answered at once.

    python benchmarks/batching.py --model nano-untrained --pages 32 --batch 1,2,4,8 --json out.json

Drawn pages of unlike sizes, answers of unlike lengths. `joining`: rows join and leave a running
batch (`OcrEngine.answer`); `whole`: a batch starts when the one before has ended (`generate`). A
page's latency counts from when it is taken to its end; of `whole` from its batch's beginning to its
end. The ways take turns, `--rounds` times; medians.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deepseek_ocr.data.synthetic.stream import PageStream
from deepseek_ocr.inference.engine import OcrEngine, load_engine
from deepseek_ocr.runlog import versions

PROMPT = "<image>\nFree OCR."
KINDS = ("lines", "letters", "receipts", "tables")


@dataclasses.dataclass
class Run:
    """One pass over all pages: its seconds, tokens, and each page's latency."""

    seconds: float
    tokens: int
    latencies: list[float]


def drawn_pages(count: int, size: int, seed: int = 0) -> list[Image.Image]:
    """Sample documents, cut to unlike shapes."""
    draw = random.Random(seed)
    stream = PageStream(seed=seed, num_pages=count, kinds=KINDS, size=size)
    pages = [stream.page(number).image.convert("RGB") for number in range(count)]
    return [
        page.crop((0, 0, page.width, max(64, round(page.height * draw.uniform(0.4, 1)))))
        for page in pages
    ]


def with_unlike_ends(engine: OcrEngine, pages: list[Image.Image], longest: int) -> None:
    """Untrained weights never end: each page has a budget of its own, a tenth of the longest on."""
    draw = random.Random(1)
    budgets = {id(page): max(1, round(longest * draw.uniform(0.1, 1))) for page in pages}
    make_row = engine._row

    def row(ticket, max_new_tokens):
        made = make_row(ticket, max_new_tokens)
        made.budget = min(made.budget, budgets[id(ticket.pictures[0])])
        return made

    engine._row = row  # type: ignore[method-assign]


def joining(engine: OcrEngine, pages: list[Image.Image], batch: int, longest: int) -> Run:
    """Rows join and leave a running batch."""
    starts: dict[int, float] = {}

    def requests() -> Iterator:
        for number, page in enumerate(pages):
            starts[number] = time.perf_counter()
            yield [page], PROMPT

    began = time.perf_counter()
    tokens, latencies = 0, []
    found = engine.answer(requests(), max_new_tokens=longest, batch_size=batch, in_order=False)
    for number, result in found:
        latencies.append(time.perf_counter() - starts[number])
        tokens += result.num_tokens
    return Run(time.perf_counter() - began, tokens, latencies)


def whole(engine: OcrEngine, pages: list[Image.Image], batch: int, longest: int) -> Run:
    """Batches that start and end together."""
    began = time.perf_counter()
    tokens, latencies = 0, []
    for start in range(0, len(pages), batch):
        batch_began = time.perf_counter()
        rows = [([page], PROMPT) for page in pages[start : start + batch]]
        results = engine.generate(rows, max_new_tokens=longest)
        latencies += [time.perf_counter() - batch_began] * len(rows)
        tokens += sum(result.num_tokens for result in results)
    return Run(time.perf_counter() - began, tokens, latencies)


WAYS = {"joining": joining, "whole": whole}


def summary(runs: list[Run], num_pages: int) -> dict[str, float]:
    """Medians over the rounds; latencies of all of them together."""
    latencies = [seconds for run in runs for seconds in run.latencies]
    return {
        "pages_per_s": statistics.median(num_pages / run.seconds for run in runs),
        "tokens_per_s": statistics.median(run.tokens / run.seconds for run in runs),
        **{f"p{q}_s": float(np.percentile(latencies, q)) for q in (50, 90, 99)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano-untrained")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--mode", default=None)
    parser.add_argument("--pages", type=int, default=32)
    parser.add_argument("--size", type=int, default=640, help="pixels of a page's longer side")
    parser.add_argument("--max_new_tokens", type=int, default=128)
    parser.add_argument("--batch", default="1,2,4,8", help="rows at once, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    engine = load_engine(
        options.model, device=options.device, dtype=options.dtype, mode=options.mode
    )
    pages = drawn_pages(options.pages, options.size)
    with_unlike_ends(engine, pages, options.max_new_tokens)
    batches = [int(batch) for batch in options.batch.split(",")]
    joining(engine, pages[:2], 2, 8)  # what is done once only
    rows = []
    print(
        f"{'rows':>5} {'way':8}{'pages/s':>9}{'tokens/s':>10}{'p50 s':>8}{'p90 s':>8}{'p99 s':>8}"
    )
    for batch in batches:
        runs: dict[str, list[Run]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, run in WAYS.items():
                runs[way].append(run(engine, pages, batch, options.max_new_tokens))
        for way, done in runs.items():
            found = summary(done, len(pages))
            rows.append({"rows": batch, "way": way, **found})
            print(
                f"{batch:5} {way:8}{found['pages_per_s']:9.2f}{found['tokens_per_s']:10.1f}"
                f"{found['p50_s']:8.2f}{found['p90_s']:8.2f}{found['p99_s']:8.2f}",
                flush=True,
            )
    if options.json:
        arguments = {k: str(v) for k, v in vars(options).items()}
        content = {
            "arguments": arguments,
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "cache_bytes": engine.cache_bytes(max(batches)),
            "rows": rows,
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
