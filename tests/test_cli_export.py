"""`deepseek-ocr export`: one folder in the published layout, equal to what it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepseek_ocr.cli.export import main as export_main
from deepseek_ocr.cli.main import main
from deepseek_ocr.errors import EXIT_OK, EXIT_REFUSED, EXIT_USAGE, UserError
from deepseek_ocr.model.loading import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_MODEL,
    base_model_record,
    expected_shapes,
    load_model,
    stored_shapes,
    weight_files,
)
from deepseek_ocr.training.checkpoints.checkpoint import STATE_FOLDER
from deepseek_ocr.training.tuning import exporting
from deepseek_ocr.training.tuning.export_config import ExportConfig
from deepseek_ocr.training.tuning.exporting import export
from deepseek_ocr.training.tuning.lora import adapted_parts, add_adapter

from .training.adapters import set_adapter
from .training.samples import make_rows, save_small_model, small_model, small_processor, write_rows

PROMPT = "<image>\nRead this."


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A model folder with weights of sixteen bits, as the published one."""
    folder = save_small_model(tmp_path_factory.mktemp("base") / "model")
    model, processor = load_model(folder, device="cpu", dtype="bfloat16")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "LICENSE").write_text("terms")
    (folder / "modeling_deepseekocr.py").write_text("raise SystemExit('was run')")
    return folder


def write_adapter(folder: Path, base: Path, text: str, *, dora: bool = False, **record) -> Path:
    """An adapter as training leaves it."""
    model, _ = load_model(base, device="cpu")
    adapted = add_adapter(model, adapted_parts(text), rank=2, dora=dora)
    set_adapter(adapted)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / BASE_MODEL).write_text(json.dumps(base_model_record(base) | record))
    processor = small_processor()
    processor.prompt = PROMPT
    processor.save_pretrained(folder)
    (folder / STATE_FOLDER).mkdir()
    (folder / STATE_FOLDER / "state.json").write_text("{}")
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: t for path in weight_files(folder) for name, t in load_file(path).items()}


@pytest.mark.parametrize("text, dora", [("attention,experts", False), ("decoder", True)])
def test_an_adapter_is_merged_and_all_else_stays_bit_for_bit(base, tmp_path, capsys, text, dora):
    adapter = write_adapter(tmp_path / "adapter", base, text, dora=dora)
    out = tmp_path / "a" / "exported"
    assert main(["export", str(adapter), str(out)]) == EXIT_OK
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("tensors in bfloat16, 0.3 MB; the adapter is merged")
    assert printed[1].startswith("largest logit difference ") and printed[-1] == str(out)

    names = {name: shape for name, shape, _ in stored_shapes(weight_files(out))}
    assert names == expected_shapes(small_model())
    before, after = weights_of(base), weights_of(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    adapted = ("self_attn.", "mlp.experts.") if not dora else ("self_attn.", "mlp.", "lm_head.")
    assert changed and all(any(a in name for a in adapted) for name in changed)
    assert not any(".gate.weight" in name or "norm" in name for name in changed)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}

    assert json.loads((out / "config.json").read_text()) == json.loads(
        (base / "config.json").read_text()
    )
    files = {path.name for path in out.iterdir()}
    assert {"LICENSE", "modeling_deepseekocr.py"} <= files
    assert not {STATE_FOLDER, ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_MODEL} & files
    _, processor = load_model(out, device="cpu")
    assert processor.prompt == PROMPT
    assert list(tmp_path.glob("**/.*.tmp")) == []


@pytest.mark.parametrize("dora", [False, True])
def test_in_float32_merged_and_unmerged_logits_are_equal(tmp_path, dora):
    base = save_small_model(tmp_path / "model")
    adapter = write_adapter(tmp_path / "adapter", base, "all", dora=dora)
    exported = export(ExportConfig(model=str(base), adapter=adapter, out=tmp_path / "out"))
    assert exported.dtype == "float32" and exported.merged
    assert exported.difference < 1e-4 < 1 < exported.largest
    assert exported.same == exported.positions > 0


