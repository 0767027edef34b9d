from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.proof
def test_a_row_takes_at_most_four_hundred_bytes_of_memory(tmp_path):
    command = [sys.executable, "benchmarks/data_scale.py", "--sizes", "200000", "--pictures", "500"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| 200,000")]
    assert len(rows) == 2 and all(int(row[-2]) <= 400 for row in rows), done.stdout
