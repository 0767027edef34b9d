"""The lean norm and gated unit are the plain ones, and keep less for the backward pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepseek_ocr.model.elementwise import rms_norm, swiglu

EPS = 1e-6


def plain_norm(x: Tensor, weight: Tensor) -> Tensor:
    return weight * F.rms_norm(x.float(), x.shape[-1:], None, EPS).to(x.dtype)


def plain_unit(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def lean_norm(x: Tensor, weight: Tensor) -> Tensor:
    return rms_norm(x, weight, EPS)


PAIRS = {"norm": (lean_norm, plain_norm), "unit": (swiglu, plain_unit)}


def arguments(name: str, rows: int, width: int, dtype=torch.float32, seed: int = 0):
    torch.manual_seed(seed)
    second = (width,) if name == "norm" else (2, rows, width)
    return torch.randn(2, rows, width).to(dtype), torch.randn(second).to(dtype)


def learn(function, first: Tensor, second: Tensor, trained) -> list[Tensor | None]:
    inputs = [t.clone().requires_grad_(learns) for t, learns in zip((first, second), trained, strict=True)]  # fmt: skip
    result = function(*inputs)
    result.backward(torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view_as(result))
    return [result.detach(), *(t.grad for t in inputs)]


@pytest.mark.parametrize("trained", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("name", PAIRS)
@given(rows=st.integers(1, 5), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_values_and_gradients_are_those_of_the_plain_function(name, trained, rows, width, seed):
    first, second = arguments(name, rows, width, seed=seed)
    found, expected = (learn(function, first, second, trained) for function in PAIRS[name])
    for ours, plain in zip(found, expected, strict=True):
        assert (ours is None) == (plain is None)
        if plain is not None:
            torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_in_bfloat16_they_differ_by_rounding_alone(name):
    first, second = arguments(name, 20, 64, torch.bfloat16)
    exact = learn(PAIRS[name][1], first.float(), second.float(), (True, True))
    found = learn(PAIRS[name][0], first, second, (True, True))
    for ours, expected in zip(found, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours.float() - expected).norm() <= 0.01 * expected.norm()


@torch.no_grad()
@pytest.mark.parametrize("name", PAIRS)
def test_without_gradients_it_is_the_plain_function(name):
    inputs = arguments(name, 3, 8, torch.bfloat16)
    lean, plain = PAIRS[name]
    assert torch.equal(lean(*inputs), plain(*inputs))


def kept_bytes(function, *inputs: Tensor) -> int:
    """What the backward pass needs beside the second argument, which is a weight or needed twice."""
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function(*inputs)
    assert result.requires_grad
    return sum(kept.values())


def test_the_norm_keeps_its_input_and_a_number_a_position():
    x, weight = arguments("norm", 50, 64, torch.bfloat16)
    x.requires_grad_()
    assert kept_bytes(lean_norm, x, weight) == x.nbytes + weight.nbytes + 4 * 2 * 50
    assert kept_bytes(plain_norm, x, weight) >= 2 * x.nbytes


def test_the_unit_keeps_gate_and_up_alone():
    gate, up = (t.requires_grad_() for t in arguments("unit", 50, 64, torch.bfloat16))
    assert kept_bytes(swiglu, gate, up) == 2 * gate.nbytes
    assert kept_bytes(plain_unit, gate, up) == 3 * gate.nbytes
