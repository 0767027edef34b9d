"""The whole model's config, made from and written as the published `config.json`.

`config_parts` has the sizes of the parts, `config_layout` the published file, `config_checks` what
is refused.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from .config_checks import MUST_BE, check_fixed, check_given_once, check_whole
from .config_layout import (
    CONSTANTS,
    OTHER_TEXT_KEYS,
    PUBLISHED_BLOCKS,
    PUBLISHED_TEXT_KEYS,
    from_published,
    to_published,
)
from .config_parts import ClipConfig, SamConfig, TextConfig

__all__ = ["ClipConfig", "DeepseekOcrConfig", "SamConfig", "TextConfig"]


class DeepseekOcrConfig(PreTrainedConfig):
    """The whole model: `DeepseekOcrConfig()` has the published sizes.

    Made from the published `config.json`, or from `sam_config`, `clip_config`, `text_config`
    (dictionaries of what differs from the published sizes).

    Raises:
        ValueError: it asks for something this network does not have, or contradicts itself.
    """

    model_type = "deepseek_vl_v2"
    sub_configs = {"sam_config": SamConfig, "clip_config": ClipConfig, "text_config": TextConfig}  # noqa: RUF012
    # transformers >= 5.20 derives the line above from this one; 5.17 reads only that
    sub_configs_defaults = dict(sub_configs)  # noqa: RUF012

    # of the outputs, what `transformers.Trainer` takes for no prediction
    keys_to_ignore_at_inference = ["past_key_values", "balance_loss", "expert_load"]  # noqa: RUF012

    # given as dictionaries, kept as objects
    sam_config: SamConfig = None  # type: ignore[assignment]
    clip_config: ClipConfig = None  # type: ignore[assignment]
    text_config: TextConfig = None  # type: ignore[assignment]
    image_token_id: int = 128815
    balance_loss_weight: float = 0.0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        published = {
            key: kwargs.pop(key) for key in PUBLISHED_BLOCKS if kwargs.get(key) is not None
        }
        top = {k: kwargs.pop(k) for k in (*PUBLISHED_TEXT_KEYS, *OTHER_TEXT_KEYS) if k in kwargs}
        check_fixed({"tie_word_embeddings": self.tie_word_embeddings} | kwargs, "")
        if published or top:
            check_given_once(self, published, top)
            sam, clip, text = from_published(published, top)
            self.sam_config = self.sam_config or sam
            self.clip_config = self.clip_config or clip
            self.text_config = self.text_config or text
        for name, kind in (
            ("sam_config", SamConfig),
            ("clip_config", ClipConfig),
            ("text_config", TextConfig),
        ):
            value = getattr(self, name)
            setattr(self, name, value if isinstance(value, kind) else kind(**(value or {})))
        dropped = (*CONSTANTS, *MUST_BE)
        super().__post_init__(**{k: v for k, v in kwargs.items() if k not in dropped})
        check_whole(self)

    @property
    def hidden_size(self) -> int:
        """Width of the decoder."""
        return self.text_config.hidden_size

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding; the tokenizer may use fewer."""
        return self.text_config.vocab_size

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the decoder."""
        return self.text_config.num_hidden_layers

    def to_dict(self) -> dict[str, Any]:
        """The published layout of `config.json`, key for key."""
        return to_published(self)

    def to_diff_dict(self) -> dict[str, Any]:
        """As `to_dict`: the published file is complete, not a difference."""
        return self.to_dict()
