"""Which rows of a step gave a loss, or a gradient, that is not a finite number.

A batch has one loss. So its rows pass through the model again, one at a time: a row whose own loss
is no number is to blame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ...resolution import grid_side
from ..batching.collation import GLYPHS, IMAGE_EMBEDS, SEGMENTS, VIEWS, WEIGHTS, Batch
from ..processes.collective import everyones, totals
from ..processes.sharding import is_sharded, share_again, whole_tensor

MOST_ROWS = 64
"""Of a step whose gradients are made one by one: each takes a forward and a backward pass."""

LossOf = Callable[[Batch], Tensor]


class Place(NamedTuple):
    """Where a row stands in a step: its process, batch, and number among the batch's rows.

    In a batch of packs the rows are counted through all packs.
    """

    process: int
    batch: int
    row: int


class NotFinite(ArithmeticError):
    """The loss or the gradient (`what`) of a step is no finite number; in all processes.

    `rows` are to blame, each by itself, if `proved`; else whoever is to blame is among them.
    """

    def __init__(self, what: str, rows: Sequence[Place], *, proved: bool):
        super().__init__(what)
        self.rows, self.proved = rows, proved


def check_losses(
    model: nn.Module,
    accelerator: Accelerator,
    batches: Sequence[Batch],
    losses: Sequence[Tensor],
    loss_of: LossOf,
) -> None:
    """The losses of a step's batches are numbers, on all processes.

    Args:
        model: as accelerate gave it.
        batches, losses: of this process.
        loss_of: a batch, on the model's device -> its loss, as in the step.

    Raises:
        NotFinite: they are not, in all processes alike.
    """
    finite = torch.stack(list(losses)).isfinite().tolist()
    bad = [number for number, is_number in enumerate(finite) if not is_number]
    if not any(everyones(accelerator, bool(bad))):
        return
    tried = _Trial(model, accelerator, batches, bad)
    with _same_randomness(accelerator), torch.no_grad():
        verdicts = [not loss_of(row).isfinite().item() for row in tried.rows()]
    share_again(model)
    found = tried.places
    guilty = [place for place, is_bad in zip(found, verdicts, strict=False) if is_bad]
    proved = all(everyones(accelerator, bool(guilty) or not bad))
    named = _of_all(accelerator, guilty if proved else found)
    raise NotFinite("the loss", named, proved=proved)


def explain_gradient(
    model: nn.Module, accelerator: Accelerator, batches: Sequence[Batch], loss_of: LossOf
) -> NotFinite:
    """The error of a step with finite losses and a gradient that is not; gradients are dropped.

    Arguments are those of `check_losses`. Of a model that processes share the gradients are added
    up before anyone sees them: then the rows that passed together are named together.
    """
    tried = _Trial(model, accelerator, batches, range(len(batches)))
    found = tried.places
    guilty = []
    model.zero_grad(set_to_none=True)
    small = totals(accelerator, [len(found)])[0] <= MOST_ROWS
    if small:
        with _same_randomness(accelerator):
            verdicts = [not math.isfinite(_norm_of(model, loss_of(row))) for row in tried.rows()]
        guilty = [place for place, is_bad in zip(found, verdicts, strict=False) if is_bad]
    named = _of_all(accelerator, guilty)
    if not named:
        return NotFinite("the gradient", _of_all(accelerator, found), proved=False)
    return NotFinite("the gradient", named, proved=not is_sharded(model))


def _of_all(accelerator: Accelerator, places: list[Place]) -> list[Place]:
    """Those of all processes, in the order of the processes."""
    return list(chain.from_iterable(everyones(accelerator, places)))


def _norm_of(model: nn.Module, loss: Tensor) -> float:
    """The length of a loss's gradient, beside which there is none; it is dropped again."""
    if not loss.requires_grad:
        return 0.0
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = float(whole_tensor(torch.nn.utils.get_total_norm(gradients)))
    model.zero_grad(set_to_none=True)
    return norm


