"""The main job, from a folder of real receipts to scores, with the commands that users call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_ocr.cli.main import run
from tests.conftest import REPOSITORY

SMALL = ["--mode", "tiny", "--base_size", "192"]  # 3 x 3 image tokens: the job, not the reading


def split_and_train(receipts: Path, out: Path) -> None:
    """Split, then one epoch of the untrained nano; both commands end well."""
    data = ["--data_root", str(receipts)]
    assert run("split", [*data, "--output_dir", str(out / "split"), "--val_size", "0.1"]) == 0
    train = [
        "--train_file",
        str(out / "split/train.json"),
        "--val_file",
        str(out / "split/val.json"),
    ]
    train += ["--model_path", "nano-untrained", "--output_dir", str(out / "checkpoints")]
    train += ["--epochs", "1", "--batch_size", "4", "--lr", "2e-3"]
    assert run("train", [*data, *train, *SMALL]) == 0


def read_test_side(receipts: Path, out: Path) -> None:
    """Test the best checkpoint; the command ends well."""
    test = ["--test_file", str(out / "split/test.json"), "--output_dir", str(out / "results")]
    test += ["--model_path", str(out / "checkpoints/best"), "--max_new_tokens", "24"]
    assert run("test", ["--data_root", str(receipts), *test]) == 0


@pytest.fixture(scope="module")
def receipts(shared):
    return shared / "data" / "sroie_receipts"


@pytest.fixture(scope="module")
def job(receipts, tmp_path_factory):
    out = tmp_path_factory.mktemp("job")
    split_and_train(receipts, out)
    read_test_side(receipts, out)
    return out


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def losses_of(out: Path) -> list[float]:
    metrics = rows_of(out / "checkpoints/metrics.jsonl")
    return [row["loss"] for row in metrics if row["event"] in ("step", "validation")]


def test_every_file_of_the_contract_is_there(job):
    for name in (
        "split/train.json", "split/val.json", "split/test.json", "split/manifest.json",
        "split/experiment_logs.txt", "checkpoints/epoch-1/config.json",
        "checkpoints/epoch-1/model.safetensors", "checkpoints/epoch-1/tokenizer.json",
        "checkpoints/epoch-1/trainer_state", "checkpoints/last", "checkpoints/best",
        "checkpoints/curves.png", "checkpoints/experiment_logs.txt", "checkpoints/metrics.jsonl",
        "results/predictions.jsonl", "results/metrics.json", "results/report.html",
        "results/experiment_logs.txt", "results/metrics.jsonl",
    ):  # fmt: skip
        assert (job / name).exists(), name
    assert (job / "checkpoints/last").is_symlink() and (job / "checkpoints/best").is_symlink()


def test_all_seventy_receipts_are_on_one_side_each(job):
    sides = [
        json.loads((job / f"split/{side}.json").read_text()) for side in ("train", "val", "test")
    ]
    assert sum(map(len, sides)) == 70
    assert len({row["id"] for side in sides for row in side}) == 70


def test_the_loss_falls(job):
    metrics = rows_of(job / "checkpoints/metrics.jsonl")
    losses = [row["loss"] for row in metrics if row["event"] == "step"]
    assert len(losses) == 14  # 56 receipts, four at a time
    assert sum(losses[-3:]) / 3 < 0.85 * sum(losses[:3]) / 3


def test_each_test_row_has_a_prediction_row_in_its_order(job):
    expected = [row["id"] for row in json.loads((job / "split/test.json").read_text())]
    predictions = rows_of(job / "results/predictions.jsonl")
    assert [row["id"] for row in predictions] == expected
    assert all(row["status"] in ("ok", "empty", "truncated", "repetition") for row in predictions)


def test_the_checkpoint_remembers_prompt_and_views(job):
    from deepseek_ocr.model import DeepseekOcrProcessor

    processor = DeepseekOcrProcessor.from_pretrained(job / "checkpoints/best")
    assert processor.prompt == "<image>\nConvert to markdown"
    assert processor.image_processor.settings().base_size == 192


def test_the_same_seed_gives_the_same_split_and_the_same_losses(job, receipts, tmp_path):
    split_and_train(receipts, tmp_path)
    for side in ("train", "val", "test"):
        name = f"split/{side}.json"
        assert (tmp_path / name).read_bytes() == (job / name).read_bytes()
    assert losses_of(tmp_path) == losses_of(job)


@pytest.mark.parametrize("script", ["data_utils.py", "train.py", "test.py"])
def test_the_root_scripts_answer(script):
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--data_root" in done.stdout
