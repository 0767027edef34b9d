"""How much memory training takes, in parts, before any of it is taken.

Estimates from sizes alone: the model's, what trains, the largest batch. What layers keep for the
backward pass is counted in `activations`; tests hold both against what is measured. A gigabyte is
10^9 bytes, as on the boxes of devices.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ...model.configuration import DeepseekOcrConfig
from ...model.loss import CHUNK_ELEMENTS
from ...resolution import ViewSettings
from ..config import ADAPTERS, TrainConfig
from ..tuning.parts import VISION
from .activations import FLOAT32, Formats, kept_between, kept_by_stacks, views_of
from .batch_size import BatchSize
from .parameter_counts import ParameterCounts, counts_of

GB = 1e9
QUANTIZED = 0.5159
"""Bytes of a weight in four bits, with the scales of its blocks of 64 (themselves in 8 bits)."""
PROGRAM = 500_000_000
"""Bytes of the libraries themselves, or of their kernels on a device."""
OPTIMIZER_BYTES = {"adamw": 8.0, "adamw8bit": 2.04}
"""Of the state of a trained parameter; Adafactor's depends on shapes."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a run computes with: the network, its largest batch, the number formats.

    `network` says sizes alone (see `empty_model`), without an adapter.
    `precision` is accelerate's name (no, bf16, fp16), `stored` the bytes of a weight on disk,
    `device` its type, as torch names it.
    """

    network: nn.Module
    batch: BatchSize
    settings: ViewSettings
    precision: str = "no"
    stored: int = FLOAT32
    num_processes: int = 1
    device: str = "cuda"

    @property
    def model(self) -> DeepseekOcrConfig:
        """The network's config."""
        return self.network.config  # type: ignore[return-value]

    @property
    def product(self) -> int:
        """Bytes of a value that layers compute."""
        return FLOAT32 if self.precision == "no" else 2


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes on one device: `parts` of a step, and `reading`, what validation needs in its place.

    Of the parts, those of `lasting` are held all the time.
    """

    parts: dict[str, int]
    reading: int = 0
    lasting: tuple[str, ...] = ("weights", "optimizer", "average", "program")

    @property
    def total(self) -> int:
        """At the fullest moment."""
        held = sum(self.parts.get(name, 0) for name in self.lasting)
        return max(sum(self.parts.values()), held + self.reading)

    @property
    def weights(self) -> int:
        """Without them nothing can be done at all."""
        return self.parts["weights"]


def estimate_memory(config: TrainConfig, work: Workload) -> MemoryEstimate:
    """Of one process of the run that `config` describes."""
    counts = counts_of(work.network, config)
    shared = work.num_processes if config.fsdp else 1
    trained = counts.num_trained
    parts = {
        "weights": weight_bytes(config, counts, precision=work.precision, stored=work.stored)
        // shared,
        "gradients": trained * FLOAT32 // shared,
        "optimizer": optimizer_bytes(config, counts) // shared,
        "average": (trained * FLOAT32 if config.ema is not None else 0) // shared,
        **_activations(config, work),
        "copies": _copies(config, work, counts),
        "exchange": _exchange(config, work, counts),
        "program": PROGRAM,
    }
    return MemoryEstimate(parts=parts, reading=_reading(config, work))


def weight_bytes(
    config: TrainConfig, counts: ParameterCounts, *, precision: str, stored: int
) -> int:
    """Of the model and its adapter, on all processes together; see `Workload`."""
    if config.tune not in ADAPTERS:
        return counts.total * FLOAT32
    stored = FLOAT32 if precision == "no" else stored
    quantized = _quantized(counts) if config.tune == "qlora" else 0
    base = (counts.total - quantized) * stored + quantized * QUANTIZED
    return int(base) + counts.adapter * FLOAT32


def _quantized(counts: ParameterCounts) -> int:
    """Weights that `--tune qlora` keeps in four bits."""
    packed = ("attention", "dense", "shared")
    return counts.stacks + sum(counts.linear.get(part, 0) for part in packed)


def optimizer_bytes(config: TrainConfig, counts: ParameterCounts) -> int:
    """Of its state, on all processes together."""
    if config.optimizer == "adafactor":
        return counts.factors * FLOAT32
    return int(counts.num_trained * OPTIMIZER_BYTES[config.optimizer])


def _formats(config: TrainConfig, work: Workload) -> Formats:
    adapted = config.tune in ADAPTERS and work.precision != "no"
    return Formats(
        product=work.product,
        residual=work.stored if adapted else FLOAT32,
        fused=work.device != "cpu",
    )


def _activations(config: TrainConfig, work: Workload) -> dict[str, int]:
    formats, trained = _formats(config, work), config.trained_parts
    kept = kept_by_stacks(
        work.model,
        work.batch,
        work.settings,
        trained,
        formats=formats,
        recomputed=config.recomputed,
        encoded=config.feature_cache is not None,
    )
    between = kept_between(work.model, work.batch, work.settings, trained, formats)
    pixels = sum(views * 3 * side**2 for side, views in views_of(work.batch, work.settings).items())
    return {
        "batch": 0 if config.feature_cache is not None else pixels * FLOAT32,
        "sam": kept["sam"].layers + between["compressor"],
        "clip": kept["clip"].layers + between["projector"],
        "decoder": kept["decoder"].layers,
        "head": _head(config, work),
        "working": max(stack.working for stack in kept.values()),
    }


def _head(config: TrainConfig, work: Workload) -> int:
    """The logits of a chunk of positions, and the gradients that are made beside them."""
    model, learned = work.model, max(work.batch.learned, 1)
    weight = model.vocab_size * model.hidden_size
    logits = min(CHUNK_ELEMENTS, learned * model.vocab_size) * (FLOAT32 + 2 * work.product)
    states = learned * model.hidden_size * work.product
    copy = weight * work.product if work.product != _formats(config, work).residual else 0
    trains = "head" in config.trained_parts and config.tune not in ADAPTERS
    return logits + states + copy + (weight * FLOAT32 if trains else 0)


def _copies(config: TrainConfig, work: Workload, counts: ParameterCounts) -> int:
    """Weights that the backward pass needs in another form than they are stored in.

    Those that autocast makes smaller, of layers that a gradient passes through; and stacked experts
    to which PEFT has added their adapter.
    """
    formats, trained = _formats(config, work), set(config.trained_parts)
    if config.tune in ADAPTERS:
        added = "experts" in trained and "decoder" not in config.recomputed
        return counts.stacks * formats.residual if added else 0
    if formats.product == formats.residual:
        return 0
    vision = [part for part in VISION if part in trained]
    passed = {
        "sam": ("sam",) if "sam" in trained else (),
        "clip": ("clip",) if {"sam", "compressor", "clip"} & trained else (),
        "decoder": ("attention", "dense", "shared") if trained - {"head"} else (),
        "compressor": ("compressor",) if {"sam", "compressor"} & trained else (),
        "projector": ("projector",) if vision else (),
    }
    kept = [parts for stack, parts in passed.items() if stack not in config.recomputed]
    return sum(counts.linear.get(part, 0) for parts in kept for part in parts) * formats.product


def _exchange(config: TrainConfig, work: Workload, counts: ParameterCounts) -> int:
    """What processes need to add gradients up, or to gather the layer that computes."""
    if work.num_processes == 1:
        return 0
    if config.fsdp:
        return 3 * counts.largest_layer * FLOAT32  # this one, the next one, and its gradient
    return counts.num_trained * FLOAT32


def _reading(config: TrainConfig, work: Workload) -> int:
    """Of the answers that validation reads: their keys and values, and the views' encoding."""
    if config.val_file is None or not config.eval_samples:
        return 0
    text, batch = work.model.text_config, work.batch
    answer = config.eval_max_new_tokens or 3 * batch.learned // (2 * max(batch.rows, 1))
    positions = batch.rows * (batch.width + answer)
    return cache_bytes(work.model, positions, _formats(config, work).product) + batch.rows * (
        text.vocab_size * 2 * FLOAT32
    )


