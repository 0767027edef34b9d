"""Layout files that would harm a careless reader: refused with a plain reason, memory bounded."""

from __future__ import annotations

import io

import hypothesis
import hypothesis.strategies as st
import pytest

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import _xml, alto, docbank, hocr, icdar2013, page_xml
from deepseek_ocr.data.formats._xml import Element, read_xml, root_of
from deepseek_ocr.data.problems import Problem

from .folders import make, problems, reasons

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


def page(content, before="", name="a.png"):
    return f'<?xml version="1.0"?>\n{before}\n<PcGts><Page imageFilename="{name}">{content}</Page></PcGts>'


def only_problem(tmp_path, content, name="a.xml"):
    root = make(tmp_path, {"a.png": None, name: content})
    ((kind, source),) = problems(root, "page_xml")
    return kind, source, reasons(root, "page_xml")[0]


@pytest.mark.parametrize(
    "content, line, reason",
    [
        (page("&b;", LAUGHS), 2, "declares the entity 'a'; write its text in its place"),
        (page("&a;", FILE), 2, "declares the entity 'a'; write its text in its place"),
        (
            page("", '<!DOCTYPE x [<!ENTITY % p "x">]>'),
            2,
            "declares the entity 'p'; write its text in its place",
        ),
        (
            page("", '<!DOCTYPE x [<!ATTLIST Page custom CDATA "many characters">]>'),
            2,
            "declares a default for <Page custom=...>; write it where it is meant",
        ),
        (
            page("&nbsp;", '<!DOCTYPE x SYSTEM "http://example.org/x.dtd">'),
            3,
            "the entity 'nbsp' is not known; write its text in its place",
        ),
        (page("&nbsp;"), 3, "not valid XML (undefined entity"),
        (
            page("<TextRegion>" * 100 + "</TextRegion>" * 100),
            3,
            "elements nested more than 64 deep; expected a page's layout",
        ),
        (page("<a><b></a>"), 3, "not valid XML (mismatched tag"),
        (page("\0"), 3, "not valid XML (not well-formed (invalid token)"),
        (page("")[:-3], 3, "not valid XML (unclosed token"),
        ("just text", 1, "not valid XML (syntax error"),
        ("", 1, "the file is empty; expected XML: save it again or remove it"),
        (" \n", 2, "not valid XML (no element found"),
        (
            page("").encode().replace(b"a.png", b"\xe4.png"),
            3,
            "not UTF-8, nor the encoding that it declares; save the file in UTF-8",
        ),
        (
            b'<?xml version="1.0" encoding="klingon"?><PcGts/>',
            1,
            "not valid XML (unknown encoding: klingon",
        ),
    ],
)
def test_xml_that_is_broken_or_hostile_is_told_with_its_line(tmp_path, content, line, reason):
    kind, source, found = only_problem(tmp_path, content)
    assert source == f"a.xml:{line}" and found.startswith(reason)  # expat adds the column
    assert kind == ("not UTF-8" if "UTF-8" in reason else "not valid XML")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_the_encoding_that_a_file_declares_is_read(tmp_path, encoding):
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><PcGts><Page imageFilename="ä"/></PcGts>'
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    root = read_xml(tmp_path / "a.xml", "a.xml", "PcGts")
    assert isinstance(root, Element) and root.children[0].get("imageFilename") == "ä"


@pytest.mark.parametrize(
    "limit, value, reason",
    [
        ("MAX_PARTS", 50, "more than 50 elements and attributes; expected a page a file"),
        ("MAX_ROW_BYTES", 1000, "more than 0 MiB; expected a page a file"),
    ],
)
def test_size_and_number_of_elements_are_limited(tmp_path, monkeypatch, limit, value, reason):
    monkeypatch.setattr(_xml, limit, value)
    assert only_problem(tmp_path, page('<a b="c"/>' * 200))[2] == reason


def test_an_attribute_that_a_dtd_declares_without_a_default_does_no_harm(tmp_path):
    (tmp_path / "a.xml").write_text('<!DOCTYPE r [<!ATTLIST r id ID #IMPLIED>]><r id="x"/>')
    root = read_xml(tmp_path / "a.xml", "a.xml", "r")
    assert isinstance(root, Element) and root.get("id") == "x"


def test_no_root_is_told_of_a_file_with_defaults_or_entities(tmp_path):
    for declared in ('<!ATTLIST PcGts a CDATA "x">', '<!ENTITY a "x">'):
        (tmp_path / "a.xml").write_text(f"<!DOCTYPE x [{declared}]><PcGts/>")
        assert root_of(tmp_path / "a.xml") == ""


def test_attributes_count_towards_the_size_even_if_the_file_is_small(monkeypatch):
    monkeypatch.setattr(_xml, "MAX_ROW_BYTES", 1000)
    tree = _xml._TreeBuilder("r", frozenset())
    tree.parser.AttlistDeclHandler = None
    declared = f'<!DOCTYPE r [<!ATTLIST e a CDATA "{"x" * 100}">]>'
    with pytest.raises(_xml._Refused, match="expected a page a file"):
        tree.feed(io.BytesIO(f"{declared}<r>{'<e/>' * 20}</r>".encode()))