class _Trial:
    """The rows of some of this process's batches, to be tried one by one.

    `places` says where they stand. Processes that share a model pass through it equally often:
    those with fewer rows repeat their first batch's, whose outcome nobody asks for.
    """

    def __init__(
        self,
        model: nn.Module,
        accelerator: Accelerator,
        batches: Sequence[Batch],
        numbers: Sequence[int],
    ):
        own = accelerator.unwrap_model(model)
        self.device, self.image_token = accelerator.device, int(own.config.image_token_id)
        self.batches, self.numbers = batches, numbers
        process = accelerator.process_index
        self.places = [
            Place(process, number, row)
            for number in numbers
            for row in range(num_rows(batches[number]))
        ]
        self.passes = len(self.places)
        if is_sharded(model):
            self.passes = max(everyones(accelerator, self.passes))

    def rows(self) -> Iterator[Batch]:
        """Each as a batch of its own on the model's device; `passes` of them."""
        rows = (row for n in self.numbers for row in rows_alone(self.batches[n], self.image_token))
        fillers = (next(rows_alone(self.batches[0], self.image_token)) for _ in count())
        for row in islice(chain(rows, fillers), self.passes):
            yield {name: tensor.to(self.device) for name, tensor in row.items()}


def num_rows(batch: Mapping[str, Tensor]) -> int:
    """Rows of a batch, those in packs too."""
    if (segments := batch.get(SEGMENTS)) is not None:  # packed: 1, 2, ... in each pack
        return int(segments.max(dim=1).values.sum())
    return len(batch["input_ids"])


def rows_alone(batch: Mapping[str, Tensor], image_token: int) -> Iterator[Batch]:
    """The rows of a batch, those in packs too, each as a batch of its own; without padding."""
    views = _Pictures(batch)
    segments = batch.get(SEGMENTS, batch["attention_mask"])
    names = ("input_ids", "attention_mask", "labels", WEIGHTS)
    for row, numbers in enumerate(segments):
        for number in range(1, int(numbers.max()) + 1):
            own = numbers == number  # (N,)
            alone = {name: batch[name][row, own][None] for name in names if name in batch}
            yield alone | views.taken(int((alone["input_ids"] == image_token).sum()))


class _Pictures:
    """The pictures of a batch, taken row by row in order."""

    def __init__(self, batch: Mapping[str, Tensor]):
        self.batch = batch
        self.picture = self.tile = self.token = 0

    def taken(self, num_tokens: int) -> Batch:
        """Those that stand for the next `num_tokens` image tokens."""
        if IMAGE_EMBEDS in self.batch:
            first, self.token = self.token, self.token + num_tokens
            return {IMAGE_EMBEDS: self.batch[IMAGE_EMBEDS][first : self.token]}
        if "pixel_values" not in self.batch:
            return {}
        picture, tile = self.picture, self.tile
        while num_tokens > 0:
            columns, rows = self.batch["tile_grids"][self.picture].tolist()
            num_tokens -= self._tokens_of(columns, rows)
            self.tile += columns * rows if columns * rows > 1 else 0
            self.picture += 1
        bounds = dict.fromkeys((*VIEWS, GLYPHS), slice(picture, self.picture))
        bounds["tile_values"] = slice(tile, self.tile)
        return {name: self.batch[name][part] for name, part in bounds.items() if name in self.batch}

    def _tokens_of(self, columns: int, rows: int) -> int:
        """Image tokens of a picture: a newline ends each row of views, a separator the picture."""
        side = grid_side(self.batch["pixel_values"].shape[-1])
        tokens = side * (side + 1) + 1
        if columns * rows > 1:
            side = grid_side(self.batch["tile_values"].shape[-1])
            tokens += side * rows * (side * columns + 1)
        return tokens


def _same_randomness(accelerator: Accelerator) -> Any:
    """What dropout takes from the generators is put back."""
    device = accelerator.device
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
