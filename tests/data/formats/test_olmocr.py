from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from deepseek_ocr.data.formats.olmocr import split_head

from .folders import detected, make, only, problems, samples

HEAD = "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\nis_table: False\nis_diagram: False\n---\n"


def test_a_page_is_its_text_with_the_head_as_attributes(tmp_path):
    root = make(tmp_path, {"a.pdf": None, "a.md": HEAD + "# Title\n\ntext\n"})
    sample = only(root)
    assert detected(root) == "olmocr"
    assert sample.images == ("a.pdf#page=*",) and sample.source == "a.md:1"
    assert sample.text == "# Title\n\ntext" and sample.lang == "en"
    assert sample.attributes == {
        "is_rotation_valid": "True",
        "rotation_correction": "0",
        "is_table": "False",
        "is_diagram": "False",
    }


def test_plain_markdown_beside_pictures_is_read_too(tmp_path):
    root = make(
        tmp_path,
        {
            "a.png": None,
            "a.md": "# Title\n",
            "b.tif": None,
            "b.mmd": "text",
            "README.md": "about the data",
            "c.png": None,
            "labels/c.markdown": "c",
        },
    )
    assert detected(root) == "olmocr"
    assert [(s.images, s.text) for s in samples(root)] == [
        (("a.png",), "# Title"),
        (("b.tif#page=*",), "text"),
        (("c.png",), "c"),
    ]


@pytest.mark.parametrize(
    "content, head, text",
    [
        (HEAD.replace("\n", "\r\n").replace("\r\n", "\n") + "t", {"is_table": "False"}, "t"),
        (
            "---\nprimary_language: null\nrotation_correction: 90\n---\n\nt\n",
            {"rotation_correction": "90"},
            "t",
        ),
        ("---\nlang: 'de'\ntags:\n  - a\n---\nt", {"lang": "de"}, "t"),
        ("---\n---\nt", {}, "---\n---\nt"),
        ("---\n\nA rule: and a heading\n---\n", {}, "---\n\nA rule: and a heading\n---"),
        ("---\nkey: value\nnever closed", {}, "---\nkey: value\nnever closed"),
        ("text\n---\nkey: value\n---\n", {}, "text\n---\nkey: value\n---"),
        ("", {}, ""),
        (HEAD, {"is_table": "False"}, ""),
    ],
)
def test_a_head_is_told_from_a_rule(content, head, text):
    found, rest = split_head(content)
    assert rest == text and all(found[key] == value for key, value in head.items())
    assert head or not found


@hypothesis.given(st.text("-\n ab:", max_size=40))
def test_nothing_of_the_text_is_lost(content):
    head, text = split_head(content)
    assert content.endswith((text, text + "\n")) and (
        head or content in (text, text + "\n") or content.startswith("---")
    )


def test_what_cannot_be_read_is_told(tmp_path):
    root = make(
        tmp_path,
        {
            "a.pdf": None,
            "a.md": HEAD + "t",
            "b.pdf": None,
            "c.md": HEAD,
            "d.pdf": None,
            "d.md": b"\xe4",
            "e.pdf": None,
            "e.md": "a\nb\0",
        },
    )
    assert problems(root) == [
        ("annotation without picture", "c.md:1"),
        ("not UTF-8", "d.md:1"),
        ("bad value", "e.md:2"),
        ("picture without annotation", "b.pdf"),
    ]


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(tmp_path):
    content = b"\xef\xbb\xbf" + (HEAD + "one\ntwo\n").replace("\n", "\r\n").encode()
    sample = only(make(tmp_path, {"a.pdf": None, "a.md": content}))
    assert sample.text == "one\ntwo" and sample.lang == "en"
