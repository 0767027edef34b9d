"""What a config may ask for; anything else is an error that names the key, never ignored."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

# Keys of related models and of the released code's config class that would change the network, with
# the values under which they do not. Anything else is refused.
MUST_BE: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "attention_dropout": (0, 0.0, None),
    "ep_size": (1, None),
    "global_view_pos": ("head",),
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
    "tile_tag": ("2D",),
}


def check_fixed(values: dict[str, Any], where: str) -> None:
    """Keys of other networks have values under which they change nothing; `where` is a prefix."""
    for key, allowed in MUST_BE.items():
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


def check_given_once(config: PreTrainedConfig, published: dict, top: dict) -> None:
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


def check_known(kind: type, kwargs: dict[str, Any]) -> None:
    """A part's config has no key that nobody reads."""
    for key in kwargs:
        if not (key.startswith("_") or key in _GENERAL_KEYS or key in MUST_BE):
            raise ValueError(f"config.json: unknown key {key!r} for {kind.__name__}")


_COUNTS = {
    "first_k_dense_replace", "n_shared_experts", "qk_nope_head_dim", "qk_rope_head_dim",
    "v_head_dim",
}  # fmt: skip
_NUMBERS = {
    "initializer_range", "layer_norm_eps", "mlp_ratio", "rms_norm_eps", "rope_theta",
    "routed_scaling_factor",
}  # fmt: skip
_SWITCHES = {"norm_topk_prob", "use_mla"}


def check_sizes(config: PreTrainedConfig) -> None:
    """Sizes are whole numbers from 1, factors are above 0, switches are true or false."""
    for key in sorted(_COUNTS):
        value = getattr(config, key, 0)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not whole and not (value is None and key == "n_shared_experts"):
            raise ValueError(f"config.json: {key} is {value!r}; expected a whole number from 0")
    for key in sorted(_NUMBERS):
        value = getattr(config, key, 1.0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise ValueError(f"config.json: {key} is {value!r}; expected a number above 0")
    for key in sorted(_SWITCHES):
        if not isinstance(value := getattr(config, key, False), bool):
            raise ValueError(f"config.json: {key} is {value!r}; expected true or false")
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


def check_text(text: PreTrainedConfig) -> None:
    """The decoder's choices, heads, experts and positions fit each other."""
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
    _check_rope(text.rope_scaling, text.rope_theta)


def _check_experts(text: PreTrainedConfig) -> None:
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


def _check_rope(scaling: Any, theta: float) -> None:
    if scaling is None:
        return
    if not isinstance(scaling, dict):
        raise ValueError(f"config.json: rope_scaling is {scaling!r}; expected an object or null")
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind not in ("yarn", "default"):
        raise ValueError(f"config.json: rope_scaling of type {kind!r}; only 'yarn' is supported")
    for key in scaling.keys() - _YARN_KEYS:
        raise ValueError(f"config.json: rope_scaling has an unknown key {key!r}")
    if scaling.get("rope_theta", theta) != theta:
        raise ValueError(
            f"config.json: rope_theta is {theta!r} and {scaling['rope_theta']!r} under "
            f"rope_scaling; make them equal"
        )
    for key in ("factor", "original_max_position_embeddings"):
        value = scaling.get(key, 1 if kind == "default" else None)
        if not isinstance(value, int | float) or not value > 0:
            raise ValueError(
                f"config.json: rope_scaling has {key} {value!r}; yarn needs a number above 0"
            )


def check_whole(config: PreTrainedConfig) -> None:
    """The three parts fit each other."""
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
