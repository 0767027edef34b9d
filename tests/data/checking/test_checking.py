from __future__ import annotations

import dataclasses
import json
import os
import re

import pytest
from PIL import Image

from deepseek_ocr.data.annotations import BEGIN_TOKEN, Annotation, Region
from deepseek_ocr.data.checking.dataset import check_dataset
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.prompts import DEFAULT_PROMPT, for_images, typed_prompt, with_image_tokens
from deepseek_ocr.data.splitting.plan import SplitConfig, plan_split
from deepseek_ocr.data.truth.structures import Fields
from deepseek_ocr.errors import UsageError

from ..datasets import documents, draw, sidecars
from ..formats.folders import make

TABLE_FILES = {
    "us-1.pdf": None,
    "us-1-reg.xml": "<document>",
    "us-1-str.xml": '<document><table id="1"><region id="1" page="1"><cell start-row="0" '
    'start-col="0"><content>a</content></cell></region></table></document>',
}


def check(root, prompt=DEFAULT_PROMPT, group_by="document", **rules):
    folder = DatasetFolder(root)
    reader = choose_reader(folder)[0]
    return check_dataset(folder, reader, prompt=prompt, group_by=group_by, **rules)


def problems(root, **rules) -> list[Problem]:
    return list(check(root, **rules).problems)


@dataclasses.dataclass
class Rows:
    """A reader that gives what it was made with."""

    found: list[Annotation | Problem]
    NAME = "rows"
    SUFFIXES = (".json",)

    def detect(self, folder):
        return None

    def read(self, folder):
        yield from self.found


def check_rows(root, *found, **rules):
    rules = {"prompt": DEFAULT_PROMPT, "group_by": "document"} | rules
    return check_dataset(DatasetFolder(root), Rows(list(found)), **rules)


def row(**values) -> Annotation:
    return Annotation(
        **{"id": "", "images": (), "prompt": "", "text": "t", "source": "f:1"} | values
    )


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
    assert [row.id for row in dataset.samples] == ["same"]
    assert dataset.num_rows == 8


def test_ids_and_prompts_are_filled_in(tmp_path):
    sidecars(tmp_path, {"a_p1.png": "t", "b.png": {"text": "t", "prompt": "Read it."}})
    first, second = check(tmp_path, prompt=r"<image>\nOCR.").samples
    assert (first.id, first.prompt) == ("a_p1.png", "<image>\nOCR.")
    assert second.prompt == "<image>\nRead it."


def test_rows_about_one_picture_get_names_of_their_own(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "text": "t"}\n' * 3)
    assert [row.id for row in check(tmp_path).samples] == ["a.png", "a.png~2", "a.png~3"]


def test_ids_that_are_there_twice_are_told_with_the_first_ones_place(tmp_path):
    found = [row(id=name, source=f"f:{n}") for n, name in enumerate("abcab")]
    dataset = check_rows(tmp_path, *found)
    assert [str(p) for p in dataset.problems] == [
        "f:3: the id 'a' is already that of f:0; give it another",
        "f:4: the id 'b' is already that of f:1; give it another",
    ]
    assert [r.id for r in dataset.samples] == ["a", "b", "c"]


def test_ids_of_one_hash_are_told_apart_by_their_text(tmp_path, monkeypatch):
    monkeypatch.setattr("deepseek_ocr.data.checking.identity.hash64", lambda text: 7)
    found = [row(id=name, source=f"f:{n}") for n, name in enumerate("abcb")]
    dataset = check_rows(tmp_path, *found)
    assert [p.source for p in dataset.problems] == ["f:3"] and len(dataset.samples) == 3


