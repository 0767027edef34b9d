"""The published layout of `config.json`, read and written key for key.

The published file (deepseek-ai/DeepSeek-OCR, 2025-10-20) holds the decoder's sizes twice, at the
top (read by the released code) and under `language_config` (read by vLLM), and the encoders' under
`vision_config.width`. What it does not state is written only where it is not the default.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedConfig

from .config_checks import check_fixed
from .config_parts import ClipConfig, SamConfig, TextConfig

# The published file's keys and values that no size decides, in its own spelling.
LANGUAGE_CONSTANTS = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_deepseekv2.DeepseekV2Config",
        "AutoModel": "modeling_deepseek.DeepseekV2Model",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV2ForCausalLM",
    },
    "lm_head": True,
    "rm_head": False,
}
CONSTANTS = {
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
PUBLISHED_TEXT_KEYS = (
    "bos_token_id", "eos_token_id", "first_k_dense_replace", "hidden_size", "intermediate_size",
    "kv_lora_rank", "max_position_embeddings", "moe_intermediate_size", "n_group",
    "n_routed_experts", "n_shared_experts", "num_attention_heads", "num_experts_per_tok",
    "num_hidden_layers", "num_key_value_heads", "q_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "topk_group", "topk_method", "use_mla", "v_head_dim", "vocab_size",
)  # fmt: skip
OTHER_TEXT_KEYS = (
    "hidden_act", "initializer_range", "norm_topk_prob", "pad_token_id", "rms_norm_eps",
    "rope_scaling", "rope_theta", "routed_scaling_factor", "scoring_func",
)  # fmt: skip
PUBLISHED_BLOCKS = ("language_config", "vision_config", "projector_config")
WIDTH_KEYS = {  # published name in vision_config.width.* -> our name
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
EXTRA_SAM_KEYS = ("mlp_ratio", "patch_size", "window_size", "out_channels", "layer_norm_eps")
EXTRA_CLIP_KEYS = ("mlp_ratio", "layer_norm_eps")


def to_published(config: PreTrainedConfig) -> dict[str, Any]:
    """A config as the content of the published `config.json`."""
    dtype = dtype_name(config.dtype)
    language = text_keys(config.text_config)
    output = copy.deepcopy(CONSTANTS) | {
        "model_type": type(config).model_type,
        "torch_dtype": dtype,
    }
    output |= language | {"lm_head": True, "rm_head": False}
    output["language_config"] = (
        copy.deepcopy(LANGUAGE_CONSTANTS) | language | {"torch_dtype": dtype}
    )
    output["vision_config"] = vision_block(config.sam_config, config.clip_config)
    output["projector_config"] = {
        "input_dim": config.sam_config.downsample_channels[-1] + config.clip_config.hidden_size,
        "model_type": "mlp_projector",
        "n_embed": config.text_config.hidden_size,
        "projector_type": "linear",
    }
    for key in ("image_token_id", "balance_loss_weight"):
        if getattr(config, key) != getattr(type(config), key):
            output[key] = getattr(config, key)
    return output


def dtype_name(dtype: Any) -> str:
    """`torch.float32` -> `float32`; a config that names no dtype is of bfloat16, as published."""
    if dtype is None:
        return "bfloat16"
    return str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else str(dtype)


def text_keys(text: TextConfig) -> dict[str, Any]:
    """The decoder's keys, as they stand at the top and under `language_config`."""
    keys = {key: getattr(text, key) for key in PUBLISHED_TEXT_KEYS}
    for key in OTHER_TEXT_KEYS:
        if getattr(text, key) != getattr(TextConfig, key):
            keys[key] = copy.deepcopy(getattr(text, key))
    return keys


def vision_block(sam: SamConfig, clip: ClipConfig) -> dict[str, Any]:
    """The content of `vision_config`."""
    width: dict[str, dict[str, Any]] = {}
    for block, config, extra in (
        ("clip-l-14-224", clip, EXTRA_CLIP_KEYS),
        ("sam_vit_b", sam, EXTRA_SAM_KEYS),
    ):
        values = {theirs: getattr(config, ours) for theirs, ours in WIDTH_KEYS[block].items()}
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


def from_published(
    published: dict[str, Any], top: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Keyword arguments of the three sub-configs from the published blocks."""
    language = dict(published.get("language_config", {}))
    check_fixed(language, "language_config.")
    for key in top.keys() & language.keys():
        if top[key] != language[key]:
            raise ValueError(
                f"config.json: {key} is {top[key]!r} at the top and {language[key]!r} under "
                f"language_config; make them equal"
            )
    names = (*PUBLISHED_TEXT_KEYS, *OTHER_TEXT_KEYS)
    text = {k: v for k, v in (language | top).items() if k in names}

    vision = published.get("vision_config", {})
    if vision.get("model_name", "deeplip_b_l") != "deeplip_b_l":
        raise ValueError(
            f"config.json: vision_config.model_name is {vision['model_name']!r}; "
            f"only 'deeplip_b_l' (SAM and CLIP) is supported"
        )
    blocks = vision.get("width", {})
    if not isinstance(blocks, dict) or not all(isinstance(b, dict) for b in blocks.values()):
        raise ValueError("config.json: vision_config.width is no object of objects")
    for name in blocks.keys() - WIDTH_KEYS.keys():
        raise ValueError(f"config.json: vision_config.width has an unknown encoder {name!r}")
    sam = from_width(blocks, "sam_vit_b", EXTRA_SAM_KEYS)
    clip = from_width(blocks, "clip-l-14-224", EXTRA_CLIP_KEYS)
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


def from_width(blocks: dict[str, Any], name: str, extra: tuple[str, ...]) -> dict[str, Any]:
    """Our names for the sizes of one encoder under `vision_config.width`."""
    names = WIDTH_KEYS[name] | {key: key for key in extra}
    values = blocks.get(name, {})
    for key in values.keys() - names.keys():
        raise ValueError(f"config.json: vision_config.width.{name} has an unknown key {key!r}")
    return {names[key]: value for key, value in values.items()}
