"""One side of `training.py`, in a process of its own: loads, trains a few steps, prints JSON.

    python benchmarks/training_side.py ours FOLDER --size nano --steps 3

`theirs` is transformers' `UnlimitedOcrForConditionalGeneration` under its `Trainer`, `ours` is
`train_step` as `train.py` uses it: the same weights (FOLDER, as `training.py` makes it), the same
batch, the same adapter. Both compute in bfloat16 by autocast over bfloat16 weights, with AdamW.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

LR, MAX_NORM, LORA_RANK = 1e-4, 1.0, 16
WARMUP_STEPS = 1  # makes the optimizer's state, and whatever is made once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A model and a page: sides in pixels, columns and rows of tiles, tokens of the answer."""

    layers: int
    overview: int
    tile: int
    grid: tuple[int, int]
    answer: int


SIZES = {
    "full": Size(layers=4, overview=1024, tile=640, grid=(2, 3), answer=1000),
    "whole": Size(layers=12, overview=1024, tile=640, grid=(2, 3), answer=1000),
    "nano": Size(layers=4, overview=512, tile=320, grid=(2, 1), answer=60),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What one side says: seconds and losses of the measured steps, bytes of memory.

    `cpu_seconds` are those that its threads computed: other work on the machine changes them less.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    losses: list[float]
    grad_norms: list[float]
    extra_bytes: int
    peak_bytes: int
    num_positions: int


def make_page(size: Size, vocabulary: int, image_token: int) -> dict[str, Tensor]:
    """A row as the collator gives it: a page of noise, a short prompt, a random answer."""
    generator = torch.Generator().manual_seed(0)
    columns, rows = size.grid
    overview, tile = size.overview // 64, size.tile // 64
    num_image = overview * (overview + 1) + 1 + rows * tile * (columns * tile + 1)

    def words(count: int) -> Tensor:
        # between the special tokens of nano and those of the published vocabulary
        return torch.randint(32, min(vocabulary, 128_000), (count,), generator=generator)

    def noise(views: int, side: int) -> Tensor:
        return torch.rand(views, 3, side, side, generator=generator) * 2 - 1

    image = torch.full((num_image,), image_token)
    ids = torch.cat([torch.zeros(1, dtype=torch.long), image, words(4), words(size.answer)])[None]
    labels = ids.clone()
    labels[:, : -size.answer] = -100
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "pixel_values": noise(1, size.overview),
        "tile_values": noise(columns * rows, size.tile),
        "tile_grids": torch.tensor([size.grid]),
    }


def fill_adapter(model: nn.Module) -> None:
    """The same small numbers in both sides' adapters, also where a new one has zeros."""
    pattern = re.compile(r"layers\.(\d+)\.self_attn\.(\w)_proj\.lora_(A|B)")
    places = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and (found := pattern.search(name)):
            layer, projection, matrix = found.groups()
            places[int(layer), projection, matrix] = parameter
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, parameter in sorted(places.items()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)


class Meter:
    """Seconds and memory of the steps between `begin` and `end`; Linux, or a CUDA device."""

    def __init__(self, device: str):
        self.device = device
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.above: list[int] = []
        self.peaks: list[int] = []

    def begin(self) -> None:
        """Everything that stays is in memory: weights and the optimizer's state."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the last step freed
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            self.before = status_bytes("VmRSS")
        self.start, self.cpu_start = time.perf_counter(), time.process_time()

    def end(self) -> None:
        """After the optimizer's step."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.start)
        self.cpu_seconds.append(time.process_time() - self.cpu_start)
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else status_bytes("VmHWM")
        self.peaks.append(peak)
        self.above.append(peak - self.before)


