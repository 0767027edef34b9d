"""Answers come in order, each says how its decoding ended, and batch-mates change none.

Of models that have only `generate`, played by a stub, and of a real one.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw

from deepseek_ocr.errors import UsageError
from deepseek_ocr.inference.engine import OcrEngine, load_engine
from deepseek_ocr.inference.loops import LOOP_TOKENS
from deepseek_ocr.model import DeepseekOcrProcessor
from deepseek_ocr.model.presets import NANO_FOLDER, untrained

torch.set_num_threads(1)  # small products; more threads only wait for each other

SMALL = {"base_size": 128, "tile_size": 64, "max_tiles": 4}
FLAT, WIDE = Image.new("RGB", (60, 50)), Image.new("RGB", (130, 60), "navy")
FLAT_TOKENS, WIDE_TOKENS = 7, 10
MAX_POSITIONS = 4096


@pytest.fixture(scope="module")
def processor() -> DeepseekOcrProcessor:
    return DeepseekOcrProcessor.from_pretrained(NANO_FOLDER)


class StubModel:
    """Generates the given ids for each row, padded as `transformers` pads rows that ended early.

    The row is known by its last prompt id; every call is noted.
    """

    device = torch.device("cpu")

    def __init__(self, processor, answers: dict[str, list[int]], max_positions=MAX_POSITIONS):
        self.processor = processor
        self.answers = {processor.tokenize(key)[-1]: ids for key, ids in answers.items()}
        self.config = SimpleNamespace(
            text_config=SimpleNamespace(max_position_embeddings=max_positions)
        )
        self.calls: list[dict] = []

    def generate(self, input_ids, **options):
        self.calls.append({"input_ids": input_ids, **options})
        budget = options["max_new_tokens"]
        answers = [self.answers[int(row[-1])][:budget] for row in input_ids]
        answers = [self.until_stopped(row, options) for row in answers]
        length = max(map(len, answers))
        padding = options["pad_token_id"]
        rows = [[*row, *[padding] * (length - len(row))] for row in answers]
        return torch.cat([input_ids, torch.tensor(rows, dtype=torch.long)], dim=1)

    def until_stopped(self, row, options):
        if self.processor.eos_id in row:
            return row[: row.index(self.processor.eos_id) + 1]
        return row


@pytest.fixture
def engine(processor):
    """Prompt -> answer (text, or ids) into an engine with a stub model."""

    def make(answers: dict[str, str | list[int]], max_positions=MAX_POSITIONS) -> OcrEngine:
        ids = {
            prompt: [*processor.tokenize(answer), processor.eos_id]
            if isinstance(answer, str)
            else answer
            for prompt, answer in answers.items()
        }
        return OcrEngine(StubModel(processor, ids, max_positions), processor, **SMALL)

    return make


def requests(*prompts: str):
    """Rows with as many pictures as marks."""
    return [([FLAT] * prompt.count("<image>"), prompt) for prompt in prompts]


def test_answers_come_in_the_order_of_the_rows(engine):
    answers = {"a": "first", "b": "second answer", "c": "third"}
    results = engine(answers).generate(requests("c", "<image>a", "b"), max_new_tokens=50)
    assert [result.text for result in results] == ["third", "first", "second answer"]
    assert [result.prompt for result in results] == ["c", "<image>a", "b"]
    assert [result.status for result in results] == ["ok"] * 3
    assert [result.reason for result in results] == [""] * 3


def test_tokens_and_seconds_are_counted(engine, processor):
    results = engine({"a": "some words", "b": "x"}).generate(
        [([FLAT, WIDE], "<image><image>a"), ([], "b")], max_new_tokens=50
    )
    assert [r.num_tokens for r in results] == [len(processor.tokenize(t)) for t in ("some words", "x")]  # fmt: skip
    assert [r.num_image_tokens for r in results] == [FLAT_TOKENS + WIDE_TOKENS, 0]
    assert all(result.seconds > 0 for result in results)


@pytest.mark.parametrize("answer", ["", " ", "\n\n \t"])
def test_an_answer_without_a_visible_character_is_empty(engine, answer):
    (result,) = engine({"a": answer}).generate(requests("a"), max_new_tokens=9)
    assert (result.status, result.text) == ("empty", answer)


def test_an_answer_without_end_is_truncated(engine, processor):
    ids = processor.tokenize("word by word without an end and more")
    (result,) = engine({"a": ids}).generate(requests("a"), max_new_tokens=5)
    assert result.status == "truncated"
    assert result.reason == "no end within 5 tokens"
    assert result.num_tokens == 5
    assert result.text == processor.decode(ids[:5])


def test_a_loop_without_end_is_a_repetition(engine, processor):
    unit = processor.tokenize("<td>7</td>")
    ids = processor.tokenize("start ") + unit * 200
    (result,) = engine({"a": ids}).generate(requests("a"), max_new_tokens=len(ids))
    assert result.status == "repetition"
    assert result.reason == f"the last {LOOP_TOKENS} tokens repeat a unit of {len(unit)}"
    assert result.text.startswith("start <td>7</td><td>7</td>")


def test_a_loop_that_ends_is_an_answer(engine, processor):
    ids = [*processor.tokenize("<td></td>") * 300, processor.eos_id]
    (result,) = engine({"a": ids}).generate(requests("a"), max_new_tokens=len(ids))
    assert result.status == "ok"


def test_a_loop_stopped_beside_a_longer_row_is_still_a_repetition(engine, processor):
    loop = processor.tokenize("ab") * 200
    long = [*processor.tokenize("0123456789 ") * 60, processor.eos_id]
    results = engine({"a": loop, "b": long}).generate(requests("a", "b"), max_new_tokens=2000)
    assert [result.status for result in results] == ["repetition", "ok"]
    assert results[0].num_tokens == len(loop)


def test_special_tokens_of_an_answer_are_kept(engine):
    answer = "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n# Title"
    (result,) = engine({"a": answer}).generate(requests("a"), max_new_tokens=90)
    assert result.text == answer


def test_a_row_that_fills_the_model_fails_alone(engine):
    few = engine({"a": "answer", "b": "other"}, max_positions=40)
    rows = requests("a", "<image>" * 8 + "b", "<image>b")
    results = few.generate(rows, max_new_tokens=9)
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert [result.text for result in results] == ["answer", "", "other"]
    assert "58 positions, the model has 40; use a smaller mode" in results[1].reason
    assert results[1].prompt == rows[1][1]
    assert all(len(call["input_ids"][0]) < 40 for call in few.model.calls)


def test_every_row_has_the_room_that_it_has_alone(engine, processor):
    """A long prompt beside it takes nothing from a short prompt's answer."""
    answer = "more than it leaves"
    rows = requests("a", "<image>" * 4 + "b")
    free = 40 - (1 + 4 * FLAT_TOKENS + len(processor.tokenize("b")))
    assert free < len(processor.tokenize(answer)) < 30
    answers = {"a": answer, "b": processor.tokenize("text without an end ") * 20}
    together = engine(answers, max_positions=40).generate(rows, max_new_tokens=30)
    alone = [
        engine(answers, max_positions=40).generate([row], max_new_tokens=30)[0] for row in rows
    ]
    assert [r.status for r in together] == [r.status for r in alone] == ["ok", "truncated"]
    assert [r.text for r in together] == [r.text for r in alone]
    assert [r.num_tokens for r in together] == [r.num_tokens for r in alone]
    assert together[1].num_tokens == free
    assert together[1].reason == alone[1].reason == f"no end within {free} tokens"


