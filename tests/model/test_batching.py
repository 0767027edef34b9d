"""A row means the same alone, in any batch, on either side of its padding, and with or without a cache."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from transformers import StaticCache

from deepseek_ocr.model import DeepseekOcrForConditionalGeneration, modeling
from tests.conftest import tiny_config

IGNORE = -100
SMALL = {"base_size": 128, "tile_size": 64, "max_tiles": 4}  # 2 x 2 and 1 x 1 image tokens
WEIGHT = 0.001  # of the balance loss


def drawn(width: int, height: int, seed: int) -> Image.Image:
    """A page with some lines on it, so that no two pictures look alike."""
    picture = Image.new("RGB", (width, height), (240, 240, 250))
    pen = ImageDraw.Draw(picture)
    for index in range(4):
        pen.line((seed * 3 % 17, index * 13, width, seed * 7 % height), fill=(index * 40, 20, 90))
    return picture


# (pictures, prompt, answer): none; one without tiles; 2 x 1 tiles; two, mixed; 1 x 3 tiles
ROWS = [
    ([], "only text", "yes"),
    ([drawn(60, 50, 1)], "<image>\nFree OCR.", "one line of text"),
    ([drawn(130, 60, 2)], "<image>\nRead this page, please.", "a"),
    ([drawn(50, 60, 3), drawn(120, 110, 4)], "<image> and <image>", "two pages, two answers\nof lines"),
    ([drawn(60, 190, 5)], "<image>", "<td>5</td>"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model(nano) -> DeepseekOcrForConditionalGeneration:
    """`nano-untrained` with weights large enough that rows differ, and no exact ties."""
    model = copy.deepcopy(nano)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05)
            elif not name.endswith("layernorm.weight"):
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def batch(nano_processor):
    """Rows by number -> inputs with labels, padded on the right."""

    def make(*numbers: int, answers: bool = True):
        rows = [ROWS[number] for number in numbers]
        return nano_processor(
            images=[picture for pictures, _, _ in rows for picture in pictures],
            text=[prompt for _, prompt, _ in rows],
            answers=[answer for _, _, answer in rows] if answers else None,
            **SMALL,
        )

    return make


@pytest.fixture
def balanced(model):
    model.config.balance_loss_weight = WEIGHT
    yield model
    model.config.balance_loss_weight = 0.0
    model.zero_grad()


def num_learned(inputs) -> int:
    return int((inputs["labels"][:, 1:] != IGNORE).sum())


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same_gradients(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item() + 1e-8
        assert (found[name] - gradient).abs().max().item() <= 1e-4 * scale, name


def real_logits(model, inputs) -> list[torch.Tensor]:
    """Logits of each row's real positions."""
    inputs = {name: value for name, value in inputs.items() if name != "labels"}
    logits = model(**inputs).logits
    return [row[mask.bool()] for row, mask in zip(logits, inputs["attention_mask"], strict=True)]


def padded(inputs, left: int, right: int, filler: int = 2):
    """The same batch with more padding."""
    grown = dict(inputs)
    for name, value in (("input_ids", filler), ("attention_mask", 0), ("labels", IGNORE)):
        if name in inputs:
            grown[name] = torch.nn.functional.pad(inputs[name], (left, right), value=value)
    return grown


# --- the loss -----------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("weight", [0.0, WEIGHT])
def test_the_loss_of_a_batch_is_the_token_weighted_mean_of_its_rows(balanced, batch, weight):
    balanced.config.balance_loss_weight = weight
    whole = balanced(**batch(*range(5))).loss
    rows = [batch(number) for number in range(5)]
    counts = [num_learned(row) for row in rows]
    weighted = sum(balanced(**row).loss * count for row, count in zip(rows, counts, strict=True))
    torch.testing.assert_close(whole, weighted / sum(counts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, WEIGHT])
@pytest.mark.parametrize("parts", [[(0, 1), (2, 3)], [(0,), (1,), (2,), (3,)]])
def test_accumulated_micro_batches_are_one_large_batch(balanced, batch, weight, parts):
    balanced.config.balance_loss_weight = weight
    whole = batch(0, 1, 2, 3)
    expected = balanced(**whole).loss
    expected.backward()
    expected_gradients = gradients(balanced)
    found = 0.0
    for numbers in parts:
        loss = balanced(**batch(*numbers), num_items_in_batch=num_learned(whole)).loss
        loss.backward()
        found += loss.item()
    assert found == pytest.approx(expected.item(), rel=1e-5)
    assert_same_gradients(gradients(balanced), expected_gradients)


