"""A training step beside that of transformers' own class: samples a second, and memory.

    python benchmarks/training.py [--size full|nano] [--repeats N] [--json FILE]

One page of an overview and six tiles with an answer of 1,000 tokens, full widths and vocabulary,
four decoder layers, bfloat16, an adapter of rank 16 on the attention, no checkpointing, batch 1
(`--size nano`: seconds, to see that it runs; too small to be faster or leaner). Both sides start
from the same random weights. Each has a process of its own, in turn, `--repeats` times; a ratio is
the median of the pairs' ratios. `cached` is ours with what the frozen vision side gives known, as
`--feature_cache` has it from the second epoch on. `memory` is the peak of a step above weights and
optimizer state, less the gradients. On a busy machine read the CPU seconds, with `--threads 1`.

On a CUDA device it is the whole model (`--size whole`, the default there), with LoRA and with full
tuning of the decoder (`--tune full`), and the share of the device's own matrix rate (MFU).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.arguments import new_parser, parse
from benchmarks.training_side import SIZES, Size
from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrForConditionalGeneration
from deepseek_ocr.model.presets import nano_config
from tests.model.test_live_oracle import oracle_config

SIDES = ("theirs", "ours", "cached")
SIDE = Path(__file__).resolve().with_name("training_side.py")
MOST_LOSS_DIFFERENCE, MOST_NORM_DIFFERENCE = 1e-2, 1e-1  # relative, of the first step


def config_of(name: str) -> DeepseekOcrConfig:
    """The published sizes with the layers of this benchmark, or nano's."""
    if name == "nano":
        return nano_config()
    return DeepseekOcrConfig(text_config={"num_hidden_layers": SIZES[name].layers})


def make_weights(folder: Path, name: str) -> None:
    """The same random weights for both sides, each with its own config."""
    if (folder / "theirs" / "config.json").exists():
        return
    config = config_of(name)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model = DeepseekOcrForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder / "ours")
    (folder / "theirs").mkdir(exist_ok=True)
    for file in (folder / "ours").glob("*.safetensors*"):
        (folder / "theirs" / file.name).symlink_to(file.resolve())
    theirs = oracle_config(config)
    for name in ("image_size", "patch_size"):  # nano's are not the published ones
        setattr(theirs.vision_config.encoder_config, name, getattr(config.clip_config, name))
    theirs.save_pretrained(folder / "theirs")