def test_decoding_is_greedy_and_ends_with_the_tokenizers_end(engine, processor):
    stub = engine({"a": "x"})
    stub.generate(requests("a"), max_new_tokens=7)
    (call,) = stub.model.calls
    assert call["do_sample"] is False
    assert call["max_new_tokens"] == 7
    assert (call["eos_token_id"], call["pad_token_id"]) == (processor.eos_id, processor.pad_id)
    assert call["attention_mask"].all()


def test_mode_and_sizes_of_the_engine_decide_the_views(processor):
    stub = OcrEngine(StubModel(processor, {"a": [1]}), processor, mode="small")
    stub.generate(requests("<image>a"), max_new_tokens=3)
    assert stub.model.calls[0]["pixel_values"].shape == (1, 3, 640, 640)
    stub = OcrEngine(StubModel(processor, {"a": [1]}), processor)  # nano's own mode
    (result,) = stub.generate(requests("<image>a"), max_new_tokens=3)
    assert stub.model.calls[0]["pixel_values"].shape == (1, 3, 512, 512)
    assert result.num_image_tokens == 73


def test_a_budget_without_a_token_is_refused(engine):
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        engine({"a": "x"}).generate(requests("a"), max_new_tokens=0)


def test_no_rows_have_no_answers(engine):
    stub = engine({})
    assert stub.generate([], max_new_tokens=5) == []
    assert stub.model.calls == []


