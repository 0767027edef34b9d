"""Two processes validate as one does: each with the whole model, or sharing it, with an adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_ocr.training.processes.devices import accelerator_for

from .samples import make_rows, write_rows
from .validating import KINDS, measure

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven rows: two processes that take one each time have not equally many."""
    folder = tmp_path_factory.mktemp("validating")
    write_rows(folder / "val.json", make_rows(folder / "pages", 7))
    return folder


@pytest.fixture(scope="module")
def by_two(folder):
    """What each of two processes measured."""
    out = folder / "two"
    out.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "tests.training.validating", str(folder), str(out)]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"process-{number}.json").read_text()) for number in range(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_measure_what_one_does(by_two, folder, tmp_path, kind):
    with accelerator_for("cpu", "float32") as accelerator:
        expected = measure(accelerator, kind, folder, tmp_path)
    assert by_two[0][kind] == by_two[1][kind]
    assert by_two[0][kind] == pytest.approx(expected, abs=1e-5)


def test_a_picture_that_one_process_cannot_open_ends_both(by_two):
    assert [found["unreadable"] for found in by_two] == ["row page-3: cannot be opened"] * 2


def test_one_process_writes_the_log(by_two, folder):
    rows = [json.loads(line) for line in (folder / "two" / "metrics.jsonl").open()]
    assert len(rows) == 2 * len(KINDS)
