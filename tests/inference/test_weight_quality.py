"""What quantized weights change under true answers is measured, not guessed."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.inference.weight_quality import (
    ExactLogits,
    LogitErrors,
    TrueAnswer,
    add_errors,
    answer_states,
    weight_bytes,
)
from deepseek_ocr.model.weight_only import quantize_weights
from tests.training.samples import small_model, small_processor

torch.set_num_threads(1)  # small products; more threads only wait for each other

SIZES = {"moe_intermediate_size": 32, "intermediate_size": 64}
"""Rows of four-bit weights come in multiples of 32."""
PAGE = Image.new("RGB", (150, 90), "white")
ROWS = [
    TrueAnswer(pages=[PAGE], prompt="<image>\nRead.", text="Total 9.50"),
    TrueAnswer(pages=[], prompt="Say nothing.", text=""),
    TrueAnswer(pages=[PAGE, PAGE], prompt="<image><image>\nBoth.", text="a cat\nsat"),
]


def engine(quantize: str | None = None) -> OcrEngine:
    model = small_model(**SIZES).eval()
    if quantize is not None:
        quantize_weights(model, quantize)
    return OcrEngine(model, small_processor())


def errors_of(other: OcrEngine) -> LogitErrors:
    exact, errors = ExactLogits(engine()), LogitErrors()
    for row in ROWS:
        exact.add(row)
    exact.forget_model()
    for number, row in enumerate(ROWS):
        exact.compare(number, other, row, errors)
    return errors


def test_the_same_weights_make_no_difference():
    errors = errors_of(engine())
    assert (errors.relative_error, errors.agreement, errors.mean_divergence) == (0, 1, 0)


def test_every_answer_token_and_every_end_counts():
    tokenize = small_processor().tokenize
    assert errors_of(engine()).num_tokens == sum(len(tokenize(row.text)) + 1 for row in ROWS)


def test_fewer_bits_change_more():
    eight, four = errors_of(engine("int8")), errors_of(engine("int4"))
    assert 0 < eight.relative_error < 0.05 < four.relative_error < 1
    assert 0 < eight.mean_divergence < four.mean_divergence
    assert four.agreement <= eight.agreement <= 1


def test_the_states_are_those_that_the_answer_is_told_from():
    one = engine()
    row = ROWS[0]
    inputs = one.processor(images=[PAGE], text=[row.prompt], answers=[row.text])
    labels = inputs.pop("labels")[0]
    with torch.no_grad():
        logits = one.model(**inputs).logits[0]
        ours = one.model.lm_head(answer_states(one, row))
    torch.testing.assert_close(ours, logits[:-1][labels[1:] != -100])


def test_a_long_row_is_compared_in_parts(monkeypatch):
    whole = errors_of(engine("int8"))
    monkeypatch.setattr("deepseek_ocr.inference.weight_quality.LOGITS_AT_ONCE", 2 * 1024)
    parts = errors_of(engine("int8"))
    assert parts.relative_error == pytest.approx(whole.relative_error, rel=1e-5)
    assert (parts.num_tokens, parts.num_same) == (whole.num_tokens, whole.num_same)


def test_the_figures_of_known_logits():
    errors = LogitErrors()
    exact = torch.tensor([[0.0, math.log(3)], [1.0, 0.0]])
    add_errors(errors, exact, torch.tensor([[5.0, 5.0], [8.0, 7.0]]))  # the second only moved
    assert (errors.num_tokens, errors.agreement) == (2, 0.5)
    half = math.log(3) / 2
    assert errors.relative_error == pytest.approx(math.sqrt(half**2 / (half**2 + 0.25)), rel=1e-5)
    known = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert errors.mean_divergence == pytest.approx(known / 2, rel=1e-5)


def test_without_tokens_there_are_no_figures():
    errors = LogitErrors()
    assert (errors.relative_error, errors.agreement, errors.mean_divergence) == (None,) * 3


@pytest.mark.parametrize(
    "row, message",
    [
        (TrueAnswer(pages=[], prompt="<image>", text="a"), "<image> marks"),
        (TrueAnswer(pages=[], prompt="a", text="<image>"), "special token"),
        (TrueAnswer(pages=[], prompt="a", text="b" * 300), "the model has 256"),
    ],
)
def test_a_row_that_cannot_be_compared_is_refused(row, message):
    with pytest.raises(ValueError, match=message):
        ExactLogits(engine()).add(row)


def test_packed_weights_take_less():
    full, eight, four = (weight_bytes(engine(way).model) for way in (None, "int8", "int4"))
    assert four < eight < full
