"""Samples laid end to end in a row mean what they mean in rows of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
from deepseek_ocr.model.masking import segment_positions, segment_spans
from tests.conftest import tiny_config

IGNORE, IMAGE = -100, 300
OVERVIEW, TILE = 128, 64  # 2 x 2 and 1 x 1 image tokens
GRIDS = [(), ((1, 1),), ((2, 1),), ((1, 1), (1, 2))]
"""The pictures of a sample: none, one, one with tiles, two."""
LATENT = {"use_mla": True, "kv_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 6, "v_head_dim": 10}  # fmt: skip


def make_model(**text) -> DeepseekOcrForConditionalGeneration:
    torch.manual_seed(0)
    config = tiny_config()
    for name, value in text.items():
        setattr(config.text_config, name, value)
    model = DeepseekOcrForConditionalGeneration(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.config.balance_loss_weight = 0.01
    return model


MODELS = {"plain": {}, "grouped": {"num_key_value_heads": 1}, "latent": LATENT}


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> DeepseekOcrForConditionalGeneration:
    return make_model(**MODELS[request.param])


def num_image_tokens(grid: tuple[int, int]) -> int:
    columns, rows = grid
    return 7 + (rows * (columns + 1) if columns * rows > 1 else 0)


def sample(seed: int) -> dict[str, Tensor]:
    """One row: BOS, its pictures' tokens, a prompt, an answer whose labels have weights."""
    draw = torch.Generator().manual_seed(seed)
    grids = GRIDS[seed % len(GRIDS)]
    text = torch.randint(2, 290, (4 + seed % 5 + seed % 7,), generator=draw)
    image_tokens = sum(map(num_image_tokens, grids))
    ids = torch.cat([torch.zeros(1).long(), torch.full((image_tokens,), IMAGE), text])[None]
    labels = ids.clone()
    labels[:, : image_tokens + 3] = IGNORE
    tiles = sum(c * r for c, r in grids if c * r > 1)
    return {
        "input_ids": ids,
        "labels": labels,
        "label_weights": torch.rand(ids.shape, generator=draw) + 0.5,
        "pixel_values": torch.rand(len(grids), 3, OVERVIEW, OVERVIEW, generator=draw) * 2 - 1,
        "tile_values": torch.rand(tiles, 3, TILE, TILE, generator=draw) * 2 - 1,
        "tile_grids": torch.tensor(grids, dtype=torch.long).view(-1, 2),
    }


VIEWS = ("pixel_values", "tile_values", "tile_grids")
FILLERS = {"input_ids": 2, "labels": IGNORE, "label_weights": 1.0}


def padded(rows: list[dict[str, Tensor]], extra: int = 0) -> dict[str, Tensor]:
    """Rows of one batch, padded on the right, with their mask."""
    rows = [row | {"attention_mask": torch.ones_like(row["input_ids"])} for row in rows]
    length = max(row["input_ids"].shape[1] for row in rows) + extra
    fillers = FILLERS | {"attention_mask": 0} | ({"segment_ids": 0} if "segment_ids" in rows[0] else {})  # fmt: skip
    batch = {
        name: torch.cat(
            [torch.nn.functional.pad(row[name], (0, length - row[name].shape[1]), value=filler) for row in rows]
        )
        for name, filler in fillers.items()
    }  # fmt: skip
    return batch | {name: torch.cat([row[name] for row in rows]) for name in VIEWS}


def packed(packs: list[list[dict[str, Tensor]]], extra: int = 0) -> dict[str, Tensor]:
    """Each pack as one row, its samples end to end."""
    rows = []
    for pack in packs:
        row = {name: torch.cat([one[name] for one in pack], dim=1) for name in FILLERS}
        row["segment_ids"] = torch.cat(
            [torch.full_like(one["input_ids"], n) for n, one in enumerate(pack, start=1)], dim=1
        )
        rows.append(row | {name: torch.cat([one[name] for one in pack]) for name in VIEWS})
    return padded(rows, extra)


def learn(model, batch):
    """The output, the gradients, and the choices of each router, position by position."""
    chosen: list[Tensor] = []
    hooks = [
        layer.mlp.gate.register_forward_hook(lambda *a: chosen.append(a[-1][1].sort(-1).values))
        for layer in model.model.layers[1:]
    ]
    model.zero_grad()
    output = model(**batch, label_smoothing=0.1)
    output.loss.backward()
    for hook in hooks:
        hook.remove()
    real = batch["attention_mask"].bool()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return output, gradients, [choices[real] for choices in chosen]


def assert_same_learning(model, rows, packs) -> None:
    expected, gradients, choices = learn(model, rows)
    found, found_gradients, found_choices = learn(model, packs)
    for name in ("loss", "balance_loss", "expert_load"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), atol=1e-6, rtol=1e-5
        )
    assert all(map(torch.equal, found_choices, choices))
    assert found_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = gradient.abs().max().item() + 1e-6
        assert (found_gradients[name] - gradient).abs().max().item() <= 1e-4 * scale, name


# --- packed is separate -------------------------------------------------------------------------


