"""`--pages`: what it takes, what it refuses, and that no text makes it slow or crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.errors import UsageError
from deepseek_ocr.reading.page_ranges import parse_page_ranges


@pytest.mark.parametrize("text, pages, shown", [
    ("1-3,7", [1, 2, 3, 7], "1-3,7"),
    ("7", [7], "7"),
    ("7,1-3", [1, 2, 3, 7], "1-3,7"),
    ("1-3,2-5,5,6", [1, 2, 3, 4, 5, 6], "1-6"),
    (" 1 - 2 , 4 ", [1, 2, 4], "1-2,4"),
    ("8-", [8, 9, 10], "8-"),
    ("9-,2", [2, 9, 10], "2,9-"),
    ("9-,3-8,4", [3, 4, 5, 6, 7, 8, 9, 10], "3-"),
    ("3-999999999", [3, 4, 5, 6, 7, 8, 9, 10], "3-999999999"),
    ("11", [], "11"),
    ("007", [7], "7"),
])  # fmt: skip
def test_pages_of_a_document_with_ten(text, pages, shown):
    ranges = parse_page_ranges(text)
    assert ranges.within(10) == pages
    assert str(ranges) == shown
    assert parse_page_ranges(str(ranges)) == ranges


@pytest.mark.parametrize("text, reason", [
    ("", "'' is not a range of pages; expected pages such as 1-3,7 or 12-"),
    ("1,,2", "'' is not a range"),
    ("1-3,x", "'x' is not a range"),
    ("-3", "'-3' is not a range"),
    ("1-2-3", "'1-2-3' is not a range"),
    ("1.5", "'1.5' is not a range"),
    ("٣", "'٣' is not a range"),
    ("0-3", "page 0 does not exist; pages count from 1"),
    ("7-3", "7-3: ends before it begins; write 3-7"),
    ("1" * 10_000, "'1111111111111111111111111111111111111111...' is not a range"),
])  # fmt: skip
def test_what_is_no_range_is_refused_with_the_reason(text, reason):
    with pytest.raises(UsageError) as error:
        parse_page_ranges(text)
    assert reason in str(error.value) and len(str(error.value)) < 200


PARTS = st.text("0123456789-, \nx\0٣", max_size=12) | st.text(max_size=6)


@given(st.lists(PARTS, max_size=8).map(",".join), st.integers(0, 50))
def test_any_text_gives_pages_or_a_refusal(text, num_pages):
    try:
        ranges = parse_page_ranges(text)
    except UsageError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return
    pages = ranges.within(num_pages)
    assert pages == sorted(set(pages))
    assert all(1 <= page <= num_pages for page in pages)
    assert parse_page_ranges(str(ranges)) == ranges


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), min_size=1))
def test_it_holds_just_the_pages_that_are_named(parts):
    text = ",".join(f"{first}-{first + more}" for first, more in parts)
    named = {page for first, more in parts for page in range(first, first + more + 1)}
    assert parse_page_ranges(text).within(50) == sorted(page for page in named if page <= 50)


def test_a_million_ranges_are_as_many_as_they_are():
    assert parse_page_ranges(",".join(["5-9"] * 1_000_000)).ranges == ((5, 9),)
    apart = ",".join(str(2 * n + 1) for n in range(100_000))
    assert len(parse_page_ranges(apart).ranges) == 100_000
