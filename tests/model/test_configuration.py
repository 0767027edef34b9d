"""`config.json` is read and written as published; what is not supported is an error, never a default."""

from __future__ import annotations

import copy
import json

import pytest
from transformers import AutoConfig

from deepseek_ocr.model import ClipConfig, DeepseekOcrConfig, SamConfig, TextConfig
from deepseek_ocr.model.presets import nano_config
from tests.conftest import recorded, tiny_config

MLA = {"use_mla": True, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}  # fmt: skip
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}


def published() -> dict:
    return json.loads(recorded("published_config.json").read_text(encoding="utf-8"))


def with_language(**changes) -> dict:
    """The published file with decoder keys changed in both places that hold them."""
    content = published()
    content["language_config"] |= changes
    return content | {key: value for key, value in changes.items() if key in content}


def with_width(block: str, **changes) -> dict:
    content = published()
    content["vision_config"]["width"][block] |= changes
    return content


def written(config: DeepseekOcrConfig, folder) -> dict:
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_the_published_file_is_written_back_key_for_key(tmp_path):
    assert DeepseekOcrConfig(**published()).to_dict() == published()
    assert written(DeepseekOcrConfig(**published()), tmp_path) == published()


def test_the_defaults_are_the_published_sizes():
    assert DeepseekOcrConfig().to_dict() == published()


def test_the_published_sizes_are_read_into_the_three_parts():
    config = DeepseekOcrConfig(**published())
    assert (config.sam_config.hidden_size, config.clip_config.hidden_size) == (768, 1024)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (1280, 12, 129280)
    assert config.image_token_id == 128815
    assert config.tie_word_embeddings is False
    assert config.text_config.qk_head_dim == 128


@pytest.mark.parametrize(
    "changes",
    [
        {"rms_norm_eps": 1e-5, "rope_theta": 5e5, "routed_scaling_factor": 2.5, "norm_topk_prob": True},
        {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "n_group": 4, "topk_group": 2},
        {"pad_token_id": 2, "initializer_range": 0.006},
        {"rope_scaling": YARN},
        {"n_routed_experts": None, "n_shared_experts": None, "num_experts_per_tok": None},
        {"num_key_value_heads": 5},
        MLA,
    ],
)  # fmt: skip
def test_other_decoders_survive_being_written_and_read(changes, tmp_path):
    config = DeepseekOcrConfig(text_config=changes)
    content = written(config, tmp_path)
    found = DeepseekOcrConfig(**content)
    for key, value in changes.items():
        assert getattr(found.text_config, key) == value
        assert content[key] == content["language_config"][key] == value
    assert found.to_dict() == content


def test_other_encoders_survive_being_written_and_read(tmp_path):
    config = DeepseekOcrConfig(
        sam_config={
            "window_size": 7,
            "mlp_ratio": 2.0,
            "out_channels": 128,
            "layer_norm_eps": 1e-5,
        },
        clip_config={"mlp_ratio": 3.0, "layer_norm_eps": 1e-6},
        image_token_id=7,
        balance_loss_weight=0.001,
    )
    found = DeepseekOcrConfig(**written(config, tmp_path))
    assert (found.sam_config.window_size, found.sam_config.out_channels) == (7, 128)
    assert (found.sam_config.mlp_ratio, found.clip_config.mlp_ratio) == (2.0, 3.0)
    assert (found.sam_config.layer_norm_eps, found.clip_config.layer_norm_eps) == (1e-5, 1e-6)
    assert (found.image_token_id, found.balance_loss_weight) == (7, 0.001)


@pytest.mark.parametrize("make", [nano_config, tiny_config])
def test_small_models_survive_being_written_and_read(make, tmp_path):
    content = written(make(), tmp_path)
    found = DeepseekOcrConfig.from_pretrained(tmp_path)
    assert found.to_dict() == content
    assert found.text_config.moe_intermediate_size == make().text_config.moe_intermediate_size
    assert found.sam_config.image_size == make().sam_config.image_size


@pytest.mark.parametrize("model_type", ["deepseek_vl_v2", "deepseek_ocr"])
def test_auto_config_resolves_both_names_without_remote_code(model_type, tmp_path):
    content = published() | {"model_type": model_type}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    config = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)
    assert type(config) is DeepseekOcrConfig
    assert config.to_dict() == published()


@pytest.mark.parametrize(
    "key, value",
    [
        ("attention_bias", True),
        ("attention_dropout", 0.1),
        ("ep_size", 8),
        ("head_dim", 64),
        ("hidden_act", "gelu"),
        ("layer_types", ["sliding_attention"] * 12),
        ("lm_head", False),
        ("mlp_bias", True),
        ("moe_layer_freq", 2),
        ("num_nextn_predict_layers", 1),
        ("partial_rotary_factor", 0.5),
        ("quantization_config", {"quant_method": "fp8"}),
        ("rm_head", True),
        ("rope_parameters", {"rope_type": "linear", "factor": 4.0}),
        ("rope_scaling", {"type": "linear", "factor": 4.0}),
        ("rope_scaling", {"rope_type": "dynamic", "factor": 4.0}),
        ("rope_scaling", {"rope_type": "yarn"}),
        ("rope_scaling", YARN | {"short_factor": [1.0]}),
        ("scoring_func", "tanh"),
        ("sliding_window", 128),
        ("tie_word_embeddings", True),
        ("topk_method", "random"),
    ],
)
def test_what_is_not_supported_is_an_error_that_names_the_key(key, value):
    pattern = f"config.json: .*{key}"
    with pytest.raises(ValueError, match=pattern):
        DeepseekOcrConfig(**published() | {key: value})
    with pytest.raises(ValueError, match=pattern):
        DeepseekOcrConfig(**with_language(**{key: value}))
    if key not in ("lm_head", "rm_head", "layer_types"):
        with pytest.raises(ValueError, match=pattern):
            TextConfig(**{key: value})


