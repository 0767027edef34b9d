from __future__ import annotations

import json
import os
import re
import signal

import pytest
from PIL import Image

from deepseek_ocr.data import verification
from deepseek_ocr.data.annotations import BEGIN_TOKEN
from deepseek_ocr.data.checking import check_dataset
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.grouping import join_documents
from deepseek_ocr.data.prompts import DEFAULT_PROMPT, for_images, typed_prompt, with_image_tokens
from deepseek_ocr.data.verification import FileReport, fingerprints, verify_pictures
from deepseek_ocr.errors import UsageError

from .datasets import documents, draw, sidecars


def check(root, prompt=DEFAULT_PROMPT, group_by="document"):
    folder = DatasetFolder(root)
    return check_dataset(folder, choose_reader(folder)[0], prompt=prompt, group_by=group_by)


def test_every_problem_of_every_row_is_reported_and_the_rest_kept(tmp_path):
    bad_rows = {
        "empty.png": " \n",
        "token.png": f"a{BEGIN_TOKEN}b",
        "two_faults.png": {"text": "<image>", "prompt": "<image><image>"},
        "again.png": {"text": "t", "id": "same"},
        "cut.png": "t",
        "bad_region.png": {
            "text": "t",
            "regions": [{"label": "x", "box": [0, 0, 1, 1], "image": 2}],
        },
        "outside.png": "t",
    }
    sidecars(tmp_path, {"good.png": {"text": "t", "id": "same"}} | bad_rows)
    cut = tmp_path / "cut.png"
    cut.write_bytes(cut.read_bytes()[:50])
    (tmp_path / "outside.png").unlink()
    (tmp_path / "outside.png").symlink_to("/etc/hostname")
    (tmp_path / "again.png").rename(tmp_path / "hagain.png")
    (tmp_path / "again.json").rename(tmp_path / "hagain.json")
    dataset = check(tmp_path)
    assert sorted((p.source, p.kind) for p in dataset.problems) == [
        ("bad_region.json:1", "region"),
        ("cut.json:1", "unreadable picture"),
        ("empty.json:1", "empty text"),
        ("hagain.json:1", "duplicate id"),
        ("outside.json:1", "unreadable picture"),
        ("token.json:1", "special token"),
        ("two_faults.json:1", "prompt"),
        ("two_faults.json:1", "special token"),
    ]
    assert [row.id for row, _ in dataset.samples] == ["same"]
    assert dataset.num_rows == 8


def test_ids_prompts_and_documents_are_filled_in(tmp_path):
    sidecars(tmp_path, {"a_p1.png": "t", "b.png": {"text": "t", "prompt": "Read it."}})
    (first, documents_of_first), (second, _) = check(tmp_path, prompt=r"<image>\nOCR.").samples
    assert (first.id, first.prompt, documents_of_first) == ("a_p1.png", "<image>\nOCR.", {"a"})
    assert second.prompt == "<image>\nRead it."


def test_two_rows_about_one_picture_get_two_names(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "text": "t"}\n' * 3)
    assert [row.id for row, _ in check(tmp_path).samples] == ["a.png", "a.png~2", "a.png~3"]


def test_a_tiff_of_several_pages_must_say_which(tmp_path):
    pages = [Image.new("L", (4, 4), shade) for shade in (1, 2)]
    pages[0].save(tmp_path / "t.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "t.json").write_text('{"text": "t"}')
    (problem,) = check(tmp_path).problems
    assert "t.tif: holds 2 pages; name those of the sample, such as t.tif#page=1" in str(problem)
    (tmp_path / "t.json").write_text('{"text": "t", "images": ["t.tif#page=1", "t.tif#page=2"]}')
    assert check(tmp_path).problems == []
    (tmp_path / "t.json").write_text('{"text": "t", "images": ["t.tif#page=3"]}')
    assert "has no page 3" in str(check(tmp_path).problems[0])


def test_hashes_cover_annotations_and_pictures_and_also_bad_ones(tmp_path):
    sidecars(tmp_path, {"a.png": "t", "b.png": ""})
    assert list(check(tmp_path).hashes) == ["a.json", "a.png", "b.json", "b.png"]


def test_a_path_that_no_expression_matches_is_a_problem(tmp_path):
    documents(tmp_path, 2)
    (problem,) = check(tmp_path, group_by="(doc0)").problems
    assert problem.kind == "no group" and problem.source == "doc1_p1.json:1"


def test_a_name_that_is_not_utf8_is_a_problem(tmp_path, monkeypatch):
    documents(tmp_path, 1)
    walk = os.walk

    def with_a_strange_name(root, onerror):  # which not every file system lets us make
        for place, folders, files in walk(root, onerror=onerror):
            yield place, folders, [*files, "\udcff.png"]

    monkeypatch.setattr(os, "walk", with_a_strange_name)
    (problem,) = check(tmp_path).problems
    assert (problem.kind, problem.source) == ("bad file name", r"\xff.png")


@pytest.mark.parametrize(
    "prompt, num_images, expected",
    [
        ("Read.", 1, "<image>\nRead."),
        ("\nRead.", 1, "<image>\nRead."),
        ("Read.", 2, "<image><image>\nRead."),
        ("<image>\nRead.", 1, "<image>\nRead."),
        ("Read <image>.", 1, "Read <image>."),
        ("Read.", 0, "Read."),
        ("", 1, "<image>"),
    ],
)
def test_a_prompt_without_image_tokens_gets_one_in_front_for_each_picture(
    prompt, num_images, expected
):
    assert with_image_tokens(prompt, num_images) == expected
    assert for_images(prompt, num_images) == expected


def test_the_default_prompt_fits_any_number_of_pictures():
    assert for_images(DEFAULT_PROMPT, 2) == "<image><image>\nConvert to markdown"
    assert for_images(DEFAULT_PROMPT, 0) == "Convert to markdown"
    assert for_images("<image><image>a", 1) == "<image><image>a"  # a fault that is reported
    assert typed_prompt(r"<image>\nA\nB") == "<image>\nA\nB"


def test_worker_processes_report_what_this_process_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "WORTH_WORKERS", 2)
    names = [f"{n}.png" for n in range(10)]
    for shade, name in enumerate(names):
        draw(tmp_path / name, shade)
    (tmp_path / "3.png").write_bytes(b"no")
    reports = verify_pictures(tmp_path, names, num_workers=2)
    assert reports == verify_pictures(tmp_path, names)
    assert list(reports) == names and [r for r in reports if reports[r].faults] == ["3.png"]


