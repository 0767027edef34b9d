from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.formats.docbank import MAX_WORDS

from .folders import detected, make, only, problems, reasons, samples


def word(text, x, y, *, width=None, height=12, label="paragraph", colour="0\t0\t0"):
    width = 8 * len(text) if width is None else width
    return "\t".join(
        [
            text,
            *(str(side) for side in (x, y, x + width, y + height)),
            colour,
            "ABCDEF+CMR10",
            label,
        ]
    )


def words_of(text, x, y, **kwargs):
    """A line of words, eight thousandths a letter, with blanks of six."""
    rows = []
    for part in text.split():
        rows.append(word(part, x, y, **kwargs))
        x += 8 * len(part) + 6
    return rows


def text_of(tmp_path, *lines):
    rows = [row for line in lines for row in line]
    return only(make(tmp_path, {"p_0_ori.jpg": None, "p_0.txt": "\n".join(rows) + "\n"})).text


def test_a_page_is_its_lines_in_paragraphs_with_their_labels_and_places(tmp_path):
    rows = (
        words_of("A title", 100, 20, label="title")
        + words_of("first line of", 110, 50)
        + words_of("a paragraph", 100, 64)
    )
    graphics = [
        word("##LTFigure##", 0, 100, label="figure"),
        word("##LTLine##", 0, 0, label="figure"),
    ]
    root = make(tmp_path, {"d/p_1_ori.jpg": None, "d/p_1.txt": "\n".join(graphics + rows) + "\n"})
    sample = only(root)
    assert detected(root) == "docbank" and sample.source == "d/p_1.txt:1"
    assert sample.text == "A title\n\nfirst line of\na paragraph"
    assert sample.group == "d/p"
    assert [block.label for block in sample.structure] == ["title", "paragraph"]
    assert sample.regions[1] == Region(
        label="paragraph", box=(100, 50, 210, 76), text="first line of\na paragraph"
    )
    assert sample.box_frame == "thousandths"


def column(prefix, x, num_lines, y=100):
    return [
        words_of(f"{prefix}{n:02} words that fill a line", x, y + 14 * n) for n in range(num_lines)
    ]


def test_words_that_go_across_two_columns_are_put_back_into_them(tmp_path):
    head = words_of(
        "a heading that goes over the whole width of the two columns of the page below", 100, 60
    )
    left, right = column("left", 100, 12), column("right", 520, 12, y=101)
    interleaved = [row for pair in zip(left, right, strict=True) for row in pair]
    foot = words_of("42", 495, 950)
    lines = text_of(tmp_path, head, *interleaved, foot).split("\n")
    told = [line.split()[0] for line in lines if line]
    assert told == [
        "a",
        *(f"left{n:02}" for n in range(12)),
        *(f"right{n:02}" for n in range(12)),
        "42",
    ]


def test_a_table_is_read_row_by_row(tmp_path):
    rows = [
        words_of(f"row{n} 1.{n}", 100, 100 + 14 * n, label="table")
        + words_of(f"2.{n} 3.{n}", 700, 100 + 14 * n, label="table")
        for n in range(8)
    ]
    assert text_of(tmp_path, *rows).split("\n")[:2] == ["row0 1.0 2.0 3.0", "row1 1.1 2.1 3.1"]


@pytest.mark.parametrize(
    "rows, text",
    [
        # an index stands above the line, and is glued to what it belongs to
        (
            [*words_of("see there", 100, 100), word("2", 124, 98, height=7, width=2)],
            "see2 there",
        ),
        # the box of a symbol reaches into the line above, that of a bracket over several
        (
            words_of("first line here", 100, 100)
            + words_of("a", 100, 114)
            + [word("±", 114, 106, height=20)]
            + words_of("b", 130, 114),
            "first line here\na ± b",
        ),
        # words come in any order
        (list(reversed(words_of("one two three", 100, 100))), "one two three"),
        (
            words_of("A big", 100, 40, height=25, label="section")
            + words_of("small text below it", 100, 80),
            "A big\n\nsmall text below it",
        ),
    ],
)
def test_lines_are_made_of_boxes(tmp_path, rows, text):
    assert text_of(tmp_path, rows) == text


