"""Requests on their way into the batch: pictures to views, prompt to ids, both to embeddings.

Letters: N positions of a prompt, D width of the decoder.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..model.processing import IMAGE, DeepseekOcrProcessor
from ..model.resolution import ViewSettings, num_image_tokens
from .cutting import Cutter, Cutting, Picture, View
from .results import Attempt
from .scheduler import Row

Request = tuple[Sequence[Picture], str] | tuple[Sequence[Picture], str, str | None]
"""Pictures of one row, its prompt with one `<image>` for each, a mode in place of the engine's."""

AUTO, PUBLISHED_MODE = "auto", "gundam"
AUTO_MODES = ("tiny", "small", "base", "large", "gundam")
"""What `auto` chooses from: the modes that the published weights were trained for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retry:
    """How a page that ended in a repetition is asked once more; None: as at first.

    `temperature`: tokens are drawn, the more evenly the higher it is; 0: the most likely always.
    """

    mode: str | None = None
    prompt: str | None = None
    temperature: float = 0.0


@dataclasses.dataclass(eq=False, kw_only=True)
class Ticket:
    """A request, how it is asked now, and how it was asked before.

    `sizes` are the pages' widths and heights in pixels, `turned` the degrees clockwise by which
    they were turned, `mode_used` and `settings` how they are seen; all once they are cut.
    """

    number: int
    pictures: Sequence[Picture]
    prompt: str
    mode: str | None
    temperature: float = 0.0
    attempts: list[Attempt] = dataclasses.field(default_factory=list)
    ids: list[int] = dataclasses.field(default_factory=list)
    views: list[View] = dataclasses.field(default_factory=list)
    sizes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    turned: list[int] = dataclasses.field(default_factory=list)
    mode_used: str = ""
    settings: ViewSettings | None = None
    num_image_tokens: int = 0
    seconds: float = 0.0
    """That the earlier attempts took."""
    asked_first: tuple[str, str | None] | None = None
    """Prompt and mode of the first attempt, where this is another."""
    embeds: Tensor | None = None
    """(N, D) of the prompt, once its pictures are encoded."""


class PromptMaker:
    """Requests to ids, and the pictures of many of them to embeddings in one pass.

    Args:
        model: a `DeepseekOcrForConditionalGeneration`, without an adapter around it.
        sizes: `base_size`, `tile_size`, `max_tiles` in place of the mode's.
        mode: of requests that name none; None: the processor's own.
    """

    def __init__(
        self,
        model: Any,
        processor: DeepseekOcrProcessor,
        sizes: dict[str, int | None],
        mode: str | None = None,
    ):
        self.model, self.processor, self.sizes, self.mode = model, processor, sizes, mode

    def ticket(self, number: int, request: Request) -> Ticket:
        """A request as it was made."""
        pictures, prompt, *modes = request
        mode = modes[0] if modes else None
        return Ticket(number=number, pictures=pictures, prompt=prompt, mode=mode or self.mode)

    def settings(self, mode: str | None) -> ViewSettings:
        """The sizes of views in a mode; None: the processor's own."""
        return self.processor.image_processor.settings(mode, **self.sizes)

    def choices(self, mode: str | None) -> dict[str, ViewSettings]:
        """The modes that a page may be seen in, with their sizes.

        For `auto` those of `AUTO_MODES`; but where the model was trained for one mode or size, or
        the caller gives sizes, that alone.
        """
        own = self.processor.image_processor
        named = mode or own.mode
        if named != AUTO:
            return {named: self.settings(mode)}
        sizes = (own.base_size, own.tile_size, *map(self.sizes.get, ("base_size", "tile_size")))
        if own.mode in (AUTO, PUBLISHED_MODE) and not any(sizes):
            return {each: self.settings(each) for each in AUTO_MODES}
        only = PUBLISHED_MODE if own.mode == AUTO else own.mode
        return {only: self.settings(own.mode)}

    def encode(self, ticket: Ticket, views: list[View]) -> None:
        """Give a request its ids.

        Raises:
            ValueError: pictures and `<image>` marks differ in number.
        """
        choices = self.choices(ticket.mode)
        ticket.mode_used = views[0].mode if views else next(iter(choices))
        ticket.settings = choices[ticket.mode_used]
        counts = [num_image_tokens(view.grid, ticket.settings) for view in views]
        if ticket.prompt.count(IMAGE) != len(counts):
            raise ValueError(
                f"the prompt has {ticket.prompt.count(IMAGE)} {IMAGE} marks and {len(counts)} "
                f"pictures are given; expected one mark a picture"
            )
        ticket.ids = self.processor.encode(ticket.prompt, counts).ids
        ticket.views, ticket.num_image_tokens = views, sum(counts)
        ticket.sizes, ticket.turned = [v.size for v in views], [v.turned for v in views]

    @torch.no_grad()  # not inference mode: what is gathered in it could never train again
    def embed(self, rows: Sequence[Row]) -> list[Tensor]:
        """(N, D) embeddings of each row's prompt and of the tokens that it has already."""
        new = [row.request for row in rows if row.request.embeds is None]
        for ticket, embeds in zip(new, self._embed_prompts(new), strict=True):
            ticket.embeds = embeds
            ticket.views = []
        return [self._with_tokens(row) for row in rows]

    def _with_tokens(self, row: Row) -> Tensor:
        if not row.tokens:
            return row.request.embeds
        table = self.model.get_input_embeddings()
        tokens = torch.tensor(row.tokens, device=table.weight.device)
        return torch.cat([row.request.embeds, table(tokens)])

    def _embed_prompts(self, tickets: Sequence[Ticket]) -> list[Tensor]:
        device = self.model.get_input_embeddings().weight.device
        encoded = self._encode_pictures(tickets, device)
        embeds = []
        for ticket, tokens in zip(tickets, encoded, strict=True):
            ids = torch.tensor([ticket.ids], device=device)
            image_embeds = torch.cat(tokens) if tokens else None
            embeds.append(
                self.model.model.embed(ids, None, None, None, image_embeds=image_embeds)[0]
            )
        return embeds

    def _encode_pictures(
        self, tickets: Sequence[Ticket], device: torch.device
    ) -> list[list[Tensor]]:
        """The image tokens of each ticket's pictures; all views of a size in one pass."""
        found: list[list[Tensor]] = [[] for _ in tickets]

        def sides(place: int) -> tuple[int, int]:
            settings = tickets[place].settings
            assert settings is not None  # `encode` has set it
            return settings.base_size, settings.tile_size or 0

        with_views = sorted((p for p, ticket in enumerate(tickets) if ticket.views), key=sides)
        for _, group in itertools.groupby(with_views, key=sides):
            places = [place for place in group for _ in tickets[place].views]
            views = [view for place in dict.fromkeys(places) for view in tickets[place].views]
            pixels = self._pixels([view.overview for view in views], device)
            tiles = self._pixels([tile for view in views for tile in view.tiles], device)
            grids = torch.tensor([view.grid for view in views])
            for place, tokens in zip(
                places, self.model.encode_images(pixels, tiles, grids), strict=True
            ):
                found[place].append(tokens)
        return found

    def _pixels(self, pictures: Sequence[Any], device: torch.device) -> Any:
        """Arrays of 8 bits -> (pictures, 3, S, S) in [-1, 1]; None where there are none."""
        if not pictures:
            return None
        to_tensor = self.processor.image_processor.to_tensor
        return torch.stack([to_tensor(picture).to(device) for picture in pictures])


