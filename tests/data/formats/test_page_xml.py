from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Region
from deepseek_ocr.data.truth.structures import TextBlock

from .folders import detected, make, only, problems, reasons

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def page(content, attributes='imageFilename="a.png" imageWidth="100" imageHeight="200"'):
    return f'<?xml version="1.0"?>\n<PcGts xmlns="{NAMESPACE}">\n<Page {attributes}>{content}</Page></PcGts>'


def line(text, x=0, y=0, width=50, height=9):
    points = f"{x},{y} {x + width},{y} {x + width},{y + height} {x},{y + height}"
    return f'<TextLine><Coords points="{points}"/><TextEquiv><Unicode>{text}</Unicode></TextEquiv></TextLine>'


def region(name, *lines, y=0, x=0, width=50, height=9, kind="paragraph", more=""):
    points = f"{x},{y} {x + width},{y + height}"
    return (
        f'<TextRegion id="{name}" type="{kind}"><Coords points="{points}"/>{"".join(lines)}{more}'
        f"<TextEquiv><Unicode>all of it again</Unicode></TextEquiv></TextRegion>"
    )


def text_of(tmp_path, content, **kwargs):
    return only(make(tmp_path, {"a.png": None, "a.xml": page(content, **kwargs)})).text


def test_a_page_gives_its_lines_once_with_boxes_labels_and_blocks(tmp_path):
    body = region("r1", line("Title", 10, 20), kind="heading") + region(
        "r2", line("one", 10, 40), line("two", 10, 50), y=40
    )
    root = make(tmp_path, {"a.png": None, "a.xml": page(body)})
    sample = only(root)
    assert detected(root) == "page_xml"
    assert sample.images == ("a.png",) and sample.source == "a.xml:3"
    assert sample.text == "Title\n\none\ntwo"
    assert sample.box_frame == "shares"  # the picture may have been made smaller since
    assert sample.regions[0] == Region(label="heading", box=(0.1, 0.1, 0.6, 0.145), text="Title")
    assert sample.structure == (
        TextBlock(text="Title", label="heading"),
        TextBlock(text="one\ntwo", label="paragraph"),
    )


def test_lines_of_a_region_are_read_from_top_to_bottom_whatever_their_order_in_the_file(tmp_path):
    lines = (
        line("third", 0, 60),
        line("first", 0, 0),
        line("right of second", 60, 31),
        line("second", 0, 30),
    )
    assert text_of(tmp_path, region("r", *lines)) == "first\nsecond\nright of second\nthird"


def test_regions_follow_the_reading_order_and_those_it_leaves_out_come_last_by_position(tmp_path):
    order = """<ReadingOrder><OrderedGroup id="g">
      <RegionRefIndexed index="2" regionRef="c"/>
      <OrderedGroupIndexed index="0" id="h"><RegionRefIndexed index="10" regionRef="b"/>
        <RegionRefIndexed index="9" regionRef="a"/></OrderedGroupIndexed>
      <UnorderedGroupIndexed index="1" id="u"><RegionRef regionRef="picture"/><RegionRef regionRef="d"/></UnorderedGroupIndexed>
    </OrderedGroup></ReadingOrder>"""
    regions = [
        region(name, line(name, y=y), y=y)
        for name, y in (("z", 90), ("y", 80), ("b", 0), ("c", 10), ("a", 20), ("d", 30))
    ]
    content = order + "".join(regions) + '<ImageRegion id="picture"/>'
    assert text_of(tmp_path, content) == "a\n\nb\n\nd\n\nc\n\ny\n\nz"


def test_without_a_reading_order_columns_follow_each_other(tmp_path):
    regions = [
        region(name, line(name), x=x, y=y, height=40)
        for name, x, y in (("4", 60, 60), ("1", 0, 10), ("3", 60, 12), ("2", 0, 58))
    ]
    head = region("head", line("head"), x=0, y=0, width=110, height=5)
    assert text_of(tmp_path, "".join(regions) + head) == "head\n\n1\n\n2\n\n3\n\n4"


def test_pages_in_a_script_from_right_to_left_have_their_columns_so(tmp_path):
    regions = region("l", line("second"), x=0) + region("r", line("first"), x=60)
    attributes = 'imageFilename="a.png" readingDirection="right-to-left"'
    assert text_of(tmp_path, regions, attributes=attributes) == "first\n\nsecond"


