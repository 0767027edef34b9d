"""A benchmark's table as lines for a terminal."""

from __future__ import annotations

from deepseek_ocr.evaluation.benchmarks.printing import print_table
from deepseek_ocr.evaluation.benchmarks.protocol import BenchmarkTable

TABLE = BenchmarkTable(
    columns=("Overall", "Text edit", "Table TEDS"),
    values=(None, 0.0731, 84.966),
    reasons={"Overall": "withheld"},
    published=(("DeepSeek-OCR", (87.01, 0.073, 84.97)), ("another", (None, 0.5, 80.0))),
    notes=("Of 3 pages.",),
)


def test_values_stand_in_the_published_columns_with_the_published_decimals():
    assert print_table(TABLE).split("\n") == [
        "                        Text  Table",
        "              Overall   edit   TEDS",
        "this run            -  0.073  84.97",
        "DeepSeek-OCR    87.01  0.073  84.97",
        "another             -  0.500  80.00",
        "- Overall: withheld",
        "Of 3 pages.",
    ]


def test_columns_missing_for_the_same_reason_are_named_together():
    reasons = {"a": "not here", "b": "not here", "c": "withheld"}
    table = BenchmarkTable(columns=("a", "b", "c"), values=(None,) * 3, reasons=reasons)
    assert print_table(table).split("\n")[-2:] == ["- a, b: not here", "- c: withheld"]


def test_without_published_values_rates_show_three_decimals_and_per_cent_one():
    table = BenchmarkTable(columns=("edit", "passed", "none"), values=(0.12345, 12.345, 0.0))
    assert print_table(table).split("\n")[1] == "this run  0.123    12.3   0.0"


def test_long_remarks_are_folded():
    table = BenchmarkTable(columns=("a",), values=(1.0,), notes=("word " * 40,))
    assert max(map(len, print_table(table).split("\n"))) <= 100
