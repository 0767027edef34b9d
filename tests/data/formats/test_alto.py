from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region

from .folders import detected, make, only, problems, samples

V4 = "http://www.loc.gov/standards/alto/ns-v4#"


def alto(
    page, *, file="a.png", unit="pixel", size='WIDTH="100" HEIGHT="200"', head="", namespace=V4
):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<alto xmlns="{namespace}"><Description>'
        f"<MeasurementUnit>{unit}</MeasurementUnit><sourceImageInformation><fileName>{file}</fileName>"
        f"</sourceImageInformation></Description>{head}\n<Layout><Page {size}>{page}</Page></Layout></alto>"
    )


def block(name, *lines, attributes=""):
    return f'<TextBlock ID="{name}" {attributes}>{"".join(lines)}</TextBlock>'


def line(content, attributes='HPOS="10" VPOS="20" WIDTH="30" HEIGHT="40"'):
    return f"<TextLine {attributes}>{content}</TextLine>"


def string(text, attributes=""):
    return f'<String CONTENT="{text}" {attributes}/>'


def space(*blocks, name="PrintSpace"):
    return f"<{name}>{''.join(blocks)}</{name}>"


def text_of(tmp_path, page, **kwargs):
    return only(make(tmp_path, {"a.png": None, "a.xml": alto(page, **kwargs)})).text


def test_a_page_gives_its_lines_with_boxes_and_the_labels_of_its_tags(tmp_path):
    tags = '<Tags><OtherTag ID="B1" LABEL="MainZone"/><OtherTag ID="L1" LABEL="DefaultLine"/><OtherTag ID="L2" LABEL="HeadingLine"/></Tags>'
    lines = [
        line(string("Title"), 'TAGREFS="L2"'),
        line(string("one")),
        line(string("two"), 'TAGREFS="L1"'),
    ]
    root = make(
        tmp_path,
        {
            "a.png": None,
            "a.xml": alto(space(block("b", *lines, attributes='TAGREFS="B1"')), head=tags),
        },
    )
    sample = only(root)
    assert detected(root) == "alto" and sample.source == "a.xml:3"
    assert sample.text == "Title\n\none\ntwo"
    assert [(b.label, b.text) for b in sample.structure] == [
        ("HeadingLine", "Title"),
        ("MainZone", "one\ntwo"),
    ]
    assert sample.regions == (Region(label="MainZone", box=(0.1, 0.1, 0.4, 0.3), text="one"),)
    assert sample.box_frame == "shares"


@pytest.mark.parametrize(
    "content, text",
    [
        (
            string("a") + "<SP/>" + string("b") + string(","),
            "a b,",
        ),  # blanks are told: none where none is
        (string("a") + string("b"), "a b"),  # none is told
        (string(" a whole line "), " a whole line "),
        (string("x &amp; y"), "x & y"),
        # the halves of a word stay as they are printed
        (
            string("Nach", 'SUBS_TYPE="HypPart1" SUBS_CONTENT="Nachmittag"') + '<HYP CONTENT="-"/>',
            "Nach-",
        ),
        (string("Nach-", 'SUBS_TYPE="HypPart1"') + '<HYP CONTENT="-"/>', "Nach-"),
        (string("Nach") + '<HYP CONTENT="\xad"/>', "Nach-"),
        (string("Nach") + "<HYP/>", "Nach-"),
        (string("Nach") + '<HYP CONTENT="⸗"/>', "Nach⸗"),
        (string("mittag", 'SUBS_TYPE="HypPart2" SUBS_CONTENT="Nachmittag"'), "mittag"),
        (
            '<String CONTENT="word"><Glyph CONTENT="w"><Variant CONTENT="vv"/></Glyph><ALTERNATIVE>ward</ALTERNATIVE></String>',
            "word",
        ),
    ],
)
def test_the_text_of_a_line_is_what_is_printed(tmp_path, content, text):
    assert text_of(tmp_path, space(block("b", line(content)))) == text


def test_blocks_follow_the_file_with_margins_where_they_stand_on_the_page(tmp_path):
    inner = "<ComposedBlock>" + block("c", line(string("3"))) + "</ComposedBlock>"
    page = (
        space(block("f", line(string("5"))), name="BottomMargin")
        + space(block("h", line(string("1"))), name="TopMargin")
        + space(block("b", line(string("2"))), inner, block("d", line(string("4"))))
    )
    assert text_of(tmp_path, page) == "1\n\n2\n\n3\n\n4\n\n5"


def test_blocks_that_name_the_next_one_are_followed_by_it(tmp_path):
    blocks = [
        block("c", line(string("3")), attributes='IDNEXT="d"'),
        block("b", line(string("2"))),
        block("a", line(string("1")), attributes='IDNEXT="b"'),
        block("d", line(string("4"))),
    ]
    assert text_of(tmp_path / "chain", space(*blocks)) == "3\n\n4\n\n1\n\n2"
    ring = [
        block("a", line(string("1")), attributes='IDNEXT="b"'),
        block("b", line(string("2")), attributes='IDNEXT="a"'),
    ]
    assert text_of(tmp_path / "ring", space(*ring)) == "1\n\n2"


