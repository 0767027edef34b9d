"""Every part of the network learns when it is trained, and none changes when it is frozen."""

from __future__ import annotations

import copy
import re

import pytest
import torch

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration
from tests.conftest import tiny_config

IMAGE = 300
PATCH_EMBEDDING = "model.vision_model.embeddings.patch_embedding.weight"  # published, never used
PARTS = {
    "sam": r"model\.sam_model\.(?!net_).*",
    "compressor": r"model\.sam_model\.net_.*",
    "clip": r"model\.vision_model\..*",
    "projector": r"model\.projector\..*",
    "newline": r"model\.image_newline",
    "separator": r"model\.view_seperator",
    "attention": r"model\.layers\.\d+\.(self_attn|input_layernorm)\..*",
    "dense": r"model\.layers\.0\.(mlp|post_attention_layernorm)\..*",
    "shared": r"model\.layers\.[12]\.(mlp\.shared_experts|post_attention_layernorm)\..*",
    "experts": r"model\.layers\.[12]\.mlp\.experts\..*",
    "router": r"model\.layers\.[12]\.mlp\.gate\..*",
    "head": r"(lm_head|model\.norm)\..*",
    "embeddings": r"model\.embed_tokens\..*",
}


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    """A page with tiles and one without: every part takes part in the answer."""
    torch.manual_seed(4)
    text = torch.randint(3, 290, (2, 40))
    ids = torch.cat([torch.zeros(2, 1, dtype=torch.long), torch.full((2, 20), IMAGE), text], dim=1)
    tokens = [7 + 2 * (2 * 1 + 1), 7]  # 2 x 2 tiles of one token each; none
    for row, reserved in enumerate(tokens):
        ids[row, 1 + reserved : 21] = 5
    labels = ids.clone()
    labels[:, :21] = -100
    return {
        "input_ids": ids,
        "labels": labels,
        "pixel_values": torch.rand(2, 3, 128, 128) * 2 - 1,
        "tile_values": torch.rand(4, 3, 64, 64) * 2 - 1,
        "tile_grids": torch.tensor([[2, 2], [1, 1]]),
    }


@pytest.fixture
def model() -> DeepseekOcrForConditionalGeneration:
    torch.manual_seed(0)
    model = DeepseekOcrForConditionalGeneration(copy.deepcopy(tiny_config())).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def names_of(model, part: str) -> list[str]:
    names = [n for n, _ in model.named_parameters() if re.fullmatch(PARTS[part], n)]
    assert names
    return names


def train_only(model, names) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)


def test_every_parameter_belongs_to_one_part(model):
    for name, _ in model.named_parameters():
        assert sum(bool(re.fullmatch(pattern, name)) for pattern in PARTS.values()) == 1, name


@pytest.mark.parametrize("part", PARTS)
def test_a_part_alone_has_a_gradient_when_trained_and_the_others_none(model, inputs, part):
    names = names_of(model, part)
    train_only(model, names)
    model(**inputs).loss.backward()
    for name, parameter in model.named_parameters():
        if name not in names or name == PATCH_EMBEDDING:
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("part", PARTS)
def test_a_frozen_part_has_no_gradient_and_all_others_have(model, inputs, part):
    frozen = names_of(model, part)
    train_only(model, [n for n, _ in model.named_parameters() if n not in frozen])
    model(**inputs).loss.backward()
    for name, parameter in model.named_parameters():
        learns = name not in frozen and name != PATCH_EMBEDDING
        assert (parameter.grad is not None and parameter.grad.abs().max() > 0) == learns, name


def test_only_the_unused_patch_embedding_of_clip_never_has_a_gradient(model, inputs):
    model.config.balance_loss_weight = 0.001
    model(**inputs).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == [PATCH_EMBEDDING]


def test_every_chosen_expert_learns(model, inputs):
    chosen = {}
    for layer in model.model.layers[1:]:
        layer.mlp.gate.register_forward_hook(
            # the last position predicts nothing
            lambda gate, _, output: chosen.update({gate: output[1][:, :-1].unique().tolist()})
        )
    model(**inputs | {"labels": inputs["input_ids"]}).loss.backward()
    for layer in model.model.layers[1:]:
        used = chosen[layer.mlp.gate]
        assert len(used) > 3  # more than one token's
        for stacked in layer.mlp.experts.parameters():
            learned = stacked.grad.flatten(1).norm(dim=1).nonzero().flatten().tolist()
            assert learned == used


def test_the_balance_loss_reaches_the_router_and_can_be_turned_off(model, inputs):
    router = model.model.layers[1].mlp.gate.weight
    found = []
    for weight in (0.0, 1.0):
        model.zero_grad()
        model.config.balance_loss_weight = weight
        model(**inputs).loss.backward()
        found.append(router.grad.clone())
    assert not torch.allclose(*found)


def test_a_text_only_batch_trains_the_decoder_and_leaves_the_encoders_alone(model, inputs):
    text = {name: inputs[name][:, 21:] for name in ("input_ids", "labels")}
    model(**text).loss.backward()
    for part in ("sam", "compressor", "clip", "projector", "newline", "separator"):
        assert all(model.get_parameter(name).grad is None for name in names_of(model, part))
    assert model.lm_head.weight.grad.norm() > 0


def test_a_few_steps_lower_the_loss(model, inputs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_bias_of_a_noaux_router_is_never_trained(inputs):
    config = copy.deepcopy(tiny_config())
    config.text_config.topk_method = "noaux_tc"
    model = DeepseekOcrForConditionalGeneration(config).train()
    model(**inputs).loss.backward()
    bias = model.model.layers[1].mlp.gate.e_score_correction_bias
    assert not bias.requires_grad
    assert bias.grad is None


# --- traps of the released code -----------------------------------------------------------------


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_the_gradient_of_the_balance_scales_with_the_loss(model, inputs):
    """The released code adds it unscaled: too much of it by accumulation and by a loss scale."""
    model.config.balance_loss_weight = 1.0
    model(**inputs).loss.backward()
    expected = gradients(model)
    (model(**inputs).loss * 64).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 64 * expected[name], rtol=1e-4, atol=1e-5)


def test_experts_learn_in_eval_mode_too(model, inputs):
    model.train()(**inputs).loss.backward()
    expected = gradients(model)
    model.eval()(**inputs).loss.backward()
    found = gradients(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_float32_train_under_autocast(model, inputs, dtype):
    model.config.balance_loss_weight = 0.001
    model(**inputs).loss.backward()
    expected = gradients(model)
    with torch.autocast("cpu", dtype=dtype):
        loss = model(**inputs).loss
    assert loss.dtype == torch.float32
    loss.backward()
    found = gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32, name
        assert gradient.isfinite().all(), name
    head = "lm_head.weight"
    assert (found[head] - expected[head]).norm() <= 0.1 * expected[head].norm()


# --- what is frozen costs nothing ---------------------------------------------------------------


def test_frozen_encoders_keep_nothing_for_the_backward_pass(model, inputs):
    train_only(model, names_of(model, "attention"))
    kept = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    views = ("pixel_values", "tile_values", "tile_grids")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        images = model.encode_images(*(inputs[name] for name in views))
    assert not kept
    assert not any(image.requires_grad for image in images)


def test_a_trained_projector_keeps_nothing_of_the_encoders_before_it(model, inputs):
    train_only(model, names_of(model, "projector"))
    kept = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    pixels = inputs["pixel_values"]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        tokens = model.model.encode_views(pixels)
    assert tokens.requires_grad
    assert [tuple(tensor.shape[-1:]) for tensor in kept] == [
        (model.model.projector.layers.in_features,)
    ]
