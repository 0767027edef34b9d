from __future__ import annotations

import pytest
from PIL import Image

from deepseek_ocr.data.pages import load_page, num_pages, reference_path, split_reference
from deepseek_ocr.errors import PageError

from .datasets import draw


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


def test_a_reference_names_a_file_or_a_page_of_it():
    assert split_reference("a/b.png") == ("a/b.png", 1)
    assert split_reference("a#b.tif#page=12") == ("a#b.tif", 12)
    assert split_reference("a#page=2.png") == ("a#page=2.png", 1)


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
        *("a.tif#page=0", "f.parquet#row=7", "f.jsonl#line=7&image=1"),
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


def test_odd_pdfs_of_others_open_or_are_page_errors(shared):
    root = shared / "data" / "odd_inputs"
    opened, refused = [], []
    for path in sorted(root.glob("*.pdf")):
        try:
            page = load_page(root, path.name, target_side=256)
            assert max(page.size) in (255, 256, 257)
            opened.append(path.name)
        except PageError as error:
            assert str(error).startswith(path.name)
            refused.append(path.name)
    assert "empty#hash.pdf" in opened and "hugemono.pdf" in opened and "pages-loop.pdf" in opened
    assert refused == [
        "empty.pdf",
        "invalid.pdf",
        "poppler-395-0-fuzzed.pdf",
        "r3-user-password.pdf",
        "zero-pages-qpdf.pdf",
    ]


def test_pages_of_pictures_and_pdfs_are_counted(tmp_path):
    draw(tmp_path / "a.png")
    write_pdf(tmp_path / "a.pdf", (10, 10), (20, 20), (30, 30))
    assert [num_pages(tmp_path, name) for name in ("a.png", "a.pdf", "a.pdf#page=2")] == [1, 3, 3]
