"""Two processes learn what one does with twice the accumulation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from deepseek_ocr.training import TrainConfig, train
from deepseek_ocr.training.batches import shuffled
from deepseek_ocr.training.curves import read_curve

from .samples import make_rows, save_small_model, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]


def without_picture(row):
    return row | {"images": [], "prompt": "Read"}


@pytest.mark.proof
def test_rows_without_pictures_when_vision_alone_trains(tmp_path):
    save_small_model(tmp_path / "model")
    rows = make_rows(tmp_path / "pages", 8)
    # first step: process 0 takes a row without and one with a picture, process 1 the other way
    # round; second step: none has one; in the next epoch they are mixed otherwise
    order = shuffled(8, seed=42, epoch=1)
    rows = [row if i in order[1:3] else without_picture(row) for i, row in enumerate(rows)]
    write_rows(tmp_path / "train.json", rows)
    settings = {
        "data_root": tmp_path / "pages",
        "train_file": tmp_path / "train.json",
        "model_path": str(tmp_path / "model"),
        "epochs": 2,
        "batch_size": 1,
        "parts": "vision",
        "lr": 1e-2,
        "device": "cpu",
    }
    one, two = tmp_path / "one", tmp_path / "two"
    train(TrainConfig(**settings, output_dir=one, grad_accum=4), quiet=True)
    flags = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(REPOSITORY / "train.py"), *flags, f"--output_dir={two}", "--grad_accum=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    for figure in ("loss", "grad_norm"):
        expected = read_curve(one, "step", figure)
        assert len(expected) == 4
        assert read_curve(two, "step", figure) == pytest.approx(expected, abs=1e-4)
    weights = [load_file(path / "last" / "model.safetensors") for path in (one, two)]
    before = load_file(tmp_path / "model" / "model.safetensors")
    moved = max(float((weights[0][name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-2
    for name, tensor in weights[0].items():
        assert float((tensor - weights[1][name]).abs().max()) < 1e-3, name
    state = json.loads((two / "last" / "trainer_state" / "state.json").read_text())
    assert state["run"]["settings"]["num_processes"] == 2