def with_weights(inputs, seed: int = 0):
    """The batch with a weight of its own for each label, in the order of the real positions."""
    weights = torch.zeros(inputs["labels"].shape)
    learned = inputs["labels"] != IGNORE
    draw = torch.Generator().manual_seed(seed)
    weights[learned] = torch.rand(int(learned.sum()), generator=draw) + 0.1
    return inputs | {"label_weights": weights}


def test_weighted_micro_batches_are_one_large_batch(balanced, batch):
    whole = with_weights(batch(1, 2, 3))
    expected = balanced(**whole)
    expected.loss.backward()
    expected_gradients = gradients(balanced)
    total, found, balance, begin = whole["label_weights"][:, 1:].sum(), 0.0, 0.0, 0
    for number in (1, 2, 3):
        alone = batch(number)
        length = alone["labels"].shape[1]
        alone["label_weights"] = whole["label_weights"][begin : begin + 1, :length]
        output = balanced(**alone, num_items_in_batch=total)
        output.loss.backward()
        found, balance, begin = found + output.loss.item(), balance + output.balance_loss.item(), begin + 1  # fmt: skip
    assert found == pytest.approx(expected.loss.item(), rel=1e-5)
    assert balance == pytest.approx(expected.balance_loss.item(), rel=1e-5)
    assert_same_gradients(gradients(balanced), expected_gradients)


@torch.no_grad()
def test_weights_of_one_change_nothing_and_small_ones_are_a_mean_too(balanced, batch):
    inputs = batch(1, 2)
    expected = balanced(**inputs).loss
    for weight in (1.0, 1e-4):
        weights = torch.full(inputs["labels"].shape, weight)
        torch.testing.assert_close(balanced(**inputs, label_weights=weights).loss, expected)


@torch.no_grad()
def test_weights_and_smoothing_act_as_in_torchs_cross_entropy(model, batch):
    inputs = with_weights(batch(1, 2))
    output = model(**inputs, label_smoothing=0.2, with_logits=True)
    losses = torch.nn.functional.cross_entropy(
        output.logits[:, :-1].mT, inputs["labels"][:, 1:], reduction="none", label_smoothing=0.2
    )
    weights = inputs["label_weights"][:, 1:]
    torch.testing.assert_close(output.loss, (losses * weights).sum() / weights.sum())


@torch.no_grad()
def test_logits_come_without_labels_or_where_they_are_asked_for(model, batch):
    inputs = batch(1, 2)
    assert model(**inputs).logits is None
    asked = model(**inputs, with_logits=True).logits
    bare = {name: value for name, value in inputs.items() if name != "labels"}
    torch.testing.assert_close(model(**bare).logits, asked, atol=1e-5, rtol=0)
    assert model(**bare, with_logits=False).logits is None


def test_the_loss_is_cross_entropy_plus_the_weighted_balance(balanced, batch):
    inputs = batch(1, 2)
    output = balanced(**inputs, with_logits=True)
    logits, labels = output.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten()
    cross_entropy = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE)
    torch.testing.assert_close(output.loss, cross_entropy + output.balance_loss)
    sparse_layers = balanced.config.num_hidden_layers - 1
    assert output.balance_loss.item() >= 0.9 * WEIGHT * sparse_layers  # 1 a layer when even
    balanced.config.balance_loss_weight = 0.0
    output = balanced(**inputs)
    assert output.balance_loss is None
    torch.testing.assert_close(output.loss, cross_entropy)


def test_a_batch_with_nothing_to_learn_has_loss_zero(model, batch):
    inputs = batch(1)
    inputs["labels"] = torch.full_like(inputs["labels"], IGNORE)
    assert model(**inputs).loss.item() == 0.0


@torch.no_grad()
def test_no_labels_no_loss(model, batch):
    assert model(**batch(0, answers=False)).loss is None


# --- padding and batch-mates --------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("answers", [True, False], ids=["right", "left"])
def test_batch_mates_change_no_logit(model, batch, answers):
    together = real_logits(model, batch(*range(5), answers=answers))
    for number, found in enumerate(together):
        (alone,) = real_logits(model, batch(number, answers=answers))
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=0)


@torch.no_grad()
@settings(max_examples=5, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 285))
def test_order_side_amount_and_content_of_padding_change_no_logit(
    model, batch, order, left, right, filler
):
    filler = 2 if filler == model.config.image_token_id else filler
    expected = real_logits(model, batch(*range(5)))
    found = real_logits(model, padded(batch(*order), left, right, filler))
    for number, logits in zip(order, found, strict=True):
        torch.testing.assert_close(logits, expected[number], atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_changes_neither_loss_nor_balance(balanced, batch):
    inputs = batch(1, 3)
    expected = balanced(**inputs)
    found = balanced(**padded(inputs, 4, 6))
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.balance_loss, expected.balance_loss, atol=1e-8, rtol=1e-5)


