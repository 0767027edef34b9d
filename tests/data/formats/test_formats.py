from __future__ import annotations

import json
import os

import pytest

from deepseek_ocr.data.annotations import Annotation, Region
from deepseek_ocr.data.checking.dataset import check_dataset
from deepseek_ocr.data.folder import DatasetFolder, natural_order
from deepseek_ocr.data.formats import choose_reader, readers
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.errors import UsageError, UserError

from ..datasets import documents, draw, sidecars


def read(root, name="auto"):
    folder = DatasetFolder(root)
    return list(choose_reader(folder, name)[0].read(folder))


def detected(root) -> str:
    return choose_reader(DatasetFolder(root))[0].NAME


def only(found) -> Annotation:
    (sample,) = found
    assert isinstance(sample, Annotation), sample
    return sample


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_reader_is_a_module_and_is_found_by_being_there():
    assert set(readers()) >= {"sidecar", "json", "jsonl", "txt", "sroie"}


def test_pairs_with_json_beside_them_are_sidecars(tmp_path):
    row = {
        "text": "hello\n",
        "prompt": "Read.",
        "lang": "en",
        "group": "g",
        "id": 7,
        "kind": "letter",
        "regions": [{"label": "title", "bbox": [1, 2, 3, 4], "text": "hi"}],
    }
    sample = only(read(sidecars(tmp_path, {"a/b.png": row})))
    assert detected(tmp_path) == "sidecar"
    assert (sample.id, sample.images, sample.text) == ("7", ("a/b.png",), "hello\n")
    assert (sample.prompt, sample.lang, sample.group) == ("Read.", "en", "g")
    assert sample.regions == (Region(label="title", box=(1, 2, 3, 4), text="hi"),)
    assert sample.source == "a/b.json:1" and sample.attributes["kind"] == "letter"


@pytest.mark.parametrize("pictures, annotations", [("images", "annotations"), ("img", "labels")])
def test_annotations_may_lie_in_a_sister_folder(tmp_path, pictures, annotations):
    draw(tmp_path / pictures / "a" / "1.png")
    write(tmp_path / annotations / "a" / "1.json", {"text": "t"})
    assert only(read(tmp_path)).images == (f"{pictures}/a/1.png",)


def test_a_sidecar_may_list_several_pictures(tmp_path):
    sidecars(tmp_path, {"a_p1.png": {"text": "t", "images": ["a_p1.png", "a_p2.png"]}})
    draw(tmp_path / "a_p2.png")
    assert only(read(tmp_path)).images == ("a_p1.png", "a_p2.png")


def test_a_sidecar_that_lists_other_pictures_leaves_its_own_without_annotation(tmp_path):
    sidecars(tmp_path, {"a.png": {"text": "t", "images": ["b.png"]}})
    draw(tmp_path / "b.png")
    sample, problem = read(tmp_path)
    assert sample.images == ("b.png",)
    assert (problem.kind, problem.source) == ("picture without annotation", "a.png")


@pytest.mark.parametrize(
    "note, kind",
    [
        ("a.png", None),
        ("/home/me/scans/a.png", None),
        (r"C:\scans\a.png", None),
        ("original.pdf", None),
        ("b.png", "ambiguous annotation"),
        ("../../secret.png", "bad path"),
        ("/etc/passwd", "bad path"),
    ],
)
def test_a_sidecar_may_note_the_name_of_its_picture_but_no_other(tmp_path, note, kind):
    sidecars(tmp_path, {"a.png": {"text": "t", "image": note}, "b.png": "t"})
    found = read(tmp_path)[0]
    assert found.images == ("a.png",) if kind is None else found.kind == kind


def test_a_sidecar_may_stand_for_the_pages_of_a_tiff(tmp_path):
    pages = [f"a.tif#page={n}" for n in (1, 2)]
    draw(tmp_path / "a.tif")
    write(tmp_path / "a.json", {"text": "t", "images": pages})
    assert only(read(tmp_path)).images == tuple(pages)