def test_regions_inside_a_region_follow_it(tmp_path):
    inner = region("inner", line("inner", y=30), y=30)
    content = region("last", line("last", y=90), y=90) + region(
        "outer", line("outer"), more=inner, height=50
    )
    cells = "".join(region(f"cell{n}", line(f"cell {n}"), x=60 * n, y=150) for n in (1, 0))
    content += f'<TableRegion id="t"><Coords points="0,150 120,160"/>{cells}</TableRegion>'
    assert text_of(tmp_path, content) == "outer\n\ninner\n\nlast\n\ncell 0\n\ncell 1"


def test_the_reading_order_that_transkribus_writes_into_custom_is_followed(tmp_path):
    def custom(xml, index):
        return xml.replace(
            " ", f' custom="readingOrder {{index:{index};}} structure {{type:heading;}}" ', 1
        )

    lines = custom(line("b", y=0).replace("<TextLine", "<TextLine "), 1) + custom(
        line("a", y=50).replace("<TextLine", "<TextLine "), 0
    )
    regions = custom(region("r", lines).replace(' type="paragraph"', ""), 1) + custom(
        region("s", line("s", y=99)), 0
    )
    sample = only(make(tmp_path, {"a.png": None, "a.xml": page(regions)}))
    assert sample.text == "s\n\na\nb"
    assert [block.label for block in sample.structure] == ["paragraph", "heading"]


@pytest.mark.parametrize(
    "content, text",
    [
        # the lowest index is the text, others are readings of other engines
        (
            '<TextLine><TextEquiv index="1"><Unicode>worse</Unicode></TextEquiv><TextEquiv index="0"><Unicode>better</Unicode></TextEquiv></TextLine>',
            "better",
        ),
        ("<TextLine><TextEquiv><PlainText>plain</PlainText></TextEquiv></TextLine>", "plain"),
        # words only where the line tells nothing itself
        (
            "<TextLine><Word><TextEquiv><Unicode>a</Unicode></TextEquiv></Word><TextEquiv><Unicode>a line</Unicode></TextEquiv></TextLine>",
            "a line",
        ),
        (
            "<TextLine><Word><TextEquiv><Unicode>two</Unicode></TextEquiv></Word><Word><TextEquiv><Unicode>words</Unicode></TextEquiv></Word><TextEquiv><Unicode/></TextEquiv></TextLine>",
            "two words",
        ),
        (
            "<TextLine><Word><Glyph><TextEquiv><Unicode>a</Unicode></TextEquiv></Glyph><Glyph><TextEquiv><Unicode>b</Unicode></TextEquiv></Glyph></Word></TextLine>",
            "ab",
        ),
        # the region's own text only where it has no lines
        ("<TextEquiv><Unicode>line 1\nline 2</Unicode></TextEquiv>", "line 1\nline 2"),
        ("<TextLine/><TextEquiv><Unicode>of the region</Unicode></TextEquiv>", "of the region"),
        # blanks at the ends are as written; a line end in the XML is none of the page
        (
            "<TextLine><TextEquiv><Unicode> a  &amp; ſ ͤ\n  b</Unicode></TextEquiv></TextLine>",
            " a  & ſ ͤ   b",
        ),
    ],
)
def test_one_level_of_text_is_taken(tmp_path, content, text):
    assert text_of(tmp_path, f"<TextRegion>{content}</TextRegion>") == text


def test_words_are_joined_in_the_order_they_stand_in(tmp_path):
    def word(text, x):
        return f'<Word><Coords points="{x},0 {x + 5},5"/><TextEquiv><Unicode>{text}</Unicode></TextEquiv></Word>'

    words = f"<TextLine>{word('b', 20)}{word('a', 0)}</TextLine>"
    assert text_of(tmp_path / "l", f"<TextRegion>{words}</TextRegion>") == "a b"
    right_to_left = f'<TextRegion readingDirection="right-to-left">{words}</TextRegion>'
    assert text_of(tmp_path / "r", right_to_left) == "b a"


NAMED = 'imageFilename="a.png"'


