"""Routers and latent attention agree with transformers' DeepseekV2 and V3, and with plain loops."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils._pytree import tree_map_only
from transformers import DeepseekV2Config, DeepseekV2Model, DeepseekV3Config, DeepseekV3Model
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from deepseek_ocr.model import DeepseekOcrConfig, DeepseekOcrModel, TextConfig
from deepseek_ocr.model.language import (
    DecoderLayer,
    Experts,
    MixtureOfExperts,
    Router,
    count_choices,
    expert_load,
    load_balance,
)
from deepseek_ocr.model.rotary import Rotary

WIDTH, EXPERTS, CHOSEN, GROUPS = 32, 16, 4, 4
SIZES = {
    "vocab_size": 64, "hidden_size": WIDTH, "intermediate_size": 48, "moe_intermediate_size": 16,
    "num_hidden_layers": 3, "num_attention_heads": 4, "n_routed_experts": EXPERTS,
    "num_experts_per_tok": CHOSEN, "n_group": GROUPS, "topk_group": 2, "max_position_embeddings": 64,
}  # fmt: skip
LATENT = {"use_mla": True, "kv_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 6, "v_head_dim": 10}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 16, "mscale": 0.7, "mscale_all_dim": 0.5}  # fmt: skip


def router(**changes) -> Router:
    torch.manual_seed(3)
    made = Router(TextConfig(**SIZES | changes))
    with torch.no_grad():
        made.weight.normal_()
        if made.method == "noaux_tc":
            made.e_score_correction_bias.normal_(std=0.3)
    return made


def by_expert(chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weights laid out over all experts, so that the order of the choice does not matter."""
    return torch.zeros(*chosen.shape[:-1], EXPERTS).scatter(-1, chosen, weights)


@torch.no_grad()
@pytest.mark.parametrize("method", ["greedy", "group_limited_greedy"])
def test_softmax_routers_choose_as_deepseek_v2(method):
    ours = router(topk_method=method, routed_scaling_factor=2.5)
    config = DeepseekV2Config(**SIZES, topk_method=method, routed_scaling_factor=2.5)
    theirs = DeepseekV2TopkRouter(config)
    theirs.weight.copy_(ours.weight)
    x = torch.randn(2, 9, WIDTH)
    _, chosen, weights = ours(x)
    _, their_weights, their_chosen = theirs(x)
    found = by_expert(chosen, weights).flatten(0, 1)
    torch.testing.assert_close(found, by_expert(their_chosen, their_weights))


@torch.no_grad()
@pytest.mark.parametrize("normalize", [True, False])
def test_sigmoid_noaux_tc_chooses_as_deepseek_v3(normalize):
    ours = router(topk_method="noaux_tc", scoring_func="sigmoid", norm_topk_prob=normalize, routed_scaling_factor=2.5)  # fmt: skip
    config = DeepseekV3Config(**SIZES, norm_topk_prob=normalize, routed_scaling_factor=2.5)
    theirs = DeepseekV3TopkRouter(config)
    theirs.weight.copy_(ours.weight)
    theirs.e_score_correction_bias.copy_(ours.e_score_correction_bias)
    x = torch.randn(2, 9, WIDTH)
    _, chosen, weights = ours(x)
    _, their_weights, their_chosen = theirs(x)
    found = by_expert(chosen, weights).flatten(0, 1)
    torch.testing.assert_close(found, by_expert(their_chosen, their_weights))


@torch.no_grad()
@pytest.mark.parametrize(
    "method, scoring, normalize",
    list(
        itertools.product(
            ["greedy", "group_limited_greedy", "noaux_tc"], ["softmax", "sigmoid"], [False, True]
        )
    ),
)
def test_every_router_chooses_as_a_plain_loop(method, scoring, normalize):
    ours = router(topk_method=method, scoring_func=scoring, norm_topk_prob=normalize, routed_scaling_factor=1.7)  # fmt: skip
    x = torch.randn(1, 20, WIDTH)
    _, chosen, weights = ours(x)
    for token in range(20):
        expected = plain_choice(ours, x[0, token], method, scoring, normalize)
        found = dict(zip(chosen[0, token].tolist(), weights[0, token].tolist(), strict=True))
        assert found.keys() == expected.keys()
        for expert, weight in expected.items():
            assert found[expert] == pytest.approx(weight, rel=1e-5)


