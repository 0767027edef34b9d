"""Adapters: what is asked for, what is refused, and the names by which other programs read them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.model.loading import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_MODEL,
    expected_shapes,
    load_model,
    put_adapter,
)
from deepseek_ocr.model.quantization import QuantizedExperts
from deepseek_ocr.training import train
from deepseek_ocr.training.config import TrainConfig
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.lora import (
    adapted_parts,
    add_adapter,
    check_rank,
    linear_names,
    train_adapter,
)
from deepseek_ocr.training.tuning.merging import merge_adapter
from deepseek_ocr.training.tuning.trainable import load_trainable, rates_by_part

from .adapters import set_adapter
from .runs import Killed, content_of, interrupt_after, killed
from .samples import save_small_model, small_model

TEXT = torch.arange(20, 40)[None]


# --- what is asked for ---------------------------------------------------------------------------


def test_rank_scale_and_dropout_are_those_of_the_flags():
    model = add_adapter(small_model(), ["attention"], 4, alpha=12, dropout=0.25, dora=True)
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (
        4,
        12,
        0.25,
        True,
    )
    plain = add_adapter(small_model(), ["attention"], 4).peft_config["default"]
    assert (plain.lora_alpha, plain.lora_dropout, plain.use_dora) == (8, 0.0, False)


def test_the_flags_reach_the_adapter(make_config):
    config = make_config(tune="dora", lora_rank=3, lora_alpha=5, lora_dropout=0.5)
    with accelerator_for("cpu", "float32") as accelerator:
        model, _ = load_trainable(config, accelerator, None)
    found = model.peft_config["default"]
    assert (found.r, found.lora_alpha, found.lora_dropout, found.use_dora) == (3, 5, 0.5, True)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"tune": "dora"}, "PEFT has no DoRA for stacked experts; use --tune lora"),
        ({"tune": "qlora"}, "PEFT adapts stacked experts of 16 or 32 bits only"),
        ({"tune": "lora", "lora_dropout": 0.1}, "PEFT has no dropout for stacked experts"),
    ],
)
def test_what_peft_cannot_do_with_experts_is_a_usage_error(make_config, settings, words):
    with pytest.raises(UsageError, match=f"--parts experts: {words}"):
        make_config(parts="attention,experts", **settings)
    assert "experts" not in make_config(parts="all", **settings).trained_parts


@pytest.mark.parametrize("tune", ["full", "lora", "qlora"])
def test_a_part_that_this_model_does_not_have_is_a_usage_error(make_config, tmp_path, tune):
    folder = save_small_model(tmp_path / "model", n_shared_experts=None)
    config = make_config(model_path=str(folder), tune=tune, parts="shared,attention")
    with pytest.raises(UsageError, match=r"--parts: this model has no shared; it has .*attention"):
        train(config, quiet=True)
    assert not config.output_dir.exists()


def test_rates_are_those_of_the_parts_that_train(make_config):
    config = make_config(parts="projector,head", lr=1e-3, part_lr=("projector=1e-4",))
    assert rates_by_part(config) == {"projector": (1e-4, 0.01), "head": (1e-3, 0.01)}


@pytest.mark.parametrize("tune", ["lora", "dora", "qlora"])
def test_a_rank_above_the_smallest_matrix_is_a_usage_error(make_config, tune):
    config = make_config(tune=tune, parts="attention,clip", lora_rank=17)
    with pytest.raises(
        UsageError, match=r"--lora_rank is 17, but model\.vision.* no more than 16 "
    ):
        train(config, quiet=True)
    assert not config.output_dir.exists()


def test_the_largest_rank_is_the_smaller_side_of_the_smallest_matrix():
    check_rank(small_model(), ["attention", "dense"], 32)
    check_rank(small_model(), [], 1000)
    with pytest.raises(
        UsageError, match=r"experts.* use --lora_rank 16 or lower, or other --parts"
    ):
        check_rank(small_model(), ["attention", "experts"], 17)


# --- names ---------------------------------------------------------------------------------------


def test_layers_are_named_by_the_sorted_ends_of_their_names():
    names = [name for name, _ in small_model().named_modules()]
    assert linear_names(names, ["attention"]) == [f"self_attn.{letter}_proj" for letter in "koqv"]
    assert linear_names(names, ["shared", "sam", "experts"]) == [
        "attn.proj", "attn.qkv", "mlp.lin1", "mlp.lin2",
        "shared_experts.down_proj", "shared_experts.gate_proj", "shared_experts.up_proj",
    ]  # fmt: skip


@pytest.mark.parametrize("loaded", [False, True])
def test_the_adapter_s_config_has_no_random_order(tmp_path, loaded):
    parts = adapted_parts("all")
    model = add_adapter(small_model(), parts, rank=2)
    model.save_pretrained(tmp_path / "first", save_embedding_layers=False)
    if loaded:
        model = put_adapter(small_model(), tmp_path / "first", base="small")
        train_adapter(model)
    model.save_pretrained(tmp_path / "second", save_embedding_layers=False)
    saved = json.loads((tmp_path / "second" / ADAPTER_CONFIG).read_text())
    names = [name for name, _ in small_model().named_modules()]
    assert saved["target_modules"] == linear_names(names, parts)


def test_a_decoder_s_adapter_has_the_names_that_servers_look_for(tmp_path):
    """vLLM strips `base_model.model.` and looks for the published layer below `model.layers.`."""
    model = add_adapter(small_model(), adapted_parts("attention,dense,shared"), rank=2)
    model.save_pretrained(tmp_path)
    published = expected_shapes(small_model())
    for name in load_file(tmp_path / ADAPTER_WEIGHTS):
        layer, _, matrix = name.removeprefix("base_model.model.").rpartition(".lora_")
        assert matrix in ("A.weight", "B.weight")
        assert layer.startswith("model.layers.") and f"{layer}.weight" in published, name
    config = json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    assert isinstance(config["target_modules"], list) and not config["modules_to_save"]


def test_an_adapter_of_an_older_version_with_a_pattern_goes_on(tmp_path):
    from peft import LoraConfig, get_peft_model

    pattern = r"(model\.layers\.\d+\.self_attn\.(q|v)_proj)"
    old = get_peft_model(small_model(), LoraConfig(r=2, target_modules=pattern))
    old.save_pretrained(tmp_path)
    model = put_adapter(small_model(), tmp_path, base="small")
    train_adapter(model)
    assert model.peft_config["default"].target_modules == pattern
    assert any(p.requires_grad for p in model.parameters())


# --- merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, dora", [("all,experts", False), ("all", True)])
@torch.no_grad()
def test_a_merged_adapter_gives_the_same_logits(text, dora):
    model = add_adapter(small_model(), adapted_parts(text), rank=2, dora=dora).eval()
    plain = small_model().eval()(input_ids=TEXT).logits
    set_adapter(model)
    unmerged = model(input_ids=TEXT).logits
    assert (unmerged - plain).abs().max() > 0.1
    merged = merge_adapter(model, torch.float32)
    torch.testing.assert_close(merged(input_ids=TEXT).logits, unmerged, atol=1e-4, rtol=0)
    assert not any("lora" in name for name, _ in merged.named_parameters())


@pytest.mark.parametrize("text, dora", [("attention,experts", False), ("attention", True)])
def test_weights_of_sixteen_bits_are_merged_in_float32_and_rounded_once(text, dora):
    coarse = small_model().to(torch.bfloat16)
    fine = small_model().to(torch.bfloat16).float()  # the same weights
    merged = []
    for base, dtype in ((coarse, torch.bfloat16), (fine, torch.float32)):
        model = add_adapter(base, adapted_parts(text), rank=2, dora=dora)
        set_adapter(model.float() if dtype == torch.float32 else model)
        merged.append(dict(merge_adapter(model, dtype).named_parameters()))
    for name, exact in merged[1].items():
        if dora and "self_attn" in name:  # its lengths were measured on other formats
            torch.testing.assert_close(merged[0][name].float(), exact, atol=0, rtol=2**-7)
        else:
            assert torch.equal(merged[0][name], exact.to(torch.bfloat16)), name


def test_an_adapter_with_numbers_that_are_none_is_refused():
    model = add_adapter(small_model(), ["attention"], rank=2)
    set_adapter(model)
    next(p for n, p in model.named_parameters() if "lora_A" in n).data[0, 0] = torch.nan
    with pytest.raises(UserError, match="gives weights that are not numbers"):
        merge_adapter(model, torch.float32)


# --- over four bits ------------------------------------------------------------------------------


def test_an_adapter_over_four_bits_names_its_base_and_is_read_beside_the_full_weights(make_config):
    config = make_config(tune="qlora", epochs=1)
    best = train(config, quiet=True)
    record = json.loads((best / BASE_MODEL).read_text())
    assert record["base_model"] == config.model_path and record["quantization"] == "nf4"
    assert {name.split(".")[-2] for name in load_file(best / ADAPTER_WEIGHTS)} == {
        "lora_A", "lora_B"
    }  # fmt: skip
    model, _ = load_model(best, device="cpu")
    assert not any(isinstance(module, QuantizedExperts) for module in model.modules())
    base, _ = load_model(config.model_path, device="cpu")
    beside = dict(model.base_model.model.named_parameters())
    for name, parameter in base.named_parameters():
        stem, _, last = name.rpartition(".")
        assert torch.equal(beside.get(name, beside.get(f"{stem}.base_layer.{last}")), parameter)


@pytest.mark.parametrize("tune", ["dora", "qlora"])
def test_a_killed_run_goes_on_exactly(make_config, monkeypatch, tune):
    whole = make_config("whole", tune=tune, save_steps=2, epochs=1)
    train(whole, quiet=True)
    halves = make_config("halves", tune=tune, save_steps=2, epochs=1)
    restore = interrupt_after(monkeypatch, 3, killed)
    with pytest.raises(Killed):
        train(halves, quiet=True)
    restore()
    train(halves, quiet=True)
    found, expected = (content_of(c.output_dir / "epoch-1") for c in (halves, whole))
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_a_run_over_four_bits_is_not_one_over_full_weights(make_config):
    train(make_config(tune="qlora", epochs=1), quiet=True)
    with pytest.raises(UserError, match="--tune was qlora, now lora"):
        train(make_config(tune="lora", epochs=1), quiet=True)


def test_packed_weights_are_the_stored_ones_rounded_once(make_config, tmp_path):
    """A base of sixteen bits is packed from its own format, also where float32 is computed."""
    folder = save_small_model(tmp_path / "model")
    load_model(folder, device="cpu", dtype="bfloat16")[0].save_pretrained(folder)
    config = make_config(tune="qlora", model_path=str(folder))
    with accelerator_for("cpu", "float32") as accelerator:
        model, _ = load_trainable(config, accelerator, None)
    floats = {p.dtype for p in model.parameters() if p.is_floating_point()}
    assert floats == {torch.float32}
    stored, _ = load_model(folder, device="cpu")
    packed = model.base_model.model.model.layers[1].mlp.experts.down_proj
    largest = stored.model.layers[1].mlp.experts.down_proj[2].float().abs().max()
    found = packed.unpack(2, torch.float32)
    assert (
        found - stored.model.layers[1].mlp.experts.down_proj[2].float()
    ).abs().max() < 0.2 * largest


def test_four_bits_on_a_device_that_cannot_are_a_usage_error(make_config):
    assert isinstance(make_config(tune="qlora"), TrainConfig)
    with pytest.raises(UsageError, match="--fsdp"):
        make_config(tune="qlora", fsdp=True)
