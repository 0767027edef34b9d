"""OmniDocBench v1.5 on a small copy in its published layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepseek_ocr.errors import UserError
from deepseek_ocr.evaluation.benchmarks.omnidocbench import (
    BENCHMARK,
    CDM_INPUT,
    COLUMNS,
    PROMPT,
    score_page,
)
from deepseek_ocr.evaluation.benchmarks.omnidocbench_data import read_pages

FIRST = "The first paragraph of the page, which is long enough."
SECOND = "Quite another one: it speaks of mathematics and of birds."
TABLE = "<table><tr><td>1</td><td>2</td></tr></table>"
FORMULA = "$$E = m c^2$$"


def block(number: int, category: str, order: int | None, **content) -> dict:
    return {
        "anno_id": number,
        "category_type": category,
        "order": order,
        "ignore": False,
        "poly": [0.0] * 8,
        **content,
    }


def sample(name: str, blocks: list[dict], relations=(), **attributes) -> dict:
    return {
        "layout_dets": blocks,
        "extra": {"relation": list(relations)},
        "page_info": {
            "page_no": 1,
            "height": 100,
            "width": 100,
            "image_path": name,
            "page_attribute": {"language": "english", **attributes},
        },
    }


SAMPLES = [
    sample(
        "a.b.jpg",
        [
            block(0, "header", None, text="Running header of the journal"),
            block(1, "title", 1, text="Heading of the page"),
            block(2, "text_block", 2, text=FIRST),
            block(3, "table", 3, html=TABLE),
            block(4, "equation_isolated", 4, latex=FORMULA),
            block(5, "text_block", 5, text=SECOND),
            block(6, "abandon", None),
            block(7, "text_block", 6, text="hidden", ignore=True),
        ],
    ),
    sample("two.png", [block(0, "text_block", 1, text=FIRST)]),
]

PERFECT = {
    "a.b": f"# Heading of the page\n\n{FIRST}\n\n{TABLE}\n\n{FORMULA}\n\n{SECOND}",
    "two": FIRST,
}


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    write(root, SAMPLES)
    return root


def write(root: Path, samples: object) -> None:
    (root / "OmniDocBench.json").write_text(json.dumps(samples), encoding="utf-8")


def values(data_root: Path, answers: dict[str, str]) -> dict[str, float | None]:
    table = BENCHMARK.score(data_root, answers, data_root)
    return dict(zip(table.columns, table.values, strict=True))


def test_pages_are_asked_as_published(data_root):
    pages = BENCHMARK.pages(data_root)
    assert [page.id for page in pages] == ["a.b", "two"]
    assert pages[0].images == ("images/a.b.jpg",)
    assert {page.prompt for page in pages} == {PROMPT}


def test_images_may_lie_beside_the_truth(data_root):
    (data_root / "two.png").write_bytes(b"")
    assert BENCHMARK.pages(data_root)[1].images == ("two.png",)


def test_a_perfect_answer_is_perfect_and_what_cannot_be_told_says_why(data_root):
    table = BENCHMARK.score(data_root, PERFECT, data_root)
    found = dict(zip(table.columns, table.values, strict=True))
    assert found == {
        "Overall": None,
        "Text edit": 0,
        "Formula CDM": None,
        "Table TEDS": 100,
        "Table TEDS-S": 100,
        "Order edit": 0,
        "Formula edit": 0,
    }
    assert set(table.reasons) == {"Overall", "Formula CDM"}
    assert set(table.verdicts) == {page.id for page in BENCHMARK.pages(data_root)}
    assert any("text edit 0.000" in verdict for verdict in table.verdicts.values())
    assert table.columns == COLUMNS
    name, published = table.published[0]
    assert name == "DeepSeek-OCR"
    assert published == (87.01, 0.073, 83.37, 84.97, 88.80, 0.086, None)
    json.dumps(table.detail)


def test_an_empty_or_missing_answer_fails(data_root):
    found = values(data_root, {"a.b": ""})
    assert found["Text edit"] == found["Order edit"] == found["Formula edit"] == 1
    assert found["Table TEDS"] == found["Table TEDS-S"] == 0


def test_headers_may_be_read_or_not(data_root):
    with_header = {**PERFECT, "a.b": "Running header of the journal\n\n" + PERFECT["a.b"]}
    assert values(data_root, with_header) == values(data_root, PERFECT)


def test_text_edit_is_the_mean_of_pages_of_summed_edits(data_root):
    wrong = {**PERFECT, "two": FIRST.replace("page", "rage")}
    letters = len("Thefirstparagraphofthepagewhichislongenough")
    assert values(data_root, wrong)["Text edit"] == pytest.approx((0 + 1 / letters) / 2)


def test_parts_of_one_text_in_two_columns_are_one(data_root):
    half = len(FIRST) // 2
    relation = {"relation_type": "truncated", "source_anno_id": 1, "target_anno_id": 2}
    parts = [
        block(2, "text_block", 3, text=FIRST[half:]),
        block(1, "text_block", 1, text=FIRST[:half]),
    ]
    write(data_root, [sample("c.png", parts, [relation])])
    (page,) = read_pages(data_root)
    assert [(b.content, b.place) for b in page.blocks] == [(FIRST, 1)]


def test_a_later_copy_is_cut_to_its_pages_of_this_version(data_root):
    later = sample("hard.png", [], subset="table_hard")
    write(data_root, [sample("base.png", [], subset="v1.5"), later])
    assert [page.id for page in BENCHMARK.pages(data_root)] == ["base"]


def test_the_input_of_cdm_is_written(data_root):
    BENCHMARK.score(data_root, {"a.b": "\\[ E = m \\]"}, data_root)
    rows = json.loads((data_root / CDM_INPUT).read_text(encoding="utf-8"))
    assert rows == [{"img_id": "0", "img_name": "a.b", "gt": "E = m c^2", "pred": "E = m"}]


def test_a_formula_written_as_text_counts_as_text(data_root):
    plain = {**PERFECT, "a.b": PERFECT["a.b"].replace(FORMULA, "E = m c^2")}
    table = BENCHMARK.score(data_root, plain, data_root)
    assert table.detail["num_formulas"] == 0
    assert table.values[1] is not None


def test_an_answer_that_cannot_be_compared_counts_as_empty_and_says_why(data_root, monkeypatch):
    def broken(answer):
        raise RecursionError("too deep")

    monkeypatch.setattr("deepseek_ocr.evaluation.benchmarks.omnidocbench.split_blocks", broken)
    page = read_pages(data_root)[1]
    result = score_page(page, FIRST)
    assert result.text_edit == 1
    assert result.problem == "not compared (RecursionError: too deep)"


def test_a_copy_of_another_size_says_that_its_figures_do_not_compare(data_root):
    notes = BENCHMARK.score(data_root, PERFECT, data_root).notes
    assert any("2 pages" in note and "1355" in note for note in notes)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "not found"),
        ("{", "cannot be read"),
        ("{}", "a list of pages expected"),
        ('[{"page_info": {}}]', "page 1 is not as published"),
        ("[]", "no page of v1.5"),
        (json.dumps([SAMPLES[1], SAMPLES[1]]), "a second page named two"),
    ],
)
def test_another_layout_is_refused_in_one_line(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "OmniDocBench.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=expected) as error:
        BENCHMARK.pages(tmp_path)
    assert "\n" not in str(error.value)
