"""Whole runs at tiny size: what they write, that they repeat, and that they go on exactly."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import stat

import pytest
import torch

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.training import (
    TrainConfig,
    TrainingError,
    batches,
    checkpoint,
    curves,
    loop,
    train,
)
from deepseek_ocr.training.batches import Collator, PageDataset, shuffled
from deepseek_ocr.training.checkpoint import read_checkpoint
from deepseek_ocr.training.curves import read_curve
from deepseek_ocr.training.devices import accelerator_for
from deepseek_ocr.training.identity import describe_run
from deepseek_ocr.training.run import alone_in, prepare, read_samples

from .samples import PROMPT, make_rows, save_small_model, write_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, pages, and files of five rows for training and two for validation."""
    folder = tmp_path_factory.mktemp("run")
    save_small_model(folder / "model")
    rows = make_rows(folder / "pages", 7)
    write_rows(folder / "train.json", rows[:5])
    write_rows(folder / "val.json", rows[5:])
    return folder


@pytest.fixture(autouse=True)
def curves_drawn(monkeypatch):
    """Drawing takes longer than these runs: only its calls are counted."""
    drawn = []
    monkeypatch.setattr(loop, "draw_curves", drawn.append)
    return drawn


@pytest.fixture
def make_config(folder, tmp_path):
    def make(output_dir="out", **settings) -> TrainConfig:
        defaults = {
            "model_path": str(folder / "model"),
            "val_file": folder / "val.json",
            "epochs": 2,
            "lr": 1e-2,
            "device": "cpu",
        }
        return TrainConfig(
            data_root=folder / "pages",
            train_file=folder / "train.json",
            output_dir=tmp_path / output_dir,
            **(defaults | settings),
        )

    return make


