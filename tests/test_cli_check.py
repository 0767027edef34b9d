"""`deepseek-ocr check` as a user runs it: what it prints and writes, and how it ends."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from deepseek_ocr.cli import check
from deepseek_ocr.cli.main import run
from deepseek_ocr.data.statistics.row_lengths import length_rule

from .conftest import REPOSITORY
from .data.datasets import documents, draw, sidecars

PROMPT = "<image>\nConvert to markdown"


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(check, "available_cores", lambda: 0)  # starting workers takes longer


def split_file(folder, rows, name="train.json"):
    """Rows as a split writes them, one a line from line 2 on."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def row(name, text="Total 9.50", **changes):
    return {"id": name, "images": [f"{name}.png"], "prompt": PROMPT, "text": text, **changes}


def problems_of(folder):
    lines = (folder / "problems.jsonl").read_text(encoding="utf-8").splitlines()
    return {(p["source"], p["kind"]) for p in map(json.loads, lines)}


def test_a_good_dataset_is_told_in_figures_and_ends_with_0(tmp_path, capsys):
    root = documents(tmp_path / "data", 3, num_pages=2)
    assert run("check", [str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("format     sidecar (")
    assert lines[1] == "sample     doc0_p1.png: text of doc0_p1.png"
    assert lines[2].startswith("sample     doc0_p2.png: ")
    assert "no problems" in lines
    counts = {
        line.rsplit(maxsplit=1)[0]: line.split()[-1] for line in lines if len(line.split()) > 1
    }
    assert (counts["rows"], counts["usable"], counts["documents"]) == ("6", "6", "3")
    assert (counts["problems"], counts["picture files"]) == ("0", "6")
    text = "\n".join(lines)
    assert "characters a text" in text and "image tokens a page" in text
    assert "~: a token for 2.5 characters; --model_path counts them" in text
    assert "padding at batch size 2: 0.0% in this order" in text


def test_every_problem_is_told_with_its_place_and_bad_rows_end_with_3(tmp_path, capsys):
    root = sidecars(tmp_path / "data", {"a.png": "fine", "b.png": " ", "c.png": "an <image> here"})
    draw(root / "lonely.png")
    (root / "torn.json").write_text('{"text": "x"')
    (root / "d.png").write_bytes(b"no picture")
    (root / "d.json").write_text('{"text": "d"}')
    out = tmp_path / "out"
    assert run("check", [str(root), "--output_dir", str(out)]) == 3
    shown = capsys.readouterr().out
    for source in ("b.json:1", "c.json:1", "d.json:1", "torn.json:1"):
        assert f"  {source}: " in shown
    assert "lonely.png" in shown
    found = problems_of(out)
    assert {("b.json:1", "empty text"), ("c.json:1", "special token")} <= found
    content = json.loads((out / "check.json").read_text())
    assert content["counts"]["usable"] == 1
    assert content["counts"]["problems"] == len(found) == sum(content["problems"].values())


def test_problems_of_files_in_no_row_are_told_and_end_with_0(tmp_path, capsys):
    root = sidecars(tmp_path / "data", {"a.png": "fine"})
    draw(root / "lonely.png")
    assert run("check", [str(root)]) == 0
    assert "picture without annotation: 1" in capsys.readouterr().out


def test_a_file_of_a_split_is_checked_row_by_row(tmp_path, capsys):
    pages = tmp_path / "pages"
    for name in "abc":
        draw(pages / f"{name}.png", ord(name))
    rows = [
        row("a", source="labels.json:7"),
        row("a"),
        row("b", text="", prompt="no picture asked"),
        row("missing"),
        row("c", txet="typed wrong"),
        row("c", regions=[{"label": "x", "box": [0, 0, 900, 5]}]),
    ]
    path = split_file(tmp_path, rows)
    arguments = [str(path), "--data_root", str(pages), "--output_dir", str(tmp_path / "out")]
    assert run("check", arguments) == 3
    assert capsys.readouterr().out.startswith("format     split (")
    found = {
        (source.removeprefix(str(path)), kind) for source, kind in problems_of(tmp_path / "out")
    }
    assert found == {
        (":3", "duplicate id"),
        (":4", "empty text"),
        (":4", "prompt"),
        (":5", "unreadable picture"),
        (":6", "row"),
        (":7", "box outside the page"),
    }


def test_without_data_root_pictures_lie_beside_the_file(tmp_path, capsys):
    draw(tmp_path / "a.png")
    assert run("check", [str(split_file(tmp_path, [row("a")]))]) == 0
    split_file(tmp_path, [row("a")], "elsewhere/test.json")
    capsys.readouterr()
    assert run("check", [str(tmp_path / "elsewhere" / "test.json")]) == 4
    found = capsys.readouterr()
    assert "none of its pictures lies below" in found.err and "a.png" in found.err
    assert "--data_root" in found.err and not found.out


def test_what_a_split_wrote_can_be_checked(tmp_path, capsys):
    root = documents(tmp_path / "data", 4)
    assert run("split", ["--data_root", str(root), "--output_dir", str(tmp_path / "split")]) == 0
    train = str(tmp_path / "split" / "train.json")
    assert run("check", [train, "--data_root", str(root)]) == 0
    assert "rows           3" in capsys.readouterr().out


def test_of_a_file_of_another_format_only_its_own_rows_are_told(tmp_path, capsys):
    root = sidecars(tmp_path / "data", {"a.png": "first", "b.png": "", "sub/c.png": "third"})
    assert run("check", [str(root / "a.json")]) == 0
    shown = capsys.readouterr().out
    assert "sample     a.png: first" in shown and "rows           1" in shown
    assert run("check", [str(root / "b.json")]) == 3
    assert run("check", [str(root / "sub" / "c.json"), "--data_root", str(root)]) == 0
    assert "sample     sub/c.png: third" in capsys.readouterr().out
    lines = root / "more.jsonl"
    lines.write_text('{"image": "a.png", "text": "x"}\n{"image": "b.png", "text": ""}\n')
    assert run("check", [str(lines)]) == 3
    assert "more.jsonl:2: " in capsys.readouterr().out


def test_a_model_counts_tokens_and_tells_what_it_cannot_learn(tmp_path, capsys):
    root = tmp_path / "data"
    rule = length_rule("nano-untrained")
    texts = {"short.png": "Total 9.50", "long.png": "Total 9.50 " * 40}
    sidecars(root, texts)
    counts = dict(zip(texts, rule.answer_tokens(list(texts.values())), strict=True))
    around = rule.page_cost(8, 8)[1] + rule.other_tokens(PROMPT)
    arguments = [str(root), "--model_path", "nano-untrained", "--output_dir", str(tmp_path / "out")]

    assert run("check", arguments) == 0
    measures = json.loads((tmp_path / "out" / "check.json").read_text())["measures"]
    assert measures["text_tokens"]["max"] == counts["long.png"]
    assert measures["positions"]["min"] == around + counts["short.png"]
    assert "~" not in capsys.readouterr().out

    limit = around + counts["long.png"] - 1
    assert run("check", [*arguments, "--max_length", str(limit)]) == 3
    shown = capsys.readouterr().out
    assert f"long.json:1: takes {limit + 1} positions (" in shown
    assert problems_of(tmp_path / "out") == {("long.json:1", "too long")}
    assert json.loads((tmp_path / "out" / "check.json").read_text())["counts"]["usable"] == 1

    assert run("check", [*arguments, "--max_length", str(around - 1)]) == 3
    assert "all of the answer would be masked" in capsys.readouterr().out
    assert {kind for _, kind in problems_of(tmp_path / "out")} == {"nothing to learn"}


def test_texts_are_measured_as_a_split_would_write_them(tmp_path, capsys):
    root = sidecars(tmp_path / "data", {"a.png": "Total    9.50  "})
    for flags, length in ([], 15), (["--normalize", "blanks"], 10):
        assert run("check", [str(root), *flags]) == 0
        shown = capsys.readouterr().out
        assert re.search(rf"^characters a text +{length} ", shown, re.MULTILINE)
    assert run("check", [str(root), "--target", "grounding"]) == 3  # it has no boxes
    assert "a.json:1: " in capsys.readouterr().out


def test_smaller_views_take_fewer_positions(tmp_path, capsys):
    Image.new("RGB", (900, 1300), "white").save(draw(tmp_path / "data" / "a.png"))
    (tmp_path / "data" / "a.json").write_text('{"text": "x"}')
    found = []
    for flags in ([], ["--max_tiles", "1"], ["--mode", "tiny"], ["--base_size", "640"]):
        arguments = [str(tmp_path / "data"), "--output_dir", str(tmp_path / "out"), *flags]
        assert run("check", arguments) == 0
        measures = json.loads((tmp_path / "out" / "check.json").read_text())["measures"]
        found.append((measures["tiles"]["max"], measures["image_tokens"]["max"]))
    assert found == [(6, 903), (0, 273), (0, 73), (6, 630 + 111)]


def test_files_are_written_whole_the_same_and_over_those_of_an_earlier_check(tmp_path, capsys):
    root, out = documents(tmp_path / "data", 4), tmp_path / "out"
    arguments = [str(root), "--output_dir", str(out), "--show-samples", "3"]
    assert run("check", arguments) == 0
    names = {"check.json", "problems.jsonl", "histogram.png", "samples.png"}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(before) == names
    assert Image.open(out / "histogram.png").width > 1000
    assert Image.open(out / "samples.png").width > 400
    assert run("check", arguments) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run("check", arguments[:3]) == 0
    assert {path.name for path in out.iterdir()} == names - {"samples.png"}
    content = json.loads((out / "check.json").read_text())
    assert content["format"] == "sidecar" and content["padding"]["batch_size"] == 2


@pytest.mark.parametrize("name", ["check.json", "samples.png"])
def test_files_of_others_are_not_written_over(tmp_path, capsys, name):
    root, out = documents(tmp_path / "data", 2), tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"mine": 1}')
    assert run("check", [str(root), "--output_dir", str(out)]) == 4
    assert f"{out / name}: was not written by an earlier check" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name]


