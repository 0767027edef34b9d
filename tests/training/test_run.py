"""Whole runs at tiny size: what they write, that they repeat, and what they learn."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import stat

import pytest
import torch

from deepseek_ocr.errors import UserError
from deepseek_ocr.model.loading import load_model
from deepseek_ocr.training import loop, train
from deepseek_ocr.training.batching.batches import Collator, PageDataset
from deepseek_ocr.training.checkpoints import saving
from deepseek_ocr.training.checkpoints.identity import describe_run, id_of
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.reporting import curves
from deepseek_ocr.training.reporting.curves import read_curve
from deepseek_ocr.training.run import prepare, read_samples

from .runs import content_of, losses_of
from .samples import PROMPT


def test_a_run_writes_what_the_contract_says(make_config, monkeypatch):
    monkeypatch.setattr(saving, "draw_curves", curves.draw_curves)
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
    assert list(validation) == [0, 3, 6]
    assert best.name == "epoch-1" if validation[3] < validation[6] else "epoch-2"

    log = (config.output_dir / "experiment_logs.txt").read_text()
    assert [line.split()[1] for line in log.splitlines()] == ["train"] * len(log.splitlines())
    events = [line.split()[2].removeprefix("event=") for line in log.splitlines()]
    assert events[:2] == ["start", "parts"] and events[-1] == "end"
    assert events.count("saved") == events.count("epoch") == 2
    assert "sha256=" in log and "versions=" in log and "device=cpu" in log
    chosen, rest = re.search(r" arguments=(\{.*?\}) .* defaults=(\{.*\})$", log, re.M).groups()
    assert json.loads(chosen)["lr"] == 1e-2 and "lr" not in json.loads(rest)
    assert all(datetime.datetime.fromisoformat(row["time"]).tzinfo for row in rows)
    start, end = rows[0], rows[-1]
    assert start["event"] == "start" and start["arguments"] == config.to_json()
    assert start["num_rows"] == 5 and len(start["run"]) == 12 and start["device_name"]
    assert [row["path"] for row in rows if row["event"] == "saved"] == [
        str(config.output_dir / name) for name in ("epoch-1", "epoch-2")
    ]
    assert end["event"] == "end" and end["peak_memory_gb"] > 0 and end["best"] == best.name


def test_a_run_has_the_same_id_when_it_goes_on_and_another_one_has_another(make_config):
    run = describe_run(make_config(), {"train_file": "a", "guard_file": "b"}, 1)
    again = describe_run(make_config(num_workers=1), {"train_file": "a", "guard_file": "c"}, 1)
    other = describe_run(make_config(seed=1), {"train_file": "a", "guard_file": "b"}, 1)
    assert id_of(run) == id_of(again) != id_of(other)


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_a_checkpoint_loads_as_a_model_with_the_same_logits_and_prompt(make_config, tune):
    parts = "all,experts" if tune == "lora" else None
    config = make_config(tune=tune, parts=parts, epochs=1)
    samples = read_samples(config)
    with accelerator_for("cpu", "auto") as accelerator:
        run = describe_run(config, samples.sha256, 1)
        config.output_dir.mkdir()
        training = prepare(config, samples, accelerator, run, None, quiet=True)
        training.finish()
    model, processor = load_model(config.output_dir / "last", device="cpu")
    dataset = PageDataset(samples.rows, processor, config.data_root)
    batch = Collator(processor)([dataset[0], dataset[1]])
    with torch.no_grad():
        expected = training.model.eval()(**batch, with_logits=True).logits
        torch.testing.assert_close(
            model(**batch, with_logits=True).logits, expected, atol=0, rtol=0
        )
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


def test_max_steps_ends_inside_an_epoch_with_a_checkpoint(make_config):
    config = make_config(max_steps=4, eval_steps=2)
    train(config, quiet=True)
    assert list(losses_of(config)) == [1, 2, 3, 4]
    assert (config.output_dir / "last").readlink().name == "step-4"
    assert list(read_curve(config.output_dir, "validation", "loss")) == [0, 2, 3, 4]


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
    with accelerator_for("cpu", "auto") as accelerator, torch.no_grad():
        training = prepare(
            config, samples, accelerator, describe_run(config, samples.sha256, 1), None
        )
        merged = training.model.eval()(**batch, with_logits=True).logits
    torch.testing.assert_close(
        merged, model(**batch, with_logits=True).logits, atol=1e-5, rtol=1e-4
    )
    with pytest.raises(UserError, match="is an adapter already"):
        train(make_config("x", tune="lora", model_path=str(adapter)), quiet=True)


def test_bfloat16_computes_over_float32_weights(make_config):
    config = make_config(epochs=1, dtype="bfloat16")
    best = train(config, quiet=True)
    losses = losses_of(config)
    assert losses[3] < losses[1]
    model, _ = load_model(best, device="cpu")
    assert model.dtype == torch.float32


def test_accelerates_own_accumulation_changes_nothing(make_config, monkeypatch):
    plain, other = make_config("plain", max_steps=2), make_config("other", max_steps=2)
    train(plain, quiet=True)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    train(other, quiet=True)
    norms = [read_curve(config.output_dir, "step", "grad_norm") for config in (plain, other)]
    assert norms[0] == norms[1]


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
