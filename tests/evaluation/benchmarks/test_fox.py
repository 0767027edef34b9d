"""Fox on a small copy in its published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.evaluation.benchmarks.fox import BENCHMARK, COLUMNS, PROMPT


def sample(number: int, text: str, length: int | None) -> dict:
    question = {"from": "human", "value": "<image>\nOCR this image: "}
    answer = {"from": "gpt", "value": text}
    return {"image": f"en_{number}.png", "len": length, "conversations": [question, answer]}


TEXTS = {"en_1": "one two three four five", "en_2": "alpha beta gamma delta epsilon"}
SAMPLES = [sample(1, TEXTS["en_1"], 650), sample(2, TEXTS["en_2"], 1250)]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    (tmp_path / "en_page_ocr.json").write_text(json.dumps(SAMPLES), encoding="utf-8")
    return tmp_path


def values(data_root: Path, answers: dict[str, str]) -> dict[str, float | None]:
    table = BENCHMARK.score(data_root, answers, data_root)
    return dict(zip(table.columns, table.values, strict=True))


def test_pages_are_asked_as_published(data_root):
    pages = BENCHMARK.pages(data_root)
    assert [(page.id, page.images) for page in pages] == [
        ("en_1", ("en_pdf_png/en_1.png",)),
        ("en_2", ("en_pdf_png/en_2.png",)),
    ]
    assert {page.prompt for page in pages} == {PROMPT}


def test_the_folder_that_unpacking_makes_is_found(tmp_path):
    folder = tmp_path / "focus_benchmark_test"
    folder.mkdir()
    (folder / "en_page_ocr.json").write_text(json.dumps(SAMPLES), encoding="utf-8")
    images = BENCHMARK.pages(tmp_path)[0].images
    assert images == ("focus_benchmark_test/en_pdf_png/en_1.png",)


def test_a_perfect_answer_is_perfect_and_what_cannot_be_told_says_why(data_root):
    table = BENCHMARK.score(data_root, TEXTS, data_root)
    found = dict(zip(table.columns, table.values, strict=True))
    assert (found["600-700"], found["1200-1300"], found["700-800"]) == (100, 100, None)
    assert (found["Precision"], found["Recall"], found["F1"], found["BLEU"]) == (100,) * 4
    assert (found["Edit distance"], found["METEOR"]) == (0, None)
    assert "WordNet" in table.reasons["METEOR"]
    assert "no page" in table.reasons["700-800"]
    assert table.columns == COLUMNS
    assert table.published[0][1][:7] == (96.5, 93.8, 83.8, 85.9, 79.3, 76.4, 59.1)
    assert table.detail["columns"]["600-700"]["compression"]["Tiny, 64 tokens"] == 650 / 64
    json.dumps(table.detail)


def test_columns_of_tokens_hold_what_the_published_program_calls_precision(data_root):
    half = {**TEXTS, "en_1": "one two"}  # all read words are true, two of five are read
    found = values(data_root, half)
    assert found["600-700"] == pytest.approx(40)
    assert found["Precision"] == pytest.approx(100)
    assert found["Recall"] == pytest.approx(70)


def test_a_missing_answer_counts_as_empty(data_root):
    found = values(data_root, {"en_1": TEXTS["en_1"]})
    assert found["1200-1300"] == 0
    assert found["Edit distance"] == pytest.approx(0.5)


def test_tokens_are_counted_by_the_tokenizer_beside_the_data(data_root):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(data_root / "tokenizer.json"))
    pages = BENCHMARK.score(data_root, TEXTS, data_root).detail["pages"]
    assert [page["num_text_tokens"] for page in pages] == [5, 5]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "not found"),
        ("[", "cannot be read"),
        ("{}", "no list of pages"),
        ("[]", "no list of pages"),
        ('[{"image": "a.png"}]', "page 1 is not as published"),
        (json.dumps([SAMPLES[0], SAMPLES[0]]), "a second page named en_1"),
    ],
)
def test_another_layout_is_refused_in_one_line(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "en_page_ocr.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=expected) as error:
        BENCHMARK.pages(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_tokenizer_is_refused(data_root):
    (data_root / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="no tokenizer"):
        BENCHMARK.score(data_root, TEXTS, data_root)
