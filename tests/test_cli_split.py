from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys

import pytest

from deepseek_ocr.cli.main import run
from deepseek_ocr.data.annotations import END_TOKEN, Annotation, read_annotations
from deepseek_ocr.data.splitting.grouping import document_of

from .conftest import REPOSITORY
from .data.datasets import documents, draw, sidecars

SIDES = ("train", "val", "test")


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
    for flag in (*flags, "stratify_by", "prompt", "on_error", "target", "verify"):
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
        "files_in_no_row": 0,
        "train": None,
        "test": None,
    }
    assert manifest["counts"]["test"]["documents"] == 2 == len(manifest["groups"]["test"])
    assert manifest["near_duplicates"] == [
        {"rule": "same picture", "references": ["doc0_p1.png", "doc3_p2.png"]}
    ]
    assert manifest["joined"] == {"doc0": ["doc3"]}
    assert {key: manifest["arguments"][key] for key in ("target", "normalize", "split")} == {
        "target": "auto",
        "normalize": "none",
        "split": "random",
    }
    for name, sha256 in manifest["written"].items():
        assert hashlib.sha256((tmp_path / "o" / name).read_bytes()).hexdigest() == sha256
    assert set(manifest["written"]) == {"train.json", "test.json"}
    assert len(manifest["sha256"]) == 20
    picture = (tmp_path / "d" / "doc1_p1.png").read_bytes()
    assert manifest["sha256"]["doc1_p1.png"] == hashlib.sha256(picture).hexdigest()
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_same_arguments_give_the_same_bytes_in_any_order_of_the_listing(tmp_path, monkeypatch):
    documents(tmp_path / "d", 12, num_pages=2)
    for name in ("b/left.txt", "a/c/left.txt"):
        (tmp_path / "d" / name).parent.mkdir(parents=True)
        (tmp_path / "d" / name).write_text("")
    flags = ("--on_error", "skip")
    for bad in ("doc3_p1", "doc7_p2", "doc9_p1"):
        (tmp_path / "d" / f"{bad}.json").write_text('{"text": ""}')
    assert split(tmp_path / "d", tmp_path / "1", *flags) == 3
    walk, scandir, listdir = os.walk, os.scandir, os.listdir

    def shuffled(names):
        return sorted(names, key=lambda name: hashlib.md5(str(name).encode()).digest())

    def shuffled_walk(root, **options):
        for place, folders, files in walk(root, **options):
            folders[:] = shuffled(folders)
            yield place, folders, shuffled(files)

    class ShuffledScan:
        def __init__(self, *path):
            with scandir(*path) as found:
                self.found = iter(
                    sorted(found, key=lambda e: hashlib.md5(e.name.encode()).digest())
                )

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __iter__(self):
            return self.found

        def __next__(self):
            return next(self.found)

        def close(self):
            pass

    monkeypatch.setattr(os, "walk", shuffled_walk)
    monkeypatch.setattr(os, "scandir", ShuffledScan)
    monkeypatch.setattr(os, "listdir", lambda *path: shuffled(listdir(*path)))
    assert split(tmp_path / "d", tmp_path / "2", *flags) == 3
    assert contents(tmp_path / "1") == contents(tmp_path / "2") != {}


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
    assert "rejected rows          28" in captured.out and "empty text: 25" in captured.err


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}


def test_a_split_that_cannot_be_written_leaves_the_one_before_whole(tmp_path, monkeypatch, capsys):
    documents(tmp_path / "d", 10)
    assert split(tmp_path / "d", tmp_path / "o") == 0
    before = contents(tmp_path / "o")
    to_json, rows = Annotation.to_json, itertools.count(1)

    def full(row):
        if next(rows) == 7:
            raise OSError(28, "No space left on device")
        return to_json(row)

    monkeypatch.setattr(Annotation, "to_json", full)
    assert split(tmp_path / "d", tmp_path / "o", "--seed", 1) == 1
    assert contents(tmp_path / "o") == before and not list((tmp_path / "o").glob(".*"))
    assert "o: the split could not be written (No space left on device)" in capsys.readouterr().err


def test_a_split_that_breaks_off_before_its_manifest_is_known_again(tmp_path, monkeypatch):
    documents(tmp_path / "d", 10)
    assert split(tmp_path / "d", tmp_path / "o") == 0

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepseek_ocr.data.splitting.files.write_json", full)
    assert split(tmp_path / "d", tmp_path / "o", "--seed", 1) == 1
    assert not (tmp_path / "o" / "manifest.json").exists()
    assert [path.name for path in (tmp_path / "o").glob(".*")] == [".split.unfinished"]
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