@torch.no_grad()
def test_the_load_of_the_experts_is_told_in_training_and_counts_no_padding(model, batch):
    inputs = batch(1, 3)
    assert model(**inputs).expert_load is None
    try:
        model.train()
        load = model(**inputs).expert_load
        grown = model(**padded(inputs, 4, 6)).expert_load
    finally:
        model.eval()
    text = model.config.text_config
    assert load.shape == (text.num_hidden_layers - 1, text.n_routed_experts)
    torch.testing.assert_close(load.sum(1), torch.ones(len(load)))
    torch.testing.assert_close(grown, load)
    assert not torch.allclose(load, load.roll(1, dims=1))  # not the same for every expert


@torch.no_grad()
def test_padding_on_the_right_needs_no_mask_and_on_the_left_it_does(model, batch, monkeypatch):
    masks = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(*tensors, attn_mask=None, **options):
        masks.append(attn_mask is not None)
        return attention(*tensors, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    for inputs, masked in ((batch(0, 0), False), (batch(0, 4), False), (batch(0, 4, answers=False), True)):  # fmt: skip
        embeds = model.model.embed_tokens(inputs["input_ids"])
        masks.clear()
        model.model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])
        assert masks == [masked] * model.config.num_hidden_layers


@torch.no_grad()
def test_every_picture_is_seen_by_its_own_row_alone(model, batch):
    inputs = batch(*range(5), answers=False)
    before = real_logits(model, inputs)
    inputs["pixel_values"] = inputs["pixel_values"].clone()
    inputs["pixel_values"][0] += 0.5  # the picture of row 1
    after = real_logits(model, inputs)
    changed = [
        not torch.allclose(a, b, atol=1e-5, rtol=0) for a, b in zip(before, after, strict=True)
    ]
    assert changed == [False, True, False, False, False]


@torch.no_grad()
def test_all_views_of_a_batch_go_through_the_encoder_together(model, batch, monkeypatch):
    calls = []
    encode = model.model.encode_views
    monkeypatch.setattr(
        model.model, "encode_views", lambda pixels: (calls.append(len(pixels)), encode(pixels))[1]
    )
    inputs = batch(*range(5), answers=False)
    model(**inputs)
    assert calls == [len(inputs["pixel_values"]), len(inputs["tile_values"])]


@torch.no_grad()
def test_empty_views_are_as_good_as_none(model, batch):
    inputs = batch(0, answers=False)
    assert inputs["pixel_values"].shape[0] == 0
    plain = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(model(**inputs).logits, model(**plain).logits, atol=0, rtol=0)


# --- generation ---------------------------------------------------------------------------------


def generated(model, inputs, **options) -> list[list[int]]:
    """Eight greedy ids of each row; no end token stops a random model."""
    length = inputs["input_ids"].shape[1]
    output = model.generate(
        **inputs, do_sample=False, max_new_tokens=8, eos_token_id=285, pad_token_id=2, **options
    )
    return output[:, length:].tolist()


def test_generation_without_cache_is_the_same(model, batch):
    inputs = batch(*range(5), answers=False)
    assert generated(model, inputs) == generated(model, inputs, use_cache=False)


def test_generation_in_a_batch_is_the_same_as_alone(model, batch):
    together = generated(model, batch(*range(5), answers=False))
    alone = [generated(model, batch(number, answers=False))[0] for number in range(5)]
    assert together == alone
    assert len({tuple(row) for row in together}) > 1


def test_more_padding_on_the_left_changes_no_generated_id(model, batch):
    inputs = batch(1, 3, answers=False)
    assert generated(model, padded(inputs, 5, 0)) == generated(model, inputs)


@torch.no_grad()
def test_a_prompt_fed_in_pieces_gives_the_same_logits(model, batch):
    inputs = batch(0, 0, answers=False)["input_ids"]
    whole = model(input_ids=inputs).logits
    first = model(input_ids=inputs[:, :2], use_cache=True)
    rest = model(input_ids=inputs[:, 2:], past_key_values=first.past_key_values, use_cache=True)
    found = torch.cat([first.logits, rest.logits], dim=1)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@torch.no_grad()
