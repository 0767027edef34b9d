"""Which checkpoints stay: the same ones, however often a run was stopped or killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.errors import UserError
from deepseek_ocr.training import train
from deepseek_ocr.training.checkpoints import retention
from deepseek_ocr.training.checkpoints.checkpoint import Checkpoint, Position
from deepseek_ocr.training.checkpoints.retention import outdated

from .killed import files_of, run
from .runs import Killed, content_of, interrupt_after, killed


def names_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def checkpoint(step: int, *, asked_for: bool) -> Checkpoint:
    name = f"epoch-{step}" if asked_for else f"step-{step}"
    return Checkpoint(
        path=Path(name), position=Position(step=step), run={}, scaler={}, asked_for=asked_for
    )


def kept_after(saves, keep):
    """The names that are left when these checkpoints were saved: step, asked for, is the best."""
    found, best = [], None
    for step, asked_for, is_best in saves:
        found.append(checkpoint(step, asked_for=asked_for))
        best = found[-1].path.name if is_best else best
        gone = outdated(found, Position(step=step, best=best), keep)
        found = [c for c in found if c.path not in gone]
    return [c.path.name for c in found], best


SAVES = st.lists(st.sampled_from([(True, True), (True, False), (False, True)]), max_size=12)


@given(SAVES, st.sets(st.integers(0, 12)), st.none() | st.integers(1, 4))
def test_what_stays_does_not_depend_on_where_a_run_was_stopped(kinds, stops, keep):
    whole = [(2 * n, *kind) for n, kind in enumerate(kinds, start=1)]
    stopped = sorted([*whole, *((2 * n + 1, False, False) for n in stops if n < len(kinds))])
    assert kept_after(stopped, keep) == kept_after(whole, keep)


@given(SAVES, st.integers(1, 4))
def test_so_many_checkpoints_stay_as_asked_and_best(kinds, keep):
    whole = [(n, *kind) for n, kind in enumerate(kinds, start=1)]
    names, best = kept_after(whole, keep)
    asked_for = [f"epoch-{n}" for n, (asked, _) in enumerate(kinds, start=1) if asked]
    assert len([name for name in names if name != best]) <= keep
    assert set(asked_for[-(keep - 1) :] if keep > 1 else []) <= set(names)
    if whole:
        assert names[-1].endswith(f"-{len(kinds)}") and best in (None, *names)


def test_without_a_number_all_that_was_asked_for_stays():
    saves = [(1, True, True), (2, False, True), (3, True, False), (4, False, False), (5, True, 0)]
    assert kept_after(saves, None)[0] == ["epoch-1", "step-2", "epoch-3", "epoch-5"]


def test_what_lies_after_the_position_is_not_touched():
    found = [checkpoint(n, asked_for=False) for n in (1, 2, 5)]
    assert outdated(found, Position(step=2), None) == [Path("step-1")]
    assert outdated([], Position(), 1) == []


@pytest.fixture
def flags(folder, tmp_path):
    """Of a run whose validation loss falls with each step."""
    named = {"data_root": folder / "pages", "model_path": folder / "model"}
    named |= {"train_file": folder / "train.json", "val_file": folder / "train.json"}
    named |= {"epochs": 1, "batch_size": 1, "lr": 1e-2, "eval_samples": 0, "device": "cpu"}
    return [*(f"--{name}={value}" for name, value in named.items()), "--eval_steps=1"]


def test_a_former_best_goes_also_when_the_run_was_killed_before_it_went(flags, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(whole, flags) == 0
    # a folder and two links, then the same again: next is the former best
    assert run(stopped, flags, ("os.rename", 6)) == -9
    assert {"step-1", "step-2"} <= names_of(stopped)
    assert run(stopped, flags) == 0
    assert names_of(stopped) == names_of(whole) and "step-1" not in names_of(whole)
    assert files_of(stopped / "last") == files_of(whole / "last")


def test_a_checkpoint_of_an_interruption_goes_when_there_is_a_newer_one(make_config, monkeypatch):
    config = make_config()
    restore = interrupt_after(monkeypatch, 2, _stop)
    with pytest.raises(KeyboardInterrupt):
        train(config, quiet=True)
    restore()
    assert (config.output_dir / "last").readlink().name == "step-2"
    train(config, quiet=True)
    assert {p.name for p in config.output_dir.iterdir() if p.is_dir() and not p.is_symlink()} == {
        "epoch-1",
        "epoch-2",
    }


def _stop():
    import signal

    signal.raise_signal(signal.SIGINT)


def test_so_many_epochs_and_steps_stay_as_asked(make_config):
    config = make_config(save_steps=1, keep=2, val_file=None)
    train(config, quiet=True)
    folders = {p.name for p in config.output_dir.iterdir() if p.is_dir() and not p.is_symlink()}
    assert folders == {"step-5", "epoch-2"}


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}], ids=["plain", "average"])
def test_the_model_alone_stays_of_all_but_the_last(make_config, monkeypatch, more):
    plain = make_config("plain", **more)
    train(plain, quiet=True)
    config = make_config(save_only_model=True, **more)
    original = retention._leave_the_model

    def kill_before(path):
        monkeypatch.setattr(retention, "_leave_the_model", original)
        killed()

    monkeypatch.setattr(retention, "_leave_the_model", kill_before)
    with pytest.raises(Killed):
        train(config, quiet=True)
    train(config, quiet=True)
    for name, whole in (("epoch-1", False), ("epoch-2", True)):
        here = content_of(config.output_dir / name)
        there = content_of(plain.output_dir / name)
        kept = {k: v for k, v in there.items() if whole or "trainer_state" not in k}
        assert {k: v for k, v in here.items() if not k.endswith("state.json")} == {
            k: v for k, v in kept.items() if not k.endswith("state.json")
        }
        assert "trainer_state/state.json" in here
    with pytest.raises(UserError, match=r"epoch-1: holds the model alone \(--save_only_model\)"):
        resume = str(config.output_dir / "epoch-1")
        train(make_config(save_only_model=True, resume=resume, **more), quiet=True)


def test_what_was_asked_for_stays_when_a_run_goes_on_without_asking(make_config, folder, tmp_path):
    config = make_config(save_steps=1, val_file=None, max_steps=4)
    train(config, quiet=True)
    before = names_of(config.output_dir)
    train(make_config(val_file=None, max_steps=4), quiet=True)
    assert names_of(config.output_dir) == before >= {"step-1", "step-2", "epoch-1", "step-4"}
