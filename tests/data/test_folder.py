from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from deepseek_ocr.data.folder import DatasetFolder, natural_order

names = st.text(st.sampled_from("a/b0129._-Z ٣é\x01"), min_size=1, max_size=12)


def parts(text: str):
    """The order, said plainly: numbers as numbers, all else as text."""
    found = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(found)), text


@given(st.lists(names, max_size=12))
def test_numbers_in_names_are_sorted_as_numbers(files):
    assert sorted(files, key=natural_order) == sorted(files, key=parts)


def test_files_below_the_mark_of_an_export_are_no_part_of_a_dataset(tmp_path):
    for name in ("a.png", "llava/train.json", "llava/.exported-split", "llava/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert DatasetFolder(tmp_path).files == ("a.png",)
