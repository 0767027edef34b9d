"""Rotary positions (arXiv 2104.09864), plain or stretched by YaRN (arXiv 2309.00071).

Letters: B rows, N positions, r rotated width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .config_parts import TextConfig


@dataclass(frozen=True)
class Rotation:
    """Cos and sin of each position's angles, both (B, N, r / 2) float32.

    No tuple: FSDP in mixed precision rounds the tensors of tuples that go into a layer.
    """

    cos: Tensor
    sin: Tensor

    def to(self, *args: Any, **kwargs: Any) -> Rotation:
        """On another device, for layers that `accelerate` has spread over several."""
        return Rotation(self.cos.to(*args, **kwargs), self.sin.to(*args, **kwargs))


class Rotary(nn.Module):
    """(B, N) positions -> their rotation.

    Frequencies are computed in float32 whatever the weights' dtype, as published.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.width = config.qk_rope_head_dim if config.use_mla else config.qk_head_dim
        _, self.factor = frequencies(config, self.width)

    def forward(self, position_ids: Tensor) -> Rotation:
        # computed here and not kept: a buffer would be rounded by `model.to(bfloat16)` and left
        # empty by loading on the meta device
        inverse, _ = frequencies(self.config, self.width, position_ids.device)
        angles = position_ids[..., None].float() * inverse  # (B, N, r / 2)
        return Rotation(angles.cos() * self.factor, angles.sin() * self.factor)


def rotate_halves(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, heads, N, r) rotated in the pairs (i, i + r / 2), as Llama does (plain attention)."""
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = rotation.cos.unsqueeze(1), rotation.sin.unsqueeze(1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def rotate_pairs(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, heads, N, r) rotated in the pairs (2i, 2i + 1), as DeepSeek-V2 does (latent attention).

    The result is laid out in halves; queries and keys alike, so their products are the same.
    """
    return rotate_halves(torch.cat([x[..., 0::2], x[..., 1::2]], dim=-1), rotation)


def frequencies(
    config: TextConfig, width: int, device: torch.device | None = None
) -> tuple[Tensor, float]:
    """(width / 2) inverse frequencies in float32, and the factor on cos and sin."""
    steps = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
    inverse = 1.0 / config.rope_theta**steps
    yarn = yarn_settings(config)
    if yarn is None:
        return inverse, 1.0
    low, high = _correction_range(yarn, width, config.rope_theta)
    ramp = (torch.arange(width // 2, device=device) - low) / max(high - low, 0.001)
    ramp = ramp.clamp(0, 1)  # 0: keep the frequency; 1: stretch it
    return inverse * (1 - ramp) + inverse / yarn["factor"] * ramp, _attention_factor(yarn)


def attention_scale(config: TextConfig) -> float:
    """The factor on q k^T: 1 / sqrt(head width), times YaRN's correction in latent attention."""
    scale = config.qk_head_dim**-0.5
    yarn = yarn_settings(config)
    if config.use_mla and yarn is not None and yarn.get("mscale_all_dim"):
        scale *= _mscale(yarn["factor"], yarn["mscale_all_dim"]) ** 2
    return scale


def yarn_settings(config: TextConfig) -> dict[str, Any] | None:
    """`rope_scaling` where it asks for YaRN; None for plain rotary positions."""
    scaling = config.rope_scaling
    if scaling is None or scaling.get("rope_type", scaling.get("type")) != "yarn":
        return None
    return scaling


def _mscale(factor: float, mscale: float = 1.0) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _attention_factor(yarn: dict[str, Any]) -> float:
    if yarn.get("attention_factor") is not None:
        return float(yarn["attention_factor"])
    if yarn.get("mscale") and yarn.get("mscale_all_dim"):
        return _mscale(yarn["factor"], yarn["mscale"]) / _mscale(
            yarn["factor"], yarn["mscale_all_dim"]
        )
    return _mscale(yarn["factor"])


def _correction_range(yarn: dict[str, Any], width: int, theta: float) -> tuple[float, float]:
    """Dimensions between which frequencies go from kept to stretched."""
    length = yarn["original_max_position_embeddings"]

    def dimension(rotations: float) -> float:
        return width * math.log(length / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = dimension(yarn.get("beta_fast") or 32)
    high = dimension(yarn.get("beta_slow") or 1)
    if yarn.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0), min(high, width - 1)