def test_what_is_left_out_is_not_kept_but_its_depth_is_limited(tmp_path):
    (tmp_path / "a.xml").write_text("<r><x><deep>t</deep></x><y/></r>")
    root = read_xml(tmp_path / "a.xml", "a.xml", "r", left_out=["x"])
    assert isinstance(root, Element) and [child.name for child in root.children] == ["y"]
    (tmp_path / "b.xml").write_text("<r>" + "<x>" * 1000)
    assert isinstance(read_xml(tmp_path / "b.xml", "b.xml", "r", left_out=["x"]), Problem)


def test_a_file_of_another_root_is_left_after_its_first_element(tmp_path):
    (tmp_path / "a.xml").write_text("<mets>&broken")
    assert read_xml(tmp_path / "a.xml", "a.xml", "PcGts") is None
    assert root_of(tmp_path / "a.xml") == "mets"


def test_the_root_of_anything_can_be_asked_for(tmp_path):
    for content in (
        b"",
        b"\0\xff",
        b"{}",
        "<ä:b".encode(),
        b"<!DOCTYPE a><a><b>",
        b'<?xml version="1.0" encoding="no"?><a>',
    ):
        (tmp_path / "a.xml").write_bytes(content)
        assert root_of(tmp_path / "a.xml") in ("", "a")
    assert root_of(tmp_path / "none.xml") == "" == root_of(tmp_path)


TAGS = [
    "PcGts",
    "Page",
    "TextRegion",
    "TextLine",
    "TextEquiv",
    "Unicode",
    "Coords",
    "ReadingOrder",
    "RegionRefIndexed",
    "alto",
    "Layout",
    "PrintSpace",
    "TextBlock",
    "String",
    "HYP",
    "document",
    "table",
    "region",
    "cell",
    "content",
    "bounding-box",
]
ATTRIBUTES = [
    "id",
    "index",
    "regionRef",
    "points",
    "custom",
    "imageFilename",
    "imageWidth",
    "HPOS",
    "PHYSICAL_IMG_NR",
    "WIDTH",
    "CONTENT",
    "ID",
    "IDNEXT",
    "start-row",
    "start-col",
    "end-col",
    "page",
    "x1",
    "textLineOrder",
]
VALUES = [
    "",
    "a",
    "1",
    "-1",
    "0",
    "1e400",
    "nan",
    "3,4 5,6",
    "1 2 3",
    "999999",
    "9" * 5000,
    "a.png",
    "../../x",
    "readingOrder {index:1;}",
    "right-to-left",
]


def nested(drawn):
    """(depth, tag, attributes) of elements, one after another -> XML; "t" in the innermost."""
    written, still_open = [], []
    for depth, name, attributes in drawn:
        while len(still_open) > depth:
            written.append(f"</{still_open.pop()}>")
        members = "".join(f' {key}="{value}"' for key, value in dict(attributes).items())
        written.append(f"<{name}{members}>{'t' if depth == DEEPEST else ''}")
        still_open.append(name)
    return "".join([*written, *(f"</{name}>" for name in reversed(still_open))])


DEEPEST = 4
attributes = st.lists(st.tuples(st.sampled_from(ATTRIBUTES), st.sampled_from(VALUES)), max_size=3)
elements = st.lists(
    st.tuples(st.integers(0, DEEPEST), st.sampled_from(TAGS), attributes), max_size=16
).map(nested)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    root = make(tmp_path_factory.mktemp("fuzz"), {"a.png": None, "a.pdf": None})

    def write(name, content):
        (root / name).write_text(content, encoding="utf-8")
        return DatasetFolder(root)

    return write


@hypothesis.given(
    elements,
    st.sampled_from(
        [
            ("PcGts", "a.xml", page_xml),
            ("alto", "a.xml", alto),
            ("document", "a-str.xml", icdar2013),
        ]
    ),
)
@hypothesis.settings(max_examples=200)
def test_no_xml_makes_a_reader_raise(folder_of, inner, shape):
    root, name, reader = shape
    folder = folder_of(name, f"<{root}>{inner}</{root}>")
    reader.detect(folder)
    assert all(isinstance(found, Annotation | Problem) for found in reader.read(folder))


@hypothesis.given(
    st.lists(
        st.sampled_from(
            [
                "<div class='ocr_page'>",
                "<div class=ocr_page title='image \"a.png\"; bbox 1 2'>",
                "<p class=ocr_par>",
                "<span class=ocr_line title='bbox 9 9 1 1'>",
                "<span class=ocrx_word>",
                "</span>",
                "</p>",
                "</div>",
                "<br>",
                "<script>",
                "text",
                "&",
                "<",
                "<!--",
                '"',
                "'",
            ]
        ),
        max_size=30,
    )
)
def test_no_html_makes_the_reader_raise(folder_of, parts):
    folder = folder_of("a.hocr", "".join(parts))
    assert all(isinstance(found, Annotation | Problem) for found in hocr.read(folder))


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "±", "(cid:3)", "##LTLine##", " "]),
            *[st.integers(0, 9999)] * 4,
            st.sampled_from(["paragraph", "table", ""]),
        ),
        max_size=30,
    )
)
def test_no_boxes_make_the_reader_of_words_raise(folder_of, words):
    rows = (
        "\t".join(map(str, (text, *box, 0, 0, 0, "font", label))) for text, *box, label in words
    )
    folder = folder_of("a_0.txt", "\n".join(rows))
    assert all(isinstance(found, Annotation | Problem) for found in docbank.read(folder))


def test_titles_of_nothing_but_quotes_are_split_in_one_pass():
    assert hocr._properties('"' * 100_001 + ";" * 100_000) is not None
    assert hocr._properties("a " * 100_000 + "'") is not None
