"""Two heads that exist in training only: they name the glyph under each part of the view.

One looks at SAM's grid, one at the image tokens, each of which covers 4 x 4 patches. A decoder that
starts from nothing learns the language first and ignores the picture for long; these make the
encoder see letters from the beginning, and every image token keep them. They are never part of the
model's folder.

Letters: n overviews, g = S / 16 side of SAM's grid, q = g / 4 side of the image tokens' grid.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.modeling import DeepseekOcrOutput
from ...resolution import DOWNSAMPLE
from .glyphs import CELLS, NOTHING, NUM_CLASSES

BLANK_WEIGHT = 0.1
"""Of a cell without a glyph: there are many, and they are soon learned."""


class GlyphHeads(nn.Module):
    """SAM's grid and image tokens of the overviews, and the classes there -> the summed loss."""

    def __init__(self, sam_width: int, token_width: int):
        super().__init__()
        self.on_grid = nn.Linear(sam_width, CELLS * NUM_CLASSES)
        self.on_tokens = nn.Linear(token_width, DOWNSAMPLE**2 * CELLS * NUM_CLASSES)
        weights = torch.ones(NUM_CLASSES)
        weights[NOTHING] = BLANK_WEIGHT
        self.class_weights: Tensor
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, grid: Tensor, tokens: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """(n, g, g, C), (n, q, q, D), (n, g, g, 2) -> the cross entropy of each head, summed."""
        on_grid = self.on_grid(F.layer_norm(grid, grid.shape[-1:]))
        on_tokens = self.on_tokens(F.layer_norm(tokens, tokens.shape[-1:]))
        by_token = group_by_token(classes, tokens.shape[1])  # (n, q, q, 32)
        return self._loss(on_grid, classes), self._loss(on_tokens, by_token)

    def _loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.reshape(-1, NUM_CLASSES).float(),
            classes.reshape(-1),
            weight=self.class_weights,
            reduction="sum",
        )


def group_by_token(classes: Tensor, side: int) -> Tensor:
    """(n, g, g, 2) -> (n, q, q, 4 * 4 * 2); patches past the last whole token are `NOTHING`."""
    spare = side * DOWNSAMPLE - classes.shape[1]
    padded = F.pad(classes, (0, 0, 0, spare, 0, spare), value=NOTHING)
    blocks = padded.unflatten(2, (side, DOWNSAMPLE)).unflatten(1, (side, DOWNSAMPLE))
    return blocks.transpose(2, 3).flatten(3)  # (n, q, 4, q, 4, 2) -> (n, q, q, 4, 4, 2)


class TaughtWithGlyphs(nn.Module):
    """A model and its heads as one module, whose loss is the answer's and, weighted, the heads'.

    The loop sets `weight` before each step; `glyph_loss` is that of the last batch, not weighted.
    With `glyphs_only` the decoder does not run in training, and the loss is that of the heads.
    """

    def __init__(self, model: Any, heads: GlyphHeads, *, glyphs_only: bool = False):
        super().__init__()
        self.model, self.heads, self.glyphs_only = model, heads, glyphs_only
        self.weight = 0.0
        self.glyph_loss: Tensor | None = None
        self._seen: dict[str, Tensor] = {}
        model.model.sam_model.neck.register_forward_pre_hook(self._see_grid)
        model.model.projector.register_forward_hook(self._see_tokens)

    @property
    def config(self) -> Any:
        """The model's."""
        return self.model.config

    def _see_grid(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if "tokens" not in self._seen:  # the overviews come first, on a CPU in several parts
            parts = [self._seen["grid"]] if "grid" in self._seen else []
            self._seen["grid"] = torch.cat([*parts, inputs[0].permute(0, 2, 3, 1)])

    def _see_tokens(self, _: nn.Module, inputs: Any, tokens: Tensor) -> None:
        side = round(tokens.shape[1] ** 0.5)
        self._seen.setdefault("tokens", tokens.unflatten(1, (side, side)))

    def forward(
        self, *, glyphs: Tensor | None = None, num_items_in_batch: int | None = None, **batch: Any
    ) -> Any:
        """The model's output; with `glyphs` (n, g, g, 2) its loss has the heads' added to it."""
        self._seen, self.glyph_loss = {}, None
        if not self.training or glyphs is None:
            return self.model(num_items_in_batch=num_items_in_batch, **batch)
        if self.glyphs_only:
            self.model.encode_images(
                batch["pixel_values"], None, torch.ones_like(batch["tile_grids"])
            )
            return DeepseekOcrOutput(loss=self._heads_loss(glyphs, num_items_in_batch))
        output = self.model(num_items_in_batch=num_items_in_batch, **batch)
        loss = self._heads_loss(glyphs, num_items_in_batch)
        self.glyph_loss = loss.detach()
        output.loss = output.loss + self.weight * loss
        return output

    def _heads_loss(self, glyphs: Tensor, num_items_in_batch: int | None) -> Tensor:
        """Of what was seen in this pass, divided as the answer's cross entropy is.

        So batches of a step add up as exactly.
        """
        seen, self._seen = self._seen, {}
        of_grid, of_tokens = self.heads(seen["grid"], seen["tokens"], glyphs)
        return (of_grid + of_tokens) / max(num_items_in_batch or 1, 1)


def make_heads(model: Any) -> GlyphHeads:
    """New heads for a model, with random weights from torch's generator."""
    config = model.config
    return GlyphHeads(config.sam_config.hidden_size, config.text_config.hidden_size)


def without_heads(model: nn.Module) -> Any:
    """The model alone, that is saved and validated."""
    return model.model if isinstance(model, TaughtWithGlyphs) else model
