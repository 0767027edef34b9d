"""The one way that pages are answered: rows that join and leave a running batch, with a cache."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError
from ..model.loading import load_model
from ..model.processing import DeepseekOcrProcessor
from ..model.resolution import view_settings
from ..model.weight_only import check_quantize, with_quantized_weights
from .cutting import Cutter, cut
from .guard import Guard
from .lending import DecoderLender, cache_bytes, without_adapter
from .out_of_memory import free_bytes
from .pieces import TextPieces
from .prompts import PromptMaker, Request, Requests, Retry, Ticket
from .results import Attempt, PageResult, Status
from .scheduler import ContinuousBatch, Row, RowList
from .slots import SlotDecoder
from .whole_batches import generate_together

DEVICE_BURST = 16
"""Tokens between two looks at them on a GPU, which is never waited for in between."""
SHARE_OF_MEMORY = 0.8
"""Of the free memory that a cache may take."""

Finished = Generator[tuple[int, PageResult], None, None]
"""Numbers of requests with their answers."""


class OcrEngine:
    """A loaded model that answers prompts about pictures.

    Args:
        model: a `DeepseekOcrForConditionalGeneration`, perhaps under a PEFT adapter, in eval mode.
            Another that has `generate`, `config` and `device` answers whole batches at a time.
        mode, sizes: how pages are seen; default is what the processor remembers.
        guard: against repetition: True as published, False none, or one of one's own.
        retries: how a page that ended in a repetition is asked again, one after the other.
        seed: of tokens that a retry draws.
    """

    def __init__(
        self,
        model: Any,
        processor: DeepseekOcrProcessor,
        *,
        mode: str | None = None,
        guard: bool | Guard = True,
        retries: Sequence[Retry] = (),
        seed: int = 42,
        **sizes: int | None,
    ):
        self.model, self.processor = model, processor
        self.mode, self.sizes = mode, dict(sizes)
        self.guard = Guard.for_processor(processor) if guard is True else guard or None
        self.retries, self.seed = tuple(retries), seed
        self.max_positions = model.config.text_config.max_position_embeddings
        self.most_rows: int | None = None
        """Rows at once that memory has allowed, once it ran out; None: it never did."""
        self._has_slots = SlotDecoder.supports(model)
        self._decoders = DecoderLender(model)

    @property
    def prompt(self) -> str | None:
        """The prompt that the model was trained on, where its folder says so."""
        return self.processor.prompt

    @property
    def is_continuous(self) -> bool:
        """Whether `answer` can be used; else `generate` alone, for whole batches."""
        return self._has_slots

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    def generate(self, rows: Sequence[Request], *, max_new_tokens: int) -> list[PageResult]:
        """Answers for a batch of rows, greedy, all at once if memory allows, in their order.

        A row whose prompt and pictures leave no position for an answer is `failed`.

        Raises:
            ValueError: a row's pictures and `<image>` marks differ in number.
            PageError: a picture cannot be opened.
        """
        check_budget(max_new_tokens)
        if not rows:
            return []
        if not self._has_slots:
            return self._generate_whole(rows, max_new_tokens)
        maker = self._maker()
        tickets = [maker.ticket(number, row) for number, row in enumerate(rows)]
        began = time.perf_counter()
        for ticket in tickets:
            maker.encode(ticket, cut(ticket.pictures, maker.choices(ticket.mode), self._margin))
        shared = (time.perf_counter() - began) / len(rows)
        made = [self._row(ticket, max_new_tokens) for ticket in tickets]
        for row in made:
            row.seconds = shared
        source = Requests(
            iter(()),  # but for retries
            maker,
            Cutter(self._margin),
            ahead=1,
            make_row=lambda ticket: self._row(ticket, max_new_tokens),
            ready=made,
        )
        longest = max(len(row.request.ids) + row.budget for row in made)
        batch = self._batch(maker, len(rows), self.max_positions if self.retries else longest)
        results = dict(self._finished(batch, source))
        return [results[number] for number in range(len(rows))]

    def answer(
        self,
        requests: Iterable[Request],
        *,
        max_new_tokens: int,
        batch_size: int = 8,
        in_order: bool = True,
        num_workers: int = 0,
    ) -> Finished:
        """The number of each request, from 0, with its answer; up to `batch_size` at once.

        Requests are taken as there is room, so they may be endless. Whatever is wrong with one is
        its `failed` result. Pictures given by path or as bytes are opened and cut by `num_workers`
        processes ahead of the model. Without `in_order`, each comes as soon as it has ended.
        """
        check_budget(max_new_tokens)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not self._has_slots:
            raise TypeError(
                f"{type(self.model).__name__} has no decoder of its own here; use generate"
            )
        maker = self._maker()
        with self._cutter(num_workers) as cutter:
            source = Requests(
                iter(requests),
                maker,
                cutter,
                ahead=batch_size + 2 * num_workers if num_workers else 1,
                make_row=lambda ticket: self._row(ticket, max_new_tokens),
            )
            batch = self._batch(maker, batch_size, self.max_positions)
            with closing(self._finished(batch, source)) as finished:
                yield from _in_order(finished) if in_order else finished

    def stream(
        self, request: Request, *, max_new_tokens: int, num_workers: int = 0
    ) -> Generator[str, None, PageResult]:
        """The text of one answer as it is decoded; together the pieces are its text.

        With a worker its pictures are opened and cut by another process. The generator's return
        value is the `PageResult`. No retries: what was said is said.

        Raises:
            ValueError, PageError: as `generate`.
        """
        check_budget(max_new_tokens)
        if not self._has_slots:
            (result,) = self._generate_whole([request], max_new_tokens)
            yield result.text
            return result
        maker = self._maker()
        ticket = maker.ticket(0, request)
        with self._cutter(num_workers) as cutter:
            views = cutter.begin(ticket.pictures, maker.choices(ticket.mode)).views()
        maker.encode(ticket, views)
        row = self._row(ticket, max_new_tokens)
        batch = self._batch(maker, 1, len(ticket.ids) + row.budget, burst=1)
        pieces = TextPieces(self.processor.decode)
        with closing(batch.run(RowList([row]))) as events:
            for _, tokens in events:
                if piece := pieces.add(tokens):
                    yield piece
        if piece := pieces.rest():
            yield piece
        return self._result(row)

    # --- one batch ----------------------------------------------------------------------------

    @property
    def _margin(self) -> tuple[int, int, int]:
        return self.processor.image_processor.margin

    def _cutter(self, num_workers: int) -> AbstractContextManager[Cutter]:
        """The processes that cut pictures, for one batch."""
        return Cutter(self._margin, num_workers)

    def _maker(self) -> PromptMaker:
        return PromptMaker(without_adapter(self.model), self.processor, self.sizes, self.mode)

    def _row(self, ticket: Ticket, max_new_tokens: int) -> Row:
        """A row with the room that it has alone; failed if there is none."""
        length = len(ticket.ids)
        row = Row(
            budget=min(max_new_tokens, self.max_positions - length),
            request=ticket,
            temperature=ticket.temperature,
            seed=self.seed + len(ticket.attempts),
        )
        if row.budget < 1:
            row.fail(no_room(length, self.max_positions))
        return row

    def _batch(
        self, maker: PromptMaker, num_rows: int, num_positions: int, burst: int | None = None
    ) -> ContinuousBatch:
        """A batch of up to so many rows, as far as memory allows their cache."""
        num_positions = min(num_positions, self.max_positions)
        num_slots = min(num_rows, self.most_rows or num_rows)
        num_slots = min(num_slots, self._slots_that_fit(num_positions))
        return ContinuousBatch(
            self._decoders,
            maker.embed,
            num_slots=num_slots,
            num_positions=num_positions,
            eos_id=self.processor.eos_id,
            decode=self.processor.decode,
            device=self.device,
            guard=self.guard,
            burst=burst or (1 if self.device.type == "cpu" else DEVICE_BURST),
        )

    def cache_bytes(self, num_rows: int, num_positions: int | None = None) -> int:
        """What the cache of so many rows takes, known before anything is; default: full rows."""
        return cache_bytes(self.model, num_rows, num_positions or self.max_positions)

    def _slots_that_fit(self, num_positions: int) -> int:
        """Rows whose cache fits into the free memory; at least one is tried."""
        free = free_bytes(self.device)
        if free is None:
            return self.max_positions
        free += self._decoders.num_bytes
        return max(1, int(SHARE_OF_MEMORY * free) // self.cache_bytes(1, num_positions))

    def _finished(self, batch: ContinuousBatch, source: Requests) -> Finished:
        """Results as their rows end; what may be tried again goes back to the source."""
        num_slots = batch.num_slots
        first: dict[int, PageResult] = {}
        with closing(batch.run(source)) as events:
            for row, _ in events:
                if batch.num_slots < num_slots:
                    self.most_rows = batch.num_slots
                if row.ending is None:
                    continue
                ticket, result = row.request, self._result(row)
                ticket.embeds, ticket.seconds = None, result.seconds
                tried = len(ticket.attempts)
                if self.retries:
                    ticket.attempts.append(_attempt(ticket, result))
                if result.status == "repetition" and tried < len(self.retries):
                    first.setdefault(ticket.number, result)
                    source.again(ticket, self.retries[tried])
                    continue
                earlier = first.pop(ticket.number, result)
                better = earlier if result.status in ("repetition", "failed") else result
                yield (
                    ticket.number,
                    dataclasses.replace(
                        better, seconds=result.seconds, attempts=tuple(ticket.attempts)
                    ),
                )

    def _result(self, row: Row) -> PageResult:
        """What a row that has ended gave."""
        text = self.processor.decode(row.tokens)
        statuses: dict[Any, Status] = {
            "end": "ok" if text.strip() else "empty",
            "budget": "truncated",
            "repetition": "repetition",
            "failed": "failed",
        }
        ticket = row.request
        width, height = ticket.sizes[0] if len(ticket.sizes) == 1 else (0, 0)
        return PageResult(
            text="" if row.ending == "failed" else text,
            status=statuses[row.ending],
            prompt=ticket.prompt,
            reason=row.reason,
            num_tokens=len(row.tokens),
            num_image_tokens=ticket.num_image_tokens,
            seconds=ticket.seconds + row.seconds,
            width=width,
            height=height,
            turned=ticket.turned[0] if len(ticket.turned) == 1 else 0,
            mode=ticket.mode_used,
        )

    # --- models that have only `generate` -------------------------------------------------------

    def _generate_whole(self, rows: Sequence[Request], max_new_tokens: int) -> list[PageResult]:
        """One forward pass and greedy decoding for a batch of rows, in their order."""
        began = time.perf_counter()
        images = [picture for pictures, *_ in rows for picture in pictures]
        prompts = [prompt for _, prompt, *_ in rows]
        inputs = self.processor(images=images, text=prompts, mode=self.mode, **self.sizes)  # type: ignore[arg-type]
        lengths = inputs["attention_mask"].sum(1).tolist()
        budgets = [min(max_new_tokens, self.max_positions - length) for length in lengths]
        if min(budgets) < 1:
            return self._one_by_one(rows, lengths, max_new_tokens)
        answers = generate_together(self.model, inputs, budgets, self.processor, self.guard)
        seconds = (time.perf_counter() - began) / len(rows)
        image_tokens = (inputs["input_ids"] == self.processor.image_id).sum(1).tolist()
        results = []
        for (ids, ended, loop), prompt, budget, count in zip(
            answers, prompts, budgets, image_tokens, strict=True
        ):
            row = Row(budget=budget, tokens=ids, seconds=seconds)
            row.request = Ticket(number=0, pictures=(), prompt=prompt, mode=self.mode)
            row.request.num_image_tokens = count
            row.ending = "end" if ended else "repetition" if loop else "budget"
            row.reason = "" if ended else loop or f"no end within {budget} tokens"
            results.append(self._result(row))
        return results

    def _one_by_one(
        self, rows: Sequence[Request], lengths: list[int], max_new_tokens: int
    ) -> list[PageResult]:
        """Rows of a batch whose longest prompt fills the model: only that one fails."""
        results = []
        for row, length in zip(rows, lengths, strict=True):
            if length < self.max_positions:
                results += self.generate([row], max_new_tokens=max_new_tokens)
            else:
                reason = no_room(length, self.max_positions)
                results.append(PageResult(text="", status="failed", prompt=row[1], reason=reason))
        return results


def _in_order(finished: Finished) -> Finished:
    """What comes as it ends -> by number; what came too early waits."""
    early: dict[int, PageResult] = {}
    following = 0
    for number, result in finished:
        early[number] = result
        while following in early:
            yield following, early.pop(following)
            following += 1


def check_budget(max_new_tokens: int) -> None:
    """Raises ValueError where no token may be generated."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")


