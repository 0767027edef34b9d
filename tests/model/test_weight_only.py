"""Weights of eight and four bits stand for the weights that they were made from, closely."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.inference.engine import load_engine
from deepseek_ocr.model.experts import Experts
from deepseek_ocr.model.presets import untrained
from deepseek_ocr.model.weight_only import (
    GROUP,
    PackedMatrices,
    WeightOnlyExperts,
    WeightOnlyLinear,
    pack_bytes,
    pack_nibbles,
    quantize_weights,
    unpack_nibbles,
    with_quantized_weights,
)
from tests.conftest import tiny_config

BITS = pytest.mark.parametrize("bits", [8, 4])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-20, 1e-3, 1.0, 1e4]))
def test_a_weight_of_eight_bits_is_half_a_step_off_at_most(seed, size):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(5, 48, generator=generator) * size
    codes, scales = pack_bytes(weight)
    assert codes.dtype == torch.int8
    error = (codes.float() * scales[:, None] - weight).abs()
    assert (error <= scales[:, None] * 0.5001).all()
    assert (codes.abs().amax(1) == 127).all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-20, 1e-3, 1.0, 1e4]))
def test_a_weight_of_four_bits_is_one_step_off_at_most_and_the_largest_is_exact(seed, size):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(5, 3 * GROUP, generator=generator) * size
    codes, scales = pack_nibbles(weight)
    assert codes.shape == (5, 3 * GROUP // 2)
    found = unpack_nibbles(codes, scales).unflatten(1, (-1, GROUP))
    groups = weight.unflatten(1, (-1, GROUP))
    assert ((found - groups).abs() <= scales.abs()[..., None] * 1.0001).all()
    largest = groups.abs().argmax(2, keepdim=True)
    torch.testing.assert_close(found.gather(2, largest), groups.gather(2, largest))


@BITS
def test_a_row_of_zeros_stays_zero(bits):
    packed = PackedMatrices(torch.zeros(3, 64), bits)
    assert packed.multiply(torch.ones(2, 64)).eq(0).all()


@BITS
def test_a_linear_layer_keeps_its_bias_and_shape(bits):
    torch.manual_seed(0)
    linear = nn.Linear(64, 9000)  # more rows than are unpacked at a time
    x = torch.randn(2, 3, 64)
    found, expected = WeightOnlyLinear(linear, bits)(x), linear(x)
    assert found.shape == expected.shape
    assert (found - expected).std() < (0.01 if bits == 8 else 0.12) * expected.std()


@BITS
def test_experts_answer_as_those_they_were_made_from(bits):
    torch.manual_seed(0)
    config = tiny_config().text_config
    config.hidden_size = config.moe_intermediate_size = 64
    experts = Experts(config)
    with torch.no_grad():
        for parameter in experts.parameters():
            parameter.normal_(std=0.1)
    x = torch.randn(11, config.hidden_size)
    scores = torch.rand(11, config.n_routed_experts)
    weights, chosen = scores.topk(config.num_experts_per_tok)
    packed = WeightOnlyExperts(experts, bits)
    found, expected = packed(x, chosen, weights), experts(x, chosen, weights)
    assert (found - expected).std() < (0.02 if bits == 8 else 0.25) * expected.std()
    # and exactly as experts that have the unpacked weights
    with torch.no_grad():
        for name in ("gate_up_proj", "down_proj"):
            own, stack = getattr(packed, name), getattr(experts, name)
            unit = torch.eye(stack.shape[-1])
            stack.copy_(torch.stack([own.multiply(unit, i).T for i in range(len(stack))]))
    torch.testing.assert_close(found, experts(x, chosen, weights), atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def nano():
    return untrained("nano-untrained", seed=3)[0]


def packed_bytes(model) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_every_linear_layer_of_the_decoder_and_the_head_is_packed(nano):
    model = copy.deepcopy(nano)
    vision = packed_bytes(model.model.sam_model) + packed_bytes(model.model.vision_model)
    decoder = packed_bytes(model.model.layers) + packed_bytes(model.lm_head)
    quantize_weights(model, "int8")
    assert not any(type(m) in (nn.Linear, Experts) for m in model.model.layers.modules())
    assert type(model.lm_head) is WeightOnlyLinear
    assert type(model.model.embed_tokens) is nn.Embedding
    assert packed_bytes(model.model.sam_model) + packed_bytes(model.model.vision_model) == vision
    # from float32; scales, norms and routers are what is above a quarter
    assert packed_bytes(model.model.layers) + packed_bytes(model.lm_head) < 0.27 * decoder


@torch.no_grad()
def test_scales_stay_exact_when_the_model_changes_its_format(nano):
    model = copy.deepcopy(nano)
    quantize_weights(model, "int8")
    ids = torch.arange(30, 50)[None]
    expected = model(input_ids=ids).logits
    found = model.bfloat16()(input_ids=ids).logits
    assert model.lm_head.packed.scales.dtype == torch.float32
    assert (found - expected).std() < 0.03 * expected.std()


@torch.no_grad()
def test_an_adapter_becomes_part_of_the_packed_weights(nano):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(copy.deepcopy(nano), LoraConfig(target_modules=["q_proj", "v_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.2)
    ids = torch.arange(30, 50)[None]
    plain, expected = nano(input_ids=ids).logits, adapted(input_ids=ids).logits
    found = with_quantized_weights(adapted, "int8")(input_ids=ids).logits
    assert (found - expected).std() < 0.1 * (plain - expected).std()


def test_the_engine_reads_with_packed_weights():
    engine = load_engine("nano-untrained", device="cpu", mode="tiny", quantize="int8")
    assert type(engine.model.lm_head) is WeightOnlyLinear
    (result,) = engine.generate([([], "some words")], max_new_tokens=3)
    assert result.num_tokens or result.status == "empty"


def test_what_cannot_be_packed_is_refused(nano):
    with pytest.raises(UsageError, match="unknown quantize 'int3'; known: int8, int4, or None"):
        load_engine("no-such-folder", quantize="int3")
    before = list(map(id, nano.modules()))
    with pytest.raises(UserError, match="int4 needs rows of a multiple of 32 weights"):
        with_quantized_weights(nano, "int4")  # nano's experts are 112 wide
    assert list(map(id, nano.modules())) == before


def test_packing_leaves_the_weights_as_they_were():
    matrix = torch.randn(9, 64)
    before = matrix.clone()
    pack_bytes(matrix)
    pack_nibbles(matrix)
    assert torch.equal(matrix, before)
