"""The network agrees with transformers' own classes on the same random weights, at tiny size."""

from __future__ import annotations

import pytest
import torch
import transformers

from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrForConditionalGeneration
from tests.conftest import tiny_config

pytestmark = pytest.mark.skipif(
    not hasattr(transformers, "UnlimitedOcrForConditionalGeneration"),
    reason="needs transformers >= 5.23, which has UnlimitedOcrForConditionalGeneration",
)
VOCABULARY, IMAGE = 320, 300
OVERVIEW, TILE = 128, 64  # pixels: 2 x 2 and 1 x 1 image tokens


def randomized(config: DeepseekOcrConfig) -> DeepseekOcrForConditionalGeneration:
    """Random weights everywhere, also where a new model has zeros and ones."""
    torch.manual_seed(0)
    model = DeepseekOcrForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.05).add_(1.0 if parameter.ndim == 1 else 0.0)
    return model


def oracle_config(config: DeepseekOcrConfig, **text):
    sam, clip, ours = config.sam_config, config.clip_config, config.text_config
    return transformers.UnlimitedOcrConfig(
        vision_config={
            "sam_config": {
                "hidden_size": sam.hidden_size,
                "output_channels": sam.out_channels,
                "num_hidden_layers": sam.num_hidden_layers,
                "num_attention_heads": sam.num_attention_heads,
                "image_size": sam.image_size,
                "mlp_dim": int(sam.hidden_size * sam.mlp_ratio),
                "global_attn_indexes": list(sam.global_attn_indexes),
                "downsample_channels": list(sam.downsample_channels),
            },
            "encoder_config": {
                "hidden_size": clip.hidden_size,
                "intermediate_size": int(clip.hidden_size * clip.mlp_ratio),
                "num_hidden_layers": clip.num_hidden_layers,
                "num_attention_heads": clip.num_attention_heads,
            },
        },
        text_config={
            name: getattr(ours, name)
            for name in (
                "vocab_size", "hidden_size", "intermediate_size", "moe_intermediate_size",
                "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                "n_routed_experts", "n_shared_experts", "num_experts_per_tok",
                "max_position_embeddings",
            )
        } | {"layer_types": ["full_attention"] * ours.num_hidden_layers} | text,
        image_token_id=config.image_token_id,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ours():
    return randomized(tiny_config())


@pytest.fixture(scope="module")
def oracle(ours, tmp_path_factory):
    return load_oracle(ours, oracle_config(ours.config), tmp_path_factory.mktemp("weights"))


def load_oracle(ours, config, folder):
    ours.save_pretrained(folder)
    (folder / "config.json").unlink()  # theirs has another layout
    config.save_pretrained(folder)
    oracle, report = transformers.UnlimitedOcrForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, key_mapping=None
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return oracle.eval()


def tokens(grid) -> int:
    columns, rows = grid
    tiles = rows * (columns + 1) if columns * rows > 1 else 0
    return 2 * 3 + 1 + tiles


def five_unlike_rows(side: str):
    """No picture; one without tiles; 2 x 1 tiles; two pictures; 2 x 3 tiles and a long text."""
    torch.manual_seed(1)
    grids = [[], [(1, 1)], [(2, 1)], [(1, 1), (3, 2)], [(2, 3)]]
    rows = []
    for index, row_grids in enumerate(grids):
        ids = [0, *torch.randint(2, 290, (3 + 7 * index,)).tolist()]
        for grid in row_grids:
            ids += [IMAGE] * tokens(grid) + torch.randint(2, 290, (2,)).tolist()
        rows.append(ids)
    length = max(map(len, rows))
    ids = torch.full((5, length), 2)
    mask = torch.zeros(5, length, dtype=torch.long)
    for row, values in enumerate(rows):
        at = slice(length - len(values), None) if side == "left" else slice(0, len(values))
        ids[row, at], mask[row, at] = torch.tensor(values), 1
    flat = [grid for row_grids in grids for grid in row_grids]
    num_tiles = sum(c * r for c, r in flat if c * r > 1)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.rand(len(flat), 3, OVERVIEW, OVERVIEW) * 2 - 1,
        "tile_values": torch.rand(num_tiles, 3, TILE, TILE) * 2 - 1,
        "tile_grids": torch.tensor(flat),
    }


def oracle_logits(oracle, inputs):
    grids = inputs["tile_grids"].tolist()
    mask = inputs["attention_mask"]
    return oracle(
        input_ids=inputs["input_ids"],
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        pixel_values=inputs["pixel_values"],
        pixel_values_local=inputs["tile_values"],
        num_local_patches=[c * r if c * r > 1 else 0 for c, r in grids],
        patches_grid=grids,
    ).logits


def assert_same(found, expected, mask):
    real = mask.bool()
    error = (found - expected)[real].abs().max()
    assert error <= 1e-4 * expected[real].abs().max()


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_of_five_unlike_rows_gives_the_logits_of_transformers(ours, oracle, side):
    inputs = five_unlike_rows(side)
    assert_same(ours(**inputs).logits, oracle_logits(oracle, inputs), inputs["attention_mask"])


@torch.no_grad()
def test_grouped_heads_give_the_logits_of_transformers(tmp_path):
    config = tiny_config()
    text = config.text_config.to_dict() | {"hidden_size": 80, "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
    config = DeepseekOcrConfig(
        sam_config=config.sam_config, clip_config=config.clip_config,
        text_config={k: text[k] for k in ("vocab_size", "hidden_size", "intermediate_size", "moe_intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "n_routed_experts", "num_experts_per_tok", "max_position_embeddings")},
        image_token_id=IMAGE,
    )  # fmt: skip
    ours = randomized(config)
    oracle = load_oracle(ours, oracle_config(config), tmp_path)
    inputs = five_unlike_rows("left")
    assert_same(ours(**inputs).logits, oracle_logits(oracle, inputs), inputs["attention_mask"])


@torch.no_grad()
@pytest.mark.parametrize("extra", [{}, {"mscale": 1.0, "mscale_all_dim": 0.8}, {"beta_fast": 16, "beta_slow": 2, "truncate": False}])  # fmt: skip
def test_yarn_gives_the_logits_of_transformers(ours, tmp_path, extra):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, **extra}
    before = ours.config.text_config.rope_scaling
    ours.config.text_config.rope_scaling = yarn
    try:
        stretched = DeepseekOcrForConditionalGeneration(ours.config).eval()
        stretched.load_state_dict(ours.state_dict())
        theirs = oracle_config(ours.config, rope_parameters=yarn | {"rope_theta": 10000.0})
        oracle = load_oracle(stretched, theirs, tmp_path)
        inputs = five_unlike_rows("right")
        found, expected = stretched(**inputs).logits, oracle_logits(oracle, inputs)
        assert_same(found, expected, inputs["attention_mask"])
        plain = ours(**inputs).logits  # and it is not the same as without
        assert (found - plain).abs().max() > 1e-3 * plain.abs().max()
    finally:
        ours.config.text_config.rope_scaling = before