@pytest.fixture
def verified(tmp_path):
    root = documents(tmp_path / "d", 6)
    (root / "notes.txt").write_text("of no row")
    assert split(root, tmp_path / "o") == 0
    return root, tmp_path / "o"


def verify(root, output) -> int:
    return run("split", ["--verify", str(output / "manifest.json"), "--data-root", str(root)])


def test_an_unchanged_dataset_is_verified(verified, capsys):
    before = contents(verified[1])
    assert verify(*verified) == 0
    assert capsys.readouterr().out == (
        f"15 files of {verified[1] / 'manifest.json'}: 0 changed, 0 missing, 0 unreadable, 0 new\n"
    )
    assert contents(verified[1]) == before


def test_what_has_changed_since_a_split_is_listed(verified, capsys):
    root, output = verified
    capsys.readouterr()
    draw(root / "doc1_p1.png", 77)
    (root / "doc2_p1.json").unlink()
    (root / "notes.txt").write_text("of no row, and other")
    (root / "notes2.txt").write_text("")
    (output / "test.json").write_text("[]")
    assert verify(root, output) == 3
    assert capsys.readouterr().out.splitlines() == [
        "changed    doc1_p1.png",
        "missing    doc2_p1.json",
        "changed    notes.txt",
        "changed    test.json",
        "new        notes2.txt",
        f"15 files of {output / 'manifest.json'}: 3 changed, 1 missing, 0 unreadable, 1 new",
    ]


def test_files_without_a_hash_are_told_with_their_number(tmp_path, capsys):
    root = documents(tmp_path / "d", 6)
    (root / "archive.zip").write_bytes(b"")
    assert split(root, tmp_path / "o") == 0
    assert verify(root, tmp_path / "o") == 0
    assert capsys.readouterr().out.endswith("0 new; 1 other known only by name\n")


def test_a_split_by_hash_that_joins_copies_says_how_to_keep_sides(tmp_path, capsys):
    root = sidecars(tmp_path / "d", {f"{name}.png": f"text {name}" for name in "abcdefghijklmnop"})
    assert split(root, tmp_path / "o", "--split", "hash", "--test_size", 0.5) == 0
    assert "joined" not in capsys.readouterr().out
    (root / "copy.png").write_bytes((root / "a.png").read_bytes())
    (root / "copy.json").write_text('{"text": "another"}')
    assert split(root, tmp_path / "o", "--split", "hash", "--test_size", 0.5) == 0
    manifest = tmp_path / "o" / "manifest.json"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("joined")]
    assert told == [
        "joined     1 document to others, by near-duplicates. One added later may move those that "
        f"it is joined to; to keep their sides: --keep_sides {manifest}"
    ]
    kept = ("--split", "hash", "--test_size", 0.5, "--keep_sides", manifest)
    assert split(root, tmp_path / "p", *kept) == 0
    assert split(root, tmp_path / "q", "--test_size", 0.5) == 0
    assert "joined" not in capsys.readouterr().out


def test_what_cannot_be_verified_is_refused(verified, tmp_path, capsys):
    root, output = verified
    (tmp_path / "none").mkdir()
    assert verify(root, tmp_path / "none") == 4
    assert verify(tmp_path / "nowhere", output) == 4
    assert run("split", ["--verify", str(output / "manifest.json")]) == 2
    error = capsys.readouterr().err
    assert "expected a manifest.json that data_utils.py has written" in error
    assert "nowhere: does not exist" in error and "missing: --data_root" in error


def test_verify_may_stand_in_the_configuration_file(verified, tmp_path, capsys):
    root, output = verified
    flags = {"verify": str(output / "manifest.json"), "data_root": str(root)}
    flags["output_dir"] = str(output)
    (tmp_path / "c.yaml").write_text(json.dumps(flags))
    assert run("split", ["--config", str(tmp_path / "c.yaml")]) == 0
    assert "0 changed, 0 missing, 0 unreadable, 0 new" in capsys.readouterr().out


def test_the_sides_are_written_in_another_tools_shape_too(tmp_path, capsys):
    root = documents(tmp_path / "d", 6)
    output = root / "split"  # inside the data, and still no part of it
    assert split(root, output, "--export", "llava", "--val_size", 1) == 0
    rows = {side: json.loads((output / "llava" / f"{side}.json").read_text()) for side in SIDES}
    for side in SIDES:
        expected = [(row.id, list(row.images), row.text) for row in read_rows(output, side)]
        assert [
            (row["id"], [row["image"]], row["conversations"][1]["value"]) for row in rows[side]
        ] == expected
    assert verify(root, output) == 0
    before = contents(output)
    assert split(root, output, "--export", "llava", "--val_size", 1) == 0
    assert contents(output) == before
    written = json.loads(before["manifest.json"])["written"]
    assert set(written) == {f"{folder}{side}.json" for side in SIDES for folder in ("", "llava/")}