@pytest.mark.parametrize(
    "on_page, on_outer, on_inner, text",
    [
        ('textLineOrder="right-to-left"', "", "", "1\n2\n3"),
        ("", 'textLineOrder="right-to-left"', "", "1\n2\n3"),
        ('textLineOrder="left-to-right"', "", 'textLineOrder="right-to-left"', "1\n2\n3"),
        ('textLineOrder="right-to-left"', 'textLineOrder="left-to-right"', "", "3\n2\n1"),
    ],
)
def test_the_order_of_lines_of_a_page_or_region_holds_for_what_is_inside(
    tmp_path, on_page, on_outer, on_inner, text
):
    lines = line("2", 20, 0, 10, 90) + line("3", 0, 0, 10, 90) + line("1", 40, 0, 10, 90)
    content = f"<TextRegion {on_outer}><TextRegion {on_inner}>{lines}</TextRegion></TextRegion>"
    assert text_of(tmp_path, content, attributes=f"{NAMED} {on_page}") == text


def test_words_follow_the_direction_of_their_line_or_what_it_lies_in(tmp_path):
    def words(attributes, y):
        def word(text, x):
            points = f'<Coords points="{x},{y} {x + 5},{y + 5}"/>'
            return f"<Word>{points}<TextEquiv><Unicode>{text}</Unicode></TextEquiv></Word>"

        box = f'<Coords points="0,{y} 50,{y + 5}"/>'
        return f"<TextLine {attributes}>{box}{word('a', 0)}{word('b', 20)}</TextLine>"

    lines = words("", 0) + words('readingDirection="left-to-right"', 20)
    attributes = f'{NAMED} readingDirection="right-to-left"'
    content = f"<TextRegion>{lines}</TextRegion>"
    assert text_of(tmp_path / "page", content, attributes=attributes) == "b a\na b"
    content = "<TextRegion>" + words('readingDirection="right-to-left"', 0) + "</TextRegion>"
    assert text_of(tmp_path / "line", content) == "b a"


def test_lines_side_by_side_come_from_right_to_left_in_such_a_region(tmp_path):
    lines = line("left", 0, 30) + line("right", 60, 31) + line("above", 0, 0)
    content = f'<TextRegion readingDirection="right-to-left">{lines}</TextRegion>'
    assert text_of(tmp_path, content) == "above\nright\nleft"


def test_lines_of_vertical_script_go_from_right_to_left_where_the_region_says_so(tmp_path):
    lines = line("2", 20, 0, 10, 90) + line("3", 0, 5, 10, 90) + line("1", 40, 0, 10, 90)
    assert (
        text_of(tmp_path, f'<TextRegion textLineOrder="right-to-left">{lines}</TextRegion>')
        == "1\n2\n3"
    )


@pytest.mark.parametrize(
    "prefix, coords",
    [
        ("pc:", '<pc:Coords><pc:Point x="1" y="2"/><pc:Point x="9" y="8"/></pc:Coords>'),
        ("", '<Coords points="1,2 9,8"/>'),
    ],
)
def test_every_version_of_the_schema_is_read_with_or_without_a_prefix(tmp_path, prefix, coords):
    xml = (
        f'<{prefix}PcGts xmlns{":pc" if prefix else ""}="http://schema.primaresearch.org/PAGE/gts/pagecontent/2010-03-19">'
        f'<{prefix}Page imageFilename="a.png"><{prefix}TextRegion><{prefix}TextLine>{coords}<{prefix}TextEquiv>'
        f"<{prefix}Unicode>t</{prefix}Unicode></{prefix}TextEquiv></{prefix}TextLine></{prefix}TextRegion></{prefix}Page></{prefix}PcGts>"
    )
    sample = only(make(tmp_path, {"a.png": None, "a.xml": xml}))
    assert (
        sample.text == "t"
        and sample.regions[0].box == (1, 2, 9, 8)
        and sample.box_frame == "pixels"
    )


@pytest.mark.parametrize(
    "picture, annotation, written",
    [
        ("a.png", "a.xml", "a.png"),
        ("a b.png", "sub/x.xml", "a b.png"),  # Transkribus: page/x.xml beside the pictures
        ("a b.png", "page/x.xml", "a b.png"),
        ("a.png", "page/a.xml", "/home/someone/scans/a.tif"),
        ("a.png", "a.xml", "C:\\scans\\a.png"),
        ("a.png", "a.xml", "file:///scans/a.png"),
        ("a b.png", "a b.xml", "a%20b.png"),
        ("GT-PAGE/a.png", "GT-PAGE/a.xml", "GT-PAGE/a.png"),  # as in OCR-D's repositories
        ("OCR-D-IMG/a.png", "OCR-D-GT-SEG-PAGE/b.xml", "OCR-D-IMG/a.png"),
        ("images/vol1/a.png", "page/vol1/a.xml", "a.png"),
        ("vol1_scans/a.png", "vol1_xml/a.xml", "elsewhere.jpg"),
        ("a.png", "a.page.xml", ""),
        ("a.png", "xml/a.xml", "../a.png"),
    ],
)
def test_the_picture_is_found_though_its_folder_or_ending_changed(
    tmp_path, picture, annotation, written
):
    xml = page(region("r", line("t")), attributes=f'imageFilename="{written}"')
    assert only(make(tmp_path, {picture: None, annotation: xml})).images == (picture,)