@pytest.mark.parametrize("key", ["ground_truth", "markdown", "transcription", "answer", "gt"])
def test_the_usual_names_of_the_text_are_known(tmp_path, key):
    assert only(read(sidecars(tmp_path, {"a.png": {key: "t"}}))).text == "t"


def test_two_different_texts_are_a_problem_unless_one_is_called_text(tmp_path):
    (problem,) = read(sidecars(tmp_path / "1", {"a.png": {"markdown": "m", "answer": "a"}}))
    assert problem.reason == "'markdown' and 'answer' differ; call the one to learn 'text'"
    assert only(read(sidecars(tmp_path / "2", {"a.png": {"text": "t", "label": "l"}}))).text == "t"
    assert only(read(sidecars(tmp_path / "3", {"a.png": {"gt": "t", "label": "t"}}))).text == "t"


def test_a_list_names_its_pictures_from_its_own_folder_or_the_root(tmp_path):
    draw(tmp_path / "sub" / "a.png")
    draw(tmp_path / "b.png", 1)
    rows = [
        {"image": "./a.png", "text": "1"},
        {"images": ["b.png", "sub/a.png"], "text": "2"},
        {"images": [], "text": "3", "id": "third"},
    ]
    write(tmp_path / "sub" / "rows.json", "[\n" + ",\n".join(map(json.dumps, rows)) + "]")
    found = read(tmp_path)
    assert detected(tmp_path) == "json"
    assert [sample.images for sample in found] == [("sub/a.png",), ("b.png", "sub/a.png"), ()]
    assert [sample.source for sample in found] == [f"sub/rows.json:{n}" for n in (2, 3, 4)]


def test_jsonl_has_an_object_a_line(tmp_path):
    draw(tmp_path / "a.png")
    write(tmp_path / "rows.jsonl", '\n{"file_name": "a.png", "text": "t"}\n')
    assert detected(tmp_path) == "jsonl"
    sample = only(read(tmp_path))
    assert (sample.images, sample.source) == (("a.png",), "rows.jsonl:2")


def test_a_conversation_of_one_question_and_answer_is_read(tmp_path):
    turns = [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "A"}]
    draw(tmp_path / "a.png")
    write(tmp_path / "rows.json", [{"image": "a.png", "conversations": turns}])
    assert (only(read(tmp_path)).prompt, only(read(tmp_path)).text) == ("<image>\nQ", "A")


@pytest.mark.parametrize(
    "turns, reason",
    [
        ([("user", "q"), ("assistant", "a")] * 2, "a conversation's later turns are not supported"),
        ([("user", "q")], "a conversation of user; expected"),
        ([("user", "q"), ("tool", "t"), ("assistant", "a")], "a conversation of user, tool"),
        ([("user", None), ("assistant", "a")], "expected its text as a string"),
        ([], "a conversation of no turns"),
    ],
)
def test_other_conversations_are_problems_with_their_reason(tmp_path, turns, reason):
    draw(tmp_path / "a.png")
    messages = [{"role": role, "content": content} for role, content in turns]
    write(tmp_path / "rows.jsonl", {"image": "a.png", "messages": messages})
    (problem,) = read(tmp_path)
    assert reason in problem.reason and problem.source == "rows.jsonl:1"


def test_all_problems_of_a_row_are_told(tmp_path):
    draw(tmp_path / "a.png")
    row = {"image": "../x.png", "regions": [{"box": 3}], "lang": []}
    write(tmp_path / "rows.jsonl", '{"image": "a.png", "text": "t"}\n' + json.dumps(row))
    kinds = [found.kind for found in read(tmp_path) if isinstance(found, Problem)]
    assert kinds == ["bad path", "no text", "region", "bad value"]


