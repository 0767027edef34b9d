from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.pages.references import Reference, parse_reference, split_reference
from deepseek_ocr.errors import PageError


@pytest.mark.parametrize(
    "written, expected",
    [
        ("a/b.png", Reference("a/b.png")),
        ("a.tif#page=2", Reference("a.tif", page=2)),
        ("a#b.tif#page=12", Reference("a#b.tif", page=12)),
        ("a.pdf#page=*", Reference("a.pdf", is_whole=True)),
        ("f.parquet#row=7", Reference("f.parquet", row=7)),
        ("f.jsonl#line=7&image=2", Reference("f.jsonl", line=7, image=2)),
        ("f.json#row=1&image=1&crop=content", Reference("f.json", row=1, image=1, crop=True)),
        ("a.png#crop=content", Reference("a.png", crop=True)),
        ("a.pdf#page=2&crop=content", Reference("a.pdf", page=2, crop=True)),
        ("a.pdf#page=*&crop=content", Reference("a.pdf", is_whole=True, crop=True)),
        ("a#page=2.png", Reference("a#page=2.png")),
        ("empty#hash.pdf", Reference("empty#hash.pdf")),
        ("a..b/c..png", Reference("a..b/c..png")),
    ],
)
def test_a_reference_names_a_file_or_a_part_of_it(written, expected):
    assert parse_reference(written) == expected
    assert str(expected) == written


@pytest.mark.parametrize(
    "written, reason",
    [
        ("", "expected the path"),
        ("#page=1", "expected the path"),
        ("a\0b", "expected the path"),
        ("/etc/passwd", "an absolute path"),
        ("C:\\a.png", "an absolute path"),
        ("c:/a.png#page=2", "an absolute path"),
        ("../a.png", "leads out"),
        ("a/../../b.png#row=1", "leads out"),
        ("a.tif#page=0", "pages count from 1"),
        ("a.parquet#row=0", "rows count from 1"),
        ("a.jsonl#line=1&image=0", "lines count from 1"),
        ("a#page=", "cannot be read"),
        ("a#page=1&row=2", "cannot be read"),
        ("a#page=1&image=2", "cannot be read"),
        ("a#crop=all", "cannot be read"),
        ("a#crop=content&page=1", "cannot be read"),
        ("a#row=*", "cannot be read"),
        ("a#page=" + "9" * 13, "cannot be read"),
    ],
)
def test_other_references_are_page_errors(written, reason):
    with pytest.raises(PageError, match=reason):
        parse_reference(written)


def test_numbers_have_one_spelling():
    assert str(parse_reference("a.tif#page=007")) == "a.tif#page=7"


def test_path_and_page_alone_can_be_asked():
    assert split_reference("a/b.png") == ("a/b.png", 1)
    assert split_reference("a.tif#page=12&crop=content") == ("a.tif", 12)
    assert split_reference("a.parquet#row=12") == ("a.parquet", 1)


counts = st.integers(1, 10**9) | st.none()


@given(st.text("ab#&=.*/", min_size=1).filter(lambda p: p[0] != "/"), counts, counts, st.booleans())
def test_what_is_written_is_read_again(path, line, image, crop):
    reference = Reference(path, line=line, image=image if line else None, crop=crop)
    if reference.part and ".." not in path:
        assert parse_reference(str(reference)) == reference


@given(st.text(max_size=30) | st.text("#page=row1*&crop.", max_size=30))
def test_any_text_is_a_reference_or_a_page_error(written):
    try:
        reference = parse_reference(written)
    except PageError:
        return
    assert parse_reference(str(reference)) == reference
