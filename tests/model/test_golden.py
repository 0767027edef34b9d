"""The network agrees with recorded outputs of the released code (its README states how closely)."""

from __future__ import annotations

import pytest
import torch

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
from tests.conftest import golden_tensors

WITH_TILES = ("crop2x1", "crop2x3")
CASES = ("nocrop160", "nocrop256", *WITH_TILES)


@pytest.fixture(scope="module")
def model(tiny_folder):
    model, report = DeepseekOcrForConditionalGeneration.from_pretrained(
        tiny_folder, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


@pytest.fixture(params=CASES)
def case(request):
    if f"{request.param}.input_ids" not in golden_tensors():
        pytest.skip("needs the folder ../shared, which is not part of a clone")
    return request.param


def inputs_of(case: str) -> dict[str, torch.Tensor]:
    golden = golden_tensors()
    inputs = {
        "input_ids": golden[f"{case}.input_ids"],
        "pixel_values": golden[f"{case}.pixels.global"],
        "tile_grids": golden[f"{case}.images_spatial_crop"],
    }
    if case in WITH_TILES:
        inputs["tile_values"] = golden[f"{case}.pixels.tiles"]
    return inputs


def assert_close(found: torch.Tensor, case: str, name: str, scaled: bool = False) -> None:
    expected = golden_tensors()[f"{case}.{name}"]
    tolerance = 1e-4 * expected.abs().max().item() if scaled else 1e-5
    assert found.shape == expected.shape
    assert (found - expected).abs().max().item() <= tolerance, name


@torch.no_grad()
def test_encoders_agree_with_the_released_code(model, case):
    for view in ("global", "tiles") if case in WITH_TILES else ("global",):
        pixels = golden_tensors()[f"{case}.pixels.{view}"]
        local = model.model.sam_model(pixels)
        assert_close(local, case, f"{view}.sam")
        assert_close(model.model.vision_model(local), case, f"{view}.clip")
        assert_close(model.model.encode_views(pixels).flatten(1, 2), case, f"{view}.projected")


@torch.no_grad()
def test_image_tokens_and_embeddings_agree_with_the_released_code(model, case):
    inputs = inputs_of(case)
    images = model.encode_images(
        inputs["pixel_values"], inputs.get("tile_values"), inputs["tile_grids"]
    )
    assert_close(torch.cat(images), case, "image_embeds")
    assert_close(model.model.embed(**{"tile_values": None, **inputs}), case, "inputs_embeds")


@torch.no_grad()
def test_decoder_agrees_with_the_released_code(model, case):
    output = model(**inputs_of(case), output_hidden_states=True)
    assert_close(output.hidden_states[1], case, "hidden_after_layer0", scaled=True)
    assert_close(output.hidden_states[-1], case, "last_hidden", scaled=True)
    assert_close(output.logits, case, "logits", scaled=True)


@torch.no_grad()
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_ids_are_those_of_the_released_code(model, case, use_cache):
    inputs = inputs_of(case)
    expected = golden_tensors()[f"{case}.generated"]
    length = inputs["input_ids"].shape[1]
    found = model.generate(
        **inputs, do_sample=False, use_cache=use_cache, max_new_tokens=expected.shape[1] - length
    )
    assert found.tolist() == expected.tolist()


def test_loss_and_gradients_agree_with_the_released_code(model):
    golden = golden_tensors()
    ids = golden["train.input_ids"]
    model.config.balance_loss_weight = 0.001  # the released code's, in the gradients alone
    try:
        output = model(input_ids=ids, labels=ids)
        output.loss.backward()
        cross_entropy = output.loss - output.balance_loss
        expected = golden["train.loss"].item()
        assert abs(cross_entropy.item() - expected) <= 1e-4 * abs(expected)
        for name in golden:
            if name.startswith("train.grad."):
                found = published_gradient(model, name.removeprefix("train.grad."))
                scale = golden[name].abs().max().item()
                assert (found - golden[name]).abs().max().item() <= 1e-4 * scale, name
    finally:
        model.config.balance_loss_weight = 0.0
        model.zero_grad()


def published_gradient(model, name: str) -> torch.Tensor:
    """The gradient of a published name; experts are slices of the stacked tensors."""
    if ".experts." not in name:
        return model.get_parameter(name).grad
    layer, rest = name.split(".experts.")
    index, projection, _ = rest.split(".")
    experts = model.get_submodule(f"{layer}.experts")
    if projection == "down_proj":
        return experts.down_proj.grad[int(index)]
    gate, up = experts.gate_up_proj.grad[int(index)].chunk(2)
    return gate if projection == "gate_proj" else up