def test_a_tiff_of_several_pages_must_say_which(tmp_path):
    pages = [Image.new("L", (9, 9), shade) for shade in (1, 2)]
    pages[0].save(tmp_path / "t.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "t.json").write_text('{"text": "t", "images": ["t.tif"]}')
    (problem,) = problems(tmp_path)
    assert "t.tif: holds 2 pages; name those of the sample, such as t.tif#page=1" in str(problem)
    (tmp_path / "t.json").write_text('{"text": "t", "images": ["t.tif#page=1", "t.tif#page=2"]}')
    assert problems(tmp_path) == []
    (tmp_path / "t.json").write_text('{"text": "t", "images": ["t.tif#page=3"]}')
    assert "has no page 3" in str(problems(tmp_path)[0])


def test_all_pages_of_a_file_are_named_one_by_one(tmp_path):
    pages = [Image.new("L", (9, 9), shade) for shade in (1, 2, 3)]
    pages[0].save(tmp_path / "t.tif", save_all=True, append_images=pages[1:])
    draw(tmp_path / "a.png")
    found = row(images=("a.png", "t.tif#page=*"), prompt="Read.")
    dataset = check_rows(tmp_path, found, dataclasses.replace(found, images=found.images[1:]))
    assert list(dataset.problems) == []
    both, whole = dataset.samples
    assert both.images == ("a.png", "t.tif#page=1", "t.tif#page=2", "t.tif#page=3")
    assert both.prompt == "<image><image><image><image>\nRead."
    assert (both.id, whole.id) == ("a.png", "t.tif")


def test_all_pages_of_a_damaged_file_are_one_problem(tmp_path):
    (tmp_path / "f.pdf").write_bytes(b"%PDF-1.4 no more")
    (problem,) = check_rows(tmp_path, row(images=("f.pdf#page=*",))).problems
    assert problem.kind == "unreadable picture" and "f.pdf: the PDF is damaged" in problem.reason


@pytest.mark.parametrize(
    "frame, box, expected",
    [
        ("pixels", (1, 2, 30, 40), (1, 2, 30, 40)),
        ("shares", (0.25, 0.5, 1, 1), (10, 10, 40, 20)),
        ("thousandths", (250, 500, 1000, 1000), (10, 10, 40, 20)),
    ],
)
def test_boxes_are_brought_into_pixels(tmp_path, frame, box, expected):
    Image.new("RGB", (40, 40 if frame == "pixels" else 20)).save(tmp_path / "a.png")
    regions = (Region(label="x", box=box),)
    dataset = check_rows(tmp_path, row(images=("a.png",), regions=regions, box_frame=frame))
    (sample,) = dataset.samples
    assert sample.regions[0].box == pytest.approx(expected) and sample.box_frame == "pixels"


def test_boxes_in_points_are_counted_from_the_lower_left_corner(tmp_path):
    Image.new("RGB", (100, 200), "white").save(
        tmp_path / "f.pdf", resolution=36
    )  # 200 x 400 points
    regions = (Region(label="x", box=(0, 300, 50, 400)),)
    found = row(images=("f.pdf#page=*",), regions=regions, box_frame="points")
    (sample,) = check_rows(tmp_path, found).samples
    assert sample.regions[0].box == pytest.approx((0, 0, 256, 512))  # 2048 pixels to 400 points


def test_boxes_in_points_of_a_picture_are_a_problem(tmp_path):
    draw(tmp_path / "a.png")
    regions = (Region(label="x", box=(0, 0, 1, 1)),)
    found = row(images=("a.png",), regions=regions, box_frame="points")
    (problem,) = check_rows(tmp_path, found).problems
    assert problem.reason == "boxes in points of a picture; expected a page of a PDF"


@pytest.mark.parametrize(
    "box, is_good",
    [
        ((0, 0, 20, 10), True),
        ((-1, -1, 21, 11), True),  # a last pixel counted, or a side rounded up
        ((0, 0, 21.5, 10), False),
        ((0, 0, 20, 12), False),
        ((-1.5, 0, 20, 10), False),
        ((5, 5, 4, 6), False),
    ],
)
def test_a_box_that_leaves_its_page_is_a_problem(tmp_path, box, is_good):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    found = row(images=("a.png",), regions=(Region(label="x", box=box),))
    kinds = [p.kind for p in check_rows(tmp_path, found).problems]
    assert kinds == ([] if is_good else ["box outside the page"])


@pytest.mark.parametrize(
    "size, is_good", [((3, 8), True), ((2, 90), False), ((7, 7), False), ((8, 3), True)]
)
def test_a_picture_too_small_for_a_letter_is_a_problem(tmp_path, size, is_good):
    Image.new("RGB", size).save(tmp_path / "a.png")
    found = list(check_rows(tmp_path, row(images=("a.png", "a.png"))).problems)
    assert [p.kind for p in found] == ([] if is_good else ["tiny picture"])


def test_a_picture_of_too_many_pixels_is_a_problem(tmp_path):
    draw(tmp_path / "a.png")
    (problem,) = check_rows(tmp_path, row(images=("a.png",)), max_pixels=63).problems
    assert "more than the limit of 63" in problem.reason


def test_hashes_cover_annotations_and_pictures_and_also_bad_ones(tmp_path):
    sidecars(tmp_path, {"a.png": "t", "b.png": ""})
    (tmp_path / "README.md").write_text("of no use")
    dataset = check(tmp_path)
    (tmp_path / "archive.zip").write_bytes(b"")
    dataset = check(tmp_path)
    hashed = ["README.md", "a.json", "a.png", "b.json", "b.png"]
    assert [path for path, _ in dataset.hashes()] == hashed  # tomorrow README.md may be read
    assert list(dataset.not_read()) == ["README.md", "archive.zip"]


def test_every_file_that_a_sample_was_made_from_is_hashed(tmp_path):
    for name in ("f.json", "key.json", "other.json"):
        (tmp_path / name).write_text("{}")
    dataset = check_rows(tmp_path, row(source="f.json:1", also_read=("key.json",)))
    assert [path for path, _ in dataset.hashes()] == ["f.json", "key.json", "other.json"]
    assert list(dataset.not_read()) == ["other.json"]


def test_a_path_that_no_expression_matches_is_a_problem(tmp_path):
    documents(tmp_path, 2)
    (problem,) = problems(tmp_path, group_by="(doc0)")
    assert problem.kind == "no group" and problem.source == "doc1_p1.json:1"


def test_a_name_that_is_not_utf8_is_a_problem(tmp_path, monkeypatch):
    documents(tmp_path, 1)
    walk = os.walk

    def with_a_strange_name(root, onerror):  # which not every file system lets us make
        for place, folders, files in walk(root, onerror=onerror):
            yield place, folders, [*files, "\udcff.png"]

    monkeypatch.setattr(os, "walk", with_a_strange_name)
    (problem,) = problems(tmp_path)
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
    assert "rows.json" in dict(dataset.hashes())


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


def test_what_cannot_be_rendered_is_told_beside_the_rows_other_faults(tmp_path):
    """A row is judged to its end, whatever is wrong with it first."""
    draw(tmp_path / "a.png")
    bad = row(id="a", images=("none.png", "/etc/x", "a.png"), text=BEGIN_TOKEN, prompt="<image>")
    found = check_rows(tmp_path, row(id="a", source="f:0"), bad).problems
    assert sorted(p.kind for p in found) == [
        *("bad path", "duplicate id", "prompt", "special token", "unreadable picture"),
    ]


def test_the_lost_rows_of_one_source_count_once(tmp_path):
    found = [Problem(kind="k", source="f:1", reason=reason) for reason in ("a", "b")]
    found += [Problem(kind="k", source="f:2", reason="c"), row(source="f:3")]
    found += [Problem(kind="k", source="x.png", reason="d", of_row=False)]
    assert check_rows(tmp_path, *found).num_rows == 3


def test_the_problems_of_one_sample_count_once_wherever_they_are(tmp_path):
    found = [
        Problem(kind="k", source=f"{file}:{line}", reason="r", sample=file)
        for file in ("a", "b")
        for line in (2, 4, 6)
    ]
    found += [Problem(kind="k", source="c:1", reason="r", sample=f"c:1 {name}") for name in "xy"]
    dataset = check_rows(tmp_path, *found, row(source="d:1"))
    assert (dataset.num_rows, len(dataset.samples), len(dataset.problems)) == (5, 1, 8)


@pytest.mark.parametrize(
    "name, files, num_problems",
    [
        ("docbank", {"a_3.jpg": None, "a_3.txt": "x\ny\n\nz\n"}, 3),
        ("sroie", {"img/1.jpg": None, "box/1.csv": "x\n1,1,2\n", "key/1.json": "{"}, 3),
        (
            "doctr",  # and several in one line are several
            {"1.jpg": None, "2.jpg": None, "l.json": '{"1.jpg": "a", "2.jpg": {"typed_words": 1}}'},
            1,
        ),
    ],
)
def test_a_sample_with_several_bad_lines_is_one_row(tmp_path, name, files, num_problems):
    folder = DatasetFolder(make(tmp_path / "d", files))
    reader = choose_reader(folder, name)[0]
    dataset = check_dataset(folder, reader, prompt=DEFAULT_PROMPT, group_by="document")
    assert len(dataset.problems) == num_problems
    assert dataset.num_rows - len(dataset.samples) == 1


def test_a_bad_file_of_table_boxes_costs_no_row(tmp_path):
    reader = choose_reader(DatasetFolder(make(tmp_path, TABLE_FILES)))[0]
    found = list(reader.read(DatasetFolder(tmp_path)))
    assert [isinstance(sample, Problem) and sample.of_row for sample in found] == [False, False]


def test_the_target_is_made_and_what_has_none_is_a_problem(tmp_path):
    Image.new("RGB", (1998, 999)).save(tmp_path / "a.png")
    fields = (Fields(value={"total": "1"}),)
    regions = (Region(label="", text="hi", box=(0, 0, 999, 999)),)
    found = row(images=("a.png",), structure=fields, regions=regions)
    none = row(images=("a.png",), source="f:2", id="b")
    for target, text in (
        ("auto", "t"),
        ("json", '{"total": "1"}'),
        ("grounding", "<|ref|>hi<|/ref|><|det|>[[0, 0, 500, 999]]<|/det|>"),
    ):
        dataset = check_rows(tmp_path, found, none, target=target)
        assert dataset.samples[0].text == text
        told = [problem.source for problem in dataset.problems]
        assert told == ([] if target == "auto" else ["f:2"]), target
        assert dataset.num_rows == 2


def test_boxes_alone_are_enough_for_grounding(tmp_path):
    draw(tmp_path / "a.png")
    regions = (Region(label="figure", box=(0, 0, 8, 8)),)
    found = row(images=("a.png",), text="", regions=regions)
    (sample,) = check_rows(tmp_path, found, target="grounding").samples
    assert sample.text == "<|ref|>figure<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>"


def test_a_null_character_is_a_problem_whatever_the_format(tmp_path):
    (problem,) = check_rows(tmp_path, row(text="a\0b")).problems
    assert problem.kind == "bad value"


def test_a_text_is_normalised_before_it_is_judged(tmp_path):
    rows = [row(id="a", text="a  b \n"), row(id="b", text="\u200b")]
    dataset = check_rows(tmp_path, *rows, normalize="blanks+invisible")
    assert [sample.text for sample in dataset.samples] == ["a b\n"]
    assert [problem.kind for problem in dataset.problems] == ["empty text"]


@pytest.mark.parametrize(
    "group_by, joined",
    [("document", [("alpha", ["beta"])]), (r"^(\w+)", [("alpha", ["beta"])]), ("none", [])],
)
def test_copies_of_a_file_of_several_pages_are_one_document(tmp_path, group_by, joined):
    pages = [Image.new("L", (9, 9), shade) for shade in (1, 2)]
    for name in ("alpha", "beta"):
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    for shade, name in enumerate(("c.png", "d.png")):
        draw(tmp_path / name, shade)
    references = ["alpha.tif#page=1", "beta.tif#page=2", "c.png", "d.png"]
    rows = [row(images=(reference,), text=reference) for reference in references]
    dataset = check_rows(tmp_path, *rows, group_by=group_by)
    config = SplitConfig(data_root=tmp_path, output_dir=tmp_path / "o", group_by=group_by)
    plan = plan_split(dataset.columns, config, dataset.samples.__getitem__)
    assert list(plan.joined()) == joined
