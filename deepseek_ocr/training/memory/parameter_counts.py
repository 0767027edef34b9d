"""How many parameters a model has and how many would train, from its sizes alone.

The model is built on the meta device, without its weights: a tenth of a second at full size.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import torch
from torch import nn

from ...model.configuration import DeepseekOcrConfig
from ...model.modeling import DeepseekOcrForConditionalGeneration
from ...model.quantization import packed_names
from ..config import ADAPTERS, TrainConfig
from ..tuning.lora import EXPERT_PARAMETERS, LINEAR_LAYERS
from ..tuning.parts import PACKED, PARTS, UNTRAINABLE, assign_parts, in_order

DECODER_LAYER = re.compile(r"model\.layers\.\d+\.")


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Numbers of parameters by part.

    `weights` are the model's own, `trained` those with a gradient: its own or the adapter's.
    `linear` are the weights of linear and convolutional layers, `stacks` the stacked experts,
    `largest_layer` the largest of the decoder's; `factors` is what Adafactor keeps in place of two
    moments: a value a row and a column.
    """

    weights: dict[str, int]
    trained: dict[str, int]
    adapter: int
    linear: dict[str, int]
    stacks: int
    largest_layer: int
    factors: int

    @property
    def total(self) -> int:
        """Of the model, without an adapter."""
        return sum(self.weights.values())

    @property
    def num_trained(self) -> int:
        """With a gradient."""
        return sum(self.trained.values())

    def table(self) -> dict[str, tuple[int, int]]:
        """Part -> trained and frozen, an adapter counted with what it changes."""
        if not self.adapter:
            return {p: (self.trained[p], self.weights[p] - self.trained[p]) for p in PARTS}
        return {part: (self.trained[part], self.weights[part]) for part in PARTS}


def empty_model(config: DeepseekOcrConfig) -> DeepseekOcrForConditionalGeneration:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return DeepseekOcrForConditionalGeneration(config)


def counts_of(network: nn.Module, config: TrainConfig) -> ParameterCounts:
    """Of this network (without an adapter), trained as `config` says."""
    parameters = dict(network.named_parameters())
    owners = assign_parts(parameters)
    weights, trained, layers = Counter(), Counter(), Counter()  # type: ignore[var-annotated]
    factors = 0
    for name, parameter in parameters.items():
        weights[owners[name]] += parameter.numel()
        if owners[name] in config.trained_parts and not UNTRAINABLE.fullmatch(name):
            trained[owners[name]] += parameter.numel()
            factors += factors_of(tuple(parameter.shape))
        if layer := DECODER_LAYER.match(name):
            layers[layer[0]] += parameter.numel()
    adapter = 0
    if config.tune in ADAPTERS:
        trained = adapter_counts(network, config)
        adapter = factors = sum(trained.values())
    linear: dict[str, int] = defaultdict(int)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not UNTRAINABLE.fullmatch(
            f"{name}.weight"
        ):
            linear[owners[f"{name}.weight"]] += module.weight.numel()
    return ParameterCounts(
        weights={part: weights[part] for part in PARTS},
        trained={part: trained[part] for part in PARTS},
        adapter=adapter,
        linear=dict(linear),
        stacks=sum(p.numel() for name, p in parameters.items() if name.endswith(EXPERT_PARAMETERS)),
        largest_layer=max(layers.values(), default=0),
        factors=factors,
    )


def factors_of(shape: tuple[int, ...]) -> int:
    """Values that Adafactor keeps for a tensor of this shape."""
    if len(shape) < 2:
        return math.prod(shape)
    return math.prod(shape[:-2]) * (shape[-2] + shape[-1])


def formats_of(network: nn.Module, config: TrainConfig, stored: str) -> dict[str, str]:
    """Part -> the formats that its parameters would be trained in, that of the most first.

    Args:
        stored: the format of the weights that an adapter lies beside. Full tuning has float32.
    """
    owners = assign_parts(name for name, _ in network.named_parameters())
    if config.tune == "full":
        return dict.fromkeys({*owners.values()}, "float32")
    packed = packed_names(network) if config.tune == "qlora" else set()
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for name, parameter in network.named_parameters():
        sizes[owners[name]][PACKED if name in packed else stored] += parameter.numel()
    for part, count in adapter_counts(network, config).items():
        sizes[part]["float32"] += count
    return {part: in_order(of_part) for part, of_part in sizes.items()}


def adapter_counts(network: nn.Module, config: TrainConfig) -> Counter[str]:
    """Part -> parameters of the adapter that `config` puts beside this network."""
    rank, counts = config.lora_rank, Counter()  # type: ignore[var-annotated]
    for part in config.trained_parts:
        if part not in LINEAR_LAYERS:
            continue
        pattern = re.compile(LINEAR_LAYERS[part])
        for name, module in network.named_modules():
            if pattern.fullmatch(name):
                height, width = module.weight.shape  # type: ignore[union-attr, misc]
                counts[part] += rank * (height + width)  # type: ignore[operator]
                counts[part] += height if config.tune == "dora" else 0  # type: ignore[operator]
    if "experts" in config.trained_parts:
        for name, parameter in network.named_parameters():
            if name.endswith(EXPERT_PARAMETERS):
                experts, height, width = parameter.shape
                counts["experts"] += rank * experts * (height + width)
    return counts
