"""The assembly: pages to image tokens, image tokens into the prompt, the decoder, the loss.

Letters: B rows, N positions, D width of the decoder, V vocabulary, n pictures, T tiles,
q = S / 64 grid side of a view of S pixels. Paper: DeepSeek-OCR, arXiv 2510.18234. Released code:
`modeling_deepseekocr.py:354-605`, without its faults: every part gets a gradient, rows may have
any number of pictures, nothing is written in place, no device is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache, DynamicCache
from transformers.utils import ModelOutput

from .clip import ClipEncoder
from .configuration import DeepseekOcrConfig
from .labels import IGNORE
from .language import DecoderLayer, RmsNorm
from .masking import positions, real_tokens, visibility
from .pretrained import DeepseekOcrPreTrainedModel
from .rotary import Rotary
from .sam import SamEncoder


@dataclass
class DeepseekOcrOutput(ModelOutput):
    """`loss` = cross entropy + `balance_loss`, given labels; float32 `logits` (B, N, V)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    balance_loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class DecoderOutput(ModelOutput):
    """`last_hidden_state` (B, N, D) after the final norm; `balance` (B,) summed over layers."""

    last_hidden_state: Tensor | None = None
    past_key_values: Cache | None = None
    balance: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


class Projector(nn.Module):
    """(..., CLIP + SAM features) -> (..., D)."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.layers = nn.Linear(features, width)  # the published name, though it is one layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class DeepseekOcrModel(DeepseekOcrPreTrainedModel):
    """Encoders, projector and decoder without the language head."""

    def __init__(self, config: DeepseekOcrConfig):
        super().__init__(config)
        text = config.text_config
        features = config.clip_config.hidden_size + config.sam_config.downsample_channels[-1]
        self.sam_model = SamEncoder(config.sam_config)
        self.vision_model = ClipEncoder(config.clip_config)
        self.projector = Projector(features, text.hidden_size)
        self.image_newline = nn.Parameter(torch.empty(text.hidden_size))
        self.view_seperator = nn.Parameter(torch.empty(text.hidden_size))  # [sic] the published key
        self.embed_tokens = nn.Embedding(text.vocab_size, text.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(text, i) for i in range(text.num_hidden_layers))
        self.norm = RmsNorm(text.hidden_size, text.rms_norm_eps)
        self.rotary = Rotary(text)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding, (V, D)."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.embed_tokens = value

    @property
    def gradient_checkpointing_active(self) -> bool:
        """Whether the layers' activations are computed again in the backward pass."""
        return self.training and any(layer.gradient_checkpointing for layer in self.layers)

    def encode_views(self, pixels: Tensor) -> Tensor:
        """(views, 3, S, S) pixels in [-1, 1] -> (views, q, q, D) image tokens."""
        local = self.sam_model(pixels.to(self.projector.layers.weight.dtype))  # (views, C, q, q)
        overall = self.vision_model(local)[:, 1:]  # (views, q * q, C), class token dropped
        both = torch.cat([overall, local.flatten(2).mT], dim=-1)  # CLIP first
        return self.projector(both).unflatten(1, local.shape[-2:])

    def encode_images(
        self, pixel_values: Tensor, tile_values: Tensor | None, tile_grids: Tensor
    ) -> list[Tensor]:
        """Pictures -> for each a (num_image_tokens, D) tensor, in the published order.

        Args:
            pixel_values: (n, 3, B, B) overviews in [-1, 1].
            tile_values: (T, 3, S, S) the tiles of all pictures, row by row; None or empty: none.
            tile_grids: (n, 2) columns and rows of each picture; (1, 1) has no tiles.

        Raises:
            ValueError: the numbers of overviews, grids and tiles do not fit each other.
        """
        grids = [(int(columns), int(rows)) for columns, rows in tile_grids.tolist()]
        counts = [c * r if c * r > 1 else 0 for c, r in grids]
        num_tiles = 0 if tile_values is None else len(tile_values)
        if len(grids) != len(pixel_values) or sum(counts) != num_tiles:
            raise ValueError(
                f"{len(pixel_values)} overviews and {num_tiles} tiles do not fit {len(grids)} tile "
                f"grids with {sum(counts)} tiles"
            )
        if not grids:
            return []
        overviews = self.encode_views(pixel_values)  # (n, q, q, D)
        tiles = self.encode_views(tile_values).split(counts) if num_tiles else [None] * len(grids)  # type: ignore[arg-type, union-attr]
        return [
            self.join_views(overview, tile, grid)
            for overview, tile, grid in zip(overviews, tiles, grids, strict=True)
        ]

    def join_views(self, overview: Tensor, tiles: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """(q, q, D) and (columns * rows, p, p, D) -> (num_image_tokens, D).

        Tiles stitched into one picture, then the overview, then the separator; a newline ends
        every row (`modeling_deepseekocr.py:463`).
        """
        parts = []
        if tiles is not None and len(tiles):
            columns, rows = grid
            picture = tiles.unflatten(0, (rows, columns)).transpose(
                1, 2
            )  # (rows, p, columns, p, D)
            parts.append(self.end_rows(picture.flatten(2, 3).flatten(0, 1)))
        parts.append(self.end_rows(overview))
        parts.append(self.view_seperator[None])
        return torch.cat(parts)

    def end_rows(self, picture: Tensor) -> Tensor:
        """(h, w, D) -> (h * (w + 1), D), a newline after every row."""
        newline = self.image_newline.expand(picture.shape[0], 1, -1)
        return torch.cat([picture, newline], dim=1).flatten(0, 1)

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None,
        tile_values: Tensor | None,
        tile_grids: Tensor | None,
    ) -> Tensor:
        """(B, N) ids and the pictures of all rows, in order -> (B, N, D)."""
        embeds = self.embed_tokens(input_ids)
        reserved = input_ids == self.config.image_token_id  # (B, N)
        if pixel_values is None:
            if tile_values is not None and len(tile_values):
                raise ValueError("tile_values need the overviews of their pictures as pixel_values")
            if reserved.any():
                raise ValueError(
                    f"the prompt reserves {int(reserved.sum())} image tokens but no pixel_values "
                    f"are given"
                )
            return embeds
        if tile_grids is None:
            tile_grids = torch.ones(len(pixel_values), 2, dtype=torch.long)
        images = self.encode_images(pixel_values, tile_values, tile_grids)
        check_reserved(reserved.sum(1).tolist(), [len(image) for image in images])
        if not images:
            return embeds
        tokens = torch.cat(images).to(embeds.dtype)
        return embeds.masked_scatter(reserved.unsqueeze(-1), tokens)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tile_values: Tensor | None = None,
        tile_grids: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        balance: bool = False,
        **kwargs: Any,
    ) -> DecoderOutput:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            inputs_embeds = self.embed(input_ids, pixel_values, tile_values, tile_grids)
        elif pixel_values is not None and len(pixel_values):
            raise ValueError("pixel_values need input_ids: they say where the image tokens stand")
        x: Tensor = inputs_embeds  # type: ignore[assignment]
        if self.gradient_checkpointing_active:
            use_cache, past_key_values = False, None  # layers run twice
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past, num_keys = 0, x.shape[1]
        if past_key_values is not None:
            past = int(past_key_values.get_seq_length())
            num_keys = past_key_values.get_mask_sizes(x.shape[1], 0)[0]
        if position_ids is None:
            position_ids = positions(attention_mask, past, x)
        mask = visibility(attention_mask, past, x, num_keys)
        balance_mask = real_tokens(attention_mask, x) if balance else None

        rotation = self.rotary(position_ids.to(x.device))
        states: tuple[Tensor, ...] = (x,)
        balances = []
        for layer in self.layers:
            x, row_balance = layer(x, rotation, mask, past_key_values, balance_mask)
            if output_hidden_states:
                states = (*states, x)
            if row_balance is not None:
                balances.append(row_balance)
        x = self.norm(x)
        return DecoderOutput(
            last_hidden_state=x,
            past_key_values=past_key_values if use_cache else None,
            balance=torch.stack(balances).sum(0) if balances else None,
            hidden_states=(*states[:-1], x) if output_hidden_states else None,
        )


