"""Pictures to views in other processes, and the mode of each request."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from deepseek_ocr.data.pages.sources import PageSource
from deepseek_ocr.errors import PageError
from deepseek_ocr.inference import cutting
from deepseek_ocr.inference.cutting import Cutter, View
from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.inference.prompts import AUTO_MODES, PromptMaker
from deepseek_ocr.model.image_processing import DeepseekOcrImageProcessor
from deepseek_ocr.model.presets import untrained
from deepseek_ocr.model.resolution import MODES, view_settings
from tests.reading.pdf_files import lines_of, pdf_of

GREY = (127, 127, 127)
ALL = {mode: MODES[mode] for mode in AUTO_MODES}
SMALL = {"gundam": view_settings("gundam", base_size=128, tile_size=64, max_tiles=4)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    Image.linear_gradient("L").resize((150, 90)).save(folder / "a.png")
    (folder / "b.pdf").write_bytes(pdf_of([lines_of("Words in lines"), lines_of("More", size=40)]))
    return folder


@pytest.fixture(scope="module")
def cutter():
    with Cutter(GREY, num_workers=1) as cutter:
        yield cutter


def same(first: View, second: View) -> bool:
    facts = [(v.grid, v.size, v.mode, v.turned, len(v.tiles)) for v in (first, second)]
    pairs = [(first.overview, second.overview), *zip(first.tiles, second.tiles, strict=True)]
    return facts[0] == facts[1] and all(itertools.starmap(np.array_equal, pairs))


def kinds_of_pictures(files) -> list:
    page = PageSource(path=files / "b.pdf", name="b.pdf", page=2, rotation="90")
    path = files / "a.png"
    return [path, str(path), path.read_bytes(), f"{files / 'b.pdf'}#page=2", page]


@pytest.mark.parametrize("place", range(5))
def test_views_from_another_process_are_those_of_this_one(files, cutter, place):
    picture = kinds_of_pictures(files)[place]
    (here,), (there,) = cutting.cut([picture], SMALL, GREY), cutter.begin([picture], SMALL).views()
    assert same(here, there)
    assert there.overview.shape == (128, 128, 3) and len(there.tiles) > 1


def test_several_pictures_of_one_request_come_in_order(files, cutter):
    pictures = kinds_of_pictures(files)
    found = cutter.begin(pictures, SMALL).views()
    expected = cutting.cut(pictures, SMALL, GREY)
    assert all(itertools.starmap(same, zip(found, expected, strict=True)))


def test_paths_are_those_of_this_process(files, cutter, monkeypatch):
    cutter.begin([files / "a.png"], SMALL).views()  # the other has started elsewhere
    monkeypatch.chdir(files)
    assert cutter.begin(["a.png"], SMALL).views()[0].size == (150, 90)
    page = PageSource(path=(files / "b.pdf").relative_to(files), name="b.pdf")
    assert cutter.begin([page], SMALL).views()[0].mode == "gundam"


def test_a_picture_of_one_colour_channel_or_no_tiles_arrives_too(cutter):
    stream = io.BytesIO()
    Image.new("1", (20, 30)).save(stream, "PNG")
    (view,) = cutter.begin([stream.getvalue()], SMALL).views()
    assert (view.grid, view.tiles, view.size) == ((1, 1), [], (20, 30))


def test_a_picture_that_cannot_be_opened_is_an_error_that_names_it(files, cutter):
    with pytest.raises(PageError, match=r"b\.pdf#page=9: has no such page"):
        cutter.begin([PageSource(path=files / "b.pdf", name="b.pdf", page=9)], SMALL).views()
    with pytest.raises(PageError, match="not a picture of a known format"):
        cutter.begin([b"no picture"], SMALL).views()


def test_auto_is_decided_by_the_page_in_the_other_process(files, cutter):
    pages = [PageSource(path=files / "b.pdf", name="b.pdf", page=n) for n in (1, 2)]
    small, large = (cutter.begin([page], ALL).views()[0] for page in pages)
    assert (small.mode, large.mode) == ("base", "tiny")
    assert len(small.overview) == 1024 and len(large.overview) == 512
    assert [view.mode for view in cutter.begin(pages, ALL).views()] == ["base", "base"]


# --- which modes there are to choose from ---------------------------------------------------------


def maker(mode: str | None = None, *, sizes=None, **processor_settings) -> PromptMaker:
    processor = untrained("nano-untrained")[1]
    processor.image_processor = DeepseekOcrImageProcessor(**processor_settings)
    return PromptMaker(None, processor, sizes or {}, mode)


def test_auto_chooses_among_the_published_modes():
    assert maker().choices("auto") == ALL
    assert maker(mode="gundam").choices("auto") == ALL
    assert maker().choices("base") == {"base": MODES["base"]}
    assert list(maker().choices(None)) == ["gundam"]
    assert maker(sizes={"max_tiles": 4}).choices("auto")["gundam"].max_tiles == 4


@pytest.mark.parametrize("made", [
    maker(mode="tiny", sizes={"base_size": 128}),
    maker(sizes={"tile_size": 320}),
])  # fmt: skip
def test_sizes_that_are_given_leave_no_choice(made):
    assert list(made.choices("auto")) == ["gundam"]


def test_a_model_for_one_mode_or_size_is_read_in_that_one():
    nano = {"base": view_settings("base", base_size=512)}
    own = untrained("nano-untrained")[1]
    own.image_processor = DeepseekOcrImageProcessor(mode="base", base_size=512)
    assert PromptMaker(None, own, {}).choices("auto") == nano
    own.image_processor = DeepseekOcrImageProcessor(mode="tiny")
    assert PromptMaker(None, own, {}).choices("auto") == {"tiny": MODES["tiny"]}


# --- a request's own mode -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> OcrEngine:
    model, processor = untrained("nano-untrained", seed=3)
    return OcrEngine(model.eval(), processor, mode="base", base_size=128)


def test_requests_of_several_modes_share_a_batch(engine, files):
    page = Image.linear_gradient("L").resize((300, 100))  # `tiny` squeezes it, `base` does not
    prompt = "<image>\nFree OCR."
    requests = [([page], prompt, "tiny"), ([page], prompt), ([page], prompt, "tiny")]
    answers = [r for _, r in engine.answer(requests, max_new_tokens=2, batch_size=3)]
    assert [answer.mode for answer in answers] == ["tiny", "base", "tiny"]
    assert {(answer.width, answer.height) for answer in answers} == {(300, 100)}
    alone = [engine.generate([request], max_new_tokens=2)[0] for request in requests]
    assert [answer.text for answer in answers] == [answer.text for answer in alone]
    assert answers[0].text == answers[2].text


def test_a_page_of_a_document_is_answered_from_another_process(engine, files):
    page = PageSource(path=files / "b.pdf", name="b.pdf", page=2, rotation="180")
    missing = PageSource(path=files / "b.pdf", name="b.pdf", page=3)
    requests = [([source], "<image>\nFree OCR.", "tiny") for source in (page, missing)]
    (_, good), (_, bad) = engine.answer(requests, max_new_tokens=2, batch_size=2, num_workers=1)
    assert (good.mode, good.turned, (good.width, good.height)) == ("tiny", 180, (128, 181))
    assert bad.status == "failed" and "b.pdf#page=3: has no such page" in bad.reason
