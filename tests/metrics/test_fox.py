"""Fox's scores: sets of distinct words, what a page without words does, and Chinese."""

from __future__ import annotations

import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics import fox
from deepseek_ocr.metrics.fox import NO_JIEBA, NO_WORDS, fox_score, summarize_fox


@pytest.mark.parametrize(
    ("prediction", "truth", "precision", "recall", "f1", "distance"),
    [
        ("a b", "a b", 1, 1, 1, 0),
        ("a b", "a b c d", 1, 0.5, 2 / 3, 4 / 7),
        ("a a a b", "b a", 1, 1, 1, 5 / 7),
        ("x", "a", 0, 0, 0, 1),
        ("", "a b", 0, 0, 0, 1),
    ],
)
def test_known_pages(prediction, truth, precision, recall, f1, distance):
    score = fox_score(prediction, truth)
    assert (score.precision, score.recall) == (precision, recall)
    assert score.f1 == pytest.approx(f1)
    assert score.edit_distance == pytest.approx(distance)
    assert score.reason is None


@pytest.mark.parametrize(("prediction", "distance"), [("", 0), ("word", 1)])
def test_a_truth_without_words_has_an_edit_distance_only(prediction, distance):
    score = fox_score(prediction, "")
    assert score.precision is score.recall is score.f1 is None
    assert (score.edit_distance, score.reason) == (distance, NO_WORDS)


@given(st.text("ab "), st.text("ab ").map(lambda text: f"a{text}"))
def test_f1_is_the_harmonic_mean(prediction, truth):
    score = fox_score(prediction, truth)
    if score.precision and score.recall:
        mean = 2 / (1 / score.precision + 1 / score.recall)
        assert score.f1 == pytest.approx(mean)
    else:
        assert score.f1 == 0


@pytest.fixture
def forget_jieba():
    fox._jieba_splitter.cache_clear()
    yield
    fox._jieba_splitter.cache_clear()


@pytest.mark.usefixtures("forget_jieba")
def test_chinese_pages_are_cut_by_jieba_where_it_is_installed(monkeypatch):
    jieba = types.ModuleType("jieba")
    jieba.lcut = list
    monkeypatch.setitem(sys.modules, "jieba", jieba)
    assert fox_score("中国", "中文").precision == 0.5
    assert fox_score("中", "middle").recall == 0


@pytest.mark.usefixtures("forget_jieba")
def test_without_jieba_a_chinese_page_says_why_it_has_no_precision(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    score = fox_score("中国", "中文")
    assert (score.precision, score.edit_distance, score.reason) == (None, 0.5, NO_JIEBA)


@pytest.mark.usefixtures("forget_jieba")
def test_a_summary_is_means_of_pages_and_says_why_pages_are_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    pages = [("a b", "a b"), ("", "a"), ("", ""), ("中", "中")]
    assert summarize_fox([fox_score(*page) for page in pages]) == {
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "edit_distance": 0.25,
        "num_rows": 2,
        "reasons": {NO_JIEBA: 1, NO_WORDS: 1},
    }
    assert summarize_fox([])["f1"] is None
