"""The model and the loss can learn, and decoding reads back what was learned, to the letter."""

from __future__ import annotations

import json

import pytest

from deepseek_ocr.cli.main import run

NUM_RECEIPTS = 8
VIEWS = ["--mode", "tiny", "--base_size", "256"]  # 4 x 4 image tokens tell eight receipts apart


@pytest.mark.proof
def test_eight_real_receipts_are_learned_by_heart(shared, tmp_path):
    receipts = ["--data_root", str(shared / "data" / "sroie_receipts")]
    assert run("split", [*receipts, "--output_dir", str(tmp_path / "split")]) == 0
    rows = json.loads((tmp_path / "split" / "train.json").read_text(encoding="utf-8"))
    eight = tmp_path / "eight.json"
    eight.write_text(json.dumps(rows[:NUM_RECEIPTS]), encoding="utf-8")
    train = ["--train_file", str(eight), "--model_path", "nano-untrained", *VIEWS]
    train += ["--output_dir", str(tmp_path / "run"), "--keep", "1"]
    train += ["--epochs", "80", "--batch_size", "4"]
    # random encoders tell pages apart from the start; the decoder's rate would undo that
    train += ["--lr", "1e-3", "--part_lr", "vision=1e-4", "--warmup_ratio", "0.05"]
    assert run("train", [*receipts, *train]) == 0
    test = ["--test_file", str(eight), "--model_path", str(tmp_path / "run" / "last")]
    test += ["--output_dir", str(tmp_path / "results"), "--max_new_tokens", "2048"]
    assert run("test", [*receipts, *test]) == 0
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["scores"]["raw"]["cer"]["micro"] == 0
    assert metrics["statuses"]["ok"]["count"] == NUM_RECEIPTS
