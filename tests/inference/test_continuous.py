"""A real model over slots: the same text alone, together, streamed, retried, from paths."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

from deepseek_ocr.inference import cutting
from deepseek_ocr.inference.cutting import Cutter
from deepseek_ocr.inference.engine import OcrEngine
from deepseek_ocr.inference.pieces import TextPieces
from deepseek_ocr.inference.prompts import PromptMaker, Retry, Ticket
from deepseek_ocr.inference.scheduler import ContinuousBatch, Row, RowList
from deepseek_ocr.inference.slots import SlotDecoder
from deepseek_ocr.model.resolution import view_settings
from tests.inference.engines import SMALL, page, unlike_rows
from tests.inference.reference_decoder import ReferenceDecoder

torch.set_num_threads(1)  # small products; more threads only wait for each other

PROMPTS = [
    "<image>\nFree OCR.",
    "text only",
    "<image>\nParse the figure.",
    "<image><image>\nCompare.",
]


def drawn_requests(count: int) -> list:
    draw = random.Random(11)
    requests = []
    for number in range(count):
        prompt = PROMPTS[number % len(PROMPTS)]
        pages = [
            page(draw.randint(20, 220), draw.randint(20, 220), number * 3 + place)
            for place in range(prompt.count("<image>"))
        ]
        requests.append((pages, prompt))
    return requests


@pytest.fixture(scope="module")
def engine() -> OcrEngine:
    return unlike_rows()


REQUESTS = drawn_requests(50)
BUDGETS = 24


@pytest.fixture(scope="module")
def alone(engine):
    return [engine.generate([row], max_new_tokens=BUDGETS)[0] for row in REQUESTS]


def facts(result) -> tuple:
    return result.text, result.status, result.reason, result.num_tokens, result.num_image_tokens


def test_fifty_pages_in_a_running_batch_give_the_texts_of_one_at_a_time(engine, alone):
    together = list(engine.answer(REQUESTS, max_new_tokens=BUDGETS, batch_size=7))
    assert [number for number, _ in together] == list(range(50))
    assert [facts(result) for _, result in together] == [facts(result) for result in alone]
    assert len({result.text for result in alone}) > 20
    assert len({result.num_tokens for result in alone}) > 3


def test_results_come_as_they_end_if_asked(engine, alone):
    found = list(
        engine.answer(iter(REQUESTS[:12]), max_new_tokens=BUDGETS, batch_size=4, in_order=False)
    )
    assert sorted(number for number, _ in found) == list(range(12))
    assert all(facts(result) == facts(alone[number]) for number, result in found)


def test_the_reference_decoder_gives_the_same_texts(engine, alone):
    """Row by row over a cache of transformers, and the model's own forward pass."""

    class Lender:
        def lend(self, num_slots, num_positions):
            return ReferenceDecoder(engine.model, num_slots)

        def give_back(self, decoder):
            assert decoder.caches == {}

    maker = PromptMaker(engine.model, engine.processor, SMALL)
    margin = engine.processor.image_processor.margin
    rows = []
    for number, (pictures, prompt) in enumerate(REQUESTS[:8]):
        ticket = Ticket(number=number, pictures=pictures, prompt=prompt, mode=None)
        maker.encode(ticket, cutting.cut(pictures, maker.choices(None), margin))
        rows.append(Row(budget=BUDGETS, request=ticket))
    batch = ContinuousBatch(
        Lender(),
        maker.embed,
        num_slots=3,
        num_positions=0,
        eos_id=engine.processor.eos_id,
        decode=engine.processor.decode,
        device=torch.device("cpu"),
        guard=engine.guard,
    )
    list(batch.run(RowList(rows)))
    assert [engine.processor.decode(row.tokens) for row in rows] == [r.text for r in alone[:8]]


def test_a_stream_is_the_text_in_pieces(engine, alone):
    longest = sorted(range(50), key=lambda number: -alone[number].num_tokens)
    for number in longest[:3]:
        stream = engine.stream(REQUESTS[number], max_new_tokens=BUDGETS)
        pieces = []
        while True:
            try:
                pieces.append(next(stream))
            except StopIteration as end:
                result = end.value
                break
        assert facts(result) == facts(alone[number])
        assert "".join(pieces) == result.text
        assert len(pieces) > 1


def test_batches_of_one_engine_may_run_beside_each_other(engine, alone):
    streams = [engine.stream(REQUESTS[number], max_new_tokens=BUDGETS) for number in (0, 2)]
    texts = ["", ""]
    for _ in range(BUDGETS + 1):
        for place, stream in enumerate(streams):
            texts[place] += next(stream, "")
    assert texts == [alone[0].text, alone[2].text]


def test_what_is_wrong_with_a_request_is_its_own_result(engine, alone):
    requests = [REQUESTS[0], ([], "<image>one"), (["/no/such/file.png"], "<image>x"), REQUESTS[1]]
    results = [r for _, r in engine.answer(requests, max_new_tokens=BUDGETS, batch_size=2)]
    assert [r.status for r in results][1:3] == ["failed", "failed"]
    assert "1 <image> marks and 0 pictures" in results[1].reason
    assert "does not exist" in results[2].reason
    assert [facts(results[0]), facts(results[3])] == [facts(alone[0]), facts(alone[1])]


def test_out_of_memory_is_remembered_by_the_engine(engine, alone, monkeypatch):
    step = SlotDecoder.step

    def limited(self, slots, tokens):
        if len(slots) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, slots, tokens)

    monkeypatch.setattr(SlotDecoder, "step", limited)
    small = OcrEngine(engine.model, engine.processor, **SMALL)
    found = small.generate(REQUESTS[:6], max_new_tokens=BUDGETS)
    assert [facts(r) for r in found] == [facts(r) for r in alone[:6]]
    assert small.most_rows in (1, 2)
    assert [facts(r) for r in small.generate(REQUESTS[:6], max_new_tokens=BUDGETS)] == [facts(r) for r in alone[:6]]  # fmt: skip


