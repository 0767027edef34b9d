"""A decoder that plays back lists of tokens, and what a batch needs around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deepseek_ocr.inference.guard import Guard
from deepseek_ocr.inference.scheduler import ContinuousBatch, Row, RowList

EOS = 0
CPU = torch.device("cpu")


class ScriptedDecoder:
    """Wants the tokens of a script one by one, whatever is chosen; its end is EOS.

    A prompt's embeddings are (N, 1) numbers: -1 - script for each of its positions, then tokens.
    The next best token is another one each time, by `second`.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[int]],
        num_slots: int,
        *,
        vocabulary: int,
        second: Callable[[int], int] | None = None,
        before_work: Callable[[ScriptedDecoder, int], None] | None = None,
    ):
        self.scripts, self.num_slots, self.vocabulary = scripts, num_slots, vocabulary
        self.second = second or (lambda place: 1 + place % (vocabulary - 1))
        self.before_work = before_work or (lambda decoder, rows: None)
        self.held: dict[int, list[int]] = {}
        self.places: dict[int, int] = {}
        self.calls: list[tuple[str, list[int], list[int]]] = []

    def extend(self, slots: Sequence[int], embeds: Sequence[Tensor]) -> Tensor:
        self.calls.append(("extend", list(slots), [len(piece) for piece in embeds]))
        self.before_work(self, len(slots))
        for slot, piece in zip(slots, embeds, strict=True):
            values = piece[:, 0].int().tolist()
            self.held.setdefault(slot, []).extend(values)
            self.places[slot] = self.places.get(slot, 0) + sum(value >= 0 for value in values)
        return self.logits(slots)

    def step(self, slots: Tensor, tokens: Tensor) -> Tensor:
        self.calls.append(("step", slots.tolist(), tokens.tolist()))
        self.before_work(self, len(slots))
        for slot, token in zip(slots.tolist(), tokens.tolist(), strict=True):
            self.held[slot].append(token)
            self.places[slot] += 1
        return self.logits(slots.tolist())

    def free(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self.held.pop(slot, None)
            self.places.pop(slot, None)

    def logits(self, slots: Sequence[int]) -> Tensor:
        logits = torch.zeros(len(slots), self.vocabulary)
        for row, slot in enumerate(slots):
            held = self.held[slot]
            script = self.scripts[-1 - held[0]]
            place = self.places[slot]
            logits[row, self.second(place)] = 1.0
            logits[row, script[place] if place < len(script) else EOS] = 2.0
        return logits


class Lender:
    """Lends scripted decoders and notes how large they are."""

    def __init__(self, make: Callable[[int], ScriptedDecoder]):
        self.make, self.lent, self.dropped = make, [], 0
        self.back: list[ScriptedDecoder] = []

    def lend(self, num_slots: int, num_positions: int) -> ScriptedDecoder:
        self.lent.append(self.make(num_slots))
        return self.lent[-1]

    def give_back(self, decoder: ScriptedDecoder) -> None:
        self.back.append(decoder)

    def drop(self) -> None:
        self.dropped += 1


def embed(rows: Sequence[Row]) -> list[Tensor]:
    """Each row's `request` is (script, positions of the prompt)."""
    return [
        torch.tensor([[-1.0 - row.request[0]]] * row.request[1] + [[float(t)] for t in row.tokens])
        for row in rows
    ]


def play(
    scripts: Sequence[Sequence[int]],
    *,
    num_slots: int = 4,
    budget: int = 100_000,
    guard: Guard | None = None,
    decode: Callable[[Sequence[int]], str] = lambda ids: " ".join(f"w{i}" for i in ids),
    vocabulary: int = 2000,
    **options,
) -> list[Row]:
    """The rows of a batch that was played to its end, in the order of the scripts."""
    lender = Lender(lambda n: ScriptedDecoder(scripts, n, vocabulary=vocabulary, **options))
    rows = [Row(budget=budget, request=(number, 3)) for number in range(len(scripts))]
    list(batch_over(lender, num_slots, guard=guard, decode=decode).run(RowList(rows)))
    return rows


def batch_over(
    lender: Lender,
    num_slots: int,
    *,
    decode: Callable[[Sequence[int]], str] = lambda ids: " ".join(f"w{i}" for i in ids),
    **options,
) -> ContinuousBatch:
    return ContinuousBatch(
        lender,
        options.pop("embed", embed),
        num_slots=num_slots,
        num_positions=100_000,
        eos_id=EOS,
        decode=decode,
        device=CPU,
        **options,
    )
