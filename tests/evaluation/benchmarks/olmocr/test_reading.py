"""The published folder: found, read, and refused with the line that is wrong."""

from __future__ import annotations

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.evaluation.benchmarks.olmocr.reading import read_bench_data
from deepseek_ocr.evaluation.benchmarks.olmocr_bench import run_checks

from .bench_folder import row, write_bench


def test_checks_come_in_the_order_of_files_and_lines_and_pages_without_a_baseline_get_one(tmp_path):
    files = {
        "tables": [row("table", "2", cell="x"), row("absent", "1", "b/c.pdf", text="y")],
        "blanks": [row("baseline", "3", "blank.pdf", max_length=10)],
    }
    found = read_bench_data(write_bench(tmp_path, files, pdfs=["d.pdf"]))
    assert [(check.category, check.id) for check in found.checks] == [
        ("blanks", "3"),
        ("tables", "2"),
        ("tables", "1"),
        ("baseline", "a.pdf_baseline"),
        ("baseline", "b/c.pdf_baseline"),
        ("baseline", "d.pdf_baseline"),
    ]
    assert found.reference("b/c.pdf", 2) == "pdfs/b/c.pdf#page=2"


def test_the_folder_above_the_data_is_taken_too(tmp_path):
    write_bench(tmp_path / "bench_data", {"t": [row("present", text="x")]})
    found = read_bench_data(tmp_path)
    assert found.reference("a.pdf", 1) == "bench_data/pdfs/a.pdf#page=1"


def test_another_layout_is_refused_with_what_was_expected(tmp_path):
    with pytest.raises(UserError, match=r"not the data of olmOCR-bench; expected \.jsonl files"):
        read_bench_data(tmp_path)


def test_a_pdf_that_is_missing_is_refused(tmp_path):
    write_bench(tmp_path, {"t": [row("present", text="x")]})
    (tmp_path / "pdfs" / "a.pdf").unlink()
    with pytest.raises(UserError, match=r"t\.jsonl:1: pdfs/a\.pdf is not in .*copy complete"):
        read_bench_data(tmp_path)


@pytest.mark.parametrize(
    "bad, reason",
    [
        ("{", "Expecting property name"),
        ("[]", "expected an object"),
        ("[" * 100_000, "recursion"),
        (row("colour", "2"), "no kind of check is called 'colour'; known: present"),
        (row("footnote", "2", page="1"), "'page': expected int, found '1'"),
        (row("present", "2"), "no 'text'"),
        (row("present", "2", text="x", colour=1), "unknown key 'colour'"),
        (row("present", "2", text=3), "'text': expected str, found 3"),
        (row("present", "2", text="x", max_diffs=True), "'max_diffs': expected int"),
        (row("present", "2", text="x", max_diffs=-1), "'max_diffs' must be at least 0"),
        (row("present", "2", text=" ** ** "), "'text' is empty"),
        (row("math", "2", math=" "), "'math' is empty"),
        (row("order", "2", before="abcd", after="ef", max_diffs=2), "more than half of a text"),
        (row("present", "1", text="x"), "the id '1' is already that of a check"),
        (row("present", "2", page=0, text="x"), "pages count from 1"),
        (row("present", "2", pdf="../a.pdf", text="x"), "leads out of pdfs/"),
        (row("present", "", text="x"), "must not be empty"),
    ],
)
def test_a_bad_check_is_refused_with_its_line(tmp_path, bad, reason):
    write_bench(tmp_path, {"t": [row("present", text="x")]})
    with (tmp_path / "t.jsonl").open("a") as file:
        import json

        file.write(bad if isinstance(bad, str) else json.dumps(bad))
    with pytest.raises(UserError, match=rf"t\.jsonl:3: .*{reason}"):
        read_bench_data(tmp_path)


def test_keys_about_who_looked_at_a_check_are_read_over(tmp_path):
    files = {"t": [row("present", text="x", checked="verified", url="https://example.org")]}
    assert read_bench_data(write_bench(tmp_path, files)).checks[0].id == "1"


@pytest.mark.parametrize("kind", ["format", "footnote"])
def test_a_check_of_a_later_kind_is_counted_as_not_run(tmp_path, kind):
    later = row(kind, "2", marker="1", text="a note", format="heading")
    found = read_bench_data(write_bench(tmp_path, {"t": [row("present", text="x"), later]}))
    verdicts = {check.id: verdict for check, verdict in run_checks(found.checks, {})}
    assert verdicts["2"].passed is None
    assert verdicts["2"].reason == f"checks of kind {kind} are not part of this program"
    assert verdicts["1"].passed is False
