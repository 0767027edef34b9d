"""Memory of reading: the most a process has while it loads a model and reads a page.

    python benchmarks/memory.py MODEL [--dtype bfloat16] [--tokens N] [--rows N] [--json FILE]

MODEL is a folder or a preset (`base-untrained`: the published sizes). A row for the weights as they
are, for eight and for four bits; each in a process of its own, on a CPU (Linux): the bytes of the
weights, the peak once they are loaded, the peak after `--rows` pages at once, and the bytes of the
cache, which are known before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.training_side import status_bytes
from deepseek_ocr.inference.engine import load_engine
from deepseek_ocr.inference.slots import SlotDecoder

WAYS = ("none", "int8", "int4")
PAGE = (1300, 1900)
"""Width and height of the page in pixels: six tiles of 640 in the mode gundam."""


def measure(args: argparse.Namespace) -> dict[str, int]:
    """Bytes of one way, in this process."""
    quantize = None if args.way == "none" else args.way
    engine = load_engine(args.model, device="cpu", dtype=args.dtype, quantize=quantize)
    tensors = [*engine.model.parameters(), *engine.model.buffers()]
    found = {
        "weights": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "peak loaded": status_bytes("VmHWM"),
    }
    page = Image.effect_noise(PAGE, 80).convert("RGB")
    rows = [([page], f"<image>\nFree OCR. {number}") for number in range(args.rows)]
    results = engine.generate(rows, max_new_tokens=args.tokens)
    longest = max(r.num_image_tokens for r in results) + args.tokens
    config, dtype = engine.model.config, engine.model.dtype
    return found | {
        "peak read": status_bytes("VmHWM"),
        "cache": SlotDecoder.bytes_needed(config, args.rows, longest, dtype),
    }


def run(way: str, args: argparse.Namespace) -> dict[str, int] | None:
    """`measure` in a process of its own; None where the model's sizes do not suit the way."""
    command = [sys.executable, __file__, args.model, "--way", way, "--dtype", args.dtype]
    command += ["--tokens", str(args.tokens), "--rows", str(args.rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "UserError" in done.stderr:
        print(f"{way}: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        return None
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """A table, or one line of it for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if args.way:
        with torch.no_grad():
            print(json.dumps(measure(args)))
        return
    found = {way: of_way for way in WAYS if (of_way := run(way, args)) is not None}
    names = list(found["none"])
    print(
        f"{args.model}, {args.dtype}, {args.rows} pages at once, {args.tokens} tokens; 10^9 bytes"
    )
    print(f"{'quantize':10}" + "".join(f"{name:>13}" for name in names))
    for way, of_way in found.items():
        print(f"{way:10}" + "".join(f"{of_way[name] / 1e9:13.3f}" for name in names))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
