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
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache, DynamicCache
from transformers.utils import ModelOutput

from .clip import ClipEncoder
from .configuration import DeepseekOcrConfig
from .input_checks import check_image_embeds, check_reserved, check_segments
from .language import DecoderLayer, RmsNorm
from .loss import learned_positions, summed_head_loss
from .masking import (
    Visible,
    positions,
    sample_members,
    segment_positions,
    segment_spans,
    visibility,
)
from .pretrained import DeepseekOcrPreTrainedModel
from .rotary import Rotary
from .sam import SamEncoder


@dataclass
class DeepseekOcrOutput(ModelOutput):
    """`loss` = cross entropy + `balance_loss`, given labels; else float32 `logits` (B, N, V).

    `expert_load` (layers with experts, E), in training: the share of the choices of all tokens but
    padding that each expert got; a layer's sum to 1.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    balance_loss: Tensor | None = None
    expert_load: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class DecoderOutput(ModelOutput):
    """`last_hidden_state` (B, N, D) after the final norm.

    Where asked for, of the layers with experts: `balance` (S,) of each sample, summed over layers,
    and `load` (layers, E); `samples` (S, B * N) says which positions a sample has.
    """

    last_hidden_state: Tensor | None = None
    past_key_values: Cache | None = None
    balance: Tensor | None = None
    load: Tensor | None = None
    samples: Tensor | None = None
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
        image_embeds: Tensor | None = None,
    ) -> Tensor:
        """(B, N) ids and the pictures of all rows, in order -> (B, N, D).

        The pictures as views, or as `image_embeds`, what `encode_images` gives, end to end.
        """
        embeds = self.embed_tokens(input_ids)
        reserved = input_ids == self.config.image_token_id  # (B, N)
        if image_embeds is not None:
            check_image_embeds(image_embeds, embeds.shape[-1], int(reserved.sum()), pixel_values)
            return embeds.masked_scatter(reserved.unsqueeze(-1), image_embeds.to(embeds.dtype))
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
        segment_ids: Tensor | None = None,
        image_embeds: Tensor | None = None,
        with_balance: bool = False,
        with_load: bool = False,
        **kwargs: Any,
    ) -> DecoderOutput:
        """The states of all positions.

        `with_balance` and `with_load` ask for what the router did; the other arguments are those
        of `DeepseekOcrForConditionalGeneration.forward`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            inputs_embeds = self.embed(
                input_ids, pixel_values, tile_values, tile_grids, image_embeds
            )
        elif image_embeds is not None or (pixel_values is not None and len(pixel_values)):
            raise ValueError(
                "image_embeds or pixel_values need input_ids: they say where the image tokens stand"
            )
        x: Tensor = inputs_embeds  # type: ignore[assignment]
        if self.gradient_checkpointing_active:
            use_cache, past_key_values = False, None  # layers run twice
        if segment_ids is not None:
            check_segments(segment_ids, x, use_cache or past_key_values is not None)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        past, num_keys = 0, x.shape[1]
        if past_key_values is not None:
            past = int(past_key_values.get_seq_length())
            num_keys = past_key_values.get_mask_sizes(x.shape[1], 0)[0]
        visible: Visible
        if segment_ids is not None:
            own_positions, visible = segment_positions(segment_ids), segment_spans(segment_ids)
        else:
            own_positions = positions(attention_mask, past, x)
            visible = visibility(attention_mask, past, x, num_keys)
        samples = None
        if with_balance or with_load:
            samples = sample_members(attention_mask, segment_ids, x).to(x.device)

        rotation = self.rotary(
            (own_positions if position_ids is None else position_ids).to(x.device)
        )
        states: tuple[Tensor, ...] = (x,)
        balances, loads = [], []
        for layer in self.layers:
            x, balance, load = layer(x, rotation, visible, past_key_values, samples, with_balance)
            if output_hidden_states:
                states = (*states, x)
            if balance is not None:
                balances.append(balance)
            if load is not None:
                loads.append(load)
        x = self.norm(x)
        return DecoderOutput(
            last_hidden_state=x,
            past_key_values=past_key_values if use_cache else None,
            balance=torch.stack(balances).sum(0) if balances else None,
            load=torch.stack(loads) if loads else None,
            samples=samples,
            hidden_states=(*states[:-1], x) if output_hidden_states else None,
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
        num_items_in_batch: float | Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        segment_ids: Tensor | None = None,
        image_embeds: Tensor | None = None,
        with_logits: bool | None = None,
        **kwargs: Any,
    ) -> DeepseekOcrOutput:
        """Logits, or the loss where `labels` are given.

        Args:
            input_ids: (B, N); `config.image_token_id` stands where image tokens go.
            attention_mask: (B, N), 0 for padding, on either side.
            pixel_values, tile_values, tile_grids: the pictures of all rows in order, as the
                processor returns them.
            labels: (B, N), not shifted; -100 is not learned.
            logits_to_keep: the last so many positions only (0: all).
            num_items_in_batch: learned tokens of the whole optimizer step, or the sum of their
                weights; the loss is divided by it, so that accumulated micro-batches add up to one
                large batch. Default: those of this batch.
            segment_ids: (B, N), for rows in which samples lie end to end: 1, 2, ..., and 0 for
                padding. Positions start anew in each; none sees or predicts another.
            image_embeds: (image tokens of all rows, D) in place of the pictures: what
                `encode_images` gives, end to end.
            with_logits: default: only without labels. The logits of a long batch are large, and
                the loss does not need them.
            kwargs: `label_weights` (B, N), how much each label counts, as `labels` not shifted
                (default: 1 each); `label_smoothing`, the share of each label that goes to the
                whole vocabulary (default: 0). They are not named above because the `Trainer` of
                `transformers` takes every argument with "label" in its name for labels that each
                batch must bring. Other names are ignored, as everywhere in `transformers`.
        """
        if use_cache is None:
            use_cache = labels is None and not self.training and segment_ids is None
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
            segment_ids=segment_ids,
            image_embeds=image_embeds,
            with_balance=labels is not None and self.config.balance_loss_weight > 0,
            with_load=labels is not None and self.training,
        )
        hidden = decoded.last_hidden_state
        logits = loss = balance_loss = None
        if with_logits is None:
            with_logits = labels is None
        if with_logits:
            kept = (
                slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            )
            logits = self.lm_head(hidden[:, kept]).float()
        if labels is not None:
            loss, balance_loss = self.loss_of(
                decoded,
                labels.to(hidden.device),
                num_items_in_batch,
                segment_ids=segment_ids,
                label_weights=kwargs.get("label_weights"),
                label_smoothing=kwargs.get("label_smoothing", 0.0),
            )
        output = DeepseekOcrOutput(
            loss=loss,
            logits=logits,
            past_key_values=decoded.past_key_values,
            balance_loss=balance_loss,
            expert_load=decoded.load,
            hidden_states=decoded.hidden_states,
        )
        return output if return_dict is not False else output.to_tuple()

    def loss_of(
        self,
        decoded: DecoderOutput,
        labels: Tensor,
        num_items_in_batch: float | Tensor | None,
        *,
        segment_ids: Tensor | None,
        label_weights: Tensor | None,
        label_smoothing: float,
    ) -> tuple[Tensor, Tensor | None]:
        """The loss, and the share of the balance loss in it; see `forward`."""
        learned = learned_positions(labels, label_weights, segment_ids)
        hidden: Tensor = decoded.last_hidden_state  # type: ignore[assignment]
        total = at_least_something(
            learned.weights.sum() if num_items_in_batch is None else num_items_in_batch
        )
        cross_entropy = summed_head_loss(
            hidden.flatten(0, 1).index_select(0, learned.places),
            self.lm_head,
            learned.targets,
            learned.weights,
            label_smoothing=label_smoothing,
        )
        loss = cross_entropy / total
        if decoded.balance is None or decoded.samples is None:
            return loss, None
        # samples weigh as in the cross entropy, so that this term accumulates as exactly
        sample_weights = decoded.samples[:, learned.places + 1].float() @ learned.weights  # (S,)
        balance_loss = (decoded.balance * sample_weights).sum() / total
        balance_loss = balance_loss * self.config.balance_loss_weight
        return loss + balance_loss, balance_loss

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
            for name in ("pixel_values", "tile_values", "tile_grids", "image_embeds"):
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


def at_least_something(total: float | Tensor) -> float | Tensor:
    """What a loss is divided by: 1 in place of 0, where nothing is learned."""
    return torch.where(total > 0, total, 1) if isinstance(total, Tensor) else total or 1