def run_side(side: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of one side, from a process of its own."""
    command = [sys.executable, str(SIDE), side, str(folder), "--size", args.size]
    command += ["--steps", str(args.steps), "--device", args.device, "--tune", args.tune]
    command += ["--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarize(pairs: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each side, medians of the pairs' ratios, and whether they compute the same."""
    seconds, cpu_seconds = (
        {side: [statistics.median(pair[side][name]) for pair in pairs] for side in pairs[0]}
        for name in ("seconds", "cpu_seconds")
    )
    extra = {side: [pair[side]["extra_bytes"] for pair in pairs] for side in pairs[0]}
    first = pairs[0]
    return {
        "seconds": {side: statistics.median(values) for side, values in seconds.items()},
        "cpu_seconds": {side: statistics.median(values) for side, values in cpu_seconds.items()},
        "extra_bytes": {side: statistics.median(values) for side, values in extra.items()},
        "peak_bytes": {side: max(p[side]["peak_bytes"] for p in pairs) for side in first},
        "speed_ratios": ratios(seconds["theirs"], seconds["ours"]),
        "cpu_ratios": ratios(cpu_seconds["theirs"], cpu_seconds["ours"]),
        "cached_speed_ratios": ratios(seconds["theirs"], seconds["cached"]),
        "cached_cpu_ratios": ratios(cpu_seconds["theirs"], cpu_seconds["cached"]),
        "memory_ratios": ratios(extra["ours"], extra["theirs"]),
        "losses": {side: first[side]["losses"] for side in first},
        "grad_norms": {side: first[side]["grad_norms"] for side in first},
        "num_positions": first["ours"]["num_positions"],
    }


def ratios(ones: list[float], others: list[float]) -> list[float]:
    """Pair by pair, the one over the other."""
    return [one / other for one, other in zip(ones, others, strict=True)]


def disagreement(found: dict[str, Any]) -> str | None:
    """What the sides do not agree on in their first step; None where they do."""
    limits = {"losses": MOST_LOSS_DIFFERENCE, "grad_norms": MOST_NORM_DIFFERENCE}
    for name, limit in limits.items():
        theirs = found[name]["theirs"][0]
        for side in ("ours", "cached"):
            ours = found[name][side][0]
            if not abs(ours - theirs) <= limit * abs(theirs):
                return f"{name} of the first step differ: {side} {ours:.5g}, theirs {theirs:.5g}"
    return None


def step_flops(config: DeepseekOcrConfig, size: Size, positions: int, tune: str) -> float:
    """Products of one step, two operations a multiplication and addition; no recomputation.

    The frozen vision side runs forward alone. The decoder runs forward, back to the inputs, and,
    where its weights train, back to the weights.
    """
    text, sam, clip = config.text_config, config.sam_config, config.clip_config
    views = [(size.overview, 1), (size.tile, size.grid[0] * size.grid[1])]
    vision = 0.0
    for side, count in views:
        patches, tokens = (side // 16) ** 2, (side // 64) ** 2
        windowed = sam.num_hidden_layers - len(sam.global_attn_indexes)
        keys = windowed * sam.window_size**2 + len(sam.global_attn_indexes) * patches
        sam_weights = sam.num_hidden_layers * (4 + 2 * sam.mlp_ratio) * sam.hidden_size**2
        clip_weights = clip.num_hidden_layers * (4 + 2 * clip.mlp_ratio) * clip.hidden_size**2
        vision += count * patches * (2 * sam_weights + 4 * keys * sam.hidden_size)
        vision += count * tokens * (2 * clip_weights + 4 * clip.num_hidden_layers * tokens * 1024)
    width = text.hidden_size
    dense = text.first_k_dense_replace
    chosen = text.num_experts_per_tok + (text.n_shared_experts or 0)
    weights = text.num_hidden_layers * 4 * width**2 + dense * 3 * width * text.intermediate_size
    weights += (text.num_hidden_layers - dense) * 3 * width * text.moe_intermediate_size * chosen
    attention = text.num_hidden_layers * 2 * positions * width  # causal: half of the pairs
    passes = 3 if tune == "full" else 2
    decoder = positions * (2 * weights * passes + attention * 3)
    return vision + decoder + 2 * size.answer * width * text.vocab_size * passes


def matrix_rate() -> float:
    """Operations a second of a large bfloat16 product on the CUDA device, as measured."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for timed in (False, True):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(50 if timed else 5):
            a @ a
        torch.cuda.synchronize()
    return 50 * 2 * 8192**3 / (time.perf_counter() - start)


def print_table(found: dict[str, Any], args: argparse.Namespace) -> None:
    """Seconds, samples and tokens a second, memory, and the ratios."""
    print(f"size {args.size}, tune {args.tune}, {args.device}, {args.repeats} pairs")
    print(f"{'':8} {'s/step':>9} {'CPU s':>9} {'samples/s':>10} ", end="")
    print(f"{'tokens/s':>9} {'above, MB':>10} {'peak, MB':>9}")
    for side in SIDES:
        seconds = found["seconds"][side]
        row = f"{side:8} {seconds:9.2f} {found['cpu_seconds'][side]:9.2f} {1 / seconds:10.4f} "
        row += f"{found['num_positions'] / seconds:9.0f} {found['extra_bytes'][side] / 1e6:10.0f} "
        print(row + f"{found['peak_bytes'][side] / 1e6:9.0f}")
    for name in ("speed", "cpu", "memory", "cached_speed", "cached_cpu"):
        each = found[f"{name}_ratios"]
        of_pairs = ", ".join(f"{ratio:.2f}" for ratio in each)
        print(f"{name.replace('_', ' '):13} {statistics.median(each):.2f}x  ({of_pairs})")
    for name in ("losses", "grad_norms"):
        for side in SIDES:
            print(f"{name} {side}: {', '.join(f'{value:.5f}' for value in found[name][side])}")
    if "mfu" in found:
        print(f"MFU of the measured matrix rate: {found['mfu']:.1%}")


def main() -> None:
    """Both sides in turn, one table."""
    parser = new_parser(__doc__)
    parser.add_argument("--size", choices=tuple(SIZES), help="default: full, on CUDA whole")
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each, after one")
    args = parse(parser)
    args.size = args.size or ("whole" if args.device == "cuda" else "full")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)) / args.size
        make_weights(folder, args.size)
        pairs = []
        for number in range(args.repeats):
            found = {side: run_side(side, folder, args) for side in SIDES[:: (-1) ** number]}
            pairs.append({side: found[side] for side in SIDES})
    found = summarize(pairs)
    if args.device == "cuda":
        flops = step_flops(
            config_of(args.size), SIZES[args.size], found["num_positions"], args.tune
        )
        found["mfu"] = flops / found["seconds"]["ours"] / matrix_rate()
    print_table(found, args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    if error := disagreement(found):
        sys.exit(error)


if __name__ == "__main__":
    main()
