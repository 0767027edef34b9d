"""Reading beside transformers' own class: encoder, prompt, decoding, memory, and the floors.

    python benchmarks/speed.py [--size whole|full|nano] [--repeats N] [--json FILE]

The published sizes with random weights (`--size full`: four decoder layers), bfloat16, and ours
with weights of eight bits; a page of an overview of 1024 x 1024 and six tiles of 640 x 640, a
prompt of 913 positions, then tokens one row at a time and eight rows at once. Each side has a
process of its own, in turn, `--repeats` times; a ratio is the median of the pairs' ratios. `floor`
is what the counted work takes at the rates of a large product and of a sum over a large tensor,
measured here. All sides get the same tokens, and their answers are compared. On a busy machine read
the CPU seconds, with `--threads 1`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.arguments import new_parser, parse
from benchmarks.speed_side import BATCH, FULL_POSITIONS, POSITIONS, SIDES
from benchmarks.training import config_of, make_weights
from benchmarks.training_side import SIZES
from benchmarks.work import matrix_rate, prefill_flops, read_rate, step_bytes, view_flops

SIDE = Path(__file__).resolve().with_name("speed_side.py")
WORK = {
    "overview": "overview, s",
    "tile": "tile in a batch, s",
    "prefill": "prefill, s",
    "decode_1": "decode, batch 1, s/token",
    "decode_8": "decode, batch 8, s/token",
}
MOST_DIFFERENCE = 0.1
"""Root mean square of the difference over that of the answers, of two ways in bfloat16."""
Sides = dict[str, dict[str, Any]]


def run_side(side: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of one side, from a process of its own; its answers lie beside the weights."""
    command = [sys.executable, str(SIDE), side, str(folder), "--size", args.size]
    command += ["--device", args.device, "--threads", str(args.threads)]
    command += ["--repeats", str(args.inner), "--steps", str(args.steps)]
    command += ["--answers", str(folder / f"{side}.pt")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def floors(config: Any, args: argparse.Namespace) -> dict[str, float]:
    """Seconds that each kind of work takes at least here, and the two rates."""
    flops, read = matrix_rate(args.device), read_rate(args.device)
    size, positions = SIZES[args.size], POSITIONS.get(args.size, FULL_POSITIONS)
    return {
        "matrix_rate": flops,
        "read_rate": read,
        "overview": view_flops(config, size.overview) / flops,
        "tile": view_flops(config, size.tile) / flops,
        "prefill": prefill_flops(config, positions) / flops,
        "decode_1": step_bytes(config, 1, positions, 2) / read,
        "decode_8": step_bytes(config, BATCH, positions, 2) / read / BATCH,
        "int8 decode_1": step_bytes(config, 1, positions, 1) / read,
        "int8 decode_8": step_bytes(config, BATCH, positions, 1) / read / BATCH,
    }


def summarize(pairs: list[Sides]) -> dict[str, Any]:
    """Medians of each side, and of the pairs' ratios theirs / ours."""
    found: dict[str, Any] = {}
    for name in WORK:
        row: dict[str, Any] = {}
        for clock in ("seconds", "cpu_seconds"):
            each = {
                side: [statistics.median(pair[side][clock][name]) for pair in pairs]
                for side in pairs[0]
            }
            row[clock] = {side: statistics.median(values) for side, values in each.items()}
            row[f"{clock}_ratios"] = {
                side: [a / b for a, b in zip(each["theirs"], values, strict=True)]
                for side, values in each.items()
                if side != "theirs"
            }
        found[name] = row
    found["peak_bytes"] = {side: max(p[side]["peak_bytes"] for p in pairs) for side in pairs[0]}
    found["load_seconds"] = {
        side: statistics.median(p[side]["load_seconds"] for p in pairs) for side in pairs[0]
    }
    return found


def differences(folder: Path) -> dict[str, dict[str, float]]:
    """How far the answers of our sides are from theirs, relative, root mean square."""
    answers = {side: torch.load(folder / f"{side}.pt", weights_only=True) for side in SIDES}
    theirs = answers.pop("theirs")
    return {
        side: {
            name: float((tensor - theirs[name]).square().mean().sqrt() / theirs[name].std())
            for name, tensor in found.items()
        }
        for side, found in answers.items()
    }


def print_table(found: dict[str, Any], args: argparse.Namespace) -> None:
    """A line for each kind of work, then memory."""
    print(f"size {args.size}, {args.device}, {args.threads} threads, {args.repeats} pairs")
    rates = found["floors"]
    print(f"large product {rates['matrix_rate'] / 1e9:.0f} GFLOP/s, ", end="")
    print(f"memory read {rates['read_rate'] / 1e9:.1f} GB/s")
    print(f"{'':26} {'theirs':>9} {'ours':>9} {'floor':>9} {'ratio':>7} {'CPU ratio':>9}")
    for name, label in WORK.items():
        print_line(label, found[name], "ours", rates[name])
        if name.startswith("decode"):
            print_line("  with int8 weights", found[name], "int8", rates[f"int8 {name}"])
    for side, peak in found["peak_bytes"].items():
        print(f"peak memory, {side}: {peak / 1e9:.2f} GB (10^9 bytes)")
    for side, of_side in found["differences"].items():
        parts = ", ".join(f"{name} {value:.3f}" for name, value in of_side.items())
        print(f"{side} differs from theirs by (relative): {parts}")


def print_line(label: str, row: dict[str, Any], side: str, floor: float) -> None:
    """Medians in seconds, and how many times as fast as theirs."""
    seconds = row["seconds"]
    ratio, cpu = (
        statistics.median(row[f"{clock}_ratios"][side]) for clock in ("seconds", "cpu_seconds")
    )
    print(f"{label:26.26} {seconds['theirs']:9.4f} {seconds[side]:9.4f} ", end="")
    print(f"{floor:9.4f} {ratio:6.2f}x {cpu:8.2f}x")


def main() -> None:
    """All sides in turn, one table."""
    parser = new_parser(__doc__)
    parser.add_argument("--size", choices=tuple(SIZES), default="whole")
    parser.add_argument("--inner", type=int, default=2, help="measured repeats in a process")
    parser.add_argument("--steps", type=int, default=16, help="measured tokens in a process")
    args = parse(parser)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)) / args.size
        make_weights(folder, args.size)
        pairs = []
        for number in range(args.repeats):
            order = list(SIDES) if number % 2 else list(SIDES)[::-1]
            pairs.append({side: run_side(side, folder, args) for side in order})
        found = summarize(pairs)
        found["differences"] = differences(folder)
    found["floors"] = floors(config_of(args.size), args)
    found["arguments"] = {name: str(value) for name, value in vars(args).items()}
    print_table(found, args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    for name, difference in found["differences"]["ours"].items():
        if not difference <= MOST_DIFFERENCE:
            sys.exit(f"{name}: the sides do not agree, they differ by {difference:.2g}")


if __name__ == "__main__":
    main()
