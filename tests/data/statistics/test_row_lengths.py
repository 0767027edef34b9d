"""Positions of rows, counted from a model folder's JSON files: the same as the processor says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.data.statistics.row_lengths import PRESETS, PUBLISHED_POSITIONS, length_rule
from deepseek_ocr.errors import UsageError, UserError
from deepseek_ocr.model.configuration import DeepseekOcrConfig
from deepseek_ocr.model.loading import read_config, read_processor
from deepseek_ocr.model.presets import NANO_FOLDER, UNTRAINED, published_processor
from deepseek_ocr.model.processing import FORBIDDEN_IN_ANSWERS, DeepseekOcrProcessor
from deepseek_ocr.resolution import MODES, tile_grid

PROCESSOR = DeepseekOcrProcessor.from_pretrained(NANO_FOLDER)
RULE = length_rule("nano-untrained")
SIZE = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
ANSWERS = st.text(max_size=60).filter(lambda t: not any(f in t for f in FORBIDDEN_IN_ANSWERS))


def positions(rule, prompt, sizes, answer):
    image_tokens = sum(rule.page_cost(*size)[1] for size in sizes)
    return image_tokens + rule.answer_tokens([answer])[0] + rule.other_tokens(prompt)


@settings(max_examples=200)
@given(
    st.lists(SIZE, max_size=3),
    st.sampled_from(["\nConvert to markdown", " Free OCR. ", "", "\n<|grounding|>OCR this image."]),
    ANSWERS,
    st.sampled_from(sorted(MODES)),
)
def test_positions_are_those_of_the_processor(sizes, question, answer, mode):
    rule = length_rule("nano-untrained", mode=mode)
    prompt = "<image>" * len(sizes) + question
    grids = [tile_grid(*size, rule.views) for size in sizes]
    expected = PROCESSOR.row_length(prompt, grids, rule.views, answer)
    assert positions(rule, prompt, sizes, answer) == expected


@given(st.lists(ANSWERS, max_size=5))
def test_texts_counted_together_are_counted_alike(texts):
    assert RULE.answer_tokens(texts) == [len(PROCESSOR.tokenize(text)) for text in texts]


@pytest.mark.parametrize("mode", [None, *MODES, "auto"])
@pytest.mark.parametrize("sizes", [{}, {"max_tiles": 4}, {"base_size": 512, "tile_size": 320}])
def test_views_are_those_of_the_image_processor(tmp_path, mode, sizes):
    assert length_rule("nano", mode=mode, **sizes).views == PROCESSOR.image_processor.settings(
        mode, **sizes
    )
    (tmp_path / "tokenizer.json").write_bytes((NANO_FOLDER / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_bytes((NANO_FOLDER / "config.json").read_bytes())
    own = {"mode": "gundam", "max_tiles": 3, "tile_size": 512}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(own), encoding="utf-8")
    views = read_processor(tmp_path).image_processor
    assert length_rule(str(tmp_path), mode=mode, **sizes).views == views.settings(mode, **sizes)


def test_presets_have_the_sizes_of_their_models():
    assert set(PRESETS) == {"nano", *UNTRAINED}
    assert RULE.max_positions == read_config(NANO_FOLDER).text_config.max_position_embeddings
    base = length_rule("base-untrained")
    assert base.max_positions == PUBLISHED_POSITIONS
    assert DeepseekOcrConfig().text_config.max_position_embeddings == PUBLISHED_POSITIONS
    assert base.views == published_processor().image_processor.settings()
    assert base.answer_tokens(["Total 9.50"]) == [len(published_processor().tokenize("Total 9.50"))]


def test_without_a_model_texts_are_estimated_and_views_are_gundam():
    rule = length_rule()
    assert rule.views == MODES["gundam"]
    assert (rule.tokenizer, rule.max_positions) == (None, None)
    assert rule.answer_tokens(["", "abcde", "abcdef"]) == [0, 2, 3]


def test_the_positions_of_an_adapter_are_those_of_its_base(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((NANO_FOLDER / "tokenizer.json").read_bytes())
    record = tmp_path / "base_model.json"
    record.write_text(json.dumps({"base_model": str(NANO_FOLDER)}), encoding="utf-8")
    assert length_rule(str(tmp_path)).max_positions == RULE.max_positions
    record.write_text(json.dumps({"base_model": "base-untrained"}), encoding="utf-8")
    assert length_rule(str(tmp_path)).max_positions == PUBLISHED_POSITIONS


@pytest.mark.parametrize(
    "files, reason",
    [
        ({}, "no tokenizer.json; expected a model folder"),
        ({"tokenizer.json": "{}"}, "tokenizer.json: is no tokenizer"),
        ({"tokenizer.json": None}, "no max_position_embeddings"),
        ({"tokenizer.json": None, "config.json": "[1]"}, "config.json:1: expected a JSON object"),
        ({"tokenizer.json": None, "config.json": "{"}, "config.json: not valid JSON"),
        ({"tokenizer.json": None, "config.json": b"\xff"}, "cannot be read as UTF-8"),
        ({"preprocessor_config.json": '{"mode": "huge"}'}, "unknown mode 'huge'"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path, files, reason):
    for name, content in files.items():
        whole = (NANO_FOLDER / name).read_bytes() if content is None else content
        (tmp_path / name).write_bytes(whole.encode() if isinstance(whole, str) else whole)
    with pytest.raises(UserError, match=reason):
        length_rule(str(tmp_path))


@pytest.mark.parametrize("source", ["no/such/folder", "nanoo", __file__])
def test_what_is_no_model_is_refused_without_a_network(source):
    with pytest.raises(UserError, match="expected a model folder"):
        length_rule(source)


def test_sizes_that_make_no_sense_are_wrong_usage():
    with pytest.raises(UsageError, match="expected a multiple of 16"):
        length_rule(base_size=100)
