"""Recomputed layers give the same loss and gradients, and keep less for the backward pass."""

from __future__ import annotations

import copy

import pytest
import torch

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
from deepseek_ocr.model.recomputation import LAYERS, recompute
from tests.conftest import tiny_config

IMAGE = 300


def page() -> dict[str, torch.Tensor]:
    """One row with an overview and two tiles."""
    torch.manual_seed(3)
    ids = torch.randint(3, 290, (1, 60))
    ids[0, 1:11] = IMAGE
    return {
        "input_ids": ids,
        "labels": ids.masked_fill(ids == IMAGE, -100),
        "pixel_values": torch.rand(1, 3, 128, 128) * 2 - 1,
        "tile_values": torch.rand(2, 3, 64, 64) * 2 - 1,
        "tile_grids": torch.tensor([[2, 1]]),
    }


@pytest.fixture
def model() -> DeepseekOcrForConditionalGeneration:
    torch.manual_seed(0)
    config = copy.deepcopy(tiny_config())
    config.balance_loss_weight = 0.01
    return DeepseekOcrForConditionalGeneration(config).train()


def learn(model) -> tuple[float, dict[str, torch.Tensor], int]:
    """Loss, gradients, and bytes that the forward pass keeps beside the parameters."""
    inputs = page()
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter):
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(**inputs).loss
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    size = sum(nbytes for place, nbytes in kept.items() if place not in parameters)
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients, size


@pytest.mark.parametrize("names", [["sam"], ["clip"], ["decoder"], list(LAYERS)])
def test_recomputed_layers_give_the_same_loss_and_gradients_and_keep_less(model, names):
    loss, gradients, size = learn(model)
    recompute(model, names)
    loss_again, gradients_again, size_again = learn(model)
    assert loss_again == loss
    assert gradients_again.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradients_again[name], gradient), name
    assert size_again < size


def test_recomputing_everything_keeps_a_small_part(model):
    size = learn(model)[2]
    recompute(model, list(LAYERS))
    assert learn(model)[2] < 0.4 * size


def test_the_stacks_that_are_not_named_are_no_longer_recomputed(model):
    size = learn(model)[2]
    recompute(model, list(LAYERS))
    recompute(model, [])
    assert learn(model)[2] == size


@pytest.mark.parametrize("parts", [("attention",), ("sam", "clip"), ("attention", "experts")])
def test_an_adapter_learns_the_same_through_recomputed_layers(model, parts):
    from deepseek_ocr.training.tuning.lora import add_adapter

    torch.manual_seed(1)
    adapted = add_adapter(model, parts, 4).train()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    loss, gradients, _ = learn(adapted)
    recompute(adapted, list(LAYERS))
    loss_again, gradients_again, _ = learn(adapted)
    assert loss_again == loss
    assert gradients and gradients_again.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradients_again[name], gradient), name


def test_reading_recomputes_nothing(model):
    recompute(model.eval(), list(LAYERS))
    size = learn(model)[2]
    recompute(model, [])
    assert learn(model)[2] == size


def test_a_name_that_is_no_stack_is_an_error(model):
    with pytest.raises(ValueError, match=r"head.*sam, clip, decoder"):
        recompute(model, ["sam", "head"])
