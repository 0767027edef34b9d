"""A job reads each page once, writes what is asked, and knows what is done and what has changed."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from deepseek_ocr.cli import main as cli
from deepseek_ocr.reading.journal import Journal
from deepseek_ocr.reading.leases import Leases

from .job_samples import (
    NUM_PAGES,
    answer,
    files_of,
    make_documents,
    make_pdf,
    outcome_of,
    result_of,
    rows_of,
    use_engine,
)
from .stub import StubEngine, say_where


@pytest.fixture
def folder(tmp_path):
    """Forty pages in five documents, and one that cannot be opened."""
    return make_documents(tmp_path / "in")


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads inputs into `out`; gives the exit code and the pages that were asked about."""

    def run(*arguments, out="out", engine=None):
        engine = engine or StubEngine(answer, size=(100, 140))
        use_engine(engine, lambda *module: monkeypatch.setitem(sys.modules, *module))
        flags = [f"--out={tmp_path / out}", "--model=stub", "--quiet"]
        return cli.run("read", [*map(str, arguments), *flags]), engine.asked

    return run


def statuses(out):
    return {(row["source"].rpartition("/")[2], row["page"]): row["status"] for row in rows_of(out)}


def test_every_page_has_a_row_and_every_document_its_files(read, folder, tmp_path):
    out = tmp_path / "out"
    code, asked = read(folder)
    assert code == 3
    assert len(asked) == len(set(asked)) + 10 == NUM_PAGES  # two of one name
    rows = rows_of(out)
    assert len(rows) == NUM_PAGES + 1
    assert statuses(out)["broken.pdf", None] == "failed"
    assert statuses(out)["b.pdf", 3] == "truncated"
    assert statuses(out)["fax.tif", 2] == "empty"
    assert list(rows[0]) == [
        "source", "page", "status", "reason", "prompt", "mode", "attempts", "num_tokens",
        "seconds", "fingerprint",
    ]  # fmt: skip
    names = {name for name in files_of(out) if ".figures" not in name}
    documents = ["a.pdf", "b.pdf", "sub/a.pdf", "scan.png", "fax.tif"]
    assert names == {f"{name}.{kind}" for name in documents for kind in ("md", "json")}
    assert "a.pdf.figures/p0005-1.png" in files_of(out)


def test_json_has_every_page_under_its_number(read, folder, tmp_path):
    read(folder, "--prompt", r"<image>\nRead.")
    found = json.loads((tmp_path / "out" / "b.pdf.json").read_bytes())
    assert list(found) == ["source", "model", "prompt", "pages"]
    assert found["source"] == str(folder / "b.pdf")
    assert (found["model"], found["prompt"]) == ("stub", "<image>\nRead.")
    assert [page["page"] for page in found["pages"]] == list(range(1, 13))
    assert found["pages"][2]["status"] == "truncated"
    assert found["pages"][4]["regions"][1]["label"] == "image"


def test_a_job_that_is_done_needs_no_engine(read, folder, monkeypatch):
    read(folder / "a.pdf")
    monkeypatch.setitem(sys.modules, "deepseek_ocr.inference.engine", None)
    monkeypatch.setattr("tests.reading.test_job.use_engine", lambda *_: None)
    assert read(folder / "a.pdf") == (0, [])


def test_what_a_kill_left_half_written_goes_where_only_files_are_missing(read, folder, tmp_path):
    read(folder / "a.pdf")
    torn = tmp_path / "out" / ".a.pdf.md.ab3_d6f8.tmp"
    torn.write_text("half of")
    (tmp_path / "out" / "a.pdf.md").unlink()
    assert read(folder / "a.pdf") == (0, [])
    assert not torn.exists()


def test_a_document_that_still_does_not_open_needs_no_engine(read, folder, tmp_path, monkeypatch):
    read(folder / "a.pdf", folder / "broken.pdf")
    rows = rows_of(tmp_path / "out")
    monkeypatch.setitem(sys.modules, "deepseek_ocr.inference.engine", None)
    monkeypatch.setattr("tests.reading.test_job.use_engine", lambda *_: None)
    assert read(folder / "a.pdf", folder / "broken.pdf") == (3, [])
    assert rows_of(tmp_path / "out") == rows


