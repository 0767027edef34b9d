"""One side of `speed.py`, in a process of its own: loads, encodes, decodes, prints JSON.

    python benchmarks/speed_side.py ours FOLDER --size nano

`theirs` is transformers' `UnlimitedOcrForConditionalGeneration` with full attention and
`grouped_mm`, `ours` the encoder and the `SlotDecoder` that the engine reads with, `int8` the same
with quantized weights. All have the same weights, pixels and tokens; no `generate` around them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.cache_utils import DynamicCache

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.training_side import SIZES, Size, make_page, status_bytes
from benchmarks.work import now

POSITIONS = {"nano": 120}
"""Length of the prompt, pictures included; that of a page of six tiles where nothing is said."""
FULL_POSITIONS = 913
BATCH = 8
Times = dict[str, list[float]]


@dataclasses.dataclass(kw_only=True)
class Report:
    """Seconds, and those that the process computed, of each kind of work; bytes at the peak."""

    seconds: Times = dataclasses.field(default_factory=dict)
    cpu_seconds: Times = dataclasses.field(default_factory=dict)
    load_seconds: float = 0.0
    peak_bytes: int = 0


class Ours:
    """The encoder and the decoder over slots."""

    def __init__(self, folder: Path, device: str, num_positions: int, quantize: str | None = None):
        from deepseek_ocr.inference.slots import SlotDecoder
        from deepseek_ocr.model.loading import read_config, read_model
        from deepseek_ocr.model.weight_only import quantize_weights

        config = read_config(folder / "ours")
        self.model: Any = read_model(folder / "ours", config, torch.bfloat16)
        if quantize:
            quantize_weights(self.model, quantize)
        self.model.to(device).eval()
        self.decoder = SlotDecoder(self.model, num_slots=BATCH, num_positions=num_positions)

    def encode(self, pixels: Tensor) -> Tensor:
        """(views, 3, S, S) -> (views, q * q, D)."""
        return self.model.model.encode_views(pixels).flatten(1, 2)

    def prefill(self, ids: Tensor) -> Tensor:
        """(N,) -> (1, V) logits after the last."""
        self.decoder.free(range(BATCH))
        return self.decoder.prefill([0], [self.model.get_input_embeddings()(ids)])

    def step(self, tokens: Tensor) -> Tensor:
        """(n,) -> (n, V)."""
        return self.decoder.step(torch.arange(len(tokens)), tokens)

    def widen(self) -> None:
        """The row of the prompt as often as a batch has rows."""
        self.decoder.copy(0, range(1, BATCH))


class Theirs:
    """Transformers' class and its own cache."""

    def __init__(self, folder: Path, device: str, num_positions: int):
        self.model: Any = (
            transformers.UnlimitedOcrForConditionalGeneration.from_pretrained(
                folder / "theirs",
                dtype=torch.bfloat16,
                key_mapping=None,
                experts_implementation="grouped_mm",
            )
            .to(device)
            .eval()
        )
        self.cache = DynamicCache()

    def encode(self, pixels: Tensor) -> Tensor:
        seen = self.model.model.vision_tower(pixels.to(torch.bfloat16))
        return self.model.model.multi_modal_projector(seen.last_hidden_state)

    def prefill(self, ids: Tensor) -> Tensor:
        self.cache = DynamicCache()
        return self._forward(ids[None])

    def step(self, tokens: Tensor) -> Tensor:
        return self._forward(tokens[:, None])

    def widen(self) -> None:
        self.cache.batch_repeat_interleave(BATCH)

    def _forward(self, ids: Tensor) -> Tensor:
        found = self.model(
            input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1
        )
        return found.logits[:, -1].float()


class Meter:
    """Times of one kind of work after the other, into a report."""

    def __init__(self, report: Report, device: str):
        self.report, self.device = report, device

    def measure(self, name: str, act: Any, repeats: int, *, share: int = 1) -> Tensor:
        """`act(i)` so many times after one that is not counted; the last answer."""
        wall: list[float] = []
        cpu: list[float] = []
        for number in range(-1, repeats):
            start, cpu_start = now(self.device), time.process_time()
            answer = act(number)
            wall.append((now(self.device) - start) / share)
            cpu.append((time.process_time() - cpu_start) / share)
        self.report.seconds[name], self.report.cpu_seconds[name] = wall[1:], cpu[1:]
        return answer


@torch.no_grad()
def run(
    make: Any, size: Size, positions: int, args: argparse.Namespace
) -> tuple[Report, dict[str, Tensor]]:
    """Every kind of work of one side, and what came out of it."""
    report = Report()
    start = time.perf_counter()
    side = make(args.folder, args.device, positions + 2 * args.steps + 8)
    report.load_seconds = time.perf_counter() - start
    text = side.model.config.text_config
    page = make_page(size, text.vocab_size, side.model.config.image_token_id)
    overview, tiles = (page[name].to(args.device) for name in ("pixel_values", "tile_values"))
    meter, found = Meter(report, args.device), {}
    found["overview"] = meter.measure("overview", lambda _: side.encode(overview), args.repeats)
    found["tile"] = meter.measure(
        "tile", lambda _: side.encode(tiles), args.repeats, share=len(tiles)
    )
    words = random_words(text.vocab_size)
    prompt = next(words)(positions).to(args.device)
    found["prefill"] = meter.measure("prefill", lambda _: side.prefill(prompt), args.repeats)
    draw = next(words)
    found["decode_1"] = meter.measure(
        "decode_1", lambda _: side.step(draw(1).to(args.device)), args.steps
    )
    report.peak_bytes = peak_bytes(args.device)
    side.prefill(prompt)
    side.widen()
    draw = next(words)
    found["decode_8"] = meter.measure(
        "decode_8", lambda _: side.step(draw(BATCH).to(args.device)), args.steps, share=BATCH
    )
    return report, found


def random_words(vocabulary: int) -> Iterator[Any]:
    """Functions count -> ids, the same for every side, each with a seed of its own."""
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)

        def draw(count: int, generator: torch.Generator = generator) -> Tensor:
            return torch.randint(32, min(vocabulary, 128_000), (count,), generator=generator)

        yield draw


def peak_bytes(device: str) -> int:
    """Most memory that the process ever had, or that was taken of the device."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else status_bytes("VmHWM")


def quantized(*args: Any) -> Ours:
    """As `Ours`, with weights of eight bits."""
    return Ours(*args, quantize="int8")


SIDES = {"ours": Ours, "theirs": Theirs, "int8": quantized}


def main() -> None:
    """The report of one side as a line of JSON; what came out of it, into `--answers`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=tuple(SIDES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--answers", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    size, positions = SIZES[args.size], POSITIONS.get(args.size, FULL_POSITIONS)
    report, found = run(SIDES[args.side], size, positions, args)
    if args.answers:
        torch.save({name: tensor.float().cpu() for name, tensor in found.items()}, args.answers)
    print(json.dumps(dataclasses.asdict(report)))


if __name__ == "__main__":
    main()