def test_logits_to_keep_are_the_last_ones(model, batch):
    inputs = batch(1, answers=False)
    whole = model(**inputs).logits
    last = model(**inputs, logits_to_keep=2).logits
    torch.testing.assert_close(last, whole[:, -2:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}])  # fmt: skip
def test_several_sequences_a_picture_are_refused(model, batch, options):
    with pytest.raises(ValueError, match="not supported with pictures; repeat the prompt"):
        model.generate(**batch(1, answers=False), max_new_tokens=2, **options)
    assert model.generate(**text_only(batch(0, answers=False)), max_new_tokens=2, **options).shape[1] > 0  # fmt: skip


def text_only(inputs):
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


# --- counts that do not fit ---------------------------------------------------------------------


def without(inputs, *names: str):
    return {name: value for name, value in inputs.items() if name not in names}


def test_one_placeholder_too_few_or_too_many_names_row_and_counts(model, batch):
    inputs = batch(1, 2, answers=False)
    image_id = model.config.image_token_id
    first = int((inputs["input_ids"][1] == image_id).nonzero()[0])
    ids = inputs["input_ids"].clone()
    ids[1, first] = 5
    with pytest.raises(ValueError, match=r"row 2 of the batch reserves 9 image tokens but .* 10"):
        model(**inputs | {"input_ids": ids})
    ids = inputs["input_ids"].clone()
    ids[1, -1] = image_id
    with pytest.raises(ValueError, match="row 2 of the batch reserves 11 image tokens"):
        model(**inputs | {"input_ids": ids})


def test_rows_whose_counts_fit_only_in_sum_are_refused(model, batch):
    inputs = batch(1, 1, answers=False)
    image_id = model.config.image_token_id
    ids = inputs["input_ids"].clone()
    ids[0, ids[0] != image_id] = image_id
    extra = int((ids[0] == image_id).sum()) - 7
    ids[1, (ids[1] == image_id).nonzero()[:extra, 0]] = 5
    with pytest.raises(ValueError, match="row 1 of the batch reserves"):
        model(**inputs | {"input_ids": ids})


def test_pictures_without_placeholders_are_refused(model, batch):
    inputs = batch(1, answers=False) | text_only(batch(0, answers=False))
    with pytest.raises(ValueError, match=r"reserve 0 image tokens but the pictures produced 7"):
        model(**inputs)


def test_a_picture_too_many_is_refused(model, batch):
    inputs = batch(1, 3, answers=False) | text_only(batch(1, answers=False))
    with pytest.raises(ValueError, match="picture 2 and later"):
        model(**inputs)


def test_placeholders_without_pictures_are_refused(model, batch):
    inputs = batch(1, answers=False)
    with pytest.raises(ValueError, match="reserves 7 image tokens but no pixel_values"):
        model(**text_only(inputs))
    none = {name: batch(0, answers=False)[name] for name in ("pixel_values", "tile_values", "tile_grids")}  # fmt: skip
    with pytest.raises(ValueError, match="row 1 of the batch reserves 7 image tokens"):
        model(**text_only(inputs), **none)


@pytest.mark.parametrize(
    "grids", [[[2, 2]], [[1, 1]], [[2, 1], [1, 1]], [[3, 1]]], ids=["more", "none", "two", "three"]
)
def test_tiles_that_do_not_fit_their_grids_are_refused(model, batch, grids):
    inputs = batch(2, answers=False)
    with pytest.raises(ValueError, match=r"1 overviews and 2 tiles do not fit \d tile grids"):
        model(**inputs | {"tile_grids": torch.tensor(grids)})


def test_tiles_that_are_missing_are_refused(model, batch):
    with pytest.raises(ValueError, match="1 overviews and 0 tiles do not fit 1 tile grids"):
        model(**without(batch(2, answers=False), "tile_values"))


@torch.no_grad()
def test_pictures_without_grids_have_no_tiles(model, batch):
    inputs = batch(1, answers=False)
    bare = without(inputs, "tile_values", "tile_grids")
    torch.testing.assert_close(model(**bare).logits, model(**inputs).logits, atol=0, rtol=0)


# --- embeddings, gradients, number formats ------------------------------------------------------


@torch.no_grad()
def test_inputs_embeds_stand_for_input_ids(model, batch):
    inputs = batch(1, 2, answers=False)
    embeds = model.model.embed(
        inputs["input_ids"], inputs["pixel_values"], inputs["tile_values"], inputs["tile_grids"]
    )
    found = model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"]).logits
    torch.testing.assert_close(found, model(**inputs).logits, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model(inputs_embeds=embeds, input_ids=inputs["input_ids"])
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="pixel_values need input_ids"):
        model(inputs_embeds=embeds, pixel_values=inputs["pixel_values"])


