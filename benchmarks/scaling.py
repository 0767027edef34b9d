"""How the time of reading grows with tiles, prompt, context and batch: the exponents.

    python benchmarks/scaling.py [--model MODEL] [--quick] [--threads N] [--json FILE]

MODEL is a folder or a preset (default: base-untrained, the published sizes in bfloat16). Each row
is a list of sizes with the median seconds of some repeats, and the exponent that fits them best: 1
where time grows in proportion, 0 where it stays. CPU seconds, which other work on the machine
changes less, where `--threads 1` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.work import now
from deepseek_ocr.inference.slots import SlotDecoder
from deepseek_ocr.model.loading import load_model

TILES, PROMPTS, CONTEXTS = (1, 2, 4, 8), (128, 512, 2048), (128, 512, 2048)
BATCHES = (1, 2, 4, 8, 16, 32)
TILE, SHORT = 640, 64  # pixels; positions of the prompts whose batch is measured


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of the line through both logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


class Measurement:
    """Times of one model; Letters: N positions, n rows."""

    def __init__(self, model: Any, args: argparse.Namespace):
        self.model, self.repeats, self.cpu = model, args.repeats, args.threads == 1
        self.device = model.device.type
        self.vocabulary = min(model.config.vocab_size, 128_000)

    def median(self, act: Callable[[], object]) -> float:
        """Seconds of `act`, after one that is not counted."""
        found = []
        for _ in range(self.repeats + 1):
            start, cpu = now(self.device), time.process_time()
            act()
            found.append(time.process_time() - cpu if self.cpu else now(self.device) - start)
        return statistics.median(found[1:])

    def tiles(self, count: int) -> float:
        """Encoding so many tiles in one pass."""
        side = min(TILE, self.model.config.sam_config.image_size // 64 * 64)
        pixels = torch.rand(count, 3, side, side, device=self.device) * 2 - 1
        return self.median(lambda: self.model.model.encode_views(pixels))

    def prompt(self, length: int) -> float:
        """A prompt of N positions."""
        decoder, embeds = self.decoder(1, length), [self.embeds(length)]

        def act() -> None:
            decoder.free([0])
            decoder.prefill([0], embeds)

        return self.median(act)

    def context(self, length: int) -> float:
        """A token after N positions."""
        decoder = self.decoder(1, length + self.repeats + 2)
        decoder.prefill([0], [self.embeds(length)])
        return self.step(decoder, 1)

    def batch(self, rows: int) -> float:
        """A step of n rows."""
        decoder = self.decoder(rows, SHORT + self.repeats + 2)
        decoder.prefill(range(rows), [self.embeds(SHORT) for _ in range(rows)])
        return self.step(decoder, rows)

    def step(self, decoder: SlotDecoder, rows: int) -> float:
        slots = torch.arange(rows)
        tokens = torch.randint(32, self.vocabulary, (rows,), device=self.device)
        return self.median(lambda: decoder.step(slots, tokens))

    def decoder(self, rows: int, positions: int) -> SlotDecoder:
        return SlotDecoder(self.model, num_slots=rows, num_positions=positions)

    def embeds(self, length: int) -> torch.Tensor:
        ids = torch.randint(32, self.vocabulary, (length,), device=self.device)
        return self.model.get_input_embeddings()(ids)


def main() -> None:
    """One line for each thing that grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="base-untrained")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes of each")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    model, _ = load_model(args.model, device=args.device, dtype=args.dtype)
    measurement, found = Measurement(model, args), {}
    kinds = {"tiles": TILES, "prompt": PROMPTS, "context": CONTEXTS, "batch": BATCHES}
    with torch.no_grad():
        for kind, every in kinds.items():
            sizes = list(every[:2] if args.quick else every)
            seconds = [getattr(measurement, kind)(size) for size in sizes]
            found[kind] = {"sizes": sizes, "seconds": seconds, "exponent": exponent(sizes, seconds)}
            each = ", ".join(f"{n}: {s:.4f}" for n, s in zip(sizes, seconds, strict=True))
            print(f"{kind:8} exponent {found[kind]['exponent']:.2f}   seconds at {each}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
