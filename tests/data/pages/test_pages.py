from __future__ import annotations

import base64
import json

import pyarrow
import pytest
from PIL import Image
from pyarrow import ipc, parquet

from deepseek_ocr.data.pages.loading import load_page, num_pages, reference_path
from deepseek_ocr.errors import PageError

from ..datasets import draw


def write_pdf(path, *sizes):
    """A PDF with a blank page of each (width, height) in points."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join(f"{3 + i} 0 R" for i in range(len(sizes)))
    objects.append(f"<</Type/Pages/Count {len(sizes)}/Kids[{kids}]>>".encode())
    for width, height in sizes:
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]>>".encode())
    content = b"%PDF-1.4\n" + b"".join(
        b"%d 0 obj%bendobj\n" % (i, o) for i, o in enumerate(objects, 1)
    )
    path.write_bytes(content + b"trailer<</Root 1 0 R>>\n")
    return path


@pytest.mark.parametrize(
    "reference",
    [
        *(
            "",
            "#page=1",
            "a\0b",
            "/etc/passwd",
            "../a.png",
            "a/../../b.png",
            "C:\\a.png",
            "c:/a.png",
        ),
        *("a.tif#page=0", "f.parquet#row=7", "f.jsonl#line=7&image=1", "f.pdf#page=*"),
    ],
)
def test_other_references_are_page_errors(tmp_path, reference):
    with pytest.raises(PageError):
        load_page(tmp_path, reference)


def test_links_may_stay_inside_the_root_and_not_leave_it(tmp_path):
    root = tmp_path / "root"
    draw(root / "a.png")
    outside = draw(tmp_path / "secret.png")
    (root / "inside.png").symlink_to("a.png")
    (root / "outside.png").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to("loop.png")
    assert load_page(root, "inside.png").size == (8, 8)
    for reference in ("outside.png", "folder/secret.png"):
        with pytest.raises(PageError, match="leads out of"):
            load_page(root, reference)
    with pytest.raises(PageError):
        load_page(root, "loop.png")


def test_the_root_itself_may_be_a_link(tmp_path):
    draw(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert load_page(tmp_path / "link", "a.png").size == (8, 8)


def test_errors_name_the_reference_and_no_absolute_path(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no")
    with pytest.raises(PageError) as error:
        load_page(tmp_path, "bad.png")
    assert str(error.value).startswith("bad.png: ") and str(tmp_path) not in str(error.value)
    with pytest.raises(PageError, match=r"none\.png: does not exist"):
        reference_path(tmp_path, "none.png")
    with pytest.raises(PageError, match="is not a file"):
        reference_path(tmp_path, ".")


def test_pages_of_a_tiff_are_told_apart(tmp_path):
    frames = [Image.new("L", (5, 5), shade) for shade in (10, 20)]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    assert load_page(tmp_path, "two.tif#page=2").getpixel((0, 0)) == (20, 20, 20)
    with pytest.raises(PageError, match="has no page 3; its pages are 1 to 2"):
        load_page(tmp_path, "two.tif#page=3")


def test_a_pdf_page_is_drawn_to_the_target_side(tmp_path):
    write_pdf(tmp_path / "a.pdf", (595, 842), (1000, 500))
    assert load_page(tmp_path, "a.pdf").size == (1448, 2048)
    assert load_page(tmp_path, "a.pdf#page=2", target_side=100).size == (100, 50)
    assert load_page(tmp_path, "a.pdf#page=2").getpixel((3, 3)) == (255, 255, 255)
    with pytest.raises(PageError, match="its pages are 1 to 2"):
        load_page(tmp_path, "a.pdf#page=3")


def test_a_pdf_page_never_has_more_pixels_than_allowed(tmp_path):
    write_pdf(tmp_path / "a.pdf", (8400, 8400))
    width, height = load_page(tmp_path, "a.pdf", max_pixels=10_000).size
    assert width * height <= 101 * 101


def test_a_pdf_page_that_cannot_be_drawn_is_a_page_error(tmp_path):
    write_pdf(tmp_path / "thin.pdf", (595, 2147483648))
    with pytest.raises(PageError, match=r"thin\.pdf"):
        load_page(tmp_path, "thin.pdf")
    (tmp_path / "no.pdf").write_bytes(b"%PDF-1.4\nnothing")
    with pytest.raises(PageError, match="damaged or has no pages"):
        load_page(tmp_path, "no.pdf")


def test_pages_of_pictures_and_pdfs_are_counted(tmp_path):
    draw(tmp_path / "a.png")
    write_pdf(tmp_path / "a.pdf", (10, 10), (20, 20), (30, 30))
    assert [num_pages(tmp_path, name) for name in ("a.png", "a.pdf", "a.pdf#page=2")] == [1, 3, 3]


def data_url(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_a_picture_within_a_row_is_a_page(tmp_path):
    first, second = (draw(tmp_path / f"{n}.png", n) for n in (3, 90))
    pages = [load_page(tmp_path, path.name) for path in (first, second)]
    row = {"images": [data_url(first), {"bytes": data_url(second)}], "text": "t"}
    (tmp_path / "a.jsonl").write_text("\n" + json.dumps(row) + "\n")
    (tmp_path / "a.json").write_text(json.dumps([{"text": "none"}, row]))
    table = pyarrow.Table.from_pylist(
        [{"image": {"bytes": path.read_bytes(), "path": "/gone.png"}} for path in (first, second)]
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    with ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for references in (
        ("a.jsonl#line=2", "a.jsonl#line=2&image=2"),
        ("a.json#row=2&image=1", "a.json#row=2&image=2"),
        ("a.parquet#row=1", "a.parquet#row=2"),
        ("a.arrow#row=1&image=1", "a.arrow#row=2&image=1"),
    ):
        assert [load_page(tmp_path, reference) for reference in references] == pages


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"text": "t"}, r"a\.jsonl#line=1: the row has no picture 1; it holds none"),
        ({"image": "b.png"}, "the row only names b.png; name that file itself"),
        ({"image": {"path": "../b.png"}}, "the row only names ../b.png"),
        ({"image": "data:image/png;base64,@"}, "not valid base64"),
        ({"image": "data:image/png;base64,AAAA"}, "not a picture of a known format"),
    ],
)
def test_a_row_without_its_picture_is_a_page_error(tmp_path, row, reason):
    draw(tmp_path / "b.png")
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(PageError, match=reason):
        load_page(tmp_path, "a.jsonl#line=1")


def test_a_picture_within_a_row_keeps_to_the_limit_of_pixels(tmp_path):
    row = {"image": data_url(draw(tmp_path / "b.png"))}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(PageError, match="more than the limit of 10"):
        load_page(tmp_path, "a.jsonl#line=1", max_pixels=10)


def test_a_file_of_rows_may_not_lie_outside_the_root(tmp_path):
    outside = tmp_path / "a.jsonl"
    outside.write_text(json.dumps({"image": data_url(draw(tmp_path / "b.png"))}))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.jsonl").symlink_to(outside)
    with pytest.raises(PageError, match="leads out of"):
        load_page(tmp_path / "root", "a.jsonl#line=1")


def test_a_page_can_be_cut_to_its_content(tmp_path):
    page = Image.new("L", (400, 300), 255)
    page.paste(0, (100, 120, 140, 128))
    page.save(tmp_path / "a.png")
    assert load_page(tmp_path, "a.png#crop=content").size == (40 + 16, 8 + 16)
    assert load_page(tmp_path, "a.png#page=1&crop=content").size == (56, 24)
    write_pdf(tmp_path / "a.pdf", (100, 50))
    assert load_page(tmp_path, "a.pdf#page=1&crop=content", target_side=64).size == (64, 32)


def test_a_page_that_cannot_be_drawn_comes_with_advice(tmp_path):
    write_pdf(tmp_path / "a.pdf", (100, 100), (10000, 0.001))
    with pytest.raises(PageError, match="has no such page; its pages are 1 to 2, name one"):
        load_page(tmp_path, "a.pdf#page=3")
    with pytest.raises(PageError, match="leave it out"):
        load_page(tmp_path, "a.pdf#page=2")
