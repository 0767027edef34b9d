"""Whole runs at tiny size: a model, rows, and settings to train with."""

from __future__ import annotations

import pytest

from deepseek_ocr.training import TrainConfig
from deepseek_ocr.training.batching.batches import Collator, PageDataset
from deepseek_ocr.training.checkpoints import saving

from .samples import make_rows, mixed_rows, save_small_model, small_processor, write_rows


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A model, pages, and files of five rows for training and two for validation."""
    folder = tmp_path_factory.mktemp("run")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 7)
    write_rows(folder / "train.json", rows[:5])
    write_rows(folder / "val.json", rows[5:])
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of `mixed_rows`: the inputs of rows with one picture, none, two, one with tiles, none, one."""
    folder = tmp_path_factory.mktemp("pages")
    dataset = PageDataset(mixed_rows(folder), small_processor(), folder)
    return [dataset[i] for i in range(len(dataset))]


@pytest.fixture(scope="module")
def collator():
    return Collator(small_processor())


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing curves takes longer than these runs: only its calls are counted."""
    drawn: list = []
    monkeypatch.setattr(saving, "draw_curves", drawn.append)
    return drawn


@pytest.fixture
def make_config(folder, tmp_path, undrawn):
    """Settings of a run into a folder of its own, with what differs from the defaults here."""

    def make(output_dir="out", **settings) -> TrainConfig:
        defaults = {
            "model_path": str(folder / "model"),
            "val_file": folder / "val.json",
            "epochs": 2,
            "lr": 1e-2,
            "device": "cpu",
            "eval_samples": 0,
            "try_largest": False,
        }
        return TrainConfig(
            data_root=folder / "pages",
            train_file=folder / "train.json",
            output_dir=tmp_path / output_dir,
            **(defaults | settings),
        )

    return make