# --- a real model -------------------------------------------------------------------------------


def page(width: int, height: int, seed: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(picture).text((3, 5 * seed), f"page {seed} {'x' * seed}", fill="black")
    return picture


@pytest.fixture(scope="module")
def nano_engine() -> OcrEngine:
    model, processor = untrained("nano-untrained", seed=3)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05)  # so that rows differ
    return OcrEngine(model, processor, **SMALL)


ROWS = [
    ([page(60, 60, 1)], "<image>\nFree OCR."),
    ([], "text only"),
    ([page(200, 90, 2), page(50, 60, 3)], "<image><image>\nCompare the two pages."),
]


def test_a_batch_gives_the_answers_of_single_rows(nano_engine):
    together = nano_engine.generate(ROWS, max_new_tokens=6)
    alone = [nano_engine.generate([row], max_new_tokens=6)[0] for row in ROWS]
    for found, expected in zip(together, alone, strict=True):
        assert (found.text, found.status, found.reason) == (
            expected.text, expected.status, expected.reason,
        )  # fmt: skip
        assert (found.num_tokens, found.num_image_tokens) == (
            expected.num_tokens, expected.num_image_tokens,
        )  # fmt: skip
    assert len({result.text for result in together}) == 3


def test_the_answer_is_the_argmax_of_the_logits_step_by_step(nano_engine):
    model, processor = nano_engine.model, nano_engine.processor
    inputs = processor(images=ROWS[0][0], text=[ROWS[0][1]], **SMALL)
    ids = inputs.pop("input_ids")
    inputs.pop("attention_mask")
    length = ids.shape[1]
    with torch.no_grad():
        for _ in range(4):
            following = model(input_ids=ids, **inputs).logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, following], dim=1)
    (result,) = nano_engine.generate([ROWS[0]], max_new_tokens=4)
    assert result.text == processor.decode(ids[0, length:])


def test_a_real_model_gives_every_row_its_own_room(nano_engine, monkeypatch):
    longest = 1 + FLAT_TOKENS + 2 + 2 * WIDE_TOKENS  # about the third row's length
    monkeypatch.setattr(nano_engine, "max_positions", longest + 25)
    together = nano_engine.generate(ROWS, max_new_tokens=30)
    alone = [nano_engine.generate([row], max_new_tokens=30)[0] for row in ROWS]
    assert [r.text for r in together] == [r.text for r in alone]
    assert [r.reason for r in together] == [r.reason for r in alone]
    assert len({result.reason for result in together}) > 1


def test_generation_leaves_training_possible(nano_engine):
    nano_engine.generate(ROWS[:1], max_new_tokens=2)
    assert all(parameter.requires_grad for parameter in nano_engine.model.parameters())
    assert torch.is_grad_enabled()


def test_a_preset_loads_as_an_engine():
    found = load_engine("nano-untrained", device="cpu", mode="tiny", seed=1)
    assert found.mode == "tiny"
    assert found.device == torch.device("cpu")
    assert found.max_positions == MAX_POSITIONS


@pytest.mark.parametrize("options, named", [({"mode": "huge"}, "unknown mode 'huge'"), ({"tile_size": 100}, "tile_size is 100"), ({"base_size": 63}, "base_size is 63"), ({"max_tiles": 0}, "max_tiles is 0")])  # fmt: skip
def test_an_impossible_view_is_refused_before_a_model_is_loaded(options, named):
    with pytest.raises(UsageError) as caught:
        load_engine("/no/such/folder", **options)
    assert named in str(caught.value)
