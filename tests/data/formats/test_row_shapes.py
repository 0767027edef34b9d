"""Every shape of row, as the tools that write it do: `field_notes` names their sources."""

from __future__ import annotations

import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepseek_ocr.data.annotations import Annotation, Region
from deepseek_ocr.data.checking.boxes import in_pixels
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader, readers
from deepseek_ocr.data.formats._generic import shape_of
from deepseek_ocr.data.inspection.verification import PageReport
from deepseek_ocr.data.pages.loading import load_page
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.truth.grounding import fill_box_marks
from deepseek_ocr.data.truth.structures import Cell, Fields, Formula, Table

from ..datasets import draw

NAMES = (
    "imagefolder",
    "nougat",
    "llava",
    "sharegpt",
    "swift",
    "openai",
    "trl",
    "unsloth",
    "alpaca",
    "ernie",
    "unlimited",
)


def picture_bytes(shade: int = 0) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, 0, 0)).save(content, "PNG")
    return content.getvalue()


def base64_of(shade: int = 0) -> str:
    return base64.b64encode(picture_bytes(shade)).decode()


DATA_URL = f"data:image/png;base64,{base64_of()}"


def said(question, answer, *, role="role", content="content", user="user", assistant="assistant"):
    return [{role: user, content: question}, {role: assistant, content: answer}]


def shared_said(question, answer):
    return said(question, answer, role="from", content="value", user="human", assistant="gpt")


TEXT = {"type": "text", "text": "OCR"}

