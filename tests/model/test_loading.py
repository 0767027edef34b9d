"""What cannot be loaded is one plain error that names the file; what can be, is loaded as stored."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from deepseek_ocr.errors import UserError
from deepseek_ocr.model import DeepseekOcrForConditionalGeneration, DeepseekOcrProcessor
from deepseek_ocr.model.loading import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_MODEL,
    INDEX,
    WEIGHTS,
    base_model_record,
    check_weights,
    load_folder,
    load_model,
    model_folder,
    pick_device,
    read_config,
    weight_files,
)
from deepseek_ocr.model.presets import untrained


@pytest.fixture
def folder(nano_folder, tmp_path) -> Path:
    """A model folder that a test may spoil."""
    return Path(shutil.copytree(nano_folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def ids():
    torch.manual_seed(0)
    return torch.randint(20, 280, (2, 9))


def refused(source, *parts: str, **options) -> str:
    """Loading raises one plain error of at most two lines that holds each of `parts`."""
    with pytest.raises(UserError) as caught:
        load_model(source, device="cpu", **options)
    message = str(caught.value)
    assert message.count("\n") <= 1
    for part in parts:
        assert part in message
    return message


def edit_json(path: Path, **changes) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_weights(folder: Path, change) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


# --- folders that are no model -----------------------------------------------------------------


def test_what_is_no_terminal_sees_no_bar(folder, capsys, monkeypatch):
    monkeypatch.setattr(transformers_logging, "_tqdm_active", True)
    load_folder(folder)
    assert capsys.readouterr().err == ""


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path, str(tmp_path), "no config.json (found nothing)", "expected a model folder")


def test_a_folder_without_config_is_refused_with_what_is_there(folder):
    (folder / "config.json").unlink()
    refused(folder, str(folder), "no config.json", "generation_config.json")


def test_a_config_that_is_not_json_is_refused_with_its_line(folder):
    (folder / "config.json").write_text('{\n "a": 1,\n oops\n}', encoding="utf-8")
    refused(folder, f"{folder / 'config.json'}:3: not valid JSON")


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"\xff\xfe{}"])
def test_a_config_that_is_no_object_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    refused(folder, str(folder / "config.json"))


@pytest.mark.parametrize("model_type", ["llama", None, 3])
def test_the_config_of_another_model_is_refused(folder, model_type):
    edit_json(folder / "config.json", model_type=model_type)
    refused(folder, str(folder / "config.json"), f"model_type is {model_type!r}", "deepseek_vl_v2")


def test_a_config_that_asks_for_what_is_not_supported_is_refused(folder):
    edit_json(folder / "config.json", attention_bias=True)
    refused(folder, str(folder), "attention_bias is True")


def test_a_file_in_place_of_a_folder_is_refused(folder):
    refused(folder / WEIGHTS, str(folder / WEIGHTS), "is a file; expected a model folder")


@pytest.mark.parametrize("name", ["/no/such/folder", "nanoo", "./models/mine", "../a/b/c", ""])
def test_a_path_that_does_not_exist_is_refused_with_the_known_presets(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name:
        refused(name, "no such folder", "nano-untrained", "deepseek-ai/DeepSeek-OCR")
    else:
        refused(name, "name is empty")


def test_an_untrained_preset_has_no_folder():
    with pytest.raises(UserError, match="'base-untrained' has no folder"):
        model_folder("base-untrained")


# --- weights that cannot be read ----------------------------------------------------------------


def test_a_folder_without_weights_is_refused(folder):
    (folder / WEIGHTS).unlink()
    refused(folder, "no weights", WEIGHTS, INDEX)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_a_pickle_is_never_loaded(folder, name, tmp_path):
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(folder, str(folder / name), "a pickle", f"convert it to {WEIGHTS}")
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_under_the_name_of_safetensors_is_never_loaded(folder, tmp_path):
    (folder / WEIGHTS).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(folder, str(folder / WEIGHTS), "not a whole safetensors file")
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_safetensors_cut_anywhere_are_refused(nano_folder, share, tmp_path):
    content = (nano_folder / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="not a whole safetensors file") as caught:
        check_weights(tmp_path, read_config(nano_folder))
    assert str(tmp_path / WEIGHTS) in str(caught.value)


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 5000, -1])
def test_a_folder_with_cut_safetensors_is_refused(folder, cut):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:cut])
    refused(folder, str(folder / WEIGHTS), "copy or download it again")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**31, 0])
def test_a_header_of_an_absurd_length_is_refused(folder, length):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + content[8:])
    refused(folder, str(folder / WEIGHTS), "not a whole safetensors file")


def test_a_tensor_of_another_shape_is_refused(folder):
    edit_weights(folder, lambda w: w.update({"model.image_newline": torch.zeros(7)}))
    refused(folder, str(folder / WEIGHTS), "model.image_newline has shape (7,)", "(256,)")


def test_a_missing_tensor_is_refused(folder):
    name = "model.layers.1.mlp.experts.3.up_proj.weight"
    edit_weights(folder, lambda w: w.pop(name))
    refused(folder, "1 tensors are missing", WEIGHTS, name)


def test_an_unexpected_tensor_is_refused(folder):
    edit_weights(folder, lambda w: w.update({"model.extra.weight": torch.zeros(7)}))
    refused(folder, str(folder / WEIGHTS), "model.extra.weight", "config.json does not have")


def test_the_position_buffer_of_the_released_code_is_ignored(folder):
    name = "model.vision_model.embeddings.position_ids"
    edit_weights(folder, lambda w: w.update({name: torch.arange(65)[None]}))
    load_folder(folder)


def test_weights_of_another_size_than_the_config_are_refused(folder):
    content = json.loads((folder / "config.json").read_text())
    content["num_hidden_layers"] = content["language_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(content))
    refused(folder, "model.layers.3.", "config.json does not have")


@pytest.fixture
def sharded(nano, nano_processor, tmp_path) -> Path:
    nano.save_pretrained(tmp_path / "model", max_shard_size="8MB")
    nano_processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_sharded_weights_are_those_of_one_file(sharded, nano):
    assert len(weight_files(sharded)) > 2
    model, _ = load_model(sharded, device="cpu")
    for name, tensor in nano.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_an_index_that_names_a_missing_file_is_refused(sharded):
    gone = weight_files(sharded)[1]
    gone.unlink()
    refused(sharded, str(sharded / INDEX), gone.name, "not in the folder")


@pytest.mark.parametrize("outside", ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors"])
def test_an_index_that_names_a_file_outside_the_folder_is_refused(sharded, outside):
    shutil.copy(weight_files(sharded)[0], sharded.parent / "outside.safetensors")
    edit_json(sharded / INDEX, weight_map={"lm_head.weight": outside})
    refused(sharded, str(sharded / INDEX), outside, "not in the folder")


@pytest.mark.parametrize("weight_map", [{}, [], None, {"lm_head.weight": 3}, "text"])
def test_an_index_without_file_names_is_refused(sharded, weight_map):
    edit_json(sharded / INDEX, weight_map=weight_map)
    refused(sharded, str(sharded / INDEX))


def test_a_tensor_that_is_stored_twice_is_refused(sharded):
    first, second = weight_files(sharded)[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file(load_file(second) | {name: tensor}, second, metadata={"format": "pt"})
    refused(sharded, name, "twice")


# --- processors ---------------------------------------------------------------------------------


def test_a_folder_without_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    refused(folder, str(folder), "no tokenizer.json")


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json", "processor_config.json"])  # fmt: skip
@pytest.mark.parametrize("content", ["{\n oops", "[1]", '{"model": 3, "mode": 3}'])
def test_a_processor_file_with_wrong_content_is_refused(folder, name, content):
    if name == "processor_config.json" and content.startswith('{"'):
        return  # holds nothing that is read
    (folder / name).write_text(content, encoding="utf-8")
    refused(folder, str(folder), "processor cannot be used")


def test_the_tokenizer_of_another_model_is_refused(folder):
    edit_json(folder / "config.json", image_token_id=17)
    refused(folder, "tokenizer.json has <image> at 18", "image_token_id 17", "different models")


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"].append(dict(content["added_tokens"][0], content="<far>", id=286))
    path.write_text(json.dumps(content), encoding="utf-8")
    refused(folder, str(folder), "tokenizer.json", "286")


# --- devices and number formats -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float8", "fp16", ""])
def test_an_unknown_dtype_is_refused_with_the_known_ones(dtype):
    refused("nano-untrained", f"unknown dtype {dtype!r}", "bfloat16", dtype=dtype)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_an_unknown_device_is_refused_with_the_known_ones(device):
    with pytest.raises(UserError, match="unknown device") as caught:
        pick_device(device)
    assert repr(device) in str(caught.value)


@pytest.mark.parametrize(
    "device, num_cards", [("cuda", 0), ("cuda:1", 0), ("cuda:1", 1), ("cuda:2", 2), ("meta", 1)]
)
def test_a_device_that_is_not_here_is_refused(device, num_cards, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_cards)
    with pytest.raises(UserError, match="is not available on this machine; try --device auto"):
        pick_device(device)


def test_a_device_that_is_here_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("dtype, expected", [("auto", torch.bfloat16), ("float32", torch.float32)])
def test_auto_is_the_dtype_that_the_weights_are_stored_in(nano_folder, tmp_path, dtype, expected):
    load_folder(nano_folder, torch.bfloat16)[0].save_pretrained(tmp_path)
    DeepseekOcrProcessor.from_pretrained(nano_folder).save_pretrained(tmp_path)
    model, _ = load_model(tmp_path, device="cpu", dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert not model.training


# --- presets ------------------------------------------------------------------------------------


def test_nano_untrained_has_five_to_ten_million_parameters(nano):
    assert 5e6 <= sum(parameter.numel() for parameter in nano.parameters()) <= 10e6


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(nano):
    again = untrained("nano-untrained", seed=0)[0].state_dict()
    other = untrained("nano-untrained", seed=1)[0].state_dict()
    for name, tensor in nano.state_dict().items():
        assert torch.equal(again[name], tensor), name
    assert not torch.equal(other["lm_head.weight"], nano.state_dict()["lm_head.weight"])
    drawn = load_model("nano-untrained", device="cpu", seed=1)[0].state_dict()
    assert all(torch.equal(drawn[name], tensor) for name, tensor in other.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_untrained_preset_is_made_in_the_named_dtype(dtype):
    model, processor = load_model("nano-untrained", device="cpu", dtype=dtype)
    assert model.dtype == model.config.dtype == getattr(torch, dtype)
    assert torch.get_default_dtype() == torch.float32
    assert processor.image_id == model.config.image_token_id


def test_an_unknown_preset_is_an_error():
    with pytest.raises(ValueError, match="unknown preset 'huge'"):
        untrained("huge")


# --- adapters -----------------------------------------------------------------------------------


@pytest.fixture
def adapter(folder, nano_processor, tmp_path) -> Path:
    """A LoRA folder as training writes it, on the attention of `folder`."""
    model, _ = load_model(folder, device="cpu")
    torch.manual_seed(0)
    wrapped = get_peft_model(
        model,
        LoraConfig(r=2, target_modules=r".*self_attn\.(q|v)_proj", init_lora_weights=False),
    )
    path = tmp_path / "adapter"
    wrapped.save_pretrained(path)
    nano_processor.save_pretrained(path)
    (path / BASE_MODEL).write_text(json.dumps(base_model_record(folder)), encoding="utf-8")
    return path


@torch.no_grad()
def test_an_adapter_folder_loads_with_its_base_and_changes_the_logits(folder, adapter, ids):
    plain = load_model(folder, device="cpu")[0](input_ids=ids).logits
    alone, processor = load_model(adapter, device="cpu")
    on_top, _ = load_model(folder, device="cpu", adapter=adapter)
    found = alone(input_ids=ids).logits
    assert (found - plain).abs().max() > 1e-3
    assert torch.equal(on_top(input_ids=ids).logits, found)
    assert not alone.training
    assert processor.image_id == alone.config.image_token_id


def test_an_adapter_of_other_weights_is_refused(folder, adapter):
    edit_weights(folder, lambda w: w["lm_head.weight"].add_(1e-3))
    refused(adapter, str(adapter), "was trained on other weights", BASE_MODEL)
    refused(folder, str(adapter), "was trained on other weights", adapter=adapter)


def test_an_adapter_whose_weights_are_a_pickle_is_refused(folder, adapter, tmp_path):
    (adapter / ADAPTER_WEIGHTS).unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for options in ({}, {"adapter": adapter}):
        refused(folder if options else adapter, f"no {ADAPTER_WEIGHTS}", "never loaded", **options)
    assert not (tmp_path / "sprung").exists()


def test_an_adapter_that_is_cut_is_refused(adapter):
    content = (adapter / ADAPTER_WEIGHTS).read_bytes()
    (adapter / ADAPTER_WEIGHTS).write_bytes(content[:-1])
    refused(adapter, str(adapter / ADAPTER_WEIGHTS), "not a whole safetensors file")


def test_an_adapter_config_that_is_not_json_is_refused(adapter):
    (adapter / ADAPTER_CONFIG).write_text("{ oops", encoding="utf-8")
    refused(adapter, str(adapter))


def test_an_adapter_of_another_architecture_is_refused(adapter):
    edit_json(adapter / ADAPTER_CONFIG, target_modules=["no_such_layer"])
    refused(adapter, str(adapter), "does not fit this model")


def test_an_adapter_folder_that_does_not_know_its_base_is_refused(adapter):
    (adapter / BASE_MODEL).unlink()
    refused(adapter, f"an adapter without {BASE_MODEL}", "--adapter")


def test_an_adapter_without_tokenizer_has_the_views_of_its_base(adapter):
    (adapter / "tokenizer.json").unlink()
    _, processor = load_model(adapter)
    assert processor.tokenize("Total 12.50")


def test_an_adapter_whose_base_has_moved_is_refused(folder, adapter):
    folder.rename(folder.parent / "moved")
    refused(adapter, str(folder), "no such folder")


def test_an_adapter_on_an_adapter_is_refused(folder, adapter):
    refused(adapter, str(adapter), "is an adapter itself", adapter=adapter)
    edit_json(adapter / BASE_MODEL, base_model=str(adapter))
    refused(adapter, str(adapter), "is an adapter itself")


def test_a_model_folder_in_place_of_an_adapter_is_refused(folder):
    refused(folder, f"no {ADAPTER_CONFIG}; expected a PEFT adapter", adapter=folder)


@torch.no_grad()
def test_an_adapter_on_an_untrained_preset_remembers_its_name(adapter, ids):
    (adapter / BASE_MODEL).write_text(json.dumps(base_model_record("nano-untrained") | {"seed": 0}))
    found = load_model(adapter, device="cpu", seed=5)[0]
    expected = load_model("nano-untrained", device="cpu", seed=0, adapter=adapter)[0]
    assert torch.equal(found(input_ids=ids).logits, expected(input_ids=ids).logits)


@pytest.mark.parametrize("keep", ["renamed", "half"])
def test_an_adapter_whose_tensors_do_not_fit_is_refused(adapter, keep):
    weights = load_file(adapter / "adapter_model.safetensors")
    if keep == "half":
        changed = dict(list(weights.items())[::2])
    else:
        changed = {name.replace("layers", "blocks"): tensor for name, tensor in weights.items()}
    save_file(changed, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="tensors are missing or unknown"):
        load_model(adapter)


def test_the_single_file_is_checked_and_read_where_an_index_stands_beside_it(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(weights, folder / "model-00001-of-000001.safetensors")
    index = {"weight_map": dict.fromkeys(weights, "model-00001-of-000001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weight_files(folder) == [folder / "model.safetensors"]
    (folder / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_model(folder)


def test_a_saved_file_can_be_loaded_by_hand(nano, nano_folder):
    weights = load_file(nano_folder / "model.safetensors")
    model = DeepseekOcrForConditionalGeneration(nano.config)
    model.load_state_dict(weights)  # strict
    for name, tensor in nano.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