def check_reserved(reserved: list[int], produced: list[int]) -> None:
    """Compare the image tokens that each row reserves with those of the pictures, in order.

    Raises:
        ValueError: a row's count is not the sum of its next pictures' counts.
    """
    remaining = list(enumerate(produced, start=1))
    for row, wanted in enumerate(reserved, start=1):
        found = 0
        while remaining and found < wanted:
            _, tokens = remaining.pop(0)
            found += tokens
        if found != wanted:
            raise ValueError(
                f"row {row} of the batch reserves {wanted} image tokens but its pictures produced "
                f"{found}; prompt and views must come from one call of the processor"
            )
    if remaining:
        tokens = sum(count for _, count in remaining)
        raise ValueError(
            f"the prompts reserve {sum(reserved)} image tokens but the pictures produced "
            f"{sum(produced)}: picture {remaining[0][0]} and later ({tokens} tokens) have no place"
        )


class DeepseekOcrForConditionalGeneration(DeepseekOcrPreTrainedModel, GenerationMixin):
    """DeepSeek-OCR with its language head: trains with `labels`, reads with `generate`."""

    _tied_weights_keys = None

    def __init__(self, config: DeepseekOcrConfig):
        super().__init__(config)
        self.model = DeepseekOcrModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
        # `generate` makes a static cache's mask from the decoder's config, and none at all where
        # that one names no attention
        config.text_config._attn_implementation = "sdpa"
        if self.generation_config.pad_token_id is None:
            self.generation_config.pad_token_id = config.text_config.eos_token_id

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding, (V, D)."""
        return self.model.embed_tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.model.embed_tokens = value

    def get_output_embeddings(self) -> nn.Linear:
        """The language head, (V, D)."""
        return self.lm_head

    def encode_images(
        self, pixel_values: Tensor, tile_values: Tensor | None, tile_grids: Tensor
    ) -> list[Tensor]:
        """See `DeepseekOcrModel.encode_images`."""
        return self.model.encode_images(pixel_values, tile_values, tile_grids)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tile_values: Tensor | None = None,
        tile_grids: Tensor | None = None,
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: int | Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> DeepseekOcrOutput:
        """Logits, and the loss where `labels` are given.

        Args:
            input_ids: (B, N); `config.image_token_id` stands where image tokens go.
            attention_mask: (B, N), 0 for padding, on either side.
            pixel_values, tile_values, tile_grids: the pictures of all rows in order, as the
                processor returns them.
            labels: (B, N), not shifted; -100 is not learned.
            logits_to_keep: the last so many positions only (0: all).
            num_items_in_batch: learned tokens of the whole optimizer step; the loss is divided by
                it, so that accumulated micro-batches add up to one large batch.
        """
        balance = labels is not None and self.config.balance_loss_weight > 0
        if use_cache is None:
            use_cache = labels is None and not self.training
        decoded = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            tile_values=tile_values,
            tile_grids=tile_grids,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            balance=balance,
        )
        hidden = decoded.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden[:, kept]).float()
        loss = balance_loss = None
        if labels is not None:
            learned = (labels[:, 1:] != IGNORE).sum(1)  # (B,)
            total = learned.sum() if num_items_in_batch is None else num_items_in_batch
            loss = summed_cross_entropy(logits, labels) / max(total, 1)
            if decoded.balance is not None:
                # rows weigh as in the cross entropy, so that this term accumulates as exactly
                balance_loss = (decoded.balance * learned).sum() / max(total, 1)
                balance_loss = balance_loss * self.config.balance_loss_weight
                loss = loss + balance_loss
        output = DeepseekOcrOutput(
            loss=loss,
            logits=logits,
            past_key_values=decoded.past_key_values,
            balance_loss=balance_loss,
            hidden_states=decoded.hidden_states,
        )
        return output if return_dict is not False else output.to_tuple()

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        is_first_iteration: bool | None = False,
        inputs_embeds: Tensor | None = None,  # named: `generate` looks for it here
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As `transformers`; the pictures go in with the prompt, not with each new token."""
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            is_first_iteration=is_first_iteration,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in ("pixel_values", "tile_values", "tile_grids"):
                inputs.pop(name, None)
        return inputs

    def _expand_inputs_for_generation(self, expand_size: int = 1, **kwargs: Any) -> Any:
        pictures = kwargs.get("pixel_values")
        if expand_size > 1 and pictures is not None and len(pictures):
            raise ValueError(
                "several sequences a prompt (num_beams, num_return_sequences) are not supported "
                "with pictures; repeat the prompt and its pictures instead"
            )
        return super()._expand_inputs_for_generation(expand_size=expand_size, **kwargs)


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, N, V) logits and (B, N) labels, not shifted -> the sum over all learned positions."""
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten().to(logits.device),
        ignore_index=IGNORE,
        reduction="sum",
    )
