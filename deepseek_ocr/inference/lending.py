"""Decoders of a model, lent to one batch after another: a cache is reserved once, not each time."""

from __future__ import annotations

from typing import Any

from .slots import SlotDecoder


class DecoderLender:
    """Lends decoders of a model; the last one that came back is kept for the next batch."""

    def __init__(self, model: Any):
        self.model = model
        self._kept: SlotDecoder | None = None

    @property
    def num_bytes(self) -> int:
        """Of the cache that is kept."""
        kept = self._kept
        return cache_bytes(self.model, kept.num_slots, kept.num_positions) if kept else 0

    def lend(self, num_slots: int, num_positions: int) -> SlotDecoder:
        """The kept one if it is large enough, else a new one."""
        kept, self._kept = self._kept, None
        if kept is not None and kept.num_slots >= num_slots and kept.num_positions >= num_positions:
            return kept
        del kept  # its memory goes before the next one takes its own
        return SlotDecoder(self.model, num_slots=num_slots, num_positions=num_positions)

    def give_back(self, decoder: SlotDecoder) -> None:
        """Keep it, in place of an earlier one."""
        self._kept = decoder

    def drop(self) -> None:
        """Keep none."""
        self._kept = None


def cache_bytes(model: Any, num_slots: int, num_positions: int) -> int:
    """What the cache of a decoder takes, known before it is made."""
    inner = without_adapter(model)
    return SlotDecoder.bytes_needed(inner.config, num_slots, num_positions, inner.dtype)


def without_adapter(model: Any) -> Any:
    """The model itself, where an adapter is around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
