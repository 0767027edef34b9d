"""The OCR engine for docling, with docling's own factory, pages and PDF backend."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw

import deepseek_ocr
from deepseek_ocr.inference.results import PageResult
from deepseek_ocr.reading import reader as reader_module
from deepseek_ocr.reading.tasks import TASK_PROMPTS
from tests.conftest import REPOSITORY

pytest.importorskip("docling", reason="needs docling, of the extra `docling`")

from docling.backend.pypdfium2_backend import PyPdfiumDocumentBackend
from docling.datamodel.accelerator_options import AcceleratorDevice, AcceleratorOptions
from docling.datamodel.base_models import InputFormat, Page
from docling.datamodel.document import ConversionResult, InputDocument
from docling.datamodel.pipeline_options import OcrMode, OcrOptions, PdfPipelineOptions
from docling.models.base_ocr_model import BaseOcrModel
from docling.models.factories import base_factory
from docling.models.factories.ocr_factory import OcrFactory
from docling_core.types.doc import BoundingBox, CoordOrigin

from deepseek_ocr.integrations.docling import DeepseekOcrModel, DeepseekOcrOptions

WIDTH, HEIGHT = 200, 300  # points of the page
SCALE = 3.0
LINES = (
    "<|ref|>TOTAL<|/ref|><|det|>[[0, 0, 999, 500]]<|/det|>\n"
    "<|ref|>12.50<|/ref|><|det|>[[500, 500, 999, 999]]<|/det|>\n"
)
RIGHT_HALF = BoundingBox(l=100, t=0, r=200, b=300, coord_origin=CoordOrigin.TOPLEFT)
RIGHT_HALF_FROM_BELOW = BoundingBox(l=100, t=300, r=200, b=0, coord_origin=CoordOrigin.BOTTOMLEFT)


class Reader:
    """Stands in for an `OcrReader`: says the same of every picture."""

    def __init__(self, text="", status="ok", reason="", prompt=None):
        self.text, self.status, self.reason, self.prompt = text, status, reason, prompt
        self.asked = []

    def read(self, picture, **options):
        self.asked.append((picture.size, options))
        task = options["task"] or "markdown"
        prompt = options["prompt"] or self.prompt or TASK_PROMPTS[task]
        return PageResult(text=self.text, status=self.status, reason=self.reason, prompt=prompt)


@pytest.fixture
def conversion(tmp_path):
    """docling's view of a PDF of one page, and that page."""
    size = (round(WIDTH * SCALE), round(HEIGHT * SCALE))
    sheet = Image.new("RGB", size, "white")
    ImageDraw.Draw(sheet).rectangle((60, 60, 540, 90), fill="black")  # a line of print
    sheet.save(tmp_path / "page.pdf", resolution=72 * SCALE)
    document = InputDocument(
        path_or_stream=tmp_path / "page.pdf",
        format=InputFormat.PDF,
        backend=PyPdfiumDocumentBackend,
    )
    page = Page(page_no=1)
    page._backend = document._backend.load_page(0)
    page.size = page._backend.get_size()
    assert (page.size.width, page.size.height) == (WIDTH, HEIGHT)
    yield ConversionResult(input=document), page
    page._backend.unload()
    document._backend.unload()


def engine(monkeypatch, reader, *, enabled=True, device="cpu", **options):
    """Our engine, reading with `reader`; and what was asked of `load`."""
    loads = []
    monkeypatch.setattr(
        reader_module, "load", lambda model, **kwargs: loads.append((model, kwargs)) or reader
    )
    ocr = DeepseekOcrModel(
        enabled=enabled,
        artifacts_path=None,
        options=DeepseekOcrOptions(**({"mode": OcrMode.FULL_PAGE} | options)),
        accelerator_options=AcceleratorOptions(device=device),
    )
    return ocr, loads


def cells(page):
    return [
        (cell.text, cell.rect.to_bounding_box().to_top_left_origin(HEIGHT).as_tuple())
        for cell in page.cells
    ]