def test_a_picture_of_that_name_in_another_volume_is_another_picture(tmp_path):
    xml = page(region("r", line("t")), attributes='imageFilename="0001.png"')
    root = make(tmp_path, {"vol1/0001.png": None, "vol2/0001.xml": xml})
    assert problems(root) == [
        ("annotation without picture", "vol2/0001.xml:3"),
        ("picture without annotation", "vol1/0001.png"),
    ]
    assert reasons(root)[0] == (
        "the picture 0001.png does not exist below the data root, and none is called as 0001.xml; "
        "add it or remove the annotation"
    )


@pytest.mark.parametrize(
    "written", ["../../etc/passwd", "/etc/passwd", "../outside.png", "a\nb", "."]
)
def test_a_name_that_leads_out_of_the_root_finds_nothing_there(tmp_path, written):
    make(tmp_path, {"outside.png": None})
    xml = page(region("r", line("t")), attributes=f'imageFilename="{written}"')
    root = make(tmp_path / "root", {"b.png": None, "a.xml": xml})
    assert problems(root, "page_xml")[0] == ("annotation without picture", "a.xml:3")


def test_two_pictures_that_would_do_and_two_annotations_of_one_are_told(tmp_path):
    xml = page(region("r", line("t")), attributes='imageFilename="a.tif"')
    root = make(
        tmp_path,
        {
            "a.png": None,
            "a.jpg": None,
            "a.xml": xml,
            "b.png": None,
            "b.xml": page("", attributes='imageFilename="b.png"'),
            "c.xml": page("", attributes='imageFilename="b.png"'),
        },
    )
    assert problems(root) == [
        ("ambiguous annotation", "a.xml:3"),
        ("ambiguous annotation", "c.xml:3"),
    ]
    assert reasons(root)[1] == "annotates b.png, as b.xml:3 does; keep one of them"


def test_copies_of_a_page_in_black_and_white_need_no_annotation(tmp_path):
    xml = page('<AlternativeImage filename="a_bin.png"/>' + region("r", line("t")))
    assert only(make(tmp_path, {"a.png": None, "a_bin.png": None, "a.xml": xml})).images == (
        "a.png",
    )


def test_other_xml_is_no_part_of_the_dataset_but_a_broken_file_is_told(tmp_path):
    files = {"a.png": None, "a.xml": page(region("r", line("t"))), "mets.xml": "<mets/>"}
    assert only(make(tmp_path / "good", files)).text == "t"
    root = make(tmp_path / "bad", files | {"b.png": None, "b.xml": ""})
    assert problems(root) == [("not valid XML", "b.xml:1")]
    assert reasons(root) == ["the file is empty; expected XML: save it again or remove it"]


def test_coordinates_that_are_none_are_told_with_their_line(tmp_path):
    broken = region(
        "r",
        '<TextLine>\n<Coords points="1,2 x,8"/><TextEquiv><Unicode>t</Unicode></TextEquiv></TextLine>',
    )
    root = make(tmp_path, {"a.png": None, "a.xml": page(broken)})
    assert problems(root) == [("bad value", "a.xml:4")]
    assert reasons(root) == ["<Coords>: expected points x,y x,y ... as points, found '1,2 x,8'"]


def test_a_page_without_text_is_a_sample_without_text(tmp_path):
    assert text_of(tmp_path, region("r").replace("all of it again", "")) == ""


def test_language_and_kind_of_a_page_are_kept(tmp_path):
    attributes = 'imageFilename="a.png" primaryLanguage="German" type="content"'
    sample = only(
        make(
            tmp_path, {"a.png": None, "a.xml": page(region("r", line("t")), attributes=attributes)}
        )
    )
    assert sample.lang == "German" and sample.attributes == {"type": "content"}