class Requests:
    """The source of a batch's rows: requests in order, their pictures cut ahead.

    Args:
        requests: may be endless; only `ahead` of them are taken before their turn.
        make_row: a ticket with its ids -> its row, which may have failed.
        ready: rows of other requests, which come first.
    """

    def __init__(
        self,
        requests: Iterator[Request],
        maker: PromptMaker,
        cutter: Cutter,
        *,
        ahead: int,
        make_row: Callable[[Ticket], Row],
        ready: Sequence[Row] = (),
    ):
        self._requests, self._maker, self._cutter = enumerate(requests), maker, cutter
        self._ahead, self._make_row = max(ahead, 1), make_row
        self._ready, self._begun = deque(ready), deque[tuple[Ticket, Cutting]]()

    def take(self, wait: bool) -> Row | None:
        """The next row; None: there is none, or without `wait` its pictures are still cut."""
        if self._ready:
            return self._ready.popleft()
        for number, request in itertools.islice(
            self._requests, max(0, self._ahead - len(self._begun))
        ):
            self._begin(self._maker.ticket(number, request))
        if not self._begun or not (wait or self._begun[0][1].is_ready()):
            return None
        return self._row_of(*self._begun.popleft())

    def again(self, ticket: Ticket, retry: Retry) -> None:
        """Ask once more, in another way, before all that has not begun."""
        prompt, mode = ticket.asked_first or (ticket.prompt, ticket.mode)
        self._begin(
            Ticket(
                number=ticket.number,
                pictures=ticket.pictures,
                prompt=retry.prompt or prompt,
                mode=retry.mode or mode,
                asked_first=(prompt, mode),
                temperature=retry.temperature,
                attempts=ticket.attempts,
                seconds=ticket.seconds,
            ),
            first=True,
        )

    def _begin(self, ticket: Ticket, *, first: bool = False) -> None:
        cutting = self._cutter.begin(ticket.pictures, self._maker.choices(ticket.mode))
        (self._begun.appendleft if first else self._begun.append)((ticket, cutting))

    def _row_of(self, ticket: Ticket, cutting: Cutting) -> Row:
        try:
            self._maker.encode(ticket, cutting.views())
        except UserError as error:
            reason = str(error)
        except (ValueError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return self._make_row(ticket)
        row = Row(budget=0, request=ticket)
        row.fail(reason)
        return row
