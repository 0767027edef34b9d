"""Prompts, pictures and answers to ids, views and labels, and back to text."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.model import PROMPTS, DeepseekOcrImageProcessor, DeepseekOcrProcessor
from deepseek_ocr.model.presets import published_processor
from deepseek_ocr.model.processing import BOS, EOS, IMAGE, PAD
from deepseek_ocr.model.resolution import num_image_tokens, view_settings
from tests.conftest import recorded

IGNORE = -100
SMALL = {"base_size": 128, "tile_size": 64, "max_tiles": 4}  # 2 x 2 and 1 x 1 image tokens
OVERVIEW_TOKENS = 2 * 3 + 1
FLAT, WIDE = Image.new("RGB", (60, 50)), Image.new("RGB", (130, 60))  # no tiles; 2 x 1 tiles
WIDE_TOKENS = OVERVIEW_TOKENS + 3
SPECIAL = {
    BOS: 0, EOS: 1, PAD: 2,
    "<｜fim▁hole｜>": 128800, "<｜fim▁begin｜>": 128801, "<｜fim▁end｜>": 128802,
    "<｜User｜>": 128803, "<｜Assistant｜>": 128804, "<|EOT|>": 128805,
    "<image>": 128815, "<|ref|>": 128816, "<|/ref|>": 128817, "<|det|>": 128818,
    "<|/det|>": 128819, "<|grounding|>": 128820, "<td>": 128821, "</td>": 128822, "<tr>": 128823,
    "</tr>": 128824, "<|User|>": 128825, "<|Assistant|>": 128826,
}  # fmt: skip


@pytest.fixture(scope="module")
def processor(nano_processor) -> DeepseekOcrProcessor:
    return nano_processor


@pytest.fixture(scope="module")
def published(shared) -> DeepseekOcrProcessor:
    return DeepseekOcrProcessor.from_pretrained(shared / "tokenizer")


def ids_of(batch) -> list[list[int]]:
    return batch["input_ids"].tolist()


def test_ids_are_bos_prompt_answer_eos_each_tokenised_apart(processor):
    row = processor.encode("  before <image>\nFree OCR.\n ", [3], " answer\n")
    before, after = processor.tokenize("before "), processor.tokenize("\nFree OCR.")
    prompt = [processor.bos_id, *before, *[processor.image_id] * 3, *after]
    learned = [*processor.tokenize(" answer\n"), processor.eos_id]
    assert row.ids == prompt + learned
    assert row.labels == [IGNORE] * len(prompt) + learned


def test_prompt_and_answer_never_merge_into_one_token(processor):
    whole = processor.tokenize("thethe")
    apart = processor.encode("the", [], "the").ids[1:-1]
    assert apart == processor.tokenize("the") * 2
    assert processor.tokenizer.decode(apart) == processor.tokenizer.decode(whole)


@pytest.mark.parametrize("answer", ["", " ", "\n", "  two  blanks ", "tail\n\n"])
def test_the_answer_is_kept_verbatim(processor, answer):
    labels = processor.encode("<image>", [1], answer).labels
    learned = [label for label in labels if label != IGNORE]
    assert learned[-1] == processor.eos_id
    assert processor.decode(learned[:-1]) == answer


def test_without_an_answer_there_are_no_labels_and_no_end(processor):
    row = processor.encode(PROMPTS["text"], [7])
    assert row.labels is None
    assert processor.eos_id not in row.ids
    assert "labels" not in processor(images=[FLAT], text=[PROMPTS["text"]], **SMALL)


def test_several_pictures_stand_where_their_marks_stand(processor):
    text = "first <image> then <image><image> end"
    batch = processor(images=[WIDE, FLAT, FLAT], text=[text], **SMALL)
    image = [processor.image_id]
    assert ids_of(batch)[0] == [
        processor.bos_id, *processor.tokenize("first "), *image * WIDE_TOKENS,
        *processor.tokenize(" then "), *image * 2 * OVERVIEW_TOKENS, *processor.tokenize(" end"),
    ]  # fmt: skip
    assert batch["tile_grids"].tolist() == [[2, 1], [1, 1], [1, 1]]


def test_pictures_may_be_given_row_by_row_or_all_in_one_list(processor):
    text = ["<image>a<image>", "none", "<image>b"]
    flat = processor(images=[FLAT, WIDE, FLAT], text=text, **SMALL)
    nested = processor(images=[[FLAT, WIDE], [], [FLAT]], text=text, **SMALL)
    assert flat.keys() == nested.keys()
    for name in flat:
        assert torch.equal(flat[name], nested[name])


def test_without_answers_rows_are_padded_on_the_left(processor):
    batch = processor(images=[FLAT], text=["a longer prompt of words", "<image>"], **SMALL)
    lengths = batch["attention_mask"].sum(1).tolist()
    length = batch["input_ids"].shape[1]
    for ids, mask, real in zip(
        ids_of(batch), batch["attention_mask"].tolist(), lengths, strict=True
    ):
        assert mask == [0] * (length - real) + [1] * real
        assert ids[: length - real] == [processor.pad_id] * (length - real)
        assert ids[length - real] == processor.bos_id


def test_with_answers_rows_are_padded_on_the_right_and_only_answers_are_learned(processor):
    answers = ["short", "a much longer answer\nof two lines"]
    batch = processor(
        images=[WIDE], text=["<image>\nRead.", "Only text."], answers=answers, **SMALL
    )
    length = batch["input_ids"].shape[1]
    for ids, mask, labels, answer in zip(
        ids_of(batch),
        batch["attention_mask"].tolist(),
        batch["labels"].tolist(),
        answers,
        strict=True,
    ):
        real = sum(mask)
        assert mask == [1] * real + [0] * (length - real)
        assert ids[real:] == [processor.pad_id] * (length - real)
        learned = [*processor.tokenize(answer), processor.eos_id]
        prompt = real - len(learned)
        assert labels == [IGNORE] * prompt + learned + [IGNORE] * (length - real)
        assert ids[prompt:real] == learned


def test_no_pictures_give_views_of_the_contracts_shapes(processor):
    batch = processor(text=["Only text."], mode="gundam")
    assert batch["pixel_values"].shape == (0, 3, 1024, 1024)
    assert batch["tile_values"].shape == (0, 3, 640, 640)
    assert batch["tile_grids"].shape == (0, 2)
    assert batch["tile_grids"].dtype == torch.long


def test_pictures_without_tiles_give_views_of_the_contracts_shapes(processor):
    batch = processor(images=[FLAT, FLAT], text=["<image>", "<image>"], **SMALL)
    assert batch["pixel_values"].shape == (2, 3, 128, 128)
    assert batch["tile_values"].shape == (0, 3, 64, 64)
    assert batch["tile_grids"].tolist() == [[1, 1], [1, 1]]


def test_tiles_of_all_pictures_lie_in_one_tensor(processor):
    batch = processor(images=[WIDE, FLAT, WIDE], text=["<image><image>", "<image>"], **SMALL)
    assert batch["pixel_values"].shape == (3, 3, 128, 128)
    assert batch["tile_values"].shape == (4, 3, 64, 64)
    assert batch["pixel_values"].dtype == batch["tile_values"].dtype == torch.float32


@pytest.mark.parametrize("token", [IMAGE, BOS, EOS])
def test_an_answer_with_a_token_that_would_mislead_is_refused(processor, token):
    with pytest.raises(ValueError, match="the answer holds the special token") as caught:
        processor.encode("read", [], f"text {token} text")
    assert token in str(caught.value)


@pytest.mark.parametrize("token", ["<|ref|>", "<|/det|>", "<|grounding|>", "<td>", "</tr>", "<|User|>", PAD])  # fmt: skip
def test_the_other_special_tokens_of_an_answer_become_tokens(processor, token):
    labels = processor.encode("read", [], f"a{token}b").labels
    index = processor.tokenizer.convert_tokens_to_ids(token)
    learned = [label for label in labels if label != IGNORE]
    assert learned == [
        *processor.tokenize("a"), index, *processor.tokenize("b"), processor.eos_id,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "images, text", [([FLAT], ["no mark"]), ([], ["<image>"]), ([FLAT, FLAT], ["<image>"]), ([FLAT], ["<image>", "<image>"]), (None, "<image>")],
)  # fmt: skip
def test_marks_and_pictures_that_differ_in_number_are_refused(processor, images, text):
    with pytest.raises(ValueError, match=r"<image> marks and \d pictures"):
        processor(images=images, text=text, **SMALL)


def test_prompts_and_answers_that_differ_in_number_are_refused(processor):
    with pytest.raises(ValueError, match="2 prompts and 1 answers"):
        processor(text=["a", "b"], answers=["c"])
    with pytest.raises(ValueError, match="at least one prompt"):
        processor(images=[FLAT], text=[])


def test_row_length_is_the_length_of_the_encoded_row(processor):
    settings = processor.image_processor.settings(**SMALL)
    batch = processor(images=[WIDE], text=["<image>\nRead."], answers=["some text"], **SMALL)
    length = processor.row_length("<image>\nRead.", [(2, 1)], settings, "some text")
    assert length == batch["input_ids"].shape[1]


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_decoded_as_it_was_encoded(nano_processor, text):
    if not any(token in text for token in (IMAGE, BOS, EOS, PAD)):
        assert nano_processor.decode(nano_processor.encode("", [], text).ids[1:]) == text


@settings(deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["<td>", "<|ref|>", "<tr>", "x", " ", "\n", "é", "漢"])),
    padding=st.integers(0, 3),
)
def test_special_tokens_are_kept_and_padding_dropped_when_decoding(nano_processor, pieces, padding):
    text = "".join(pieces)
    ids = [*nano_processor.tokenize(text), *[nano_processor.pad_id] * padding]
    assert nano_processor.decode(ids) == text
    assert nano_processor.batch_decode(torch.tensor([ids, ids], dtype=torch.long)) == [text, text]


def test_decoding_stops_at_the_end_token(processor):
    ids = [*processor.tokenize("kept"), processor.eos_id, *processor.tokenize("dropped")]
    assert processor.decode(ids) == "kept"


def test_prompt_mode_sizes_and_tokenizer_are_saved_and_loaded(processor, tmp_path):
    images = DeepseekOcrImageProcessor(mode="base", base_size=512, tile_size=512, max_tiles=6)
    prompt = "<image>\nRead the réçeipt."
    DeepseekOcrProcessor(images, processor.tokenizer, prompt).save_pretrained(tmp_path)
    found = DeepseekOcrProcessor.from_pretrained(tmp_path)
    assert found.prompt == prompt
    assert found.image_processor.settings() == images.settings()
    assert found.image_processor.mode == "base"
    assert found.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    text = "Total <td>12,50 €</td>\n"
    assert found.tokenize(text) == processor.tokenize(text)
    again = tmp_path / "again"
    found.save_pretrained(again)
    for path in sorted(tmp_path.glob("*.json")):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_a_processor_without_prompt_remembers_none(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert DeepseekOcrProcessor.from_pretrained(tmp_path).prompt is None


def test_a_tokenizer_without_the_special_tokens_is_refused(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<image>", "<imago>"), "utf-8")
    with pytest.raises(ValueError, match=r"tokenizer.json lacks the special tokens <image>"):
        DeepseekOcrProcessor.from_pretrained(tmp_path)


def test_the_base_preset_has_the_published_special_ids():
    found = published_processor()
    assert {token: found.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL} == SPECIAL
    assert found.tokenize("a<td>b")[1:-1] == [SPECIAL["<td>"]]
    assert found.decode(found.tokenize("<|ref|>title<|/ref|>")) == "<|ref|>title<|/ref|>"


def test_nano_has_all_the_published_special_tokens(processor):
    vocabulary = processor.tokenizer.get_vocab()
    assert vocabulary.keys() >= SPECIAL.keys()
    for token in SPECIAL:
        assert processor.tokenize(token) == [vocabulary[token]]


def test_the_published_tokenizer_gives_the_published_ids(published):
    tokenizer = published.tokenizer
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL} == SPECIAL
    assert published.tokenize("\nFree OCR.") == [201, 21431, 126041, 16]
    assert published.tokenize("\n<|grounding|>Convert the document to markdown.") == [
        201, 128820, 21842, 270, 4940, 304, 2121, 7919, 16,
    ]  # fmt: skip
    assert len(tokenizer) == 128827


def test_a_prompt_with_the_published_tokenizer_is_the_published_sequence(published):
    ids = published.encode("<image>\nFree OCR. ", [273]).ids
    assert ids == [0, *[128815] * 273, 201, 21431, 126041, 16]


def test_recorded_prompts_are_bos_image_tokens_and_the_text_after_them():
    """The recording was made with one id a character, so its text takes one position a character."""
    after = PROMPTS["markdown"].removeprefix(IMAGE)
    for name, facts in json.loads(recorded("views.json").read_text(encoding="utf-8")).items():
        (grid,) = facts["spatial_crop"]
        tokens = num_image_tokens(tuple(grid), view_settings(name.split(".")[0]))
        assert facts["input_len"] == 1 + tokens + len(after)
        assert facts["first_true"] == 1


def test_the_usual_keywords_of_transformers_are_understood(nano_processor):
    page = Image.new("RGB", (50, 40))
    usual = nano_processor(images=page, text="<image>", return_tensors="pt", padding=True)
    assert (
        usual["input_ids"].tolist()
        == nano_processor(images=page, text="<image>")["input_ids"].tolist()
    )
    with pytest.raises(ValueError, match="return_tensors is 'np'"):
        nano_processor(images=page, text="<image>", return_tensors="np")


def test_pictures_listed_by_prompt_must_be_where_the_marks_are(nano_processor):
    page = Image.new("RGB", (50, 40))
    nano_processor(images=[[page], [page, page]], text=["<image>", "<image><image>"])
    with pytest.raises(ValueError, match="marks for"):
        nano_processor(images=[[page, page], [page]], text=["<image>", "<image><image>"])


def test_a_pad_token_inside_a_text_is_kept(nano_processor):
    text = "one <｜▁pad▁｜> two"
    assert nano_processor.decode(nano_processor.tokenize(text)) == text


def test_from_pretrained_takes_a_mode(nano_folder):
    processor = DeepseekOcrProcessor.from_pretrained(nano_folder, mode="base")
    assert processor.image_processor.settings().base_size == 1024