@pytest.mark.parametrize(
    "key, value",
    [("attention_bias", False), ("attention_dropout", 0.0), ("moe_layer_freq", 1), ("quantization_config", None), ("rope_scaling", None), ("ep_size", 1), ("layer_types", ["full_attention"] * 12)],
)  # fmt: skip
def test_spelled_out_defaults_of_related_models_change_nothing(key, value):
    assert DeepseekOcrConfig(**with_language(**{key: value})).to_dict() == published()


@pytest.mark.parametrize(
    "content, named",
    [
        (published() | {"tile_tag": "1D"}, "tile_tag"),
        (published() | {"global_view_pos": "tail"}, "global_view_pos"),
        (published() | {"vision_config": published()["vision_config"] | {"model_name": "siglip"}}, "vision_config.model_name"),
        (published() | {"vision_config": {"width": {"siglip": {}}}}, "unknown encoder 'siglip'"),
        (published() | {"vision_config": [1]}, "vision_config"),
        (with_width("sam_vit_b", depth=3), "vision_config.width.sam_vit_b has an unknown key 'depth'"),
        (with_width("clip-l-14-224", act="gelu"), "vision_config.width.clip-l-14-224 has an unknown key 'act'"),
        (with_width("sam_vit_b", heads=7), "SAM's width 768"),
        (with_width("clip-l-14-224", heads=7), "CLIP's width 1024"),
        (with_width("sam_vit_b", downsample_channels=[512, 512]), "projector_config"),
        (with_width("sam_vit_b", layers=0), "num_hidden_layers"),
        (published() | {"projector_config": {"projector_type": "mlp_gelu"}}, "projector_type"),
        (published() | {"projector_config": {"input_dim": 1024, "n_embed": 1280}}, "projector_config"),
        (published() | {"projector_config": {"n_embed": 64}}, "projector_config"),
        (published() | {"hidden_size": 640}, "hidden_size is 640 at the top"),
        (published() | {"text_config": {"hidden_size": 640}}, "text_config stands beside"),
        (published() | {"image_token_id": 129280}, "image_token_id 129280"),
        (published() | {"image_token_id": -1}, "image_token_id -1"),
        (published() | {"image_token_id": None}, "image_token_id is None"),
        (published() | {"balance_loss_weight": -0.1}, "balance_loss_weight"),
        (with_language(num_attention_heads=7), "num_attention_heads 7"),
        (with_language(num_key_value_heads=3), "num_key_value_heads 3"),
        (with_language(vocab_size="many"), "vocab_size is 'many'"),
        (with_language(num_hidden_layers=-1), "num_hidden_layers is -1"),
        (with_language(use_mla=True), "use_mla needs kv_lora_rank"),
        (with_language(num_experts_per_tok=65), "num_experts_per_tok"),
        (with_language(topk_method="noaux_tc", n_group=5), "groups"),
        (with_language(topk_method="noaux_tc", n_group=64, topk_group=6), "noaux_tc"),
        (with_language(topk_method="group_limited_greedy", n_group=32, topk_group=1), "num_experts_per_tok 6"),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_an_error_that_names_the_place(content, named):
    with pytest.raises(ValueError, match=r"config\.json: ") as caught:
        DeepseekOcrConfig(**copy.deepcopy(content))
    assert named in str(caught.value)


@pytest.mark.parametrize("kind", [SamConfig, ClipConfig, TextConfig])
def test_a_misspelled_size_is_refused_and_not_ignored(kind):
    with pytest.raises(ValueError, match=f"unknown key 'hiden_size' for {kind.__name__}"):
        kind(hiden_size=64)


def test_the_compressor_must_end_in_the_width_of_clip():
    with pytest.raises(ValueError, match="enter CLIP"):
        DeepseekOcrConfig(sam_config={"downsample_channels": [64, 64]})
    with pytest.raises(ValueError, match="two numbers"):
        DeepseekOcrConfig(sam_config={"downsample_channels": [512, 768, 1024]})


@pytest.mark.parametrize(
    "key, value",
    [
        ("norm_topk_prob", "no"),
        ("rope_theta", 0),
        ("rope_theta", "a"),
        ("rms_norm_eps", "x"),
        ("routed_scaling_factor", None),
        ("n_shared_experts", -1),
        ("n_shared_experts", 1.5),
        ("rope_scaling", 5),
        ("rope_scaling", {"type": "yarn", "factor": "x", "original_max_position_embeddings": 8}),
        (
            "rope_scaling",
            {
                "type": "yarn",
                "factor": 2.0,
                "original_max_position_embeddings": 8,
                "rope_theta": 5.0,
            },
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_that_names_its_key(key, value):
    with pytest.raises(ValueError, match=key):
        DeepseekOcrConfig(text_config={key: value})