@pytest.mark.parametrize(
    "lines, blocks",
    [
        (
            [(112, "indented"), (100, "goes on"), (100, "and on"), (112, "indented again")],
            ["indented\ngoes on\nand on", "indented again"],
        ),
        (
            [(100, "[1] hangs"), (118, "goes on"), (100, "[2] hangs")],
            ["[1] hangs\ngoes on", "[2] hangs"],
        ),
    ],
)
def test_paragraphs_begin_with_their_indent(tmp_path, lines, blocks):
    label = "reference" if "[1]" in lines[0][1] else "paragraph"
    rows = [words_of(text, x, 100 + 14 * n, label=label) for n, (x, text) in enumerate(lines)]
    assert text_of(tmp_path, *rows).split("\n\n") == blocks


def test_a_gap_or_another_label_begins_a_block_but_a_coloured_link_does_not(tmp_path):
    link = word("(1999)", 160, 114, label="paragraph", colour="0\t0\t127")
    rows = [
        words_of("a caption", 100, 100, label="caption"),
        [*words_of("of this", 100, 114, label="caption"), link],
        [word("(2001).", 100, 128, colour="0\t0\t127")],
        words_of("text", 100, 142),
    ]
    assert text_of(tmp_path, *rows) == "a caption\nof this (1999)\n(2001).\n\ntext"


@pytest.mark.parametrize(
    "pictures, shown",
    [
        (["p_0_ori.jpg", "p_0.jpg", "p_0_ann.jpg"], "p_0_ori.jpg"),
        (["p_0.jpg"], "p_0.jpg"),
        (["DocBank_500K_ori_img/p_0_ori.jpg"], "DocBank_500K_ori_img/p_0_ori.jpg"),
    ],
)
def test_the_picture_is_the_page_as_printed(tmp_path, pictures, shown):
    folder = "DocBank_500K_txt/" if "/" in shown else ""
    files = dict.fromkeys(pictures) | {f"{folder}p_0.txt": word("a", 1, 1)}
    root = make(tmp_path, files)
    assert detected(root) == "docbank" and only(root).images == (shown,)


def test_bad_lines_and_what_belongs_to_nothing_are_told(tmp_path):
    root = make(
        tmp_path,
        {
            "a_0_ori.jpg": None,
            "a_0.txt": word("good", 1, 1) + "\r\n",
            "b_0_ori.jpg": None,
            "b_0.txt": f"{word('a', 1, 1)}\n\nno tabs\n{word('b', 1, 1)}\textra\n",
            "c_0.txt": word("c", 1, 1),
            "d_0_ori.jpg": None,
        },
    )
    assert problems(root, "docbank") == [
        ("bad line", "b_0.txt:3"),
        ("bad line", "b_0.txt:4"),
        ("annotation without picture", "c_0.txt:1"),
        ("picture without annotation", "d_0_ori.jpg"),
    ]
    assert (
        reasons(root, "docbank")[0]
        == "'no tabs': expected word x0 y0 x1 y1 R G B font label, with tabs between"
    )


def test_more_words_than_any_page_has_are_told(tmp_path):
    rows = "\n".join([word("a", 1, 1)] * (MAX_WORDS + 1))
    root = make(tmp_path, {"p_0_ori.jpg": None, "p_0.txt": rows})
    assert reasons(root) == ["10001 words on a page; expected at most 10000"]


def test_lines_of_plain_text_are_no_docbank(tmp_path):
    root = make(tmp_path, {"a_0.png": None, "a_0.txt": "a plain text\nof two lines"})
    assert detected(root) == "txt" and samples(root)[0].text == "a plain text\nof two lines"
