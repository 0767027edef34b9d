"""Sizes of the network, read from and written to `config.json` as it was published.

The published file (deepseek-ai/DeepSeek-OCR, 2025-10-20) holds the decoder's sizes twice, at the
top (read by the released code) and under `language_config` (read by vLLM), and the encoders' under
`vision_config.width`. Here they are three sub-configs. What differs from the released code's
defaults and is not in the published file (such as `rms_norm_eps`) is written only when it differs.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig


class PartConfig(PreTrainedConfig):
    """What the three parts' configs share: an unknown or impossible size is an error."""

    model_type = "deepseek_ocr_part"

    def __post_init__(self, **kwargs):
        _check_fixed(kwargs, "")
        _check_known(type(self), kwargs)
        _check_sizes(self)
        super().__post_init__(**kwargs)


class SamConfig(PartConfig):
    """SAM-ViT-B with its neck and the 16x compressor (`deepencoder.py:548-1058`)."""

    model_type = "deepseek_ocr_sam"
    base_config_key = "sam_config"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: float = 4.0
    image_size: int = 1024
    patch_size: int = 16
    window_size: int = 14
    global_attn_indexes: list[int] | tuple[int, ...] = (2, 5, 8, 11)
    out_channels: int = 256
    downsample_channels: list[int] | tuple[int, ...] = (512, 1024)
    layer_norm_eps: float = 1e-6


class ClipConfig(PartConfig):
    """CLIP-L's transformer, fed with SAM's features (`deepencoder.py:188-539`)."""

    model_type = "deepseek_ocr_clip"
    base_config_key = "clip_config"

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    mlp_ratio: float = 4.0
    image_size: int = 224
    patch_size: int = 14
    layer_norm_eps: float = 1e-5


class TextConfig(PartConfig):
    """The DeepSeek decoder: defaults are the published model's (`configuration_deepseek_v2.py`)."""

    model_type = "deepseek_ocr_text"
    base_config_key = "text_config"

    vocab_size: int = 129280
    hidden_size: int = 1280
    intermediate_size: int = 6848
    moe_intermediate_size: int = 896
    num_hidden_layers: int = 12
    num_attention_heads: int = 10
    num_key_value_heads: int = None  # type: ignore[assignment]  # None: as many as heads
    max_position_embeddings: int = 8192
    n_routed_experts: int = 64  # None: every layer is dense
    n_shared_experts: int | None = 2
    num_experts_per_tok: int = 6
    first_k_dense_replace: int = 1
    topk_method: str = "greedy"
    scoring_func: str = "softmax"
    n_group: int | None = 1
    topk_group: int | None = 1
    norm_topk_prob: bool = False
    routed_scaling_factor: float = 1.0
    use_mla: bool = False
    q_lora_rank: int | None = None
    kv_lora_rank: int = None  # type: ignore[assignment]  # only latent attention has one
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict | None = None
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 0
    eos_token_id: int | None = 1
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs):
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        scaling = self.rope_scaling  # the parent would fold it into `rope_parameters`
        super().__post_init__(**kwargs)
        self.rope_scaling = scaling
        _check_text(self)

    @property
    def qk_head_dim(self) -> int:
        """Width of one query or key head."""
        if self.use_mla:
            return self.qk_nope_head_dim + self.qk_rope_head_dim
        return self.hidden_size // self.num_attention_heads


