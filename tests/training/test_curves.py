"""Curves show a run once, however often it was resumed, and what they leave out cannot be seen."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from deepseek_ocr.runlog import RunLog
from deepseek_ocr.training.checkpoints.checkpoint import LAST, Position
from deepseek_ocr.training.reporting.curves import (
    DRAWN,
    Best,
    draw_curves,
    find_best,
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
            found = {"cer": 1.81 / (1 + step), "guard_cer": 0.1} if reads else {}
            rows.append({"event": "validation", "step": step, "loss": 6 / (1 + step)} | found)
    lines = [json.dumps({"command": "train", **row}) for row in rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def write_best(folder, metric="loss", **position):
    state = folder / "step-30" / "trainer_state"
    state.mkdir(parents=True)
    run = {"settings": {"best_metric": metric}}
    content = {"position": dataclasses.asdict(Position(**position)), "run": run, "scaler": {}}
    (state / "state.json").write_text(json.dumps(content))
    (folder / LAST).symlink_to("step-30")


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the pictures that are drawn, from top to bottom, by their labels."""
    found = {}
    original = Figure.savefig

    def keep(figure, *args, **kwargs):
        found.clear()
        found.update({axis.get_ylabel(): axis for axis in figure.axes})
        original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def stars_on(axis):
    return [line.get_label() for line in axis.lines if line.get_marker() == "*"]


def arrows_on(axis):
    return [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "^"]


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


@pytest.mark.parametrize(
    "metric, label, value",
    [("loss", "loss per token", 6 / 21), ("cer", "character error rate", 1.81 / 21)],
)
def test_the_star_stands_in_the_panel_of_the_figure_that_chose(
    tmp_path, drawn, metric, label, value
):
    write_run(tmp_path, 30)
    draw_curves(tmp_path)
    assert not any(map(stars_on, drawn.values()))
    # the folder `best` itself may have lost its state: the newest checkpoint knows
    write_best(tmp_path, metric, step=30, best="epoch-2", best_value=value)
    assert find_best(tmp_path, read_curves(tmp_path, DRAWN)) == Best(metric=metric, step=20)
    draw_curves(tmp_path)
    stars = {name: stars_on(axis) for name, axis in drawn.items() if stars_on(axis)}
    assert stars == {label: [f"best: {value:.4g} after step 20"]}


def test_a_figure_that_chose_has_a_panel(tmp_path, drawn):
    write_run(tmp_path, 20)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        for step, wer in [(10, 0.7), (20, 0.4)]:
            row = {"command": "train", "event": "validation", "step": step, "wer": wer}
            file.write(json.dumps(row) + "\n")
    draw_curves(tmp_path)
    assert "word error rate" not in drawn
    write_best(tmp_path, "wer", step=20, best="step-20", best_value=0.4)
    draw_curves(tmp_path)
    assert stars_on(drawn["word error rate"]) == ["best: 0.4 after step 20"]


def test_without_validation_no_checkpoint_is_the_best(tmp_path):
    write_run(tmp_path, 30)
    write_best(tmp_path, step=20)
    assert find_best(tmp_path, read_curves(tmp_path, DRAWN)) is None


def test_the_model_before_training_is_never_the_best(tmp_path):
    write_run(tmp_path, 30)
    write_best(tmp_path, step=20, best="step-20", best_value=6.0)
    assert find_best(tmp_path, read_curves(tmp_path, DRAWN)) is None


def test_a_rate_above_one_is_seen_and_one_without_end_is_told_at_the_edge(tmp_path, drawn):
    write_run(tmp_path, 30)
    draw_curves(tmp_path)
    axis = drawn["character error rate"]
    assert axis.get_ylim()[1] > 1.81 and arrows_on(axis) == []
    log = RunLog(tmp_path, "train")
    log.metrics("validation", step=40, loss=1.0, cer=17.25)
    draw_curves(tmp_path)
    axis = drawn["character error rate"]
    assert 1.81 < axis.get_ylim()[1] < 2.5
    assert arrows_on(axis) == [40] and [text.get_text() for text in axis.texts] == ["17.2"]


def test_a_lone_spike_of_the_loss_is_told_at_the_edge(tmp_path, drawn):
    log_of_steps(tmp_path, [1.0] * 400 + [1e6] + [1.0] * 400)
    draw_curves(tmp_path)
    [axis, *_] = drawn.values()
    assert arrows_on(axis) == [401] and [text.get_text() for text in axis.texts] == ["1e+06"]


def log_of_steps(folder, losses):
    rows = [
        {"command": "train", "event": "step", "step": step, "loss": loss, "grad_norm": 1.0}
        for step, loss in enumerate(losses, start=1)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")


def test_many_steps_are_thin_and_smoothed_and_the_norm_has_its_panel(tmp_path, drawn):
    log_of_steps(tmp_path, [1.0 + step % 7 for step in range(5000)])
    draw_curves(tmp_path)
    raw, smooth = drawn["loss per token"].lines
    assert raw.get_alpha() < 0.5 and smooth.get_label() == "training, smoothed"
    assert max(len(line.get_xdata()) for line in (raw, smooth)) <= 2000
    assert "gradient norm" in drawn and "tokens/s" not in drawn


def test_a_torn_line_in_the_middle_loses_itself_alone(tmp_path):
    log_of_steps(tmp_path, [1.0] * 3)
    path = tmp_path / "metrics.jsonl"
    one, two, three = path.read_text().splitlines()
    path.write_text("\n".join([one, two[:9], three, "7"]) + "\n")
    assert list(read_curve(tmp_path, "step", "loss")) == [1, 3]


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