@settings(max_examples=8)
@given(
    packs=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), min_size=1, max_size=3),
    extra=st.integers(0, 3),
)
def test_packed_rows_learn_as_rows_of_their_own(model, packs, extra):
    samples = [[sample(seed) for seed in pack] for pack in packs]
    separate = [one for pack in samples for one in pack]
    assert_same_learning(model, padded(separate), packed(samples, extra))


@torch.no_grad()
def test_packed_logits_are_those_of_the_samples_alone(model):
    samples = [sample(seed) for seed in (3, 1, 2, 0)]
    batch = packed([samples], extra=2)
    logits = model(**batch, with_logits=True).logits
    for number, one in enumerate(samples, start=1):
        alone = model(**one, with_logits=True).logits
        found = logits[batch["segment_ids"] == number]
        torch.testing.assert_close(found, alone[0], atol=1e-5, rtol=0)


def test_packing_with_recomputed_layers_is_the_same(model):
    batch = packed([[sample(1), sample(2)], [sample(0)]])
    expected, gradients, _ = learn(model, batch)
    model.gradient_checkpointing_enable()
    try:
        found, found_gradients, _ = learn(model, batch)
    finally:
        model.gradient_checkpointing_disable()
    torch.testing.assert_close(found.loss, expected.loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, atol=1e-6, rtol=1e-4)


def test_what_one_segment_says_does_not_reach_another(model):
    first, second = sample(5), sample(6)
    changed = copy.deepcopy(first)
    changed["input_ids"][:, -2:] = 7
    with torch.no_grad():
        before, after = (
            model(**packed([[one, second]]), with_logits=True).logits[:, first["labels"].shape[1] :]
            for one in (first, changed)
        )
    assert torch.equal(before, after)


def test_no_mask_over_the_whole_row_is_made(model, monkeypatch):
    lengths = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, attn_mask=None, **options):
        assert attn_mask is None
        lengths.append(q.shape[2])
        return plain(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    samples = [sample(seed) for seed in (0, 4, 8)]
    with torch.no_grad():
        model.model.eval()(**without_views(packed([samples])))
    model.train()
    assert lengths == [s["input_ids"].shape[1] for s in samples] * len(model.model.layers)


def without_views(batch):
    return {name: value for name, value in batch.items() if name not in VIEWS}


# --- the pieces ---------------------------------------------------------------------------------


def test_positions_start_anew_in_each_segment():
    segments = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 0]])
    assert segment_positions(segments).tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 0, 1, 2, 3, 0]]


def test_spans_cover_every_position_once():
    segments = torch.tensor([[1, 1, 1, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 3]])
    assert segment_spans(segments).spans == (
        (0, 0, 3), (0, 3, 5), (0, 5, 7), (1, 0, 1), (1, 1, 2), (1, 2, 7),
    )  # fmt: skip


# --- pictures that were encoded before ----------------------------------------------------------


def encoded(model, batch) -> dict[str, Tensor]:
    """The batch with image tokens in place of its views."""
    with torch.no_grad():
        images = model.encode_images(*(batch[name] for name in VIEWS))
    return without_views(batch) | {"image_embeds": torch.cat(images)}


def test_image_embeds_stand_for_the_pictures(model):
    batch = packed([[sample(1), sample(3)], [sample(2)]])
    with torch.no_grad():
        expected = model(**batch, with_logits=True)
        found = model(**encoded(model, batch), with_logits=True)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.loss, expected.loss)


def test_image_embeds_generate_as_the_pictures_do(model):
    batch = sample(1)
    inputs = {name: batch[name] for name in ("input_ids", *VIEWS)}
    model.eval()
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    expected = model.generate(**inputs, **settings)
    found = model.generate(**encoded(model, inputs), **settings)
    model.train()
    assert found.tolist() == expected.tolist()


def test_image_embeds_that_do_not_fit_are_refused(model):
    batch = encoded(model, padded([sample(1)]))
    tokens = batch["image_embeds"]
    with pytest.raises(ValueError, match="reserve 7 image tokens but image_embeds hold 6"):
        model(**batch | {"image_embeds": tokens[1:]})
    with pytest.raises(ValueError, match=r"of shape \(1, 7, \d+\), expected \(image tokens, \d+\)"):
        model(**batch | {"image_embeds": tokens[None]})
    with pytest.raises(ValueError, match="either image_embeds or pixel_values, not both"):
        model(**padded([sample(1)]), image_embeds=tokens)
    with pytest.raises(ValueError, match="image_embeds or pixel_values need input_ids"):
        model(inputs_embeds=torch.zeros(1, 3, tokens.shape[1]), image_embeds=tokens)


def test_packed_rows_have_no_cache(model):
    batch = without_views(packed([[sample(0), sample(4)]]))
    with pytest.raises(ValueError, match="segment_ids are for training: packed rows have no cache"):
        model(**batch, use_cache=True)
    with pytest.raises(ValueError, match=r"segment_ids of shape \(1, 3\), expected \(1, \d+\)"):
        model(**batch | {"segment_ids": torch.ones(1, 3, dtype=torch.long)})
