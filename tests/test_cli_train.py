"""`train.py` as a user runs it: flags, files of settings, exit codes, and what is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_ocr.cli.main import run
from deepseek_ocr.cli.options import parse_options
from deepseek_ocr.training import TrainConfig

from .training.samples import make_rows, save_small_model, write_rows

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    save_small_model(folder / "model")
    write_rows(folder / "train.json", make_rows(folder / "pages", 4))
    return folder


def arguments(folder, output_dir, **changes):
    values = {
        "data_root": folder / "pages",
        "train_file": folder / "train.json",
        "model_path": folder / "model",
        "output_dir": output_dir,
        "epochs": 1,
        "device": "cpu",
    } | changes
    return [piece for name, value in values.items() for piece in (f"--{name}", str(value))]


def test_help_answers_without_loading_torch():
    code = (
        "import sys; from deepseek_ocr.cli.train import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "--grad_accum" in done.stdout


def test_the_flags_of_the_guide_have_its_defaults():
    given = ["--data_root", "d", "--train_file", "t", "--model_path", "m", "--output_dir", "o"]
    config = parse_options(TrainConfig, given, prog="train.py", description="")
    assert (config.epochs, config.batch_size, config.seed, config.tune) == (3, 2, 42, "full")
    assert (config.peak_lr, config.grad_accum, config.max_grad_norm) == (2e-5, 1, 1.0)


@pytest.mark.parametrize("name", ["full", "lora", "qlora", "tiny", "many_gpus"])
def test_the_shipped_settings_are_read(name):
    file = REPOSITORY / "configs" / f"{name}.yaml"
    needed = ["--data_root", "d", "--train_file", "t", "--model_path", "m", "--output_dir", "o"]
    config = parse_options(
        TrainConfig, [*needed, "--config", str(file)], prog="train.py", description=""
    )
    assert config.tune == {"lora": "lora", "qlora": "qlora"}.get(name, "full")
    assert 10 <= len(file.read_text(encoding="utf-8").splitlines()) <= 25


def test_the_last_line_on_stdout_is_the_checkpoint(folder, tmp_path, capsys):
    assert run("train", arguments(folder, tmp_path / "out")) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{(tmp_path / 'out' / 'epoch-1').resolve()}\n"
    assert "trained" in captured.err and "train: 2/2 steps" in captured.err


def test_a_dry_run_goes_through_everything_and_writes_nothing(folder, tmp_path, capsys):
    changes = {"val_file": folder / "train.json", "eval_max_new_tokens": 2}
    command = [*arguments(folder, tmp_path / "out", **changes), "--dry_run"]
    assert run("train", command) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and not (tmp_path / "out").exists()
    assert "the same command without --dry_run trains" in captured.err


def test_each_line_of_progress_has_the_figures_that_people_watch(folder, tmp_path, capsys):
    assert run("train", arguments(folder, tmp_path / "out")) == 0
    [line] = [text for text in capsys.readouterr().err.splitlines() if "2/2 steps" in text]
    for figure in ("s left", "loss=", "lr=", "tokens/s=", "samples/s=", "memory="):
        assert figure in line
    rows = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    wanted = {"loss", "lr", "tokens_per_s", "samples_per_s", "memory_gb", "grad_norm"}
    steps = [row for row in rows if row["event"] == "step"]
    assert len(steps) == 2 and all(row.keys() >= wanted for row in steps)
    # the router trains: its balance is a figure, too
    assert all(row.keys() >= {"balance_loss", "busiest_expert", "unused_experts"} for row in steps)


@pytest.mark.parametrize(
    "flag, value, reason",
    [
        ("--eopchs", "1", "unknown flag --eopchs; did you mean --epochs?"),
        ("--parts", "clips", "unknown part 'clips'; did you mean clip?"),
        ("--tune", "prefix", "invalid choice: 'prefix'"),
        ("--part_lr", "clips=1", "--part_lr: unknown part 'clips'; did you mean clip?"),
        ("--optimizer", "adamw8bit", "--optimizer adamw8bit needs CUDA, not cpu; use adamw"),
        ("--fsdp", None, "--fsdp shares the model among processes, and this is the only one"),
        ("--max_tiles", "0", "--max_tiles must be at least 1, got 0"),
        ("--base_size", "0", "--base_size must be at least 64, got 0"),
        ("--tile_size", "0", "--tile_size must be at least 64, got 0"),
        ("--seed", "4294967296", "--seed must be at most 4294967295, got 4294967296"),
        ("--no_lr", "0", "unknown flag --no_lr; did you mean --lr?"),
        ("--learning_rate", "0", "unknown flag --learning_rate; did you mean --lr?"),
        ("--lora_rank", "16", "--lora_rank changes nothing without an adapter"),
        ("--synth_fonts", "bundled", "--synth_fonts changes nothing without drawn pages"),
        ("--eval_samples", "16", "--eval_samples changes nothing without rows to measure"),
        ("--weight_decay", "inf", "--weight_decay: expected a finite number, got inf"),
        ("--compile", "true", "--compile takes no value; write --compile or --no_compile"),
        ("--parts", "", "--parts is empty; name parts"),
        ("--device", "gpu", "--device: unknown device 'gpu'; expected auto, cpu, cuda"),
        ("--resume", "nowhere", "--resume: nowhere is no folder; expected auto, none, or a"),
        ("--track", "wandb", "--track wandb needs the package wandb, which is not installed"),
    ],
)
def test_wrong_usage_ends_with_2(folder, tmp_path, capsys, flag, value, reason):
    extra = [flag] if value is None else [flag, value]
    assert run("train", [*arguments(folder, tmp_path / "out"), *extra]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def empty_model(folder):
    folder.mkdir()
    return "no weights"


def pickled_model(folder):
    save_small_model(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return "a pickle"


def truncated_model(folder):
    save_small_model(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return "not a whole safetensors file"


def model_of_another_shape(folder):
    save_small_model(folder)
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = config["language_config"]["vocab_size"] = 1100
    (folder / "config.json").write_text(json.dumps(config))
    return "has shape"


@pytest.mark.parametrize(
    "spoil", [empty_model, pickled_model, truncated_model, model_of_another_shape]
)
def test_a_model_that_cannot_be_used_is_refused_in_a_plain_line(folder, tmp_path, capsys, spoil):
    reason = spoil(tmp_path / "model")
    changes = {"model_path": tmp_path / "model"}
    assert run("train", arguments(folder, tmp_path / "out", **changes)) == 4
    assert_plain_refusal(capsys, reason, tmp_path / "out")


def of_another_root(folder, path):
    rows = make_rows(path.parent / "elsewhere", 2)
    write_rows(path, [{**row, "images": [f"x/{row['images'][0]}"]} for row in rows])
    return "Was the file written for another --data_root"


def without_rows(_, path):
    path.write_text("[]")
    return "holds no samples"


def without_content(_, path):
    path.write_text("")
    return str(path)


def not_json(_, path):
    path.write_text('[\n{"id": "a",\n')
    return f"{path}:"


def without_text(folder, path):
    rows = make_rows(folder / "pages", 2)
    del rows[1]["text"]
    write_rows(path, rows)
    return "no 'text'"


def missing(_, path):
    return f"{path}: cannot be read"


@pytest.mark.parametrize(
    "spoil", [of_another_root, without_rows, without_content, not_json, without_text, missing]
)
@pytest.mark.parametrize("flag", ["train_file", "val_file"])
def test_rows_that_cannot_be_used_are_refused_in_a_plain_line(
    folder, tmp_path, capsys, spoil, flag
):
    reason = spoil(folder, tmp_path / "rows.json")
    changes = {flag: tmp_path / "rows.json"}
    assert run("train", arguments(folder, tmp_path / "out", **changes)) == 4
    assert_plain_refusal(capsys, reason, tmp_path / "out")


def assert_plain_refusal(capsys, reason, output_dir):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err and "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) <= 2
    assert not output_dir.exists()


def test_an_output_folder_that_is_a_file_is_refused(folder, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert run("train", arguments(folder, tmp_path / "out")) == 4
    assert "cannot be used as output folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_an_interrupted_run_ends_with_130_and_the_same_command_goes_on(
    folder, tmp_path, capsys, monkeypatch
):
    import signal

    from deepseek_ocr.training import loop

    original = loop.train_step

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGTERM)
        return original(*args, **kwargs)

    command = arguments(folder, tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", interrupted)
        assert run("train", command) == 130
    assert "saved after step 1 of 2; the same command goes on" in capsys.readouterr().err
    assert (tmp_path / "out" / "last").readlink().name == "step-1"
    assert run("train", command) == 0
    assert "going on after step 1" in capsys.readouterr().err


def test_what_cannot_run_here_is_told_before_torch_is_loaded(tmp_path):
    code = (
        "import sys\n"
        "from deepseek_ocr.cli.main import run\n"
        "given = '--data_root d --train_file t --model_path m --output_dir o'.split()\n"
        "for extra in (['--fsdp'], ['--resume', 'gone'], ['--device', 'gpu']):\n"
        "    print(run('train', [*given, *extra]), 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout.splitlines() == ["2 False"] * 3, done.stderr


def test_the_package_itself_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "deepseek_ocr", "train", "--learning_rate", "1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 2
    assert done.stderr == "train: unknown flag --learning_rate; did you mean --lr?\n"


def test_warm_up_and_adams_averages_are_those_of_the_flags(folder, tmp_path, monkeypatch):
    from deepseek_ocr.training import run as training_run

    groups: list = []
    original = training_run.make_optimizer

    def remembered(*given):
        groups.extend((optimizer := original(*given)).param_groups)
        return optimizer

    monkeypatch.setattr(training_run, "make_optimizer", remembered)
    changes = {"warmup_steps": 2, "lr": 1e-3, "adam_beta1": 0.8, "adam_epsilon": 1e-6}
    assert run("train", arguments(folder, tmp_path / "out", **changes)) == 0
    assert groups and all(g["betas"] == (0.8, 0.999) and g["eps"] == 1e-6 for g in groups)
    rows = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    assert [row["lr"] for row in rows if row["event"] == "step"] == [5e-4, 1e-3]
