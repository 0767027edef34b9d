"""Compression: the paper's own rows, and rows of which something is unknown."""

from __future__ import annotations

import pytest

from deepseek_ocr.metrics.tokens import compression, summarize_compression


@pytest.mark.parametrize(
    ("text", "vision", "decoder", "paper", "read"),
    [
        (670, 64, 73, 10.5, 9.2),
        (670, 100, 111, 6.7, 6.0),
        (0, 100, 111, 0, 0),
        (None, 100, 111, None, None),
        (670, 0, 0, None, None),
        (670, None, 111, None, 6.0),
    ],
)
def test_known_pages(text, vision, decoder, paper, read):
    found = compression(text, vision, decoder)
    assert found == {
        "paper": None if paper is None else pytest.approx(paper, abs=0.05),
        "decoder": None if read is None else pytest.approx(read, abs=0.05),
    }


def test_a_summary_divides_sums_and_leaves_out_what_is_not_known():
    rows = [(100, 100, 111), (300, 100, 111), (None, 100, 111), (50, 0, 0)]
    assert summarize_compression(rows) == {
        "paper": 2.0,
        "decoder": pytest.approx(400 / 222),
        "num_rows": 2,
    }
    assert summarize_compression([]) == {"paper": None, "decoder": None, "num_rows": 0}
