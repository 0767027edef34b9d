"""The routed experts: the same as each token through its experts, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.model.expert_products import apply_experts, sort_choices

NAMES = ("x", "weights", "gate_up", "down")


def inputs(tokens=7, experts=5, chosen=2, width=6, hidden=4, seed=0):
    """Inputs by name; the last expert is nobody's choice where that is possible."""
    torch.manual_seed(seed)
    scores = torch.rand(tokens, experts)
    scores[:, -1] -= float(experts > chosen)
    return {
        "x": torch.randn(tokens, width, requires_grad=True),
        "chosen": scores.topk(chosen, sorted=False).indices,
        "weights": torch.rand(tokens, chosen, requires_grad=True),
        "gate_up": torch.randn(experts, 2 * hidden, width, requires_grad=True),
        "down": torch.randn(experts, width, hidden, requires_grad=True),
    }


def token_by_token(x, chosen, weights, gate_up, down):
    rows = []
    for token, experts, shares in zip(x, chosen, weights, strict=True):
        answers = []
        for expert, share in zip(experts.tolist(), shares, strict=True):
            gate, up = (gate_up[expert] @ token).chunk(2)
            answers.append(down[expert] @ (F.silu(gate) * up) * share)
        rows.append(torch.stack(answers).sum(0))
    return torch.stack(rows)


def gradients(answer, parts):
    learned = [part for part in parts.values() if part.requires_grad]
    return torch.autograd.grad((answer * torch.linspace(-1, 2, answer.numel()).view_as(answer)).sum(), learned)  # fmt: skip


@given(
    tokens=st.integers(1, 12), experts=st.integers(1, 6), data=st.data(), seed=st.integers(0, 9)
)  # fmt: skip
def test_every_token_goes_through_its_own_experts(tokens, experts, data, seed):
    chosen = data.draw(st.integers(1, experts))
    parts = inputs(tokens=tokens, experts=experts, chosen=chosen, seed=seed)
    torch.testing.assert_close(apply_experts(**parts), token_by_token(**parts))


@pytest.mark.parametrize("frozen", [(), ("gate_up", "down"), ("x",), ("weights",), ("down",), ("x", "weights", "gate_up")])  # fmt: skip
def test_gradients_are_those_of_the_plain_products_for_what_trains_alone(frozen):
    parts = inputs()
    for name in frozen:
        parts[name].requires_grad_(False)
    ours = gradients(apply_experts(**parts), parts)
    plain = gradients(token_by_token(**parts), parts)
    assert len(ours) == len(NAMES) - len(frozen)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_an_expert_that_nobody_chose_has_a_gradient_of_zero():
    parts = inputs()
    apply_experts(**parts).sum().backward()
    assert parts["gate_up"].grad[-1].abs().max() == 0
    assert parts["down"].grad[-1].abs().max() == 0


def test_frozen_experts_keep_one_projection_and_no_copy_of_their_weights():
    parts = inputs(tokens=50, experts=4, chosen=3, width=8, hidden=6)
    parts["gate_up"].requires_grad_(False)
    parts["down"].requires_grad_(False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        apply_experts(**parts)
    own = [parts[name].data_ptr() for name in NAMES]
    floats = [t for t in kept if t.is_floating_point() and t.data_ptr() not in own]
    assert max(t.numel() for t in floats) == 50 * 3 * 2 * 6
    assert sum(t.numel() for t in floats) == 50 * 3 * (2 * 6 + 1)  # and the sorted weights


def test_under_autocast_products_are_in_bfloat16_and_gradients_in_the_format_of_the_weights():
    parts = inputs(width=32, hidden=32)
    exact = gradients(apply_experts(**parts), parts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = apply_experts(**parts)
        seen = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: seen.append(tensor.dtype) or tensor, lambda tensor: tensor
        ):
            apply_experts(**parts)
    assert answer.dtype == torch.float32 and torch.bfloat16 in seen
    for one, other in zip(gradients(answer, parts), exact, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.03 * other.norm()


def test_the_same_inputs_give_the_same_bytes():
    parts = inputs(tokens=200, experts=8, chosen=3, width=32, hidden=16)
    first, second = (apply_experts(**parts) for _ in range(2))
    assert torch.equal(first, second)
    for one, other in zip(gradients(first, parts), gradients(second, parts), strict=True):
        assert torch.equal(one, other)


def test_choices_are_sorted_by_expert_and_by_token_within_one():
    chosen = torch.tensor([[2, 0], [0, 3], [2, 3]])
    order, ends = sort_choices(chosen, 5)
    assert order.tolist() == [1, 2, 0, 4, 3, 5]
    assert ends.tolist() == [2, 2, 4, 6, 6]


@pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="needs torch with grouped_mm")
def test_the_grouped_products_of_all_experts_are_those_of_one_after_the_other():
    from deepseek_ocr.model.expert_products import _Experts

    parts = inputs(tokens=40, experts=6, chosen=3, width=32, hidden=16)
    parts = {
        name: part.detach().bfloat16().requires_grad_() if name in ("x", "gate_up", "down") else part
        for name, part in parts.items()
    }  # fmt: skip
    found = [_Experts.apply(*parts.values(), torch.bfloat16, together) for together in (False, True)]  # fmt: skip
    torch.testing.assert_close(*found)
    one_by_one, together = (gradients(answer, parts) for answer in found)
    for one, other in zip(one_by_one, together, strict=True):
        assert (one.float() - other.float()).norm() <= 0.01 * one.float().norm()
