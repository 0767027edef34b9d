"""The model's inputs of single rows -> one batch: padded, or packed end to end; their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model.labels import IGNORE
from ...model.processing import DeepseekOcrProcessor

Batch = dict[str, Tensor]

VIEWS = ("pixel_values", "tile_values", "tile_grids")
IMAGE_EMBEDS = "image_embeds"
"""What the vision side gives for the pages, in place of their views; see `feature_cache`."""
WEIGHTS, SEGMENTS = "label_weights", "segment_ids"
GLYPHS = "glyphs"
"""What stands under each part of a drawn page's overview; only there where heads learn it."""


class Collator:
    """Rows of `PageDataset` -> one batch, padded on the right; also for `transformers.Trainer`.

    Rows with weights need `TrainingArguments(remove_unused_columns=False)` there: the trainer looks
    at the names that `forward` spells out, and would drop `label_weights` with the rest.

    Returns:
        `input_ids`, `attention_mask`, `labels` (B, N); `pixel_values`, `tile_values`, `tile_grids`
        of the pictures of all rows, in order, or their `image_embeds` (tokens, D); `label_weights`
        (B, N) float32 where a row has some, 1 for the others.
    """

    def __init__(self, processor: DeepseekOcrProcessor):
        self.fillers = {"input_ids": processor.pad_id, "attention_mask": 0, "labels": IGNORE}

    def __call__(self, rows: Sequence[Mapping[str, Tensor]]) -> Batch:
        length = max(row["input_ids"].shape[1] for row in rows)
        fillers: dict[str, float] = dict(self.fillers)
        if any(WEIGHTS in row for row in rows):
            rows = [_weighted(row) for row in rows]
            fillers[WEIGHTS] = 1.0
        if SEGMENTS in rows[0]:
            fillers[SEGMENTS] = 0
        batch = {
            name: torch.cat(
                [F.pad(row[name], (0, length - row[name].shape[1]), value=filler) for row in rows]
            )
            for name, filler in fillers.items()
        }
        pages = [name for name in (*VIEWS, IMAGE_EMBEDS, GLYPHS) if name in rows[0]]
        return batch | {name: torch.cat([row[name] for row in rows]) for name in pages}

    def packed(self, packs: Sequence[Sequence[Mapping[str, Tensor]]]) -> Batch:
        """The rows of each pack end to end as one row of a batch.

        `segment_ids` (B, N) say which belong together: 1, 2, ... in each row, 0 for padding.
        """
        return self([self._end_to_end(pack) for pack in packs])

    def _end_to_end(self, rows: Sequence[Mapping[str, Tensor]]) -> Batch:
        if any(WEIGHTS in row for row in rows):
            rows = [_weighted(row) for row in rows]
        names = [name for name in (*self.fillers, WEIGHTS) if name in rows[0]]
        batch = {name: torch.cat([row[name] for row in rows], dim=1) for name in names}
        lengths = torch.tensor([row["input_ids"].shape[1] for row in rows])
        starts = lengths.cumsum(0) - lengths
        batch["labels"][:, starts] = IGNORE  # nothing stands before a row's first token
        batch[SEGMENTS] = torch.arange(1, len(rows) + 1).repeat_interleave(lengths)[None]
        pages = [name for name in (*VIEWS, IMAGE_EMBEDS, GLYPHS) if name in rows[0]]
        return batch | {name: torch.cat([row[name] for row in rows]) for name in pages}


def _weighted(row: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The row with the weights of its tokens: 1 unless it has others."""
    if WEIGHTS in row:
        return row
    return {**row, WEIGHTS: torch.ones(row["labels"].shape, dtype=torch.float32)}


def num_learned(batch: Mapping[str, Tensor]) -> int:
    """Positions of a batch whose token is learned."""
    return int(_learned(batch).sum())


def learned_weight(batch: Mapping[str, Tensor]) -> float:
    """The weights of the learned tokens of a batch, summed: their number where all weigh 1."""
    learned = _learned(batch)
    if WEIGHTS not in batch:
        return float(learned.sum())
    return float(batch[WEIGHTS][:, 1:][learned].sum(dtype=torch.float64))


def _learned(batch: Mapping[str, Tensor]) -> Tensor:
    """(B, N - 1), true where a token is learned: never the first, which nothing stands before."""
    return batch["labels"][:, 1:] != IGNORE
