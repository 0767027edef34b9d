"""The recipe of `nano`: its stages are settings that `train.py` takes, run one after the other."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepseek_ocr.cli.options import parse_options
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.model.presets import untrained
from deepseek_ocr.training import TrainConfig

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "nano"
STAGES = sorted(path.name for path in RECIPE.glob("*.yaml"))


def script(name):
    spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def train_stages():
    return script("train_stages")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_all_that_a_run_needs(name):
    given = ["--config", str(RECIPE / name), "--model_path", "nano-untrained", "--output_dir", "o"]
    config = parse_options(TrainConfig, given, prog="train.py", description="")
    assert config.synth and config.max_steps


def test_each_stage_starts_from_the_one_before(train_stages):
    found = list(train_stages.stages(Path("runs")))
    assert [settings.name for settings, _, _ in found] == STAGES
    starts, folders = [model for _, model, _ in found], [folder for _, _, folder in found]
    after = [str(folder / "last") for folder in folders[1:-1]]
    assert starts == ["nano-untrained", str(Path("runs") / "1-scaled"), *after]


def test_a_stage_that_fails_ends_the_recipe_with_its_code(train_stages, monkeypatch):
    commands, codes = [], iter([0, 0, 4])  # the first stage, the scaling, the second stage
    monkeypatch.setattr(subprocess, "call", lambda command: commands.append(command) or next(codes))
    monkeypatch.setattr(sys, "argv", ["train_stages.py", "--runs", "r", "--num_workers", "1"])
    assert train_stages.main() == 4
    assert len(commands) == 3 and commands[2][-2:] == ["--num_workers", "1"]


def test_scaling_that_fails_ends_the_recipe_with_its_code(train_stages, monkeypatch):
    codes = iter([0, 1])
    monkeypatch.setattr(subprocess, "call", lambda command: next(codes))
    monkeypatch.setattr(sys, "argv", ["train_stages.py", "--runs", "r"])
    assert train_stages.main() == 1


def test_scaling_brings_image_tokens_to_a_norm_of_one_and_changes_nothing_else(
    tmp_path, monkeypatch
):
    scaling = script("scale_features")
    model, processor = untrained("nano-untrained")
    with torch.no_grad():
        model.model.projector.layers.weight *= 300
    before = scaling.image_tokens(model, processor)
    for part in (model, processor):
        part.save_pretrained(tmp_path / "last")
    monkeypatch.setattr(
        sys, "argv", ["scale_features.py", str(tmp_path / "last"), str(tmp_path / "scaled")]
    )
    scaling.main()
    scaled, _ = load_model(str(tmp_path / "scaled"), dtype="float32")
    after = scaling.image_tokens(scaled, processor)
    torch.testing.assert_close(after.norm(dim=-1).mean(), torch.tensor(1.0))
    torch.testing.assert_close(after, before / before.norm(dim=-1).mean())
    torch.testing.assert_close(scaled.lm_head.weight, model.lm_head.weight)
