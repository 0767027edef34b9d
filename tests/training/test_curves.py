"""Curves show a run once, however often it was resumed, and what they leave out cannot be seen."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.runlog import RunLog
from deepseek_ocr.training.checkpoint import BEST, Position
from deepseek_ocr.training.curves import (
    DRAWN,
    best_step,
    draw_curves,
    read_curve,
    read_curves,
    smoothed,
    thinned,
)

CURVES = st.dictionaries(st.integers(0, 10**6), st.floats(-100, 100), min_size=1, max_size=80).map(
    lambda curve: dict(sorted(curve.items()))
)


def write_run(folder, num_steps, *, reads=True):
    rows = []
    for step in range(num_steps + 1):
        if step:
            rows.append({"event": "step", "step": step, "loss": 5 / step, "lr": 1e-4 / step})
        if step % 10 == 0:
            found = {"cer": 1 / (1 + step), "guard_cer": 0.1} if reads else {}
            rows.append({"event": "validation", "step": step, "loss": 6 / (1 + step)} | found)
    lines = [json.dumps({"command": "train", **row}) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def write_best(folder, **position):
    state = folder / "step-20" / "trainer_state"
    state.mkdir(parents=True)
    content = {"position": dataclasses.asdict(Position(**position)), "run": {}, "scaler": {}}
    (state / "state.json").write_text(json.dumps(content))
    (folder / BEST).symlink_to("step-20")


def colours_of(path):
    with Image.open(path) as picture:
        return {colour for _, colour in picture.convert("RGB").getcolors(10**6)}


def test_a_step_that_was_repeated_counts_once(tmp_path):
    log = RunLog(tmp_path, "train")
    for step, loss in [(1, 3.0), (2, 2.0), (3, 9.0), (2, 1.5), (3, 1.0)]:
        log.metrics("step", step=step, loss=loss)
    RunLog(tmp_path, "test").metrics("step", step=7, loss=7.0)
    assert read_curve(tmp_path, "step", "loss") == {1: 3.0, 2: 1.5, 3: 1.0}


def test_a_torn_line_and_an_absent_figure_are_no_points(tmp_path):
    write_run(tmp_path, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"command": "train", "event": "step", "st')
    assert list(read_curve(tmp_path, "step", "loss")) == [1, 2, 3]
    assert read_curve(tmp_path, "step", "of_nothing") == {}
    assert read_curve(tmp_path / "nowhere", "step", "loss") == {}


def test_one_pass_reads_all_figures(tmp_path):
    write_run(tmp_path, 20)
    curves = read_curves(tmp_path, DRAWN)
    for event, names in DRAWN.items():
        for name in names:
            assert curves[event, name] == read_curve(tmp_path, event, name)


@pytest.mark.parametrize("num_steps", [0, 1, 2, 30])
@pytest.mark.parametrize("reads", [True, False])
def test_a_picture_of_every_length_of_run(tmp_path, num_steps, reads):
    write_run(tmp_path, num_steps, reads=reads)
    path = draw_curves(tmp_path)
    with Image.open(path) as picture:
        assert picture.width == 960
    blue, orange = (0, 114, 178), (213, 94, 0)
    assert orange in colours_of(path)
    assert (blue in colours_of(path)) == (num_steps > 0)
    assert {entry.name for entry in tmp_path.iterdir()} == {"curves.png", "metrics.jsonl"}


def test_a_run_that_has_not_begun_has_an_empty_picture(tmp_path):
    assert draw_curves(tmp_path).exists()


def test_numbers_that_are_none_are_left_out(tmp_path):
    write_run(tmp_path, 5)
    RunLog(tmp_path, "train").metrics("step", step=6, loss=float("nan"), lr=float("inf"))
    assert draw_curves(tmp_path).exists()


def test_the_star_stands_at_the_checkpoint_that_validation_chose(tmp_path):
    write_run(tmp_path, 30)
    assert best_step(tmp_path) is None
    without = draw_curves(tmp_path).read_bytes()
    write_best(tmp_path, step=20, best="step-20", best_value=0.3)
    assert best_step(tmp_path) == 20
    assert draw_curves(tmp_path).read_bytes() != without


def test_without_validation_no_checkpoint_is_the_best(tmp_path):
    write_best(tmp_path, step=20)
    assert best_step(tmp_path) is None


@given(CURVES, st.sampled_from([4, 10, 50]))
def test_a_thinned_line_keeps_its_height_and_its_order(curve, most):
    steps, values = thinned(curve, most)
    assert len(steps) <= most or len(steps) == len(curve)
    assert (max(values), min(values)) == (max(curve.values()), min(curve.values()))
    assert all(curve[int(step)] == value for step, value in zip(steps, values, strict=True))
    assert (np.diff(steps) > 0).all()


@given(CURVES, st.sampled_from([4, 10, 50]))
def test_a_smoothed_line_stays_between_the_extremes(curve, most):
    steps, values = smoothed(curve, most)
    assert len(steps) <= min(most, len(curve))
    assert min(curve.values()) - 1e-6 <= min(values) <= max(values) <= max(curve.values()) + 1e-6
    assert set(steps) <= set(map(float, curve))


def test_few_steps_are_not_smoothed():
    curve = {step: float(step % 7) for step in range(1, 40)}
    steps, values = smoothed(curve)
    assert dict(zip(steps, values, strict=True)) == pytest.approx(curve)


def test_a_straight_line_is_its_own_mean():
    curve = {step: 3.0 * step for step in range(1, 1001)}
    steps, values = smoothed(curve)
    assert values == pytest.approx(3.0 * steps)
