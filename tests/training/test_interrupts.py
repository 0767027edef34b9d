"""A run that is asked to stop says so at once, stops soon, and loses nothing."""

from __future__ import annotations

import signal

import pytest

from deepseek_ocr.training import train
from deepseek_ocr.training.interrupts import NOTICE, StopRequest
from deepseek_ocr.training.reporting.curves import read_curve
from deepseek_ocr.training.validation.reading import RowReader
from deepseek_ocr.training.validation.validator import Validator

from .runs import content_of, events_of, interrupt_after, losses_of, weights_of

READS = {"eval_samples": 2, "eval_max_new_tokens": 2, "best_metric": "cer", "batch_size": 1}


def stop_while(monkeypatch, owner, name, number=1):
    """A signal at the call of that number of a method; what puts the method back."""
    original, calls = getattr(owner, name), iter(range(1, 1000))

    def stopping(*args, **kwargs):
        if next(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, stopping)
    return lambda: monkeypatch.setattr(owner, name, original)


def test_the_first_signal_is_answered_at_once_and_the_second_ends(capfd):
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested and capfd.readouterr().err == f"{NOTICE}\n"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_quiet_run_does_not_answer(capfd):
    with StopRequest(quiet=True) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested and capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [2, 3])  # in mid-run, and after the last step
@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"eval_steps": 2, "max_steps": 8}], ids=str)
def test_a_validation_that_was_stopped_is_made_up_for(make_config, monkeypatch, number, settings):
    whole, stopped = make_config("a", **READS | settings), make_config("b", **READS | settings)
    train(whole, quiet=True)
    restore = stop_while(monkeypatch, RowReader, "read", number)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, quiet=True)
    restore()
    validated = read_curve(stopped.output_dir, "validation", "loss")
    assert len(validated) == number - 1 and max(losses_of(stopped)) > max(validated)
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    for event in ("validation", "epoch"):
        curves = [read_curve(run.output_dir, event, "loss") for run in (stopped, whole)]
        assert curves[0] == curves[1]
    for name in ("last", "best"):
        links = [run.output_dir / name for run in (stopped, whole)]
        assert links[0].readlink() == links[1].readlink()
        assert content_of(links[0].resolve()) == content_of(links[1].resolve())


def test_a_run_that_is_stopped_before_its_first_step_has_nothing_to_save(
    make_config, monkeypatch, capfd
):
    config = make_config(**READS)
    restore = stop_while(monkeypatch, RowReader, "read")
    with pytest.raises(KeyboardInterrupt):
        train(config)
    restore()
    told = capfd.readouterr().err
    assert NOTICE in told
    assert "stopped before the first step; nothing was saved; the same command starts" in told
    assert not (config.output_dir / "last").exists() and "interrupted" in events_of(config)
    train(config, quiet=True)
    assert weights_of(config)


def test_a_stop_while_the_last_batch_is_measured_ends_before_the_next_step(
    make_config, monkeypatch
):
    config = make_config(eval_steps=1)
    restore = stop_while(monkeypatch, Validator, "_tell", 2)
    with pytest.raises(KeyboardInterrupt):
        train(config, quiet=True)
    restore()
    assert list(losses_of(config)) == [1]
    assert list(read_curve(config.output_dir, "validation", "loss")) == [0, 1]


def test_what_is_saved_is_said_to_those_who_ask_twice(make_config, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    interrupt_after(monkeypatch, 4, twice)
    with pytest.raises(KeyboardInterrupt, match=r"^saved after step 3; the same command goes on"):
        train(make_config(), quiet=True)


def test_the_measuring_before_the_first_step_can_be_left_out(make_config):
    config = make_config(eval_at_start=False)
    train(config, quiet=True)
    assert min(read_curve(config.output_dir, "validation", "loss")) == 3
