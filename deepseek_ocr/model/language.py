"""The DeepSeek decoder: attention (plain or latent), experts, router, one layer.

Letters: B rows, N positions of this call, M positions with the cache, D width, E experts,
k experts a token, T = B * N tokens, S samples of the batch (a row each, or several). Papers:
DeepSeekMoE arXiv 2401.06066, DeepSeek-V2 arXiv 2405.04434, DeepSeek-V3 arXiv 2412.19437. Released
code: `modeling_deepseekv2.py`, whose parameter names are kept on disk; in memory the experts of a
layer are stacked.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .config_parts import TextConfig
from .elementwise import rms_norm, swiglu
from .experts import Experts
from .masking import Spans, Visible
from .native.linear import gated, linear
from .rotary import Rotation, attention_scale, rotate_halves, rotate_pairs


class DecoderLayer(GradientCheckpointingLayer):
    """(B, N, D) -> (B, N, D), and of its experts the balance (S,) and the load (E,).

    Both are None in a layer without experts, or where they are not asked for.
    """

    def __init__(self, config: TextConfig, index: int):
        super().__init__()
        attention = LatentAttention if config.use_mla else Attention
        sparse = config.n_routed_experts is not None and index >= config.first_k_dense_replace
        self.self_attn = attention(config, index)
        self.mlp = MixtureOfExperts(config) if sparse else Mlp(config, config.intermediate_size)
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        rotation: Rotation,
        visible: Visible,
        cache: Any = None,
        samples: Tensor | None = None,
        with_balance: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        x = x + self.self_attn(self.input_layernorm(x), rotation, visible, cache)
        normed = self.post_attention_layernorm(x)
        if isinstance(self.mlp, MixtureOfExperts):
            out, balance, load = self.mlp(normed, samples, with_balance)
            return x + out, balance, load
        return x + self.mlp(normed), None, None


class RmsNorm(nn.Module):
    """x / rms(x) * weight over the last dimension, computed in float32."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Visible, scale: float) -> Tensor:
    """(B, heads, N, d) queries over (B, heads, M, d) -> (B, N, heads * v width).

    `visible`: see there; None with a single query means that it sees everything.
    """
    if isinstance(visible, Spans):
        return attend_within(q, k, v, visible, scale)
    # an expression would be a symbol, where lengths are compiled
    causal = True if visible is None and q.shape[2] > 1 else False  # noqa: SIM210
    out = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=visible,
        is_causal=causal,
        scale=scale,
        enable_gqa=k.shape[1] != q.shape[1],
    )
    return out.transpose(1, 2).flatten(2)


@torch.compiler.disable  # or each packing of a row would be compiled anew
def attend_within(q: Tensor, k: Tensor, v: Tensor, spans: Spans, scale: float) -> Tensor:
    """As `attend`, one span after the other: a mask would cost the square of the row's length."""
    parts = []
    for row, start, stop in spans.spans:
        own = (slice(row, row + 1), slice(None), slice(start, stop))
        parts.append(attend(q[own], k[own], v[own], None, scale))
    return torch.cat(parts, dim=1).view(len(q), q.shape[2], -1)


class Attention(nn.Module):
    """Multi-head attention with rotary positions, the published checkpoint's."""

    def __init__(self, config: TextConfig, index: int):
        super().__init__()
        width, head = config.hidden_size, config.qk_head_dim
        self.index, self.head_dim = index, head
        self.scale = attention_scale(config)
        self.q_proj = nn.Linear(width, config.num_attention_heads * head, bias=False)
        self.k_proj = nn.Linear(width, config.num_key_value_heads * head, bias=False)
        self.v_proj = nn.Linear(width, config.num_key_value_heads * head, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * head, width, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, visible: Visible, cache: Any = None) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )  # each (B, heads, N, d)
        q, k = rotate_halves(q, rotation), rotate_halves(k, rotation)
        if cache is not None:
            k, v = cache.update(k, v, self.index)
        return self.o_proj(attend(q, k, v, visible, self.scale))


