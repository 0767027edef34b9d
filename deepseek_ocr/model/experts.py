"""The routed experts of a layer: each token's chosen few, computed expert by expert.

Letters: D width, E experts, k experts a token, T tokens. Papers: DeepSeekMoE arXiv 2401.06066.
Released code: `modeling_deepseekv2.py`, whose parameter names are kept on disk; in memory the
experts of a layer are stacked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config_parts import TextConfig
from .expert_products import apply_experts


class Experts(nn.Module):
    """(T, D) tokens, (T, k) experts and weights -> (T, D), the weighted sum, added in float32.

    Gate and up projections of all experts are one tensor (E, 2 * hidden, D), down projections one
    (E, D, hidden), so that a layer can be one grouped product.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        experts, width, hidden = (
            config.n_routed_experts,
            config.hidden_size,
            config.moe_intermediate_size,
        )
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * hidden, width))
        self.down_proj = nn.Parameter(torch.empty(experts, width, hidden))
        self.register_load_state_dict_pre_hook(stack_published_experts)

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        return apply_experts(x, chosen, weights, self.gate_up_proj, self.down_proj)


def stack_published_experts(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Published names, one tensor an expert, into the stacked ones, for `load_state_dict`.

    `from_pretrained` has its own way; this is for who loads a saved file himself, such as
    `transformers.Trainer` when it resumes.
    """
    experts = range(len(module.down_proj))  # type: ignore[arg-type]

    def stacked(projection: str) -> Tensor | None:
        names = [f"{prefix}{e}.{projection}.weight" for e in experts]
        if not all(name in state_dict for name in names):
            return None
        return torch.stack([state_dict.pop(name) for name in names])

    gate, up, down = (stacked(name) for name in ("gate_proj", "up_proj", "down_proj"))
    if gate is not None and up is not None:
        state_dict[f"{prefix}gate_up_proj"] = torch.cat([gate, up], dim=1)
    if down is not None:
        state_dict[f"{prefix}down_proj"] = down