def reading_estimate(work: Workload, value: int) -> MemoryEstimate:
    """Of a model that reads the pages of `work.batch`; all its numbers have `value` bytes."""
    formats = Formats(product=value, residual=value)
    kept = kept_by_stacks(work.model, work.batch, work.settings, (), formats=formats)
    return MemoryEstimate(
        parts={
            "weights": sum(p.numel() for p in work.network.parameters()) * value,
            "cache": cache_bytes(work.model, work.batch.positions, value),
            "working": max(stack.working for stack in kept.values()),
            "program": PROGRAM,
        }
    )


def cache_bytes(model: DeepseekOcrConfig, positions: int, value: int) -> int:
    """Keys and values of so many positions; `value` is the bytes of one number."""
    text = model.text_config
    if text.use_mla:
        a_layer = text.kv_lora_rank + text.qk_rope_head_dim
    else:
        a_layer = 2 * text.num_key_value_heads * text.qk_head_dim
    return positions * text.num_hidden_layers * a_layer * value


def gigabytes(amount: float) -> str:
    """`31.2 GB`; small amounts in MB."""
    return f"{amount / GB:.1f} GB" if amount >= GB / 10 else f"{amount / 1e6:.0f} MB"


NAMES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer's state",
    "average": "running average (--ema)",
    "batch": "the batch's views",
    "sam": "kept of SAM",
    "clip": "kept of CLIP and projector",
    "decoder": "kept of the decoder",
    "head": "logits of a chunk of positions",
    "working": "one layer at work",
    "cache": "keys and values",
    "copies": "weights in the smaller format",
    "exchange": "exchange between processes",
    "program": "the program itself",
}


def memory_table(estimate: MemoryEstimate) -> str:
    """The parts of an estimate and their sum, as aligned lines; parts of nothing are left out."""
    rows = [(NAMES[name], amount) for name, amount in estimate.parts.items() if amount]
    rows.append(("at most", sum(estimate.parts.values())))
    if estimate.reading:
        rows.append(("reading, while validating", estimate.reading))
    return "\n".join(f"{name:<32}{gigabytes(amount):>10}" for name, amount in rows)