@pytest.mark.parametrize(
    "image, kind",
    [
        ("none.png", "annotation without picture"),
        ("/etc/passwd", "bad path"),
        ("../up.png", "bad path"),
        ("a.png#page=0", "bad path"),
        (None, "annotation without picture"),
        (3, "annotation without picture"),
        ("", "bad path"),
    ],
)
def test_a_picture_that_is_not_there_is_a_problem_of_its_row(tmp_path, image, kind):
    draw(tmp_path / "a.png")
    rows = [{"image": "a.png", "text": "t"}, {"image": image, "text": "t"}]
    write(tmp_path / "rows.json", rows)
    _, problem = read(tmp_path)
    assert (problem.kind, problem.source) == (kind, "rows.json:1 (row 2)")


def test_a_picture_that_no_row_names_is_a_problem(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    draw(tmp_path / "c.png")
    write(tmp_path / "rows.json", [{"image": "a.png", "text": "t"}, {"image": "c.png"}])
    problems = [found for found in read(tmp_path) if isinstance(found, Problem)]
    assert [(p.kind, p.source) for p in problems] == [
        ("no text", "rows.json:1 (row 2)"),
        ("picture without annotation", "b.png"),
    ]


@pytest.mark.parametrize("suffix", [".txt", ".gt.txt"])
def test_text_files_beside_pictures_are_kept_as_written(tmp_path, suffix):
    draw(tmp_path / "a.b.png")
    (tmp_path / f"a.b{suffix}").write_bytes("\ufeff ä  b\r\nc\n".encode())
    sample = only(read(tmp_path))
    assert detected(tmp_path) == "txt"
    assert sample.text == " ä  b\nc" and sample.source == f"a.b{suffix}:1"


def test_pairs_that_are_none_are_problems(tmp_path):
    draw(tmp_path / "a.png")
    write(tmp_path / "a.txt", "t")
    draw(tmp_path / "b.png")
    write(tmp_path / "c.txt", "t")
    draw(tmp_path / "d.png")
    draw(tmp_path / "d.jpg")
    write(tmp_path / "d.txt", "t")
    problems = [found for found in read(tmp_path) if isinstance(found, Problem)]
    assert sorted((p.kind, p.source) for p in problems) == [
        ("ambiguous annotation", "d.txt:1"),
        ("annotation without picture", "c.txt:1"),
        ("picture without annotation", "b.png"),
    ]


def test_json_beats_text_where_a_picture_has_both(tmp_path):
    sidecars(tmp_path, {"a.png": "from json"})
    write(tmp_path / "a.txt", "from txt")
    assert only(read(tmp_path)).text == "from json"
    assert only(read(tmp_path, "txt")).text == "from txt"


def test_an_unknown_format_is_wrong_usage_and_an_unknown_folder_is_refused(tmp_path):
    draw(tmp_path / "a.png")
    folder = DatasetFolder(tmp_path)
    with pytest.raises(UsageError, match="no format 'yolo'; known: auto, "):
        choose_reader(folder, "yolo")
    with pytest.raises(UserError, match=r"no known format \(1 files, 1 of them pictures\)"):
        choose_reader(folder)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x")])
def test_a_root_that_is_no_folder_is_refused(tmp_path, make):
    make(tmp_path / "root")
    with pytest.raises(UserError, match="expected the folder that holds the pictures"):
        DatasetFolder(tmp_path / "root")


def test_a_broken_list_is_read_for_its_problems(tmp_path):
    draw(tmp_path / "a.png")
    write(tmp_path / "rows.json", '[{"image": "a.png"\n "text": 3}]')
    problems = read(tmp_path)
    assert detected(tmp_path) == "json" and problems[0].source == "rows.json:2"


def test_the_listing_has_one_order_and_no_hidden_files(tmp_path, monkeypatch):
    documents(tmp_path, 12)
    draw(tmp_path / ".cache" / "x.png")
    draw(tmp_path / "._doc0_p1.png")
    draw(tmp_path / "out" / "y.png")
    folder = DatasetFolder(tmp_path, left_out=[tmp_path / "out"])
    assert list(folder.pictures) == [f"doc{n}_p1.png" for n in range(12)]
    walk = os.walk

    def reversed_walk(root, onerror):
        for place, folders, files in walk(root, onerror=onerror):
            folders.reverse()
            yield place, folders, files[::-1]

    monkeypatch.setattr(os, "walk", reversed_walk)
    assert DatasetFolder(tmp_path, left_out=[tmp_path / "out"]).files == folder.files


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    documents(tmp_path, 1)

    def refused(root, onerror):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "sub")))
        yield from ()

    monkeypatch.setattr(os, "walk", refused)
    with pytest.raises(UserError, match=r"sub: the folder cannot be read \(Permission denied\)"):
        DatasetFolder(tmp_path)


