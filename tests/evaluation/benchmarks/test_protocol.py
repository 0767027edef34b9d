"""Names of benchmarks, and what a table must hold."""

from __future__ import annotations

import json

import pytest

from deepseek_ocr.errors import UsageError
from deepseek_ocr.evaluation.benchmarks.protocol import BenchmarkTable, find_benchmark
from deepseek_ocr.evaluation.benchmarks.published import OLMOCR_BENCH


def test_an_unknown_benchmark_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"--benchmark olmocrbench: .* did you mean olmocr-bench"):
        find_benchmark("olmocrbench")
    with pytest.raises(UsageError, match="known: omnidocbench, olmocr-bench, fox"):
        find_benchmark("zzz")


def test_a_benchmark_is_found_by_its_name():
    assert find_benchmark("olmocr-bench").name == "olmocr-bench"


def test_a_table_with_a_value_too_few_is_refused():
    with pytest.raises(ValueError, match="other: 1 values for 2 columns"):
        BenchmarkTable(columns=("a", "b"), values=(1.0, None), published=(("other", (1.0,)),))


def test_a_table_becomes_json():
    table = BenchmarkTable(columns=("a",), values=(None,), reasons={"a": "no"}, notes=("n",))
    assert json.loads(json.dumps(table.to_json())) == {
        "columns": ["a"],
        "values": [None],
        "reasons": {"a": "no"},
        "published": [],
        "notes": ["n"],
        "detail": {},
    }


def test_published_rows_are_put_under_the_columns_asked_for():
    name, values = OLMOCR_BENCH.rows_for(("Overall", "my own", "ArXiv"))[0]
    assert (name, values) == ("DeepSeek-OCR", (75.7, None, 77.2))


def test_published_overalls_are_the_means_of_their_rows():
    for name, values in OLMOCR_BENCH.rows:
        shares = [value for value in values[:-1] if value is not None]
        assert sum(shares) / len(shares) == pytest.approx(values[-1], abs=0.1), name