def test_exports_of_earlier_splits_do_not_stay_behind(tmp_path):
    root = documents(tmp_path / "d", 6)
    assert split(root, tmp_path / "o", "--export", "imagefolder", "--val_size", 1) == 0
    assert (tmp_path / "o" / "imagefolder" / "val" / "metadata.jsonl").exists()
    assert split(root, tmp_path / "o", "--export", "imagefolder") == 0
    assert not (tmp_path / "o" / "imagefolder" / "val").exists()
    assert split(root, tmp_path / "o") == 0
    assert not (tmp_path / "o" / "imagefolder").exists()


def test_an_export_replaces_no_folder_of_others(tmp_path, capsys):
    root = documents(tmp_path / "d", 6)
    (tmp_path / "o" / "llava").mkdir(parents=True)
    assert split(root, tmp_path / "o", "--export", "llava") == 0
    assert split(root, tmp_path / "o") == 0
    (tmp_path / "o" / "llava").mkdir()
    (tmp_path / "o" / "llava" / "mine").write_text("")
    assert split(root, tmp_path / "o", "--export", "llava") == 4
    assert split(root, tmp_path / "o") == 0 and (tmp_path / "o" / "llava" / "mine").exists()
    assert split(root, tmp_path / "o", "--export", "lava") == 2
    error = capsys.readouterr().err
    assert "was not written by an earlier --export" in error and "--export: no format" in error


def test_a_document_that_makes_the_shares_far_from_asked_is_told_with_its_reason(tmp_path, capsys):
    names = [f"IMG_{n:04}.png" for n in range(40)] + [f"DSC_{n:04}.png" for n in range(10)]
    sidecars(tmp_path / "d", {name: f"text of {name}" for name in names})
    assert split(tmp_path / "d", tmp_path / "o") == 0
    (note,) = [n for n in capsys.readouterr().err.splitlines() if n.startswith("note: ")]
    assert "40 of 50 samples are one document, IMG: a number at the end of a name" in note
    assert "(IMG_0000.png ... IMG_0039.png)" in note and "use --group_by none, or a REGEX" in note
    assert split(tmp_path / "d", tmp_path / "o", "--group_by", "none") == 0
    assert "note: " not in capsys.readouterr().err


def test_one_document_that_cannot_be_split_is_told_with_samples_and_reason(tmp_path, capsys):
    sidecars(tmp_path / "d", {f"scan{n}_01.png": {"text": f"{n}", "group": "A"} for n in range(9)})
    assert split(tmp_path / "d", tmp_path / "o") == 4
    told = capsys.readouterr()
    assert "9 of 9 samples are one document, A: the dataset says so; add documents" in told.err
    assert told.out.startswith("format     sidecar (") and told.out.count("sample     ") == 2


def test_files_in_no_row_are_told_apart_from_rejected_rows(tmp_path, capsys):
    documents(tmp_path / "d", 3)
    for number in range(25):
        draw(tmp_path / "d" / f"left{number}.png", 9 + number)
    assert split(tmp_path / "d", tmp_path / "o", "--on_error", "skip") == 3
    told = capsys.readouterr()
    assert "rejected rows           0" in told.out and "files in no row        25" in told.out
    assert f"  ... and 5 more\nall of them: {tmp_path / 'o' / 'manifest.json'}\n" in told.err
    counts = json.loads((tmp_path / "o" / "manifest.json").read_text())["counts"]
    assert (counts["rejected"], counts["files_in_no_row"]) == (0, 25)
    assert split(tmp_path / "d", tmp_path / "o") == 4
    expected = f"all of them: deepseek-ocr check {tmp_path / 'd'} --output_dir OUT\n"
    assert expected in capsys.readouterr().err


def test_several_exports_are_written_and_earlier_ones_removed_with_a_word(tmp_path, capsys):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"
    assert split(root, output, "--export", "llava+swift") == 0
    assert (output / "llava" / "train.json").exists() and (output / "swift" / "test.jsonl").exists()
    assert "removed" not in capsys.readouterr().out and verify(root, output) == 0
    capsys.readouterr()
    assert split(root, output, "--export", "swift") == 0
    assert f"removed    {output / 'llava' / 'test.json'}, " in capsys.readouterr().out
    assert not (output / "llava").exists() and (output / "swift").exists()
    assert split(root, output, "--export", "swift+lava") == 2