def test_the_entry_point_gives_an_engine_to_docling_s_factory(monkeypatch):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, module)] = project["entry-points"]["docling"].items()
    entry = EntryPoint(name=name, value=module, group="docling")
    monkeypatch.setattr(base_factory, "entry_points", lambda group: [entry])
    factory = OcrFactory()
    factory.load_from_plugins(allow_external_plugins=True)
    assert factory.registered_kind == ["deepseek_ocr"]
    options = factory.create_options("deepseek_ocr", model="my-model")
    made = factory.create_instance(
        options, enabled=False, artifacts_path=None, accelerator_options=AcceleratorOptions()
    )
    assert type(made) is DeepseekOcrModel
    assert isinstance(made, BaseOcrModel)
    assert PdfPipelineOptions(ocr_options=options).ocr_options.model == "my-model"


def test_options_are_checked_by_docling():
    assert isinstance(DeepseekOcrOptions(lang=["deu", "xx"]), OcrOptions)
    for bad in ({"task": "locate"}, {"view_mode": "huge"}, {"quantize": "int3"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            DeepseekOcrOptions(**bad)


@pytest.mark.parametrize(
    "device, named", [(AcceleratorDevice.AUTO, "auto"), ("cpu", "cpu"), ("cuda:1", "cuda:1")]
)
def test_the_model_is_loaded_once_on_the_device_that_docling_names(monkeypatch, device, named):
    _, loads = engine(monkeypatch, Reader(), device=device, model="folder", quantize="int8")
    assert loads == [
        ("folder", {"device": named, "dtype": "auto", "adapter": None, "quantize": "int8"})
    ]


def test_nothing_is_loaded_or_read_where_ocr_is_off(monkeypatch, conversion):
    result, page = conversion
    ocr, loads = engine(monkeypatch, Reader(LINES), enabled=False)
    assert list(ocr(result, [page])) == [page]
    assert (loads, page.cells) == ([], [])


def test_lines_become_cells_in_points_of_the_page(monkeypatch, conversion):
    result, page = conversion
    reader = Reader(LINES)
    ocr, _ = engine(monkeypatch, reader)
    assert list(ocr(result, [page])) == [page]
    [(size, options)] = reader.asked
    assert size == (WIDTH * SCALE, HEIGHT * SCALE)
    assert options == {"task": "ocr", "prompt": None, "mode": "auto", "max_new_tokens": 8192}
    assert [text for text, _ in cells(page)] == ["TOTAL", "12.50"]
    assert [box for _, box in cells(page)] == [
        pytest.approx((0, 0, 200, 150), abs=0.5),
        pytest.approx((100, 150, 200, 300), abs=0.5),
    ]
    assert all(cell.from_ocr for cell in page.cells)
    assert result.errors == []


@pytest.mark.parametrize("rectangle", [RIGHT_HALF, RIGHT_HALF_FROM_BELOW], ids=["top", "bottom"])
def test_a_part_of_a_page_is_read_alone_and_its_cells_stand_in_it(
    monkeypatch, conversion, rectangle
):
    result, page = conversion
    reader = Reader(LINES)
    ocr, _ = engine(monkeypatch, reader)
    nothing = BoundingBox(l=5, t=5, r=5, b=5, coord_origin=CoordOrigin.TOPLEFT)
    monkeypatch.setattr(ocr, "get_ocr_rects", lambda page: [nothing, rectangle])
    list(ocr(result, [page]))
    assert [size for size, _ in reader.asked] == [(100 * SCALE, HEIGHT * SCALE)]
    assert cells(page) == [
        ("TOTAL", pytest.approx((100, 0, 200, 150), abs=0.5)),
        ("12.50", pytest.approx((150, 150, 200, 300), abs=0.5)),
    ]


def test_blocks_of_markdown_become_lines_without_marks_where_their_print_stands(
    monkeypatch, conversion
):
    result, page = conversion
    text = (
        "<|ref|>title<|/ref|><|det|>[[0, 0, 999, 500]]<|/det|>\n# Annual report\n\n"
        "<|ref|>image<|/ref|><|det|>[[0, 600, 999, 999]]<|/det|>\n"
    )
    reader = Reader(text)
    ocr, _ = engine(monkeypatch, reader, task="markdown")
    list(ocr(result, [page]))
    assert reader.asked[0][1]["task"] == "markdown"
    assert cells(page) == [("Annual report", pytest.approx((20, 20, 180, 30), abs=1))]


def test_text_without_boxes_is_one_cell_of_the_whole_rectangle(monkeypatch, conversion):
    result, page = conversion
    ocr, _ = engine(monkeypatch, Reader("First line\nSecond line"), task="text")
    list(ocr(result, [page]))
    assert cells(page) == [("First line\nSecond line", pytest.approx((0, 0, WIDTH, HEIGHT)))]


def test_a_model_that_was_trained_on_a_prompt_is_asked_it(monkeypatch, conversion):
    result, page = conversion
    reader = Reader("Free", prompt="<image>\nMy own.")
    ocr, _ = engine(monkeypatch, reader)
    list(ocr(result, [page]))
    assert (reader.asked[0][1]["task"], reader.asked[0][1]["prompt"]) == (None, None)
    ocr, _ = engine(monkeypatch, reader, prompt="<image>\nAnother.")
    list(ocr(result, [page]))
    assert (reader.asked[1][1]["task"], reader.asked[1][1]["prompt"]) == (None, "<image>\nAnother.")


@pytest.mark.parametrize("status, texts", [("failed", []), ("truncated", ["TOTAL", "12.50"])])
def test_what_did_not_end_well_is_an_error_of_the_conversion(
    monkeypatch, conversion, caplog, status, texts
):
    result, page = conversion
    ocr, _ = engine(monkeypatch, Reader(LINES if texts else "", status, "so it was"))
    list(ocr(result, [page]))
    [error] = result.errors
    assert (error.page_no, error.module_name) == (1, "deepseek_ocr")
    assert error.error_message == f"page 1: {status}: so it was"
    assert error.error_message in caplog.text
    assert [text for text, _ in cells(page)] == texts


def test_a_page_that_docling_cannot_open_is_handed_on(monkeypatch, conversion):
    result, _ = conversion
    broken = Page(page_no=2)
    broken._backend = SimpleNamespace(is_valid=lambda: False)
    reader = Reader(LINES)
    ocr, _ = engine(monkeypatch, reader)
    assert list(ocr(result, [broken])) == [broken]
    assert reader.asked == []


def test_a_real_reader_takes_what_the_engine_asks(monkeypatch, conversion):
    result, page = conversion
    real = deepseek_ocr.load("nano-untrained", device="cpu", base_size=128)
    answer = real._result
    monkeypatch.setattr(
        real, "_result", lambda row: dataclasses.replace(answer(row), text=LINES, status="ok")
    )
    ocr, _ = engine(monkeypatch, real, view_mode="tiny", max_new_tokens=4)
    list(ocr(result, [page]))
    assert [text for text, _ in cells(page)] == ["TOTAL", "12.50"]
    assert result.errors == []


def test_what_the_page_shows_runs_up_to_the_conversion():
    page = (REPOSITORY / "docs" / "reading.md").read_text(encoding="utf-8")
    [block] = [
        text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "docling." in text
    ]
    tree = ast.parse(block)
    tree.body.pop()  # needs a model, and docling's own ones
    names = {}
    exec(compile(tree, "reading.md", "exec"), names)
    options = names["converter"].format_to_options[InputFormat.PDF].pipeline_options
    assert options.allow_external_plugins
    assert (options.ocr_options.model, options.ocr_options.mode) == ("my-model", OcrMode.FULL_PAGE)
    section = page[page.index("## In docling") : page.index("## Not here yet")]
    assert DeepseekOcrOptions.model_fields.keys() - set(re.findall(r"`(\w+)`", section)) == {
        "scale"
    }
