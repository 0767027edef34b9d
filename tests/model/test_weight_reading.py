"""Weights are read into their places: the same model as `from_pretrained` makes."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepseek_ocr.errors import UserError
from deepseek_ocr.model import DeepseekOcrForConditionalGeneration, weight_reading
from deepseek_ocr.model.loading import load_folder, load_model, read_config
from deepseek_ocr.model.weight_reading import stored_tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model, processor = load_model("nano-untrained", device="cpu", dtype="bfloat16")
    folder = tmp_path_factory.mktemp("model") / "m"
    model.save_pretrained(folder, max_shard_size="3MB")
    processor.save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_the_model_is_that_of_from_pretrained(folder, dtype):
    ours, _ = load_folder(folder, dtype)
    theirs = DeepseekOcrForConditionalGeneration.from_pretrained(folder, dtype=dtype or "auto")
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, tensor in ours.state_dict().items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name
    assert ours.config.to_dict() == theirs.config.to_dict()
    assert ours.config.text_config.dtype == theirs.config.text_config.dtype
    assert ours.generation_config.to_dict() == theirs.generation_config.to_dict()
    assert ours.name_or_path == theirs.name_or_path and not ours.training
    assert all(parameter.requires_grad for parameter in ours.parameters())


def test_saved_again_it_is_the_same_folder(folder, tmp_path):
    model, _ = load_folder(folder)
    model.save_pretrained(tmp_path, max_shard_size="3MB")
    for path in folder.glob("*.safetensors"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_type_that_weights_do_not_have_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m")
    for path in (tmp_path / "m").glob("*.safetensors"):
        weights = load_file(path)
        if "model.norm.weight" in weights:
            weights["model.norm.weight"] = weights["model.norm.weight"].to(torch.int64)
            save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model.norm.weight has type I64; expected one of BF16, F"):
        load_folder(tmp_path / "m")


def test_a_file_that_ends_while_it_is_read_is_named(folder, tmp_path, monkeypatch):
    found = {}
    for path in folder.glob("*.safetensors"):
        found |= {name: (path, stored) for name, stored in stored_tensors(path)}
    path, stored = next(iter(found.values()))
    beyond = type(stored)(stored.dtype, stored.shape, path.stat().st_size - 2)
    monkeypatch.setattr(weight_reading, "stored_tensors", lambda path: iter([(name, beyond)]))
    name = next(iter(found))
    model = DeepseekOcrForConditionalGeneration(read_config(folder))
    with pytest.raises(UserError, match="ends in the middle of a tensor"):
        weight_reading.read_weights(model, [path])
