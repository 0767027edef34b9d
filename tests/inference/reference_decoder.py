"""The plainest decoder for a batch, the oracle of the fast ones: every row by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache


class ReferenceDecoder:
    """A cache of `transformers` for each row, and the model's own forward pass over it."""

    def __init__(self, model: Any, num_slots: int):
        self.model, self.num_slots = model, num_slots
        self.caches: dict[int, DynamicCache] = {}

    @torch.no_grad()
    def extend(self, slots: Sequence[int], embeds: Sequence[Tensor]) -> Tensor:
        logits = []
        for slot, piece in zip(slots, embeds, strict=True):
            for position in piece:  # one at a time: no mask is needed
                out = self.model(
                    inputs_embeds=position[None, None],
                    past_key_values=self.caches.setdefault(slot, DynamicCache()),
                    use_cache=True,
                )
            logits.append(out.logits[0, -1])
        return torch.stack(logits)

    def step(self, slots: Tensor, tokens: Tensor) -> Tensor:
        embeds = self.model.get_input_embeddings()(tokens)[:, None]
        return self.extend(slots.tolist(), list(embeds))

    def free(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self.caches.pop(slot, None)