def test_a_reading_order_of_version_4_3_is_followed_down_to_lines(tmp_path):
    order = (
        '<ReadingOrder><OrderedGroup ID="g"><ElementRef ID="e1" REF="b"/><UnorderedGroup ID="u">'
        '<ElementRef ID="e2" REF="l2"/></UnorderedGroup><ElementRef ID="e3" REF="none l1"/></OrderedGroup>'
        '<OrderedGroup ID="other"><ElementRef ID="e4" REF="l1"/></OrderedGroup></ReadingOrder>'
    )
    lines = [line(string(f"line {n}"), f'ID="l{n}"') for n in (1, 2, 3)]
    page = space(block("a", *lines), block("b", line(string("block b"))))
    assert text_of(tmp_path, page, head=order) == "block b\n\nline 2\nline 1\nline 3"


@pytest.mark.parametrize("unit", ["pixel", "mm10", "inch1200"])
def test_boxes_in_every_unit_become_shares_of_the_page(tmp_path, unit):
    sample = only(
        make(
            tmp_path,
            {"a.png": None, "a.xml": alto(space(block("b", line(string("t")))), unit=unit)},
        )
    )
    assert sample.regions[0].box == (0.1, 0.1, 0.4, 0.3) and sample.box_frame == "shares"


@pytest.mark.parametrize("unit, boxes", [("pixel", [(10, 20, 40, 60)]), ("mm10", [])])
def test_without_the_size_of_the_page_only_pixels_say_something(tmp_path, unit, boxes):
    sample = only(
        make(
            tmp_path,
            {
                "a.png": None,
                "a.xml": alto(space(block("b", line(string("t")))), unit=unit, size=""),
            },
        )
    )
    assert [region.box for region in sample.regions] == boxes and sample.text == "t"


@pytest.mark.parametrize(
    "content, box",
    [
        ('<Shape><Polygon POINTS="1,2 9,4 5,8"/></Shape>' + string("t"), (1, 2, 9, 8)),
        ('<Shape><Polygon POINTS="1 2 9 4 5 8"/></Shape>' + string("t"), (1, 2, 9, 8)),
        (
            string("t", 'HPOS="1" VPOS="2" WIDTH="3" HEIGHT="4"')
            + string("u", 'HPOS="10.5" VPOS="1" WIDTH="1" HEIGHT="2"'),
            (1, 1, 11.5, 6),
        ),
    ],
)
def test_a_line_without_a_box_of_its_own_has_that_of_its_shape_or_its_words(tmp_path, content, box):
    page = space(block("b", line(content, "")))
    sample = only(make(tmp_path, {"a.png": None, "a.xml": alto(page, size="")}))
    assert sample.regions[0].box == box


@pytest.mark.parametrize(
    "namespace",
    [
        "http://www.loc.gov/standards/alto/ns-v2#",
        "http://www.loc.gov/standards/alto/ns-v3#",
        "http://schema.ccs-gmbh.com/ALTO",
    ],
)
def test_older_versions_are_read_alike(tmp_path, namespace):
    assert text_of(tmp_path, space(block("b", line(string("t")))), namespace=namespace) == "t"


@pytest.mark.parametrize(
    "picture, file",
    [
        ("a b.png", "a b.png"),
        ("a.jpg", "a.tif"),
        ("a.png", "/data/book/other.tif"),
        ("a.png", ""),
        ("a.png", "\n  a.png\n "),
    ],
)
def test_the_picture_is_found_by_its_written_name_or_that_of_the_file(tmp_path, picture, file):
    xml = alto(space(block("b", line(string("t")))), file=file)
    assert only(make(tmp_path, {picture: None, "a.xml": xml})).images == (picture,)


def test_pages_of_a_pdf_and_frames_of_a_tiff_are_numbered(tmp_path):
    def two(file):
        pages = [
            f'<Page PHYSICAL_IMG_NR="{n}">{space(block("b", line(string(f"page {n}"))))}</Page>'
            for n in (3, 4)
        ]
        return f"<alto><Description><sourceImageInformation><fileName>{file}</fileName></sourceImageInformation></Description><Layout>{''.join(pages)}</Layout></alto>"

    for name in ("a.pdf", "a.tif"):
        found = samples(make(tmp_path / name, {name: None, "a.xml": two(name)}))
        assert [(s.images, s.text) for s in found] == [
            ((f"{name}#page=3",), "page 3"),
            ((f"{name}#page=4",), "page 4"),
        ]
    root = make(
        tmp_path / "one",
        {
            "a.png": None,
            "a.xml": alto(space(block("b", line(string("t")))), size='PHYSICAL_IMG_NR="50"'),
        },
    )
    assert only(root).images == ("a.png",)  # the number of a book's page, not of a frame


def test_what_is_wrong_is_told_with_its_line(tmp_path):
    bad_number = alto(
        space(block("b", "\n" + line(string("t"), 'HPOS="ten" VPOS="1" WIDTH="1" HEIGHT="1"')))
    )
    root = make(
        tmp_path,
        {
            "a.png": None,
            "a.xml": bad_number,
            "b.png": None,
            "b.xml": "<alto/>",
            "c.xml": alto("", file="none.png"),
        },
    )
    assert problems(root) == [
        ("bad value", "a.xml:4"),
        ("no text", "b.xml:1"),
        ("annotation without picture", "c.xml:3"),
    ]


def test_the_language_of_a_page_is_kept(tmp_path):
    page = space(block("b", line(string("t")), attributes='LANG="de"'))
    assert only(make(tmp_path / "b", {"a.png": None, "a.xml": alto(page)})).lang == "de"
    assert (
        only(make(tmp_path / "p", {"a.png": None, "a.xml": alto(page, size='LANG="fr"')})).lang
        == "fr"
    )
