"""Two texts side by side: nothing is lost, nothing unseen gets through, long agreement is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.metrics.alignment import UNSEEN, aligned, plain_differences, shown
from deepseek_ocr.metrics.text import text_score

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=30) | st.text("ab\n", max_size=9)


@given(ANY_TEXT, ANY_TEXT)
def test_the_pieces_are_the_texts_and_differ_where_errors_are_counted(truth, prediction):
    pairs = list(aligned(truth, prediction))
    assert "".join(expected for expected, _ in pairs) == truth
    assert "".join(found for _, found in pairs) == prediction
    errors = sum(max(map(len, pair)) for pair in pairs if pair[0] != pair[1])
    assert errors == text_score(prediction, truth).char_errors


@pytest.mark.parametrize(
    "truth, prediction, expected",
    [
        ("Total 9.50", "Total 9.40", "Total 9.[-5-]{+4+}0"),
        ("abc", "abc", "abc"),
        ("abc", "", "[-abc-]"),
        ("", "abc", "{+abc+}"),
        ("", "", ""),
        ("a b", "a\tb", "a[- -]{+\t+}b"),
        ("a", "a\x1b[2J\u202e", "a{+<U+001B>[2J<U+202E>+}"),
        ("a" * 100, "a" * 100, "a" * 24 + " … " + "a" * 24),
    ],
)
def test_known_differences(truth, prediction, expected):
    assert plain_differences(truth, prediction) == expected


@given(ANY_TEXT, ANY_TEXT)
def test_nothing_unseen_reaches_the_terminal(truth, prediction):
    assert not UNSEEN.search(plain_differences(truth, prediction))
    assert not UNSEEN.search(shown(truth))


@given(st.text(max_size=300), st.text(max_size=300), st.integers(1, 50))
def test_marks_are_whole_however_short_the_text_is_cut(truth, prediction, longest):
    found = plain_differences(truth, prediction, longest=longest, missed="<>", invented="()")
    plain = truth + prediction
    for begin, end in ("<>", "()"):
        if begin not in plain and end not in plain and not UNSEEN.search(plain):
            assert found.count(begin) == found.count(end)
    marks = 2 * (len(truth) + len(prediction))
    assert len(found) <= longest + marks + 1


def test_a_cut_says_so():
    assert plain_differences("a" * 10, "b" * 10, longest=15) == "[-aaaaaaaaaa-]{+bbbbb+}…"
    assert plain_differences("a" * 10, "b" * 10, longest=20) == "[-aaaaaaaaaa-]{+bbbbbbbbbb+}"
