"""A benchmark as the command runs it: pages as rows, answered rows as a table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.evaluation.benchmarks.run import (
    benchmark_annotations,
    print_table,
    score_benchmark,
)
from deepseek_ocr.evaluation.evaluate import failed
from deepseek_ocr.inference.results import PageResult

from .olmocr.bench_folder import row, write_bench


class Row:
    """What scoring looks at of a scored row."""

    def __init__(self, annotation, result: PageResult):
        self.annotation, self.result = annotation, result

    @property
    def prediction(self) -> str:
        return "" if self.result.status == "failed" else self.result.text


@pytest.fixture
def bench(tmp_path):
    rows = [row("present", "1", text="one"), row("present", "2", "b.pdf", text="two")]
    return write_bench(tmp_path / "bench", {"old_scans": rows})


def answered(annotations, *texts):
    return [
        Row(annotation, PageResult(text=text, status="ok", prompt=annotation.prompt))
        for annotation, text in zip(annotations, texts, strict=False)
    ]


def test_pages_become_rows_without_a_truth(bench):
    rows = benchmark_annotations("olmocr-bench", bench)
    assert [row.id for row in rows] == ["a_pg1_repeat1", "b_pg1_repeat1"]
    assert {row.text for row in rows} == {""}
    assert rows[0].images == ("pdfs/a.pdf#page=1",)


def test_answers_are_scored_without_the_models_tags(bench, tmp_path):
    rows = benchmark_annotations("olmocr-bench", bench)
    marked = "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n"
    table = score_benchmark("olmocr-bench", bench, answered(rows, f"o{marked}ne", "two"), tmp_path)
    plain = dict(zip(table.columns, table.values, strict=True))
    assert plain["Old scans"] == 50.0  # the newline below the mark parts `o` and `ne`
    assert not any("have no answer" in note for note in table.notes)


def test_a_failed_row_and_a_missing_one_count_as_empty(bench, tmp_path):
    rows = benchmark_annotations("olmocr-bench", bench)
    failing = Row(rows[0], failed(rows[0].prompt, reason="no such page"))
    table = score_benchmark("olmocr-bench", bench, [failing], tmp_path)
    assert dict(zip(table.columns, table.values, strict=True))["Old scans"] == 0.0
    assert table.notes[0] == "1 of 2 pages has no answer here and is scored as an empty answer."
    assert "1 of 2 pages" in print_table(table)


def test_another_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(UserError, match="not the data of olmOCR-bench"):
        benchmark_annotations("olmocr-bench", tmp_path)


def test_the_commands_part_imports_nothing_heavy():
    code = (
        "import sys, deepseek_ocr.evaluation.benchmarks.run as run; "
        "heavy = {'torch', 'scipy', 'bs4', 'apted', 'lxml', 'fuzzysearch', 'numpy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
