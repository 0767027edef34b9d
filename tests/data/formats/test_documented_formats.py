"""`docs/data_format.md` against the code: its examples are written to disk and read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pytest
from PIL import Image, ImageDraw
from pyarrow import parquet

from deepseek_ocr.data.checking.dataset import CheckedDataset, check_dataset
from deepseek_ocr.data.dataset_config import Target
from deepseek_ocr.data.exporting.files import FORMATS
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import _rows, choose_reader, readers
from deepseek_ocr.data.prompts import DEFAULT_PROMPT
from deepseek_ocr.data.truth.normalization import NORMALIZERS
from tests.conftest import REPOSITORY

from ..checking.test_bad_rows import BAD_ROWS

PAGE = (REPOSITORY / "docs" / "data_format.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## `(?P<name>\w+)`: .+\n(?P<body>(?:(?!## ).*\n)*)", re.MULTILINE)
EXAMPLE = re.compile(r"```\n(.*?)```", re.DOTALL)
FILE = re.compile(r"DIR/(?P<path>\S+) *")
PICTURE = re.compile(r"[\w./-]+\.(?:png|jpg|pdf)\b")
PICTURES = (".png", ".jpg", ".pdf")
"""Endings of files that examples show by their name alone."""


def test_every_format_has_a_section_with_an_example_and_no_other_has():
    sections = [match["name"] for match in SECTION.finditer(PAGE)]
    assert sorted(sections) == sorted(readers())
    assert all(EXAMPLE.search(section(name)) for name in sections)


def test_the_table_of_what_you_have_lists_every_format_once():
    rows = re.findall(r"^\| .+ \| ((?:`\w+`(?:, )?)+) \|$", PAGE, re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(readers())


@pytest.mark.parametrize("name", readers())
def test_the_example_is_detected_and_read_without_a_problem(name, tmp_path):
    with checked(name, tmp_path) as dataset:
        assert list(dataset.problems) == []
        assert len(dataset.samples) == dataset.num_rows > 0
        assert list(dataset.not_read()) == []


class Claim(NamedTuple):
    """What the page says that its example of a format becomes."""

    name: str
    target: Target
    text: str


CLAIMS = [
    Claim("swift", "auto", "<|det|>[[100, 100, 500, 200]]<|/det|>"),
    Claim("cord", "auto", "TEA"),
    Claim("cord", "json", '{"menu": [{"nm": "TEA"}]}'),
    Claim("funsd", "auto", "TO: Ann"),
    Claim("funsd", "json", '{"TO:": "Ann"}'),
    Claim("pubtabnet", "auto", "<table><tr><td><b>x</b></td></tr></table>"),
    Claim("icdar2013", "json", '{"table": [["a", ""]], "spans": [[0, 0, 1, 2]]}'),
    Claim("omnidocbench", "auto", "# A title"),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.name}-{claim.target}")
def test_what_the_page_says_an_example_becomes_is_what_it_becomes(claim, tmp_path):
    assert f"`{claim.text}`" in section(claim.name)
    with checked(claim.name, tmp_path, claim.target) as dataset:
        assert claim.text in [sample.text for sample in dataset.samples]


@pytest.mark.parametrize(
    "keys",
    [_rows.TEXT_KEYS, _rows.IMAGE_KEYS, _rows.PROMPT_KEYS, _rows.GROUP_KEYS, _rows.LANG_KEYS],
    ids=lambda keys: keys[0],
)
def test_the_table_of_keys_has_those_that_are_read(keys):
    first, *others = keys
    row = f"| `{first}` | {', '.join(f'`{other}`' for other in others)} |"
    assert row in PAGE


def test_the_table_of_normalisations_has_them_in_their_order():
    table = PAGE.split("| name | what it does |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(NORMALIZERS)


def test_the_exports_are_listed():
    listed = PAGE.split("`--export FORMAT`")[1].split("Pictures are named")[0].split(":", 1)[1]
    assert set(FORMATS) <= set(re.findall(r"`(\w+)`", listed))


def test_the_table_of_problems_names_every_kind_of_bad_row():
    table = PAGE.split("## What makes a row unusable")[1].split("\n\nRows are kept")[0]
    assert [kind for _, kind, _ in BAD_ROWS if kind not in table] == []


def section(name: str) -> str:
    """What the page says of a format, below its heading."""
    (body,) = [match["body"] for match in SECTION.finditer(PAGE) if match["name"] == name]
    return body


def checked(name: str, root: Path, target: Target = "auto") -> CheckedDataset:
    """The example of a format, written to `root`, detected and read with its pictures."""
    write_example(section(name), root)
    folder = DatasetFolder(root)
    reader, _ = choose_reader(folder)
    assert name == reader.NAME
    return check_dataset(folder, reader, prompt=DEFAULT_PROMPT, group_by="document", target=target)


def write_example(body: str, root: Path) -> None:
    """The files that the example of a section shows, and the pictures that only rows name."""
    example = EXAMPLE.search(body)
    assert example is not None
    files = files_of(example[1])
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(PICTURES):
            draw(root / path)
        elif path.endswith(".parquet"):
            write_parquet(root / path, content)
        else:
            (root / path).write_text(content, encoding="utf-8")
            draw_named(content, (root / path).parent, {Path(file).name for file in files})


def files_of(example: str) -> dict[str, str]:
    """`DIR/path   content`, further lines below the content's first -> content by path."""
    files: dict[str, str] = {}
    path, column = "", 0
    for line in example.splitlines():
        if match := FILE.match(line):
            path, column = match["path"], match.end()
            files[path] = line[column:] + "\n"
        else:
            assert not line[:column].strip(), f"{path}: {line!r} does not stand below its content"
            files[path] += line[column:] + "\n"
    return files


def draw_named(content: str, folder: Path, shown: set[str]) -> None:
    for name in PICTURE.findall(content):
        if Path(name).name not in shown:
            draw(folder / name)


def draw(path: Path) -> None:
    """A page with its name in ink; a PDF of three pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = Image.new("RGB", (800, 1200), "white")
    ImageDraw.Draw(page).text((100, 100), path.name, "black", font_size=40)
    pages: dict[str, Any] = {"save_all": True, "append_images": [page, page]}
    page.save(path, **(pages if path.suffix == ".pdf" else {}))


def write_parquet(path: Path, content: str) -> None:
    """Rows shown as JSON, a line each, with the bytes of a picture where `...` stands for them."""
    picture = path.with_suffix(".png")
    draw(picture)
    shown = [json.loads(line) for line in content.splitlines()]
    for row in shown:
        row["image"]["bytes"] = picture.read_bytes()
    picture.unlink()
    parquet.write_table(pyarrow.Table.from_pylist(shown), path)
