"""Tesseract beside the model: run page by page, kept on disk, and never a reason to stop."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from PIL import Image, ImageDraw, ImageFont

from deepseek_ocr.errors import UsageError
from deepseek_ocr.evaluation.baseline import BASELINE_NAME, baseline_rows, find_tesseract

from .samples import annotations, draw_pages

TRUTHS = ["a cat", "sat on", "the mat"]

PROGRAM = """#!/bin/sh
case "$1" in
--version) echo "tesseract 9.8.7"; echo " leptonica-1.0" ;;
--list-langs) echo 'List of available languages in "/x" (2):'; echo eng; echo deu ;;
*)
  echo "$@" >> {calls}
  size=$(wc -c)
  if [ -e {fails} ]; then echo "Error opening data file" >&2; exit 1; fi
  printf 'a cat\\n\\n\\f' ;;
esac
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A folder whose `calls` lists how Tesseract was called, and where `fails` makes it fail."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "tesseract"
    program.write_text(PROGRAM.format(calls=folder / "calls", fails=folder / "fails"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def read(fake, tmp_path, rows, *, lang="eng", psm=None, reuse=False):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    found = find_tesseract(lang, psm)
    return baseline_rows(found, rows, tmp_path / "pages", out, reuse=reuse, quiet=True)


def num_calls(fake):
    return len((fake / "calls").read_text().splitlines()) if (fake / "calls").exists() else 0


def test_the_program_on_the_path_is_named_with_its_version(fake):
    found = find_tesseract("eng+deu")
    assert (found.name, found.lang) == ("tesseract 9.8.7", "eng+deu")


def test_a_program_that_is_not_installed_is_wrong_usage(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get install tesseract-ocr; macOS: brew"):
        find_tesseract("eng")


def test_a_language_that_is_not_installed_is_wrong_usage(fake):
    with pytest.raises(UsageError, match=r"'frk' is not installed; there are eng, deu.*ocr-frk"):
        find_tesseract("deu+frk")


def test_rows_are_read_in_order_and_kept_on_disk(fake, tmp_path):
    draw_pages(tmp_path / "pages", 3)
    rows = read(fake, tmp_path, annotations(TRUTHS), lang="deu")
    assert [row.prediction for row in rows] == ["a cat"] * 3  # without what ends a page
    assert [row.score.exact for row in rows] == [True, False, False]
    written = (tmp_path / "out" / BASELINE_NAME).read_text().splitlines()
    assert [json.loads(line)["id"] for line in written] == ["row-0", "row-1", "row-2"]
    assert "stdin stdout -l deu" in (fake / "calls").read_text()


def test_what_was_read_before_is_not_read_again(fake, tmp_path):
    draw_pages(tmp_path / "pages", 3)
    first = read(fake, tmp_path, annotations(TRUTHS))
    path = tmp_path / "out" / BASELINE_NAME
    whole = path.read_text()
    path.write_text(whole[: whole.index("\n") + 20])  # one row and a torn one
    (fake / "calls").unlink()
    again = read(fake, tmp_path, annotations(TRUTHS), reuse=True)
    assert num_calls(fake) == 2
    assert [r.to_json() | {"seconds": 0} for r in again] == [
        r.to_json() | {"seconds": 0} for r in first
    ]
    assert len(path.read_text().splitlines()) == 3


def test_what_was_read_of_rows_that_are_not_asked_for_stays(fake, tmp_path):
    draw_pages(tmp_path / "pages", 3)
    read(fake, tmp_path, annotations(TRUTHS))
    path = tmp_path / "out" / BASELINE_NAME
    before = path.read_text()
    rows = read(fake, tmp_path, annotations(TRUTHS)[:1], reuse=True)  # as with --limit 1
    assert len(rows) == 1
    assert path.read_text() == before
    read(fake, tmp_path, annotations(TRUTHS), reuse=True)
    assert num_calls(fake) == 3


def test_a_file_that_somebody_spoiled_is_read_again(fake, tmp_path):
    draw_pages(tmp_path / "pages", 1)
    read(fake, tmp_path, annotations(TRUTHS[:1]))
    path = tmp_path / "out" / BASELINE_NAME
    path.write_text('{"id": "other", "prediction": "", "seconds": NaN}\n' + path.read_text())
    read(fake, tmp_path, annotations(TRUTHS[:1]), reuse=True)
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["row-0"]


def test_another_language_begins_anew(fake, tmp_path):
    draw_pages(tmp_path / "pages", 1)
    read(fake, tmp_path, annotations(TRUTHS[:1]))
    read(fake, tmp_path, annotations(TRUTHS[:1]), lang="deu", reuse=True)
    assert num_calls(fake) == 2


def test_another_segmentation_begins_anew_and_is_passed_on(fake, tmp_path):
    draw_pages(tmp_path / "pages", 1)
    read(fake, tmp_path, annotations(TRUTHS[:1]))
    read(fake, tmp_path, annotations(TRUTHS[:1]), psm=7, reuse=True)
    first, second = (fake / "calls").read_text().splitlines()
    assert "--psm" not in first and "--psm 7" in second


def test_a_picture_that_was_changed_is_read_again(fake, tmp_path):
    root = draw_pages(tmp_path / "pages", 2)
    read(fake, tmp_path, annotations(TRUTHS[:2]))
    (root / "1.png").write_bytes((root / "1.png").read_bytes() + b" ")
    read(fake, tmp_path, annotations(TRUTHS[:2]), reuse=True)
    assert num_calls(fake) == 3


def test_a_page_that_cannot_be_read_fails_its_row_alone(fake, tmp_path):
    root = draw_pages(tmp_path / "pages", 3)
    (root / "1.png").write_bytes(b"no picture")
    rows = read(fake, tmp_path, annotations(TRUTHS))
    assert [row.result.status for row in rows] == ["ok", "failed", "ok"]
    (fake / "fails").touch()
    rows = read(fake, tmp_path, annotations(TRUTHS))
    assert rows[0].result.reason == "tesseract ended with 1: Error opening data file"
    assert [row.prediction for row in rows] == [""] * 3


@pytest.mark.parametrize("name", ["../secret.png", "a\0.png", "", "\ud800.png", "x" * 400])
def test_what_is_no_page_fails_its_row_alone(fake, tmp_path, name):
    draw_pages(tmp_path / "pages", 1)
    rows = annotations(TRUTHS[:2])
    object.__setattr__(rows[1], "images", (name,))
    for reuse in (False, True):
        found = read(fake, tmp_path, rows, reuse=reuse)
        assert [row.result.status for row in found] == ["ok", "failed"]


def test_a_page_that_could_not_be_read_is_tried_again(fake, tmp_path):
    draw_pages(tmp_path / "pages", 1)
    (fake / "fails").touch()
    read(fake, tmp_path, annotations(TRUTHS[:1]))
    (fake / "fails").unlink()
    (row,) = read(fake, tmp_path, annotations(TRUTHS[:1]), reuse=True)
    assert row.prediction == "a cat"


def test_a_row_without_pictures_has_nothing_to_read(fake, tmp_path):
    (row,) = annotations(["text alone"])
    object.__setattr__(row, "images", ())
    (read_row,) = read(fake, tmp_path, [row])
    assert (read_row.result.status, read_row.result.reason) == ("failed", "no picture to read")


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs the program tesseract")
def test_the_real_program_reads_a_drawn_line(tmp_path):
    page = Image.new("RGB", (600, 120), "white")
    ImageDraw.Draw(page).text((20, 30), "Hello World", "black", ImageFont.load_default(60))
    (tmp_path / "pages").mkdir()
    page.save(tmp_path / "pages" / "0.png")
    (row,) = read(None, tmp_path, annotations(["Hello World"]))
    assert row.score.exact