def content_of(path):
    """Every file of a checkpoint but for paths and times: name -> bytes."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def losses_of(config):
    return read_curve(config.output_dir, "step", "loss")


def interrupt_after(monkeypatch, step, how):
    """Let step number `step` of the next run end with `how()`, once its weights have changed."""
    original, count = loop.train_step, iter(range(1, 1000))

    def stopping(*args, **kwargs):
        result = original(*args, **kwargs)
        if next(count) == step:
            how()
        return result

    monkeypatch.setattr(loop, "train_step", stopping)
    return lambda: monkeypatch.setattr(loop, "train_step", original)


class Killed(BaseException):
    """Ends a run as a kill would: nothing of ours catches it."""


def killed():
    raise Killed


def test_a_run_writes_what_the_contract_says(make_config, monkeypatch):
    monkeypatch.setattr(loop, "draw_curves", curves.draw_curves)
    config = make_config()
    best = train(config, quiet=True)
    names = {path.name for path in config.output_dir.iterdir()}
    assert names == {
        "epoch-1", "epoch-2", "last", "best", "curves.png", "experiment_logs.txt", "metrics.jsonl"
    }  # fmt: skip
    assert (config.output_dir / "last").readlink().name == "epoch-2"
    assert best == (config.output_dir / "best").resolve()
    assert (config.output_dir / "curves.png").read_bytes().startswith(b"\x89PNG")

    rows = [json.loads(line) for line in (config.output_dir / "metrics.jsonl").open()]
    steps = [row for row in rows if row["event"] == "step"]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert all(row.keys() >= {"loss", "lr", "grad_norm", "tokens_per_s"} for row in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    validation = {row["step"]: row["loss"] for row in rows if row["event"] == "validation"}
    assert list(validation) == [3, 6]
    assert best.name == "epoch-1" if validation[3] < validation[6] else "epoch-2"

    log = (config.output_dir / "experiment_logs.txt").read_text()
    assert [line.split()[1] for line in log.splitlines()] == ["train"] * len(log.splitlines())
    events = [line.split()[2].removeprefix("event=") for line in log.splitlines()]
    assert events[:2] == ["start", "parts"] and events[-1] == "end"
    assert events.count("saved") == events.count("epoch") == 2
    assert "sha256=" in log and "versions=" in log and "device=cpu" in log


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_checkpoint_loads_as_a_model_with_the_same_logits_and_prompt(make_config, tune):
    parts = "all,experts" if tune == "lora" else None
    config = make_config(tune=tune, parts=parts, epochs=1)
    samples = read_samples(config)
    with accelerator_for("cpu", "auto", find_unused=False) as accelerator:
        run = describe_run(config, samples.sha256, 1)
        config.output_dir.mkdir()
        training = prepare(config, samples, accelerator, run, None, quiet=True)
        training.finish()
    model, processor = load_model(config.output_dir / "last", device="cpu")
    dataset = PageDataset(samples.rows, processor, config.data_root)
    batch = Collator(processor)([dataset[0], dataset[1]])
    with torch.no_grad():
        expected = training.model.eval()(**batch).logits
        torch.testing.assert_close(model(**batch).logits, expected, atol=0, rtol=0)
    assert processor.prompt == PROMPT
    assert (config.output_dir / "last" / "adapter_config.json").exists() == (tune == "lora")


def test_checkpoints_hold_no_pickle_and_can_be_read_by_others(make_config):
    best = train(make_config(epochs=1), quiet=True)
    files = [path for path in best.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert len(modes) == 1 and next(iter(modes)) & 0o444 == 0o444 & next(iter(modes)) | 0o400


def test_the_same_seed_gives_the_same_losses_and_bytes(make_config):
    first, second, other = (
        make_config("first"),
        make_config("second", num_workers=1),
        make_config("other", seed=1),
    )
    folders = [train(config, quiet=True) for config in (first, second, other)]
    assert losses_of(first) == losses_of(second)
    assert losses_of(first) != losses_of(other)
    assert content_of(folders[0].parent / "epoch-2") == content_of(folders[1].parent / "epoch-2")


def test_accumulation_learns_as_one_large_batch_does(make_config):
    large, small = make_config("large", batch_size=4), make_config("small", grad_accum=2)
    train(large, quiet=True)
    train(small, quiet=True)
    assert losses_of(small) == pytest.approx(losses_of(large), abs=1e-4)


@pytest.mark.parametrize(
    "settings", [{"tune": "full"}, {"tune": "lora"}, {"grad_accum": 2, "batch_size": 1}]
)
def test_a_killed_run_goes_on_exactly(make_config, monkeypatch, settings):
    whole, stopped = (make_config(name, save_steps=2, **settings) for name in ("a", "b"))
    train(whole, quiet=True)
    restore = interrupt_after(monkeypatch, 5, killed)
    with pytest.raises(Killed):
        train(stopped, quiet=True)
    restore()
    assert (stopped.output_dir / "last").readlink().name == "step-4"
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    for name in ("epoch-1", "step-4", "epoch-2"):
        assert content_of(stopped.output_dir / name) == content_of(whole.output_dir / name)
    for name in ("last", "best"):
        assert (stopped.output_dir / name).readlink() == (whole.output_dir / name).readlink()


def test_a_run_killed_while_it_saves_goes_on_exactly(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    original, count = checkpoint._sync_tree, iter(range(1, 100))

    def kill_in_second(path):
        if next(count) == 2:
            monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda *_, **__: None)
            killed()
        original(path)

    with monkeypatch.context() as patched:
        monkeypatch = patched
        patched.setattr(checkpoint, "_sync_tree", kill_in_second)
        with pytest.raises(Killed):
            train(stopped, quiet=True)
    left_over = [path for path in stopped.output_dir.iterdir() if path.suffix == ".tmp"]
    assert len(left_over) == 1
    train(stopped, quiet=True)
    assert not left_over[0].exists()
    assert losses_of(stopped) == losses_of(whole)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_ends(make_config, monkeypatch, number):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    handler = signal.getsignal(number)
    restore = interrupt_after(monkeypatch, 2, lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, quiet=True)
    restore()
    assert signal.getsignal(number) is handler
    name = (stopped.output_dir / "last").readlink().name
    assert read_checkpoint(stopped.output_dir / name).position.step == int(name[-1]) < 6
    assert " event=interrupted " in (stopped.output_dir / "experiment_logs.txt").read_text()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


def test_a_finished_run_is_not_repeated(make_config):
    config = make_config(epochs=1)
    best = train(config, quiet=True)
    before = content_of(best)
    assert train(config, quiet=True) == best
    assert content_of(best) == before
    assert len((config.output_dir / "metrics.jsonl").read_text().splitlines()) == 3 + 1 + 1 + 2


def test_an_earlier_checkpoint_can_be_gone_on_from(make_config):
    config = make_config()
    train(config, quiet=True)
    before = content_of(config.output_dir / "epoch-2")
    train(make_config(resume=str(config.output_dir / "epoch-1")), quiet=True)
    assert content_of(config.output_dir / "epoch-2") == before


def test_another_run_in_the_folder_is_refused_and_the_difference_named(make_config, folder):
    config = make_config(epochs=1)
    train(config, quiet=True)
    before = content_of(config.output_dir)
    with pytest.raises(UserError, match=r"another run: --lr was 0.01, now 0.001\nRepeat"):
        train(make_config(epochs=1, lr=1e-3), quiet=True)
    with pytest.raises(UserError, match="--val_file has another content"):
        train(make_config(epochs=1, val_file=None), quiet=True)
    with pytest.raises(UserError, match=r"holds a run .*--resume auto"):
        train(make_config(epochs=1, resume="none"), quiet=True)
    with pytest.raises(UserError, match="not a checkpoint"):
        train(make_config(epochs=1, resume=str(folder)), quiet=True)
    assert content_of(config.output_dir) == before


def test_max_steps_ends_inside_an_epoch_with_a_checkpoint(make_config):
    config = make_config(max_steps=4, eval_steps=2)
    train(config, quiet=True)
    assert list(losses_of(config)) == [1, 2, 3, 4]
    assert (config.output_dir / "last").readlink().name == "step-4"
    assert list(read_curve(config.output_dir, "validation", "loss")) == [2, 3, 4]


@pytest.mark.parametrize("parts, weight", [("all", 0.001), ("attention", 0.0)])
def test_the_balance_loss_counts_where_the_router_trains_and_is_not_saved(
    make_config, monkeypatch, parts, weight
):
    original, weights = loop.train_step, []

    def noting(model, *args, **kwargs):
        weights.append(model.config.balance_loss_weight)
        return original(model, *args, **kwargs)

    monkeypatch.setattr(loop, "train_step", noting)
    best = train(make_config(max_steps=1, parts=parts), quiet=True)
    train(
        make_config(max_steps=2, parts=parts, output_dir="again", model_path=str(best)), quiet=True
    )
    assert weights == [weight] * 3
    for folder in (best, best.parent.parent / "again" / "last"):
        assert "balance_loss_weight" not in (folder / "config.json").read_text()


def test_a_resumed_run_learns_with_the_balance_loss(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    restore = interrupt_after(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, quiet=True)
    restore()
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)


def test_view_settings_travel_with_the_checkpoint(make_config):
    best = train(make_config(epochs=1, base_size=64, max_tiles=2), quiet=True)
    _, processor = load_model(best, device="cpu")
    settings = processor.image_processor.settings()
    assert (settings.base_size, settings.tile_size, settings.max_tiles) == (64, 64, 2)


def test_the_keys_of_a_published_processor_are_kept(make_config, folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "model")
    keys = {"processor_class": "DeepseekVLV2Processor", "downsample_ratio": 4, "pad_token": "x"}
    (tmp_path / "model" / "processor_config.json").write_text(json.dumps(keys))
    best = train(make_config(model_path=str(tmp_path / "model"), max_steps=1), quiet=True)
    saved = json.loads((best / "processor_config.json").read_text())
    assert saved == {**keys, "prompt": PROMPT}


def test_full_tuning_starts_from_an_adapter_with_its_weights_added(make_config):
    adapter = train(make_config("adapter", tune="lora", epochs=1), quiet=True)
    model, processor = load_model(adapter, device="cpu")
    config = make_config("full", epochs=1, model_path=str(adapter))
    samples = read_samples(config)
    dataset = PageDataset(samples.rows, processor, config.data_root)
    batch = Collator(processor)([dataset[0]])
    with accelerator_for("cpu", "auto", find_unused=False) as accelerator, torch.no_grad():
        training = prepare(
            config, samples, accelerator, describe_run(config, samples.sha256, 1), None
        )
        merged = training.model.eval()(**batch).logits
    torch.testing.assert_close(merged, model(**batch).logits, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="is an adapter already"):
        train(make_config("x", tune="lora", model_path=str(adapter)), quiet=True)


def test_bfloat16_computes_over_float32_weights(make_config):
    config = make_config(epochs=1, dtype="bfloat16")
    best = train(config, quiet=True)
    losses = losses_of(config)
    assert losses[3] < losses[1]
    model, _ = load_model(best, device="cpu")
    assert model.dtype == torch.float32


def test_numbers_that_are_none_name_the_rows_and_nothing_is_saved(make_config, monkeypatch):
    def not_finite(*_, **__):
        raise loop.NotFinite(0)

    monkeypatch.setattr(loop, "train_step", not_finite)
    config = make_config(batch_size=1)
    with pytest.raises(
        TrainingError, match=r"step 1: the loss .* row page-\d \(labels.json:\d\)\n"
    ):
        train(config, quiet=True)
    names = {path.name for path in config.output_dir.iterdir()}
    assert names == {"experiment_logs.txt"}
    assert (
        " event=error type=TrainingError "
        in (config.output_dir / "experiment_logs.txt").read_text()
    )


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_exhausted_memory_names_the_settings_to_change(make_config, monkeypatch, error):
    def exhausted(*_, **__):
        raise error

    monkeypatch.setattr(loop, "train_step", exhausted)
    with pytest.raises(TrainingError, match=r"out of memory with 2 rows of \d+ .*\n.*--batch_size"):
        train(make_config(), quiet=True)


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"max_length": 9}, "takes .* positions, the limit is 9"),
        ({"max_length": 1000}, "--max_length is 1000, the model has 256 positions"),
        ({"base_size": 100}, "base_size is 100; expected a multiple of 16"),
        ({"dtype": "float16"}, "--dtype float16 needs CUDA"),
        ({"device": "warp"}, "unknown device 'warp'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    make_config, settings, reason
):
    config = make_config(**settings)
    with pytest.raises(UserError, match=reason):
        train(config, quiet=True)
    assert not config.output_dir.exists()


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr must be above 0"),
        ({"warmup_ratio": 1.5}, "between 0 and 1"),
        ({"parts": "decodr"}, "did you mean decoder"),
        ({"tune": "lora", "parts": "router"}, "router has no linear layers"),
        ({"eval_steps": 3, "val_file": None}, "--eval_steps needs rows"),
        ({"max_tiles": 0}, "--max_tiles must be at least 1, got 0"),
        ({"base_size": 0}, "--base_size must be at least 64, got 0"),
        ({"tile_size": 0}, "--tile_size must be at least 64, got 0"),
        ({"seed": 2**32}, "--seed must be at most 4294967295, got 4294967296"),
        ({"tune": "prefix"}, "--tune: expected one of full, lora, dora, qlora, got 'prefix'"),
        ({"dtype": "f"}, "--dtype: expected one of auto, float32, bfloat16, float16, got 'f'"),
        ({"mode": "huge"}, "--mode: expected one of tiny, .*, got 'huge'"),
        ({"mode": ["tiny"]}, r"--mode: expected one of tiny, .*, got \['tiny'\]"),
        ({"epochs": "2"}, "--epochs: expected a whole number, got '2'"),
        ({"batch_size": 1.5}, "--batch_size: expected a whole number, got 1.5"),
        ({"batch_size": None}, "--batch_size: expected a whole number, got None"),
        ({"max_steps": True}, "--max_steps: expected a whole number, got True"),
        ({"lr": "fast"}, "--lr: expected a number, got 'fast'"),
        ({"weight_decay": True}, "--weight_decay: expected a number, got True"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(make_config, settings, reason):
    with pytest.raises(UsageError, match=reason):
        make_config(**settings)


def test_numbers_may_be_whole_and_optional_ones_none(make_config):
    config = make_config(lr=1, weight_decay=0, seed=2**32 - 1, max_steps=None)
    assert (config.peak_lr, config.weight_decay, config.max_steps) == (1, 0, None)


@pytest.fixture
def breakable(folder, make_config, tmp_path):
    """A maker of settings over pages of their own; and how to break one, and mend it."""
    pages = tmp_path / "pages"
    shutil.copytree(folder / "pages", pages)

    def make(output_dir, **settings):
        config = make_config(output_dir, batch_size=1, **settings)
        return dataclasses.replace(config, data_root=pages)

    return make, pages


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_picture_that_breaks_ends_the_run_with_what_was_learned(
    breakable, monkeypatch, num_workers
):
    make, pages = breakable
    whole, stopped = make("a"), make("b", num_workers=num_workers)
    train(whole, quiet=True)
    name = f"{shuffled(5, seed=42, epoch=2)[1]}.png"
    content = (pages / name).read_bytes()
    original = batches.shuffled

    def breaking(*args, epoch, **kwargs):
        if epoch == 2:  # the pages of the first epoch have been read
            (pages / name).write_bytes(b"broken")
        return original(*args, epoch=epoch, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(batches, "shuffled", breaking)
        with pytest.raises(TrainingError) as caught:
            train(stopped, quiet=True)
    assert caught.value.exit_code == 1
    message = str(caught.value)
    row = f"row page-{name[0]} (labels.json:{int(name[0]) + 1}): {name}: "
    assert message.startswith(f"after step 6: {row}")
    assert message.endswith("\nSaved after step 6. Mend the file; the same command then goes on")
    assert (stopped.output_dir / "last").readlink().name == "step-6"
    (pages / name).write_bytes(content)
    train(stopped, quiet=True)
    assert losses_of(stopped) == losses_of(whole)
    assert weights_of(stopped) == weights_of(whole)


def test_a_picture_that_breaks_in_the_first_step_leaves_no_checkpoint(breakable):
    make, pages = breakable
    config = make("out")
    for page in pages.glob("*.png"):
        page.write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"after step 0: row .*\nMend the file"):
        train(config, quiet=True)
    assert {path.name for path in config.output_dir.iterdir()} == {"experiment_logs.txt"}


@pytest.mark.parametrize("settings", [{}, {"max_steps": 3}, {"eval_steps": 2}])
def test_a_validation_picture_that_breaks_is_measured_once_mended(breakable, settings):
    make, pages = breakable
    whole, stopped = make("a", **settings), make("b", **settings)
    train(whole, quiet=True)
    content = (pages / "6.png").read_bytes()
    (pages / "6.png").write_bytes(b"broken")
    with pytest.raises(TrainingError, match=r"after step \d: row page-6 .*6\.png"):
        train(stopped, quiet=True)
    assert losses_of(stopped)
    (pages / "6.png").write_bytes(content)
    train(stopped, quiet=True)
    for event in ("step", "validation", "epoch"):
        assert read_curve(stopped.output_dir, event, "loss") == read_curve(
            whole.output_dir, event, "loss"
        )
    assert weights_of(stopped) == weights_of(whole)


def weights_of(config):
    return (config.output_dir / "last" / "model.safetensors").read_bytes()


def test_accelerates_own_accumulation_changes_nothing(make_config, monkeypatch):
    plain, other = make_config("plain", max_steps=2), make_config("other", max_steps=2)
    train(plain, quiet=True)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    train(other, quiet=True)
    norms = [read_curve(config.output_dir, "step", "grad_norm") for config in (plain, other)]
    assert norms[0] == norms[1]


def test_two_runs_cannot_write_to_one_folder(make_config):
    config = make_config(epochs=1)
    config.output_dir.mkdir()
    with (
        alone_in(config.output_dir),
        pytest.raises(UserError, match=r"another train\.py is writing"),
    ):
        train(config, quiet=True)
    assert list(config.output_dir.iterdir()) == []
    train(config, quiet=True)


def test_a_full_disk_ends_the_run_with_its_earlier_checkpoints_whole(make_config, monkeypatch):
    whole, stopped = make_config("a"), make_config("b")
    train(whole, quiet=True)
    original = checkpoint.save_file

    def full(tensors, path):
        if "epoch-2" in str(path):
            raise OSError(28, "No space left on device")
        original(tensors, path)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", full)
        with pytest.raises(TrainingError, match=r"epoch-2: cannot be written .*No space left"):
            train(stopped, quiet=True)
    assert not [path for path in stopped.output_dir.iterdir() if path.suffix == ".tmp"]
    train(stopped, quiet=True)
    assert content_of(stopped.output_dir / "epoch-2") == content_of(whole.output_dir / "epoch-2")


def test_paths_may_be_strings(make_config):
    config = make_config()
    again = TrainConfig(
        **{
            **{name: getattr(config, name) for name in ("model_path", "epochs", "lr", "device")},
            "data_root": str(config.data_root),
            "train_file": str(config.train_file),
            "output_dir": str(config.output_dir),
            "val_file": str(config.val_file),
        }
    )
    assert again == config


def test_an_adapter_is_float32_over_a_base_that_keeps_its_format(make_config, folder, tmp_path):
    from safetensors.torch import load_file

    model, processor = load_model(folder / "model", device="cpu", dtype="bfloat16")
    model.save_pretrained(tmp_path / "half")
    processor.save_pretrained(tmp_path / "half")
    config = make_config(
        tune="lora", dtype="bfloat16", model_path=str(tmp_path / "half"), save_steps=2
    )
    best = train(config, quiet=True)
    losses = losses_of(config)
    assert losses[6] < losses[1]
    adapter = load_file(best / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    loaded, _ = load_model(best, device="cpu")
    dtypes = {p.dtype for name, p in loaded.named_parameters() if "lora_" not in name}
    assert dtypes == {torch.bfloat16}


@pytest.mark.parametrize("name", ["epoch-1", "step-3", "last"])
def test_folders_of_others_are_not_replaced(name, make_config):
    config = make_config()
    mine = config.output_dir / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("thesis")
    with pytest.raises(UserError, match="was not written by"):
        train(config, quiet=True)
    assert mine.read_text() == "thesis"