def test_the_difference_is_that_of_the_folder_that_was_written(base, tmp_path, monkeypatch):
    adapter = write_adapter(tmp_path / "adapter", base, "attention")
    original = exporting.merge_adapter

    def losing(model, dtype):
        merged = original(model, dtype)
        merged.lm_head.weight.data.zero_()
        return merged

    monkeypatch.setattr(exporting, "merge_adapter", losing)
    exported = export(ExportConfig(model=str(adapter), out=tmp_path / "out"))
    assert exported.difference == exported.largest > 1


def test_a_full_checkpoint_is_written_without_what_only_training_needs(tmp_path):
    checkpoint = save_small_model(tmp_path / "epoch-1")
    (checkpoint / STATE_FOLDER).mkdir()
    exported = export(ExportConfig(model=str(checkpoint), out=tmp_path / "out"))
    assert exported.difference == 0 and not exported.merged
    assert not (tmp_path / "out" / STATE_FOLDER).exists()
    before, after = weights_of(checkpoint), weights_of(tmp_path / "out")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_format_can_be_asked_for(tmp_path):
    checkpoint = save_small_model(tmp_path / "epoch-1")
    exported = export(
        ExportConfig(model=str(checkpoint), out=tmp_path / "out", dtype="bfloat16", num_samples=1)
    )
    assert exported.dtype == "bfloat16" and 0 < exported.difference < 1
    assert {t.dtype for t in weights_of(tmp_path / "out").values()} == {torch.bfloat16}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "bfloat16" in (config.get("torch_dtype"), config.get("dtype"))


def test_real_rows_can_be_compared(base, tmp_path):
    rows = write_rows(tmp_path / "test.json", make_rows(tmp_path / "pages", 3))
    config = ExportConfig(
        model=str(base),
        out=tmp_path / "out",
        samples=rows,
        data_root=tmp_path / "pages",
        num_samples=2,
    )
    exported = export(config)
    assert exported.num_samples == 2 and exported.positions > 2


def test_no_sample_no_difference(base, tmp_path, capsys):
    assert export_main([str(base), str(tmp_path / "out"), "--num_samples", "0"]) == EXIT_OK
    assert "logit" not in capsys.readouterr().out


def test_an_adapter_that_learned_beside_four_bits_says_so(base, tmp_path, capsys):
    adapter = write_adapter(tmp_path / "adapter", base, "attention", quantization="nf4")
    assert export_main([str(adapter), str(tmp_path / "out")]) == EXIT_OK
    assert "trained over weights rounded to 4 bits (nf4)" in capsys.readouterr().out


# --- refused --------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused_and_stays(base, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(base), str(tmp_path)]) == EXIT_REFUSED
    assert "is not empty; name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "file").write_text("")
    assert main(["export", str(base), str(tmp_path / "file")]) == EXIT_REFUSED


def test_an_empty_folder_is_filled(base, tmp_path):
    (tmp_path / "out").mkdir()
    export(ExportConfig(model=str(base), out=tmp_path / "out", num_samples=0))
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "flags, code",
    [
        (["--samples", "test.json"], EXIT_USAGE),
        (["--num_samples", "-1"], EXIT_USAGE),
        (["--dtype", "int8"], EXIT_USAGE),
        (["--adapter", "nowhere"], EXIT_REFUSED),
        (["--samples", "nowhere.json", "--data_root", "."], EXIT_REFUSED),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(base, tmp_path, flags, code):
    assert main(["export", str(base), str(tmp_path / "out"), *flags]) == code
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_export_that_fails(base, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "keep_files", full)
    with pytest.raises(OSError, match="No space left"):
        export(ExportConfig(model=str(base), out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_adapter_is_refused(base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base, "attention")
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    next(iter(weights.values()))[0, 0] = torch.nan
    save_file(weights, adapter / ADAPTER_WEIGHTS)
    with pytest.raises(UserError, match="weights that are not numbers"):
        export(ExportConfig(model=str(adapter), out=tmp_path / "out", num_samples=0))
    assert not (tmp_path / "out").exists()