def test_an_output_folder_inside_the_dataset_is_refused(tmp_path, capsys):
    root = documents(tmp_path / "data", 2)
    for out in (root, root / "out"):
        assert run("check", [str(root), "--output_dir", str(out)]) == 4
        assert "lies inside the dataset" in capsys.readouterr().err
    assert not (root / "out").exists()


@pytest.mark.parametrize(
    "flags, code, reason",
    [
        (["nowhere"], 4, "nowhere: does not exist"),
        (["empty"], 4, "the folder is empty"),
        (["no_rows"], 4, "holds no row"),
        (["data", "--format", "sidecars"], 2, "no format 'sidecars'"),
        (["data", "--mode", "huge"], 2, "invalid choice: 'huge'"),
        (["data", "--base_size", "100"], 2, "expected a multiple of 16"),
        (["data", "--batch_size", "0"], 2, "--batch_size must be at least 1, got 0"),
        (["data", "--show_samples", "3"], 2, "name it with --output_dir"),
        (["data", "--show_samples", "1000", "--output_dir", "o"], 2, "must be at most 100"),
        (["data", "--max_length", "9"], 2, "name whose with --model_path"),
        (["data", "--max_length", "9999", "--model_path", "nano"], 2, "has 4096 positions"),
        (["data", "--model_path", "nowhere"], 4, "expected a model folder"),
        (["data", "--data_root", "data"], 2, "--data_root is for files"),
        (["none.json", "--data_root", "data"], 4, "none.json: does not exist; expected"),
        (["none"], 4, "none: does not exist; expected"),
        (["data/doc0_p1.json", "--data_root", "empty"], 2, "lies outside the data root"),
        (["data/doc0_p1.png"], 4, "is no annotation file"),
        (["data", "--group_by", "("], 2, "--group_by"),
        ([], 2, "required: DATASET"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path, monkeypatch, capsys, flags, code, reason):
    monkeypatch.chdir(tmp_path)
    documents(tmp_path / "data", 2)
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "no_rows" / "a.png")
    (tmp_path / "no_rows" / "rows.jsonl").write_text("\n")
    assert run("check", flags) == code
    captured = capsys.readouterr()
    assert reason in captured.err
    assert len(captured.err.strip().splitlines()) <= 4
    assert not (tmp_path / "o").exists()


def test_a_terminal_without_utf8_gets_plain_marks(tmp_path, monkeypatch):
    root = sidecars(tmp_path, {"a.png": "x" * 9, "b.png": "y" * 90})
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert run("check", [str(root)]) == 0
    out.flush()
    shown = out.buffer.getvalue().decode("ascii")
    assert "####" in shown and "\\u" not in shown


def test_neither_help_nor_a_whole_check_loads_torch(tmp_path):
    documents(tmp_path / "data", 2)
    code = f"""
import sys
from deepseek_ocr.cli.main import run
heavy = lambda: {{"torch", "transformers"}} & set(sys.modules)
try: run("check", ["--help"])
except SystemExit: pass
assert not heavy()
assert run("check", [{str(tmp_path / "data")!r}, "--model_path", "nano"]) == 0
assert not heavy(), heavy()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: deepseek-ocr check")


def test_duplicates_are_counted_and_different_texts_for_one_picture_told(tmp_path, capsys):
    names = [f"{letter}.png" for letter in "abcd"]
    texts = ("Total 9.50", "total  9.50", "Total 9.80", "other")
    root = sidecars(tmp_path / "data", dict(zip(names, texts, strict=True)))
    for name in ("b.png", "c.png"):
        draw(root / name, 0)
    assert run("check", [str(root), "--output_dir", str(tmp_path / "o")]) == 0
    out = capsys.readouterr().out
    assert re.search("same picture +3\n", out)
    expected = "different texts for the same picture: 1\n  a.json:1 (a.png), c.json:1 (c.png)\n"
    assert f"warning: {expected}" in out.replace("a.json (", "a.json:1 (").replace(
        "c.json (", "c.json:1 ("
    )
    counts = json.loads((tmp_path / "o" / "check.json").read_text())["counts"]
    assert counts["several texts"] == 1 and counts["near copies"] == 0


def test_several_questions_about_one_picture_are_no_contradiction(tmp_path, capsys):
    draw(tmp_path / "d" / "a.png")
    rows = [row("a"), row("a", "9.50", id="a~2", prompt="<image>\nHow much?")]
    assert run("check", [str(split_file(tmp_path / "d", rows))]) == 0
    assert "warning: different texts" not in capsys.readouterr().out


def test_a_full_disk_names_the_output_folder(tmp_path, monkeypatch, capsys):
    root = documents(tmp_path / "data", 3)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepseek_ocr.data.statistics.check_files.write_atomic", full)
    assert run("check", [str(root), "--output_dir", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'o'}: the files of the check could not all be written (No space" in error
    assert "make room and run it again" in error


def test_shown_samples_are_of_all_kinds_of_a_regular_dataset(tmp_path, monkeypatch):
    kinds = [f"{n:03}-{'abcd'[n % 4]}.png" for n in range(64)]
    root = sidecars(tmp_path / "data", {name: name for name in kinds})
    titles = []
    monkeypatch.setattr(
        "deepseek_ocr.data.statistics.check_files.contact_sheet",
        lambda cells: titles.append([c.title for c in cells]) or Image.new("RGB", (9, 9)),
    )
    for _ in range(2):
        assert (
            run("check", [str(root), "--output_dir", str(tmp_path / "o"), "--show_samples", "16"])
            == 0
        )
    assert titles[0] == titles[1] == sorted(titles[0])
    assert {title[4] for title in titles[0]} == set("abcd")


def test_a_second_folder_is_told_with_what_may_be_meant(tmp_path, capsys):
    assert run("check", [str(tmp_path), "b"]) == 2
    assert "put quotes around a name with blanks" in capsys.readouterr().err