@pytest.mark.parametrize(
    "name", ["doc0_p1.json", "doc0_p1.png", "rows.json", "rows.jsonl", "a.txt"]
)
def test_a_pipe_is_not_waited_on(tmp_path, name):
    documents(tmp_path, 2)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    folder = DatasetFolder(tmp_path)
    for reader in ("sidecar", "json", "jsonl", "txt"):
        choose_reader(folder)
        dataset = check_dataset(folder, readers()[reader], prompt="", group_by="document")
        assert all(problem.reason for problem in dataset.problems)


def test_numbers_in_names_sort_as_numbers():
    names = ["p10.png", "2/b", "p2.png", "10", "p02.png", "a"]
    assert sorted(names, key=natural_order) == ["2/b", "10", "a", "p02.png", "p2.png", "p10.png"]


def problems_of(root, name="auto"):
    return [found for found in read(root, name) if isinstance(found, Problem)]


@pytest.mark.parametrize(
    "files, kept",
    [
        (["a.gt.txt", "a.txt"], "a.gt.txt"),
        (["a.json", "a.png.json"], "a.json"),
        (["annotations/a.json", "labels/a.json"], "annotations/a.json"),
    ],
)
def test_two_annotations_of_one_picture_are_a_problem_and_none_is_chosen(tmp_path, files, kept):
    draw(tmp_path / "images" / "a.png")
    for file in files:
        write(tmp_path / ("" if "/" in file else "images") / file, {"text": file})
    (problem,) = read(tmp_path)
    assert problem.kind == "ambiguous annotation" and problem.source.endswith(f"{kept}:1")
    assert all(file in str(problem) for file in files)


def test_a_picture_beside_its_annotation_claims_no_file_of_a_sister_folder(tmp_path):
    for place, text in (("", "top"), ("labels", "below")):
        write(tmp_path / place / "1.json", {"text": text})
    draw(tmp_path / "1.png")
    draw(tmp_path / "images" / "1.png", 1)
    found = read(tmp_path)
    assert {s.images[0]: s.text for s in found} == {"1.png": "top", "images/1.png": "below"}


def test_image_and_images_may_both_be_there_only_if_they_agree(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png", 1)
    rows = [
        {"image": "a.png", "images": ["a.png", "b.png"], "text": "t"},
        {"image": "b.png", "images": ["a.png"], "text": "t"},
    ]
    write(tmp_path / "rows.json", rows)
    sample, problem = read(tmp_path)
    assert sample.images == ("a.png", "b.png")
    assert str(problem) == (
        "rows.json:1 (row 2): 'image' and 'images' name different pictures; keep 'images'"
    )


@pytest.mark.parametrize("name", ["a.json", "a.txt", "rows.jsonl", "box/1.csv", "loop.json"])
def test_an_annotation_that_links_out_of_the_root_is_a_problem_and_not_read(tmp_path, name):
    secret = write(tmp_path / "secret", '{"text": "secret", "image": "a.png"}')
    root = tmp_path / "d"
    draw(root / "a.png")
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).symlink_to(root / name if name == "loop.json" else secret)
    folder = DatasetFolder(root)
    assert name not in folder.files
    assert [(p.kind, p.source) for p in folder.problems] == [("link out of the data root", name)]
    for reader in readers().values():
        dataset = check_dataset(folder, reader, prompt="", group_by="document")
        assert not dataset.samples and folder.problems[0] in dataset.problems
        assert name not in dict(dataset.hashes())