class LatentAttention(nn.Module):
    """Multi-head latent attention (DeepSeek-V2): keys and values from one small latent a position.

    The cache holds the latent and the shared rotated key, as one head each.
    """

    def __init__(self, config: TextConfig, index: int):
        super().__init__()
        width, heads = config.hidden_size, config.num_attention_heads
        self.index, self.num_heads = index, heads
        self.plain, self.rotated = config.qk_nope_head_dim, config.qk_rope_head_dim
        self.rank, self.v_dim = config.kv_lora_rank, config.v_head_dim
        self.scale = attention_scale(config)
        queries = heads * config.qk_head_dim
        if config.q_lora_rank is None:
            self.q_proj = nn.Linear(width, queries, bias=False)
        else:
            self.q_a_proj = nn.Linear(width, config.q_lora_rank, bias=False)
            self.q_a_layernorm = RmsNorm(config.q_lora_rank, config.rms_norm_eps)
            self.q_b_proj = nn.Linear(config.q_lora_rank, queries, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(width, self.rank + self.rotated, bias=False)
        self.kv_a_layernorm = RmsNorm(self.rank, config.rms_norm_eps)
        self.kv_b_proj = nn.Linear(self.rank, heads * (self.plain + self.v_dim), bias=False)
        self.o_proj = nn.Linear(heads * self.v_dim, width, bias=False)

    def forward(self, x: Tensor, rotation: Rotation, visible: Visible, cache: Any = None) -> Tensor:
        q = self.queries(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        q_plain, q_rotated = q.split([self.plain, self.rotated], dim=-1)
        latent, k_rotated = self.kv_a_proj_with_mqa(x).split([self.rank, self.rotated], dim=-1)
        latent = self.kv_a_layernorm(latent).unsqueeze(1)  # (B, 1, N, rank)
        k_rotated = rotate_pairs(k_rotated.unsqueeze(1), rotation)  # (B, 1, N, rotated)
        if cache is not None:
            latent, k_rotated = cache.update(latent, k_rotated, self.index)
        k, v = self.keys_and_values(latent, k_rotated)
        q = torch.cat([q_plain, rotate_pairs(q_rotated, rotation)], dim=-1)
        return self.o_proj(attend(q, k, v, visible, self.scale))

    def queries(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, heads * d)."""
        if hasattr(self, "q_proj"):
            return self.q_proj(x)
        return self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))

    def keys_and_values(self, latent: Tensor, k_rotated: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, M, rank), (B, 1, M, rotated) -> (B, heads, M, d), (B, heads, M, v width)."""
        kv = self.kv_b_proj(latent.squeeze(1)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k_plain, v = kv.split([self.plain, self.v_dim], dim=-1)
        return torch.cat([k_plain, k_rotated.expand(-1, self.num_heads, -1, -1)], dim=-1), v


class Mlp(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: TextConfig, hidden: int):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, hidden, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = gated(self.gate_proj, self.up_proj, x)
        if hidden is None:
            hidden = swiglu(self.gate_proj(x), self.up_proj(x))
        return linear(self.down_proj, hidden)


class MixtureOfExperts(nn.Module):
    """(B, N, D) -> (B, N, D): the chosen experts' weighted sum plus the shared experts."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        shared = config.n_shared_experts
        self.shared_experts = Mlp(config, shared * config.moe_intermediate_size) if shared else None

    def forward(
        self, x: Tensor, samples: Tensor | None, with_balance: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Also the balance (S,), if asked for, and the load (E,), given the (S, T) samples."""
        scores, chosen, weights = self.gate(x)
        out = self.experts(x.flatten(0, 1), chosen.flatten(0, 1), weights.flatten(0, 1)).view_as(x)
        if self.shared_experts is not None:
            out = out + self.shared_experts(x)
        if samples is None:
            return out, None, None
        with torch.no_grad():
            hits = count_choices(chosen, samples, scores.shape[-1])
        balance = load_balance(scores, hits, samples) if with_balance else None
        return out, balance, expert_load(hits)


class Router(nn.Module):
    """Chooses k of E experts for each token, in float32.

    `greedy`: the best scores; `group_limited_greedy` (V2): only from the groups with the best
    single score; `noaux_tc` (V3): a learned bias takes part in the choice, groups are ranked by
    their two best, and the weights come from the unbiased scores.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.method, self.scoring = config.topk_method, config.scoring_func
        self.num_chosen = config.num_experts_per_tok
        self.num_groups, self.num_chosen_groups = config.n_group or 1, config.topk_group or 1
        self.normalize, self.factor = config.norm_topk_prob, config.routed_scaling_factor
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        if self.method == "noaux_tc":
            self.e_score_correction_bias = nn.Parameter(
                torch.zeros(config.n_routed_experts), requires_grad=False
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, D) -> scores (B, N, E), chosen experts (B, N, k), their weights (B, N, k)."""
        with torch.autocast(x.device.type, enabled=False):  # the released code loses float32 here
            logits = F.linear(x.float(), self.weight.float())
        scores = logits.softmax(-1) if self.scoring == "softmax" else logits.sigmoid()
        chosen = self.choose(scores.detach())
        weights = scores.gather(-1, chosen)
        if self.normalize:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return scores, chosen, weights * self.factor

    def choose(self, scores: Tensor) -> Tensor:
        """(..., E) scores -> (..., k) indices of the chosen experts."""
        if self.method == "noaux_tc":
            scores = scores + self.e_score_correction_bias.float()
        if self.method != "greedy":
            groups = scores.unflatten(-1, (self.num_groups, -1))  # (..., groups, E / groups)
            best = 2 if self.method == "noaux_tc" else 1
            ranks = groups.topk(best, dim=-1).values.sum(-1)
            kept = torch.zeros_like(ranks, dtype=torch.bool)
            kept.scatter_(-1, ranks.topk(self.num_chosen_groups, dim=-1).indices, True)
            scores = groups.masked_fill(~kept.unsqueeze(-1), float("-inf")).flatten(-2)
        return scores.topk(self.num_chosen, dim=-1, sorted=False).indices


def count_choices(chosen: Tensor, samples: Tensor, num_experts: int) -> Tensor:
    """How often each expert was chosen in each sample, (S, E), of (B, N, k) choices."""
    of_token = torch.zeros(chosen[..., 0].numel(), num_experts, device=chosen.device)
    of_token.scatter_(1, chosen.flatten(0, 1), 1.0)
    return sum_by_sample(of_token, samples)


def expert_load(hits: Tensor) -> Tensor:
    """(S, E) counts -> each expert's share of all choices, (E,); they sum to 1."""
    counts = hits.sum(0)
    return counts / counts.sum().clamp(min=1)


def load_balance(scores: Tensor, hits: Tensor, samples: Tensor) -> Tensor:
    """How unevenly each sample uses the experts, (S,); 1 when even. Without tokens it is 0.

    sum over experts of (share of the choices * E) * (mean score), over a sample's own tokens: the
    sequence-level loss of `modeling_deepseekv2.py:467-484`, which counted padding too. The
    gradient flows through the (B, N, E) scores alone.
    """
    share = hits * hits.shape[-1] / hits.sum(1, keepdim=True).clamp(min=1)
    num_tokens = samples.sum(1, keepdim=True).clamp(min=1)  # (S, 1)
    return (share * sum_by_sample(scores.flatten(0, 1), samples) / num_tokens).sum(-1)


def sum_by_sample(of_token: Tensor, samples: Tensor) -> Tensor:
    """(T, E) -> (S, E), for samples (S, T), True where a token belongs to one."""
    with torch.autocast(of_token.device.type, enabled=False):
        return samples.float() @ of_token.float()
