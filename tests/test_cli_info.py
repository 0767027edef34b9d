"""`deepseek-ocr info`: what a model is, what would train, what memory it takes."""

from __future__ import annotations

import json
import re

import pytest
import torch

from deepseek_ocr.cli import main as entry
from deepseek_ocr.cli.info import InfoConfig
from deepseek_ocr.training.config import TrainConfig
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.parts import count_by_part, formats_by_part, parts_table
from deepseek_ocr.training.tuning.trainable import load_trainable
from tests.training.samples import save_small_model, small_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("info") / "model")


def told(capsys, *arguments) -> str:
    assert entry.main(["info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_published_sizes_are_told_without_building_the_weights(capsys, monkeypatch):
    original, drawn = torch.Tensor.normal_, set()

    def note(tensor, *arguments, **settings):
        drawn.add(tensor.device.type)
        return original(tensor, *arguments, **settings)

    monkeypatch.setattr(torch.Tensor, "normal_", note)
    out = told(capsys, "base-untrained", "--dtype", "bfloat16", "--memory", 24)
    assert drawn <= {"meta"}
    assert "3,336,106,240 parameters" in out
    assert re.search(r"^experts +2,422,210,560 +0  float32$", out, re.M)
    assert re.search(r"^a page of A4 +6 tiles, 903 positions$", out, re.M)
    assert "the device has 24.0 GB" in out
    assert "--tune lora would need" in out


def test_the_parameters_that_would_train_are_those_of_the_flags(capsys, model_folder):
    out = told(capsys, model_folder, "--tune", "lora", "--parts", "attention", "--lora-rank", 2)
    row = re.search(r"^total +([\d,]+) +([\d,]+)$", out, re.M)
    trained, frozen = (int(number.replace(",", "")) for number in row.groups())
    assert frozen == sum(p.numel() for p in small_model().parameters())
    assert trained == 2 * 4 * 2 * (32 + 32)  # layers, projections, rank, in and out


@pytest.mark.parametrize(
    "tune, parts", [("qlora", "all"), ("lora", "all,experts"), ("dora", "all")]
)
def test_the_formats_are_those_that_training_shows(capsys, model_folder, tune, parts):
    out = told(capsys, model_folder, "--tune", tune, "--parts", parts, "--lora-rank", 2)
    config = InfoConfig(model=str(model_folder), tune=tune, parts=parts, lora_rank=2).as_training()
    with accelerator_for("cpu", "float32") as accelerator:
        model, _ = load_trainable(config, accelerator, None)
    for line in parts_table(count_by_part(model), formats_by_part(model)).splitlines():
        assert line in out


def test_weights_of_four_bits_are_told_from_those_of_sixteen(capsys, tmp_path):
    folder = tmp_path / "model"
    save_small_model(folder)
    small_model().to(torch.bfloat16).save_pretrained(folder)
    out = told(capsys, folder, "--tune", "qlora", "--memory", 24)
    for part, format in {"experts": "4 bits", "embeddings": "bfloat16"}.items():
        assert re.search(rf"^{part} +[\d,]+ +[\d,]+  {format}$", out, re.M), part
    assert re.search(r"^attention .*  4 bits, float32, bfloat16$", out, re.M)


def test_a_rank_that_no_matrix_has_is_an_error(capsys, model_folder):
    flags = ["--tune", "lora", "--parts", "attention,experts", "--lora-rank"]
    assert entry.main(["info", str(model_folder), *flags, "17"]) == 2
    assert "use --lora_rank 16 or lower" in capsys.readouterr().err
    told(capsys, model_folder, *flags, 16)


def test_the_prompt_and_views_that_a_model_was_trained_with_are_told(capsys, tmp_path):
    folder = save_small_model(tmp_path / "model")
    path = folder / "processor_config.json"
    content = json.loads(path.read_text())
    out = told(capsys, folder)
    assert "overview of 128 pixels (4 tokens), up to 4 tiles of 64 (1 tokens each)" in out
    assert not re.search("^prompt", out, re.M)
    content["prompt"] = "<image>\nRead"
    path.write_text(json.dumps(content))
    assert repr("<image>\nRead") in told(capsys, folder)


def test_another_mode_takes_other_memory(capsys, model_folder):
    def total(*flags) -> float:
        line = re.search(r"memory: needs about ([\d.]+) GB", told(capsys, "base-untrained", *flags))
        return float(line[1])

    assert total("--mode", "base") < total("--mode", "gundam")
    assert total("--batch_size", 1) < total("--batch_size", 4)
    assert total("--gradient_checkpointing", "all") < total()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["nowhere"], 4, "no such folder"),
        (["nano-untrained", "--parts", "visoin"], 2, "did you mean vision"),
        (["nano-untrained", "--answer_tokens", "0"], 2, "--answer_tokens must be at least 1"),
        (["nano-untrained", "--memory", "-1"], 2, "--memory must be above 0"),
        ([], 2, "MODEL"),
    ],
    ids=["no model", "unknown part", "no tokens", "no memory", "nothing"],
)
def test_what_cannot_be_told_is_an_error_in_a_line(capsys, arguments, code, message):
    assert entry.main(["info", *arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""


def test_weights_of_another_shape_are_refused(capsys, tmp_path):
    folder = save_small_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = config["language_config"]["intermediate_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    assert entry.main(["info", str(folder)]) == 4
    assert "has shape" in capsys.readouterr().err


def test_flags_shared_with_training_have_its_defaults():
    shared = InfoConfig.__dataclass_fields__.keys() & TrainConfig.__dataclass_fields__.keys()
    assert {"tune", "parts", "batch_size", "mode", "optimizer"} <= shared
    for name in shared:
        ours, theirs = (
            config.__dataclass_fields__[name].default for config in (InfoConfig, TrainConfig)
        )
        assert ours == theirs, name
