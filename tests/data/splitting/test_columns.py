from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.splitting.columns import PictureMark, SampleColumns
from deepseek_ocr.data.splitting.joined_documents import join_documents


def test_a_sample_takes_less_than_a_hundred_bytes_however_long_its_texts_are():
    columns = SampleColumns()
    columns.add(documents=["first"], text="warm", pictures=[PictureMark("a", "b", 1)], files=["c"])
    tracemalloc.start()
    for number in range(5_000):
        mark = PictureMark(f"folder/picture_{number}.png", f"{number:064}#1", number)
        columns.add(
            documents=[f"folder/document_{number}"],
            text=f"text {number} " * 50,
            pictures=[mark],
            files=[f"{number:064}"],
            stratum="en",
        )
    used = tracemalloc.get_traced_memory()[0] / 5_000
    tracemalloc.stop()
    assert used < 100
    columns.close()


@given(st.lists(st.sets(st.sampled_from("abcdefg"), min_size=1, max_size=3), max_size=12))
def test_documents_are_called_by_the_first_of_the_names_that_hang_together(sets):
    columns = SampleColumns()
    for names in sets:
        columns.add(documents=names, text="")
    documents = join_documents(columns, [])
    found = [columns.names[int(place)] for place in documents.first_names]
    parts: list[set[str]] = []
    for names in sets:
        touched = [part for part in parts if part & names]
        parts = [part for part in parts if part not in touched] + [set(names).union(*touched)]
    assert sorted(found) == sorted(map(min, parts))
    for place, names in enumerate(sets):
        (part,) = [part for part in parts if part & names]
        assert found[documents.of_place[place]] == min(part)
    columns.close()


@pytest.mark.parametrize("name", ["", "ä/ﬁ €", "a\nb", "half \ud800 a pair", "x" * 100_000])
def test_any_name_of_a_document_is_kept(name):
    columns = SampleColumns()
    columns.add(documents=[name], text="")
    assert columns.names[columns.document_names[0]] == name


def test_pages_of_a_document_that_lie_side_by_side_name_it_once():
    columns = SampleColumns()
    for document in ("a", "a", "b", "b", "a"):
        columns.add(documents=[document], text="")
    assert list(columns.names) == ["a", "b", "a"]
