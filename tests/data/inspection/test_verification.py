from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from deepseek_ocr.data.inspection import cache as inspection_cache
from deepseek_ocr.data.inspection import one_file as inspection
from deepseek_ocr.data.inspection import verification
from deepseek_ocr.data.inspection import workers as inspection_worker
from deepseek_ocr.data.inspection.one_file import inspect
from deepseek_ocr.data.inspection.verification import FileReport, verify_pictures
from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.errors import PageError
from deepseek_ocr.files import sha256_of
from tests.conftest import REPOSITORY

from ..datasets import draw
from ..pages.test_pages import write_pdf
from . import misbehaving


def write_frames(path: Path, count: int) -> Path:
    frames = [Image.new("L", (20 + n, 10), 10 * n) for n in range(1, count + 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def everything(reports):
    """All that is known, for comparison."""
    return {path: (report, _pages(reports, path)) for path, report in reports.files()}


def _pages(reports, path):
    query = "SELECT part FROM pages WHERE path = ? ORDER BY place, part"
    parts = reports._database.execute(query, (path.encode(),)).fetchall()
    return {part: reports.page(path + part) for (part,) in parts}


def dataset(root: Path) -> list[str]:
    """Files of every kind, good and bad; the references of their pages."""
    for shade in range(20):
        draw(root / f"{shade}.png", shade)
    (root / "bad.png").write_bytes(b"no")
    write_frames(root / "three.tif", 3)
    write_pdf(root / "three.pdf", (595, 842), (842, 595), (10, 10))
    content = (root / "7.png").read_bytes()
    rows = [{"image": {"bytes": content}}, {"image": {"bytes": b"no picture"}}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "rows.parquet")
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    (root / "rows.jsonl").write_text("\n" + json.dumps({"images": ["0.png", url]}) + "\n")
    names = [f"{n}.png" for n in range(20)] + ["bad.png", "missing.png", "three.pdf#page=*"]
    names += [
        "three.tif#page=3",
        "three.tif#page=4",
        "three.tif",
        "three.pdf",
        "9.png#crop=content",
    ]
    names += ["rows.parquet#row=1", "rows.parquet#row=2", "rows.parquet#row=3"]
    return [*names, "rows.jsonl#line=2&image=2", "rows.jsonl#line=2&image=1", "rows.jsonl#line=1"]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_worker_processes_report_what_this_process_reports(tmp_path, num_workers):
    names = dataset(tmp_path)
    with verify_pictures(tmp_path, names) as here:
        expected = everything(here)
    with verify_pictures(tmp_path, reversed(names), num_workers=num_workers) as reports:
        assert everything(reports) == expected


def test_reports_tell_size_and_bytes_of_each_page_and_what_is_wrong(tmp_path):
    with verify_pictures(tmp_path, dataset(tmp_path)) as reports:
        hashes = {path: report.sha256 for path, report in reports.files()}
        assert list(hashes) == sorted(hashes)
        assert hashes.pop("missing.png") == ""
        assert hashes == {path: sha256_of(tmp_path / path) for path in hashes}
        assert reports.file("three.tif").num_pages == reports.file("three.pdf").num_pages == 3
        assert reports.file("rows.parquet") == FileReport(hashes["rows.parquet"], 0)
        for reference in ("7.png", "three.tif#page=3", "three.pdf#page=2", "rows.parquet#row=1"):
            page = reports.page(reference)
            assert (page.width, page.height) == load_page(tmp_path, reference).size
            assert page.fault is None
        same = {
            reports.page(r).fingerprint
            for r in ("rows.parquet#row=1", "rows.jsonl#line=2&image=2", "7.png")
        }
        assert same == {f"{hashes['7.png']}#1"}
        assert reports.page("three.tif#page=3").fingerprint == f"{hashes['three.tif']}#3"
        faults = {
            "bad.png": "bad.png: not a picture of a known format",
            "missing.png": "missing.png: does not exist",
            "three.tif#page=4": "three.tif#page=4: has no page 4",
            "three.tif": "three.tif: holds 3 pages; name those of the sample, such as three.tif#page=1",
            "three.pdf": "three.pdf: holds 3 pages",
            "rows.parquet#row=2": "rows.parquet#row=2: not a picture",
            "rows.parquet#row=3": "rows.parquet#row=3: has no such row; it holds 2",
            "rows.jsonl#line=2&image=1": "rows.jsonl#line=2&image=1: the row only names 0.png",
            "rows.jsonl#line=1": "rows.jsonl#line=1: not valid JSON",
        }
        for reference, fault in faults.items():
            assert (reports.page(reference).fault or "").startswith(fault)
        for unknown in ("other.png", "7.png#page=2"):
            with pytest.raises(KeyError):
                reports.page(unknown)
        with pytest.raises(KeyError):
            reports.file("other.png")


def test_all_pages_of_a_file_are_found_and_each_has_its_report(tmp_path):
    write_pdf(tmp_path / "a.pdf", (595, 842), (0, 0), (595, 842))
    (tmp_path / "b.pdf").write_bytes(b"no")
    with verify_pictures(tmp_path, ["a.pdf#page=*", "b.pdf#page=*"]) as reports:
        assert reports.page("a.pdf#page=*").fault is None
        assert [reports.page(f"a.pdf#page={n}").width for n in (1, 2, 3)] == [
            load_page(tmp_path, f"a.pdf#page={n}").width for n in (1, 2, 3)
        ]
        assert reports.page("b.pdf#page=*").fault == reports.file("b.pdf").fault
        assert "damaged" in (reports.file("b.pdf").fault or "")


def test_a_file_with_more_pages_than_any_document_is_not_gone_through(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "MOST_PAGES", 2)
    write_frames(tmp_path / "a.tif", 3)
    with verify_pictures(tmp_path, ["a.tif#page=*"]) as reports:
        assert reports.page("a.tif#page=*").fault == "a.tif: holds 3 pages; expected at most 2"


def test_rows_of_a_picture_and_pages_of_rows_are_faults_that_spare_their_neighbours(tmp_path):
    write_frames(tmp_path / "a.tif", 2)
    write_pdf(tmp_path / "a.pdf", (99, 99))
    url = (
        "data:image/png;base64," + base64.b64encode(draw(tmp_path / "b.png").read_bytes()).decode()
    )
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": url}))
    good = ["a.tif#page=2", "a.pdf#page=1", "a.jsonl#line=1"]
    bad = ["a.tif#row=1", "a.pdf#line=1", "a.jsonl#page=1", "a.jsonl"]
    with verify_pictures(tmp_path, [*good, *bad, "a.tif#page=*"]) as reports:
        assert [reports.page(reference).fault for reference in good] == [None] * 3
        for reference in bad:
            assert "of rows; expected #" in (reports.page(reference).fault or "")
            with pytest.raises(PageError):
                load_page(tmp_path, reference)
        assert reports.page("a.tif#page=1").fault is None


def test_a_reference_that_is_none_is_refused(tmp_path):
    with pytest.raises(PageError, match="leads out"):
        verify_pictures(tmp_path, ["../a.png"])


def test_names_that_are_not_utf8_are_kept_apart(tmp_path):
    names = ["\udcff.png", "\udcfe.png"]
    for shade, name in enumerate(names):
        draw(tmp_path / name, shade)
    with verify_pictures(tmp_path, names, num_workers=1) as reports:
        assert [reports.page(name).width for name in names] == [8, 9]


@pytest.fixture
def strange_decoders(monkeypatch):
    monkeypatch.setattr(inspection_worker, "_START", misbehaving.START)
    monkeypatch.setattr(inspection_worker, "TIME_LIMIT_S", 2)
    monkeypatch.setattr(sys, "path", [str(REPOSITORY), *sys.path])


CRASHED = "the decoder crashed on it or ran out of memory; replace the file"
STRANGE = {
    "crash-1.png": CRASHED,
    "crash-2.png": CRASHED,
    "hang.png": "takes more than 2 seconds to open; replace the file",
    **({"memory.png": CRASHED} if sys.platform == "linux" else {}),
}


@pytest.mark.parametrize("num_workers", [pytest.param(1, marks=pytest.mark.proof), 2])
def test_files_that_crash_hang_or_fill_memory_are_found_and_the_others_are_read(
    tmp_path, strange_decoders, num_workers
):
    good = [f"{n}.png" for n in range(10)] + ["noisy.png"]
    for shade, name in enumerate([*good, *STRANGE]):
        draw(tmp_path / name, shade)
    with verify_pictures(tmp_path, [*good, *STRANGE], num_workers=num_workers) as reports:
        for name in good:
            assert reports.page(name).fault is None, name
        for name, reason in STRANGE.items():
            assert reports.page(name).fault == reports.file(name).fault == f"{name}: {reason}"


def test_a_page_that_crashes_costs_that_page_and_many_of_them_the_rest_of_the_file(
    tmp_path, strange_decoders
):
    write_frames(tmp_path / "pages.tif", 9)
    with verify_pictures(tmp_path, ["pages.tif#page=*"], num_workers=1) as reports:
        faults = {n: reports.page(f"pages.tif#page={n}").fault for n in range(1, 10)}
    assert {n for n, fault in faults.items() if fault is None} == {1, 3, 5}
    assert faults[2] == f"pages.tif#page=2: {CRASHED}"
    assert faults[8] == "pages.tif: not looked at, as 3 other pages of it made it crash"


def test_a_worker_that_does_not_start_is_an_error_and_no_fault_of_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection_worker, "_START", "raise SystemExit(1)")
    draw(tmp_path / "a.png")
    with pytest.raises(RuntimeError, match="does not start"):
        verify_pictures(tmp_path, ["a.png"], num_workers=1)


def test_no_worker_outlives_an_interrupt(tmp_path, monkeypatch):
    started = []
    end = inspection_worker.Worker.end
    monkeypatch.setattr(
        inspection_worker.Worker, "end", lambda self: (started.append(self._process), end(self))
    )
    for shade in range(20):
        draw(tmp_path / f"{shade}.png", shade)

    def interrupt(self, path, found):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification._Verification, "take", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify_pictures(tmp_path, [f"{n}.png" for n in range(20)], num_workers=2)
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_a_worker_ends_when_its_input_does(tmp_path):
    worker = inspection_worker.Worker(tmp_path, 100, 60)
    worker.input.close()
    assert worker._process.wait(60) == 0
    worker.end()


class TestCache:
    """Reports kept from one run to the next."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(verification, "WORTH_CACHE", 1)
        monkeypatch.setattr(inspection_cache, "RECENT_NS", 0)
        self.looked_at = Counter()

        def counted(task, *arguments):
            self.looked_at.update(task.path + part for part in task.parts)
            return inspect(task, *arguments)

        monkeypatch.setattr(verification, "inspect", counted)

    def verify(self, root, names, **options):
        self.looked_at.clear()
        cache = root.parent / "cache"
        with verify_pictures(root, names, cache=cache, **options) as reports:
            return everything(reports)

    def test_a_second_run_opens_only_what_was_faulty(self, tmp_path):
        root = tmp_path / "d"
        names = dataset(root)
        first = self.verify(root, names)
        faulty = {
            path + part
            for path, (_, pages) in first.items()
            for part, page in pages.items()
            if page.fault
        }
        assert self.verify(root, names) == first
        assert set(self.looked_at) == faulty

    def test_a_run_broken_off_goes_on_where_it_was(self, tmp_path, monkeypatch):
        root = tmp_path / "d"
        names = [str(draw(root / f"{n}.png", n).name) for n in range(9)]
        take = verification._Verification.take

        def interrupted(self, path, found):
            if path == "5.png":
                raise KeyboardInterrupt
            take(self, path, found)

        with monkeypatch.context() as patch:
            patch.setattr(verification._Verification, "take", interrupted)
            with pytest.raises(KeyboardInterrupt):
                self.verify(root, names)
        self.verify(root, names)
        assert sorted(self.looked_at) == names[5:]

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: draw(path, 77),
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"),
            lambda path: os.utime(path, ns=(5, 5)),
            lambda path: (path.unlink(), draw(path, 1)),
        ],
    )
    def test_a_changed_file_is_looked_at_again(self, tmp_path, change):
        root = tmp_path / "d"
        names = [str(draw(root / f"{n}.png", n).name) for n in range(3)]
        self.verify(root, names)
        change(root / "1.png")
        after = self.verify(root, names)
        assert list(self.looked_at) == ["1.png"]
        assert after["1.png"][0].sha256 == sha256_of(root / "1.png")

    def test_a_file_that_now_leads_out_of_the_root_is_a_fault(self, tmp_path):
        root = tmp_path / "d"
        draw(root / "real" / "a.png")
        (root / "link").symlink_to("real")
        names = ["link/a.png"]
        self.verify(root, names)
        (root / "real").rename(tmp_path / "outside")
        (root / "link").unlink()
        (root / "link").symlink_to(tmp_path / "outside")
        assert "leads out" in self.verify(root, names)["link/a.png"][0].fault

    def test_other_limits_and_versions_begin_anew(self, tmp_path, monkeypatch):
        root = tmp_path / "d"
        names = [str(draw(root / "a.png").name)]
        self.verify(root, names)
        assert "more than the limit" in str(self.verify(root, names, max_pixels=10))
        self.verify(root, names)
        assert self.looked_at
        monkeypatch.setattr(inspection_cache, "COMPUTED", 2)
        self.verify(root, names)
        assert self.looked_at
        self.verify(root, names)
        assert not self.looked_at

    def test_files_changed_just_now_are_not_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr(inspection_cache, "RECENT_NS", 10**15)
        root = tmp_path / "d"
        names = [str(draw(root / "a.png").name)]
        self.verify(root, names)
        self.verify(root, names)
        assert self.looked_at

    @pytest.mark.parametrize("content", [b"", b"no database" * 500, "torn", "other tables"])
    def test_a_damaged_cache_is_put_aside(self, tmp_path, content):
        root = tmp_path / "d"
        names = dataset(root)
        first = self.verify(root, names)
        (file,) = (tmp_path / "cache").glob("*.sqlite3")
        if content == "torn":
            pages = bytearray(file.read_bytes())
            pages[200:] = os.urandom(len(pages) - 200)
            content = bytes(pages)
        if content == "other tables":
            file.unlink()
            with sqlite3.connect(file) as database:
                database.execute("CREATE TABLE files (x)")
            database.close()
            content = file.read_bytes()
        file.write_bytes(content)
        assert self.verify(root, names) == first
        assert self.verify(root, names) == first

    def test_a_locked_cache_is_done_without(self, tmp_path, monkeypatch):
        monkeypatch.setattr(inspection_cache, "LOCKED_S", 0.0)
        root = tmp_path / "d"
        names = dataset(root)
        first = self.verify(root, names)
        (file,) = (tmp_path / "cache").glob("*.sqlite3")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert self.verify(root, names) == first and self.looked_at["0.png"]
        other.close()
        assert self.verify(root, names) == first and not self.looked_at["0.png"]

    def test_a_cache_folder_that_cannot_be_made_is_done_without(self, tmp_path):
        root = tmp_path / "d"
        names = dataset(root)
        (tmp_path / "cache").write_text("a file")
        assert self.verify(root, names)
        assert self.looked_at["0.png"]

    def test_caches_that_nobody_uses_are_removed(self, tmp_path):
        root = tmp_path / "d"
        names = [str(draw(root / "a.png").name)]
        self.verify(root, names)
        (file,) = (tmp_path / "cache").glob("*.sqlite3")
        (tmp_path / "cache" / "old.sqlite3").write_bytes(b"")
        os.utime(tmp_path / "cache" / "old.sqlite3", (0, 0))
        self.verify(root, names)
        assert list((tmp_path / "cache").glob("*.sqlite3")) == [file]


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"DEEPSEEK_OCR_CACHE": "/x/y"}, Path("/x/y")),
        ({"DEEPSEEK_OCR_CACHE": "", "XDG_CACHE_HOME": "/c"}, None),
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, Path("/c/deepseek_ocr")),
        ({"HOME": "/h"}, Path("/h/.cache/deepseek_ocr")),
    ],
)
def test_the_environment_says_where_reports_are_kept(monkeypatch, variables, expected):
    for name in ("DEEPSEEK_OCR_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert verification.cache_folder() == expected
