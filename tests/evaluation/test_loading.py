"""Pages come in order and whole, with any number of processes that open them."""

from __future__ import annotations

import os
from functools import partial

import pytest

from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.errors import PageError
from deepseek_ocr.evaluation.loading import PageLoader, reason_of

from .samples import draw_pages, number_of, open_grey

BATCHES = [[["0.png"], ["1.png", "2.png"]], [["missing.png"], []], [["3.png"]]]


def shape_of(loaded):
    """Numbers of a row's pages, or `failed`."""
    return "failed" if isinstance(loaded, str) else [number_of([page]) for page in loaded]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pages_come_in_order_with_and_without_workers(tmp_path, num_workers):
    draw_pages(tmp_path, 4)
    with PageLoader(partial(load_page, tmp_path), num_workers) as loader:
        loaded = [[shape_of(row) for row in batch] for batch in loader.load(BATCHES)]
    assert loaded == [[[0], [1, 2]], ["failed", []], [[3]]]


def open_or_die(reference: str):
    if reference == "9.png":
        os._exit(9)
    return open_grey(reference)


def test_a_page_that_kills_its_worker_fails_its_own_row_only():
    batches = [[[f"{n}.png"] for n in batch] for batch in ([0, 9], [9, 1], [2])]
    with PageLoader(open_or_die, 1) as loader:
        loaded = [[shape_of(row) for row in batch] for batch in loader.load(batches)]
    assert loaded == [[[0], "failed"], ["failed", [1]], [[2]]]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PageError("a.png: is cut off"), "a.png: is cut off"),
        (RuntimeError("first line\nsecond"), "RuntimeError: first line"),
        (MemoryError(), "MemoryError"),
        (ValueError(" "), "ValueError"),
    ],
)
def test_a_reason_is_one_line(error, reason):
    assert reason_of(error) == reason
