"""Continuous batching: rows join the batch when a slot is free and leave it when they end.

The decoder's cache has a fixed number of slots. A row that joins has its pictures encoded and its
prompt put into a slot, a piece at a time if it is long, while the others go on; a row that ends
makes room at once, so that nobody waits for the longest answer of a batch. When memory runs out,
the number of slots is halved and the rows begin again where they were.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from .guard import Chooser, Guard
from .loops import why_stuck
from .out_of_memory import is_out_of_memory

logger = logging.getLogger(__name__)

PROMPT_CHUNK = 2048
"""Positions of prompts that are computed between two tokens of the other rows."""

Ending = Literal["end", "budget", "repetition", "failed"]


class Decoder(Protocol):
    """What continuous batching needs of `slots.SlotDecoder`."""

    num_slots: int

    def extend(self, slots: Sequence[int], embeds: Sequence[Tensor]) -> Tensor:
        """More (N_i, D) embeddings for rows -> (n, V) float32 logits of each one's last."""

    def step(self, slots: Tensor, tokens: Tensor) -> Tensor:
        """(n,) slots and their newest tokens -> (n, V) float32 logits."""

    def free(self, slots: Sequence[int]) -> None:
        """The rows leave."""


@dataclasses.dataclass(eq=False, kw_only=True)
class Row:
    """A prompt, and what was generated for it so far.

    `budget`: the most tokens. `request` is the caller's, nothing here looks at it. With a
    `temperature` tokens are drawn by `seed`. `seconds` is its share of the batch's time.
    """

    budget: int
    request: Any = None
    temperature: float = 0.0
    seed: int = 0
    tokens: list[int] = dataclasses.field(default_factory=list)
    guarded: list[int] = dataclasses.field(default_factory=list)
    """Places of the tokens that the guard decided."""
    ending: Ending | None = None
    reason: str = ""
    seconds: float = 0.0
    slot: int = -1
    embeds: Tensor | None = None
    """(N, D) of the prompt and the tokens that it joined with; None while it waits."""
    placed: int = 0
    """Positions of `embeds` that are in the cache."""

    def fail(self, reason: str) -> None:
        """It has no answer."""
        self.ending, self.reason = "failed", reason


News = list[tuple[Row, list[int]]]
"""Rows with their new tokens."""


class Source(Protocol):
    """Where rows come from."""

    def take(self, wait: bool) -> Row | None:
        """The next row; None: there is none, or without `wait` none is ready yet."""


class RowList:
    """A source of rows that are all at hand."""

    def __init__(self, rows: Sequence[Row]):
        self._rows = deque(rows)

    def take(self, wait: bool) -> Row | None:
        """The next row; None: there are no more."""
        return self._rows.popleft() if self._rows else None


class Decoders(Protocol):
    """Who lends decoders, one to each batch, and keeps the last one for the next batch."""

    def lend(self, num_slots: int, num_positions: int) -> Any:
        """A decoder of at least that many slots and positions, all of them free."""

    def give_back(self, decoder: Any) -> None:
        """Its slots are free again."""

    def drop(self) -> None:
        """Memory is wanted: keep none."""