def status_bytes(field: str) -> int:
    """A line of /proc/self/status that is in kB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024


def report(meter: Meter, model: nn.Module, losses: list, norms: list, positions: int) -> Report:
    """Without the warm-up; what a step needs is without the gradients, which have their own row."""
    trained = (p for p in model.parameters() if p.requires_grad)
    gradients = sum(p.numel() * p.element_size() for p in trained)
    return Report(
        seconds=meter.seconds[WARMUP_STEPS:],
        cpu_seconds=meter.cpu_seconds[WARMUP_STEPS:],
        losses=losses,
        grad_norms=norms,
        extra_bytes=max(meter.above[WARMUP_STEPS:]) - gradients,
        peak_bytes=max(meter.peaks[WARMUP_STEPS:]),
        num_positions=positions,
    )


def run_cached(*args: Any) -> Report:
    """As `run_ours`, with what the frozen vision side gives known; see `--feature_cache`."""
    return run_ours(*args, cached=True)


def run_ours(
    folder: Path, size: Size, tune: str, steps: int, device: str, *, cached: bool = False
) -> Report:
    """`train_step` on the model as `train.py` loads it."""
    from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
    from deepseek_ocr.training.optimization.step import train_step
    from deepseek_ocr.training.processes.devices import accelerator_for, repeatable
    from deepseek_ocr.training.tuning.lora import add_adapter
    from deepseek_ocr.training.tuning.parts import choose_trained

    dtype = torch.bfloat16 if tune == "lora" else torch.float32
    model: Any = DeepseekOcrForConditionalGeneration.from_pretrained(folder / "ours", dtype=dtype)
    batch = make_page(size, model.config.text_config.vocab_size, model.config.image_token_id)
    if tune == "lora":
        model = add_adapter(model, ("attention",), LORA_RANK)
        fill_adapter(model)
    else:
        choose_trained(model, ("attention", "dense", "shared", "experts", "router", "head"))
    if cached:
        views = [batch.pop(name) for name in ("pixel_values", "tile_values", "tile_grids")]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            batch["image_embeds"] = torch.cat(list(model.get_base_model().encode_images(*views)))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)
    meter, losses, norms = Meter(device), [], []
    with accelerator_for(device, "bfloat16") as accelerator:
        model, optimizer = accelerator.prepare(model, optimizer)
        model.train()
        with repeatable(accelerator.device):
            for _ in range(WARMUP_STEPS + steps):
                meter.begin()
                result = train_step(model, accelerator, optimizer, [batch], max_norm=MAX_NORM)
                meter.end()
                losses.append(result.loss)
                norms.append(result.grad_norm)
        return report(meter, model, losses, norms, batch["input_ids"].numel())


def run_theirs(folder: Path, size: Size, tune: str, steps: int, device: str) -> Report:
    """Their class, as its user would train it: `labels=`, PEFT, `Trainer`."""
    import tempfile

    from peft import LoraConfig, get_peft_model

    dtype = torch.bfloat16 if tune == "lora" else torch.float32
    model: Any = transformers.UnlimitedOcrForConditionalGeneration.from_pretrained(
        folder / "theirs", dtype=dtype, key_mapping=None
    )
    text = model.config.text_config
    page = make_page(size, text.vocab_size, model.config.image_token_id)
    batch = {name: page[name] for name in ("input_ids", "attention_mask", "labels", "pixel_values")}
    batch["pixel_values_local"] = page["tile_values"]
    batch["num_local_patches"] = [size.grid[0] * size.grid[1]]
    batch["patches_grid"] = [list(size.grid)]
    # their convolutions want the weights' format; autocast would cast for them
    if tune == "lora":
        layers = r".*language_model\.layers\.\d+\.self_attn\.(q|k|v|o)_proj"
        lora = LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules=layers)
        model = get_peft_model(model, lora)
        fill_adapter(model)
    else:
        decoder = re.compile(r"model\.language_model\.(layers|norm)\.|lm_head\.")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(decoder.match(name) is not None)
    meter, losses, norms = Meter(device), [], []

    class Watch(transformers.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            meter.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.end()

        def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
            if "grad_norm" in logs:
                losses.append(float(logs["loss"]))
                norms.append(float(logs["grad_norm"]))

    with tempfile.TemporaryDirectory() as output:
        arguments = transformers.TrainingArguments(
            output_dir=output, use_cpu=device == "cpu", bf16=True, max_steps=WARMUP_STEPS + steps,
            per_device_train_batch_size=1, learning_rate=LR, lr_scheduler_type="constant",
            weight_decay=0.0, max_grad_norm=MAX_NORM, logging_steps=1, report_to=[],
            save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            logging_nan_inf_filter=False, gradient_checkpointing=False,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model=model, args=arguments, train_dataset=[0] * (WARMUP_STEPS + steps),
            data_collator=lambda rows: dict(batch), callbacks=[Watch()],
        )  # fmt: skip
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    return report(meter, model, losses, norms, batch["input_ids"].numel())


SIDES = {"ours": run_ours, "theirs": run_theirs, "cached": run_cached}


def main() -> None:
    """The report of one side as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("side", choices=tuple(SIDES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--tune", choices=("lora", "full"), default="lora")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    found = SIDES[args.side](args.folder, SIZES[args.size], args.tune, args.steps, args.device)
    print(json.dumps(dataclasses.asdict(found)))


if __name__ == "__main__":
    main()