# The published file's keys and values that no size decides, in its own spelling.
_LANGUAGE_CONSTANTS = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_deepseekv2.DeepseekV2Config",
        "AutoModel": "modeling_deepseek.DeepseekV2Model",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV2ForCausalLM",
    },
    "lm_head": True,
    "rm_head": False,
}
_CONSTANTS = {
    "_name_or_path": "deepseek-ai/DeepSeek-OCR",
    "architectures": ["DeepseekOCRForCausalLM"],
    "auto_map": {
        "AutoConfig": "modeling_deepseekocr.DeepseekOCRConfig",
        "AutoModel": "modeling_deepseekocr.DeepseekOCRForCausalLM",
    },
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head",
    "tile_tag": "2D",
    "transformers_version": "4.46.3",
}
# Sizes of the decoder that the published file states; the others are written when not default.
_PUBLISHED_TEXT_KEYS = (
    "bos_token_id", "eos_token_id", "first_k_dense_replace", "hidden_size", "intermediate_size",
    "kv_lora_rank", "max_position_embeddings", "moe_intermediate_size", "n_group",
    "n_routed_experts", "n_shared_experts", "num_attention_heads", "num_experts_per_tok",
    "num_hidden_layers", "num_key_value_heads", "q_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "topk_group", "topk_method", "use_mla", "v_head_dim", "vocab_size",
)  # fmt: skip
_OTHER_TEXT_KEYS = (
    "hidden_act", "initializer_range", "norm_topk_prob", "pad_token_id", "rms_norm_eps",
    "rope_scaling", "rope_theta", "routed_scaling_factor", "scoring_func",
)  # fmt: skip
# Keys of related models and of the released code's config class that would change the network, with
# the values under which they do not. Anything else is refused.
_MUST_BE: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "attention_dropout": (0, 0.0, None),
    "ep_size": (1, None),
    "head_dim": (None,),
    "lm_head": (True,),
    "mlp_bias": (False, None),
    "moe_layer_freq": (1,),
    "num_nextn_predict_layers": (0, None),
    "partial_rotary_factor": (1, 1.0, None),
    "quantization_config": (None,),
    "rm_head": (False,),
    "rope_interleave": (True, None),
    "rope_parameters": (None,),
    "sliding_window": (None,),
    "tie_word_embeddings": (False, None),
}
_PUBLISHED_BLOCKS = ("language_config", "vision_config", "projector_config")
_WIDTH_KEYS = {  # published name in vision_config.width.* -> our name
    "sam_vit_b": {
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "global_attn_indexes": "global_attn_indexes",
        "downsample_channels": "downsample_channels",
    },
    "clip-l-14-224": {
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "image_size": "image_size",
        "patch_size": "patch_size",
    },
}
_EXTRA_SAM_KEYS = ("mlp_ratio", "patch_size", "window_size", "out_channels", "layer_norm_eps")
_EXTRA_CLIP_KEYS = ("mlp_ratio", "layer_norm_eps")


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

    # given as dictionaries, kept as objects
    sam_config: SamConfig = None  # type: ignore[assignment]
    clip_config: ClipConfig = None  # type: ignore[assignment]
    text_config: TextConfig = None  # type: ignore[assignment]
    image_token_id: int = 128815
    balance_loss_weight: float = 0.0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        published = {
            key: kwargs.pop(key) for key in _PUBLISHED_BLOCKS if kwargs.get(key) is not None
        }
        top = {k: kwargs.pop(k) for k in (*_PUBLISHED_TEXT_KEYS, *_OTHER_TEXT_KEYS) if k in kwargs}
        _check_fixed({"tie_word_embeddings": self.tie_word_embeddings} | kwargs, "")
        if published or top:
            _check_given_once(self, published, top)
            sam, clip, text = _from_published(published, top)
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
        dropped = (*_CONSTANTS, *_MUST_BE)
        super().__post_init__(**{k: v for k, v in kwargs.items() if k not in dropped})
        _check_whole(self)

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
        dtype = _dtype_name(self.dtype)
        language = _text_keys(self.text_config)
        output = copy.deepcopy(_CONSTANTS) | {
            "model_type": type(self).model_type,
            "torch_dtype": dtype,
        }
        output |= language | {"lm_head": True, "rm_head": False}
        output["language_config"] = (
            copy.deepcopy(_LANGUAGE_CONSTANTS) | language | {"torch_dtype": dtype}
        )
        output["vision_config"] = _vision_block(self.sam_config, self.clip_config)
        output["projector_config"] = {
            "input_dim": self.sam_config.downsample_channels[-1] + self.clip_config.hidden_size,
            "model_type": "mlp_projector",
            "n_embed": self.text_config.hidden_size,
            "projector_type": "linear",
        }
        for key in ("image_token_id", "balance_loss_weight"):
            if getattr(self, key) != getattr(type(self), key):
                output[key] = getattr(self, key)
        return output

    def to_diff_dict(self) -> dict[str, Any]:
        """As `to_dict`: the published file is complete, not a difference."""
        return self.to_dict()