class _Killer(verification._Task):
    """A task on which a worker dies, as on a decoder's crash."""

    def __reduce__(self):
        return os._exit, (9,)


def test_files_on_which_the_decoder_crashes_are_found_and_the_others_are_read(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(verification, "FILES_PER_TASK", 2)
    bad = {2, 7}
    tasks = [
        (_Killer if n in bad else verification._Task)(tmp_path, f"{n}.png", (f"{n}.png",), 999)
        for n in range(8)
    ]
    for n in range(8):
        draw(tmp_path / f"{n}.png", n)
    reports = list(verification._run_in_workers(tasks, 1))
    assert {n for n, report in enumerate(reports) if report.faults} == bad and len(reports) == 8
    assert reports[2].faults == {"2.png": "2.png: the decoder crashed on it; replace the file"}


def test_pages_of_one_file_have_fingerprints_of_their_own():
    reports = {
        "a.tif": FileReport(sha256="1", faults={}),
        "b.tif": FileReport(sha256="1", faults={}),
    }
    prints = fingerprints(reports, ["a.tif#page=1", "a.tif#page=2", "b.tif"])
    assert prints["b.tif"] == prints["a.tif#page=1"] != prints["a.tif#page=2"]


def test_copies_of_a_file_of_several_pages_are_one_document(tmp_path):
    pages = [Image.new("L", (4, 4), shade) for shade in (1, 2)]
    for name in ("alpha", "beta"):
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    references = ["alpha.tif#page=1", "beta.tif#page=2"]
    rows = [{"image": reference, "text": "t"} for reference in references]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for group_by, joined in (("document", True), (r"^(\w+)", True), ("none", False)):
        dataset = check(tmp_path, group_by=group_by)
        documents_found = join_documents(dataset.samples, dataset.fingerprints)
        assert (len(documents_found) == 1) == joined, group_by


def test_rows_of_one_line_are_counted_and_pictures_without_a_row_are_none(tmp_path):
    for shade in range(4):
        draw(tmp_path / f"{shade}.png", shade)
    rows = [{"image": f"{n}.png", "text": "t" if n == 0 else ""} for n in range(3)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    dataset = check(tmp_path)
    assert (dataset.num_rows, len(dataset.samples)) == (3, 1)
    assert [p.source for p in dataset.problems if p.of_row] == [
        "rows.json:1 (row 2)",
        "rows.json:1 (row 3)",
    ]
    assert [p.source for p in dataset.problems if not p.of_row] == ["3.png"]
    assert "rows.json" in dataset.hashes


@pytest.mark.parametrize(
    "flags, reason",
    [
        ({"group_by": "(zzz)"}, "--group_by fits none of 2 rows; the first: doc0_p1.png does not"),
        ({"prompt": "<image><image>x"}, "--prompt fits none of 2 rows; the first: the prompt has"),
    ],
)
def test_a_flag_that_fits_no_row_is_wrong_usage_and_told_once(tmp_path, flags, reason):
    documents(tmp_path, 2)
    with pytest.raises(UsageError, match=re.escape(reason)):
        check(tmp_path, **flags)


def test_interrupts_are_held_while_workers_start_and_come_through_afterwards():
    with pytest.raises(KeyboardInterrupt):
        with verification._held_interrupts():
            verification.resource_tracker.ensure_running()
            signal.raise_signal(signal.SIGINT)  # to this thread: others may not hold it
            held = signal.SIGINT in signal.sigpending()
        raise AssertionError("not delivered")
    assert held
