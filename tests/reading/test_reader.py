"""Reading from Python: pages, documents and streams, with statuses that hide nothing."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from PIL import Image

import deepseek_ocr
from deepseek_ocr.errors import PageError, UsageError, UserError
from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.inference.results import PageResult
from deepseek_ocr.model.processing import PROMPTS
from deepseek_ocr.reading.regions import Region
from deepseek_ocr.reading.tasks import TASK_PROMPTS, choose_prompt

from .job_samples import make_pdf

FEW = 4  # tokens


@pytest.fixture(scope="module")
def ocr():
    return deepseek_ocr.load("nano-untrained", device="cpu", base_size=128)  # small, thus fast


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    make_pdf(folder / "three.pdf", 3)
    Image.new("L", (60, 80), "white").save(folder / "page.png")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4")
    return folder


@pytest.fixture
def says(ocr, monkeypatch):
    """Let the model's answer be this text."""

    def say(text):
        original = OcrEngine._result
        monkeypatch.setattr(
            OcrEngine,
            "_result",
            lambda self, row: dataclasses.replace(original(self, row), text=text, status="ok"),
        )

    return say


def test_a_page_is_read_from_a_path_bytes_or_a_picture(ocr, folder):
    path = folder / "page.png"
    sources = [path, str(path), path.read_bytes(), Image.open(path)]
    sources.append(np.array(Image.open(path).convert("RGB")))
    pages = [ocr.read(source, max_new_tokens=FEW) for source in sources]
    assert len({page.text for page in pages}) == 1
    for page in pages:
        assert isinstance(page, deepseek_ocr.PageResult)
        assert (page.page, page.width, page.height) == (1, 60, 80)
        assert (page.status, page.num_tokens) == ("truncated", FEW)
        assert page.prompt == TASK_PROMPTS["markdown"]


def test_regions_are_in_page_pixels_and_markdown_has_no_tags(ocr, folder, says):
    says("<|ref|>title<|/ref|><|det|>[[0, 0, 999, 500]]<|/det|>\n# Twelve")
    page = ocr.read(folder / "page.png", max_new_tokens=FEW)
    assert page.regions == (Region(label="title", box=(0, 0, 60, 40), text="# Twelve"),)
    assert page.markdown == "# Twelve"


def test_a_page_of_a_longer_document_must_be_named(ocr, folder):
    with pytest.raises(UsageError, match=r"has 3 pages; name one, as page=1, or .* read_document"):
        ocr.read(folder / "three.pdf")
    assert ocr.read(folder / "three.pdf", page=2, max_new_tokens=FEW).page == 2
    assert ocr.read((folder / "three.pdf").read_bytes(), page=3, max_new_tokens=FEW).page == 3
    with pytest.raises(UsageError, match="has no page 4; its pages are 1 to 3"):
        ocr.read(folder / "three.pdf", page=4)
    with pytest.raises(UsageError, match="a picture that is open has one page"):
        ocr.read(Image.new("L", (9, 9)), page=2)


def test_what_cannot_be_opened_is_told(ocr, folder):
    with pytest.raises(PageError, match=r"none\.png"):
        ocr.read(folder / "none.png")
    with pytest.raises(PageError, match="bytes: "):
        ocr.read(b"no picture")


def test_a_document_comes_page_by_page(ocr, folder):
    pages = ocr.read_document(folder / "three.pdf", pages="2-", max_new_tokens=FEW)
    first = next(pages)
    assert (first.page, first.source) == (2, str(folder / "three.pdf"))
    assert [page.page for page in pages] == [3]


def test_failures_of_many_are_results_in_their_places(ocr, folder):
    names = [folder / "broken.pdf", folder / "three.pdf", "none.png", folder / "page.png"]
    pages = list(ocr.read_many(names, max_new_tokens=FEW, batch_size=2))
    assert [page.page for page in pages] == [None, 1, 2, 3, None, 1]
    assert [page.status == "failed" for page in pages] == [True, *[False] * 3, True, False]
    assert "damaged" in pages[0].reason
    assert pages[4].source == "none.png"


def test_a_page_is_streamed(ocr, folder):
    stream = ocr.stream(folder / "three.pdf", page=2, max_new_tokens=FEW)
    pieces, result = [], None
    while result is None:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            result = end.value
    assert "".join(pieces) == result.text
    assert isinstance(result, PageResult)
    request = ([Image.new("RGB", (9, 9))], "<image>\nFree OCR.")
    assert list(ocr.stream(request, max_new_tokens=FEW))  # as an engine takes it


def test_the_mode_of_a_page_is_its_own(ocr, folder):
    pages = [ocr.read(folder / "page.png", mode=m, max_new_tokens=1) for m in ("tiny", "base")]
    assert [page.mode for page in pages] == ["tiny", "base"]


def test_threads_get_their_own_answers(ocr, folder):
    tasks = ["text", "markdown", "ocr", "describe"]
    alone = [read_all(ocr, folder, task) for task in tasks]
    together = {}

    def read(task):
        together[task] = read_all(ocr, folder, task)

    threads = [threading.Thread(target=read, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[task] for task in tasks] == alone


def read_all(ocr, folder, task):
    pages = ocr.read_document(folder / "three.pdf", task=task, max_new_tokens=FEW)
    return [(page.page, page.text, page.prompt) for page in pages]


def test_an_engine_can_be_asked_within_a_document(ocr, folder):
    numbers = []
    for page in ocr.read_document(folder / "three.pdf", max_new_tokens=FEW):
        numbers += [page.page, ocr.read(folder / "page.png", max_new_tokens=FEW).page]
    assert numbers == [1, 1, 2, 1, 3, 1]


@pytest.mark.parametrize(
    "options, told",
    [
        ({"taks": "text"}, "unknown option taks; known: "),
        ({"task": "read"}, "unknown task 'read'"),
        ({"task": "locate"}, "needs --locate"),
        ({"max_new_tokens": 0}, "must be at least 1"),
    ],
)
def test_options_that_do_not_exist_are_refused(ocr, folder, options, told):
    with pytest.raises(UsageError, match=told):
        ocr.read(folder / "page.png", **options)


def test_the_default_model_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSEEK_OCR_MODEL", str(tmp_path / "none"))
    with pytest.raises(UserError, match="none: no such folder"):
        deepseek_ocr.load()


def test_the_tasks_are_the_published_prompts():
    assert TASK_PROMPTS == PROMPTS


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({}, TASK_PROMPTS["markdown"]),
        ({"trained": "<image>\nmine"}, "<image>\nmine"),
        ({"task": "text", "trained": "<image>\nmine"}, "<image>\nFree OCR."),
        ({"prompt": r"Read\nthis", "task": "text"}, "<image>\nRead\nthis"),
        ({"prompt": "a <image> b"}, "a <image> b"),
        ({"locate": "Total {text}"}, "<image>\nLocate <|ref|>Total {text}<|/ref|> in the image."),
    ],
)
def test_a_prompt_beats_a_task_which_beats_what_was_trained(asked, expected):
    assert choose_prompt(**asked) == expected


def test_what_is_located_holds_no_special_token():
    with pytest.raises(UsageError, match="a special token"):
        choose_prompt(locate="<|/ref|> x")
