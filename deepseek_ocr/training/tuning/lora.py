"""Adapters through PEFT: LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353).

They lie on the linear layers of the chosen parts. Routed experts are stacked parameters, adapted
only where `experts` is named itself: on the published model they would be 95 % of the adapter.

What serves an adapter as it is, without `export`: vLLM, where it changes `attention`, `dense` and
`shared` only (https://github.com/vllm-project/vllm/pull/31569). Its loader takes `model.layers.`
for the decoder's layers and gathers q, k, v and gate, up by their published names, which ours are;
it refuses tensors of any other linear layer (`vllm/lora/lora_model.py`), and DoRA
(`vllm/lora/peft_helper.py`). Layers are named in `adapter_config.json` by the ends of their names,
as a sorted list, since not every reader takes PEFT's regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...errors import UsageError
from .parts import SETS, expand_parts, published_name

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn

LAYER = r"model\.layers\.\d+\."
LINEAR_LAYERS = {  # part -> the names of its linear layers
    "sam": r"model\.sam_model\.blocks\.\d+\.(attn\.(qkv|proj)|mlp\.lin[12])",
    "clip": r"model\.vision_model\.transformer\.layers\.\d+\."
    r"(self_attn\.(qkv|out)_proj|mlp\.fc[12])",
    "projector": r"model\.projector\.layers",
    "attention": LAYER + r"self_attn\.((q|k|v|o|q_a|q_b|kv_b)_proj|kv_a_proj_with_mqa)",
    "dense": LAYER + r"mlp\.(gate|up|down)_proj",
    "shared": LAYER + r"mlp\.shared_experts\.(gate|up|down)_proj",
    "head": r"lm_head",
}
EXPERT_PARAMETERS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
ADAPTABLE = (*LINEAR_LAYERS, "experts")


def adapted_parts(text: str, tune: str = "lora", dropout: float = 0.0) -> tuple[str, ...]:
    """`clip,decoder` -> the parts that get an adapter.

    A set stands for those of its parts that have linear layers.

    Raises:
        UsageError: a part named itself that has none, or that this kind of adapter cannot change.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SETS and name not in ADAPTABLE and expand_parts(name):
            raise UsageError(
                f"--parts: {name} has no linear layers for an adapter; leave it out or use "
                f"--tune full (adaptable: {', '.join(ADAPTABLE)})"
            )
    if "experts" in names:
        _check_experts(tune, dropout)
    return tuple(
        part
        for part in expand_parts(text)
        if part in LINEAR_LAYERS or (part == "experts" and "experts" in names)
    )


def _check_experts(tune: str, dropout: float) -> None:
    reasons = {
        "PEFT has no DoRA for stacked experts; use --tune lora": tune == "dora",
        "PEFT adapts stacked experts of 16 or 32 bits only; use --tune lora": tune == "qlora",
        "PEFT has no dropout for stacked experts; use --lora_dropout 0": dropout > 0,
    }
    for reason, applies in reasons.items():
        if applies:
            raise UsageError(f"--parts experts: {reason}, or leave experts out")


def add_adapter(
    model: nn.Module,
    parts: Sequence[str],
    rank: int,
    *,
    alpha: int | None = None,
    dropout: float = 0.0,
    dora: bool = False,
) -> PeftModel:
    """The model with a fresh adapter on `parts`, which alone trains; its outputs are unchanged.

    Args:
        rank, alpha: the adapter's product counts alpha / rank times; None: twice the rank.
        dropout: share of the adapter's inputs that are left out in training.
        dora: learn the length of each row of a weight by itself.

    Raises:
        UsageError: a rank above what the smallest of the matrices can have.
    """
    from ...model.late_imports import import_peft
    from ...model.loading import quiet_peft

    check_rank(model, parts, rank)
    names = linear_names((name for name, _ in model.named_modules()), parts)
    with quiet_peft():
        peft = import_peft()
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=2 * rank if alpha is None else alpha,
            lora_dropout=dropout,
            use_dora=dora,
            target_modules=names,
            target_parameters=list(EXPERT_PARAMETERS) if "experts" in parts else None,
        )
        adapted = peft.get_peft_model(model, config)
    name_layers(adapted, names)
    return adapted


def check_rank(model: nn.Module, parts: Sequence[str], rank: int) -> None:
    """A product of rank r changes no more of a matrix than its smaller side allows.

    Raises:
        UsageError: `rank` is above that of the smallest matrix of `parts`; it names the matrix.
    """
    sides = {name: min(shape) for name, shape in adapted_shapes(model, parts).items()}
    if sides and rank > (most := min(sides.values())):
        smallest = min(sides, key=sides.__getitem__)
        raise UsageError(
            f"--lora_rank is {rank}, but {smallest} has no more than {most} rows or columns; use "
            f"--lora_rank {most} or lower, or other --parts"
        )


def adapted_shapes(model: nn.Module, parts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Name of a linear layer or of stacked experts of `parts` -> (outputs, inputs) of a matrix."""
    patterns = [re.compile(LINEAR_LAYERS[part]) for part in parts if part in LINEAR_LAYERS]
    shapes: dict[str, tuple[int, ...]] = {
        name: (module.out_features, module.in_features)  # type: ignore[dict-item]
        for name, module in model.named_modules()
        if any(pattern.fullmatch(name) for pattern in patterns)
    }
    if "experts" in parts:
        for name, parameter in model.named_parameters():
            if name.endswith(EXPERT_PARAMETERS):
                shapes[name] = tuple(parameter.shape[1:])
    return shapes


def linear_names(modules: Iterable[str], parts: Sequence[str]) -> list[str]:
    """The ends of the names of the linear layers of `parts`, sorted: `self_attn.q_proj`."""
    patterns = [re.compile(LINEAR_LAYERS[part]) for part in parts if part in LINEAR_LAYERS]
    found = [name for name in modules if any(p.fullmatch(name) for p in patterns)]
    return sorted({".".join(name.split(".")[-2:]) for name in found})


def name_layers(adapted: PeftModel, names: Sequence[str]) -> None:
    """Let `adapter_config.json` have these names in this order; PEFT's set has a random one."""
    adapted.peft_config["default"].target_modules = list(names)  # type: ignore[attr-defined]


def train_adapter(model: PeftModel) -> None:
    """Give an adapter that was loaded for reading its gradients back."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    if not isinstance(model.peft_config["default"].target_modules, str):  # of an older version
        matrices = [n for n, _ in model.named_parameters() if ".lora_A." in n]
        layers = (published_name(name).removesuffix(".weight") for name in matrices)
        name_layers(
            model, linear_names(layers, tuple(LINEAR_LAYERS))
        )  # PEFT may have shortened them