def test_failed_pages_are_retried_by_the_next_run_and_others_are_not(read, folder, tmp_path):
    def fails(page):
        where = (page.path.name, page.page)
        return result_of(page, "", "failed") if where == ("b.pdf", 2) else answer(page)

    read(folder / "b.pdf", engine=StubEngine(fails, size=(100, 140)))
    assert statuses(tmp_path / "out")["b.pdf", 2] == "failed"
    code, asked = read(folder / "b.pdf")
    assert (code, asked) == (3, [("b.pdf", 2)])  # what is cut short would be so again
    rows = rows_of(tmp_path / "out")
    assert [row["page"] for row in rows] == list(range(1, 13))  # one each, in order
    assert rows[1]["status"] == "ok"
    assert "b.pdf, page 2" in (tmp_path / "out" / "b.pdf.md").read_text()


def test_a_document_that_is_mended_is_read(read, folder, tmp_path):
    read(folder / "broken.pdf")
    make_pdf(folder / "broken.pdf", 2)
    code, asked = read(folder / "broken.pdf")
    assert (code, sorted(asked)) == (0, [("broken.pdf", 1), ("broken.pdf", 2)])
    assert statuses(tmp_path / "out") == {("broken.pdf", 1): "ok", ("broken.pdf", 2): "ok"}


def test_a_document_that_has_changed_is_read_again(read, folder, tmp_path):
    read(folder / "a.pdf", folder / "scan.png")
    make_pdf(folder / "a.pdf", 3)
    assert len(read(folder / "a.pdf", folder / "scan.png")[1]) == 3
    assert len(rows_of(tmp_path / "out")) == 3 + 1
    pages = json.loads((tmp_path / "out" / "a.pdf.json").read_bytes())["pages"]
    assert len(pages) == 3


def test_other_settings_read_again_and_other_formats_do_not(read, folder, tmp_path):
    read(folder / "a.pdf")
    assert read(folder / "a.pdf", "--format=md,json,txt,html", "--show_boxes")[1] == []
    assert {"a.pdf.html", "a.pdf.txt", "a.pdf.boxes/p0014.png"} <= set(files_of(tmp_path / "out"))
    assert len(read(folder / "a.pdf", "--task=text")[1]) == 14
    # and back: what the first job said is there again, without being read
    text = json.loads((tmp_path / "out" / "a.pdf.json").read_bytes())["prompt"]
    assert text == "<image>\nFree OCR."
    assert read(folder / "a.pdf")[1] == []
    assert "grounding" in json.loads((tmp_path / "out" / "a.pdf.json").read_bytes())["prompt"]
    assert {row["prompt"] for row in rows_of(tmp_path / "out")} == {
        "<image>\n<|grounding|>Convert the document to markdown."
    }


def test_more_pages_later_read_only_those(read, folder, tmp_path):
    assert read(folder / "a.pdf", "--pages=2-3")[1] == [("a.pdf", 3), ("a.pdf", 2)]
    assert len(read(folder / "a.pdf", "--pages=1-3,7")[1]) == 2
    pages = json.loads((tmp_path / "out" / "a.pdf.json").read_bytes())["pages"]
    assert [page["page"] for page in pages] == [1, 2, 3, 7]


def test_pages_that_a_document_does_not_have_are_told(read, folder, tmp_path, capsys):
    assert read(folder / "scan.png", "--pages=7") == (3, [])
    assert "scan.png: has no page 7; it has one page" in capsys.readouterr().err
    assert statuses(tmp_path / "out") == {("scan.png", None): "failed"}


def test_files_that_were_deleted_are_written_again_without_reading(read, folder, tmp_path):
    read(folder / "a.pdf")
    before = files_of(tmp_path / "out")
    (tmp_path / "out" / "a.pdf.md").unlink()
    assert read(folder / "a.pdf") == (0, [])
    assert files_of(tmp_path / "out") == before


def test_without_resume_all_is_read_anew(read, folder, tmp_path):
    read(folder)
    before = outcome_of(tmp_path / "out")
    assert len(read(folder, "--no_resume")[1]) == NUM_PAGES
    assert outcome_of(tmp_path / "out") == before


def test_documents_of_one_name_in_two_jobs_do_not_meet(read, folder, tmp_path):
    read(folder / "a.pdf")
    read(folder / "sub" / "a.pdf")
    names = sorted(name for name in files_of(tmp_path / "out") if name.endswith(".md"))
    assert names[0] == "a.pdf.md"
    assert len(names) == 2
    assert names[1].startswith("a.pdf~")
    assert read(folder / "sub" / "a.pdf")[1] == []
    assert len(rows_of(tmp_path / "out")) == 24


