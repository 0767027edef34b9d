"""Pictures within rows: which documents they are of."""

from __future__ import annotations

import base64
import json

import pyarrow
import pytest
from pyarrow import parquet

from deepseek_ocr.data.checking.dataset import check_dataset
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.prompts import DEFAULT_PROMPT
from deepseek_ocr.data.splitting.plan import SplitConfig, plan_split

from ..datasets import draw


def picture(folder, shade: int) -> bytes:
    return draw(folder / "drawn" / "one.png", shade).read_bytes()


def groups(root) -> list[str]:
    """The document of each sample, as joined."""
    folder = DatasetFolder(root)
    reader = choose_reader(folder)[0]
    with check_dataset(folder, reader, prompt=DEFAULT_PROMPT, group_by="document") as dataset:
        assert not list(dataset.problems)
        config = SplitConfig(data_root=root, output_dir=root / "o", test_size=0)
        plan = plan_split(dataset.columns, config, dataset.samples.__getitem__)
        return [plan.group(place) for place in range(len(dataset.samples))]


def save(root, rows, file="d.parquet"):
    """(shades of a row's pictures, their own paths) -> a file of rows."""
    values = [
        {
            "images": [
                {"bytes": picture(root.parent, shade), "path": path}
                for shade, path in zip(shades, paths, strict=True)
            ],
            "text": f"the text of row {number} in {file}",
        }
        for number, (shades, paths) in enumerate(rows)
    ]
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(values), root / file)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_a_row_that_says_no_path_is_a_document_with_all_its_pictures(root):
    save(root, [([1], [None]), ([2, 3], [None, ""])])
    assert groups(root) == ["d.parquet#row=1", "d.parquet#row=2"]


def test_data_urls_are_documents_row_by_row(root):
    urls = [base64.b64encode(picture(root.parent, shade)).decode() for shade in range(3)]
    rows = [{"image": f"data:image/png;base64,{url}", "text": f"t{url[-9:]}"} for url in urls]
    (root / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert groups(root) == ["d.jsonl#line=1", "d.jsonl#line=2", "d.jsonl#line=3"]


def test_a_copy_joins_only_the_rows_that_hold_it(root):
    save(root, [([shade], [None]) for shade in (1, 2, 1, 3)])
    assert groups(root) == [f"d.parquet#row={row}" for row in (1, 2, 1, 4)]


def test_pages_of_one_document_are_known_by_their_own_paths_over_all_files(root):
    save(root, [([1], ["scan_p1.png"]), ([2], ["letter.png"])], "a/1.parquet")
    save(root, [([3], ["scan_p2.png"]), ([4], ["\\other\\scan_p1.png"])], "a/2.parquet")
    save(root, [([5], ["scan_p1.png"])], "b/1.parquet")
    found = ["a/scan", "a/letter", "a/scan", "a/other/scan", "b/scan"]
    assert groups(root) == found


def test_a_path_of_different_pictures_says_nothing(root):
    rows = [([shade], ["image.png"]) for shade in (1, 2)]
    rows += [([shade], [f"page_{shade % 2}.png"]) for shade in (3, 4, 5, 6)]
    save(root, rows)
    assert groups(root) == [f"d.parquet#row={row}" for row in range(1, 7)]


def test_a_path_of_one_picture_in_many_rows_is_believed(root):
    """As where many questions are asked of a page."""
    save(root, [([1], ["doc_1.png"]), ([1], ["doc_1.png"]), ([2], ["doc_2.png"])])
    assert groups(root) == ["doc"] * 3


def test_a_path_that_is_only_a_number_says_nothing(root):
    save(root, [([1], ["0.png"]), ([2], ["0.jpg"]), ([3], ["7_1.png"]), ([4], ["7_2.png"])])
    assert groups(root) == ["d.parquet#row=1", "d.parquet#row=2", "7", "7"]
