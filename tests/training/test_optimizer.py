"""The learning rate of each step, and what decays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.training.optimizer import learning_rate, make_optimizer

from .samples import small_model


def rates(num_steps: int, warmup_ratio: float) -> list[float]:
    return [
        learning_rate(step, peak=1.0, num_steps=num_steps, warmup_ratio=warmup_ratio)
        for step in range(num_steps)
    ]


def test_known_schedule():
    assert rates(6, 1 / 3) == pytest.approx([0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447], abs=1e-6)


@given(st.integers(1, 300), st.floats(0, 1))
def test_every_step_learns_and_the_rate_rises_to_its_peak_then_falls(num_steps, warmup_ratio):
    found = rates(num_steps, warmup_ratio)
    assert all(0 < rate <= 1 for rate in found)
    assert max(found) == pytest.approx(1)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


def test_only_matrices_decay():
    model = small_model()
    groups = make_optimizer(model, lr=1.0, weight_decay=0.1).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        vector = name.endswith(("norm.weight", "bias", "image_newline", "view_seperator"))
        assert not vector or decay[id(parameter)] == 0, name
    assert decay[id(model.lm_head.weight)] == 0.1


def test_frozen_parameters_are_not_optimized():
    model = small_model()
    model.requires_grad_(False)
    model.lm_head.requires_grad_(True)
    groups = make_optimizer(model, lr=1.0, weight_decay=0.1).param_groups
    assert [p for group in groups for p in group["params"]] == [model.lm_head.weight]
