"""Seconds that scores take: 10,000 pages of 3,000 characters, their intervals, tables, fields.

python benchmarks/scoring.py [--pages 10000] [--chars 3000] [--processes 1]

Pages are words drawn by seed; answers are the page with 5 % of its characters damaged (of every
tenth page an answer in a loop, of every twentieth another page).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from deepseek_ocr.metrics.fields import field_score
from deepseek_ocr.metrics.fox import fox_score
from deepseek_ocr.metrics.graphemes import grapheme_score
from deepseek_ocr.metrics.intervals import DocumentBootstrap
from deepseek_ocr.metrics.markdown.tables import teds
from deepseek_ocr.metrics.normalization import NORMALIZERS, normalizer
from deepseek_ocr.metrics.text import text_score
from deepseek_ocr.metrics.words import bag_of_words, bleu_counts

LETTERS = "eeeeettttaaaooiinnsshhrrddlluucmfwgypbvkéäß"
Pair = tuple[str, str]


def main() -> None:
    """Print a table with a row for each score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--chars", type=int, default=3_000)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    pairs = [page_pair(options.chars, seed) for seed in range(options.pages)]
    print("| what | seconds | of one core |\n|---|---|---|")
    pages = f"{options.pages:,} pages of {options.chars:,} characters"
    print(f"| {pages}, {options.processes} processes: | | |")
    with ProcessPoolExecutor(options.processes) as pool:
        list(pool.map(str, range(options.processes)))  # started before the clock is
        for name, score in PAGE_SCORES.items():
            score_all = partial(each, score)
            cut = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]
            seconds, work = timed(lambda: sum(pool.map(score_all, cut)))  # noqa: B023  used at once
            print(f"| {name} | {seconds:.1f} | {work:.1f} |")
    for name, seconds in [*interval_seconds(options.pages), *table_seconds(), *field_seconds()]:
        print(f"| {name} | | {seconds:.2f} |")


def score_normalized(name: str, prediction: str, truth: str) -> object:
    """CER, WER and edit distance under a normalisation."""
    apply = normalizer(name)
    return text_score(apply(prediction), apply(truth))


PAGE_SCORES: dict[str, Callable[[str, str], object]] = {
    "CER, WER, edit distance": text_score,
    **{f"the same, {name}": partial(score_normalized, name) for name in NORMALIZERS},
    "CER in grapheme clusters": grapheme_score,
    "bag of words": bag_of_words,
    "BLEU": bleu_counts,
    "Fox precision and recall": fox_score,
}


def each(score: Callable[[str, str], object], pairs: Sequence[Pair]) -> float:
    """Scores the pairs; seconds of this process."""
    start = time.process_time()
    for prediction, truth in pairs:
        score(prediction, truth)
    return time.process_time() - start


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that the work took, waiting and work of other processes included; its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def busy(work: Callable[[], object]) -> float:
    """Seconds of this process that the work took."""
    start = time.process_time()
    work()
    return time.process_time() - start


def page_pair(num_chars: int, seed: int) -> Pair:
    """A prediction and its truth."""
    rng = random.Random(seed)
    truth = page(num_chars, rng)
    if seed % 20 == 19:
        return page(num_chars, rng), truth
    damaged = list(truth)
    for place in rng.sample(range(num_chars), num_chars // 20):
        damaged[place] = rng.choice(["", "x", " ", damaged[place] * 2])
    answer = "".join(damaged)
    return (answer + answer[-60:] * 300 if seed % 10 == 9 else answer), truth


def page(num_chars: int, rng: random.Random) -> str:
    """Words of one to ten letters, a line end after about twelve of them."""
    words = []
    while len(words) * 5.5 < num_chars * 1.3:
        end = rng.choices(["", ",", ".", "\n"], [80, 6, 6, 8])[0]
        words.append("".join(rng.choices(LETTERS, k=rng.randint(1, 10))) + end)
    return " ".join(words)[:num_chars].ljust(num_chars, "e")


def interval_seconds(num_rows: int) -> list[tuple[str, float]]:
    """Of the bootstrap over as many documents as rows, the worst case."""
    rng = random.Random(0)
    errors = [rng.randrange(100) for _ in range(num_rows)]
    lengths = [1000] * num_rows
    documents = [f"document {row}" for row in range(num_rows)]
    bootstrap = DocumentBootstrap(documents, seed=0)
    rates = [e / n for e, n in zip(errors, lengths, strict=True)]
    return [
        (
            f"1,000 resamples of {num_rows:,} documents: drawing",
            busy(lambda: DocumentBootstrap(documents, seed=0)),
        ),
        ("interval of a ratio", busy(lambda: bootstrap.of_ratio(errors, lengths))),
        ("interval of a median", busy(lambda: bootstrap.of_median(rates))),
        (
            "paired difference",
            busy(lambda: bootstrap.paired_difference(errors, lengths, errors[::-1], lengths)),
        ),
    ]


def table_seconds() -> list[tuple[str, float]]:
    """TEDS of tables of 200 cells: the mean of five, texts and some spans damaged."""
    rng = random.Random(0)
    tables = [(table(rng, damage=0.2), table(rng, damage=0)) for _ in range(5)]
    seconds = busy(lambda: [teds(*pair) for pair in tables])
    return [("TEDS of a table of 20 rows and 10 columns", seconds / 5)]


def table(rng: random.Random, *, damage: float) -> str:
    """HTML of 20 rows of 10 cells; `damage` is the share of cells that differ."""
    rows = []
    for row in range(20):
        cells = []
        for column in range(10):
            wrong = rng.random() < damage
            span = ' colspan="2"' if wrong and rng.random() < 0.2 else ""
            cells.append(f"<td{span}>{'x' if wrong else ''}{row * 37 + column * 11}.50 EUR</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def field_seconds() -> list[tuple[str, float]]:
    """Field F1 and tree edit accuracy of invoices with 20 and with 100 items of three fields."""
    rng = random.Random(0)
    measured = []
    for num_items in (20, 100):
        pair = [invoice(num_items, rng) for _ in range(2)]
        seconds = busy(lambda: field_score(*pair))  # noqa: B023  used at once
        measured.append((f"fields of an invoice of {num_items} items", seconds))
    return measured


def invoice(num_items: int, rng: random.Random) -> str:
    """JSON with as many items, prices drawn."""
    items = [
        {"name": f"item {n}", "count": rng.randint(1, 9), "price": f"{rng.random() * 100:.2f}"}
        for n in range(num_items)
    ]
    return json.dumps({"items": items})


if __name__ == "__main__":
    main()
