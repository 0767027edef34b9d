"""What goes wrong elsewhere in tuning this model (numbers are those of its users' reports)."""

from __future__ import annotations

import pytest
import torch

from deepseek_ocr.training import train
from deepseek_ocr.training.optimization.step import train_step
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.parts import PARTS, VISION, choose_trained

from .samples import small_model


def gradients_of(model, batch, weight):
    model(**batch, num_items_in_batch=weight).loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0], ids=["black", "mid-grey", "white"])
def test_a_first_picture_of_one_colour_trains_as_any_other(rows, collator, value):
    """The released code takes a first picture whose pixels sum to zero for no pictures at all."""
    plain = dict(rows[0])
    plain["pixel_values"] = torch.full_like(plain["pixel_values"], value)
    batch = [plain, rows[1], rows[2]]
    model = small_model()
    choose_trained(model, PARTS)
    together = gradients_of(model, collator(batch), 10)
    alone = [gradients_of(model, collator([row]), 10) for row in batch]
    vision = [n for n in alone[0] if n.startswith(("model.sam", "model.vision", "model.projector"))]
    assert vision and all(alone[0][name].abs().max() > 0 for name in vision if "bias" in name)
    for name, gradient in together.items():
        expected = sum(found[name] for found in alone if name in found)
        torch.testing.assert_close(gradient, expected, atol=2e-5, rtol=1e-3)


def test_mixed_rows_train_the_vision_side_by_their_own_pictures(rows, collator):
    """A row without pictures takes none of its neighbours' (reported: features in other rows)."""
    model = small_model()
    choose_trained(model, VISION)
    order = [1, 2, 4, 0]
    together = gradients_of(model, collator([rows[i] for i in order]), 10)
    alone = [gradients_of(model, collator([rows[i]]), 10) for i in (0, 2)]
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, alone[0][name] + alone[1][name], atol=2e-5, rtol=1e-3)


def test_a_step_says_nothing(rows, collator, capfd):
    """The released code prints a line or more a step."""
    model = small_model()
    choose_trained(model, PARTS)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with accelerator_for("cpu", "float32") as accelerator:
        capfd.readouterr()
        train_step(model, accelerator, optimizer, [collator(rows)], max_norm=1.0)
        model.eval()(**collator(rows))
    assert capfd.readouterr() == ("", "")


def test_a_quiet_run_says_nothing(make_config, capfd):
    train(make_config(epochs=1, eval_samples=1), quiet=True)
    assert capfd.readouterr() == ("", "")
