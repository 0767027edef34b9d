from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation, Region
from deepseek_ocr.data.checking import spool as spools
from deepseek_ocr.data.checking.annotation_spool import annotation_spool
from deepseek_ocr.data.checking.spool import Spool, text_spool
from deepseek_ocr.data.json_files.stream import Elements, Members, write_json
from deepseek_ocr.data.problems import Problem, Problems, listing

texts = st.text(max_size=5)  # with half surrogate pairs, which names of files may hold
frames = st.sampled_from(["pixels", "shares", "thousandths", "points"])
regions = st.builds(
    Region,
    label=texts,
    text=texts,
    box=st.tuples(*[st.integers(-5, 5) | st.floats(-9, 9)] * 4),
    image=st.integers(0, 3),
)
annotations = st.builds(
    Annotation,
    id=texts,
    images=st.lists(texts, max_size=3).map(tuple),
    prompt=texts,
    text=texts,
    regions=st.lists(regions, max_size=2).map(tuple),
    group=st.none() | texts,
    lang=st.none() | texts,
    source=st.none() | texts,
    weight=st.none() | st.floats(0.1, 9),
    attributes=st.dictionaries(texts, texts, max_size=2),
    box_frame=frames,
    also_read=st.lists(texts, max_size=2).map(tuple),
)


@given(st.lists(annotations, max_size=3))
def test_annotations_come_back_from_the_disk_as_they_were(rows):
    spool = annotation_spool()
    for row in rows:
        spool.append(row)
    found = list(spool)
    assert found == rows == [spool[place] for place in range(len(spool))]
    assert [(r.attributes, r.also_read) for r in found] == [
        (r.attributes, r.also_read) for r in rows
    ]


@pytest.mark.parametrize("piece", [1, 3, 64])
@given(st.lists(st.text(max_size=40), max_size=9))
def test_a_spool_is_read_alike_whatever_the_size_of_a_piece(piece, items):
    before, spools.READ_BYTES = spools.READ_BYTES, piece
    try:
        spool = text_spool()
        for item in items:
            spool.append(item)
        assert list(spool) == items
    finally:
        spools.READ_BYTES = before


def test_walks_through_a_spool_do_not_disturb_each_other_nor_later_items():
    spool: Spool[int] = Spool(int, int)
    for number in range(5):
        spool.append(number)
    first, second = iter(spool), iter(spool)
    assert [next(first), next(second), next(first)] == [0, 0, 1]
    spool.append(5)
    assert spool[5] == 5 and list(spool) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(IndexError, match="place 6 of 6"):
        spool[6]
    with pytest.raises(IndexError):
        spool[-1]


def test_a_full_disk_is_told_with_what_to_do(monkeypatch):
    spool = text_spool()
    spool._file.close()
    spool._file = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115
    with pytest.raises(OSError, match="set TMPDIR to a folder with room"):
        spool.append("x")


def test_problems_are_counted_and_listed_by_kind_with_the_first_of_each():
    found = [Problem(kind=f"kind {n % 2}", source=f"f:{n}", reason="r\a") for n in range(7)]
    found.append(Problem(kind="file", source="f", reason="r", of_row=False))
    problems = Problems(found)
    assert list(problems) == found and (len(problems), problems.num_in_rows) == (8, 7)
    assert list(listing(problems, "o/problems.jsonl", shown=2)) == [
        "kind 0: 4",
        r"  f:0: r\x07",
        r"  f:2: r\x07",
        "  ... and 2 more",
        "kind 1: 3",
        r"  f:1: r\x07",
        r"  f:3: r\x07",
        "  ... and 1 more",
        "file: 1",
        "  f: r",
        "all of them: o/problems.jsonl",
    ]


def test_a_reason_that_quotes_megabytes_is_cut():
    reason = "the id '" + "x" * 1_000_000 + "' is already that of f:1; give it another"
    (problem,) = Problems([Problem(kind="k", source="f:2", reason=reason)])
    assert len(problem.reason) < 600 and problem.reason.startswith("the id 'xxx")
    assert problem.reason.endswith("x' is already that of f:1; give it another")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=12,
)


def streamed(value):
    if isinstance(value, dict):
        return Members((key, streamed(inner)) for key, inner in value.items())
    return Elements(map(streamed, value)) if isinstance(value, list) else value


@given(values)
def test_json_written_member_by_member_is_the_same_json(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("j") / "f.json"
    for given_value in (value, streamed(value)):
        with path.open("w", encoding="utf-8") as file:
            write_json(file, given_value)
        assert json.loads(path.read_text(encoding="utf-8")) == value
