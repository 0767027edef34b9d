"""Weights of four bits: the same products as with the rounded weights, in a quarter of the bytes."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepseek_ocr.errors import UsageError
from deepseek_ocr.model import quantization
from deepseek_ocr.model.config_parts import TextConfig
from deepseek_ocr.model.experts import Experts
from deepseek_ocr.model.quantization import (
    PackedWeights,
    QuantizedExperts,
    QuantizedLinear,
    packed_linear,
    quantize_decoder,
)
from tests.training.samples import small_model

CPU = torch.device("cpu")


def unpacked(packed: PackedWeights, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.stack([packed.unpack(i, dtype) for i in range(packed.shape[0])])


@pytest.fixture(scope="module")
def experts() -> tuple[Experts, QuantizedExperts]:
    """Experts with rounded weights, and the same in four bits."""
    torch.manual_seed(0)
    config = TextConfig(
        hidden_size=48,
        num_attention_heads=2,
        num_key_value_heads=2,
        moe_intermediate_size=24,
        n_routed_experts=4,
        num_experts_per_tok=2,
    )
    plain = Experts(config)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.1)
    packed = QuantizedExperts(plain, CPU)
    plain.gate_up_proj.data = unpacked(packed.gate_up_proj)
    plain.down_proj.data = unpacked(packed.down_proj)
    return plain, packed


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40).map(lambda n: 2 * n)),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_matrix_comes_back_near_what_it_was_whatever_its_shape(shape, dtype):
    torch.manual_seed(0)
    weights = torch.randn(shape)
    found = unpacked(PackedWeights(weights, CPU), dtype)
    assert found.shape == weights.shape and found.dtype == dtype
    largest = float(weights.abs().max())
    assert float((found.float() - weights).abs().max()) < 0.2 * largest  # half a step of NF4's


def test_each_matrix_of_a_stack_is_packed_by_itself():
    torch.manual_seed(0)
    weights = torch.randn(3, 10, 14) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    together = PackedWeights(weights, CPU)
    for index in range(3):
        alone = PackedWeights(weights[index : index + 1], CPU)
        assert torch.equal(together.unpack(index, torch.float32), alone.unpack(0, torch.float32))


def test_bytes_are_about_a_quarter_of_sixteen_bits():
    packed = PackedWeights(torch.randn(2, 896, 128), CPU)
    num_bytes = sum(p.numel() * p.element_size() for p in packed.parameters())
    assert num_bytes / (packed.num_weights * 2) < 0.26


def test_a_linear_layer_is_that_of_the_rounded_weights_forward_and_backward():
    torch.manual_seed(0)
    plain = nn.Linear(40, 24)
    packed = QuantizedLinear(copy.deepcopy(plain), CPU)
    plain.weight.data = packed.packed.unpack(0, torch.float32)
    x = torch.randn(3, 5, 40)
    outputs, gradients = [], []
    for layer in (plain, packed):
        given_x = x.clone().requires_grad_()
        outputs.append(layer(given_x))
        outputs[-1].square().sum().backward()
        gradients.append(given_x.grad)
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("tokens", [1, 2, 30])
def test_experts_are_those_of_the_rounded_weights_forward_and_backward(experts, tokens):
    torch.manual_seed(1)
    x, weights = torch.randn(tokens, 48), torch.rand(tokens, 2)
    chosen = torch.stack([torch.randperm(4)[:2] for _ in range(tokens)])
    outputs, gradients = [], []
    for layer in experts:
        given_x, given_weights = x.clone().requires_grad_(), weights.clone().requires_grad_()
        outputs.append(layer(given_x, chosen, given_weights))
        outputs[-1].square().sum().backward()
        gradients.append((given_x.grad, given_weights.grad))
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_nothing_of_a_weight_s_full_size_is_kept_for_the_backward_pass(experts):
    _, packed = experts
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    x = torch.randn(6, 48, requires_grad=True)
    chosen = torch.tensor([[0, 1]] * 6)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        packed(x, chosen, torch.ones(6, 2))
    one_expert = 48 * 48
    assert kept and max(kept) < one_expert


def test_reading_does_not_change_the_weights_or_stop_gradients():
    torch.manual_seed(0)
    layer = QuantizedLinear(nn.Linear(32, 16), CPU)
    before = {name: p.clone() for name, p in layer.named_parameters()}
    x = torch.randn(4, 32)
    trained = layer(x)
    with torch.no_grad():
        read = layer.eval()(x)
    assert torch.equal(read, trained)
    assert all(torch.equal(p, before[name]) for name, p in layer.named_parameters())
    layer.train()
    layer(x.requires_grad_()).sum().backward()
    assert x.grad.abs().sum() > 0


def test_under_autocast_the_product_is_in_its_format():
    layer = PackedWeights(torch.randn(1, 8, 16), CPU)
    x = torch.randn(2, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = packed_linear(x, layer)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert x.grad.dtype == torch.float32


def test_the_decoder_s_layers_and_experts_are_replaced_and_nothing_else():
    model = small_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    kept = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    quantize_decoder(model, CPU)
    for name, module in kept.items():
        replaced = isinstance(model.get_submodule(name), QuantizedLinear)
        assert replaced == name.startswith("model.layers."), name
        assert replaced or model.get_submodule(name) is module
    sparse = [m for m in model.modules() if isinstance(m, QuantizedExperts)]
    assert len(sparse) == 1 and not any(isinstance(m, Experts) for m in model.modules())
    for name, parameter in model.named_parameters():
        assert name not in before or torch.equal(parameter, before[name]), name


def test_a_device_that_cannot_is_a_usage_error():
    with pytest.raises(UsageError, match="need a CPU or CUDA, not mps; use --tune lora"):
        quantize_decoder(small_model(), torch.device("mps"))


def test_without_bitsandbytes_the_error_says_how_to_get_it(monkeypatch):
    quantization._functional.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--tune qlora: needs bitsandbytes; run `pip install"):
        quantize_decoder(small_model(), CPU)
