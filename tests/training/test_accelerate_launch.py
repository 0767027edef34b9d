"""`accelerate launch` starts several processes on a CPU, and they say nothing but our lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .samples import make_rows, save_small_model, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.proof
def test_two_processes_start_on_a_cpu(tmp_path):
    save_small_model(tmp_path / "model")
    rows = make_rows(tmp_path / "pages", 8)
    for number in (1, 4):
        rows[number] |= {"images": [], "prompt": "Read"}
    write_rows(tmp_path / "train.json", rows)
    # not --cpu, which starts one process unless there is mpirun
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    places = {"data_root": "pages", "train_file": "train.json", "model_path": "model"}
    flags = [f"--{name}={tmp_path / path}" for name, path in places.items()]
    flags += ["--device=cpu", "--epochs=1", "--no_try_largest", f"--output_dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [sys.executable, *launch, str(REPOSITORY / "train.py"), *flags],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "num_processes=2" in (tmp_path / "run" / "experiment_logs.txt").read_text()
    assert "find_unused_parameters" not in done.stderr  # rows without pictures are no reason
