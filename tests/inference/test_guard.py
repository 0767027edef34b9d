"""The guard is the published one, stops what would never end, and leaves honest pages alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.inference.guard import Chooser, Guard, NgramRule
from deepseek_ocr.inference.loops import LOOP_EVERY, why_stuck
from deepseek_ocr.inference.scheduler import Row
from deepseek_ocr.model import DeepseekOcrProcessor
from deepseek_ocr.model.presets import NANO_FOLDER
from tests.inference.scripted import CPU, play

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "tokenizer"


def published_bans(ids: list[int], ngram: int, window: int, exempt: set[int]) -> set[int]:
    """As the vLLM program published with the model counts them, one row at a time."""
    if len(ids) < ngram:
        return set()
    newest = ids[-(ngram - 1) :]
    starts = range(max(0, len(ids) - window), len(ids) - ngram + 1)
    found = {ids[s + ngram - 1] for s in starts if ids[s : s + ngram - 1] == newest}
    return found - exempt


def histories(rows: list[list[int]], window: int) -> torch.Tensor:
    newest = [row[-window:] for row in rows]
    return torch.tensor([[-1] * (window - len(row)) + row for row in newest])


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 3), max_size=40), min_size=1, max_size=4),
    ngram=st.integers(2, 6),
    more=st.integers(0, 12),
    exempt=st.sets(st.integers(0, 3), max_size=2),
)
def test_the_same_tokens_are_banned_as_published(rows, ngram, more, exempt):
    window = ngram + more
    rule = NgramRule(Guard(ngram=ngram, window=window, exempt=frozenset(exempt)), CPU)
    logits = rule.ban(histories(rows, window), torch.zeros(len(rows), 6))
    found = [set((row == float("-inf")).nonzero().flatten().tolist()) for row in logits]
    assert found == [published_bans(row, ngram, window, exempt) for row in rows]
    assert set(logits.unique().tolist()) <= {0.0, float("-inf")}


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), ngram=st.integers(2, 4), more=st.integers(0, 8))
def test_a_chooser_remembers_each_slot_by_itself(seed, ngram, more):
    guard = Guard(ngram=ngram, window=ngram + more, exempt=frozenset({1}))
    generator = torch.Generator().manual_seed(seed)
    chooser = Chooser(guard, 3, CPU)
    ids: dict[int, list[int]] = {0: [], 2: [1, 2, 1, 2], 1: []}
    for slot, tokens in ids.items():
        chooser.start(slot, tokens)
    for step in range(25):
        slots = [[0, 2], [2], [1, 0], [2, 1, 0]][step % 4]
        logits = torch.rand(len(slots), 4, generator=generator)
        logits[:, 1:3] += 2  # so that n-grams come again
        chosen, guarded = chooser.choose(slots, logits)
        for row, slot in enumerate(slots):
            banned = published_bans(ids[slot], guard.ngram, guard.window, {1})
            allowed = [t for t in range(4) if t not in banned]
            best = max(allowed, key=lambda t: float(logits[row, t]))
            assert chosen[row] == best
            assert bool(guarded[row]) == (best != int(logits[row].argmax()))
            ids[slot].append(best)


def test_without_a_guard_the_best_token_is_taken():
    chooser = Chooser(None, 2, CPU)
    for _ in range(100):
        chosen, guarded = chooser.choose([0, 1], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        assert chosen.tolist() == [1, 0]
        assert not guarded.any()


def test_a_temperature_draws_tokens_by_the_rows_own_seed():
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0], [0.0, 1.0, 2.0]])

    def drawn(slots: list[int], seed: int) -> list[list[int]]:
        chooser = Chooser(None, 3, CPU)
        for slot in slots:
            if slot == 1:
                chooser.start(slot)
            else:
                chooser.start(slot, temperature=0.8, seed=seed)
        return [chooser.choose(slots, logits[: len(slots)])[0].tolist() for _ in range(400)]

    both = drawn([0, 1], seed=5)
    assert [tokens[0] for tokens in both] == [tokens[0] for tokens in drawn([0], seed=5)]
    assert [tokens[0] for tokens in both] != [tokens[0] for tokens in drawn([0], seed=6)]
    assert {tokens[1] for tokens in both} == {2}
    shares = torch.tensor([[t[0] == token for token in range(3)] for t in both]).float().mean(0)
    torch.testing.assert_close(shares, (logits[0] / 0.8).softmax(0), atol=0.08, rtol=0)


@pytest.mark.parametrize("ngram, window", [(1, 90), (30, 29), (0, 0)])
def test_an_impossible_guard_is_refused(ngram, window):
    with pytest.raises(ValueError, match=f"a guard of {ngram}-grams in a window of {window}"):
        Guard(ngram=ngram, window=window)


# --- pages ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nano", "published"])
def processor(request) -> DeepseekOcrProcessor:
    if request.param == "nano":
        return DeepseekOcrProcessor.from_pretrained(NANO_FOLDER)
    if not PUBLISHED.is_dir():
        pytest.skip("needs the published tokenizer in ../shared/tokenizer")
    return DeepseekOcrProcessor.from_pretrained(PUBLISHED)


@pytest.fixture(scope="module")
def guard(processor) -> Guard:
    return Guard.for_processor(processor)


def test_the_published_tokenizer_gets_the_published_guard(processor, guard):
    cells = {processor.tokenize(cell)[0] for cell in ("<td>", "</td>")}
    assert guard.exempt == cells
    assert cells < guard.structure
    assert set(processor.tokenize("... . .<tr></tr>")) < guard.structure
    assert not guard.structure & set(processor.tokenize("letter,\n<table>1"))
    if len(processor.tokenizer.get_vocab()) > 100_000:
        assert (guard.ngram, guard.window) == (30, 90)
        assert cells == {128821, 128822}
    else:  # letter by letter
        assert (guard.ngram, guard.window) == (120, 360)


def played(processor, guard, ids: list[int], budget: int = 100_000) -> Row:
    """What a model that wants these tokens, one by one, answers under the guard.

    The decoder has a vocabulary of their own, for its logits to be short; 0 ends a script.
    """
    known = sorted({*ids, *guard.exempt, *guard.structure, *range(100, 140)})
    places = {token: place for place, token in enumerate(known, start=1)}
    (row,) = play(
        [[places[token] for token in ids]],
        guard=Guard(
            ngram=guard.ngram,
            window=guard.window,
            exempt=frozenset(places[token] for token in guard.exempt),
            structure=frozenset(places[token] for token in guard.structure),
        ),
        decode=lambda found: processor.decode([known[place - 1] for place in found]),
        vocabulary=len(known) + 1,
        budget=budget,
    )
    row.tokens = [known[place - 1] for place in row.tokens]
    return row


WORDS = ["invoice", "paper", "steel", "board", "glass", "cotton", "engine", "water", "copper", "garden", "letter", "window"]  # fmt: skip


def numbered_table(row: str, num_rows: int = 300) -> str:
    draw = random.Random(4)
    return "".join(
        row.format(n=n, word=draw.choice(WORDS), other=draw.choice(WORDS), price=draw.randint(1, 99999) / 100)
        for n in range(1, num_rows + 1)
    )  # fmt: skip


def contents(leader: str, per_line: int = 45) -> str:
    draw = random.Random(5)
    lines, page = [], 1
    for chapter in range(1, 31):
        title = f"{chapter} {' '.join(draw.choice(WORDS) for _ in range(draw.randint(1, 4)))}"
        page += draw.randint(1, 14)
        lines.append(f"{title} {leader * per_line} {page}")
    return "\n".join(lines)


HONEST = {
    "HTML table": "<table>" + numbered_table("<tr><td>{n}</td><td>{word}</td><td>{price}</td></tr>") + "</table>",
    "Markdown table": "| No | Item | Price |\n|---|---|---|\n" + numbered_table("| {n} | {word} {other} | {price} |\n"),
    "table of one word": "<table>" + numbered_table("<tr><td>{n}</td><td>sold</td><td>{price}</td></tr>") + "</table>",
    "numbered rows, else empty": "<table>" + "".join(f"<tr><td>{n}</td><td></td><td></td></tr>" for n in range(1, 301)) + "</table>",
    "numbers only go up": "| No | Item |\n|---|---|\n" + "".join(f"| {n} | Item {n} | 9.99 |\n" for n in range(1, 301)),
    "numbered list": "\n".join(f"{n}. {random.Random(n).choice(WORDS)} {random.Random(-n).choice(WORDS)}" for n in range(1, 301)),
    "contents": contents("."),
    "contents with spaced leaders": contents(". ", 30),
    "dotted leaders": "\n".join(f"{word} {'.' * 80} {n}" for n, word in enumerate(WORDS)),
    "form": "\n".join(f"{word} no. {'.' * 60}" + "\n" + f"Date of {word} {'.' * 60}" for word in WORDS),
    "empty cells": "<table>" + ("<tr>" + "<td></td>" * 6 + "</tr>") * 5 + "</table>",
}  # fmt: skip


@pytest.mark.parametrize("page", HONEST)
def test_an_honest_page_passes_unchanged(processor, guard, page):
    """No token of it would be banned, and no look at it finds a loop."""
    ids = processor.tokenize(HONEST[page])
    last_seen: dict[tuple[int, ...], int] = {}
    for end in range(guard.ngram, len(ids) + 1):
        ngram = tuple(ids[end - guard.ngram : end])
        if ids[end - 1] not in guard.exempt and 10 * len(
            [token for token in ngram[:-1] if token in guard.structure]
        ) < 9 * len(ngram[:-1]):
            assert end - last_seen.get(ngram, -guard.window) > guard.window - guard.ngram + 1
        last_seen[ngram] = end
    for length in range(LOOP_EVERY, len(ids), LOOP_EVERY):
        before = length - LOOP_EVERY
        assert why_stuck(ids[:length], processor.decode, guard=guard, before=before) is None


@pytest.mark.parametrize("page", ["contents with spaced leaders", "empty cells"])
def test_an_honest_page_that_is_played_passes_unchanged(processor, guard, page):
    ids = processor.tokenize(HONEST[page])
    row = played(processor, guard, ids)
    assert (row.ending, row.reason) == ("end", "")
    assert row.guarded == []
    assert row.tokens == ids


def unit_of(length: int) -> list[int]:
    return [20 + (7 * place) % 251 for place in range(length)]


@pytest.mark.parametrize("length", [1, 25, 60, 240, 300])
def test_a_loop_stops_within_a_thousand_tokens(processor, guard, length):
    before = processor.tokenize("Some text before it goes wrong, and a table <td>7</td>.\n")
    row = played(processor, guard, before + unit_of(length) * 2000)
    assert row.ending == "repetition"
    assert row.reason
    assert len(row.tokens) - len(before) <= 1000


@pytest.mark.parametrize("length", [1, 300])
def test_a_loop_of_exempt_tokens_stops_too(processor, guard, length):
    cells = processor.tokenize("<td></td>")
    row = played(processor, guard, (cells * length)[: 2 * length] * 1000)
    assert row.ending == "repetition"
    assert len(row.tokens) <= 1000


COUNT_UPS = ["{n}\n", "{n}. ", "({n}) the same text.\n", "Figure {n}: see table {m} of 1999.\n"]


@pytest.mark.parametrize("item", COUNT_UPS)
def test_a_count_up_stops_within_a_thousand_tokens(processor, guard, item):
    before = processor.tokenize("Some text before it goes wrong, in 1999 or 2003.\n")
    endless = "".join(item.format(n=n, m=n + 3) for n in range(1, 1000))
    row = played(processor, guard, before + processor.tokenize(endless))
    assert row.ending == "repetition"
    assert len(row.tokens) - len(before) <= 1000
    assert row.reason.endswith("items differ only in numbers that count on")


def test_an_ngram_of_structure_alone_says_nothing():
    guard = Guard(ngram=5, window=20, structure=frozenset({1, 2}))
    rows = [[1, 2, 1, 2, 5, 3, 1, 2, 1, 2], [4, 2, 1, 2, 5, 3, 4, 2, 1, 2]]
    logits = NgramRule(guard, CPU).ban(histories(rows, 20), torch.zeros(2, 6))
    assert not logits[0].isinf().any()
    assert logits[1].isinf().nonzero().tolist() == [[5]]


def test_without_a_guard_nothing_is_stopped_but_the_end_is_told():
    (row,) = play([[3, 4] * 2000], budget=3000)
    assert row.tokens == [3, 4] * 1500
    assert row.ending == "repetition"
    assert row.reason == "the last 256 tokens repeat a unit of 2"


def test_a_loop_that_the_guard_breaks_again_and_again_is_told_as_one():
    (row,) = play([[3] * 5000], guard=Guard(ngram=10, window=40))
    assert row.ending == "repetition"
    assert "would have repeated 10 tokens of the 40 before them" in row.reason
    assert len(row.tokens) < 200
