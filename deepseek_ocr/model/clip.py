"""CLIP-L's transformer over SAM's compressed features: the layout of a page.

Letters: B views, h grid side (S / 64), C width. There is no patch embedding to compute: SAM's
features take its place; and no final norm. Paper: arXiv 2103.00020. Released code:
`deepencoder.py:188-539`, whose parameter names are kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .config_parts import ClipConfig
from .native import attention
from .native.linear import linear
from .sam import resize_positions


class ClipEncoder(nn.Module):
    """(B, C, h, h) local features -> (B, 1 + h * h, C), the class token first."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.embeddings = ClipEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)  # [sic]
        self.transformer = ClipTransformer(config)

    def forward(self, local: Tensor) -> Tensor:
        return self.transformer(self.pre_layrnorm(self.embeddings(local)))


class ClipEmbeddings(nn.Module):
    """(B, C, h, h) -> (B, 1 + h * h, C): class token in front, positions added."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.grid = config.image_size // patch
        self.class_embedding = nn.Parameter(torch.empty(width))
        # in the published weights, and used by nobody: the pixels come through SAM
        self.patch_embedding = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(1 + self.grid**2, width)

    def forward(self, local: Tensor) -> Tensor:
        batch, width, rows, columns = local.shape
        class_token = self.class_embedding.expand(batch, 1, width)
        x = torch.cat([class_token, local.flatten(2).mT], dim=1)  # (B, 1 + h * h, C)
        return x + self.positions(rows, columns)

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, C): the class row as it is, the others resized as a picture."""
        table = self.position_embedding.weight
        picture = table[1:].view(1, self.grid, self.grid, -1)
        resized = resize_positions(picture, rows, columns)
        return torch.cat([table[None, :1], resized.flatten(1, 2)], dim=1)


class ClipTransformer(nn.Module):
    """A stack of pre-norm blocks, (B, tokens, C) -> the same."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.layers = nn.ModuleList(ClipBlock(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class ClipBlock(GradientCheckpointingLayer):
    """Self-attention over all tokens, then an MLP."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        width = config.hidden_size
        self.layer_norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.self_attn = ClipAttention(width, config.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = ClipMlp(width, int(width * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = self.self_attn(self.layer_norm1(x), residual=x)
        return self.mlp(self.layer_norm2(x), residual=x)


class ClipAttention(nn.Module):
    """Multi-head attention with fused projections in the order q, k, v; + `residual`."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        qkv = linear(self.qkv_proj, x).unflatten(-1, (3, self.num_heads, -1))
        return linear(self.out_proj, self.attend(qkv), residual=residual)

    def attend(self, qkv: Tensor) -> Tensor:
        """(B, tokens, 3, heads, d) -> (B, tokens, C)."""
        learns = torch.is_grad_enabled() and qkv.requires_grad
        if not learns and attention.attends(qkv.shape[-1], qkv):
            return self.attend_natively(qkv)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, tokens, d)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    @torch.compiler.disable
    def attend_natively(self, qkv: Tensor) -> Tensor:
        """As `attend`, in C."""
        return attention.attend_views(qkv[:, None], (1, qkv.shape[1]))[:, 0]


class ClipMlp(nn.Module):
    """Two linear layers with CLIP's quick GELU, x * sigmoid(1.702 x); + `residual`."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return linear(self.fc2, linear(self.fc1, x, activation="quick_gelu"), residual=residual)
