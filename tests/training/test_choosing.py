"""What validation decides: which checkpoint is the best, and when to stop early."""

from __future__ import annotations

import json

import pytest

from deepseek_ocr.training import TrainConfig, train
from deepseek_ocr.training.checkpoints.checkpoint import read_checkpoint
from deepseek_ocr.training.validation.validator import Validator

from .runs import Killed, content_of, events_of, interrupt_after, killed, losses_of


@pytest.fixture
def measured(monkeypatch):
    """Validations give these figures, one after the other: step -> figure. The last one stays."""

    def give(figures: dict[int, float], metric: str = "loss") -> list[int]:
        steps: list[int] = []

        def measure(self, model, *, step, epoch):
            steps.append(step)
            found = {"loss": 1.0, metric: figures[max(s for s in figures if s <= step)]}
            self.log.metrics("validation", epoch=epoch, step=step, **found)
            return found

        monkeypatch.setattr(Validator, "measure", measure)
        return steps

    return give


def checkpoints_of(config: TrainConfig) -> set[str]:
    return {path.name for path in config.output_dir.iterdir() if path.is_dir()} - {"last", "best"}


def best_of(config: TrainConfig) -> str:
    return (config.output_dir / "best").readlink().name


def test_rows_are_measured_before_the_first_step_and_then_as_asked(make_config, measured):
    steps = measured({0: 3.0})
    train(make_config(eval_steps=2), quiet=True)
    assert steps == [0, 2, 3, 4, 6]


def test_the_best_by_validation_is_saved_whenever_it_comes(make_config, measured):
    measured({0: 9.0, 2: 3.0, 3: 4.0, 4: 2.0, 5: 5.0})
    config = make_config(eval_steps=1)
    assert train(config, quiet=True).name == "step-4"
    assert checkpoints_of(config) == {"epoch-1", "step-4", "epoch-2"}  # step-1 and 2 were better


def test_checkpoints_that_were_asked_for_stay_when_a_better_one_comes(make_config, measured):
    measured({0: 9.0, 2: 3.0, 4: 2.0})
    config = make_config(eval_steps=2, save_steps=2)
    train(config, quiet=True)
    assert checkpoints_of(config) == {"step-2", "epoch-1", "step-4", "epoch-2"}


@pytest.mark.parametrize("metric, best", [("cer", "epoch-1"), ("edit_similarity", "epoch-2")])
def test_the_metric_decides_which_way_is_better(make_config, measured, metric, best):
    measured({0: 0.5, 3: 0.2, 6: 0.4}, metric)
    assert train(make_config(best_metric=metric, eval_samples=1), quiet=True).name == best


def test_a_run_ends_when_patience_does(make_config, measured, capsys):
    steps = measured({0: 9.0, 1: 2.0, 2: 3.0})
    config = make_config(eval_steps=1, patience=2)
    assert train(config).name == "step-1"
    assert steps == [0, 1, 2, 3] and list(losses_of(config)) == [1, 2, 3]
    assert "early_stop" in events_of(config)
    told = capsys.readouterr().err
    assert "stopped early after step 3 of 6: 2 validations without a better loss than" in told
    assert read_checkpoint(config.output_dir / "last").position.bad_validations == 2


def test_a_run_that_ended_early_is_finished_until_it_may_go_on(make_config, measured, capsys):
    steps = measured({0: 9.0, 1: 2.0, 2: 3.0})
    train(make_config(eval_steps=1, patience=2), quiet=True)
    before = content_of(make_config().output_dir / "last")
    del steps[:]
    train(make_config(eval_steps=1, patience=2))
    assert "already finished" in capsys.readouterr().err
    assert steps == [] and content_of(make_config().output_dir / "last") == before
    train(make_config(eval_steps=1, patience=4), quiet=True)
    assert steps == [4, 5]


def test_where_a_run_ended_early_nothing_is_left_when_it_went_on(make_config, measured):
    measured({0: 9.0, 1: 2.0, 2: 3.0})
    config = make_config(eval_steps=1, patience=1)
    train(config, quiet=True)
    assert checkpoints_of(config) == {"step-1", "step-2"}  # best and last
    train(make_config(eval_steps=1, patience=9), quiet=True)
    assert checkpoints_of(config) == {"step-1", "epoch-1", "epoch-2"}


def test_patience_goes_on_where_a_killed_run_was(make_config, measured, monkeypatch):
    steps = measured({0: 9.0, 1: 2.0, 2: 3.0})
    config = make_config(eval_steps=1, save_steps=1, patience=4)
    restore = interrupt_after(monkeypatch, 4, killed)
    with pytest.raises(Killed):
        train(config, quiet=True)
    restore()
    train(config, quiet=True)
    assert steps == [0, 1, 2, 3, 4, 5]


def test_that_nothing_became_better_is_said(make_config, measured, capsys):
    measured({0: 0.1, 3: 0.3})
    config = make_config()
    train(config)
    assert "no checkpoint is better than the model before training (loss 0.1000" in (
        capsys.readouterr().err
    )
    assert "no_gain" in events_of(config)


def test_figures_that_are_no_numbers_are_never_the_best(make_config, measured):
    measured({0: 1.0, 3: float("nan"), 6: 0.5})
    assert train(make_config(), quiet=True).name == "epoch-2"


def test_validation_rows_are_measured_on_the_average(make_config):
    """With a decay of 0 the average is the weights; else it lags behind them."""
    plain, same, behind = make_config("a"), make_config("b", ema=0.0), make_config("c", ema=0.999)
    found = []
    for config in (plain, same, behind):
        train(config, quiet=True)
        rows = map(json.loads, (config.output_dir / "metrics.jsonl").open())
        found.append([row["loss"] for row in rows if row["event"] == "validation"])
    assert found[0] == found[1] and found[0][0] == found[2][0]
    assert found[0][1] != found[2][1]
    assert losses_of(plain) == losses_of(behind)  # what is learned is the same
