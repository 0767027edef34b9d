from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation, Region, read_annotations, write_annotations
from deepseek_ocr.errors import AnnotationError

from .datasets import draw

ROW = {"id": "a", "images": ["a.png"], "prompt": "<image>\nRead.", "text": "hello"}

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
SPECIAL = re.compile("<image>|<｜(begin|end)▁of▁sentence｜>")
plain = words.filter(lambda text: text.strip() and not SPECIAL.search(text))
regions = st.builds(
    Region,
    label=words,
    text=words,
    box=st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(50, 99)] * 2),
)
annotations = st.builds(
    Annotation,
    id=words,
    images=st.just(("a.png",)),
    prompt=st.just("<image>\nRead."),
    text=plain,
    regions=st.lists(regions, max_size=2).map(tuple),
    group=st.none() | words,
    lang=st.none() | words,
    source=st.none() | words,
    weight=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
)


def write(path, *rows):
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    return path


@given(st.lists(annotations, min_size=1, max_size=4, unique_by=lambda a: a.id))
def test_what_is_written_is_read_back_equal(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("a") / "train.json"
    write_annotations(path, rows)
    assert read_annotations(path) == rows
    assert len(path.read_bytes().split(b"\n")) == len(rows) + 3  # an object a line


def test_jsonl_is_read_too(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROW) + "\n\n" + json.dumps(ROW | {"id": "b"}) + "\n")
    assert [row.id for row in read_annotations(path)] == ["a", "b"]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"txt": "x"}, "unknown key 'txt'; did you mean 'text'?"),
        ({"text": None}, "'text': expected a string, found null"),
        ({"text": 3}, "'text': expected a string, found a number"),
        ({"text": " \n"}, "the text is empty"),
        ({"text": "a <image>"}, "the special token <image> stands in the text"),
        ({"text": "<｜end▁of▁sentence｜>"}, "special token"),
        ({"id": ""}, "'id' is empty"),
        ({"id": 3}, "'id': expected a string"),
        ({"images": "a.png"}, "'images': expected a list of strings"),
        ({"images": [1]}, "'images': expected a list of strings"),
        ({"images": ["/a.png"]}, "an absolute path; expected one relative to the data root"),
        ({"images": ["../a.png"]}, "leads out of the data root"),
        ({"images": []}, "the prompt has 1 <image> for 0 pictures"),
        ({"prompt": "Read."}, "the prompt has 0 <image> for 1 pictures"),
        ({"prompt": "<image><｜begin▁of▁sentence｜>"}, "in the prompt"),
        ({"regions": {}}, None),
        ({"regions": [1]}, "'regions': expected objects"),
        ({"regions": [{"label": "a", "box": [1, 2, 3]}]}, "expected four numbers"),
        ({"regions": [{"label": "a", "box": [1, 2, 3, True]}]}, "expected four numbers"),
        ({"regions": [{"label": "a", "box": [9, 2, 3, 4]}]}, "ends before it begins"),
        ({"regions": [{"label": "a", "box": [1, 2, 3, 10**400]}]}, "expected four numbers"),
        ({"regions": [{"label": "a", "box": [1, 2, 3, 4], "image": 1}]}, "region of picture 1"),
        ({"regions": [{"label": "a", "bbox": [1, 2, 3, 4]}]}, "unknown key 'bbox'"),
        ({"lang": 3}, "'lang': expected a string"),
        ({"weight": None}, None),
        ({"weight": 3}, None),
        ({"weight": "3"}, "'weight': expected a finite number above 0, found a string"),
        ({"weight": True}, "'weight': expected a finite number above 0, found true or false"),
        ({"weight": 0}, "'weight': expected a finite number above 0, found 0"),
        ({"weight": -1.5}, "'weight': expected a finite number above 0, found -1.5"),
        ({"weight": 10**400}, "'weight': expected a finite number above 0, found a number"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_reason(tmp_path, change, reason):
    path = write(tmp_path / "train.json", ROW, ROW | {"id": "b"} | change)
    if reason is None:
        read_annotations(path)
        return
    with pytest.raises(AnnotationError) as error:
        read_annotations(path)
    assert str(error.value).startswith(f"{path}:3: ") and reason in str(error.value)


@pytest.mark.parametrize("key", ["id", "images", "prompt", "text"])
def test_a_missing_key_is_named(tmp_path, key):
    path = write(tmp_path / "train.json", {k: v for k, v in ROW.items() if k != key})
    with pytest.raises(AnnotationError, match=rf":2: no '{key}'; expected the keys id, images"):
        read_annotations(path)


def test_the_number_of_bad_rows_is_told(tmp_path):
    path = write(tmp_path / "train.json", ROW, ROW, {}, 3)
    with pytest.raises(AnnotationError) as error:
        read_annotations(path)
    assert "already that of line 2" in str(error.value)
    assert "(and 2 more rows)" in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[{]", "\0", "null"])
def test_a_file_without_rows_is_an_error(tmp_path, content):
    path = tmp_path / "train.json"
    path.write_text(content)
    with pytest.raises(AnnotationError, match=r"train\.json:1: "):
        read_annotations(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.json: cannot be read \(No such file"):
        read_annotations(tmp_path / "none.json")
    with pytest.raises(AnnotationError, match="it is not a file"):
        read_annotations(tmp_path)


def test_another_data_root_is_noticed(tmp_path):
    draw(tmp_path / "root" / "a.png")
    rows = [ROW, ROW | {"id": "b", "images": ["b.png"]}, ROW | {"id": "c", "images": ["c.png"]}]
    path = write(tmp_path / "train.json", *rows)
    assert len(read_annotations(path)) == 3
    with pytest.raises(AnnotationError) as error:
        read_annotations(path, tmp_path / "root")
    assert str(error.value).startswith(f"{path}:3: b.png: does not exist below")
    assert "(2 of 3 files cannot be used)" in str(error.value)
    assert "--data_root" in str(error.value)


def test_pages_of_a_file_need_the_file_only(tmp_path):
    draw(tmp_path / "f.tif")
    row = ROW | {"images": ["f.tif#page=1", "f.tif#page=2"], "prompt": "<image><image>"}
    assert read_annotations(write(tmp_path / "t.json", row), tmp_path)[0].images[1].endswith("=2")


def test_the_tokens_that_no_text_may_hold_are_the_models():
    from deepseek_ocr.data.annotations import BEGIN_TOKEN, END_TOKEN, IMAGE_TOKEN
    from deepseek_ocr.model.processing import BOS, EOS, IMAGE

    assert (IMAGE_TOKEN, BEGIN_TOKEN, END_TOKEN) == (IMAGE, BOS, EOS)
