"""The learning rate of each step, against known values and `transformers`' own schedules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import optimization

from deepseek_ocr.training.optimization.schedule import Schedule

NAMES = ("cosine", "linear", "constant", "wsd")


def shares(name: str, num_steps: int, warmup_ratio: float, **others: float) -> list[float]:
    schedule = Schedule(name=name, num_steps=num_steps, warmup_ratio=warmup_ratio, **others)
    return [schedule(step) for step in range(num_steps)]


@pytest.mark.parametrize(
    "name, expected",
    [
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("wsd", [0.5, 1.0, 1.0, 1.0, 1.0, 0.292893]),
    ],
)
def test_known_schedules(name, expected):
    assert shares(name, 6, 1 / 3, decay_ratio=1 / 3) == pytest.approx(expected, abs=1e-6)


@given(st.sampled_from(NAMES), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_every_step_learns_and_the_rate_rises_to_its_peak_then_falls(
    name, num_steps, warmup_ratio, decay_ratio
):
    found = shares(name, num_steps, warmup_ratio, decay_ratio=decay_ratio)
    assert all(0 < share <= 1 for share in found)
    assert max(found) == pytest.approx(1)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize(
    "num_steps, ratio, expected",
    [
        (18, 0.03, 4),  # a share of 0.54 steps would start at the full rate
        (100, 0.03, 5),
        (1000, 0.03, 30),
        (100, 0.051, 6),
        (3, 0.03, 1),
        (1, 0.03, 1),
        (100, 0.0, 0),
    ],
)
def test_of_few_steps_warm_up_takes_more_than_its_share(num_steps, ratio, expected):
    schedule = Schedule(name="cosine", num_steps=num_steps, warmup_ratio=ratio)
    assert schedule.num_warmup == expected


@pytest.mark.parametrize("warmup_steps, expected", [(0, 0), (1, 1), (7, 7), (30, 10)])
def test_a_number_of_steps_takes_the_place_of_the_share(warmup_steps, expected):
    schedule = Schedule(name="cosine", num_steps=10, warmup_ratio=0.5, warmup_steps=warmup_steps)
    assert schedule.num_warmup == expected
    assert [schedule(step) for step in range(10)].index(1.0) == max(expected - 1, 0)


THEIRS = {
    "cosine": lambda o, warmup, steps: optimization.get_cosine_schedule_with_warmup(
        o, warmup, steps
    ),
    "linear": lambda o, warmup, steps: optimization.get_linear_schedule_with_warmup(
        o, warmup, steps
    ),
    "constant": lambda o, warmup, steps: optimization.get_constant_schedule_with_warmup(o, warmup),
    "wsd": lambda o, warmup, steps: optimization.get_wsd_schedule(
        o, warmup, math.ceil(0.2 * steps), num_training_steps=steps, decay_type="1-sqrt"
    ),
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("num_steps, num_warmup", [(20, 0), (25, 5), (7, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_after_warm_up_the_rates_are_those_of_transformers(name, num_steps, num_warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = THEIRS[name](optimizer, num_warmup, num_steps)
    theirs = []
    for _ in range(num_steps):
        theirs.append(scheduler.get_last_lr()[0])
        scheduler.step()
    ours = shares(name, num_steps, num_warmup / num_steps, decay_ratio=0.2)
    assert ours[num_warmup:] == pytest.approx(theirs[num_warmup:], abs=1e-12)
    assert ours[: max(num_warmup - 1, 0)] == pytest.approx(theirs[1 : max(num_warmup, 1)])