@pytest.mark.parametrize("name", ["llava/train.json", "test.json"])
@pytest.mark.parametrize("flags", [(), ("--export", "llava")])
def test_what_was_changed_since_a_split_wrote_it_is_not_lost(tmp_path, capsys, name, flags):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"
    assert split(root, output, "--export", "llava") == 0
    (output / name).write_text((output / name).read_text() + " ")
    before = contents(output), contents(output / "llava")
    assert split(root, output, *flags) == 4
    assert f"{output / name}: was changed since" in capsys.readouterr().err
    assert (contents(output), contents(output / "llava")) == before


def test_exports_of_a_split_that_broke_off_are_written_anew(tmp_path, monkeypatch):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"
    assert split(root, output, "--export", "llava") == 0
    to_json, rows = Annotation.to_json, itertools.count(1)

    def full(row):
        if next(rows) == 9:  # the export is written, the sides are not
            raise OSError(28, "No space left on device")
        return to_json(row)

    monkeypatch.setattr(Annotation, "to_json", full)
    assert split(root, output, "--export", "llava", "--seed", 1) == 1
    monkeypatch.undo()
    assert split(root, output, "--export", "llava", "--seed", 1) == 0
    assert verify(root, output) == 0


def test_an_export_inside_a_dataset_is_told_and_its_file_can_be_read(tmp_path, capsys):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"
    assert split(root, output, "--export", "llava") == 0
    again = tmp_path / "again"
    again.mkdir()
    for picture in root.glob("*.png"):
        picture.rename(again / picture.name)
    (output / "llava").rename(again / "llava")
    assert split(again, tmp_path / "o2") == 4
    assert "llava is an export of an earlier split and is not read" in capsys.readouterr().err
    (again / "llava" / "train.json").rename(again / "rows.json")
    assert split(again, tmp_path / "o2", "--on_error", "skip") == 3
    assert len(read_rows(tmp_path / "o2", "train")) + len(read_rows(tmp_path / "o2", "test")) == 5


def test_a_log_that_cannot_be_written_leaves_a_whole_split_and_says_so(
    tmp_path, monkeypatch, capsys
):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepseek_ocr.runlog.append_line", full)
    assert split(root, output) == 1
    told = capsys.readouterr()
    assert "experiment_logs.txt: the split is whole, only this log" in told.err
    assert f"written    {output}" in told.out and "half-written" not in told.err
    assert verify(root, output) == 0


def test_what_a_full_disk_left_behind_is_named(tmp_path, monkeypatch, capsys):
    root, output = documents(tmp_path / "d", 6), tmp_path / "o"

    def full(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("deepseek_ocr.data.splitting.files.sha256_of", full)
    assert split(root, output) == 1
    error = capsys.readouterr().err
    assert f"{output}: the split could not be written ({output / 'train.json'}: No space" in error
    assert "not whole, as .split.unfinished in it tells the next run; make room and run it" in error


@pytest.mark.parametrize("flags", [("--output-dir", "o"), ("--seed=3",)])
def test_verify_says_that_it_takes_no_flags_of_a_split(verified, capsys, flags):
    root, output = verified
    arguments = ["--data_root", str(root), "--verify", str(output / "manifest.json"), *flags]
    assert run("split", arguments) == 2
    flag = flags[0].partition("=")[0]
    assert f"--verify takes only --data_root; leave {flag} out" in capsys.readouterr().err


def test_a_default_prompt_that_does_not_ask_for_the_target_is_told(tmp_path, capsys):
    region = {"label": "line", "box": [0, 0, 5, 5], "text": "t"}
    rows = {f"{n}a.png": {"text": f"t{n}", "regions": [region]} for n in range(4)}
    root, flags = sidecars(tmp_path / "d", rows), ("--target", "grounding")
    assert split(root, tmp_path / "o", *flags) == 0
    prompt = r"<image>\n<|grounding|>OCR this image."
    (note,) = [n for n in capsys.readouterr().err.splitlines() if n.startswith("note: ")]
    assert f"--prompt '{prompt}'" in note
    assert split(root, tmp_path / "o", *flags, "--prompt", prompt) == 0
    assert "note: " not in capsys.readouterr().err


def test_an_interrupted_split_says_that_the_next_one_goes_on(tmp_path, monkeypatch, capsys):
    root = documents(tmp_path / "d", 70)
    monkeypatch.setenv("DEEPSEEK_OCR_CACHE", str(tmp_path / "cache"))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("deepseek_ocr.data.inspection.verification.inspect_in_workers", interrupted)
    assert split(root, tmp_path / "o") == 130
    expected = "split: interrupted; the same command goes on where it stopped\n"
    assert capsys.readouterr().err.endswith(expected)
