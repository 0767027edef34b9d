"""Verdicts as shares of passed checks, with intervals."""

from __future__ import annotations

import pytest

from deepseek_ocr.evaluation.benchmarks.olmocr.checks import BaselineCheck, Verdict
from deepseek_ocr.evaluation.benchmarks.olmocr.rates import overall, rates_by_category


def verdicts(category: str, results: str, *, per_document: int = 1):
    """`+` passed, `-` failed, `?` not run -> checks of `category` with their verdicts."""
    passed = {"+": True, "-": False, "?": None}
    return [
        (
            BaselineCheck(
                id=f"{category}{n}",
                kind="baseline",
                pdf=f"{n // per_document}.pdf",
                page=1,
                category=category,
            ),
            Verdict(passed[result], "" if result == "+" else f"why {result}"),
        )
        for n, result in enumerate(results)
    ]


def test_overall_is_the_mean_of_categories_not_of_checks():
    rates = rates_by_category([*verdicts("a", "+"), *verdicts("b", "---+")])
    assert [found.share for found in rates.values()] == [100.0, 25.0]
    assert overall(rates).share == 62.5


def test_a_category_with_a_check_not_run_has_no_share_and_overall_is_withheld():
    rates = rates_by_category([*verdicts("a", "++"), *verdicts("b", "++?")])
    assert rates["b"].share is None and rates["b"].interval is None
    assert (rates["b"].passed, rates["b"].failed, rates["b"].not_run) == (2, 0, 1)
    assert rates["b"].why_not_run == {"why ?": 1}
    assert overall(rates).share is None and overall(rates).interval is None


def test_checks_of_one_document_widen_the_interval():
    alone = rates_by_category(verdicts("a", "++--" * 25))["a"].interval
    together = rates_by_category(verdicts("a", ("+" * 10 + "-" * 10) * 5, per_document=10))["a"]
    assert alone is not None and together.interval is not None
    assert alone[0] == pytest.approx(40, abs=2) and alone[1] == pytest.approx(60, abs=2)
    assert together.interval[0] < alone[0] and together.interval[1] > alone[1]


def test_intervals_are_the_same_each_time():
    found = verdicts("a", "+-+-+---")
    assert overall(rates_by_category(found)) == overall(rates_by_category(found))


def test_one_document_says_nothing_about_others():
    assert rates_by_category(verdicts("a", "+"))["a"].interval is None
