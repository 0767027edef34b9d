"""What ends training early: said in plain lines, with what was learned saved."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from deepseek_ocr.training import TrainingError, loop, train
from deepseek_ocr.training.batching.batches import shuffled
from deepseek_ocr.training.checkpoints import checkpoint
from deepseek_ocr.training.optimization.not_finite import NotFinite, Place
from deepseek_ocr.training.reporting.curves import read_curve

from .runs import content_of, interrupt_after, losses_of, weights_of


@pytest.fixture
def breakable(folder, make_config, tmp_path):
    """A maker of settings over pages of their own; and how to break one, and mend it."""
    pages = tmp_path / "pages"
    shutil.copytree(folder / "pages", pages)

    def make(output_dir, **settings):
        config = make_config(output_dir, batch_size=1, **settings)
        return dataclasses.replace(config, data_root=pages)

    return make, pages


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_picture_that_breaks_ends_the_run_with_what_was_learned(
    breakable, monkeypatch, num_workers
):
    make, pages = breakable
    whole, stopped = make("a"), make("b", num_workers=num_workers)
    train(whole, quiet=True)
    name = f"{shuffled(5, seed=42, epoch=2)[1]}.png"
    content = (pages / name).read_bytes()
    # the pages of the first epoch have been read
    restore = interrupt_after(monkeypatch, 5, lambda: (pages / name).write_bytes(b"broken"))
    with pytest.raises(TrainingError) as caught:
        train(stopped, quiet=True)
    restore()
    assert caught.value.exit_code == 1
    message = str(caught.value)
    row = f"row page-{name[0]} (labels.json:{int(name[0]) + 1}): {name}: "
    assert message.startswith(f"after step 6: {row}")
    assert message.endswith(
        "; mend or replace the file\nSaved after step 6; the same command then goes on from there"
    )
    assert (stopped.output_dir / "last").readlink().name == "step-6"
    (pages / name).write_bytes(content)
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert weights_of(stopped) == weights_of(whole)


def test_pictures_that_break_before_the_first_step_leave_no_checkpoint(breakable, monkeypatch):
    make, pages = breakable
    config = make("out", val_file=None)
    original = loop.Training.finish

    def breaking(training):
        for page in pages.glob("*.png"):
            page.write_bytes(b"broken")
        original(training)

    monkeypatch.setattr(loop.Training, "finish", breaking)
    with pytest.raises(TrainingError, match=r"after step 0: row .*; mend .*\nNothing was saved"):
        train(config, quiet=True)
    assert not list(config.output_dir.glob("step-*")) + list(config.output_dir.glob("last"))


@pytest.mark.parametrize("settings", [{}, {"max_steps": 3}, {"eval_steps": 2}])
def test_a_validation_picture_that_breaks_is_measured_once_mended(breakable, monkeypatch, settings):
    make, pages = breakable
    whole, stopped = make("a", **settings), make("b", **settings)
    train(whole, quiet=True)
    content = (pages / "6.png").read_bytes()
    restore = interrupt_after(monkeypatch, 1, lambda: (pages / "6.png").write_bytes(b"broken"))
    with pytest.raises(TrainingError, match=r"after step \d: row page-6 .*6\.png"):
        train(stopped, quiet=True)
    restore()
    assert losses_of(stopped)
    (pages / "6.png").write_bytes(content)
    train(stopped, quiet=True)
    for event in ("step", "validation", "epoch"):
        assert read_curve(stopped.output_dir, event, "loss") == read_curve(
            whole.output_dir, event, "loss"
        )
    assert weights_of(stopped) == weights_of(whole)


def test_a_full_disk_ends_the_run_with_its_earlier_checkpoints_whole(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    original = checkpoint.save_file

    def full(tensors, path):
        if "epoch-2" in str(path):
            raise OSError(28, "No space left on device")
        original(tensors, path)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", full)
        with pytest.raises(TrainingError, match=r"epoch-2: cannot be written .*No space left"):
            train(stopped, quiet=True)
    assert not [path for path in stopped.output_dir.iterdir() if path.suffix == ".tmp"]
    train(stopped, quiet=True)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


def test_numbers_that_are_none_name_the_rows_and_nothing_is_saved(make_config, monkeypatch):
    def not_finite(*_, **__):
        raise NotFinite("the loss", [Place(0, 0, 0)], proved=True)

    monkeypatch.setattr(loop, "train_step", not_finite)
    config = make_config(batch_size=1, val_file=None)
    with pytest.raises(
        TrainingError, match=r"step 1: the loss .*\n  row page-(\d) \(labels.json:\d\): \1.png\n"
    ):
        train(config, quiet=True)
    names = {path.name for path in config.output_dir.iterdir()}
    assert names == {"experiment_logs.txt", "metrics.jsonl"}
    assert (
        " event=error type=TrainingError "
        in (config.output_dir / "experiment_logs.txt").read_text()
    )


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_exhausted_memory_names_the_settings_to_change(make_config, monkeypatch, error):
    def exhausted(*_, **__):
        raise error

    monkeypatch.setattr(loop, "train_step", exhausted)
    with pytest.raises(TrainingError, match=r"out of memory with 2 rows of \d+ .*\n.*--batch_size"):
        train(make_config(), quiet=True)


def test_a_worker_that_is_killed_in_the_middle_of_a_step_ends_the_run_in_plain_words(
    make_config, monkeypatch
):
    def killed_worker():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    interrupt_after(monkeypatch, 2, killed_worker)
    with pytest.raises(TrainingError, match=r"was killed, mostly because memory ran out") as caught:
        train(make_config(save_steps=1), quiet=True)
    assert str(caught.value).splitlines()[1].startswith("Saved after step 1; the same command")


def test_a_worker_that_was_killed_asks_nobody_to_mend_a_file(make_config, monkeypatch):
    def lost(*_):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
        yield

    monkeypatch.setattr(loop, "read_together", lost)
    with pytest.raises(TrainingError, match="lower --num_workers") as caught:
        train(make_config(), quiet=True)
    assert "mend" not in str(caught.value).lower()


def test_the_loss_of_an_epoch_weighs_its_rows(make_config, folder, tmp_path):
    rows = json.loads((folder / "train.json").read_text())
    for row, weight in zip(rows, (1.0, 5.0, 0.5, 2.0, 3.0), strict=True):
        row["weight"] = weight
    (tmp_path / "weighted.json").write_text(json.dumps(rows))
    settings = {"epochs": 1, "lr": 1e-12, "train_file": tmp_path / "weighted.json"}
    found = []
    for batch_size in (1, 5):  # nothing is learned: the mean of the steps is that of one step
        config = dataclasses.replace(
            make_config(str(batch_size), batch_size=batch_size, val_file=None), **settings
        )
        train(config, quiet=True)
        [loss] = read_curve(config.output_dir, "epoch", "loss").values()
        found.append(loss)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
