"""The decoder's step on a CUDA device: every slot each time, with shapes that never change.

So the whole step can be recorded once as a CUDA graph and played again without the host. Slots that
have no row, or are not asked, compute what nobody reads: they write at the place behind their last
position, which their own next token overwrites, or, where they are full and take no token any more,
at their last. One graph for each multiple of 512 positions, so that short rows do not read the
whole cache.

The recording itself has not been run yet on a device; what it records is tested on a CPU.

Letters: S slots, n rows asked, P positions of a slot, K positions looked at, d width of a head,
V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .decoding import SlotCache
from .language import Attention, MixtureOfExperts
from .rotary import rotate_halves

STRIDE = 512
"""Lengths of rows, rounded up to a multiple of so many, that share a graph."""
WARMUP_STEPS = 3

_logger = logging.getLogger(__name__)


class StaticStep:
    """Steps of a `DeepseekOcrForConditionalGeneration` over all the slots of a `SlotCache`.

    The cache holds no NaN, also where nothing has been kept yet: hidden positions weigh 0 times it.
    """

    def __init__(self, model: Any, cache: SlotCache, *, graphs: bool):
        """`graphs`: record CUDA graphs, as long as that works; else compute each step anew."""
        self._model, self._cache, self._with_graphs = model, cache, graphs
        device = cache.keys[0].device
        self._tokens = torch.zeros(cache.num_slots, dtype=torch.long, device=device)
        self._places = torch.zeros_like(self._tokens)
        self._slots = torch.arange(cache.num_slots, device=device)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._addresses = self._weights()

    def is_current(self) -> bool:
        """Whether all weights still lie where they lay when the graphs were recorded."""
        return self._addresses == self._weights()

    def _weights(self) -> tuple[int, ...]:
        return tuple(p.data_ptr() for p in self._model.parameters())

    @staticmethod
    def suits(model: Any) -> bool:
        """Whether all layers have plain attention, on a CUDA device."""
        attention = all(isinstance(layer.self_attn, Attention) for layer in model.model.layers)
        return attention and model.device.type == "cuda"

    def step(self, slots: Sequence[int], lengths: Sequence[int], tokens: Tensor) -> Tensor:
        """n slots, the lengths of all S rows, n tokens -> (n, V) float32 logits."""
        device = self._tokens.device
        asked = torch.tensor(slots).to(device, non_blocking=True)
        self._tokens[asked] = tokens.to(device)
        last = self._cache.num_positions - 1
        places = torch.tensor([min(length, last) for length in lengths])
        self._places.copy_(places, non_blocking=True)
        longest = max(lengths[slot] for slot in slots) + 1
        num_keys = min(-(-longest // STRIDE) * STRIDE, self._cache.num_positions)
        return self._logits(num_keys)[asked]

    def _logits(self, num_keys: int) -> Tensor:
        """(S, V), by a graph where there is one or one can be recorded."""
        if not self._with_graphs:
            return self.compute(num_keys)
        if num_keys not in self._graphs:
            try:
                self._graphs[num_keys] = self._record(num_keys)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # an operation that waits for the device, perhaps
                _logger.info("steps without a CUDA graph, which is slower: %s", error)
                self._with_graphs = False
                torch.cuda.synchronize()
                return self.compute(num_keys)
        graph, logits = self._graphs[num_keys]
        graph.replay()
        return logits

    def _record(self, num_keys: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The graph of a step and what it writes; nothing that is recorded is computed."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # what is made at a first call is made outside the graph
            for _ in range(WARMUP_STEPS):
                self.compute(num_keys)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        with torch.cuda.graph(graph, pool=pool):
            logits = self.compute(num_keys)
        return graph, logits

    def compute(self, num_keys: int) -> Tensor:
        """(S, V) float32 logits after each slot's token, looking at K positions at most."""
        decoder = self._model.model
        x = decoder.embed_tokens(self._tokens)[:, None]  # (S, 1, D)
        rotation = decoder.rotary(self._places[:, None])
        numbers = torch.arange(num_keys, device=x.device)
        visible = (numbers <= self._places[:, None])[:, None, None]  # (S, 1, 1, K)
        for index, layer in enumerate(decoder.layers):
            attention, normed = layer.self_attn, layer.input_layernorm(x)
            q, k, v = (
                project(normed).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )  # each (S, heads, 1, d)
            q, k = rotate_halves(q, rotation), rotate_halves(k, rotation)
            keys, values = (
                self._keep(stack[index], new)[:, :, :num_keys]
                for stack, new in ((self._cache.keys, k), (self._cache.values, v))
            )
            answer = F.scaled_dot_product_attention(
                q, keys, values, attn_mask=visible, scale=attention.scale, enable_gqa=True
            )
            x = x + attention.o_proj(answer.transpose(1, 2).flatten(2))
            normed = layer.post_attention_layernorm(x)
            if isinstance(layer.mlp, MixtureOfExperts):
                x = x + layer.mlp(normed, None, False)[0]
            else:
                x = x + layer.mlp(normed)
        return self._model.lm_head(decoder.norm(x[:, 0])).float()

    def _keep(self, stack: Tensor, new: Tensor) -> Tensor:
        """(S, heads, 1, d) of the new tokens into a layer's (S, heads, P, d)."""
        stack[self._slots, :, self._places] = new[:, :, 0]
        return stack
