"""What is optimized with which learning rate and weight decay, and by what."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from deepseek_ocr.errors import UsageError
from deepseek_ocr.training.checkpoints.state import (
    OPTIMIZER,
    STATE_FOLDER,
    load_optimizer,
    optimizer_tensors,
    save_in_files,
)
from deepseek_ocr.training.optimization.optimizer import (
    Adam,
    Rates,
    check_optimizer,
    make_optimizer,
    set_learning_rates,
)
from deepseek_ocr.training.tuning.lora import add_adapter
from deepseek_ocr.training.tuning.parts import assign_parts, choose_trained, published_name

from .samples import small_model


def rates_of(optimizer, model):
    """Parameter's name -> its learning rate and weight decay."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_only_matrices_decay():
    model = small_model()
    found = rates_of(make_optimizer("adamw", model, Rates(lr=1.0, weight_decay=0.1)), model)
    for name in found:
        vector = name.endswith(("norm.weight", "bias", "image_newline", "view_seperator"))
        assert not vector or found[name] == (1.0, 0.0), name
    assert found["lm_head.weight"] == (1.0, 0.1)


def test_frozen_parameters_are_not_optimized():
    model = small_model()
    choose_trained(model, ["head"])
    found = rates_of(make_optimizer("adamw", model, Rates(lr=1.0, weight_decay=0.1)), model)
    assert found.keys() == {"lm_head.weight", "model.norm.weight"}


@pytest.mark.parametrize("adapted", [False, True])
def test_each_part_has_its_own_rates(adapted):
    model = small_model()
    choose_trained(model, ["sam", "attention", "experts"])
    if adapted:
        model = add_adapter(model, ["sam", "attention", "experts"], 2)
    rates = Rates(
        lr=1.0,
        weight_decay=0.1,
        part_lr={"sam": 0.25, "experts": 0.0},
        part_weight_decay={"attention": 0.5},
    )
    found = rates_of(make_optimizer("adamw", model, rates), model)
    owners = assign_parts(published_name(name) for name, _ in model.named_parameters())
    assert {owners[published_name(name)] for name in found} == {"sam", "attention", "experts"}
    for name, (lr, decay) in found.items():
        part = owners[published_name(name)]
        assert lr == {"sam": 0.25, "attention": 1.0, "experts": 0.0}[part], name
        matrix = dict(model.named_parameters())[name].ndim > 1
        assert decay == ({"attention": 0.5}.get(part, 0.1) if matrix else 0.0), name


def test_the_schedule_scales_each_groups_own_peak():
    model = small_model()
    rates = Rates(lr=1.0, weight_decay=0.0, part_lr={"head": 0.5})
    optimizer = make_optimizer("adamw", model, rates)
    for share in (0.25, 0.5):
        set_learning_rates(optimizer, share)
        found = rates_of(optimizer, model)
        assert found["lm_head.weight"][0] == 0.5 * share
        assert found["model.embed_tokens.weight"][0] == share


@pytest.mark.parametrize(
    "name, kind", [("adamw", torch.optim.AdamW), ("adafactor", torch.optim.Adafactor)]
)
def test_optimizers_are_torchs(name, kind):
    optimizer = make_optimizer(name, small_model(), Rates(lr=1e-3, weight_decay=0.0))
    assert isinstance(optimizer, kind)
    assert optimizer.defaults.get("fused", True)


def test_adams_averages_are_as_asked():
    model, rates = small_model(), Rates(lr=1e-3, weight_decay=0.0)
    adam = Adam(beta1=0.8, beta2=0.95, epsilon=1e-6)
    for name in ("adamw", "adamw8bit"):
        groups = make_optimizer(name, model, rates, adam).param_groups
        assert all(tuple(g["betas"]) == (0.8, 0.95) and g["eps"] == 1e-6 for g in groups)
        groups = make_optimizer(name, model, rates).param_groups
        assert all(tuple(g["betas"]) == (0.9, 0.999) and g["eps"] == 1e-8 for g in groups)


def test_adafactor_keeps_less_than_a_number_a_weight():
    model = small_model()
    optimizer = make_optimizer("adafactor", model, Rates(lr=1e-3, weight_decay=0.0))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = sum(value.numel() for state in optimizer.state.values() for value in state.values())
    assert kept < 0.5 * sum(parameter.numel() for parameter in model.parameters())


def test_eight_bits_need_cuda_and_bitsandbytes(monkeypatch):
    with pytest.raises(UsageError, match="adamw8bit needs CUDA, not cpu; use adamw"):
        check_optimizer("adamw8bit", torch.device("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--optimizer adamw8bit: needs bitsandbytes; run `pip"):
        check_optimizer("adamw8bit", torch.device("cuda"))
    check_optimizer("adamw", torch.device("mps"))


def learn(model, optimizer, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def test_state_of_eight_bits_goes_on_exactly(tmp_path):
    """On a CPU, as far as bitsandbytes can: what is saved and loaded is the same as on CUDA."""
    rates = Rates(lr=1e-2, weight_decay=0.1)
    whole = small_model()
    optimizer = make_optimizer("adamw8bit", whole, rates)
    learn(whole, optimizer, 2, seed=1)
    assert any(state["state1"].dtype == torch.uint8 for state in optimizer.state.values())
    (tmp_path / STATE_FOLDER).mkdir()
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(whole, optimizer)}
    save_in_files(saved.items(), tmp_path / STATE_FOLDER / OPTIMIZER)
    resumed = small_model()
    resumed.load_state_dict(whole.state_dict())
    again = make_optimizer("adamw8bit", resumed, rates)
    load_optimizer(tmp_path, resumed, again)
    learn(whole, optimizer, 2, seed=2)
    learn(resumed, again, 2, seed=2)
    for (name, first), second in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(first, second), name