def test_links_inside_the_root_are_read_and_linked_folders_outside_are_told(tmp_path):
    root = sidecars(tmp_path / "d", {"a.png": "t"})
    sidecars(tmp_path / "other", {"b.png": "t"})
    (root / "a.json").rename(root / "text.of.a")
    (root / "a.json").symlink_to("text.of.a")
    (root / "more").symlink_to(tmp_path / "other")
    (root / "again").symlink_to(root)
    assert only(read(root)).text == "t"
    assert [p.source for p in DatasetFolder(root).problems] == ["more"]


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"text": None}, "'text' is null; expected a string"),
        ({"txet": "t"}, "no key 'text'; did you mean 'text' where 'txet' stands?"),
        ({"x": 1}, "no key 'text'; found x"),
    ],
)
def test_a_row_without_text_hears_what_is_expected(tmp_path, row, reason):
    (problem,) = read(sidecars(tmp_path, {"a.png": row}))
    assert problem.reason.startswith(reason)


def test_a_path_may_climb_as_long_as_it_stays_below_the_root(tmp_path):
    draw(tmp_path / "2.tif")
    draw(tmp_path / "b.png", 1)
    rows = [{"image": "../2.tif#page=1", "text": "t"}, {"image": "../../b.png", "text": "t"}]
    write(tmp_path / "lists" / "a.json", [*rows, {"image": "../b.png"}])
    sample, outside, no_text = read(tmp_path)
    assert sample.images == ("2.tif#page=1",)
    assert (outside.kind, no_text.kind) == ("bad path", "no text")


def test_after_a_syntax_error_no_picture_is_said_to_be_without_annotation(tmp_path):
    for number in range(3):
        draw(tmp_path / f"{number}.png", number)
    write(tmp_path / "rows.json", '[{"image": "0.png", "text": "t"},\n{"image": "1.png" "x"}]')
    (problem,) = problems_of(tmp_path)
    assert problem.source == "rows.json:2" and problem.kind == "not valid JSON"


def test_a_list_in_lines_called_json_is_told_its_name(tmp_path):
    draw(tmp_path / "0.png")
    write(tmp_path / "rows.json", '{"image": "0.png", "text": "t"}\n' * 2)
    (problem,) = read(tmp_path)
    assert "expected a JSON array of objects" in problem.reason and ".jsonl" in problem.reason
    (tmp_path / "rows.json").rename(tmp_path / "0.json")
    (problem,) = read(tmp_path, "sidecar")
    assert "an object a line belongs in a file named .jsonl" in problem.reason


def test_a_format_that_has_no_files_here_is_refused(tmp_path):
    sidecars(tmp_path, {"a.png": "t"})
    with pytest.raises(UserError, match=r"no file ends in .jsonl or .ndjson, as --format jsonl"):
        read(tmp_path, "jsonl")


def test_a_folder_without_a_known_shape_is_told_which_files_were_not_read(tmp_path):
    secret = write(tmp_path / "secret.json", {"text": "t"})
    draw(tmp_path / "d" / "a.png")
    (tmp_path / "d" / "a.json").symlink_to(secret)
    with pytest.raises(UserError, match=r"no known format[^\n]*\na.json: a link that leads out"):
        read(tmp_path / "d")


def test_the_weight_of_a_row_is_read_where_it_is_a_number(tmp_path):
    weights = [2.5, 3, "bold", None, 0, -1]
    for number in range(len(weights)):
        draw(tmp_path / f"{number}.png")
    rows = [{"image": f"{i}.png", "text": "a", "weight": w} for i, w in enumerate(weights)]
    write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    *good, zero, below = read(tmp_path)
    assert [row.weight for row in good] == [2.5, 3.0, None, None]
    assert good[2].attributes["weight"] == "bold"
    for problem in (zero, below):
        assert isinstance(problem, Problem)
        assert problem.reason.startswith("'weight': expected a finite number above 0, found ")
