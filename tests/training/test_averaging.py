"""The running average of what trains: its formula, its exchange with the weights, and resuming."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepseek_ocr.training.optimization.averaging import Average


def line(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[1].weight.requires_grad_(False)
    return model


def wander(model, steps, average=None):
    """Weights that move as training would move them."""
    for _ in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter))
        if average is not None:
            average.update(model)


def values(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_each_step_moves_the_average_by_its_formula():
    model = line()
    average = Average(model, 0.3)
    expected = model[0].bias.detach().clone()
    for step in range(1, 6):
        wander(model, 1, average)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].bias.detach()
    assert (1 + 1) / (10 + 1) < 0.3 < (1 + 5) / (10 + 5)  # both sides of the minimum were met
    torch.testing.assert_close(average.tensors()["0.bias"], expected)


def test_only_what_trains_is_averaged():
    assert set(Average(line(), 0.9).tensors()) == {"0.weight", "0.bias", "1.bias"}


def test_the_average_takes_the_models_place_and_leaves_no_trace():
    model = line()
    average = Average(model, 0.9)
    wander(model, 4, average)
    weights, averaged = values(model), average.tensors()
    averaged = {name: tensor.clone() for name, tensor in averaged.items()}
    with pytest.raises(ValueError, match="inside"), average.in_place_of(model):
        assert_equal({name: values(model)[name] for name in averaged}, averaged)
        assert_equal(average.tensors(), {name: weights[name] for name in averaged})
        raise ValueError("inside")
    assert_equal(values(model), weights)
    assert_equal(average.tensors(), averaged)


def test_it_goes_on_exactly_from_what_a_checkpoint_holds():
    whole = line()
    average = Average(whole, 0.99)
    wander(whole, 3, average)
    with average.in_place_of(whole):
        saved, trained = values(whole), {k: v.clone() for k, v in average.tensors().items()}
    state = torch.get_rng_state()
    wander(whole, 3, average)

    resumed = line(seed=1)
    resumed.load_state_dict(saved)
    again = Average(resumed, 0.99, num_steps=3)
    again.load(resumed, trained)
    torch.set_rng_state(state)
    wander(resumed, 3, again)
    assert_equal(values(resumed), values(whole))
    assert_equal(again.tensors(), average.tensors())