def _dtype_name(dtype: Any) -> str:
    if dtype is None:
        return "bfloat16"
    return str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else str(dtype)


def _text_keys(text: TextConfig) -> dict[str, Any]:
    keys = {key: getattr(text, key) for key in _PUBLISHED_TEXT_KEYS}
    for key in _OTHER_TEXT_KEYS:
        if getattr(text, key) != getattr(TextConfig, key):
            keys[key] = copy.deepcopy(getattr(text, key))
    return keys


def _vision_block(sam: SamConfig, clip: ClipConfig) -> dict[str, Any]:
    width: dict[str, dict[str, Any]] = {}
    for block, config, extra in (
        ("clip-l-14-224", clip, _EXTRA_CLIP_KEYS),
        ("sam_vit_b", sam, _EXTRA_SAM_KEYS),
    ):
        values = {theirs: getattr(config, ours) for theirs, ours in _WIDTH_KEYS[block].items()}
        values |= {
            k: getattr(config, k) for k in extra if getattr(config, k) != getattr(type(config), k)
        }
        width[block] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {
        "image_size": sam.image_size,
        "mlp_ratio": 3.7362,  # published, and read by nobody
        "model_name": "deeplip_b_l",
        "model_type": "vision",
        "width": width,
    }


def _from_published(
    published: dict[str, Any], top: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Keyword arguments of the three sub-configs from the published blocks."""
    language = dict(published.get("language_config", {}))
    _check_fixed(language, "language_config.")
    for key in top.keys() & language.keys():
        if top[key] != language[key]:
            raise ValueError(
                f"config.json: {key} is {top[key]!r} at the top and {language[key]!r} under "
                f"language_config; make them equal"
            )
    names = (*_PUBLISHED_TEXT_KEYS, *_OTHER_TEXT_KEYS)
    text = {k: v for k, v in (language | top).items() if k in names}

    vision = published.get("vision_config", {})
    if vision.get("model_name", "deeplip_b_l") != "deeplip_b_l":
        raise ValueError(
            f"config.json: vision_config.model_name is {vision['model_name']!r}; "
            f"only 'deeplip_b_l' (SAM and CLIP) is supported"
        )
    blocks = vision.get("width", {})
    for name in blocks.keys() - _WIDTH_KEYS.keys():
        raise ValueError(f"config.json: vision_config.width has an unknown encoder {name!r}")
    sam = _from_width(blocks, "sam_vit_b", _EXTRA_SAM_KEYS)
    clip = _from_width(blocks, "clip-l-14-224", _EXTRA_CLIP_KEYS)
    if "image_size" in vision:
        sam["image_size"] = vision["image_size"]
    projector = published.get("projector_config", {})
    if projector.get("projector_type", "linear") != "linear":
        raise ValueError(
            f"config.json: projector_config.projector_type is {projector['projector_type']!r}; "
            f"only 'linear' is supported"
        )
    expected = (
        SamConfig(**sam).downsample_channels[-1] + ClipConfig(**clip).hidden_size,
        text.get("hidden_size", TextConfig.hidden_size),
    )
    found = (projector.get("input_dim", expected[0]), projector.get("n_embed", expected[1]))
    if found != expected:
        raise ValueError(
            f"config.json: projector_config joins {found[0]} to {found[1]} features, the encoders "
            f"and the decoder have {expected[0]} and {expected[1]}"
        )
    return sam, clip, text


def _from_width(blocks: dict[str, Any], name: str, extra: tuple[str, ...]) -> dict[str, Any]:
    names = _WIDTH_KEYS[name] | {key: key for key in extra}
    values = blocks.get(name, {})
    for key in values.keys() - names.keys():
        raise ValueError(f"config.json: vision_config.width.{name} has an unknown key {key!r}")
    return {names[key]: value for key, value in values.items()}


def _check_fixed(values: dict[str, Any], where: str) -> None:
    for key, allowed in _MUST_BE.items():
        if key in values and values[key] not in allowed:
            raise ValueError(
                f"config.json: {where}{key} is {values[key]!r}, which this network does not "
                f"support; expected {allowed[0]!r}"
            )
    if set(values.get("layer_types") or ()) - {"full_attention"}:
        raise ValueError(
            f"config.json: {where}layer_types is {values['layer_types']!r}; only 'full_attention' "
            f"is supported"
        )
    for key in ("tile_tag", "global_view_pos"):
        if key in values and values[key] != _CONSTANTS[key]:
            raise ValueError(
                f"config.json: {where}{key} is {values[key]!r}; "
                f"only {_CONSTANTS[key]!r} is supported"
            )


def _check_given_once(config: DeepseekOcrConfig, published: dict, top: dict) -> None:
    """A part comes from the published blocks or from a sub-config, never from both."""
    for key, block in published.items():
        if not isinstance(block, dict):
            raise ValueError(f"config.json: {key} is {block!r}; expected an object")
    language = bool(top) or "language_config" in published
    for name, given in (
        ("text_config", language),
        ("sam_config", "vision_config" in published),
        ("clip_config", "vision_config" in published),
    ):
        if given and getattr(config, name):
            raise ValueError(
                f"config.json: {name} stands beside the published keys of the same part; keep one"
            )


# What `transformers` itself adds to any config, beside names that begin with an underscore.
_GENERAL_KEYS = {
    "attn_implementation", "experts_implementation", "model_type", "name_or_path",
    "output_attentions", "torch_dtype",
}  # fmt: skip
# None where the published file may leave them out.
_SIZES_OR_NONE = {
    "n_routed_experts", "num_experts_per_tok", "n_group", "topk_group",
    "q_lora_rank", "kv_lora_rank",
}  # fmt: skip
_SIZES = _SIZES_OR_NONE | {
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size",
    "intermediate_size", "moe_intermediate_size", "max_position_embeddings", "image_size",
    "patch_size", "window_size", "out_channels",
}  # fmt: skip


def _check_known(kind: type, kwargs: dict[str, Any]) -> None:
    for key in kwargs:
        if not (key.startswith("_") or key in _GENERAL_KEYS or key in _MUST_BE):
            raise ValueError(f"config.json: unknown key {key!r} for {kind.__name__}")


def _check_sizes(config: PreTrainedConfig) -> None:
    for key in sorted(_SIZES):
        value = getattr(config, key, None)
        if value is None and (key in _SIZES_OR_NONE or not hasattr(config, key)):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"config.json: {key} is {value!r}; expected a whole number from 1")


_TEXT_CHOICES = {
    "topk_method": ("greedy", "group_limited_greedy", "noaux_tc"),
    "scoring_func": ("softmax", "sigmoid"),
    "hidden_act": ("silu",),
}
_YARN_KEYS = {
    "rope_type", "type", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow",
    "mscale", "mscale_all_dim", "attention_factor", "truncate", "rope_theta",
}  # fmt: skip


def _check_text(text: TextConfig) -> None:
    for key, choices in _TEXT_CHOICES.items():
        if getattr(text, key) not in choices:
            raise ValueError(
                f"config.json: {key} is {getattr(text, key)!r}; supported: {', '.join(choices)}"
            )
    if text.use_mla:
        for key in ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"):
            if not getattr(text, key):
                raise ValueError(f"config.json: use_mla needs {key}, found {getattr(text, key)!r}")
    elif text.hidden_size % text.num_attention_heads:
        raise ValueError(
            f"config.json: hidden_size {text.hidden_size} is not a multiple of "
            f"num_attention_heads {text.num_attention_heads}"
        )
    if not text.use_mla and text.num_attention_heads % text.num_key_value_heads:
        raise ValueError(
            f"config.json: num_attention_heads {text.num_attention_heads} is not a multiple of "
            f"num_key_value_heads {text.num_key_value_heads}"
        )
    _check_experts(text)
    _check_rope(text.rope_scaling)


def _check_experts(text: TextConfig) -> None:
    if text.n_routed_experts is None or text.num_hidden_layers <= text.first_k_dense_replace:
        return
    if not text.num_experts_per_tok or text.num_experts_per_tok > text.n_routed_experts:
        raise ValueError(
            f"config.json: num_experts_per_tok is {text.num_experts_per_tok} of "
            f"{text.n_routed_experts} experts"
        )
    if text.topk_method == "greedy":
        return
    groups, chosen = text.n_group or 1, text.topk_group or 1
    if text.n_routed_experts % groups or chosen > groups:
        raise ValueError(
            f"config.json: {text.n_routed_experts} experts cannot be chosen from {chosen} of "
            f"{groups} groups"
        )
    per_group = text.n_routed_experts // groups
    if text.num_experts_per_tok > chosen * per_group:
        raise ValueError(
            f"config.json: num_experts_per_tok {text.num_experts_per_tok} exceeds the "
            f"{chosen * per_group} experts of {chosen} groups"
        )
    if text.topk_method == "noaux_tc" and per_group < 2:
        raise ValueError(
            "config.json: noaux_tc scores a group by its two best experts; give it two"
        )


def _check_rope(scaling: dict | None) -> None:
    if scaling is None:
        return
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind not in ("yarn", "default"):
        raise ValueError(f"config.json: rope_scaling of type {kind!r}; only 'yarn' is supported")
    for key in scaling.keys() - _YARN_KEYS:
        raise ValueError(f"config.json: rope_scaling has an unknown key {key!r}")
    if kind == "yarn" and not (
        scaling.get("factor") and scaling.get("original_max_position_embeddings")
    ):
        raise ValueError(
            "config.json: rope_scaling yarn needs factor and original_max_position_embeddings"
        )


def _check_whole(config: DeepseekOcrConfig) -> None:
    sam, clip, text = config.sam_config, config.clip_config, config.text_config
    if sam.downsample_channels[-1] != clip.hidden_size:
        raise ValueError(
            f"config.json: the compressor's {sam.downsample_channels[-1]} channels enter CLIP of "
            f"width {clip.hidden_size}; they must be equal"
        )
    for name, part in (("SAM", sam), ("CLIP", clip)):
        if part.hidden_size % part.num_attention_heads:
            raise ValueError(
                f"config.json: {name}'s width {part.hidden_size} is not a multiple of its "
                f"{part.num_attention_heads} heads"
            )
    if len(sam.downsample_channels) != 2:
        raise ValueError("config.json: downsample_channels needs two numbers (16x compression)")
    if config.balance_loss_weight < 0:
        raise ValueError(
            f"config.json: balance_loss_weight is {config.balance_loss_weight}; expected 0 or more"
        )
    if not isinstance(config.image_token_id, int):
        raise ValueError(
            f"config.json: image_token_id is {config.image_token_id!r}; expected an id"
        )
    if not 0 <= config.image_token_id < text.vocab_size:
        raise ValueError(
            f"config.json: image_token_id {config.image_token_id} is outside the vocabulary of "
            f"{text.vocab_size}"
        )
