from __future__ import annotations

import hypothesis
import hypothesis.strategies as st

from deepseek_ocr.data.formats._positions import MAX_BOXES, by_position
from deepseek_ocr.data.formats._words import Word, blocks_of_words, find_gutter

sides = st.integers(0, 40)
boxes = st.lists(
    st.tuples(sides, sides, sides, sides).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1)
    ),
    max_size=12,
)


@hypothesis.given(boxes)
def test_every_box_has_one_place(found):
    assert sorted(by_position(found)) == list(range(len(found)))
    assert sorted(by_position(found, right_to_left=True)) == list(range(len(found)))


@hypothesis.given(
    st.integers(1, 4), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.randoms()
)
def test_columns_under_a_headline_are_read_one_after_another(num_heads, columns, random):
    """Gaps that happen to go through all columns do not part them."""
    width = 100 * len(columns)
    heads = [(0, 20 * n, width, 20 * n + 10) for n in range(num_heads)]
    body = [
        (100 * c, 100 + 20 * n, 100 * c + 90, 115 + 20 * n)
        for c, count in enumerate(columns)
        for n in range(count)
    ]
    expected = heads + (body if len(columns) > 1 else sorted(body, key=lambda box: box[1]))
    shuffled = random.sample(expected, len(expected))
    assert [shuffled[place] for place in by_position(shuffled)] == expected


def test_a_page_of_more_boxes_than_any_page_has_is_only_sorted():
    many = [(0, n, 9, n + 1) for n in reversed(range(MAX_BOXES + 1))]
    assert by_position(many) == list(reversed(range(MAX_BOXES + 1)))


@hypothesis.given(
    st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(1, 90), st.integers(0, 20)),
        min_size=1,
        max_size=40,
        unique=True,
    )
)
def test_no_word_of_a_page_is_lost_or_doubled(places):
    words = [
        Word(f"w{n}", (x, y, x + width, y + height), "paragraph")
        for n, (x, y, width, height) in enumerate(places)
    ]
    text = "".join(line.text for block in blocks_of_words(words) for line in block.lines).replace(
        " ", ""
    )
    assert sorted(text.split("w")[1:], key=int) == [str(n) for n in range(len(words))]


def test_a_page_of_one_column_has_no_gutter():
    words = [
        Word(
            "word",
            (100 + 40 * n + line % 3 * 13, 15 * line, 133 + 40 * n + line % 3 * 13, 15 * line + 12),
            "paragraph",
        )
        for line in range(50)
        for n in range(19)
    ]
    assert find_gutter(words) is None
    assert find_gutter([]) is None
