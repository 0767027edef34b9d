from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html
from PIL import Image

from deepseek_ocr.reading import html as page_writer
from deepseek_ocr.reading.html import STYLE, document_html, page_html, text_html
from deepseek_ocr.reading.results import ReadPage

from .answers import ANSWERS, ATTACKS, PAGE, boxed, long_answers

OCR = "<image>\n<|grounding|>OCR this image."
LOCATE = "<image>\nLocate <|ref|>dog<|/ref|> in the image."

BARE = """em strong code pre blockquote ul li hr br h1 h2 h3 h4 h5 h6 sub sup figure
table thead tbody tr th"""
ALLOWED = {
    **{tag: {} for tag in BARE.split()},
    "section": {"id": "page-[0-9]+"},
    "p": {"class": "page|notice"},
    "ol": {"start": "[0-9]+"},
    "td": {"rowspan": "[0-9]+", "colspan": "[0-9]+"},
    "div": {"class": "table"},
    "span": {"class": "formula( display)?"},
    "a": {"href": "https?://.*", "rel": "noreferrer nofollow"},
    "img": {"alt": "figure", "src": "data:image/png;base64,[A-Za-z0-9+/=]*"},
}


class Strict(HTMLParser):
    """Every tag and attribute must be one that the writer makes."""

    def __init__(self, written: str):
        super().__init__()
        self.feed(written)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert re.fullmatch(ALLOWED[tag][name], value, re.DOTALL), (tag, name, value)

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def page(text, number=1, status="ok", prompt="", **more):
    return ReadPage(
        number=number, status=status, text=text, prompt=prompt, width=999, height=1998, **more
    )


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, "PNG")
    return file.getvalue()


def test_a_page_becomes_html_with_its_figures_inside():
    written = page_html(page(PAGE), {"p0001-1.png": png()}.get)
    Strict(written)
    assert "<h1>Report</h1>" in written
    assert r'says <span class="formula">\(a&lt;b\)</span> and <strong>more</strong>.' in written
    assert written.count("<figure>") == 1  # the other has no file
    assert base64.b64encode(png()).decode() in written
    assert '<td colspan="2">Sum</td>' in written


def test_markdown_of_every_kind_is_shown():
    text = (
        "## Two\n\n1. a\n2. b\n\n- x\n- *y*\n\n> said\n\n| a | b |\n|---|--:|\n| `c` | \\(d\\) |\n\n"
        "line one\nline two<br>three x<sup>2</sup>\n\n```python\nif a < b:\n    pass\n```\n\n"
        "\\[\nE = mc^2\n\\]\n\n[link](https://example.org/a?b&c) $5"
    )
    written = text_html(text)
    Strict(written)
    for piece in (
        "<h2>Two</h2>",
        "<ol>",
        "<em>y</em>",
        "<blockquote>",
        r'<td><span class="formula">\(d\)</span></td>',
        "line one<br />\nline two<br>three x<sup>2</sup>",
        "<pre><code>if a &lt; b:\n    pass</code></pre>",
        r'<span class="formula display">\[E = mc^2\]</span>',
        '<a rel="noreferrer nofollow" href="https://example.org/a?b&amp;c">link</a> $5',
    ):
        assert piece in written, piece


def test_lines_and_places_are_shown():
    assert page_html(page(boxed("a <b>", (1, 2, 3, 4)), prompt=OCR)) == "<p>a &lt;b&gt;</p>\n"
    located = page_html(page(boxed("dog", (1, 2, 3, 4)), prompt=LOCATE))
    assert located == "<p>dog: 1, 4, 3, 8</p>\n"


def test_the_document_needs_nothing_else_and_allows_nothing():
    pages = [page(PAGE), page("", 2, "failed", reason="<b> is damaged")]
    written = "".join(document_html(pages, title="a <b>.pdf", figure=lambda name: png()))
    tree = lxml_html.document_fromstring(written)
    assert tree.findtext(".//title") == "a <b>.pdf"
    assert [section.get("id") for section in tree.iter("section")] == ["page-1", "page-2"]
    assert tree.xpath("//p[@class='notice']")[0].text == "Page 2 could not be read: <b> is damaged"
    (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and f"'sha256-{digest}'" in policy
    assert tree.findtext(".//style") == STYLE
    assert not tree.xpath("//script | //link | //iframe | //*[@style]")
    assert all(src.startswith("data:image/png;base64,") for src in tree.xpath("//@src"))


def test_a_single_page_has_no_heading_of_its_own():
    written = "".join(document_html([page("hello")], title="a.png"))
    assert written.endswith("<body>\n<p>hello</p>\n</body>\n</html>\n")


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_page_is_only_shown(attack):
    for text in (attack, f"a{attack}b", f"- x\n{attack}", PAGE + attack):
        for prompt in ("", OCR, LOCATE):
            Strict(page_html(page(text, prompt=prompt), lambda name: png()))


@given(st.one_of(ANSWERS, st.text()), st.sampled_from(["", OCR, LOCATE]))
def test_no_answer_does_harm(text, prompt):
    written = page_html(page(text, prompt=prompt), lambda name: png())
    Strict(written)
    assert "\ufdd0" not in written
    written.encode("utf-8")


def test_a_formula_cannot_stand_in_an_attribute():
    written = text_html('[a](https://x "\\("onclick=alert(1)\\)") [b](https://x/\\("y\\))')
    Strict(written)
    assert "onclick" not in written


def test_what_markdown_it_cannot_do_is_shown_as_it_is(monkeypatch):
    def broken():
        raise RecursionError

    monkeypatch.setattr(page_writer, "_parser", broken)
    assert text_html("a <b>") == "<pre>a &lt;b&gt;</pre>\n"


@pytest.mark.parametrize("text", long_answers(20_000))
def test_an_answer_of_any_length_is_written(text):
    Strict(text_html(text))
