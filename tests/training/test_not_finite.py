"""A loss or a gradient that is no number: the rows to blame are named, with their pictures."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from deepseek_ocr.training import TrainingError, train
from deepseek_ocr.training.optimization.not_finite import NotFinite, Place, rows_alone
from deepseek_ocr.training.optimization.step import train_step
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.parts import PARTS, choose_trained

from .samples import make_rows, small_model, write_rows

WORD = 900
"""A token that no row has."""


@pytest.fixture
def accelerator():
    with accelerator_for("cpu", "float32") as accelerator:
        yield accelerator


def failed_step(accelerator, batches, model=None):
    model = model or small_model()
    choose_trained(model, PARTS)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    before = [p.detach().clone() for p in model.parameters()]
    random = torch.get_rng_state()
    with pytest.raises(NotFinite) as caught:
        train_step(model, accelerator, optimizer, batches, max_norm=1.0)
    pairs = zip(before, model.parameters(), strict=True)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)
    assert torch.equal(random, torch.get_rng_state())
    return caught.value


def with_word(row):
    """The row with the token `WORD` in the place of the last but one."""
    ids, labels = row["input_ids"].clone(), row["labels"].clone()
    ids[0, -2] = labels[0, -2] = WORD
    return {**row, "input_ids": ids, "labels": labels}


def model_that_breaks_at(word):
    model = small_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[word] = math.inf
    return model


@pytest.mark.parametrize("packs", [False, True])
def test_rows_taken_out_of_a_batch_are_what_they_were(rows, collator, packs):
    for row, weight in zip(rows, (1, 2, 3, 4, 5, 6), strict=True):
        row["label_weights"] = torch.full_like(row["labels"], weight, dtype=torch.float32)
    batch = collator.packed([rows[:3], rows[3:4], rows[4:]]) if packs else collator(rows)
    alone = list(rows_alone(batch, 18))
    assert len(alone) == len(rows)
    for found, expected in zip(alone, rows, strict=True):
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            if name == "labels":  # of a row in a pack the first is never learned
                assert torch.equal(found[name][:, 1:], tensor[:, 1:])
            else:
                assert torch.equal(found[name], tensor), name


def test_features_in_the_place_of_pictures_stay_with_their_rows(rows, collator):
    named = [
        {name: row[name] for name in ("input_ids", "attention_mask", "labels")}
        | {"image_embeds": torch.full((int((row["input_ids"] == 18).sum()), 32), float(i))}
        for i, row in enumerate(rows)
    ]
    for i, row in enumerate(rows_alone(collator(named), 18)):
        assert torch.equal(row["image_embeds"], named[i]["image_embeds"])


@pytest.mark.parametrize("bad", range(6))
def test_the_row_with_the_word_that_breaks_is_named(rows, collator, accelerator, bad):
    changed = [with_word(row) if i == bad else row for i, row in enumerate(rows)]
    batches = [collator(changed[:3]), collator(changed[3:])]
    error = failed_step(accelerator, batches, model_that_breaks_at(WORD))
    assert (error.rows, error.proved) == ([Place(0, bad // 3, bad % 3)], True)


def test_every_row_to_blame_is_named_in_packs_too(rows, collator, accelerator):
    changed = [with_word(row) if i in (1, 2, 5) else row for i, row in enumerate(rows)]
    packed = [collator.packed([changed[:2], changed[2:4]]), collator.packed([changed[4:]])]
    error = failed_step(accelerator, packed, model_that_breaks_at(WORD))
    assert error.rows == [Place(0, 0, 1), Place(0, 0, 2), Place(0, 1, 1)]


def test_a_row_with_a_picture_of_no_numbers_is_named(rows, collator, accelerator):
    changed = [dict(row) for row in rows]
    changed[3]["tile_values"] = changed[3]["tile_values"] * math.nan
    assert failed_step(accelerator, [collator(changed)]).rows == [Place(0, 0, 3)]


def test_a_row_with_a_weight_past_all_numbers_is_named(rows, collator, accelerator):
    changed = [dict(row) for row in rows[:4]]
    for i, row in enumerate(changed):
        weight = 3e38 if i == 2 else 1.0
        row["label_weights"] = torch.full_like(row["labels"], weight, dtype=torch.float32)
    assert failed_step(accelerator, [collator(changed)]).rows == [Place(0, 0, 2)]


class _Steep(torch.autograd.Function):
    """The identity, whose gradient is infinite where `is_steep`."""

    @staticmethod
    def forward(ctx, x, is_steep):
        ctx.is_steep = is_steep
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.masked_fill(ctx.is_steep.unsqueeze(-1), math.inf), None


def steep_at(word):
    """A model with finite losses, and an infinite gradient in rows with the word."""
    model = small_model()

    def steep(_, inputs, embeds):
        return _Steep.apply(embeds, inputs[0] == word)

    model.model.embed_tokens.register_forward_hook(steep)
    return model


def test_a_gradient_that_is_no_number_names_its_row(rows, collator, accelerator):
    changed = [with_word(row) if i == 4 else row for i, row in enumerate(rows)]
    batches = [collator(changed[:3]), collator(changed[3:])]
    error = failed_step(accelerator, batches, steep_at(WORD))
    assert str(error) == "the gradient"
    assert (error.rows, error.proved) == ([Place(0, 1, 1)], True)


def test_a_gradient_of_a_large_step_names_all_its_rows(rows, collator, accelerator, monkeypatch):
    monkeypatch.setattr("deepseek_ocr.training.optimization.not_finite.MOST_ROWS", 5)
    changed = [with_word(row) if i == 4 else row for i, row in enumerate(rows)]
    error = failed_step(accelerator, [collator(changed)], steep_at(WORD))
    assert (error.rows, error.proved) == ([Place(0, 0, i) for i in range(6)], False)


def test_rows_that_break_only_together_are_all_named(rows, collator, accelerator):
    def breaks_together(_, __, output):
        if len(output) > 1:
            return output * math.nan
        return output

    model = small_model()
    model.model.norm.register_forward_hook(breaks_together)
    error = failed_step(accelerator, [collator(rows[:1]), collator(rows[1:3])], model)
    assert (error.rows, error.proved) == ([Place(0, 1, 0), Place(0, 1, 1)], False)


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 2, "grad_accum": 2}, {"packing": True, "max_tokens_per_batch": 120}],
    ids=["accumulated", "packed"],
)
def test_a_run_ends_with_the_row_its_line_and_its_picture(make_config, tmp_path, settings):
    names = make_rows(tmp_path / "pages", 5)
    for row in names:
        row["weight"] = 3e38 if row["id"] == "page-3" else 1.0
    config = dataclasses.replace(
        make_config(val_file=None, epochs=1, **settings),
        train_file=write_rows(tmp_path / "train.json", names),
    )
    with pytest.raises(TrainingError) as caught:
        train(config, quiet=True)
    first, second, *advice = str(caught.value).splitlines()
    assert first.endswith(": the loss is not a finite number with")
    assert second == "  row page-3 (labels.json:4): 3.png"
    assert len(advice) == 1
