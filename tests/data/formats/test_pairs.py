from __future__ import annotations

import pytest

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats._pairs import Pair, pages_of, pair, paired_share

from .folders import detected, make, only, problems, read, samples


def pairs(root):
    return list(pair(DatasetFolder(root), (".txt",)))


def test_a_pdf_is_paired_as_a_picture_is(tmp_path):
    make(tmp_path, {"pdfs/a.pdf": None, "labels/a.txt": "t", "b.png": None, "b.txt": "t"})
    assert pairs(tmp_path) == [Pair("b.txt", ("b.png",)), Pair("labels/a.txt", ("pdfs/a.pdf",))]


def test_a_pdf_beside_its_picture_is_not_asked_for_an_annotation(tmp_path):
    make(tmp_path, {"images/a.png": None, "a.pdf": None, "labels/a.txt": "t", "other.pdf": None})
    assert pairs(tmp_path) == [Pair("labels/a.txt", ("images/a.png",))]


def test_where_pdfs_are_annotated_each_needs_its_annotation(tmp_path):
    make(tmp_path, {"a.pdf": None, "a.txt": "t", "b.pdf": None})
    assert pairs(tmp_path) == [Pair("a.txt", ("a.pdf",)), Pair(None, ("b.pdf",))]
    assert paired_share(pairs(tmp_path)) == (1, 2)
    assert problems(tmp_path) == [("picture without annotation", "b.pdf")]


@pytest.mark.parametrize(
    "name, reference",
    [("a.pdf", "a.pdf#page=*"), ("a.TIFF", "a.TIFF#page=*"), ("a.png", "a.png")],
)
def test_an_annotation_is_about_all_pages_of_a_document(name, reference):
    assert pages_of(name) == reference


@pytest.mark.parametrize(
    "file, picture",
    [("a.txt", "a.pdf"), ("a.gt.txt", "a.tif"), ("a.gold.txt", "a.tif"), ("a.b.txt", "a.b.png")],
)
def test_plain_text_is_the_truth_of_all_pages(tmp_path, file, picture):
    make(tmp_path, {picture: None, file: "\ufeffone\r\n\r\ntwo \r\n"})
    sample = only(tmp_path)
    assert detected(tmp_path) == "txt"
    assert (sample.text, sample.images) == ("one\n\ntwo ", (pages_of(picture),))


def test_a_null_character_is_told_with_its_line(tmp_path):
    make(tmp_path, {"a.png": None, "a.txt": "one\ntwo\0\n"})
    assert problems(tmp_path) == [("bad value", "a.txt:2")]


def test_real_scans_with_text_are_three_samples_and_two_turned_pictures(shared):
    root = shared / "data" / "tesseract_test"
    assert problems(root) == [
        ("picture without annotation", "phototest-rotated-180.png"),
        ("picture without annotation", "phototest-rotated-R.png"),
    ]
    found = {s.images[0]: s.text for s in read(root) if isinstance(s, Annotation)}
    assert found["eurotext.tif#page=*"] == (
        "The (quick) [brown] {fox} jumps!\nOver the $43,456.78 <lazy> #90 dog\n"
        "& duck/goose, as 12.5% of E-mail\nfrom aspammer@website.com is spam.\n"
        "Der „schnelle” braune Fuchs springt\nüber den faulen Hund. Le renard brun\n"
        "«rapide» saute par-dessus le chien\nparesseux. La volpe marrone rapida\n"
        "salta sopra il cane pigro. El zorro\nmarrón rápido salta sobre el perro\n"
        "perezoso. A raposa marrom rápida\nsalta sobre o cão preguiçoso."
    )
    assert found["phototest.tif#page=*"].startswith(
        "This is a lot of 12 point text to test the\nocr code and see if it works on all types\n"
        "of file format.\n\nThe quick brown dog jumped over the\nlazy fox."
    )
    assert found["8087_054.3B.tif#page=*"].startswith(
        'd a t e l i n e\n\n\n"This is Greater Serbia," yet they didn\'t take the city.\n'
    )


def test_real_lines_of_fraktur_are_300_samples(shared):
    found = {sample.images[0]: sample.text for sample in samples(shared / "data/archiscribe_lines")}
    assert len(found) == 300
    expected = {
        "1801/bub_gb_FWR9D_5JMbQC_1db1ab17.png": "pianger ſangue, Blut weinen",
        "1837/aristotelesstaa01arisgoog_30c73312.png": (
            "n eine Klapper fu\u0364r gro\u0364\u00dfere Knaben \u017fein. Hieraus erhellt,"
        ),
        "1897/allgemeinekultu12rhyngoog_427d325d.png": (
            "Alle verteilt werden. Kunſt, Litteratur und Wiſſenſchaft ſollen das"
        ),
    }
    assert {name: found[name] for name in expected} == expected
