"""Adapters (LoRA, arXiv 2106.09685) through PEFT: on the linear layers of the chosen parts.

Routed experts are stacked parameters, adapted only where `experts` is named itself: on the
published model they would be 95 % of the adapter. Alpha is twice the rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from .parts import SETS, expand_parts

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


def adapted_parts(text: str) -> tuple[str, ...]:
    """`clip,decoder` -> the parts that get an adapter.

    A set stands for those of its parts that have linear layers.

    Raises:
        UsageError: a part named itself that has none, or nothing is left.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SETS and name not in ADAPTABLE and expand_parts(name):
            raise UsageError(
                f"--parts: {name} has no linear layers for an adapter; leave it out or use "
                f"--tune full (adaptable: {', '.join(ADAPTABLE)})"
            )
    return tuple(
        part
        for part in expand_parts(text)
        if part in LINEAR_LAYERS or (part == "experts" and "experts" in names)
    )


def add_adapter(model: nn.Module, parts: Sequence[str], rank: int) -> PeftModel:
    """The model with a fresh adapter on `parts`, which alone trains; its outputs are unchanged."""
    from peft import LoraConfig, get_peft_model

    from ..model.loading import quiet_peft

    patterns = [LINEAR_LAYERS[part] for part in parts if part in LINEAR_LAYERS]
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="|".join(f"({pattern})" for pattern in patterns) or [],
        target_parameters=list(EXPERT_PARAMETERS) if "experts" in parts else None,
    )
    with quiet_peft():
        return get_peft_model(model, config)  # type: ignore[arg-type, return-value]


def train_adapter(model: nn.Module) -> None:
    """Give an adapter that was loaded for reading its gradients back."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
