"""SAM-ViT-B with its neck and the 16x compressor: the detail of a page.

Letters: B views, S side in pixels, g = S / 16 grid side, C width, H heads, d = C / H.
Paper: Segment Anything, arXiv 2304.02643; decomposed relative positions, arXiv 2112.01526.
Released code: `deepencoder.py:548-1058`, whose parameter names are kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .config_parts import SamConfig


class SamEncoder(nn.Module):
    """(B, 3, S, S) pixels in [-1, 1] -> (B, channels, S / 64, S / 64) local features."""

    def __init__(self, config: SamConfig):
        super().__init__()
        grid = config.image_size // config.patch_size
        width, out = config.hidden_size, config.out_channels
        self.patch_embed = PatchEmbedding(config)
        self.pos_embed = nn.Parameter(torch.empty(1, grid, grid, width))
        self.blocks = nn.ModuleList(
            SamBlock(config, 0 if i in config.global_attn_indexes else config.window_size)
            for i in range(config.num_hidden_layers)
        )
        self.neck = nn.Sequential(
            nn.Conv2d(width, out, 1, bias=False),
            ChannelNorm(out, config.layer_norm_eps),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            ChannelNorm(out, config.layer_norm_eps),
        )
        middle, last = config.downsample_channels
        # no activation between the two, as published
        self.net_2 = nn.Conv2d(out, middle, 3, stride=2, padding=1, bias=False)
        self.net_3 = nn.Conv2d(middle, last, 3, stride=2, padding=1, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels)  # (B, g, g, C)
        x = x + resize_positions(self.pos_embed, x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x)
        x = self.neck(x.permute(0, 3, 1, 2))  # (B, out, g, g)
        return self.net_3(self.net_2(x))  # (B, channels, g / 4, g / 4)


class PatchEmbedding(nn.Module):
    """(B, 3, S, S) -> (B, g, g, C)."""

    def __init__(self, config: SamConfig):
        super().__init__()
        patch = config.patch_size
        self.proj = nn.Conv2d(3, config.hidden_size, kernel_size=patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.proj(pixels).permute(0, 2, 3, 1)


def resize_positions(table: Tensor, height: int, width: int) -> Tensor:
    """(1, h, w, C) position table -> (1, height, width, C): bicubic, antialiased, in float32."""
    if table.shape[1:3] == (height, width):
        return table
    resized = F.interpolate(
        table.permute(0, 3, 1, 2).float(),
        size=(height, width),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return resized.to(table.dtype).permute(0, 2, 3, 1)


class SamBlock(GradientCheckpointingLayer):
    """(B, g, g, C) -> the same; `window_size` 0 attends over the whole view."""

    def __init__(self, config: SamConfig, window_size: int):
        super().__init__()
        width = config.hidden_size
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.attn = SamAttention(config, window_size or config.image_size // config.patch_size)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = SamMlp(width, int(width * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.window_size:
            height, width = x.shape[1:3]
            windows = split_windows(normed, self.window_size)
            attended = join_windows(self.attn(windows), height, width)
        else:
            attended = self.attn(normed)
        x = x + attended
        return x + self.mlp(self.norm2(x))


def split_windows(x: Tensor, size: int) -> Tensor:
    """(B, g, g, C) -> (B * windows, size, size, C), padded with zeros at the right and bottom.

    The padding takes part in attention, without a mask, as published (`deepencoder.py:851`).
    """
    batch, height, width, channels = x.shape
    x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    rows, columns = x.shape[1] // size, x.shape[2] // size
    x = x.view(batch, rows, size, columns, size, channels).transpose(2, 3)
    return x.reshape(-1, size, size, channels)


def join_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `split_windows`: (B * windows, size, size, C) -> (B, height, width, C)."""
    size, channels = windows.shape[2:]
    rows, columns = -(-height // size), -(-width // size)
    x = windows.view(-1, rows, columns, size, size, channels).transpose(2, 3)
    return x.reshape(-1, rows * size, columns * size, channels)[:, :height, :width]


class SamAttention(nn.Module):
    """(B, h, w, C) -> the same, over all h * w positions, with decomposed relative positions.

    `grid` is the side for which the position tables were made; other sides interpolate them.
    """

    def __init__(self, config: SamConfig, grid: int):
        super().__init__()
        width = config.hidden_size
        self.num_heads = config.num_attention_heads
        head_dim = width // self.num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.empty(2 * grid - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.empty(2 * grid - 1, head_dim))

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, h * w, d)
        scale = q.shape[-1] ** -0.5
        # The position of key (r, c) adds q . R_h[r] + q . R_w[c] to its score. Written as wider
        # queries times wider keys it needs no (h * w, h * w) bias in memory, and has a gradient.
        q = torch.cat([q, self.position_scores(q, height, width) / scale], dim=-1)
        k = torch.cat([k, one_hot_positions(k, height, width)], dim=-1)
        values = F.pad(v, (0, q.shape[-1] - v.shape[-1]))  # fused kernels want equal widths
        out = F.scaled_dot_product_attention(q, k, values, scale=scale)[..., : v.shape[-1]]
        return self.proj(out.transpose(1, 2).reshape(batch, height, width, channels))

    def position_scores(self, q: Tensor, height: int, width: int) -> Tensor:
        """(B, H, h * w, d) queries, not scaled -> (B, H, h * w, h + w): by key row, then column."""
        q = q.unflatten(2, (height, width))  # (B, H, h, w, d)
        by_row = torch.einsum("bnhwc,hkc->bnhwk", q, relative_table(self.rel_pos_h, height))
        by_column = torch.einsum("bnhwc,wkc->bnhwk", q, relative_table(self.rel_pos_w, width))
        return torch.cat([by_row, by_column], dim=-1).flatten(2, 3)


def one_hot_positions(k: Tensor, height: int, width: int) -> Tensor:
    """(B, H, h * w, d) keys -> (B, H, h * w, h + w), 1 at the row and at the column of each key."""
    rows = torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, dim=0)
    columns = torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1)
    return torch.cat([rows, columns], dim=1).expand(*k.shape[:2], -1, -1)


def relative_table(table: Tensor, size: int) -> Tensor:
    """(distances, d) -> (size, size, d): the row of each query and key, linearly interpolated."""
    length = 2 * size - 1
    if table.shape[0] != length:
        resized = F.interpolate(table.float().T[None], size=length, mode="linear")
        table = resized[0].T.to(table.dtype)
    position = torch.arange(size, device=table.device)
    return table[position[:, None] - position[None, :] + size - 1]


class SamMlp(nn.Module):
    """Two linear layers with exact GELU."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, h, w)."""

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)
