"""Several processes, each with the model or all sharing it (FSDP), learn what one does."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.training import TrainConfig
from deepseek_ocr.training.checkpoints.checkpoint import Checkpoint, Position
from deepseek_ocr.training.checkpoints.identity import check_same_everywhere
from deepseek_ocr.training.processes.sharding import check_sharding
from deepseek_ocr.training.reporting.curves import read_curve

from . import killed
from .killed import files_of, output_of, run, run_together
from .samples import make_rows, save_small_model, write_rows

REPOSITORY = Path(__file__).resolve().parents[2]
WAYS = {"each its own": [], "shared": ["--fsdp"]}
VARIANTS = {
    "full": [],
    "lora": ["--tune=lora", "--parts=all,experts"],
    "adapter": ["--tune=lora"],
    "vision alone": ["--parts=vision"],
    "frozen": ["--parts=projector,experts,router", "--ema=0.9"],
    "read": ["--tune=lora", "--eval_samples=2", "--label_smoothing=0.1"],
    "packing": ["--packing", "--max_tokens_per_batch=150"],
    "recomputed": ["--gradient_checkpointing=all"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and rows with a picture, with tiles, and without; five steps of two batches."""
    folder = tmp_path_factory.mktemp("processes")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 11)
    for number in (1, 4, 5):
        rows[number] |= {"images": [], "prompt": "Read"}
    write_rows(folder / "train.json", rows[:9])
    write_rows(folder / "val.json", rows[9:])
    return folder


@pytest.fixture(scope="module")
def flags_of(folder):
    """The flags of a variant, but for the number of batches that a process takes in a step."""

    def flags(variant, grad_accum):
        paths = {"data_root": "pages", "train_file": "train.json", "val_file": "val.json"}
        named = {name: folder / path for name, path in (paths | {"model_path": "model"}).items()}
        named |= {"epochs": 1, "batch_size": 1, "lr": 1e-2, "eval_samples": 0, "device": "cpu"}
        named |= {"grad_accum": grad_accum}
        return [*(f"--{name}={value}" for name, value in named.items()), *VARIANTS[variant]]

    return flags


@pytest.fixture(scope="module")
def alone(folder, flags_of):
    """The output folder of a variant's run in a single process, made once."""

    @functools.cache
    def train_alone(variant):
        output_dir = folder / f"alone-{variant}"
        assert run(output_dir, flags_of(variant, 4)) == 0, output_of(output_dir)
        return output_dir

    return train_alone


def assert_alike(together, alone):
    for event, figures in (("step", ("loss", "grad_norm")), ("validation", ("loss",))):
        for figure in figures:
            expected = read_curve(alone, event, figure)
            assert expected
            assert read_curve(together, event, figure) == pytest.approx(expected, abs=1e-5)
    expected, found = (
        {p.relative_to(d / "last"): p for p in (d / "last").rglob("*.*")} for d in (alone, together)
    )
    assert found.keys() == expected.keys()
    for name, path in expected.items():
        if path.suffix != ".safetensors" or path.name == "random.safetensors":
            continue
        ours, theirs = load_file(found[name]), load_file(path)
        assert ours.keys() == theirs.keys()
        for key, tensor in theirs.items():
            assert (ours[key].shape, ours[key].dtype) == (tensor.shape, tensor.dtype), key
            # Adam's first steps enlarge what rounding leaves of a gradient that is almost zero
            assert float((ours[key] - tensor).abs().max()) < 1e-3, key


def check_two_processes(variant, way, flags_of, alone, output_dir):
    codes = run_together(output_dir, [*flags_of(variant, 2), *WAYS[way]])
    assert codes == [0, 0], output_of(output_dir)
    assert_alike(output_dir, alone(variant))


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_learn_what_one_does(way, flags_of, alone, tmp_path):
    check_two_processes("full", way, flags_of, alone, tmp_path / "run")


@pytest.mark.proof
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_learn_what_one_does_in_every_way(variant, way, flags_of, alone, tmp_path):
    check_two_processes(variant, way, flags_of, alone, tmp_path / "run")


@pytest.mark.parametrize("way, dies", [("each its own", 1), ("shared", 0)])
def test_a_run_goes_on_exactly_after_a_process_was_killed(way, dies, flags_of, tmp_path):
    whole, killed_run = tmp_path / "whole", tmp_path / "killed"
    flags = [*flags_of("adapter", 1), "--save_steps=1", "--lora_dropout=0.1", *WAYS[way]]
    assert run_together(whole, flags) == [0, 0], output_of(whole)
    codes = run_together(killed_run, flags, dies=(dies, 3))
    assert codes == ([-9, 1] if dies == 0 else [1, -9])
    said = output_of(killed_run)
    assert f"process {dies} (pid " in said and "of 2 was killed or has failed" in said
    assert "Saved after step 2; the same command goes on from there" in said
    assert run_together(killed_run, flags) == [0, 0], output_of(killed_run)
    assert killed.losses_of(killed_run) == killed.losses_of(whole)
    assert files_of(killed_run / "last") == files_of(whole / "last")


@pytest.mark.proof
def test_torchrun_ends_with_an_error_when_a_process_is_killed(flags_of, tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "import os\n"
        "from deepseek_ocr.training import loop\n"
        "from tests.training.killed import _killed_in\n"
        "if os.environ['RANK'] == '1': loop.train_step = _killed_in(2, loop.train_step)\n"
        "from deepseek_ocr.cli.main import run\n"
        "raise SystemExit(run('train'))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(script), *flags_of("full", 2), f"--output_dir={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "process 1 (pid" in done.stderr and "Nothing was saved yet" in done.stderr


class Two:
    """An accelerator of two processes, for what is refused before they would talk."""

    num_processes = 2


SETTINGS = {"output_dir": "out", "model_path": "nano", "synth": "words", "max_steps": 1}


@pytest.mark.parametrize(
    "processes, precision, settings, reason",
    [
        (1, "no", {}, "--fsdp shares the model among processes, and this is the only one"),
        (2, "fp16", {}, "--fsdp computes in bfloat16 or float32"),
        (2, "no", {"optimizer": "adafactor"}, "--fsdp cannot share the state of --optimizer"),
        (2, "no", {"tune": "qlora"}, "--fsdp cannot share weights of 4 bits"),
    ],
)
def test_what_cannot_be_shared_is_refused(processes, precision, settings, reason):
    with pytest.raises(UsageError, match=reason):
        check_sharding(processes, precision, TrainConfig(**(SETTINGS | settings)))


def described(**changes):
    run = {"settings": {"lr": 0.1}, "sha256": {"train_file": "a"}}
    return run | {"base_model": {"base_model": "nano", "sha256": {}}} | changes


@pytest.mark.parametrize(
    "other, name, reason",
    [
        (
            {"sha256": {"train_file": "b"}},
            "epoch-1",
            "process 1 .*--train_file has another content",
        ),
        ({"settings": {"lr": 0.2}}, "epoch-1", "process 1 .*--lr was 0.1, now 0.2"),
        ({}, "epoch-2", "process 1 would go on from epoch-2, process 0 from epoch-1"),
    ],
)
def test_processes_with_other_data_or_another_start_are_refused(monkeypatch, other, name, reason):
    from deepseek_ocr.training.checkpoints import identity

    def both(_, value):
        return [value, (described(**other), name)]

    monkeypatch.setattr(identity, "everyones", both)
    start = Checkpoint(path=Path("epoch-1"), position=Position(), run={}, scaler={})
    with pytest.raises(UserError, match=reason):
        check_same_everywhere(Two(), described(), start)
