"""The figures of a step: what they hold, and how uneven experts are told."""

from __future__ import annotations

import torch

from deepseek_ocr.training.optimization.step import StepResult
from deepseek_ocr.training.reporting.figures import (
    load_figures,
    progress_notes,
    step_figures,
    used_memory,
)

CPU = torch.device("cpu")


def result(**changes) -> StepResult:
    values = {
        "loss": 0.5,
        "glyph_loss": None,
        "balance_loss": None,
        "expert_load": None,
        "grad_norm": 2.0,
        "num_learned": 30,
        "learned_weight": 30.0,
        "num_positions": 100,
        "num_rows": 4,
    }
    return StepResult(**(values | changes))


def test_rates_are_a_second():
    figures = step_figures(result(), lr=1e-4, seconds=2.0, device=CPU)
    assert (figures["tokens_per_s"], figures["samples_per_s"]) == (50.0, 2.0)
    assert figures["loss"] == 0.5 and figures["lr"] == 1e-4 and figures["grad_norm"] == 2.0
    assert not figures.keys() & {"glyph_loss", "balance_loss", "busiest_expert"}


def test_what_a_model_has_besides_is_told_too():
    load = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]])
    found = step_figures(
        result(balance_loss=0.01, glyph_loss=3.0, expert_load=load), lr=1.0, seconds=1.0, device=CPU
    )
    assert found["balance_loss"] == 0.01 and found["glyph_loss"] == 3.0
    assert (found["busiest_expert"], found["unused_experts"]) == (2.0, 2)


def test_even_experts_are_one():
    assert load_figures(torch.full((3, 8), 1 / 8)) == {"busiest_expert": 1.0, "unused_experts": 0}


def test_beside_the_bar_stand_loss_rates_and_memory():
    notes = progress_notes(step_figures(result(), lr=1e-4, seconds=2.0, device=CPU))
    assert list(notes) == ["loss", "lr", "tokens/s", "samples/s", "memory"]
    assert notes["loss"] == "0.5000" and notes["lr"] == "1.00e-04" and notes["samples/s"] == "2"


def test_a_process_holds_some_memory():
    assert 10**7 < used_memory(CPU) < 10**12
