"""A step, the validation loss, and the numbers that must not go on."""

from __future__ import annotations

import math

import pytest
import torch

from deepseek_ocr.training.batching.batches import Collator, PageDataset
from deepseek_ocr.training.optimization.not_finite import NotFinite, Place
from deepseek_ocr.training.optimization.step import reach_vision, train_step
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.parts import PARTS, choose_trained
from deepseek_ocr.training.validation.validator import validation_loss

from .samples import mixed_rows, small_model, small_processor


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return PageDataset(mixed_rows(folder), small_processor(), folder)


@pytest.fixture(scope="module")
def collator(dataset):
    return Collator(dataset.processor)


@pytest.fixture
def accelerator():
    with accelerator_for("cpu", "float32") as accelerator:
        yield accelerator


def one_step(accelerator, batches, max_norm=math.inf):
    """A step of plain descent at rate 1: the weights move by the gradient."""
    model = small_model()
    choose_trained(model, PARTS)
    model.config.balance_loss_weight = 0.1
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    result = train_step(model, accelerator, optimizer, batches, max_norm=max_norm)
    moved = {name: before[name] - p.detach() for name, p in model.named_parameters()}
    return result, moved


@pytest.mark.parametrize("size", [1, 2, 3])
def test_accumulated_batches_are_one_large_batch(dataset, collator, accelerator, size):
    rows = [dataset[i] for i in range(len(dataset))]
    parts = [collator(rows[i : i + size]) for i in range(0, len(rows), size)]
    many, moved_by_many = one_step(accelerator, parts)
    one, moved_by_one = one_step(accelerator, [collator(rows)])
    assert many.loss == pytest.approx(one.loss, abs=1e-5)
    assert (many.num_learned, many.num_positions, many.num_rows) == (
        one.num_learned,
        one.num_positions,
        one.num_rows,
    )
    for name, move in moved_by_one.items():
        torch.testing.assert_close(moved_by_many[name], move, atol=2e-5, rtol=1e-3)


def test_the_gradient_is_shortened_to_the_norm(dataset, collator, accelerator):
    result, moved = one_step(accelerator, [collator([dataset[0]])], max_norm=0.25)
    assert result.grad_norm > 0.25
    norm = torch.stack([step.norm() for step in moved.values()]).norm()
    assert float(norm) == pytest.approx(0.25, rel=1e-3)


def test_a_loss_that_is_no_number_changes_no_weight(dataset, collator, accelerator):
    model = small_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[collator([dataset[1]])["input_ids"]] = math.nan
    before = model.lm_head.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    batches = [collator([dataset[1]])]
    with pytest.raises(NotFinite) as error:
        train_step(model, accelerator, optimizer, batches, max_norm=1.0)
    assert (error.value.rows, error.value.proved) == ([Place(0, 0, 0)], True)
    assert torch.equal(model.lm_head.weight, before)


def test_rows_without_pictures_are_no_error_when_vision_alone_trains(
    dataset, collator, accelerator
):
    model = small_model()
    choose_trained(model, ["clip"])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    batches = [collator([dataset[1]]), collator([dataset[0]])]
    result = train_step(model, accelerator, optimizer, batches, max_norm=1.0)
    assert result.num_rows == 2 and result.grad_norm > 0


