"""The inner record in the shape of other tools, and back through its reader: the same."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation, Region
from deepseek_ocr.data.exporting.files import FORMATS, export, export_format
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.prompts import with_image_tokens
from deepseek_ocr.errors import UsageError

from ..datasets import draw

READERS = {name: {"donut": "imagefolder"}.get(name, name) for name in FORMATS}


def files(root):
    for shade, name in enumerate(("a.png", "b c.png", "x/a.png")):
        draw(root / name, shade)
    return root


def read_back(root, format):
    reader, _ = choose_reader(DatasetFolder(root), READERS[format])
    found = list(reader.read(DatasetFolder(root)))
    return [one for one in found if isinstance(one, Annotation) or one.of_row]


def comparable(annotation):
    """As a split completes it: with a mark for each picture, under the place it was read from."""
    prompt = with_image_tokens(annotation.prompt, len(annotation.images))
    prompt = prompt if annotation.prompt.strip() else annotation.prompt
    return dataclasses.replace(annotation, prompt=prompt, source=None)


def sample(**changes):
    changes = {"id": "1", "images": ("a.png",), "prompt": "<image>\nRead.", "text": "A"} | changes
    return Annotation(**changes)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
sides = st.floats(0, 500) | st.integers(0, 500)
boxes = st.tuples(sides, sides, sides, sides).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
regions = st.builds(Region, label=words, box=boxes, text=words, image=st.integers(0, 2))
images = st.lists(
    st.sampled_from(["a.png", "b c.png", "x/a.png", "a.png#page=1", "x/a.png#crop=content"]),
    max_size=3,
)
prompts = words | st.lists(st.sampled_from(["<image>", "\n", "Read.", " "]), max_size=6).map(
    "".join
)
texts = st.one_of(
    words.map(lambda text: f"t{text}"),
    st.sampled_from(["<bbox>", "<ref-object>", '{"a": 1}', '{"a":1}', '{"gt_parse": {}}', "[1]", '{"text_sequence": "x"}', '{"a": NaN}', '{"a": 1, "a": 2}', "=1+1", "x\r", "\r\ny", '"', "[]"]),
)  # fmt: skip
annotations = st.builds(
    Annotation,
    id=words,
    images=images.map(tuple),
    prompt=prompts,
    text=texts,
    regions=st.lists(regions, max_size=2).map(tuple),
    group=st.none() | words,
    lang=st.none() | st.sampled_from(["de", "zh", ""]),
)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_is_read_back_equal(tmp_path_factory, format):
    root = files(tmp_path_factory.mktemp("export"))
    path = root / export_format(format).file_name.format(side="train").rpartition("/")[2]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(st.lists(annotations, min_size=1, max_size=4))
    def check(samples):
        assert export(path, samples, format) == len(samples)
        found = read_back(root, format)
        assert [comparable(one) for one in found] == [comparable(one) for one in samples]

    check()


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_detected_as_its_format(tmp_path, format):
    files(tmp_path)
    path = tmp_path / export_format(format).file_name.format(side="train").rpartition("/")[2]
    export(path, [sample(), sample(id="2", images=("b c.png", "x/a.png"))], format)
    found = choose_reader(DatasetFolder(tmp_path))[0].NAME
    assert found == READERS[format]


@pytest.mark.parametrize(
    "format, row",
    [
        ("llava", {"id": "1", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nRead."}, {"from": "gpt", "value": "A"}]}),
        ("openai", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "Read."}]}, {"role": "assistant", "content": "A"}], "_deepseek_ocr": '{"id": "1"}'}),
        ("imagefolder", {"file_name": "a.png", "prompt": "<image>\nRead.", "text": "A", "_deepseek_ocr": '{"id": "1"}'}),
    ],
)  # fmt: skip
def test_rows_are_as_the_tool_writes_them(tmp_path, format, row):
    path = tmp_path / "out" / "rows"
    export(path, [sample()], format)
    content = path.read_text()
    assert json.loads(content) in (row, [row])


def test_boxes_are_objects_of_ms_swift(tmp_path):
    region = Region(label="title", box=(1, 2, 3, 4.5))
    export(tmp_path / "rows.jsonl", [sample(regions=(region,))], "swift")
    row = json.loads((tmp_path / "rows.jsonl").read_text())
    assert row["objects"] == {
        "ref": ["title"],
        "bbox": [[1, 2, 3, 4.5]],
        "bbox_type": "real",
        "image_id": [0],
    }
    assert "regions" not in row["_deepseek_ocr"]


def test_a_text_that_looks_like_a_mark_stays_what_it_is(tmp_path):
    region = Region(label="l", box=(1, 2, 3, 4))
    files(tmp_path)
    export(tmp_path / "rows.jsonl", [sample(text="<bbox>", regions=(region,))], "swift")
    (found,) = read_back(tmp_path, "swift")
    assert (found.text, found.regions, found.has_box_marks) == ("<bbox>", (region,), False)


@pytest.mark.parametrize("fields", ['{"total": "9"}', '{"total": 29.90, "rate": 1e2}'])
def test_fields_become_a_parse_of_donut(tmp_path, fields):
    export(tmp_path / "metadata.jsonl", [sample(text=fields)], "donut")
    row = json.loads((tmp_path / "metadata.jsonl").read_text())
    assert row["ground_truth"] == f'{{"gt_parse": {fields}}}'


def test_an_export_is_whole_or_not_there(tmp_path):
    def broken():
        yield sample()
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        export(tmp_path / "rows.jsonl", broken(), "jsonl")
    assert not list(tmp_path.iterdir())


def test_annotations_stream(tmp_path):
    count = 3000
    assert (
        export(tmp_path / "rows.json", (sample(id=str(n)) for n in range(count)), "json") == count
    )
    assert len(json.loads((tmp_path / "rows.json").read_text())) == count
    assert export(tmp_path / "none.json", [], "json") == 0
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_what_cannot_be_exported_is_told():
    with pytest.raises(UsageError, match="no format 'yolo'; known: json, jsonl, csv"):
        export_format("yolo")


def test_boxes_must_be_in_pixels(tmp_path):
    inside = sample(regions=(Region(label="", box=(0, 0, 1, 1)),), box_frame="shares")
    with pytest.raises(ValueError, match="1: boxes in shares; expected pixels"):
        export(tmp_path / "rows.json", [inside], "json")


@pytest.mark.parametrize("format", ["llava", "openai", "swift", "sharegpt"])
def test_a_weight_comes_back_from_an_export(tmp_path, format):
    files(tmp_path)
    export(tmp_path / "rows.jsonl", [sample(weight=2.5), sample(id="2")], format)
    assert [row.weight for row in read_back(tmp_path, format)] == [2.5, None]