def no_room(length: int, max_positions: int) -> str:
    """Why a prompt of that many positions has no answer."""
    return (
        f"prompt and pictures take {length} positions, the model has {max_positions}; use a "
        f"smaller mode or fewer pictures"
    )


def _attempt(ticket: Ticket, result: PageResult) -> Attempt:
    return Attempt(
        prompt=ticket.prompt,
        status=result.status,
        reason=result.reason,
        mode=ticket.mode,
        temperature=ticket.temperature,
        num_tokens=result.num_tokens,
    )


def load_engine(
    model_path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | Path | None = None,
    mode: str | None = None,
    tile_size: int | None = None,
    base_size: int | None = None,
    max_tiles: int | None = None,
    seed: int = 42,
    quantize: str | None = None,
    guard: bool | Guard = True,
    retries: Sequence[Retry] = (),
) -> OcrEngine:
    """An engine for a model folder, Hub id or preset; see `model.loading.load_model`.

    Args:
        quantize: `int8` or `int4` weights in the decoder, see `model.weight_only`; an adapter
            becomes part of them.

    Raises:
        UsageError: the mode, a size or `quantize` is not one.
        UserError: the model or the adapter cannot be used.
    """
    sizes = {"tile_size": tile_size, "base_size": base_size, "max_tiles": max_tiles}
    try:
        view_settings(mode or "gundam", **sizes)
        check_quantize(quantize)
    except ValueError as error:
        raise UsageError(str(error)) from None
    model, processor = load_model(
        model_path, device=device, dtype=dtype, adapter=adapter, seed=seed
    )
    if quantize is not None:
        model = with_quantized_weights(model, quantize)
    return OcrEngine(model, processor, mode=mode, guard=guard, retries=retries, seed=seed, **sizes)