def test_the_cache_is_known_before_it_is_taken(engine):
    text = engine.model.config.text_config
    a_position = 2 * 4 * text.num_hidden_layers * text.num_key_value_heads * text.qk_head_dim
    assert engine.cache_bytes(3, 100) == 300 * a_position
    assert engine.cache_bytes(1) == text.max_position_embeddings * a_position


def test_a_cache_takes_no_more_than_memory_has(engine, monkeypatch):
    monkeypatch.setattr(
        "deepseek_ocr.inference.engine.free_bytes", lambda _: 4 * engine.cache_bytes(1, 100)
    )
    fresh = OcrEngine(engine.model, engine.processor, **SMALL)
    assert fresh._slots_that_fit(100) == 3
    assert fresh._slots_that_fit(100_000) == 1


# --- repetition -----------------------------------------------------------------------------------


@pytest.fixture
def looping(engine):
    """An engine whose model says one token for ever, but for a row that draws its tokens."""

    class Loops:
        num_slots = 4

        def extend(self, slots, embeds):
            return self.logits(len(slots))

        def step(self, slots, tokens):
            return self.logits(len(slots))

        def free(self, slots):
            pass

        def logits(self, num_rows):
            logits = torch.zeros(num_rows, engine.model.config.vocab_size)
            logits[:, 70] = 3.0
            logits[:, engine.processor.eos_id] = 2.0
            return logits

    def make(**options) -> OcrEngine:
        made = OcrEngine(engine.model, engine.processor, **SMALL, **options)
        made._decoders.lend = lambda *_: Loops()
        return made

    return make


def test_a_loop_ends_early_with_its_own_status(looping):
    (result,) = looping(guard=False).generate([([], "a")], max_new_tokens=400)
    assert (result.status, result.num_tokens) == ("repetition", 400)
    (result,) = looping().generate([([], "a")], max_new_tokens=400)
    assert (result.status, result.num_tokens) == ("ok", looping().guard.ngram)  # its end comes next
    assert result.attempts == ()


def test_a_retry_is_recorded_and_its_answer_taken(looping):
    retries = (Retry(prompt="b"), Retry(temperature=1.5))
    engine = looping(guard=False, retries=retries)
    (result,) = engine.generate([([], "a")], max_new_tokens=400)
    assert result.status in ("ok", "empty")
    assert [(a.prompt, a.temperature) for a in result.attempts] == [("a", 0.0), ("b", 0.0), ("a", 1.5)]  # fmt: skip
    assert [a.status for a in result.attempts] == ["repetition", "repetition", result.status]
    assert result.num_tokens == result.attempts[-1].num_tokens
    again = looping(guard=False, retries=retries).generate([([], "a")], max_new_tokens=400)
    assert [facts(r) for r in again] == [facts(result)]


def test_where_no_retry_helps_the_first_answer_stands(looping):
    engine = looping(guard=False, retries=(Retry(prompt="b"), Retry(prompt="c")))
    results = [r for _, r in engine.answer([([], "a"), ([], "d")], max_new_tokens=300)]
    assert [r.prompt for r in results] == ["a", "d"]
    assert [r.status for r in results] == ["repetition", "repetition"]
    assert [[a.prompt for a in r.attempts] for r in results] == [["a", "b", "c"], ["d", "b", "c"]]


# --- pictures by path -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pages")
    for number in range(4):
        page(60 + 40 * number, 90, number).save(folder / f"{number}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return [folder / f"{number}.png" for number in range(4)] + [folder / "bad.png"]


def test_paths_give_the_answers_of_their_pictures(engine, files):
    prompt = "<image>\nFree OCR."
    opened = [engine.generate([([Image.open(f)], prompt)], max_new_tokens=6)[0] for f in files[:4]]
    asked = [([files[0]], prompt), ([str(files[4])], prompt), ([files[1].read_bytes()], prompt), ([files[2]], prompt), ([str(files[3])], prompt)]  # fmt: skip
    results = [r for _, r in engine.answer(asked, max_new_tokens=6, batch_size=2, num_workers=1)]
    assert results[1].status == "failed"
    assert "not a picture of a known format" in results[1].reason
    del results[1]
    assert [facts(r) for r in results] == [facts(r) for r in opened]


def test_a_picture_that_kills_its_process_disturbs_no_other(files):
    choices = {"gundam": view_settings("gundam", **SMALL)}
    with Cutter((127, 127, 127), num_workers=1) as cutter:
        good = cutter.begin([files[0]], choices)
        assert len(good.views()) == 1
        os.kill(cutter._children._children[0].pid, signal.SIGKILL)  # as a decoder's crash would
        begun = [cutter.begin([file], choices) for file in files[1:3]]
        found = [cutting_.views()[0].grid for cutting_ in begun]
        assert found == [c.grid for f in files[1:3] for c in cutting.cut([f], choices, (127,) * 3)]


def test_letters_cut_between_tokens_wait_for_their_rest():
    text = "aé€𝄞b"
    stored = text.encode()

    def decode(ids):
        return bytes(ids).decode(errors="replace")

    pieces = TextPieces(decode)
    found = [pieces.add([byte]) for byte in stored]
    assert [piece for piece in found if piece] == list(text)
    assert pieces.add(stored[1:2]) == ""
    assert pieces.rest() == "\N{REPLACEMENT CHARACTER}"
    assert pieces.rest() == ""
