"""Which parameter belongs to which part, and that exactly the named parts train."""

from __future__ import annotations

import pytest
import torch

from deepseek_ocr.errors import UsageError
from deepseek_ocr.model.quantization import quantize_decoder
from deepseek_ocr.training.batching.batches import Collator, PageDataset
from deepseek_ocr.training.optimization.optimizer import Rates, make_optimizer
from deepseek_ocr.training.optimization.step import train_step
from deepseek_ocr.training.processes.devices import accelerator_for
from deepseek_ocr.training.tuning.lora import ADAPTABLE, LINEAR_LAYERS, adapted_parts, add_adapter
from deepseek_ocr.training.tuning.parts import (
    PARTS,
    SETS,
    UNTRAINABLE,
    VISION,
    assign_parts,
    choose_trained,
    count_by_part,
    expand_parts,
    formats_by_part,
    parts_table,
    published_name,
)

from .samples import mixed_rows, small_model, small_processor

MLA = {"use_mla": True, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
MLA |= {"kv_lora_rank": 8, "q_lora_rank": 8}
V3_ROUTER = {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Rows with none, one and several pictures, with and without tiles."""
    folder = tmp_path_factory.mktemp("pages")
    processor = small_processor()
    dataset = PageDataset(mixed_rows(folder), processor, folder)
    return Collator(processor)([dataset[i] for i in range(len(dataset))])


@pytest.fixture(scope="module")
def accelerator():
    with accelerator_for("cpu", "float32") as accelerator:
        yield accelerator


@pytest.mark.parametrize("text", [{}, MLA, V3_ROUTER, {"n_shared_experts": None}])
def test_every_parameter_belongs_to_exactly_one_part(text):
    model = small_model(**text)
    parts = assign_parts(name for name, _ in model.named_parameters())
    missing = {"shared"} if text.get("n_shared_experts", 1) is None else set()
    assert set(parts.values()) == set(PARTS) - missing
    trained, frozen = (sum(pair[i] for pair in count_by_part(model).values()) for i in (0, 1))
    assert trained + frozen == sum(p.numel() for p in model.parameters())


def test_a_norm_belongs_to_the_part_it_feeds():
    parts = assign_parts(name for name, _ in small_model().named_parameters())
    norms = {name: part for name, part in parts.items() if ".layers." in name and "norm" in name}
    assert norms["model.layers.0.input_layernorm.weight"] == "attention"
    assert norms["model.layers.0.post_attention_layernorm.weight"] == "dense"
    assert norms["model.layers.1.post_attention_layernorm.weight"] == "shared"
    assert parts["model.norm.weight"] == "head"
    assert parts["model.view_seperator"] == "separators"


def test_an_unknown_parameter_is_an_error():
    with pytest.raises(ValueError, match=r"model\.audio\.weight belongs to no part"):
        assign_parts(["model.audio.weight"])


@pytest.mark.parametrize(
    "text, parts",
    [
        ("clip", ("clip",)),
        ("head, sam", ("sam", "head")),
        ("vision", PARTS[:5]),
        ("decoder,projector", ("projector", *PARTS[5:])),
        ("all", PARTS),
    ],
)
def test_parts_and_sets_are_named_in_a_comma_list(text, parts):
    assert expand_parts(text) == parts


@pytest.mark.parametrize("text, near", [("atention", "attention"), ("expert", "experts")])
def test_an_unknown_part_names_the_nearest(text, near):
    with pytest.raises(UsageError, match=f"unknown part '{text}'; did you mean {near}"):
        expand_parts(text)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_a_gradient_when_it_trains_and_none_when_frozen(part, batch):
    model = small_model()
    choose_trained(model, [part])
    model.config.balance_loss_weight = 0.001
    model(**batch).loss.backward()
    owners = assign_parts(name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        learns = owners[name] == part and not UNTRAINABLE.fullmatch(name)
        assert (parameter.grad is not None) == learns, name
        assert not learns or parameter.grad.abs().sum() > 0, name


def test_only_the_patch_embedding_of_clip_never_has_a_gradient(batch):
    model = small_model()
    choose_trained(model, PARTS)
    model(**batch).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == ["model.vision_model.embeddings.patch_embedding.weight"]


def test_the_vision_set_has_gradients_in_the_parts_that_other_tools_leave_without(batch):
    model = small_model()
    choose_trained(model, expand_parts("vision"))
    model(**batch).loss.backward()
    owners = assign_parts(name for name, _ in model.named_parameters())
    learned = {
        owners[n] for n, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert learned == {"sam", "compressor", "clip", "projector", "separators"}


def changed_by_a_step(model, accelerator, batch):
    """The names of the parameters that a step of the training loop changes."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer("adamw", model, Rates(lr=1e-2, weight_decay=0.1))
    train_step(model, accelerator, optimizer, [batch], max_norm=1.0)
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("text", [*PARTS, *SETS])
def test_a_step_changes_the_named_parts_alone_bit_for_bit(text, batch, accelerator):
    model = small_model(**V3_ROUTER)
    model.config.balance_loss_weight = 0.001
    choose_trained(model, expand_parts(text))
    owners = assign_parts(name for name, _ in model.named_parameters())
    wanted = {n for n, part in owners.items() if part in expand_parts(text)}
    assert changed_by_a_step(model, accelerator, batch) == {
        name for name in wanted if not UNTRAINABLE.fullmatch(name)
    }


@pytest.mark.parametrize(
    "text, dora",
    [(text, False) for text in (*ADAPTABLE, *SETS)] + [(text, True) for text in LINEAR_LAYERS],
)
def test_a_step_changes_the_adapter_of_the_named_parts_alone_bit_for_bit(
    text, dora, batch, accelerator
):
    parts = adapted_parts(text)
    model = add_adapter(small_model(), parts, rank=2, dora=dora)
    adapter = {name for name, _ in model.named_parameters() if "lora_" in name}
    changed = changed_by_a_step(model, accelerator, batch)
    assert changed and changed <= adapter
    # a fresh adapter's second matrix is zero, so that its first has no gradient yet, only decay
    assert {name for name in adapter if "lora_B" in name} <= changed
    owners = assign_parts(published_name(name) for name in changed)
    assert set(owners.values()) == set(parts)


@pytest.mark.parametrize("text", [{}, MLA])
def test_adapters_reach_every_linear_layer_of_their_parts(text):
    model = small_model(**text)
    linear = {n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    owners = assign_parts(name for name, _ in model.named_parameters())
    for part in LINEAR_LAYERS:
        adapted = add_adapter(small_model(**text), [part], rank=2)
        found = {published_name(n) for n, p in adapted.named_parameters() if "lora_" in n}
        assert found == {f"{n}.weight" for n in linear if owners[f"{n}.weight"] == part}, part
    adapted = add_adapter(small_model(**text), tuple(LINEAR_LAYERS), rank=2)
    found = {published_name(n) for n, p in adapted.named_parameters() if "lora_" in n}
    assert found == {f"{n}.weight" for n in linear}


def test_an_adapter_alone_trains_and_changes_nothing_at_first(batch):
    plain = small_model()(**batch, with_logits=True).logits
    model = add_adapter(small_model(), ADAPTABLE, rank=2)
    torch.testing.assert_close(model(**batch, with_logits=True).logits, plain, atol=1e-5, rtol=0)
    model(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name


def test_sets_leave_the_routed_experts_alone_unless_they_are_named():
    assert adapted_parts("all") == tuple(p for p in PARTS if p in LINEAR_LAYERS)
    assert "experts" in adapted_parts("attention,experts")


@pytest.mark.parametrize("part", ["compressor", "separators", "router", "embeddings"])
def test_a_part_without_linear_layers_cannot_have_an_adapter(part):
    with pytest.raises(UsageError, match=f"{part} has no linear layers"):
        adapted_parts(f"attention,{part}")


def test_the_table_counts_an_adapter_with_what_it_changes():
    model = add_adapter(small_model(), ["attention", "experts"], rank=2)
    counts = count_by_part(model)
    assert counts["attention"][0] == 2 * 4 * (32 * 2 + 2 * 32)
    assert counts["experts"][0] > 0
    assert {part for part, (trained, _) in counts.items() if trained} == {"attention", "experts"}
    assert parts_table(counts).splitlines()[-1].startswith("total")


def test_the_table_shows_formats_and_the_rates_of_what_trains():
    model = small_model().to(torch.bfloat16)
    model.model.projector.float()
    choose_trained(model, ["projector"])
    table = parts_table(
        count_by_part(model), formats_by_part(model), {"projector": (1e-4, 0), "sam": (1e-5, 0.1)}
    )
    rows = {row.split()[0]: row.split()[1:] for row in table.splitlines()}
    assert rows["part"] == ["trained", "frozen", "lr", "decay", "format"]
    assert rows["projector"] == ["1,056", "0", "0.0001", "0", "float32"]
    assert rows["sam"] == ["0", "20,944", "bfloat16"]


def test_a_weight_of_four_bits_counts_as_what_it_stands_for():
    model = small_model()
    before = count_by_part(model)
    choose_trained(model, ())
    quantize_decoder(model, torch.device("cpu"))
    assert {part: sum(pair) for part, pair in count_by_part(model).items()} == {
        part: sum(pair) for part, pair in before.items()
    }
    formats = formats_by_part(model)
    assert formats["experts"] == "4 bits"
    assert formats["attention"] == "4 bits, float32"  # with its norms
    assert {formats[part] for part in (*VISION, "router", "embeddings", "head")} == {"float32"}
