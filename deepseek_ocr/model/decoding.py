"""The decoder over a cache of fixed size: rows of unlike lengths side by side, without padding.

The tokens of all rows lie end to end in one (T, D) tensor, so that linear layers and experts see
them together; attention goes row by row, over what that row has. Every kind of layer of the model
runs here (latent attention, adapters, packed weights): its own modules are called. Inference only.

Letters: T tokens of this call, D width, S slots of the cache, P positions of a slot, d width of a
head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .config_parts import TextConfig
from .language import Attention, LatentAttention, MixtureOfExperts, attend
from .native.attention import attend_text, attends
from .native.linear import linear
from .rotary import Rotation, rotate_halves, rotate_pairs


@dataclass(frozen=True)
class Run:
    """New tokens of one row: `start` to `stop` of this call's T, after `past` positions."""

    slot: int
    start: int
    stop: int
    past: int

    @property
    def length(self) -> int:
        """Positions of the row with these tokens."""
        return self.past + self.stop - self.start


class SlotCache:
    """What attention remembers of S rows of up to P positions; a layer's tensors (S, heads, P, d).

    Plain attention keeps keys and values, latent attention its latent and the shared rotated key.
    On a CPU memory is taken page by page, once something is kept there; elsewhere it begins as 0.
    """

    def __init__(
        self,
        config: TextConfig,
        num_slots: int,
        num_positions: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.num_slots, self.num_positions = num_slots, num_positions
        heads, *widths = cache_shape(config)
        make = torch.empty if device.type == "cpu" else torch.zeros
        self.keys, self.values = (
            [
                make(num_slots, heads, num_positions, width, dtype=dtype, device=device)
                for _ in range(config.num_hidden_layers)
            ]
            for width in widths
        )

    def update(self, layer: int, run: Run, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep (heads, n, d) of the run's n tokens -> (1, heads, length, d) of the whole row."""
        kept = []
        for cache, new in ((self.keys[layer], k), (self.values[layer], v)):
            cache[run.slot, :, run.past : run.length] = new
            kept.append(cache[run.slot, None, :, : run.length])
        return kept[0], kept[1]


def cache_shape(config: TextConfig) -> tuple[int, int, int]:
    """Heads and the two widths that a layer keeps of each position."""
    if config.use_mla:
        return 1, config.kv_lora_rank, config.qk_rope_head_dim
    return config.num_key_value_heads, config.qk_head_dim, config.qk_head_dim


def cache_bytes(config: TextConfig, num_slots: int, num_positions: int, dtype: torch.dtype) -> int:
    """What a `SlotCache` takes, known before it is made."""
    heads, first, second = cache_shape(config)
    numbers = config.num_hidden_layers * num_slots * num_positions * heads * (first + second)
    return numbers * dtype.itemsize


def decode(model: Any, x: Tensor, runs: Sequence[Run], cache: SlotCache) -> Tensor:
    """(T, D) input embeddings of the runs -> (runs, D) states of their last tokens, not normed.

    `model` is a `DeepseekOcrModel`. The runs cover the T tokens in order. The last layer computes
    keys and values of all tokens, and nothing else of those that nobody asks for.
    """
    places = [torch.arange(run.past, run.length, device=x.device) for run in runs]
    rotation = model.rotary(torch.cat(places)[None])
    lasts = torch.tensor([run.stop - 1 for run in runs], device=x.device)
    for layer in model.layers:
        asked = lasts if layer is model.layers[-1] and len(lasts) < len(x) else None
        attention = _attend_latent if isinstance(layer.self_attn, LatentAttention) else _attend
        attended = attention(
            layer.self_attn, layer.input_layernorm(x), rotation, runs, cache, asked
        )
        x = (x if asked is None else x[asked]) + attended
        normed = layer.post_attention_layernorm(x)
        if isinstance(layer.mlp, MixtureOfExperts):
            x = x + layer.mlp(normed[None], None, False)[0][0]
        else:
            x = x + layer.mlp(normed)
    return x


def _attend(
    attention: Attention,
    x: Tensor,
    rotation: Rotation,
    runs: Sequence[Run],
    cache: SlotCache,
    asked: Tensor | None,
) -> Tensor:
    """(T, D) -> (T, D), or of the `asked` tokens, the last of each run, (runs, D)."""

    def heads(project: Any, x: Tensor) -> Tensor:  # (1, heads, tokens, d)
        return linear(project, x)[None].unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

    q = heads(attention.q_proj, x if asked is None else x[asked])
    q = rotate_halves(q, _rotation_of(asked, rotation))
    k, v = heads(attention.k_proj, x), heads(attention.v_proj, x)
    k = rotate_halves(k, rotation)
    answers = []
    for number, run in enumerate(runs):
        own = slice(run.start, run.stop)
        keys, values = cache.update(attention.index, run, k[0, :, own], v[0, :, own])
        mine = q[:, :, own if asked is None else slice(number, number + 1)]
        answers.append(_attend_run(mine, keys, values, run, attention.scale))
    return linear(attention.o_proj, torch.cat(answers))


def _attend_latent(
    attention: LatentAttention,
    x: Tensor,
    rotation: Rotation,
    runs: Sequence[Run],
    cache: SlotCache,
    asked: Tensor | None,
) -> Tensor:
    """As `_attend`."""
    q = attention.queries(x if asked is None else x[asked])[None]
    q = q.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    q_plain, q_rotated = q.split([attention.plain, attention.rotated], dim=-1)
    q_rotated = rotate_pairs(q_rotated, _rotation_of(asked, rotation))
    q = torch.cat([q_plain, q_rotated], dim=-1)  # (1, heads, tokens, d)
    widths = [attention.rank, attention.rotated]
    latent, k_rotated = attention.kv_a_proj_with_mqa(x).split(widths, dim=-1)
    latent = attention.kv_a_layernorm(latent)[None]
    k_rotated = rotate_pairs(k_rotated[None, None], rotation)[0]  # (1, T, rotated)
    answers = []
    for number, run in enumerate(runs):
        own = slice(run.start, run.stop)
        kept = cache.update(attention.index, run, latent[:, own], k_rotated[:, own])
        keys, values = attention.keys_and_values(*kept)
        mine = q[:, :, own if asked is None else slice(number, number + 1)]
        answers.append(_attend_run(mine, keys, values, run, attention.scale))
    return attention.o_proj(torch.cat(answers))


def _rotation_of(asked: Tensor | None, rotation: Rotation) -> Rotation:
    if asked is None:
        return rotation
    return Rotation(rotation.cos[:, asked], rotation.sin[:, asked])


def _attend_run(q: Tensor, keys: Tensor, values: Tensor, run: Run, scale: float) -> Tensor:
    """(1, heads, n, d) queries of a run's last n tokens over its row -> (n, heads * v width)."""
    if q.shape[2] > 1 and keys.shape == values.shape and attends(q.shape[-1], q, keys, values):
        return attend_text(q[0], keys[0], values[0], scale)
    seen = None if q.shape[2] == 1 else seen_by(run, q.device)
    return attend(q, keys, values, seen, scale)[0]


def seen_by(run: Run, device: torch.device) -> Tensor | None:
    """(1, 1, n, length) True where a new token of the row may look; None: as `attend` knows it."""
    if run.past == 0 or run.stop - run.start == 1:
        return None
    places = torch.arange(run.length, device=device)
    return (places <= places[run.past :, None])[None, None]
