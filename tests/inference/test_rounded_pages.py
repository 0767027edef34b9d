"""Whole pages in bfloat16, from pixels to logits: no worse than the plain way, in C and by torch."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from deepseek_ocr.inference import cutting
from deepseek_ocr.inference.prompts import PromptMaker, Ticket
from deepseek_ocr.inference.scheduler import Row
from deepseek_ocr.inference.slots import SlotDecoder
from deepseek_ocr.model.native.library import SWITCH
from tests.inference.engines import SMALL, page, unlike_rows

SIZES = [(60, 60), (90, 200), (200, 90), (50, 60), (120, 60), (64, 150)]
REQUESTS = [
    ([page(*size, 7 * number + place)], f"<image>\n{prompt}")  # errors of one page are alike
    for number, prompt in enumerate(["Free OCR.", "Parse the figure.", "Describe.", "Read: "])
    for place, size in enumerate(SIZES)
]
STEPS = 3


@pytest.fixture(scope="module")
def answers():
    """An engine in bfloat16, tokens after each prompt, and logits: in float32, and plainly.

    Float32 has the same rounded weights, so that arithmetic alone differs.
    """
    draw = random.Random(5)
    tokens = [[draw.randrange(50, 250) for _ in range(STEPS)] for _ in REQUESTS]
    rounded = unlike_rows()
    rounded.model.to(torch.bfloat16)
    exact = copy.copy(rounded)
    exact.model = copy.deepcopy(rounded.model).float()
    pairs = list(zip(REQUESTS, tokens, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SWITCH, "0")
        truth, found = (
            torch.cat([plain(engine, *pair) for pair in pairs]) for engine in (exact, rounded)
        )
    return rounded, tokens, truth, found


@torch.no_grad()
def plain(engine, request, tokens) -> torch.Tensor:
    """(steps + 1, V) logits after the prompt and after each token: the model's own forward pass."""
    pictures, prompt = request
    inputs = engine.processor(images=pictures, text=[prompt], **SMALL)
    ids = inputs.pop("input_ids")
    inputs.pop("attention_mask")
    inputs = {
        name: value.to(engine.model.dtype) if torch.is_floating_point(value) else value
        for name, value in inputs.items()
    }
    both = torch.cat([ids, torch.tensor([tokens], dtype=ids.dtype)], dim=1)
    return engine.model(input_ids=both, **inputs).logits[0, ids.shape[1] - 1 :].float()


def fast(engine, requests, tokens) -> list[torch.Tensor]:
    """As `plain`, of all requests together, over slots."""
    maker = PromptMaker(engine.model, engine.processor, SMALL)
    rows = []
    for number, (pictures, prompt) in enumerate(requests):
        ticket = Ticket(number=number, pictures=pictures, prompt=prompt, mode=None)
        margin = engine.processor.image_processor.margin
        maker.encode(ticket, cutting.cut(pictures, maker.choices(None), margin))
        rows.append(Row(budget=STEPS + 1, request=ticket))
    with torch.no_grad():
        embeds = maker.embed(rows)
    longest = max(map(len, embeds)) + STEPS
    decoder = SlotDecoder(engine.model, num_slots=len(rows), num_positions=longest)
    slots = list(range(len(rows)))
    found = [decoder.prefill(slots, embeds)]
    for step in range(STEPS):
        newest = torch.tensor([own[step] for own in tokens])
        found.append(decoder.step(torch.tensor(slots), newest))
    return list(torch.stack(found, dim=1))


@pytest.mark.parametrize("switch", ["1", "0"])
def test_the_error_of_a_page_is_that_of_the_plain_way_at_most(answers, switch, monkeypatch):
    """Beside float32, root mean square, and the best token where it is clear."""
    engine, tokens, truth, found = answers
    allowed = (found - truth).square().mean().sqrt()
    monkeypatch.setenv(SWITCH, switch)
    ours = torch.cat(fast(engine, REQUESTS, tokens))
    assert ours.shape == truth.shape
    assert (ours - truth).square().mean().sqrt() <= 1.25 * allowed
    best = truth.topk(2).values
    clear = best[:, 0] - best[:, 1] > 4 * allowed
    assert clear.any()
    assert (ours.argmax(-1) == truth.argmax(-1))[clear].all()