def test_documents_and_results_can_move_together(read, folder, tmp_path):
    (tmp_path / "here").mkdir()
    shutil.move(folder, tmp_path / "here" / "in")
    read(tmp_path / "here" / "in" / "a.pdf", out="here/out")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert read(tmp_path / "there" / "in" / "a.pdf", out="there/out")[1] == []


def test_figures_of_an_earlier_reading_are_removed(read, folder, tmp_path):
    out = tmp_path / "out"
    read(folder / "a.pdf")
    assert (out / "a.pdf.figures").is_dir()
    mine = out / "a.pdf.figures" / "mine.png"
    mine.write_bytes(b"")
    read(folder / "a.pdf", "--task=text", engine=StubEngine(say_where))
    assert list((out / "a.pdf.figures").iterdir()) == [mine]


def test_a_process_with_other_settings_is_refused_while_one_reads(read, folder, tmp_path, capsys):
    out = tmp_path / "out"
    read(folder / "a.pdf")
    other = os.fork()  # locks are a process's own
    if not other:
        with Leases(out / ".reading") as leases:
            leases.join(lambda: None)
            os.kill(os.getpid(), 19)  # stop until the parent lets it go on
            os._exit(0)
    os.waitpid(other, os.WUNTRACED)
    try:
        assert read(folder / "a.pdf", "--task=text")[0] == 4
        assert "another process reads into it with other settings" in capsys.readouterr().err
        assert read(folder / "a.pdf", "--no_resume")[0] == 4
        assert "leave --no_resume out" in capsys.readouterr().err
        assert read(folder / "a.pdf") == (0, [])
    finally:
        os.kill(other, 9)
        os.waitpid(other, 0)
    assert len(read(folder / "a.pdf", "--task=text")[1]) == 14


@pytest.mark.parametrize(
    "damage",
    [
        b'{"source": "x"}\n',
        b"\xff\xfe not text\n",
        b"[[[[[[\n",
        b'{"source": "a", "page": true, "status": "ok", "fingerprint": "f"}\n',
        b"\n\n\n",
        b'{"source": "a.pdf", "page": 99999999999999999999, "status"',
    ],
)
def test_a_damaged_journal_costs_no_more_than_its_lines(read, folder, tmp_path, damage):
    out = tmp_path / "out"
    read(folder / "a.pdf")
    rows = (out / "pages.jsonl").read_bytes().splitlines(keepends=True)
    (out / "pages.jsonl").write_bytes(b"".join(rows[:5]) + damage + b"".join(rows[6:]))
    code, asked = read(folder / "a.pdf")
    assert (code, asked) == (0, [])  # the answer was kept, the row is written again
    assert len(Journal(out).path.read_bytes().splitlines()) >= 14


def test_a_deleted_journal_is_written_again_from_the_answers(read, folder, tmp_path):
    out = tmp_path / "out"
    read(folder / "a.pdf")
    before = outcome_of(out)
    (out / "pages.jsonl").unlink()
    assert read(folder / "a.pdf") == (0, [])
    assert outcome_of(out) == before


def test_without_the_work_folder_all_is_read_again(read, folder, tmp_path):
    read(folder / "a.pdf")
    shutil.rmtree(tmp_path / "out" / ".reading")
    assert len(read(folder / "a.pdf")[1]) == 14
    assert len(rows_of(tmp_path / "out")) == 14


def test_every_pdf_has_a_row_for_each_of_its_pages(read, shared, tmp_path):
    import pypdfium2 as pdfium

    folder = shared / "data"
    odd = folder / "odd_inputs"
    paths = [path for path in sorted(folder.rglob("*.pdf")) if odd not in path.parents]
    assert len(paths) > 40
    numbers = {}
    for path in paths:
        with pdfium.PdfDocument(path) as document:
            numbers[str(path)] = list(range(1, len(document) + 1))
    assert read(*paths)[0] == 0
    found = {name: [] for name in numbers}
    for row in rows_of(tmp_path / "out"):
        found[row["source"]].append(row["page"])
    assert {name: sorted(pages) for name, pages in found.items()} == numbers
