"""SAM-ViT-B with its neck and the 16x compressor: the detail of a page.

Letters: B views, S side in pixels, g = S / 16 grid side, C width, H heads, d = C / H, W windows.
Paper: Segment Anything, arXiv 2304.02643; decomposed relative positions, arXiv 2112.01526.
Released code: `deepencoder.py:548-1058`, whose parameter names are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .config_parts import SamConfig
from .native import attention
from .native.linear import linear
from .position_attention import attend_with_positions

CPU_PATCHES = 4096
"""Patches that a CPU takes through the encoder together: one overview, or two tiles of 640."""

CPU_MLP_PATCHES = 768
"""Of those, how many pass through a frozen MLP together."""


class SamEncoder(nn.Module):
    """(B, 3, S, S) pixels in [-1, 1] -> (B, channels, S / 64, S / 64) local features."""

    def __init__(self, config: SamConfig):
        super().__init__()
        grid = config.image_size // config.patch_size
        width, out = config.hidden_size, config.out_channels
        self.patch_size = config.patch_size
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
        sides = (side // self.patch_size for side in pixels.shape[2:])
        positions = resize_positions(self.pos_embed, *sides)
        if pixels.device.type != "cpu":
            return self.encode(pixels, positions)
        # what passes from product to product then fits into the cache
        num_patches = positions.shape[1] * positions.shape[2]
        parts = pixels.split(max(CPU_PATCHES // num_patches, 1))
        return torch.cat([self.encode(part, positions) for part in parts])

    def encode(self, pixels: Tensor, positions: Tensor) -> Tensor:
        """As `forward`, all views together; `positions` (1, g, g, C)."""
        x = self.patch_embed(pixels) + positions  # (B, g, g, C)
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
        # channels last in memory, too: the sums of all blocks would inherit another order
        return self.proj(pixels).permute(0, 2, 3, 1).contiguous()


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
        self.norm1 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.attn = SamAttention(config, window_size)
        self.norm2 = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = SamMlp(width, int(width * config.mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attn(self.norm1(x), residual=x)
        return self.mlp(self.norm2(x), residual=x)


class SamAttention(nn.Module):
    """(B, h, w, C) -> the same, within windows, with decomposed relative positions; + `residual`.

    `window_size` 0 is one window over the whole view, whose position tables are made for
    `config.image_size`; other sides interpolate them.
    """

    def __init__(self, config: SamConfig, window_size: int):
        super().__init__()
        width = config.hidden_size
        self.window_size = window_size
        self.num_heads = config.num_attention_heads
        head_dim = width // self.num_heads
        grid = window_size or config.image_size // config.patch_size
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.empty(2 * grid - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.empty(2 * grid - 1, head_dim))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        qkv = linear(self.qkv, x).unflatten(-1, (3, self.num_heads, -1))  # (B, h, w, 3, H, d)
        if not self.learns(qkv) and attention.attends(qkv.shape[-1], qkv):
            attended = self.attend_natively(qkv)
        else:
            attended = self.attend_windows(x, *qkv.unbind(3))
        return linear(self.proj, attended, residual=residual)

    def attend_windows(self, x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Each (B, h, w, H, d), projected from `x` -> (B, h, w, C)."""
        if not self.window_size:
            return self.attend(q, k, v)
        # Positions beyond the view take part as keys, without a mask, as published
        # (`deepencoder.py:851`); there are no queries of theirs to answer.
        nothing = self.qkv(x.new_zeros(1, 1, 1, x.shape[-1]))
        _, no_key, no_value = nothing.unflatten(-1, (3, self.num_heads, -1)).unbind(3)
        size = self.window_size
        k, v = fill_up(k, no_key, size), fill_up(v, no_value, size)
        rows = []
        for q_row, k_row, v_row in split_alike(q, k, v, dim=1, size=size):
            row = []
            for parts in split_alike(q_row, k_row, v_row, dim=2, size=size):
                grid = parts[1].shape[1] // size, parts[1].shape[2] // size
                attended = self.attend(*(to_windows(part, *grid) for part in parts))
                row.append(from_windows(attended, *grid))
            rows.append(torch.cat(row, dim=2))
        return torch.cat(rows, dim=1)

    def learns(self, qkv: Tensor) -> bool:
        """Whether gradients must come back through the attention."""
        parts = (qkv, self.rel_pos_h, self.rel_pos_w)
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    @torch.compiler.disable
    def attend_natively(self, qkv: Tensor) -> Tensor:
        """(B, h, w, 3, H, d) -> (B, h, w, C), windows and all, in C."""
        window = (self.window_size,) * 2 if self.window_size else qkv.shape[1:3]
        # what a place of zeros gives, through adapters, too
        nothing = self.qkv(qkv.new_zeros(1, qkv.shape[-2] * qkv.shape[-1])).view(qkv.shape[3:])
        tables = [
            distance_table(table, size)
            for table, size in zip((self.rel_pos_h, self.rel_pos_w), window, strict=True)
        ]
        return attention.attend_views(qkv, window, nothing, tables)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries of a window's first rows and columns (W, h', w', H, d) -> (W, h', w', C).

        They look at the whole window, (W, h, w, H, d) keys and values.
        """
        sides, key_sides = q.shape[1:3], k.shape[1:3]
        q, k, v = (part.permute(0, 3, 1, 2, 4) for part in (q, k, v))  # each (W, H, h, w, d)
        scores = (part.flatten(2, 3) for part in self.position_scores(q, *key_sides))
        q, k, v = (part.flatten(2, 3) for part in (q, k, v))  # each (W, H, h * w, d)
        out = attend_with_positions(q, k, v, *scores)
        return out.transpose(1, 2).flatten(2).unflatten(1, sides)

    def position_scores(self, q: Tensor, key_rows: int, key_columns: int) -> tuple[Tensor, Tensor]:
        """(W, H, h, w, d) queries, not scaled -> (W, H, h, w, rows), (W, H, h, w, columns)."""
        height, width = q.shape[2:4]
        by_row = relative_table(self.rel_pos_h, key_rows)[:height]  # (h, rows, d)
        by_column = relative_table(self.rel_pos_w, key_columns)[:width]  # (w, columns, d)
        return (
            torch.einsum("bnhwc,hkc->bnhwk", q, by_row),
            torch.einsum("bnhwc,wkc->bnhwk", q, by_column),
        )


def fill_up(x: Tensor, nothing: Tensor, size: int) -> Tensor:
    """(B, h, w, H, d) -> the same with h and w multiples of `size`; `nothing` (1, 1, 1, H, d)."""
    missing = -x.shape[2] % size
    x = torch.cat([x, nothing.expand(*x.shape[:2], missing, -1, -1)], dim=2)
    missing = -x.shape[1] % size
    return torch.cat([x, nothing.expand(len(x), missing, x.shape[2], -1, -1)], dim=1)


def split_alike(*parts: Tensor, dim: int, size: int) -> Iterator[tuple[Tensor, ...]]:
    """Cut queries, keys and values where the windows end that the view fills.

    The last window may be filled in part; then the first of `parts`, the queries, have fewer
    positions there than the others. Cut by `split`: its gradient is one `cat`.
    """
    length = parts[0].shape[dim]
    whole = length - length % size
    if whole in (0, length):
        yield parts
        return
    yield from zip(
        *(part.split([whole, part.shape[dim] - whole], dim) for part in parts), strict=True
    )


def to_windows(x: Tensor, rows: int, columns: int) -> Tensor:
    """(B, rows * h, columns * w, H, d) -> (B * rows * columns, h, w, H, d)."""
    grid = x.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))
    return grid.transpose(2, 3).flatten(0, 2)


def from_windows(windows: Tensor, rows: int, columns: int) -> Tensor:
    """(B * rows * columns, h, w, C) -> (B, rows * h, columns * w, C)."""
    grid = windows.unflatten(0, (-1, rows, columns)).transpose(2, 3)
    return grid.flatten(3, 4).flatten(1, 2)


def distance_table(table: Tensor, size: int) -> Tensor:
    """(distances, d) -> (2 * size - 1, d): the same for another side, linearly interpolated."""
    length = 2 * size - 1
    if table.shape[0] == length:
        return table
    resized = F.interpolate(table.float().T[None], size=length, mode="linear")
    return resized[0].T.to(table.dtype)


def relative_table(table: Tensor, size: int) -> Tensor:
    """(distances, d) -> (size, size, d): the row of each query and key."""
    position = torch.arange(size, device=table.device)
    return distance_table(table, size)[position[:, None] - position[None, :] + size - 1]


class SamMlp(nn.Module):
    """Two linear layers with exact GELU; + `residual`."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def learns(self, x: Tensor) -> bool:
        """Whether gradients must come back through it."""
        return x.requires_grad or any(parameter.requires_grad for parameter in self.parameters())

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if x.device.type != "cpu" or (torch.is_grad_enabled() and self.learns(x)):
            out = self.lin2(F.gelu(self.lin1(x)))
            return out if residual is None else residual + out
        # the wide product stays small: new memory for the whole of it takes a tenth of the time
        rows, width = x.flatten(0, -2), self.lin1.out_features
        rests = None if residual is None else residual.flatten(0, -2)
        hidden, out = x.new_empty(CPU_MLP_PATCHES, width), rows.new_empty(rows.shape)
        for start in range(0, len(rows), CPU_MLP_PATCHES):
            own = slice(start, start + CPU_MLP_PATCHES)
            wide = linear(self.lin1, rows[own], activation="gelu", out=hidden[: len(rows[own])])
            rest = None if rests is None else rests[own]
            linear(self.lin2, wide, residual=rest, out=out[own])
        return out.view_as(x)


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
