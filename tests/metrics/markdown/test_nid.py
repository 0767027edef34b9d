"""NID against the published values."""

from __future__ import annotations

import pytest

from deepseek_ocr.metrics.markdown import nid

from .published import documents, needs_documents


@needs_documents
@pytest.mark.parametrize("engine", ["markitdown", "mineru"])
def test_nid_equals_the_published_values_on_all_documents(engine):
    rows = documents(engine)
    assert len(rows) == 60
    for prediction, truth, published in rows:
        assert nid(prediction, truth) == pytest.approx(float(published["nid"]), abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [("a  b\n", "a b", 1.0), ("", "a", 0.0), ("ab", "b", 2 / 3), ("a", " \n", None)],
)
def test_nid_of_known_pairs(prediction, truth, expected):
    assert nid(prediction, truth) == (expected if expected is None else pytest.approx(expected))
