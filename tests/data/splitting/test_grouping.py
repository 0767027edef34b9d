from __future__ import annotations

import pytest

from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.splitting.grouping import (
    compile_rule,
    document_of,
    documents_of,
    joins_copies,
    stratum_of,
)
from deepseek_ocr.errors import UsageError

from .columns_of import sample


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
        ("./a//b/./c_p1.png", "a/b/c"),
        ("no_ending", "no_ending"),
        ("a.b/c", "a.b/c"),
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


@pytest.mark.parametrize("key", ["writer", "lang", "group"])
def test_a_key_of_the_row_can_name_the_document(key):
    keys = {"attributes": {"writer": "w7"}, "lang": "de", "group": "g"}
    value = {"writer": "w7", "lang": "de", "group": "g"}[key]
    assert documents_of(sample("a_p1.png", "b.png", **keys), f"key:{key}") == {value}


def test_a_row_without_the_key_is_a_problem_that_names_those_it_has():
    problem = documents_of(
        sample("a.png", attributes={"writer": "w", "lang": "de"}, lang="de"), "key:scribe"
    )
    assert isinstance(problem, Problem) and problem.kind == "no group"
    assert problem.reason == ("no value under the key 'scribe' of --group_by; found: lang, writer")


def test_an_expression_is_never_taken_for_a_key():
    """A key has no brackets, an expression has some."""
    assert documents_of(sample("key:x/a.png"), r"key:(\w+)") == {"x"}
    assert compile_rule("key:writer") is None
    with pytest.raises(UsageError, match="has no group"):
        compile_rule("keys:writer")


@pytest.mark.parametrize(
    "group_by, group, joined",
    [
        ("document", None, True),
        ("document", "g", False),
        ("none", None, False),
        ("key:writer", None, False),
        ("(a)", None, True),
        ("(a)", "g", True),
    ],
)
def test_copies_of_a_file_are_one_document_but_where_the_row_or_the_user_says_otherwise(
    group_by, group, joined
):
    assert joins_copies(sample("a.pdf#page=1", group=group), group_by) == joined


def test_the_stratum_is_a_plain_value_of_the_row():
    row = sample("a.png", lang="de", attributes={"kind": "letter"})
    assert [stratum_of(row, key) for key in (None, "lang", "kind", "x")] == [
        *("", "de", "letter", "(none)")
    ]
