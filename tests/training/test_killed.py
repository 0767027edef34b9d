"""A run that is killed with SIGKILL goes on as if nothing had been, to the last byte."""

from __future__ import annotations

import random

import pytest

from .killed import count_of, files_of, losses_of, run
from .samples import make_rows, save_small_model, write_rows

VARIANTS = {
    "full": ["--save_steps=2"],
    "lora": ["--save_steps=2", "--tune=lora", "--parts=all", "--lora_dropout=0.1"],
    "accumulation": ["--save_steps=1", "--grad_accum=3", "--keep=1"],
    "average": ["--save_steps=2", "--ema=0.9", "--eval_steps=2"],
    "packing": ["--save_steps=2", "--packing", "--max_tokens_per_batch=140"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, pages, and files of six rows for training and two for validation."""
    folder = tmp_path_factory.mktemp("killed")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 8)
    write_rows(folder / "train.json", rows[:6])
    write_rows(folder / "val.json", rows[6:])
    return folder


@pytest.fixture(scope="module")
def flags_of(folder):
    """The flags of a variant."""

    def flags(variant):
        paths = [
            f"--{name}={folder / path}"
            for name, path in (
                ("data_root", "pages"),
                ("train_file", "train.json"),
                ("val_file", "val.json"),
                ("model_path", "model"),
            )
        ]
        others = ["--epochs=2", "--batch_size=1", "--lr=1e-2", "--eval_samples=0", "--device=cpu"]
        return [*paths, *others, *VARIANTS[variant]]

    return flags


@pytest.fixture(scope="module")
def twin_of(folder, flags_of):
    """The output folder of a variant's run that was never stopped, made once."""

    def twin(variant):
        output_dir = folder / f"{variant}-whole"
        if not output_dir.exists():
            assert run(output_dir, flags_of(variant)) == 0
        return output_dir

    return twin


def assert_equal_runs(run_dir, twin):
    assert losses_of(run_dir) == losses_of(twin)
    for name in ("last", "best"):
        assert (run_dir / name).readlink() == (twin / name).readlink()
    assert files_of(run_dir / "last") == files_of(twin / "last")
    assert {path.name for path in run_dir.iterdir()} == {path.name for path in twin.iterdir()}


def kill_and_go_on(variant, seed, output_dir, twin, flags, more=()):
    """Kill a run at a moment that `seed` chooses, then let it come to its end."""
    moment = random.Random(f"{variant}/{seed}").randrange(count_of(twin))
    assert run(output_dir, flags, moment) == -9
    assert run(output_dir, [*flags, *more]) == 0
    assert_equal_runs(output_dir, twin)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_goes_on_exactly(variant, twin_of, flags_of, tmp_path):
    kill_and_go_on(variant, 0, tmp_path / "run", twin_of(variant), flags_of(variant))


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_at_any_moment_goes_on_exactly(variant, seed, twin_of, flags_of, tmp_path):
    more = [f"--num_workers={seed % 2}"]  # the number of workers changes nothing
    kill_and_go_on(variant, seed, tmp_path / "run", twin_of(variant), flags_of(variant), more)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("os.rename", 1), id="before the folder has its name"),
        pytest.param(("os.symlink", 2), id="between the folder and its links"),
    ],
)
def test_a_run_killed_while_it_saves_goes_on_exactly(moment, twin_of, flags_of, tmp_path):
    output_dir = tmp_path / "run"
    assert run(output_dir, flags_of("full"), moment) == -9
    assert run(output_dir, flags_of("full")) == 0
    assert_equal_runs(output_dir, twin_of("full"))


def test_a_line_that_was_half_written_is_discarded(twin_of, flags_of, tmp_path):
    twin, output_dir = twin_of("full"), tmp_path / "run"
    assert run(output_dir, flags_of("full"), count_of(twin) // 2) == -9
    with (output_dir / "metrics.jsonl").open("a") as file:
        file.write('{"command": "train", "event": "st')
    assert run(output_dir, flags_of("full")) == 0
    assert_equal_runs(output_dir, twin)
