"""Several processes: what is no number ends all of them with the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepseek_ocr.training.batching.batches import Collator, PageDataset
from deepseek_ocr.training.optimization.not_finite import NotFinite
from deepseek_ocr.training.optimization.step import train_step
from deepseek_ocr.training.processes.devices import accelerator_for, distribute
from deepseek_ocr.training.tuning.parts import PARTS, choose_trained

from .killed import output_of, run_together
from .samples import make_rows, mixed_rows, save_small_model, small_processor, write_rows
from .test_not_finite import WORD, steep_at, with_word

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Of a run over rows with pictures and without, one of which weighs more than numbers hold."""
    folder = tmp_path_factory.mktemp("numbers")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 8)
    for number in (1, 4, 5):
        rows[number] |= {"images": [], "prompt": "Read"}
    write_rows(folder / "good.json", rows)
    rows[6]["weight"] = 3e38
    write_rows(folder / "bad.json", rows)
    named = {"data_root": "pages", "model_path": "model"}
    paths = [f"--{name}={folder / path}" for name, path in named.items()]
    return {
        kind: [
            *paths,
            f"--train_file={folder / kind}.json",
            "--batch_size=2",
            "--epochs=1",
            "--device=cpu",
            "--no_try_largest",
        ]
        for kind in ("good", "bad")
    }


@pytest.mark.parametrize("way", [[], pytest.param(["--fsdp"], marks=pytest.mark.proof)])
def test_all_processes_name_the_row_that_one_of_them_had(flags, tmp_path, way):
    assert run_together(tmp_path / "run", [*flags["bad"], *way]) == [1, 1]
    said = output_of(tmp_path / "run")
    assert (
        said.count("the loss is not a finite number with\n  row page-6 (labels.json:7): 6.png") > 0
    )
    assert "page-1 (" not in said and "page-3 (" not in said


@pytest.mark.proof
@pytest.mark.parametrize("shared", [False, True], ids=["each its own", "shared"])
def test_all_processes_name_the_row_of_a_gradient_that_is_no_number(tmp_path, shared):
    """Shared gradients are summed before anyone sees them: rows that passed together are named."""
    code = f"from {__name__} import steep_step; steep_step({str(tmp_path)!r}, {shared})"
    script = tmp_path / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{code}\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"{process}.json").read_text()) for process in range(2)]
    expected = [[0, 0, 1], [1, 1, 0]] if shared else [[1, 1, 0]]
    assert found == 2 * [["the gradient", expected, not shared]]


def steep_step(folder: str, shared: bool) -> None:
    """In one of two processes: a step whose fifth row of six has an infinite gradient."""
    pages = Path(folder) / os.environ["RANK"]
    dataset = PageDataset(mixed_rows(pages), small_processor(), pages)
    rows = [with_word(dataset[i]) if i == 4 else dataset[i] for i in range(6)]
    model, collator = steep_at(WORD), Collator(small_processor())
    choose_trained(model, PARTS)
    with accelerator_for("cpu", "float32") as accelerator:

        def make_optimizer(model):
            return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])

        model, optimizer = distribute(model, make_optimizer, accelerator, shared=shared)
        splits = [[rows[:2], rows[2:3]], [rows[3:4], rows[4:]]][accelerator.process_index]
        try:
            train_step(model, accelerator, optimizer, [*map(collator, splits)], max_norm=1.0)
        except NotFinite as error:
            content = json.dumps([str(error), error.rows, error.proved])
            (Path(folder) / f"{accelerator.process_index}.json").write_text(content)
