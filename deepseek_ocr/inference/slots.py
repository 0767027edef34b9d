"""A bounded cache of rows, and the decoder over it: rows join, take a step together, and leave.

Letters: S slots, P positions of a slot, n rows of a call, N_i tokens of row i, D width,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..model.decoding import Run, SlotCache, cache_bytes, decode
from ..model.modeling import DeepseekOcrForConditionalGeneration
from ..model.native.decoder import NativeDecoder, native_decoder
from ..model.static_step import StaticStep


class SlotDecoder:
    """The decoder of a model over a cache of `num_slots` rows of up to `num_positions` each.

    A row is known by its slot. Rows have their own lengths; none is padded to another's. The whole
    cache is reserved at once, `bytes_needed` says how much.

    Args:
        model: a `DeepseekOcrForConditionalGeneration` in eval mode, perhaps under an adapter; see
            `supports`.
    """

    def __init__(self, model: Any, *, num_slots: int, num_positions: int):
        if num_slots < 1 or num_positions < 1:
            raise ValueError(
                f"a cache needs at least one slot and one position, got {num_slots} slots of "
                f"{num_positions} positions"
            )
        self.model = _inner(model)
        self.num_slots, self.num_positions = num_slots, num_positions
        weight = self.model.get_input_embeddings().weight
        self.device, self.dtype = weight.device, weight.dtype
        self._cache = SlotCache(
            self.model.config.text_config,
            num_slots,
            num_positions,
            dtype=self.dtype,
            device=self.device,
        )
        self._lengths = [0] * num_slots
        self._native: NativeDecoder | None = None
        self._static: StaticStep | None = None

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether a model can be decoded here: ours, whole on one device, perhaps adapted."""
        inner = _inner(model)
        return isinstance(inner, DeepseekOcrForConditionalGeneration) and (
            len({p.device for p in inner.parameters()}) == 1
            and all(type(p) is nn.Parameter for p in inner.parameters())  # not a share of one
        )

    @staticmethod
    def bytes_needed(config: Any, num_slots: int, num_positions: int, dtype: torch.dtype) -> int:
        """What the cache of a model with this `DeepseekOcrConfig` takes, before anything is."""
        return cache_bytes(config.text_config, num_slots, num_positions, dtype)

    @property
    def is_compiled(self) -> bool:
        """Whether the steps of the rows here are computed by compiled code."""
        return self._native is not None

    def length(self, slot: int) -> int:
        """Positions that the slot's row has; 0 where the slot is free."""
        return self._lengths[slot]

    def prefill(
        self, slots: Sequence[int], embeds: Sequence[Tensor], chunk: int | None = None
    ) -> Tensor:
        """New rows into free slots -> (n, V) float32 logits of each row's last position.

        Args:
            slots: n free slots.
            embeds: each row's (N_i, D) input embeddings, pictures already in place.
            chunk: at most so many tokens at a time, of all rows together; None: all at once.

        Raises:
            ValueError: a slot is taken or named twice, a row is empty or too long.
        """
        self._check(slots, [len(row) for row in embeds])
        for slot in slots:
            if self._lengths[slot]:
                raise ValueError(f"slot {slot} holds a row of {self._lengths[slot]} positions")
        return self.extend(slots, embeds, chunk)

    @torch.no_grad()  # not inference mode: what is gathered in it could never train again
    def extend(
        self, slots: Sequence[int], embeds: Sequence[Tensor], chunk: int | None = None
    ) -> Tensor:
        """As `prefill`, but rows go on after what their slots hold: a long prompt piece by piece.

        Where it fails, out of memory perhaps, the rows have the lengths that they had.
        """
        self._check(slots, [len(row) for row in embeds])
        self._prepare()
        before = list(self._lengths)
        last: dict[int, Tensor] = {}
        try:
            for runs, x in _passes(slots, embeds, before, chunk):
                states = decode(self.model.model, x.to(self.dtype), runs, self._cache)
                for run, state in zip(runs, states, strict=True):
                    last[run.slot] = state
                    self._lengths[run.slot] = run.length
            return self._logits(torch.stack([last[slot] for slot in slots]))
        except BaseException:
            self._lengths = before
            raise

    @torch.no_grad()
    def step(self, slots: Tensor, tokens: Tensor) -> Tensor:
        """(n,) slots that hold rows, (n,) their newest tokens -> (n, V) float32 logits.

        Raises:
            ValueError: a slot is named twice, holds no row, or is full.
        """
        taken = slots.tolist()
        self._check(taken, [1] * len(taken))
        for slot in taken:
            if not self._lengths[slot]:
                raise ValueError(f"slot {slot} holds no row; prefill comes first")
        places = [self._lengths[slot] for slot in taken]
        if self._native is not None:
            logits = self._native.step(taken, places, tokens)
        elif self._static is not None:
            logits = self._static.step(taken, self._lengths, tokens)
        else:
            rows = enumerate(zip(taken, places, strict=True))
            runs = [Run(slot, i, i + 1, place) for i, (slot, place) in rows]
            x = self.model.get_input_embeddings()(tokens.to(self.device))
            logits = self._logits(decode(self.model.model, x, runs, self._cache))
        for slot in taken:
            self._lengths[slot] += 1
        return logits

    def copy(self, source: int, slots: Sequence[int]) -> None:
        """The row of a slot into free slots: one prompt, continued in several ways.

        Raises:
            ValueError: the slot holds no row, or another is taken.
        """
        length = self._lengths[source]
        if not length or any(self._lengths[slot] for slot in slots):
            raise ValueError(
                f"expected a row in slot {source} and none in {list(slots)}, got rows of "
                f"{length} and of {[self._lengths[slot] for slot in slots]} positions"
            )
        for stack in (*self._cache.keys, *self._cache.values):
            for slot in slots:
                stack[slot, :, :length] = stack[source, :, :length]
        for slot in slots:
            self._lengths[slot] = length

    def free(self, slots: Sequence[int]) -> None:
        """The rows leave; their slots take new ones."""
        for slot in slots:
            self._lengths[slot] = 0

    def _prepare(self) -> None:
        """What is faster for the steps, where it can do this model; after changes, anew."""
        if self._native is None or not self._native.is_current():
            self._native = native_decoder(self.model, self._cache)
        if StaticStep.suits(self.model) and not (self._static and self._static.is_current()):
            self._static = StaticStep(self.model, self._cache, graphs=True)

    def _logits(self, states: Tensor) -> Tensor:
        """(n, D) states before the final norm -> (n, V) float32."""
        return self.model.lm_head(self.model.model.norm(states)).float()

    def _check(self, slots: Sequence[int], counts: Sequence[int]) -> None:
        """Every slot once and inside the cache, every row of at least a token and with room."""
        if len(slots) != len(counts) or len(set(slots)) != len(slots):
            raise ValueError(f"expected {len(counts)} unlike slots, got {list(slots)}")
        for slot, count in zip(slots, counts, strict=True):
            if not 0 <= slot < self.num_slots:
                raise ValueError(f"no slot {slot}; there are {self.num_slots}")
            if count < 1:
                raise ValueError(f"the row for slot {slot} has no tokens")
            if self._lengths[slot] + count > self.num_positions:
                raise ValueError(
                    f"slot {slot} has {self._lengths[slot]} of {self.num_positions} positions "
                    f"taken; {count} more do not fit"
                )


def _inner(model: Any) -> Any:
    """The model itself, where an adapter is around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _passes(
    slots: Sequence[int], embeds: Sequence[Tensor], lengths: Sequence[int], chunk: int | None
) -> list[tuple[list[Run], Tensor]]:
    """What is computed at once: runs and their (T, D) embeddings, T at most `chunk`."""
    room = chunk or sum(len(row) for row in embeds)
    passes: list[tuple[list[Run], list[Tensor]]] = []
    taken = room
    for slot, row in zip(slots, embeds, strict=True):
        done = 0
        while done < len(row):
            if taken == room:
                passes.append(([], []))
                taken = 0
            count = min(room - taken, len(row) - done)
            runs, parts = passes[-1]
            runs.append(Run(slot, taken, taken + count, lengths[slot] + done))
            parts.append(row[done : done + count])
            taken, done = taken + count, done + count
    return [(runs, torch.cat(parts)) for runs, parts in passes]
