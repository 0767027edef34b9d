"""Parquet files and saved datasets of Hugging Face, made with pyarrow as `datasets` makes them."""

from __future__ import annotations

import json
import sys

import pyarrow
import pytest
from pyarrow import parquet

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.formats._column_rows import read_columns
from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.data.problems import CutShort, Problem

from ..datasets import draw
from .test_row_shapes import picture_bytes, said

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def read(root, name="datasets"):
    reader, _ = choose_reader(DatasetFolder(root))
    found = reader.NAME
    assert found == name
    return list(reader.read(DatasetFolder(root)))


def save(table: pyarrow.Table, path, *, stream=True):
    """As parquet, or as arrow in the way of `save_to_disk` (a stream of batches)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=7)
        return
    make = pyarrow.ipc.new_stream if stream else pyarrow.ipc.new_file
    with make(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def pictures(count: int) -> pyarrow.Table:
    images = [{"bytes": picture_bytes(n % 256), "path": f"{n}.png"} for n in range(count)]
    texts = [f"text {n}" for n in range(count)]
    return pyarrow.table({"image": pyarrow.array(images, IMAGE), "text": texts})


@pytest.mark.parametrize(
    "file, stream", [("a.parquet", True), ("a.arrow", True), ("a.arrow", False)]
)
def test_pictures_inside_a_file_are_named_by_their_row(tmp_path, file, stream):
    save(pictures(40), tmp_path / "data" / file, stream=stream)
    found = read(tmp_path)
    assert [sample.text for sample in found] == [f"text {n}" for n in range(40)]
    assert found[20].images == (f"data/{file}#row=21&image=1",)
    assert found[20].source == f"data/{file}:21"
    assert load_page(tmp_path, found[20].images[0]).getpixel((0, 0)) == (20, 0, 0)


def test_columns_may_have_any_shape_that_rows_have(tmp_path):
    images = [
        [{"bytes": picture_bytes(1), "path": None}, {"bytes": picture_bytes(2), "path": None}],
        [],
    ]
    table = pyarrow.table(
        {
            "images": pyarrow.array(images, pyarrow.list_(IMAGE)),
            "messages": [said("<image><image>Q", "A"), said("Q", "B")],
            "query": pyarrow.nulls(2, pyarrow.string()),
        }
    )
    save(table, tmp_path / "train-00000-of-00001.parquet")
    first, second = read(tmp_path)
    assert first.images == tuple(f"train-00000-of-00001.parquet#row=1&image={n}" for n in (1, 2))
    assert load_page(tmp_path, first.images[1]).getpixel((0, 0)) == (2, 0, 0)
    assert (first.prompt, first.text) == ("<image><image>Q", "A")
    assert (second.images, second.text) == ((), "B")


def test_donut_fields_and_named_files_are_known_too(tmp_path):
    draw(tmp_path / "a.png")
    truth = json.dumps({"gt_parse": {"total": "1"}})
    images = pyarrow.array([{"bytes": None, "path": "a.png"}], IMAGE)
    save(pyarrow.table({"image": images, "ground_truth": [truth]}), tmp_path / "a.parquet")
    (sample,) = read(tmp_path)
    assert (sample.images, sample.text) == (("a.png",), '{"total": "1"}')


def test_a_saved_dataset_is_read_without_its_caches(tmp_path):
    save(pictures(2), tmp_path / "train" / "data-00000-of-00001.arrow")
    save(pictures(3), tmp_path / "train" / "cache-123.arrow")
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (tmp_path / "train" / "state.json").write_text(json.dumps({"_data_files": files}))
    (tmp_path / "train" / "dataset_info.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert [sample.source for sample in read(tmp_path)] == [
        f"train/data-00000-of-00001.arrow:{n}" for n in (1, 2)
    ]


def test_thousands_of_rows_stream(tmp_path):
    texts = [f"text {n}" for n in range(5000)]
    draw(tmp_path / "a.png")
    save(pyarrow.table({"image": ["a.png"] * 5000, "text": texts}), tmp_path / "a.parquet")
    assert [sample.text for sample in read(tmp_path)] == texts


@pytest.mark.parametrize("file", ["a.parquet", "a.arrow"])
def test_a_damaged_file_is_a_problem(tmp_path, file):
    save(pictures(50), tmp_path / file)
    content = (tmp_path / file).read_bytes()
    for damaged in (b"", b"x" * 100, content[: len(content) // 2], b"ARROW1" + content):
        (tmp_path / file).write_bytes(damaged)
        found = list(read_columns(tmp_path / file, file))
        assert isinstance(found[-1], CutShort)
        assert "damaged" in found[-1].reason and found[-1].source.startswith(f"{file}:")


def test_a_bad_row_is_a_problem_with_its_number(tmp_path):
    table = pyarrow.table({"image": ["none.png", None], "text": ["t", "t"], "n": [1.5, None]})
    save(table, tmp_path / "a.parquet")
    problems = read(tmp_path)
    assert [(p.kind, p.source) for p in problems] == [
        ("annotation without picture", "a.parquet:1"),
        ("annotation without picture", "a.parquet:2"),
    ]


def test_without_pyarrow_the_problem_says_what_to_install(tmp_path, monkeypatch):
    save(pictures(1), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    folder = DatasetFolder(tmp_path)
    (problem,) = choose_reader(folder)[0].read(folder)
    assert isinstance(problem, Problem) and not isinstance(problem, Annotation)
    assert 'pip install "deepseek-ocr[parquet]"' in problem.reason
