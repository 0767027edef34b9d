"""Odd inputs of the products in C: pauses, other formats, no numbers, what learns, many threads."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils import checkpoint

from deepseek_ocr.model import expert_products
from deepseek_ocr.model.clip import ClipAttention, ClipMlp
from deepseek_ocr.model.config_parts import SamConfig
from deepseek_ocr.model.native import attention, linear
from deepseek_ocr.model.native.library import SWITCH
from deepseek_ocr.model.sam import SamBlock
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


def test_a_residual_of_another_format_is_added_as_it_is():
    """As under autocast, where sums between layers stay in float32."""
    module, x = layer(32, 48), normal(8, 32)
    residual = torch.randn(8, 48)
    got = linear.linear(module, x, residual=residual)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, residual + module(x))


def test_a_residual_of_fewer_rows_is_added_to_all():
    module, x = layer(32, 48), normal(2, 8, 32)
    residual = normal(1, 8, 48, seed=1)
    torch.testing.assert_close(linear.linear(module, x, residual=residual), residual + module(x))


def test_a_residual_that_learns_has_its_gradient():
    module, residual = layer(32, 48), normal(8, 48).requires_grad_(True)
    linear.linear(module, normal(8, 32), residual=residual).sum().backward()
    assert torch.equal(residual.grad, torch.ones_like(residual))


def test_memory_with_pauses_is_filled_as_it_lies():
    module, x = layer(32, 48), normal(8, 32)
    out, residual = normal(48, 8).T, normal(48, 8, seed=1).T
    wanted = residual.double() + exact(module, x)
    assert linear.linear(module, x, residual=residual, out=out) is out
    torch.testing.assert_close(out.double(), wanted, rtol=2**-7, atol=2**-7)


def test_rows_with_pauses_are_read_where_they_lie():
    module, x = layer(32, 48), normal(40, 64)
    for view in (x[:, ::2], x[::2, :32], x[:32].T.contiguous().T[:, 32:], x[:1, :32].expand(9, 32)):
        assert_close(linear.linear(module, view), exact(module, view))


def test_a_bias_with_pauses_is_read_where_it_lies():
    module, x = layer(32, 48), normal(8, 32)
    module.bias.data = normal(96)[::2]
    torch.testing.assert_close(linear.linear(module, x), module(x))


@pytest.mark.parametrize("activation", [None, "gelu", "quick_gelu"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e20])
def test_what_is_no_number_stays_none_and_what_is_large_stays_one(activation, value):
    module = layer(32, 16, bias=False)
    module.weight.copy_(torch.eye(16, 32))
    x = torch.ones(8, 32, dtype=BF16)
    x[3, 5] = value
    got = linear.linear(module, x, activation=activation)
    wanted = linear.activate(x[3, 5], activation)
    if value == 3e38 or abs(value) < 3e38:
        torch.testing.assert_close(got[3, 5], wanted)
    elif value != value or value > 0:
        assert not got[3, 5].isfinite()
    assert got[[0, 1, 2, 4, 5, 6, 7]].isfinite().all()  # the other rows have their answers


def test_a_gated_pair_says_so_where_it_has_no_number():
    gate, up = layer(32, 48, bias=False), layer(32, 48, bias=False)
    x = normal(8, 32)
    x[2, 0], x[5, 0] = float("nan"), float("inf")
    got = linear.gated(gate, up, x)
    assert not got[[2, 5]].isfinite().any()
    assert got[[0, 1, 3, 4, 6, 7]].isfinite().all()


def test_experts_say_so_where_a_token_has_no_number():
    x = normal(6, 32)
    x[2, 0] = float("nan")
    chosen = torch.tensor([[0, 1]] * 6)
    got = expert_products.apply_natively(
        x, chosen, torch.ones(6, 2), normal(3, 64, 32, scale=0.1), normal(3, 32, 32, scale=0.1)
    )
    assert got[2].isnan().all() and got[[0, 1, 3, 4, 5]].isfinite().all()


def test_attention_says_so_where_a_key_has_no_number():
    q, k, v = (normal(2, 5, 16, seed=seed) for seed in range(3))
    k[0, 4, 3] = float("nan")
    got = attention.attend_text(q, k, v, 0.25)
    assert got[4, :16].isnan().all() and got[:, 16:].isfinite().all()
    views = normal(2, 5, 5, 3, 2, 16)
    views[1, 2, 2, 1, 0, 3] = float("nan")
    got = attention.attend_views(views, (5, 5))
    assert got[1, ..., :16].isnan().all()
    assert got[0].isfinite().all() and got[1, ..., 16:].isfinite().all()


def test_attention_of_numbers_that_cannot_be_taken_is_left_to_torch():
    wide, none = normal(1, 2, 2, 3, 1, 528), torch.empty(0, 2, 2, 3, 1, 16, dtype=BF16)
    q, cache = normal(1, 5, 16), torch.randn(1, 5, 16)
    assert attention.attends(16, q, q, q)
    assert not attention.attends(528, wide)
    assert not attention.attends(24, q)
    assert not attention.attends(16, none)
    assert not attention.attends(16, q, cache, cache)
    assert not attention.attends(16, nn.Parameter(q))


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_more_threads_than_work_compute_the_same(threads):
    module, x = layer(32, 16), normal(400, 32)
    wanted = linear.linear(module, x)
    q, k, v = (normal(1, 3, 16, seed=seed) for seed in range(3))
    attended = attention.attend_text(q, k, v, 0.25)
    chosen, share = torch.zeros(4, 1, dtype=torch.int64), torch.ones(4, 1)
    stacks = normal(5, 64, 32), normal(5, 32, 32)
    mixed = expert_products.apply_natively(x[:4], chosen, share, *stacks)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(3):
            assert torch.equal(linear.linear(module, x), wanted)
            assert torch.equal(attention.attend_text(q, k, v, 0.25), attended)
            again = expert_products.apply_natively(x[:4], chosen, share, *stacks)
            assert torch.equal(again, mixed)
    finally:
        torch.set_num_threads(before)


def test_places_beyond_a_view_are_what_an_adapter_makes_of_them():
    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base, self.bias = base, base.bias

        def forward(self, x):
            return self.base(x) + 1

    module = sam_attention(3, 16)
    module.qkv = Adapted(module.qkv)
    x = normal(1, 4, 4, 32)
    qkv = module.qkv(x).unflatten(-1, (3, 2, -1))
    got, wanted = module.attend_natively(qkv), module.attend_windows(x, *qkv.unbind(3))
    torch.testing.assert_close(got, wanted, rtol=2**-6, atol=2**-5)


def test_a_learning_input_passes_frozen_layers(monkeypatch):
    """The same gradient with and without C, through every layer that may be computed there."""
    torch.manual_seed(0)
    config = SamConfig(hidden_size=64, num_attention_heads=2, image_size=128)
    block = SamBlock(config, 3)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.1)
    modules = [
        (block.requires_grad_(False).to(BF16), normal(1, 5, 5, 64)),
        (ClipMlp(64, 128).requires_grad_(False).to(BF16), normal(1, 9, 64)),
        (ClipAttention(64, 2).requires_grad_(False).to(BF16), normal(1, 9, 64)),
    ]
    for module, x in modules:
        found = []
        for switch in ("1", "0"):
            monkeypatch.setenv(SWITCH, switch)
            start = x.clone().requires_grad_(True)
            module(start).float().square().sum().backward()
            found.append(start.grad)
        assert torch.equal(*found)
        assert found[0].abs().sum() > 0


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_bias_learns_through_frozen_weights_that_are_computed_again(reentrant):
    module = ClipMlp(64, 128).to(BF16).requires_grad_(False)
    module.fc1.bias.requires_grad_(True)
    x = normal(1, 9, 64)
    if reentrant:
        x.requires_grad_(True)
    checkpoint.checkpoint(module, x, use_reentrant=reentrant).sum().backward()
    again = module.fc1.bias.grad.clone()
    module.fc1.bias.grad = None
    module(x.detach()).sum().backward()
    assert torch.equal(again, module.fc1.bias.grad)


@pytest.mark.parametrize("weights", [torch.float32, BF16])
def test_under_autocast_the_encoders_answer_as_by_torch(weights, monkeypatch):
    torch.manual_seed(0)
    config = SamConfig(hidden_size=64, num_attention_heads=2, image_size=128)
    module = SamBlock(config, 3).requires_grad_(False)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    for part in (module.attn, module.mlp):
        part.to(weights)  # norms and the sums between stay in float32
    x = torch.randn(1, 5, 5, 64)
    found = []
    for switch in ("1", "0"):
        monkeypatch.setenv(SWITCH, switch)
        with torch.autocast("cpu", BF16):
            found.append(module(x))
    assert found[0].dtype == found[1].dtype
    torch.testing.assert_close(*found, rtol=2**-5, atol=2**-4)