# name, row, images, prompt, text
SHAPES = {
    "nougat": ("nougat", {"image": "a.png", "markdown": "# m", "meta": 1}, ["a.png"], "", "# m"),
    "llava": ("llava", {"id": "1", "image": "a.png", "conversations": shared_said("<image>\nOCR: ", "A")}, ["a.png"], "<image>\nOCR: ", "A"),
    "llava with a list": ("llava", {"image": ["a.png", "b.png"], "conversations": shared_said("<image><image>Q", "A")}, ["a.png", "b.png"], "<image><image>Q", "A"),
    "got": ("llava", {"image": "pages", "conversations": shared_said("<image>\nOCR", "A")}, ["pages/1.png", "pages/2.png", "pages/10.png"], "<image><image><image>\nOCR", "A"),
    "llama factory": ("sharegpt", {"conversations": shared_said("<image>Q", "A"), "images": ["a.png"]}, ["a.png"], "<image>Q", "A"),
    "swift sharegpt": ("sharegpt", {"system": "S", "conversation": [{"human": "<image>Q", "assistant": "A"}], "images": ["a.png"]}, ["a.png"], "S\n<image>Q", "A"),
    "swift": ("swift", {"messages": said("<image>Free OCR.", "A"), "images": ["a.png"]}, ["a.png"], "<image>Free OCR.", "A"),
    "swift system": ("swift", {"messages": [{"role": "system", "content": "S"}, *said("<image>Q", "A")], "images": ["a.png"]}, ["a.png"], "S\n<image>Q", "A"),
    "swift image": ("swift", {"messages": said("<image>Q", "A"), "image": "a.png"}, ["a.png"], "<image>Q", "A"),
    "swift text only": ("swift", {"messages": said("Q", "A"), "images": []}, [], "Q", "A"),
    "swift query": ("swift", {"query": "<image>Q", "response": "A", "images": ["a.png"]}, ["a.png"], "<image>Q", "A"),
    "swift aliases": ("swift", {"problem": "<image>Q", "solution": "A", "images": ["a.png"], "system": "S"}, ["a.png"], "S\n<image>Q", "A"),
    "swift struct": ("swift", {"messages": said("<image>Q", "A"), "images": [{"path": "a.png", "bytes": None}]}, ["a.png"], "<image>Q", "A"),
    "openai": ("openai", {"messages": said([{"type": "image_url", "image_url": {"url": "a.png"}}, TEXT], "A")}, ["a.png"], "OCR", "A"),
    "openai bare": ("openai", {"messages": said([TEXT, {"type": "image_url", "image_url": "a.png"}], [{"type": "text", "text": "A"}])}, ["a.png"], "OCR", "A"),
    "openai data": ("openai", {"messages": said([{"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}}, TEXT], "A")}, ["rows.jsonl#line=1&image=1"], "OCR", "A"),
    "openai between": ("openai", {"messages": said([TEXT, {"type": "input_image", "image_url": "a.png"}, {"type": "input_text", "text": "And"}], "A")}, ["a.png"], "OCR\n<image>\nAnd", "A"),
    "trl": ("trl", {"messages": said([{"type": "image"}, TEXT], [{"type": "text", "text": "A"}]), "images": ["a.png"]}, ["a.png"], "OCR", "A"),
    "trl null members": ("trl", {"messages": said([{"index": 0, "text": None, "type": "image"}, {"index": None, **TEXT}], [{"type": "text", "text": "A"}]), "images": ["a.png"]}, ["a.png"], "OCR", "A"),
    "trl prompt": ("trl", {"prompt": [{"role": "user", "content": [{"type": "image"}, TEXT]}], "completion": [{"role": "assistant", "content": [{"type": "text", "text": "A"}]}], "images": ["a.png"]}, ["a.png"], "OCR", "A"),
    "trl paths": ("trl", {"messages": said([{"type": "image", "image": "a.png"}, TEXT], "A")}, ["a.png"], "OCR", "A"),
    "unsloth": ("unsloth", {"messages": [{"role": "<|User|>", "content": "<image>\nFree OCR. ", "images": ["a.png"]}, {"role": "<|Assistant|>", "content": "A"}]}, ["a.png"], "<image>\nFree OCR. ", "A"),
    "unsloth bytes": ("unsloth", {"messages": [{"role": "<|User|>", "content": "<image>\nFree OCR. ", "images": [{"bytes": base64_of()}, "a.png"]}, {"role": "<|Assistant|>", "content": "A"}]}, ["rows.jsonl#line=1&image=1", "a.png"], "<image>\nFree OCR. ", "A"),
    "alpaca": ("alpaca", {"instruction": "<image>I", "input": "", "output": "A", "images": ["a.png"]}, ["a.png"], "<image>I", "A"),
    "alpaca input": ("alpaca", {"instruction": "<image>I", "input": "in", "output": "A", "images": ["a.png"], "system": "S", "history": []}, ["a.png"], "S\n<image>I\nin", "A"),
    "ernie": ("ernie", {"image_info": [{"matched_text_index": 0, "image_url": "./a.png"}], "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "A", "tag": "no_mask"}]}, ["a.png"], "<image>\nOCR:", "A"),
    "ernie two": ("ernie", {"image_info": [{"matched_text_index": 0, "image_url": "a.png"}, {"matched_text_index": 1, "image_url": "b.png"}], "text_info": [{"text": "1", "tag": "mask"}, {"text": "\n2", "tag": "mask"}, {"text": "A", "tag": "no_mask"}]}, ["a.png", "b.png"], "<image>\n1<image>\n2", "A"),
    "unlimited": ("unlimited", {"id": "u", "image": "a.png", "mode": "base", "prompt": "<image>Q", "target": "A", "target_format": "markdown", "task": "t", "meta": {"k": "v"}}, ["a.png"], "<image>Q", "A"),
    "donut text": ("imagefolder", {"file_name": "a.png", "ground_truth": '{"gt_parse": {"text_sequence": "A"}}'}, ["a.png"], "", "A"),
    "donut fields": ("imagefolder", {"file_name": "a.png", "ground_truth": '{"gt_parse": {"menu": [{"nm": "cake", "cnt": "2"}]}}'}, ["a.png"], "", '{"menu": [{"nm": "cake", "cnt": "2"}]}'),
    "donut questions": ("imagefolder", {"file_name": "a.png", "ground_truth": '{"gt_parses": [{"question": "Q", "answer": "A"}, {"question": "Q", "answer": "B"}]}'}, ["a.png"], "Q", "A"),
    "donut behind other keys": ("imagefolder", {"file_name": "a.png", "ground_truth": json.dumps({"meta": {"version": "x" * 300}, "gt_parse": {"total": "9"}})}, ["a.png"], "", '{"total": "9"}'),
    "donut numbers": ("imagefolder", {"file_name": "a.png", "ground_truth": '{"gt_parse": {"net": 29.90, "rate": 1e2}}'}, ["a.png"], "", '{"net": 29.90, "rate": 1e2}'),
    "no donut": ("imagefolder", {"file_name": "a.png", "ground_truth": '{"keys": ["gt_parse", {"gt_parse": 1}]}'}, ["a.png"], "", '{"keys": ["gt_parse", {"gt_parse": 1}]}'),
    "imagefolder": ("imagefolder", {"file_name": "a.png", "text": "A"}, ["a.png"], "", "A"),
    "imagefolder of two": ("imagefolder", {"front_file_name": "a.png", "back_file_name": "b.png", "text": "A"}, ["a.png", "b.png"], "", "A"),
    "imagefolder list": ("imagefolder", {"file_names": ["b.png", "a.png"], "text": "A"}, ["b.png", "a.png"], "", "A"),
}  # fmt: skip


NOT_IN_A_MIX = ("openai data", "unsloth bytes", "imagefolder of two")  # by line, by file name


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_is_told_by_the_marks_of_its_shape(shape):
    if shape != "imagefolder of two":  # known by the name of its file alone
        found = shape_of(SHAPES[shape][1])
        assert found is not None and SHAPES[shape][0] == found.NAME


def folder_with(root, *rows, file=None) -> DatasetFolder:
    for shade, name in enumerate(("a.png", "b.png", "pages/1.png", "pages/10.png", "pages/2.png")):
        draw(root / name, shade)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (root / (file or "rows.jsonl")).write_text("\n".join(lines), encoding="utf-8")
    return DatasetFolder(root)


def read(folder, name="auto"):
    found = list(choose_reader(folder, name)[0].read(folder))
    return [one for one in found if isinstance(one, Annotation) or one.of_row]


def metadata(name: str) -> str:
    return "metadata.jsonl" if name == "imagefolder" else "rows.jsonl"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_found_and_read(tmp_path, shape):
    name, row, images, prompt, text = SHAPES[shape]
    folder = folder_with(tmp_path, row, file=metadata(name))
    chosen = choose_reader(folder)[0].NAME
    assert chosen == name
    (sample,) = read(folder)
    assert isinstance(sample, Annotation), sample
    assert (list(sample.images), sample.prompt, sample.text) == (images, prompt, text)
    assert sample.source == f"{metadata(name)}:1"
    for reference in sample.images:
        load_page(tmp_path, reference)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_row_has_two_shapes(shape):
    name, row, *_ = SHAPES[shape]
    assert [n for n in NAMES if readers()[n].is_row(row)] == [name]


@pytest.mark.parametrize("ending", ["array", "array in a line", "lines"])
@pytest.mark.parametrize("name", ["json", "auto"])
def test_one_folder_may_mix_all_shapes(tmp_path, ending, name):
    shapes = [shape for shape in SHAPES if shape not in NOT_IN_A_MIX]
    rows = [SHAPES[shape][1] for shape in shapes]
    folder_with(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    if ending == "lines":
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        separator = ",\n" if ending == "array" else ","
        (tmp_path / "rows.json").write_text(f"[{separator.join(map(json.dumps, rows))}]")
    name = "jsonl" if name == "json" and ending == "lines" else name
    found = read(DatasetFolder(tmp_path), name)
    assert not [problem for problem in found if isinstance(problem, Problem)]
    read_back = [(list(sample.images), sample.prompt, sample.text) for sample in found]
    assert read_back == [tuple(SHAPES[shape][2:]) for shape in shapes]


def problem_of(tmp_path, row, name="auto", file="rows.jsonl") -> Problem:
    (problem,) = read(folder_with(tmp_path, row, file=file), name)
    assert isinstance(problem, Problem), problem
    assert problem.source == f"{file}:1"
    return problem


HTTP = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}

# reason, row
BROKEN = {
    "later turns": ("later turns are not supported", {"images": ["a.png"], "messages": said("Q", "A") * 2}),
    "history": ("earlier turns ('history')", {"query": "Q", "response": "A", "history": [["q", "a"]], "images": ["a.png"]}),
    "alpaca history": ("earlier turns ('history')", {"instruction": "Q", "output": "A", "history": [["q", "a"]], "images": ["a.png"]}),
    "address": ("the picture is at https://example.org/a.png; nothing is fetched", {"messages": said([HTTP, TEXT], "A")}),
    "not learned": ("loss: false", {"images": ["a.png"], "messages": [*said("<image>Q", "A")[:1], {"role": "assistant", "content": "A", "loss": False}]}),
    "picture in answer": ("a picture in the answer", {"images": ["a.png"], "messages": said("Q", [{"type": "image"}])}),
    "more shown": ("the conversation shows 2 pictures, the row names 1", {"images": ["a.png"], "messages": said([{"type": "image"}, {"type": "image"}, TEXT], "A")}),
    "sound": ("a part of type 'input_audio'", {"images": ["a.png"], "messages": said([{"type": "input_audio"}, TEXT], "A")}),
    "part": ("a part of a turn is a number", {"images": ["a.png"], "messages": said([{"type": "image"}, 3], "A")}),
    "tools": ("a conversation of user, tool, assistant", {"images": ["a.png"], "messages": [{"role": "user", "content": "Q"}, {"role": "tool", "content": "T"}, {"role": "assistant", "content": "A"}]}),
    "null answer": ("expected its text as a string, found null", {"images": ["a.png"], "messages": said("Q", None)}),
    "no answer": ("a conversation of user; expected", {"images": ["a.png"], "messages": said("Q", "A")[:1]}),
    "nothing known": ("a turn of a conversation has speaker, words", {"images": ["a.png"], "conversation": [{"human": "Q", "assistant": "A"}, {"speaker": "x", "words": "y"}]}),
    "two texts": ("'text' and the answer of the conversation differ", {"images": ["a.png"], "messages": said("Q", "A"), "text": "B"}),
    "null output": ("'output' is null", {"instruction": "Q", "output": None, "images": ["a.png"]}),
    "number": ("'instruction' is a number", {"instruction": 3, "output": "A", "images": ["a.png"]}),
    "two answers": ("'answer' and 'solution' differ", {"problem": "Q", "answer": "A", "solution": "B", "images": ["a.png"]}),
    "masked": ("every text is masked", {"image_info": [], "text_info": [{"text": "Q", "tag": "mask"}]}),
    "masked later": ("a masked text after the answer", {"image_info": [], "text_info": [{"text": "Q", "tag": "no_mask"}, {"text": "Q", "tag": "mask"}]}),
    "ernie index": ("a picture in front of text 1, which is no text of the question", {"image_info": [{"matched_text_index": 1, "image_url": "a.png"}], "text_info": [{"text": "Q", "tag": "mask"}, {"text": "A", "tag": "no_mask"}]}),
    "ernie tag": ("expected a 'text' and the tag", {"image_info": [], "text_info": [{"text": "Q", "tag": "x"}]}),
    "questions": ("'gt_parses' ask 2 questions", {"image": "a.png", "ground_truth": '{"gt_parses": [{"question": "1", "answer": "A"}, {"question": "2", "answer": "B"}]}'}),
    "no parses": ("expected 'gt_parse', or 'gt_parses' with", {"image": "a.png", "ground_truth": '{"gt_parses": []}'}),
    "torn parse": ("'ground_truth': not valid JSON", {"image": "a.png", "ground_truth": '{"gt_parse": {"a": '}),
    "number without end": ("1e400 is too large for a number", {"image": "a.png", "ground_truth": '{"gt_parse": {"net": 1e400}}'}),
    "parse of text": ("'gt_parse' is a string", {"image": "a.png", "ground_truth": '{"gt_parse": "x"}'}),
    "text_sequence": ("'text_sequence' is a number", {"image": "a.png", "ground_truth": '{"gt_parse": {"text_sequence": 1}}'}),
    "missing": ("the picture none.png does not exist below", {"image": "none.png", "markdown": "m"}),
    "elsewhere": ("/data/x/pages/2.png: an absolute path outside the data root; pages/2.png lies there", {"image": "/data/x/pages/2.png", "markdown": "m"}),
    "long path": ("aaa... does not exist", {"image": "a" * 5000, "markdown": "m"}),
    "file_names": ("'file_names' holds a number", {"file_names": [3], "text": "t"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_a_problem_that_says_why(tmp_path, case):
    reason, row = BROKEN[case]
    assert reason in problem_of(tmp_path, row).reason


def test_fields_are_kept_as_a_structure(tmp_path):
    row = {"image": "a.png", "ground_truth": json.dumps({"gt_parse": {"total": "9"}, "meta": {}})}
    (sample,) = read(folder_with(tmp_path, row))
    assert sample.structure == (Fields(value={"total": "9"}),)


def test_absolute_paths_inside_the_root_become_relative(tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    rows = [
        {"messages": said("<image>Q", "A"), "images": [str(tmp_path / "pages" / "1.png")]},
        {"messages": said("<image>Q", "A"), "images": [f"file://{tmp_path}/a.png"]},
        {"messages": said("<image>Q", "A"), "images": [f"{tmp_path}/x/../b.png#page=1"]},
    ]
    found = read(folder_with(tmp_path, *rows))
    assert [sample.images for sample in found] == [("pages/1.png",), ("a.png",), ("b.png#page=1",)]
    found = list(
        choose_reader(DatasetFolder(tmp_path / "linked"))[0].read(
            DatasetFolder(tmp_path / "linked")
        )
    )
    assert isinstance(found[0], Problem) or found[0].images == ("pages/1.png",)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/{root}/../../etc/passwd",
        "../../etc/passwd",
        "file:///etc/passwd",
        "file:///etc/%70asswd",
    ],
)
def test_no_path_leaves_the_root(tmp_path, path):
    row = {"image": path.replace("{root}", str(tmp_path)), "markdown": "m"}
    assert problem_of(tmp_path, row).kind in ("bad path", "annotation without picture")


def objects(**more):
    return {
        "ref": ["sheep"],
        "bbox": [[0.1, 0.2, 0.5, 1.0], [0, 0, 1, 1]],
        "bbox_type": "norm1",
    } | more


def grounded(answer="<bbox><bbox>", **more):
    messages = said("<image>Find the <ref-object>.", answer)
    return {"messages": messages, "images": ["a.png"], "objects": objects(**more)}


@pytest.mark.parametrize("kind, side", [("norm1", 1), ("real", 40)])
def test_marks_of_objects_become_the_models_words_and_regions(tmp_path, kind, side):
    boxes = [[0.1 * side, 0.2 * side, 0.5 * side, side], [0, 0, side, side]]
    row = grounded("<bbox><bbox> and <bbox>", bbox=[*boxes, boxes[0]], bbox_type=kind)
    (sample,) = read(folder_with(tmp_path, row))
    assert sample.prompt == "<image>Find the <|ref|>sheep<|/ref|>."
    assert sample.text == "<bbox><bbox> and <bbox>" and sample.has_box_marks
    assert sample.regions[0] == Region(label="sheep", box=tuple(boxes[0]))

    pixels = in_pixels(sample, [PageReport(width=40, height=40)], lambda _: 1)
    filled = fill_box_marks(pixels, [(40, 40)])
    first, second = "[100, 200, 500, 999]", "[0, 0, 999, 999]"
    assert filled.text == f"<|det|>[{first}, {second}]<|/det|> and <|det|>[{first}]<|/det|>"
    assert not filled.has_box_marks


def test_a_text_without_objects_keeps_what_looks_like_a_mark(tmp_path):
    row = {"query": "<image>Q", "response": "<bbox>", "images": ["a.png"]}
    (sample,) = read(folder_with(tmp_path, row))
    assert sample.text == "<bbox>" and not sample.has_box_marks


@pytest.mark.parametrize(
    "row, reason",
    [
        (grounded("<bbox>" * 3), "more <bbox> in the texts"),
        (grounded("<ref-object>"), "more <ref-object> in the texts"),
        (grounded(bbox_type="cm"), "'bbox_type' is 'cm'"),
        (grounded(bbox=[[1, 2]]), "expected four numbers"),
        (grounded(bbox=[[3, 2, 1, 4]]), "ends before it begins"),
        (grounded(bbox=3), "'bbox' of 'objects' is a number"),
        (grounded(ref=[3]), "'ref' of 'objects': expected a list of strings"),
        (grounded(image_id=[0]), "'image_id' of 'objects': expected the number"),
        (grounded() | {"objects": [1]}, "'objects' is a list"),
    ],
)  # fmt: skip
def test_bad_objects_are_told(tmp_path, row, reason):
    found = read(folder_with(tmp_path, row))
    assert found and all(isinstance(problem, Problem) for problem in found)
    assert reason in found[0].reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "a.png", "user", "Q", DATA_URL, "image", "text", '{"gt_parse": {}}']),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["role", "from", "content", "value", "type", "text", "image", "image_url", "url", "bytes", "path", "human", "assistant", "ref", "bbox", "tag", "loss"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
KEYS = ["id", "image", "images", "text", "messages", "conversations", "conversation", "objects", "query", "response", "instruction", "input", "output", "image_info", "text_info", "target", "mode", "meta", "file_name", "file_names", "ground_truth", "markdown", "prompt", "completion", "system", "history", "regions", "group", "lang", "problem", "solution", "_deepseek_ocr"]  # fmt: skip


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    return folder_with(tmp_path_factory.mktemp("rows"))


@given(row=st.dictionaries(st.sampled_from(KEYS), json_values, max_size=6))
def test_whatever_a_row_holds_it_gives_samples_or_problems(small_folder, row):
    from deepseek_ocr.data.formats._generic import convert, names_pictures
    from deepseek_ocr.data.json_files.rows import Row

    names_pictures(row)
    for name in NAMES:
        assert readers()[name].is_row(row) in (True, False)
        for found in readers()[name].convert(Row(1, row), "rows.jsonl", small_folder):
            assert isinstance(found, Annotation | Problem)
    assert list(convert(Row(1, row), "rows.jsonl", small_folder))


def test_an_array_in_a_file_of_lines_is_read_as_one(tmp_path):
    folder_with(tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps([{"image": DATA_URL, "text": "t"}]))
    (sample,) = read(DatasetFolder(tmp_path))
    assert sample.images == ("rows.jsonl#row=1&image=1",)
    load_page(tmp_path, sample.images[0])


def test_pictures_in_an_array_are_named_by_their_row(tmp_path):
    folder_with(tmp_path)
    rows = [{"image": "a.png", "text": "1"}, 3, {"images": ["b.png", DATA_URL], "text": "2"}]
    (tmp_path / "rows.jsonl").rename(tmp_path / "rows.json")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    first, problem, second = read(DatasetFolder(tmp_path))
    assert first.images == ("a.png",) and isinstance(problem, Problem)
    assert second.images == ("b.png", "rows.json#row=3&image=2")
    load_page(tmp_path, second.images[1])


def test_a_picture_within_a_sidecar_is_told_to_be_a_file(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"images": [DATA_URL], "text": "t"}))
    (problem,) = read(DatasetFolder(tmp_path), "sidecar")
    assert "save it as a file and name it" in problem.reason


@pytest.mark.parametrize("shape", ["llava", "sharegpt", "openai", "trl", "unsloth", "swift"])
def test_a_row_of_text_only_is_of_the_shape_of_its_neighbours(tmp_path, shape):
    _, row, *_ = SHAPES["llama factory" if shape == "sharegpt" else shape]
    key = "messages" if "messages" in row else "conversations"
    said = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    text_only = {key: said if key == "messages" else shared_said("Q", "A")}
    folder = folder_with(tmp_path, row, text_only, text_only)
    name = choose_reader(folder)[0].NAME
    assert name == shape
    assert [sample.text for sample in read(folder)][1:] == ["A", "A"]


def test_rows_in_files_that_are_not_read_are_told_with_the_format(tmp_path):
    folder_with(tmp_path, SHAPES["llava"][1])
    (tmp_path / "more.csv").write_text("image,text\na.png,t\n")
    (tmp_path / "sizes.csv").write_text("image,width\na.png,3\n")
    _, reason = choose_reader(DatasetFolder(tmp_path))
    assert (
        reason
        == "1 of the 1 rows looked at in rows.jsonl have this shape; the rows of more.csv are not read"
    )


def test_tables_and_formulas_of_paddle_are_structures(tmp_path):
    def row(answer):
        return {
            "image_info": [{"image_url": "a.png"}],
            "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": answer, "tag": "no_mask"}],
        }

    table, formula, text = read(
        folder_with(tmp_path, *map(row, ("<fcel>a<nl>", r"\[ x^2 \]", "a")))
    )
    assert table.structure == (Table(cells=(Cell(row=0, column=0, text="a"),)),)
    assert formula.structure == (Formula(latex="x^2"),) and text.structure == ()
    assert (table.text, formula.text) == ("<fcel>a<nl>", r"\[ x^2 \]")