def plain_choice(ours, x, method, scoring, normalize) -> dict[int, float]:
    logits = (ours.weight @ x).tolist()
    if scoring == "softmax":
        exponentials = torch.tensor(logits, dtype=torch.float64).exp()
        scores = (exponentials / exponentials.sum()).tolist()
    else:
        scores = torch.tensor(logits, dtype=torch.float64).sigmoid().tolist()
    biased = list(scores)
    if method == "noaux_tc":
        biased = [s + b for s, b in zip(scores, ours.e_score_correction_bias.tolist(), strict=True)]
    allowed = range(EXPERTS)
    if method != "greedy":
        size = EXPERTS // GROUPS
        best = 2 if method == "noaux_tc" else 1
        ranks = [
            sum(sorted(biased[g * size : (g + 1) * size], reverse=True)[:best])
            for g in range(GROUPS)
        ]
        kept = sorted(range(GROUPS), key=lambda g: -ranks[g])[:2]
        allowed = [e for e in range(EXPERTS) if e // size in kept]
    chosen = sorted(allowed, key=lambda e: -biased[e])[:CHOSEN]
    total = sum(scores[e] for e in chosen) if normalize else 1.0
    return {e: scores[e] / total * 1.7 for e in chosen}


@torch.no_grad()
def test_experts_are_the_weighted_sum_of_a_plain_loop():
    torch.manual_seed(0)
    config = TextConfig(**SIZES)
    experts = Experts(config)
    experts.gate_up_proj.normal_(std=0.2)
    experts.down_proj.normal_(std=0.2)
    x = torch.randn(11, WIDTH)
    chosen = torch.stack([torch.randperm(EXPERTS)[:CHOSEN] for _ in range(11)])
    weights = torch.rand(11, CHOSEN)
    expected = torch.zeros_like(x)
    for token, (row, row_weights) in enumerate(zip(chosen, weights, strict=True)):
        for expert, weight in zip(row.tolist(), row_weights.tolist(), strict=True):
            gate, up = (experts.gate_up_proj[expert] @ x[token]).chunk(2)
            hidden = torch.nn.functional.silu(gate) * up
            expected[token] += weight * (experts.down_proj[expert] @ hidden)
    torch.testing.assert_close(experts(x, chosen, weights), expected)


def text_model(**changes) -> DeepseekOcrModel:
    """Only the decoder is used; the encoders are as small as they may be."""
    torch.manual_seed(5)
    config = DeepseekOcrConfig(
        sam_config={"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "out_channels": 4, "downsample_channels": [4, 8], "image_size": 64},
        clip_config={"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1},
        text_config=SIZES | changes,
        image_token_id=63,
    )  # fmt: skip
    model = DeepseekOcrModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1).add_(1.0 if parameter.ndim == 1 else 0.0)
    return model


def copied(ours: DeepseekOcrModel, theirs: torch.nn.Module) -> torch.nn.Module:
    weights = {n: t for n, t in ours.state_dict().items() if n.split(".")[0] in ("layers", "norm", "embed_tokens")}  # fmt: skip
    report = theirs.load_state_dict(weights, strict=True)
    assert not report.missing_keys
    return theirs.eval()


@torch.no_grad()
@pytest.mark.parametrize("q_lora_rank", [None, 20])
@pytest.mark.parametrize("yarn", [None, YARN])
@pytest.mark.parametrize("version", [2, 3])
def test_latent_attention_gives_the_states_of_deepseek(version, q_lora_rank, yarn):
    latent = LATENT | {"q_lora_rank": q_lora_rank}
    rope = (yarn or {"rope_type": "default"}) | {"rope_theta": 10000.0}
    shared = SIZES | {k: v for k, v in latent.items() if k != "use_mla"} | {"first_k_dense_replace": 1, "rope_parameters": rope, "n_shared_experts": 2, "num_key_value_heads": 4, "rms_norm_eps": 1e-6}  # fmt: skip
    if version == 2:
        ours = text_model(topk_method="group_limited_greedy", rope_scaling=yarn, **latent)
        theirs = DeepseekV2Model(DeepseekV2Config(**shared, topk_method="group_limited_greedy"))
    else:
        ours = text_model(topk_method="noaux_tc", scoring_func="sigmoid", norm_topk_prob=True, routed_scaling_factor=2.5, rope_scaling=yarn, **latent)  # fmt: skip
        theirs = DeepseekV3Model(DeepseekV3Config(**shared, norm_topk_prob=True, routed_scaling_factor=2.5))  # fmt: skip
    copied(ours, theirs)
    ids = torch.randint(0, 60, (2, 12))
    expected = theirs(input_ids=ids).last_hidden_state
    found = ours(input_ids=ids).last_hidden_state
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@torch.no_grad()
def test_latent_attention_with_a_cache_is_the_same():
    ours = text_model(**LATENT, q_lora_rank=20)
    ids = torch.randint(0, 60, (2, 12))
    whole = ours(input_ids=ids).last_hidden_state
    first = ours(input_ids=ids[:, :7], use_cache=True)
    rest = ours(input_ids=ids[:, 7:], past_key_values=first.past_key_values, use_cache=True)
    found = torch.cat([first.last_hidden_state, rest.last_hidden_state], dim=1)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


def balance_of(scores, chosen, samples) -> torch.Tensor:
    return load_balance(scores, count_choices(chosen, samples, EXPERTS), samples)


def test_balance_is_one_when_even_and_counts_no_padding():
    scores = torch.full((1, 8, EXPERTS), 1 / EXPERTS)
    even = torch.arange(8 * CHOSEN).remainder(EXPERTS).view(1, 8, CHOSEN)
    assert balance_of(scores, even, torch.ones(1, 8, dtype=torch.bool)).item() == pytest.approx(1.0)
    torch.manual_seed(0)
    scores, chosen = torch.rand(1, 5, EXPERTS), torch.randint(0, EXPERTS, (1, 5, CHOSEN))
    longer = torch.cat([scores, torch.rand(1, 3, EXPERTS)], dim=1)
    padded = torch.cat([chosen, torch.zeros(1, 3, CHOSEN, dtype=torch.long)], dim=1)
    real = torch.tensor([[True] * 5 + [False] * 3])
    assert balance_of(longer, padded, real).item() == pytest.approx(
        balance_of(scores, chosen, real[:, :5]).item()
    )


def test_each_sample_of_a_row_has_its_own_balance():
    torch.manual_seed(0)
    scores, chosen = torch.rand(1, 9, EXPERTS), torch.randint(0, EXPERTS, (1, 9, CHOSEN))
    samples = torch.zeros(3, 9, dtype=torch.bool)
    samples[0, :4] = samples[1, 4:7] = True  # the third has no tokens, and the last two are padding
    found = balance_of(scores, chosen, samples)
    for number, at in enumerate((slice(0, 4), slice(4, 7))):
        length = at.stop - at.start
        alone = balance_of(scores[:, at], chosen[:, at], torch.ones(1, length, dtype=torch.bool))
        assert found[number].item() == pytest.approx(alone.item())
    assert found[2] == 0


def test_the_load_of_the_experts_is_their_share_of_the_choices_of_real_tokens():
    chosen = torch.tensor([[[0, 1], [0, 2], [3, 4]]])
    hits = count_choices(chosen, torch.tensor([[True, True, False]]), 5)
    assert hits.tolist() == [[2, 1, 1, 0, 0]]
    assert expert_load(hits).tolist() == [0.5, 0.25, 0.25, 0, 0]
    assert expert_load(torch.zeros(2, 5)).tolist() == [0] * 5


def test_all_experts_get_a_gradient_from_one_stacked_tensor():
    layer = MixtureOfExperts(TextConfig(**SIZES))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    out, _, _ = layer(torch.randn(4, 40, WIDTH), None, False)
    out.square().sum().backward()
    assert (layer.experts.down_proj.grad.flatten(1).norm(dim=1) > 0).all()
    assert layer.gate.weight.grad.norm() > 0


def test_what_a_layer_gets_beside_its_states_is_not_rounded_by_mixed_precision():
    """FSDP rounds every floating tensor that it finds in the arguments of a layer."""
    config = TextConfig(**SIZES)
    layer = DecoderLayer(config, 1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    rotation = Rotary(config)(torch.arange(1000, 1006)[None])
    samples = torch.ones(1, 6, dtype=torch.bool)
    arguments = (torch.randn(1, 6, WIDTH), rotation, None, None, samples, True)
    rounded = tree_map_only(torch.Tensor, lambda t: t.bfloat16() if t.is_floating_point() else t, arguments)  # fmt: skip
    assert rounded[0].dtype == torch.bfloat16
    assert rounded[1] is rotation and rounded[4] is samples
    out, balance, load = layer.to(torch.bfloat16)(*rounded)
    assert out.dtype == torch.bfloat16
    assert balance.dtype == load.dtype == torch.float32
