from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region

from .folders import detected, make, only, problems, samples


def page(content, title='image "a.png"; bbox 0 0 100 200; ppageno 0'):
    return f"<div class='ocr_page' title='{title}'>\n{content}</div>"


def html(*pages, attributes="lang='en'"):
    return f"<!DOCTYPE html>\n<html {attributes}><head><title>no text</title></head><body>{''.join(pages)}</body></html>"


def line(*words, kind="ocr_line", box="10 20 60 40"):
    spans = " ".join(
        f"<span class='ocrx_word' title='bbox 1 2 3 4; x_wconf 96'>{word}</span>" for word in words
    )
    return f"<span class='{kind}' title='bbox {box}; baseline 0 -3'>{spans}</span>\n"


def text_of(tmp_path, content):
    return only(make(tmp_path, {"a.png": None, "a.hocr": html(page(content))})).text


def test_a_page_gives_its_lines_with_boxes_and_paragraphs(tmp_path):
    first = f"<p class='ocr_par' lang='deu'>{line('Der', '<strong>Wäg</strong>')}{line('zwei', kind='ocr_header')}</p>"
    root = make(
        tmp_path,
        {"a.png": None, "a.hocr": html(page(first + f"<p class='ocr_par'>{line('drei')}</p>"))},
    )
    sample = only(root)
    assert detected(root) == "hocr" and sample.source == "a.hocr:2" and sample.lang == "deu"
    assert sample.text == "Der Wäg\nzwei\n\ndrei"
    assert sample.regions[1] == Region(label="header", box=(0.1, 0.1, 0.6, 0.2), text="zwei")
    assert sample.box_frame == "shares"


@pytest.mark.parametrize(
    "content, text",
    [
        ("<span class=ocr_line>a line &amp;\n  no words</span>", "a line & no words"),
        (
            "<span class=ocr_line><span class=ocrx_word>a</span><span class=ocrx_word>b</span> outside</span>",
            "a b",
        ),
        ("<span class=ocrx_word>lone</span><span class=ocrx_word>words</span>", "lone words"),
        (
            "<p class=ocr_par><span class=ocr_line>a<br>b<img src=x></span><p class=ocr_par><span class=ocr_line>c",
            "a b\n\nc",
        ),
        ("<span class=ocr_line><span class=ocrx_word>a<br/>b</span></span><br>", "a b"),
        ("<div class=ocr_caption><span class=ocr_line>in a caption</span></div>", "in a caption"),
        ("<span class=ocr_line>kept</span></p></table><script>dropped</script>", "kept"),
        ("<span class=ocr_line>a<script>x</script>b</span>", "ab"),
    ],
)
def test_html_that_is_no_xml_is_read(tmp_path, content, text):
    assert text_of(tmp_path, content) == text


def test_several_pages_of_a_file_are_several_samples(tmp_path):
    own = html(
        *(page(line(name), title=f'image "{name}.png"; ppageno {n}') for n, name in enumerate("ab"))
    )
    found = samples(make(tmp_path / "own", {"a.png": None, "b.png": None, "all.hocr": own}))
    assert [(s.images, s.text) for s in found] == [(("a.png",), "a"), (("b.png",), "b")]
    for name in ("x.tif", "x.pdf"):
        shared = html(
            *(page(line(f"p{n}"), title=f"image &quot;{name}&quot;; ppageno {n}") for n in (1, 2))
        )
        found = samples(make(tmp_path / name, {name: None, "all.hocr": shared}))
        assert [s.images for s in found] == [(f"{name}#page=2",), (f"{name}#page=3",)]


@pytest.mark.parametrize(
    "title",
    [
        'image "a.png"',
        "image a.png; bbox 0 0 1 1",
        'bbox 0 0 1 1;image "/tmp/x;y/a.png"',
        'image "unknown"',
        "",
    ],
)
def test_the_picture_is_named_in_the_title_of_the_page_or_by_the_file(tmp_path, title):
    text = html(page(line("t"), title=title.replace('"', "&quot;")))
    assert only(make(tmp_path, {"a.png": None, "a.html": text})).images == ("a.png",)


def test_boxes_of_a_part_of_a_picture_stay_in_its_pixels(tmp_path):
    text = html(page(line("t"), title='image "a.png"; bbox 5 5 100 200'))
    sample = only(make(tmp_path, {"a.png": None, "a.hocr": text}))
    assert sample.regions[0].box == (10, 20, 60, 40) and sample.box_frame == "pixels"


def test_what_cannot_be_read_is_told(tmp_path):
    root = make(
        tmp_path,
        {
            "a.png": None,
            "a.hocr": html(page(line("t"))),
            "b.hocr": "<p>no page</p>",
            "c.hocr": b"<div class='ocr_page'>\n\xe4</div>",
            "d.hocr": "<div>" * 300,
            "e.hocr": html(page(line("t"), title='image "none.png"')),
            "f.hocr": "a\0b",
            "help.html": "<p>about the dataset</p>",
        },
    )
    assert problems(root) == [
        ("no text", "b.hocr:1"),
        ("not UTF-8", "c.hocr:2"),
        ("not valid HTML", "d.hocr:1"),
        ("annotation without picture", "e.hocr:2"),
        ("bad value", "f.hocr:1"),
    ]


def test_a_picture_that_no_page_names_is_told(tmp_path):
    root = make(tmp_path, {"a.png": None, "b.png": None, "a.hocr": html(page(line("t")))})
    assert problems(root) == [("picture without annotation", "b.png")]
