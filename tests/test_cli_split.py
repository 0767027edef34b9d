from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from deepseek_ocr.cli.main import run
from deepseek_ocr.data.annotations import END_TOKEN, read_annotations, write_annotations
from deepseek_ocr.data.grouping import document_of

from .conftest import REPOSITORY
from .data.datasets import documents, draw, sidecars


def split(root, output, *flags) -> int:
    return run("split", ["--data_root", str(root), "--output_dir", str(output), *map(str, flags)])


def read_rows(output, side):
    return read_annotations(output / f"{side}.json")


def test_help_answers_without_torch():
    code = (
        "import sys, runpy; sys.argv = ['data_utils.py', '--help']\n"
        "try: runpy.run_path('data_utils.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    flags = ("data_root", "output_dir", "format", "test_size", "val_size", "seed", "group_by")
    for flag in (*flags, "stratify_by", "prompt", "on_error"):
        assert f"--{flag}" in done.stdout


def test_the_script_of_the_guide_splits_a_folder(tmp_path):
    documents(tmp_path / "d", 10)
    command = [sys.executable, "data_utils.py", "--data_root", tmp_path / "d"]
    done = subprocess.run(
        [*command, "--output_dir", tmp_path / "o"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "format     sidecar (10 of 10 pictures" in done.stdout
    assert done.stdout.count("sample     doc") == 2
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {
        *("train.json", "test.json", "manifest.json", "experiment_logs.txt", "metrics.jsonl")
    }


def test_a_split_keeps_documents_whole_and_loses_nothing(tmp_path):
    documents(tmp_path / "d", 20, num_pages=3)
    assert split(tmp_path / "d", tmp_path / "o", "--val_size", 0.2, "--test_size", 0.1) == 0
    sides = {side: read_rows(tmp_path / "o", side) for side in ("train", "val", "test")}
    assert {side: len(rows) for side, rows in sides.items()} == {"train": 42, "val": 12, "test": 6}
    groups = {side: {row.group for row in rows} for side, rows in sides.items()}
    assert not groups["train"] & groups["val"] and not groups["test"] & groups["train"]
    assert all(row.group == document_of(row.images[0]) for rows in sides.values() for row in rows)
    log = (tmp_path / "o" / "experiment_logs.txt").read_text()
    assert " split event=start " in log and " split event=end " in log


def test_the_manifest_tells_what_the_split_was_made_of(tmp_path):
    documents(tmp_path / "d", 5, num_pages=2)
    draw(tmp_path / "d" / "doc0_p1.png", 77)
    draw(tmp_path / "d" / "doc3_p2.png", 77)
    assert split(tmp_path / "d", tmp_path / "o", "--seed", 7, "--test_size", 2) == 0
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["seed"] == 7 and manifest["arguments"]["test_size"] == 2
    assert manifest["format"] == "sidecar" and manifest["rejected"] == []
    assert manifest["counts"] | {"train": None, "test": None} == {
        "rows": 10,
        "samples": 10,
        "documents": 4,
        "rejected": 0,
        "train": None,
        "test": None,
    }
    assert manifest["counts"]["test"]["documents"] == 2 == len(manifest["groups"]["test"])
    assert manifest["near_duplicates"] == [["doc0_p1.png", "doc3_p2.png"]]
    assert len(manifest["sha256"]) == 20
    picture = (tmp_path / "d" / "doc1_p1.png").read_bytes()
    assert manifest["sha256"]["doc1_p1.png"] == hashlib.sha256(picture).hexdigest()
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_same_arguments_give_the_same_bytes_in_any_order_of_the_listing(tmp_path, monkeypatch):
    documents(tmp_path / "d", 12, num_pages=2)
    assert split(tmp_path / "d", tmp_path / "1") == 0
    walk = os.walk

    def shuffled(root, onerror):
        for place, folders, files in walk(root, onerror=onerror):
            yield (
                place,
                folders,
                sorted(files, key=lambda name: hashlib.md5(name.encode()).digest()),
            )

    monkeypatch.setattr(os, "walk", shuffled)
    assert split(tmp_path / "d", tmp_path / "2") == 0
    for name in ("train.json", "test.json", "manifest.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.fixture
def with_bad_rows(tmp_path):
    root = documents(tmp_path / "d", 40)
    for number in range(25):
        (root / f"doc{number}_p1.json").write_text('{"text": ""}')
    (root / "doc30_p1.json").write_text('{"text": "a"\n')
    (root / "doc31_p1.json").write_text('{"text": "a", "images": ["none.png"]}')
    (root / "doc32_p1.png").unlink()
    (root / "doc32_p1.png").symlink_to("/dev/null")
    return root


def test_bad_rows_stop_the_split_and_nothing_is_written(with_bad_rows, tmp_path, capsys):
    assert split(with_bad_rows, tmp_path / "o" / "p") == 4
    assert not (tmp_path / "o").exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "empty text: 25\n  doc0_p1.json:1: the text is empty" in captured.err
    assert "... and 5 more" in captured.err and "doc19_p1.json:1" in captured.err
    assert "doc30_p1.json:2: not valid JSON" in captured.err
    assert "28 problems in 40 rows; nothing was written" in captured.err
    assert "--on_error skip" in captured.err


def test_bad_rows_can_be_left_out_and_are_listed(with_bad_rows, tmp_path, capsys):
    assert split(with_bad_rows, tmp_path / "o", "--on-error=skip") == 3
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert len(manifest["rejected"]) == 28 and manifest["counts"]["rejected"] == 28
    assert {"source", "kind", "reason"} == set(manifest["rejected"][0])
    assert manifest["counts"]["samples"] == 12
    assert str(tmp_path) not in json.dumps(manifest)
    assert len(read_rows(tmp_path / "o", "train")) + len(read_rows(tmp_path / "o", "test")) == 12
    captured = capsys.readouterr()
    assert "rejected         28" in captured.out and "empty text: 25" in captured.err


def test_a_split_that_breaks_off_leaves_no_manifest_and_no_half_file(tmp_path, monkeypatch, capsys):
    documents(tmp_path / "d", 10)
    assert split(tmp_path / "d", tmp_path / "o") == 0
    before = (tmp_path / "o" / "test.json").read_bytes()

    def full(path, annotations):
        if path.name == "test.json":
            raise OSError(28, "No space left on device")
        write_annotations(path, annotations)

    monkeypatch.setattr("deepseek_ocr.data.split_files.write_annotations", full)
    assert split(tmp_path / "d", tmp_path / "o", "--seed", 1) == 1
    assert not (tmp_path / "o" / "manifest.json").exists()
    assert (tmp_path / "o" / "test.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "o").glob(".*")] == [".split.unfinished"]
    assert "o: the split could not be written (No space left on device)" in capsys.readouterr().err
    monkeypatch.undo()
    assert split(tmp_path / "d", tmp_path / "o", "--seed", 1) == 0
    assert not list((tmp_path / "o").glob(".*"))


def test_a_second_split_leaves_no_file_of_the_first(tmp_path):
    documents(tmp_path / "d", 10)
    assert split(tmp_path / "d", tmp_path / "o", "--val_size", 3) == 0
    assert split(tmp_path / "d", tmp_path / "o") == 0
    assert not (tmp_path / "o" / "val.json").exists()
    assert (tmp_path / "o" / "experiment_logs.txt").read_text().count("split event=end") == 2


@pytest.mark.parametrize("place", [".", "data_split", "a/b"])
def test_an_output_folder_inside_the_data_is_no_part_of_it(tmp_path, place):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", 1)
    rows = [{"image": name, "text": name} for name in ("a.png", "b.png")]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert split(tmp_path, tmp_path / place) == 0
    first = (tmp_path / place / "manifest.json").read_bytes()
    assert split(tmp_path, tmp_path / place) == 0
    assert (tmp_path / place / "manifest.json").read_bytes() == first


@pytest.mark.parametrize(
    "flags, code, reason",
    [
        (["--test_size", "1.5"], 2, "expected a share below 1 or a whole number"),
        (["--group_by", "x"], 2, "has no group"),
        (["--format", "yolo"], 2, "no format 'yolo'"),
        (["--on_error", "ignore"], 2, "invalid choice"),
        (["--tset_size", "1"], 2, "did you mean --test_size?"),
        (["--test_size", "9"], 4, "2 documents cannot be split into 9"),
        (["--stratify_by", "lang"], 4, "no sample has the key 'lang'"),
    ],
)
def test_refusals_say_why_in_plain_lines(tmp_path, capsys, flags, code, reason):
    documents(tmp_path / "d", 2)
    assert split(tmp_path / "d", tmp_path / "o", *flags) == code
    captured = capsys.readouterr()
    assert reason in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "o").exists()


def test_folders_that_cannot_be_used_are_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert split(tmp_path / "empty", tmp_path / "o") == 4
    assert split(tmp_path / "none", tmp_path / "o") == 4
    documents(tmp_path / "d", 2)
    (tmp_path / "file").write_text("")
    assert split(tmp_path / "d", tmp_path / "file") == 4
    assert split(tmp_path / "d", tmp_path / "file" / "o") == 4
    errors = capsys.readouterr().err
    for reason in (
        "the folder is empty",
        "does not exist",
        "is a file",
        "cannot be used as output",
    ):
        assert reason in errors


def test_a_folder_without_a_usable_row_is_refused(tmp_path, capsys):
    sidecars(tmp_path / "d", {"a.png": "", "b.png": ""})
    assert split(tmp_path / "d", tmp_path / "o", "--on_error", "skip") == 4
    assert "no usable sample in 2 rows" in capsys.readouterr().err


def test_real_receipts_are_split_63_to_7(shared, tmp_path):
    root = shared / "data" / "sroie_receipts"
    assert split(root, tmp_path) == 0
    assert len(read_annotations(tmp_path / "train.json", root)) == 63
    assert len(read_annotations(tmp_path / "test.json", root)) == 7


def test_a_terminal_without_utf8_shows_the_result_all_the_same(tmp_path):
    sidecars(tmp_path / "d", {"a.png": "größer", "b.png": "größer"})
    command = [sys.executable, "data_utils.py", "--data_root", tmp_path / "d"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [*command, "--output_dir", tmp_path / "o"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and r"gr\xf6\xdfer" in done.stdout


@pytest.mark.parametrize("name", ["train.json", "val.json", "test.json", "manifest.json"])
@pytest.mark.parametrize("place", [".", "out"])
def test_a_file_that_no_split_has_written_is_never_replaced(tmp_path, capsys, name, place):
    rows = [{"image": f"{n}.png", "text": "t"} for n in range(3)]
    for n in range(3):
        draw(tmp_path / f"{n}.png", n)
    path = tmp_path / place / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows))
    assert split(tmp_path, tmp_path / place) == 4
    assert f"{path}: was not written by an earlier split" in capsys.readouterr().err
    assert json.loads(path.read_text()) == rows
    assert [other.name for other in path.parent.glob("*.json")] == [name]


def test_a_list_put_beside_a_split_is_not_taken_for_its_own(tmp_path, capsys):
    documents(tmp_path / "d", 3)
    assert split(tmp_path / "d", tmp_path / "o") == 0
    (tmp_path / "o" / "val.json").write_text("[]")
    assert split(tmp_path / "d", tmp_path / "o") == 4
    assert "val.json: was not written" in capsys.readouterr().err


def test_an_earlier_split_inside_the_data_is_no_annotation(tmp_path):
    documents(tmp_path, 4)
    assert split(tmp_path, tmp_path / "first") == 0
    assert split(tmp_path, tmp_path / "second") == 0
    assert (tmp_path / "first" / "train.json").read_bytes() == (
        tmp_path / "second" / "train.json"
    ).read_bytes()


def test_a_folder_in_the_place_of_a_file_is_refused_before_the_dataset_is_read(tmp_path, capsys):
    documents(tmp_path / "d", 2)
    (tmp_path / "o" / "train.json").mkdir(parents=True)
    assert split(tmp_path / "d", tmp_path / "o") == 4
    captured = capsys.readouterr().err
    assert (
        "train.json: is a folder where a file must go" in captured and "pictures:" not in captured
    )


def test_files_that_belong_to_no_row_are_counted_apart(tmp_path, capsys):
    documents(tmp_path / "d", 2)
    draw(tmp_path / "d" / "left.png", 9)
    assert split(tmp_path / "d", tmp_path / "o") == 4
    assert "d: 1 problem of files in no row; nothing was written" in capsys.readouterr().err
    (tmp_path / "d" / "doc0_p1.json").write_text('{"text": ""}')
    assert split(tmp_path / "d", tmp_path / "o") == 4
    expected = "1 problem in 2 rows and 1 problem of files in no row; nothing was written"
    assert expected in capsys.readouterr().err


def test_advice_for_one_sample_is_to_add_documents(tmp_path, capsys):
    documents(tmp_path / "d", 1)
    assert split(tmp_path / "d", tmp_path / "o") == 4
    assert capsys.readouterr().err.endswith("at least one for training; add documents\n")


def test_the_log_of_a_training_run_is_no_annotation_and_is_appended_to(tmp_path):
    documents(tmp_path, 2)
    for name in ("experiment_logs.txt", "metrics.jsonl"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text('{"image": "doc0_p1.png", "text": "t"}\n')
    assert split(tmp_path, tmp_path / "run") == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_text().startswith('{"image": ')


@pytest.mark.parametrize(
    "flags", [["--group_by", "(zzz)"], ["--prompt", "<image><image>x"], ["--prompt", END_TOKEN]]
)
def test_a_flag_that_fits_no_row_is_wrong_usage(tmp_path, capsys, flags):
    documents(tmp_path / "d", 30)
    assert split(tmp_path / "d", tmp_path / "o", "--on_error", "skip", *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"split: {flags[0]}") and error.count("\n") == 1
