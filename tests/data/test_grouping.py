from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.grouping import (
    compile_rule,
    document_of,
    documents_of,
    join_documents,
    same_pictures,
)
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.errors import UsageError


def sample(*images: str, name: str = "s", group: str | None = None) -> Annotation:
    return Annotation(id=name, images=images, prompt="", text="t", group=group, source="f:1")


@pytest.mark.parametrize(
    "reference, document",
    [
        ("doc_p12.png", "doc"),
        ("doc_page_3.png", "doc"),
        ("doc-page3.png", "doc"),
        ("doc.page.3.png", "doc"),
        ("doc_pg7.png", "doc"),
        ("doc_Page12.png", "doc"),
        ("doc-001.jpeg", "doc"),
        ("a/b/doc.0001.tif", "a/b/doc"),
        ("a/book.pdf_page_39.png", "a/book.pdf"),
        ("doc_12345.png", "doc_12345"),  # five digits are no page
        ("doc12.png", "doc12"),
        ("001.png", "001"),
        ("a/2024.png", "a/2024"),
        ("_12.png", "_12"),
        ("doc_p12_1.png", "doc_p12"),
        ("report.pdf#page=3", "report"),
        ("report_2.pdf#page=3", "report"),
    ],
)
def test_the_document_is_the_stem_less_its_page(reference, document):
    assert document_of(reference) == document


def test_a_sample_belongs_to_the_documents_of_its_pictures_or_to_its_own_group():
    assert documents_of(sample("a_p1.png", "b_p1.png"), "document") == {"a", "b"}
    assert documents_of(sample("a_p1.png", group="g"), "document") == {"g"}
    assert documents_of(sample(), "document") == {"s"}
    assert documents_of(sample("a_p1.png", group="g"), "none") == {"s"}


def test_an_expression_takes_its_first_group_of_the_relative_path():
    assert documents_of(sample("x/a_p1.png", "y/b.pdf#page=2"), r"^([^/]+)/") == {"x", "y"}
    problem = documents_of(sample("a_p1.png"), r"^([^/]+)/")
    assert isinstance(problem, Problem) and problem.source == "f:1"
    assert isinstance(documents_of(sample("b.png"), r"(a)?"), Problem)


@pytest.mark.parametrize("rule, reason", [("([", "no regular expression"), ("a", "has no group")])
def test_a_bad_expression_is_wrong_usage(rule, reason):
    with pytest.raises(UsageError, match=reason):
        compile_rule(rule)


def test_samples_of_several_documents_join_them():
    samples = [
        (sample("a.png"), {"a"}),
        (sample("b.png"), {"b"}),
        (sample("a.png", "c.png"), {"a", "c"}),
        (sample("c.png", "d.png"), {"c", "d"}),
    ]
    assert join_documents(samples, {}) == {"a": [0, 2, 3], "b": [1]}


def test_equal_pictures_join_their_documents():
    samples = [(sample("a.png"), {"a"}), (sample("b.png"), {"b"}), (sample("c.png"), {"c"})]
    prints = {"a.png": "1", "b.png": "2", "c.png": "1"}
    assert join_documents(samples, prints) == {"a": [0, 2], "b": [1]}
    assert same_pictures([s for s, _ in samples], prints) == [["a.png", "c.png"]]


links = st.lists(st.frozensets(st.sampled_from("abcdefgh"), min_size=1, max_size=3), max_size=12)


@given(links, st.randoms())
def test_joining_gives_the_connected_parts_in_any_order(sets, rng):
    samples = [(sample(f"{i}.png", name=str(i)), s) for i, s in enumerate(sets)]
    joined = join_documents(samples, {})
    assert sorted(place for places in joined.values() for place in places) == list(range(len(sets)))
    owner = {name: group for group, places in joined.items() for p in places for name in sets[p]}
    for group, places in joined.items():
        for place in places:
            assert {owner[name] for name in sets[place]} == {group}
    parts = {group: {str(p) for p in places} for group, places in joined.items()}
    rng.shuffle(samples)
    again = {
        group: {samples[p][0].id for p in places}
        for group, places in join_documents(samples, {}).items()
    }
    assert again == parts
    assert all(group == min(n for n, g in owner.items() if g == group) for group in joined)