def test_embeddings_are_not_written_in_place(model, batch):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = batch(*range(5))
    copies = {name: value.clone() for name, value in inputs.items()}
    model(**inputs).loss.backward()
    model.zero_grad()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(value, copies[name]) for name, value in inputs.items())


def test_gradient_checkpointing_gives_the_same_gradients(balanced, batch):
    inputs = batch(0, 2, 3)
    balanced.train()
    try:
        balanced(**inputs).loss.backward()
        expected = gradients(balanced)
        balanced.gradient_checkpointing_enable()
        assert balanced.is_gradient_checkpointing
        balanced(**inputs).loss.backward()
        assert_same_gradients(gradients(balanced), expected)
    finally:
        balanced.gradient_checkpointing_disable()
        balanced.eval()


def test_pictures_have_a_gradient_so_nothing_runs_under_no_grad(model, batch):
    inputs = batch(2, 3)
    inputs["pixel_values"].requires_grad_()
    inputs["tile_values"].requires_grad_()
    model(**inputs).loss.backward()
    model.zero_grad()
    assert inputs["pixel_values"].grad.flatten(1).norm(dim=1).min() > 0
    assert inputs["tile_values"].grad.flatten(1).norm(dim=1).min() > 0


def test_the_forward_pass_names_no_device_and_no_dtype():
    source = inspect.getsource(modeling)
    assert ".cuda(" not in source
    assert '"cuda"' not in source
    assert "torch.bfloat16" not in source


@torch.no_grad()
def test_bfloat16_is_close_to_float32(model, batch):
    inputs = batch(*range(5))
    exact = model(**inputs, with_logits=True)
    rounded = copy.deepcopy(model).to(torch.bfloat16)(**inputs, with_logits=True)
    assert rounded.logits.dtype == torch.float32
    assert rounded.logits.isfinite().all()
    scale = exact.logits.abs().max()
    assert (rounded.logits - exact.logits).abs().mean() < 0.02 * scale
    assert rounded.loss.item() == pytest.approx(exact.loss.item(), rel=0.02)


def test_bfloat16_trains_with_finite_gradients(model, batch):
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    rounded.config.balance_loss_weight = WEIGHT
    rounded(**batch(*range(5))).loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(rounded).values())


@torch.no_grad()
def test_the_recorded_sizes_batch_as_well():
    torch.manual_seed(2)
    tiny = DeepseekOcrForConditionalGeneration(tiny_config()).eval()
    ids = torch.tensor([[0, 5, *[300] * 7, 9, 4], [0, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]])
    pixels = torch.rand(1, 3, 128, 128)
    together = tiny(input_ids=ids, pixel_values=pixels).logits
    torch.testing.assert_close(
        together[:1], tiny(input_ids=ids[:1], pixel_values=pixels).logits, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(together[1:], tiny(input_ids=ids[1:]).logits, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 3])
def test_a_static_cache_gives_the_same_text(nano, nano_processor, rows):
    prompts = ["<image>\nRead.", "Only text, and a longer one.", "<image>\nConvert to markdown"][
        :rows
    ]
    pictures = [Image.new("RGB", (90, 60), "white")] * sum(p.count("<image>") for p in prompts)
    inputs = nano_processor(images=pictures, text=prompts, base_size=64)
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    expected = nano.generate(**inputs, **settings)
    found = nano.generate(**inputs, **settings, cache_implementation="static", disable_compile=True)
    assert found.tolist() == expected.tolist()


@torch.no_grad()
def test_a_static_cache_hides_its_empty_places(nano, nano_processor):
    ids = nano_processor(text="one two three four five six")["input_ids"]
    expected = nano(input_ids=ids).logits
    cache = StaticCache(config=nano.config.text_config, max_cache_len=64)
    first = nano(input_ids=ids[:, :-1], past_key_values=cache, use_cache=True).logits
    last = nano(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True).logits
    torch.testing.assert_close(torch.cat([first, last], 1), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_generation_from_embeddings_is_the_same(nano, nano_processor):
    ids = nano_processor(text="one two three")["input_ids"]
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    expected = nano.generate(input_ids=ids, **settings)[:, ids.shape[1] :]
    found = nano.generate(inputs_embeds=nano.get_input_embeddings()(ids), **settings)
    assert found.tolist() == expected.tolist()


def test_text_alone_may_have_several_beams(nano, nano_processor):
    inputs = nano_processor(text="one two three")
    assert len(nano.generate(**inputs, num_beams=2, max_new_tokens=3)) == 1