class ContinuousBatch:
    """Answers rows, up to `num_slots` at once, each of up to `num_positions`.

    Args:
        embed: rows -> for each the (N, D) embeddings of prompt and tokens so far, on the device.
        decode: ids to text; count-ups are found in it.
        guard: None: nothing is banned, and a loop goes on to the row's budget.
        chunk: at most so many positions of prompts between two tokens.
        burst: tokens between two looks at them; on a GPU each look waits for it.
    """

    def __init__(
        self,
        decoders: Decoders,
        embed: Callable[[Sequence[Row]], list[Tensor]],
        *,
        num_slots: int,
        num_positions: int,
        eos_id: int,
        decode: Callable[[Sequence[int]], str],
        device: torch.device,
        guard: Guard | None = None,
        chunk: int = PROMPT_CHUNK,
        burst: int = 1,
    ):
        self.num_slots, self.num_positions = num_slots, num_positions
        self.eos_id, self.guard = eos_id, guard
        self._decoders, self._embed, self._decode = decoders, embed, decode
        self._device, self._chunk, self._burst = device, chunk, burst
        self._waiting: deque[Row] = deque()
        self._filling: list[Row] = []
        self._decoding: list[Row] = []
        self._ended: list[Row] = []
        self._decoder: Decoder | None = None

    def run(self, source: Source) -> Generator[tuple[Row, list[int]], None, None]:
        """Each row with its new tokens, as they are generated; `row.ending` is set with the last.

        Rows come back as they end, not in the order in which they came.
        """
        try:
            while True:
                began = time.perf_counter()
                news = self._try(lambda: self._go_on(source))
                if news is None:
                    self._halve()
                    news = []
                at_work = [*self._filling, *self._decoding]
                shared = dict.fromkeys([*(row for row, _ in news), *at_work, *self._ended])
                for row in shared:
                    row.seconds += (time.perf_counter() - began) / len(shared)
                yield from news
                yield from ((row, []) for row in self._ended)
                self._ended.clear()
                if not shared and not self._waiting:
                    return
        finally:
            self._leave([*self._filling, *self._decoding])
            if self._decoder is not None:
                self._decoders.give_back(self._decoder)

    def _go_on(self, source: Source) -> News:
        self._admit(source)
        return self._advance()

    def _try(self, work: Callable[[], News]) -> News | None:
        """What comes of it; None: memory ran out. The traceback, which holds tensors, is gone."""
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    # --- joining and leaving ----------------------------------------------------------------

    def _admit(self, source: Source) -> None:
        """Fill the free slots with rows that wait, then with new ones."""
        new: list[Row] = []
        while (taken := len(self._filling) + len(self._decoding) + len(new)) < self.num_slots:
            row = self._waiting.popleft() if self._waiting else source.take(wait=not taken)
            if row is None:
                break
            if row.ending:  # it failed before it came here
                self._ended.append(row)
            else:
                new.append(row)
        if not new:
            return
        self._filling += new  # from here on they are told of what goes wrong
        if self._decoder is None:
            self._decoder = self._decoders.lend(self.num_slots, self.num_positions)
            self._chooser = Chooser(self.guard, self._decoder.num_slots, self._device)
        taken_slots = {row.slot for row in (*self._filling, *self._decoding)}
        free = (slot for slot in range(self._decoder.num_slots) if slot not in taken_slots)
        for row, embeds in self._embedded(new):
            row.embeds, row.placed, row.slot = embeds, 0, next(free)

    def _embedded(self, rows: Sequence[Row]) -> list[tuple[Row, Tensor]]:
        """Rows with their embeddings; one that has none fails alone."""
        try:
            return list(zip(rows, self._embed(rows), strict=True))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            reason = f"{type(error).__name__}: {error}"
        if len(rows) > 1:
            return [found for row in rows for found in self._embedded([row])]
        rows[0].fail(reason)
        self._filling.remove(rows[0])
        self._ended.append(rows[0])
        return []

    def _leave(self, rows: Sequence[Row]) -> None:
        """The rows' slots are free again."""
        slots = [row.slot for row in rows if row.slot >= 0]
        if self._decoder is not None and slots:
            self._decoder.free(slots)
        for row in rows:
            row.slot, row.embeds, row.placed = -1, None, 0
        self._filling = [row for row in self._filling if row not in rows]
        self._decoding = [row for row in self._decoding if row not in rows]

    def _halve(self) -> None:
        """Half as many slots; the rows wait, with what was generated for them. One alone fails."""
        rows = [*self._decoding, *self._filling]
        self._leave(rows)
        self._decoder = None
        self._decoders.drop()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if self.num_slots == 1:
            for row in rows:
                row.fail("not enough memory for this row alone; use a smaller mode or budget")
            self._ended += rows
            return
        before, self.num_slots = self.num_slots, self.num_slots // 2
        logger.warning(
            "out of memory with up to %d rows at once; going on with %d", before, self.num_slots
        )
        self._waiting.extendleft(reversed(rows))

    # --- tokens -----------------------------------------------------------------------------

    def _advance(self) -> News:
        """A piece of the new prompts, and a token, or a burst of them, of the other rows."""
        news = self._decode_some() + self._prefill_some()
        self._leave([row for row, _ in news if row.ending])
        return news

    def _prefill_some(self) -> News:
        """Whole prompts up to the chunk, or a piece of the next one; first tokens of the whole."""
        pieces: list[tuple[Row, Tensor]] = []
        room = self._chunk
        for row in self._filling:
            assert row.embeds is not None
            piece = row.embeds[row.placed :][: self._chunk]
            if pieces and len(piece) > room:
                break
            pieces.append((row, piece))
            room -= len(piece)
        if not pieces:
            return []
        assert self._decoder is not None
        logits = self._decoder.extend([row.slot for row, _ in pieces], [p for _, p in pieces])
        for row, piece in pieces:
            row.placed += len(piece)
        whole = [
            (place, row)
            for place, (row, _) in enumerate(pieces)
            if row.embeds is not None and row.placed == len(row.embeds)
        ]
        if not whole:
            return []
        rows = [row for _, row in whole]
        for row in rows:
            self._chooser.start(
                row.slot,
                row.tokens,
                temperature=row.temperature,
                seed=row.seed + len(row.tokens),
            )
            row.embeds = None
        self._filling = [row for row in self._filling if row not in rows]
        self._decoding += rows
        chosen = self._chooser.choose([row.slot for row in rows], logits[[p for p, _ in whole]])
        return self._take(rows, [chosen])

    def _decode_some(self) -> News:
        """The next tokens of the rows whose prompts are in the cache."""
        rows = self._decoding
        if not rows:
            return []
        assert self._decoder is not None
        slots = [row.slot for row in rows]
        tokens = torch.tensor([row.tokens[-1] for row in rows], device=self._device)
        steps = min(self._burst, *(row.budget - len(row.tokens) for row in rows))
        chosen = []
        for _ in range(steps):
            logits = self._decoder.step(torch.tensor(slots), tokens)
            tokens, guarded = self._chooser.choose(slots, logits)
            chosen.append((tokens, guarded))
        return self._take(rows, chosen)

    def _take(self, rows: Sequence[Row], chosen: Sequence[tuple[Tensor, Tensor]]) -> News:
        """Write down what was chosen in each step, up to the rows' ends."""
        tokens = torch.stack([tokens for tokens, _ in chosen], dim=1).tolist()
        guarded = torch.stack([guarded for _, guarded in chosen], dim=1).tolist()
        news: News = []
        for row, new, decided in zip(rows, tokens, guarded, strict=True):
            if self.eos_id in new:
                row.ending = "end"
                new = new[: new.index(self.eos_id)]
            before = len(row.tokens)
            row.tokens += new
            row.guarded += [before + place for place in range(len(new)) if decided[place]]
            if row.ending is None:
                self._judge(row, before)
            news.append((row, new))
        return news

    def _judge(self, row: Row, before: int) -> None:
        """End a row that is full, or that will never end by itself."""
        full = len(row.tokens) >= row.budget
        if self.guard is not None or full:
            row.reason = (
                why_stuck(
                    row.tokens,
                    self._decode,
                    guard=self.guard,
                    guarded=row.guarded,
                    before=None if full else before,
                )
                or ""
            )
        if row.reason:
            row.ending = "repetition"
        elif full:
            row.ending, row.reason = "budget", f"no end within {row.budget} tokens"
