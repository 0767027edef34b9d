"""What C multiplies is what torch multiplies: layers, experts, and the attention of pictures and text."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deepseek_ocr.model import expert_products
from deepseek_ocr.model.clip import ClipAttention, ClipMlp
from deepseek_ocr.model.config_parts import SamConfig
from deepseek_ocr.model.native import attention, linear
from deepseek_ocr.model.native.library import SWITCH
from deepseek_ocr.model.sam import SamBlock, distance_table
from deepseek_ocr.model.weight_only import PackedMatrices, WeightOnlyLinear
from tests.model.native_samples import (
    BF16,
    assert_close,
    exact,
    layer,
    needs_products,
    normal,
    sam_attention,
)

pytestmark = needs_products


@given(
    rows=st.integers(4, 60),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 9),
    activation=st.sampled_from([None, "gelu", "quick_gelu"]),
    bias=st.booleans(),
    with_residual=st.booleans(),
)
def test_a_layer_is_the_layer(rows, inputs, outputs, activation, bias, with_residual):
    module = layer(32 * inputs, 16 * outputs, bias)
    x = normal(rows, 32 * inputs, scale=2.0)
    residual = normal(rows, 16 * outputs, seed=1) if with_residual else None
    wanted = linear.activate(exact(module, x), activation)
    wanted = wanted if residual is None else residual.double() + wanted
    assert_close(linear.linear(module, x, activation=activation, residual=residual), wanted)


@pytest.mark.parametrize("rows", [383, 384, 385, 1000])
def test_rows_beyond_a_chunk_are_answered_too(rows):
    module, x = layer(64, 48), normal(rows, 64)
    assert_close(linear.linear(module, x), exact(module, x))


def test_a_row_has_the_same_answer_whatever_stands_beside_it():
    module, x = layer(96, 80), normal(500, 96)
    together = linear.linear(module, x, activation="gelu")
    for start, stop in ((0, 4), (3, 16), (100, 131), (490, 500)):
        alone = linear.linear(module, x[start:stop], activation="gelu")
        assert torch.equal(alone, together[start:stop])


def test_an_answer_may_lie_where_the_residual_lay():
    module, x = layer(32, 32), normal(20, 32)
    wanted = linear.linear(module, x, residual=x)
    assert linear.linear(module, x, residual=x, out=x) is x
    assert torch.equal(x, wanted)


def test_activations_keep_their_tails():
    module = layer(32, 16, bias=False)
    module.weight.copy_(torch.eye(16, 32))
    x = torch.zeros(8, 32, dtype=BF16)
    x[:, :16] = torch.linspace(-30, 30, 128).view(8, 16)
    for activation in ("gelu", "quick_gelu"):
        wanted = linear.activate(x[:, :16].double(), activation)
        assert_close(linear.linear(module, x, activation=activation), wanted)


@pytest.mark.parametrize("bits", [8, None])
def test_a_gated_pair_is_silu_times_up(bits):
    gate, up = layer(64, 48, bias=False), layer(64, 48, bias=False)
    x = normal(30, 64)
    wanted = F.silu(exact(gate, x)) * exact(up, x)
    if bits:
        gate, up = WeightOnlyLinear(gate, bits), WeightOnlyLinear(up, bits)
        wanted = F.silu(exact_codes(gate.packed, x)) * exact_codes(up.packed, x)
    assert_close(linear.gated(gate, up, x), wanted)


def exact_codes(packed: PackedMatrices, x, index=None):
    codes, scales = packed.codes, packed.scales
    if index is not None:
        codes, scales = codes[index], scales[index]
    return F.linear(x.double(), codes.double() * scales.double()[:, None])


def test_weights_of_eight_bits_are_multiplied_as_they_are():
    module = WeightOnlyLinear(layer(64, 80), 8)
    x = normal(25, 64)
    assert_close(linear.linear(module, x), exact_codes(module.packed, x) + module.bias.double())


@given(
    tokens=st.integers(1, 40),
    experts=st.integers(1, 6),
    units=st.integers(1, 3),
    packed=st.booleans(),
    data=st.data(),
)
def test_experts_are_the_weighted_sum_of_their_answers(tokens, experts, units, packed, data):
    num_chosen = data.draw(st.integers(1, experts))
    width, hidden = 64, 32 * units
    gate_up, down = (
        normal(experts, 2 * hidden, width, scale=0.1),
        normal(experts, width, hidden, scale=0.2),
    )
    x = normal(tokens, width)
    generator = torch.Generator().manual_seed(tokens)
    chosen = torch.rand(tokens, experts, generator=generator).topk(num_chosen).indices
    weights = torch.rand(tokens, num_chosen, generator=generator)
    scales = None
    exact_stacks = gate_up.double(), down.double()
    stacks = gate_up, down
    if packed:
        held = [PackedMatrices(stack, 8) for stack in stacks]
        stacks, scales = tuple(h.codes for h in held), tuple(h.scales for h in held)
        exact_stacks = tuple(h.codes.double() * h.scales.double()[..., None] for h in held)
    wanted = torch.zeros(tokens, width, dtype=torch.float64)
    for token in range(tokens):
        for expert, weight in zip(chosen[token].tolist(), weights[token].tolist(), strict=True):
            gate, up = (exact_stacks[0][expert] @ x[token].double()).chunk(2)
            # what lies between the products is rounded, as it is everywhere
            inner = (F.silu(gate) * up).to(BF16).double()
            wanted[token] += weight * (exact_stacks[1][expert] @ inner)
    got = expert_products.apply_natively(x, chosen, weights, *stacks, scales)
    torch.testing.assert_close(got.double(), wanted, rtol=2**-6, atol=2**-7)


@given(
    heads=st.sampled_from([(1, 1), (4, 2), (3, 3)]),
    width=st.sampled_from([16, 32, 48, 64, 128]),
    past=st.integers(0, 70),
    count=st.integers(1, 130),
)
def test_a_text_sees_what_came_before(heads, width, past, count):
    length = past + count
    q = normal(heads[0], count, width)
    k, v = normal(heads[1], length + 3, width, seed=1), normal(heads[1], length + 3, width, seed=2)
    k, v = k[:, :length], v[:, :length]
    visible = torch.ones(count, length, dtype=torch.bool).tril(past)
    wanted = F.scaled_dot_product_attention(
        q[None].double(), k[None].double(), v[None].double(), attn_mask=visible, scale=0.2,
        enable_gqa=True,
    )  # fmt: skip
    got = attention.attend_text(q, k, v, 0.2)
    torch.testing.assert_close(
        got.double(), wanted[0].transpose(0, 1).flatten(1), rtol=2**-6, atol=2**-6
    )


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    window=st.sampled_from([0, 0, 3, 14, 17]),
    head_width=st.sampled_from([16, 32, 64]),
    views=st.integers(1, 2),
)
def test_windows_and_places_are_those_of_torch(height, width, window, head_width, views):
    module = sam_attention(window, head_width)
    x = normal(views, height, width, 2 * head_width)
    qkv = module.qkv(x).unflatten(-1, (3, 2, -1))
    got = module.attend_natively(qkv)
    for name, size in (("rel_pos_h", window or height), ("rel_pos_w", window or width)):
        resized = distance_table(getattr(module, name), size)  # rounded, as the model rounds it
        setattr(module, name, nn.Parameter(resized, requires_grad=False))
    wanted = module.double().attend_windows(x.double(), *qkv.double().unbind(3))
    largest = float(qkv[..., 2, :, :].abs().max())  # weights are rounded, and meet values
    torch.testing.assert_close(got.double(), wanted, rtol=2**-7, atol=2**-7 * max(largest, 1))


def test_clip_attends_to_all_tokens():
    module = ClipAttention(64, 2).requires_grad_(False).to(BF16)
    x = normal(3, 50, 64)
    got = module(x, residual=x)
    module = module.double()
    torch.testing.assert_close(
        got.double(), x.double() + module(x.double()), rtol=2**-6, atol=2**-6
    )


@pytest.mark.parametrize("kind", ["sam", "clip"])
def test_the_error_is_no_larger_than_that_of_torch(kind, monkeypatch):
    torch.manual_seed(0)
    if kind == "sam":
        config = SamConfig(hidden_size=128, num_attention_heads=4, image_size=256)
        module, x = SamBlock(config, 14), torch.randn(2, 16, 16, 128)
    else:
        module, x = ClipMlp(128, 512), torch.randn(2, 50, 128)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.1)
    module.requires_grad_(False)
    wanted = module(x)
    module, x = module.to(BF16), x.to(BF16)
    error = (module(x).float() - wanted).square().mean()
    monkeypatch.setenv(SWITCH, "0")
    plain = (module(x).float() - wanted).square().mean()
    assert error.sqrt() <= 1.25 * plain.sqrt()


def test_what_learns_is_left_to_torch():
    module, x = layer(32, 32), normal(8, 32)
    module.weight.requires_grad_(True)
    linear.linear(module, x).sum().backward()
    assert module.weight.grad is not None
    attended = sam_attention(3, 16)
    attended.rel_pos_h.requires_grad_(True)
    attended(normal(1, 5, 5, 32)).sum().backward()
    assert attended.rel_pos_h.grad is not None


def test_a_layer_with_a_hook_is_called_as_it_is():
    module, seen = layer(32, 32), []
    module.register_forward_hook(lambda *_: seen.append(1))
    linear.linear(module, normal(8, 32))
    assert seen == [1]


def test_an_adapter_is_not_passed_by():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    module = layer(32, 32)
    doubled = Doubled(32, 32).to(BF16).requires_grad_(False)
    doubled.load_state_dict(module.state_dict())
    x = normal(8, 32)
    torch.testing.assert_close(linear.linear(doubled, x), 2 * module(x))


def test_sizes_that_do_not_fill_vectors_are_left_to_torch():
    for inputs, outputs in ((24, 16), (32, 24), (7, 5)):
        module, x = layer(inputs, outputs), normal(9, inputs)
        torch.testing.assert_close(linear.linear(module, x), module(x))
