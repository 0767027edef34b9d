"""What is told of a row's pages: the sizes seen, and the tiles and tokens that the views make."""

from __future__ import annotations

from types import SimpleNamespace

from deepseek_ocr.evaluation.facts import PageFacts, observer, page_facts
from deepseek_ocr.resolution import MODES

from .samples import StubEngine, annotations, open_grey


def test_tiles_and_tokens_are_those_of_the_paper():
    small = page_facts(((600, 400),), MODES["small"], 700)
    assert (small.num_tiles, small.num_vision_tokens) == (0, 100)
    gundam = page_facts(((600, 400), (1280, 1920)), MODES["gundam"], None)
    assert gundam.num_tiles == 6
    assert gundam.num_vision_tokens == 256 + 256 + 6 * 100


def test_without_pages_or_settings_nothing_is_made_up():
    assert page_facts(None, MODES["base"], 3) == PageFacts(num_text_tokens=3)
    assert page_facts(((8, 8),), None, None) == PageFacts(page_sizes=((8, 8),))


def test_an_engine_without_a_processor_tells_sizes_alone():
    (row,) = annotations(["a cat"])
    observe = observer(StubEngine(str))
    assert observe(row, [open_grey("0.png")]) == PageFacts(page_sizes=((30, 20),))
    assert observe(row, None) == PageFacts()


def test_the_engines_own_settings_and_tokenizer_count():
    asked = []

    def settings(mode, **sizes):
        asked.append((mode, sizes))
        return MODES["tiny"]

    engine = SimpleNamespace(
        mode="tiny",
        sizes={"base_size": None},
        processor=SimpleNamespace(
            image_processor=SimpleNamespace(settings=settings), tokenize=str.split
        ),
    )
    (row,) = annotations(["a cat sat"])
    facts = observer(engine)(row, [open_grey("0.png")])
    assert asked == [("tiny", {"base_size": None})]
    assert (facts.num_tiles, facts.num_vision_tokens, facts.num_text_tokens) == (0, 64, 3)


def test_with_mode_auto_the_facts_are_of_the_mode_that_each_row_was_seen_in():
    engine = SimpleNamespace(
        mode="auto",
        sizes={},
        processor=SimpleNamespace(
            image_processor=SimpleNamespace(mode="gundam", settings=MODES.get),
            tokenize=str.split,
        ),
    )
    (row,) = annotations(["a cat"])
    observe = observer(engine)
    seen = [observe(row, [open_grey("0.png")], mode).num_vision_tokens for mode in ("tiny", "base")]
    assert seen == [64, 256]
    engine.mode = "small"  # one mode for all: what each was seen in need not be told
    assert observer(engine)(row, [open_grey("0.png")], "tiny").num_vision_tokens == 100