def test_a_step_of_rows_without_pictures_changes_nothing_when_vision_alone_trains(
    dataset, collator, accelerator
):
    model = small_model()
    choose_trained(model, ["clip"])
    reach_vision(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    train_step(model, accelerator, optimizer, [collator([dataset[0]])], max_norm=1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    result = train_step(model, accelerator, optimizer, [collator([dataset[1]])], max_norm=1.0)
    assert result.grad_norm == 0  # yet there was a backward pass for others to wait for
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert model(input_ids=collator([dataset[1]])["input_ids"]).loss is None


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_validation_loss_is_weighted_by_tokens(dataset, collator, accelerator, batch_size):
    model = small_model()
    model.config.balance_loss_weight = 5.0  # no part of the validation loss
    found = validation_loss(model, accelerator, dataset, collator, batch_size=batch_size)
    assert model.training
    model.config.balance_loss_weight = 0.0
    with torch.no_grad():
        expected = float(model(**collator([dataset[i] for i in range(len(dataset))])).loss)
    assert found == pytest.approx(expected, abs=1e-5)


def test_weighted_answers_count_by_their_weights_over_all_batches(dataset, collator, accelerator):
    rows = [dict(dataset[i]) for i in range(3)]
    for row, weight in zip(rows, (0.5, 2.0, 0.0), strict=True):
        row["label_weights"] = torch.full_like(row["labels"], weight, dtype=torch.float32)
    many, moved_by_many = one_step(accelerator, [collator([row]) for row in rows])
    one, moved_by_one = one_step(accelerator, [collator(rows)])
    losses = []
    with torch.no_grad():
        for row in rows[:2]:
            model = small_model()
            count = int((row["labels"][:, 1:] != -100).sum())
            losses.append((float(model(**collator([row]), num_items_in_batch=1).loss), count))
    (half, halves), (double, doubles) = losses
    mean = (half + double) / (0.5 * halves + 2.0 * doubles)  # the losses are weighted already
    assert many.loss - many.balance_loss == pytest.approx(mean, abs=1e-5)
    assert many.loss == pytest.approx(one.loss, abs=1e-5)
    for name, move in moved_by_one.items():
        torch.testing.assert_close(moved_by_many[name], move, atol=2e-5, rtol=1e-3)


def test_the_balance_loss_and_the_load_of_the_experts_are_those_of_one_large_batch(
    dataset, collator, accelerator
):
    rows = [dataset[i] for i in range(4)]
    silent = collator(rows[:1])
    silent["labels"].fill_(-100)  # as where a process has nothing left to learn
    many, _ = one_step(accelerator, [*(collator([row]) for row in rows), silent])
    one, _ = one_step(accelerator, [collator(rows)])
    assert many.expert_load.shape == (1, 4)
    torch.testing.assert_close(many.expert_load.sum(1), torch.ones(1))
    torch.testing.assert_close(many.expert_load, one.expert_load)
    assert 0 < many.balance_loss == pytest.approx(one.balance_loss, abs=1e-5)
    assert many.loss > many.balance_loss


def test_label_smoothing_reaches_the_loss(dataset, collator, accelerator):
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    batches = [collator([dataset[1]])]
    losses = [
        train_step(
            model, accelerator, optimizer, batches, max_norm=1.0, label_smoothing=smoothing
        ).loss
        for smoothing in (0.0, 0.5)
    ]
    assert losses[0] != losses[1]


def test_the_weight_of_a_step_is_that_of_its_learned_tokens(dataset, collator, accelerator):
    rows = [dict(dataset[i]) for i in range(2)]
    plain, _ = one_step(accelerator, [collator(rows)])
    assert plain.learned_weight == plain.num_learned
    for row in rows:
        row["label_weights"] = torch.full_like(row["labels"], 0.25, dtype=torch.float32)
    weighted, _ = one_step(accelerator, [collator([row]) for row in rows])
    assert weighted.num_learned == plain.num_learned
    assert weighted.learned_weight == 0.25 * plain.num_learned


def test_rows_without_pictures_reach_all_of_the_vision_side_and_change_nothing(dataset, collator):
    """Several processes wait for the gradients of each other's parameters: there must be some."""
    plain, reached = small_model(), small_model()
    for model in (plain, reached):
        choose_trained(model, PARTS)
    reach_vision(reached)
    batch = collator([dataset[1], dataset[4]])
    losses = []
    for model in (plain, reached):
        losses.append(model(**batch).loss)
        losses[-1].backward()
    assert torch.equal(*losses)
    for (name, p), q in zip(plain.named_parameters(), reached.parameters(), strict=True):
        if not q.requires_grad:
            continue
        assert q.grad is not None, name
        expected = torch.zeros_like(p) if p.grad is None else p.grad
        assert torch.equal(q.grad, expected), name


def test_a_step_without_any_picture_leaves_the_vision_side_to_itself(
    dataset, collator, accelerator
):
    model = small_model()
    choose_trained(model, PARTS)
    reach_vision(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    train_step(model, accelerator, optimizer, [collator([dataset[0]])], max_norm=1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_step(model, accelerator, optimizer, [collator([dataset[1]])], max_norm=1.0)
    changed = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    assert not [name for name in changed if "sam" in name or "vision" in name or "proj.l" in name]
    assert "lm_head.weight" in changed
