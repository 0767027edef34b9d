"""A run that ended early goes on exactly, and only as the same run."""

from __future__ import annotations

import json
import signal

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.training import train
from deepseek_ocr.training.checkpoints import checkpoint
from deepseek_ocr.training.checkpoints.checkpoint import read_checkpoint
from deepseek_ocr.training.checkpoints.identity import describe_run, find_differences
from deepseek_ocr.training.run import alone_in

from .runs import Killed, content_of, interrupt_after, killed, losses_of
from .samples import write_rows

WAYS = {
    "full": {},
    "lora": {"tune": "lora", "lora_dropout": 0.2},
    "dora": {"tune": "dora"},
    "accumulation": {"grad_accum": 3, "batch_size": 1, "epochs": 3},
    "average": {"ema": 0.9},
    "average of an adapter": {"tune": "lora", "ema": 0.9},
    "packing": {"packing": True, "batch_size": 1},
    "by length": {"max_tokens_per_batch": 64},
    "adafactor": {"optimizer": "adafactor"},
    "rates of parts": {"part_lr": ("vision=1e-3", "head=0"), "lr_schedule": "wsd"},
    "smoothing": {"label_smoothing": 0.1, "balance_loss_weight": 0.5},
    "recomputed": {"gradient_checkpointing": "all", "tune": "lora", "lora_dropout": 0.2},
    "read": {"eval_samples": 2, "eval_max_new_tokens": 3, "best_metric": "cer", "eval_steps": 2},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
def test_a_killed_run_goes_on_exactly(make_config, monkeypatch, settings):
    whole, stopped = (make_config(name, save_steps=2, **settings) for name in ("a", "b"))
    train(whole, quiet=True)
    restore = interrupt_after(monkeypatch, len(losses_of(whole)) - 1, killed)
    with pytest.raises(Killed):
        train(stopped, quiet=True)
    restore()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert_same_checkpoints(stopped.output_dir, whole.output_dir)


def assert_same_checkpoints(folder, other):
    """The same names, the same bytes, the same links."""
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert names == {path.name for path in other.iterdir() if path.is_dir()}
    for name in names:
        first, second = content_of(folder / name), content_of(other / name)
        assert first.keys() == second.keys()
        assert [file for file in first if first[file] != second[file]] == [], name
    for name in ("last", "best"):
        assert (folder / name).readlink() == (other / name).readlink()


def test_settings_that_change_nothing_may_change_when_a_run_goes_on(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b", num_workers=1)
    train(whole, quiet=True)
    restore = interrupt_after(monkeypatch, 4, killed)
    with pytest.raises(Killed):
        train(stopped, quiet=True)
    restore()
    train(make_config("b", num_workers=0, patience=9, gradient_checkpointing="decoder"), quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert_same_checkpoints(stopped.output_dir, whole.output_dir)


def test_a_run_killed_while_it_saves_goes_on_exactly(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    original, count = checkpoint._sync_tree, iter(range(1, 100))

    def kill_in_second(path):
        if next(count) == 2:
            monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda *_, **__: None)
            killed()
        original(path)

    with monkeypatch.context() as patched:
        monkeypatch = patched
        patched.setattr(checkpoint, "_sync_tree", kill_in_second)
        with pytest.raises(Killed):
            train(stopped, quiet=True)
    left_over = [path for path in stopped.output_dir.iterdir() if path.suffix == ".tmp"]
    assert len(left_over) == 1
    train(stopped, quiet=True)
    assert not left_over[0].exists()
    assert losses_of(stopped) == losses_of(whole)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_ends(make_config, monkeypatch, number):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    handler = signal.getsignal(number)
    restore = interrupt_after(monkeypatch, 2, lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, quiet=True)
    restore()
    assert signal.getsignal(number) is handler
    name = (stopped.output_dir / "last").readlink().name
    assert read_checkpoint(stopped.output_dir / name).position.step == int(name[-1]) < 6
    assert " event=interrupted " in (stopped.output_dir / "experiment_logs.txt").read_text()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


def test_a_finished_run_is_not_repeated(make_config):
    config = make_config(epochs=1)
    best = train(config, quiet=True)
    before = content_of(best)
    assert train(config, quiet=True) == best
    assert content_of(best) == before
    rows = map(json.loads, (config.output_dir / "metrics.jsonl").open())
    events = ["start", "validation", *["step"] * 3, "validation", "epoch", "saved", "end"]
    assert [row["event"] for row in rows] == events


def test_an_earlier_checkpoint_can_be_gone_on_from(make_config):
    config = make_config()
    train(config, quiet=True)
    before = content_of(config.output_dir / "epoch-2")
    train(make_config(resume=str(config.output_dir / "epoch-1")), quiet=True)
    assert content_of(config.output_dir / "epoch-2") == before


def test_another_run_in_the_folder_is_refused_and_the_difference_named(make_config, folder):
    config = make_config(epochs=1)
    train(config, quiet=True)
    before = content_of(config.output_dir)
    with pytest.raises(UserError, match=r"another run: --lr was 0.01, now 0.001\nRepeat"):
        train(make_config(epochs=1, lr=1e-3), quiet=True)
    with pytest.raises(UserError, match="--val_file has another content"):
        train(make_config(epochs=1, val_file=None), quiet=True)
    with pytest.raises(UserError, match=r"holds a run .*--resume auto"):
        train(make_config(epochs=1, resume="none"), quiet=True)
    with pytest.raises(UserError, match="not a checkpoint"):
        train(make_config(epochs=1, resume=str(folder)), quiet=True)
    assert content_of(config.output_dir) == before


def test_a_longer_run_is_another_and_how_to_train_further_is_said(make_config):
    config = make_config(epochs=1, val_file=None)
    train(config, quiet=True)
    with pytest.raises(UserError) as caught:
        train(make_config(epochs=3, val_file=None), quiet=True)
    last = config.output_dir / "last"
    assert str(caught.value) == (
        f"{config.output_dir / 'epoch-1'}: belongs to another run: --epochs was 1, now 3\n"
        "--epochs decides the learning rate's course; to train further, start another run: "
        f"--model_path {last} --output_dir OTHER"
    )


def test_the_difference_is_that_to_the_latest_checkpoint(make_config):
    config = make_config()
    train(config, quiet=True)
    with pytest.raises(UserError, match=r"epoch-2: belongs to another run: --lr"):
        train(make_config(lr=1e-3), quiet=True)


@pytest.mark.parametrize("name", ["feature_cache", "compile"])
def test_what_rounds_otherwise_is_another_run(make_config, tmp_path, name):
    config = make_config(epochs=1)
    run = describe_run(config, {}, 1)
    other = make_config(epochs=1, parts="head", **{name: tmp_path if "_" in name else True})
    differences = find_differences(run, describe_run(other, {}, 1))
    assert differences[name] == f"--{name} was off, now on"
    older = {**run, "settings": {k: v for k, v in run["settings"].items() if k != name}}
    assert name not in find_differences(older, run)


def test_the_guards_rows_may_change_and_it_is_said(make_config, folder, tmp_path, capsys):
    rows = json.loads((folder / "val.json").read_text())
    guard = write_rows(tmp_path / "guard.json", rows[:1])
    config = make_config(guard_file=guard)
    with pytest.MonkeyPatch.context() as patched:
        interrupt_after(patched, 2, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            train(config, quiet=True)
    write_rows(guard, rows[1:])
    train(config)
    assert "note: --guard_file has another content than before" in capsys.readouterr().err
    start = next(map(json.loads, (config.output_dir / "metrics.jsonl").open()))
    assert start["event"] == "start" and len(start["sha256"]["guard_file"]) == 64


def test_a_finished_run_is_finished_under_any_number_of_processes(make_config, capsys):
    config = make_config(epochs=1)
    best = train(config, quiet=True)
    for checkpoint_file in config.output_dir.glob("epoch-*/trainer_state/state.json"):
        content = json.loads(checkpoint_file.read_text())
        content["run"]["settings"]["num_processes"] = 2
        checkpoint_file.write_text(json.dumps(content))
    before = content_of(best)
    assert train(config) == best
    assert "already finished; to train further, start another run" in capsys.readouterr().err
    assert content_of(best) == before
    with pytest.raises(UserError, match="the number of processes was 2, now 1"):
        train(make_config(epochs=1, resume="auto", lr=1e-3), quiet=True)


def test_the_guard_is_measured_without_rows_that_choose(make_config, folder):
    config = make_config(val_file=None, guard_file=folder / "val.json", eval_steps=2)
    assert train(config, quiet=True).name == "epoch-2"
    rows = map(json.loads, (config.output_dir / "metrics.jsonl").open())
    measured = [row for row in rows if row["event"] == "validation"]
    assert [row["step"] for row in measured] == [0, 2, 3, 4, 6]
    assert all("guard_loss" in row and "loss" not in row for row in measured)


def test_an_output_folder_that_is_a_file_is_refused_at_once(make_config):
    config = make_config()
    config.output_dir.write_text("x")
    with pytest.raises(UserError, match=r"out is a file\)"):
        train(config, quiet=True)


def test_a_resumed_run_learns_with_the_balance_loss(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    restore = interrupt_after(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, quiet=True)
    restore()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)


def test_two_runs_cannot_write_to_one_folder(make_config):
    config = make_config(epochs=1)
    config.output_dir.mkdir()
    with (
        alone_in(config.output_dir),
        pytest.raises(UserError, match=r"another train\.py or test\.py is writing"),
    ):
        train(config, quiet=True)
    assert list(config.output_dir.iterdir()) == []
    train(config, quiet=True)


@pytest.mark.parametrize("name", ["epoch-1", "step-3", "last"])
def test_folders_of_others_are_not_replaced(name, make_config):
    config = make_config()
    mine = config.output_dir / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("thesis")
    with pytest.raises(UserError, match="was not written by"):
        train(config, quiet=True)
    assert mine.read_text() == "thesis"
