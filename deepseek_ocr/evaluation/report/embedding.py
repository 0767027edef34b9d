"""All rows as JSON inside the page, for the browser's list, filters and search.

An index in columns is read at once; the texts lie in slices that are read when they are needed.
Neither is ever a program: blocks of type `application/json` do not run, and no character in them
could end them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...metrics.alignment import UNSEEN
from .edits import Confusions, changes, count_confusions, encoded
from .records import Answer, Record

SLICE = 100  # rows that are read together
MAX_CHARS = 8_000  # of a text; the whole one stands in predictions.jsonl
MAX_PAGE_CHARS = 80_000_000  # of all truths and answers; a browser still opens it in seconds
LEAST_CHARS = 200
MAX_VALUES = 400  # of one filter; more are searched for instead
FACETS = ("group", "lang", "kind", "num_tiles")

_TO_ESCAPE = re.compile("[<>&]|" + UNSEEN.pattern)


def json_block(value: Any, *, name: str = "", kind: str = "") -> str:
    """`value` as a script element that holds data alone, whatever its texts are."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = _TO_ESCAPE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    attributes = (f" id={name}" if name else "") + (f" class={kind}" if kind else "")
    return f'<script type="application/json"{attributes}>{safe}</script>\n'


def chars_kept(records: Sequence[Record]) -> int:
    """How many characters of each text fit into the page."""
    num_texts = sum(1 + len(record.answers) for record in records)
    return max(min(MAX_CHARS, MAX_PAGE_CHARS // max(num_texts, 1)), LEAST_CHARS)


def index(records: Sequence[Record], names: dict[str, str], kept: int) -> dict[str, Any]:
    """What the list, the filters and the orders need of all rows, in columns."""
    rows = [record.row for record in records]
    answers: dict[str, Any] = {}
    for who in ("other", "baseline"):
        if who in names:
            found: list[Answer | None] = [getattr(record, who) for record in records]
            answers[who] = {"cer": [_rounded(a.cer if a else None) for a in found]}
    return {
        "slice": SLICE,
        "kept": kept,
        "unseen": UNSEEN.pattern,
        "names": names,
        "id": [record.id for record in records],
        "verdict": None
        if all(record.is_scored for record in records)
        else [record.verdict for record in records],
        "status": [record.answer.status for record in records],
        "cer": [_rounded(record.answer.cer) for record in records],
        "wer": [_rounded(row.get("wer")) for row in rows],
        "errors": [record.char_errors for record in records],
        "chars": [record.num_chars for record in records],
        "length": [len(record.answer.text) for record in records],
        "tokens": [row.get("num_tokens") for row in rows],
        "facets": {name: facet for name in FACETS if (facet := _facet(rows, name))},
        "answers": answers,
    }


def slices(records: Sequence[Record], kept: int, confusions: Confusions) -> Iterator[str]:
    """The texts of all rows, SLICE rows a block; counts this run's confusions.

    A row is [truth, characters of the whole truth, reason, images, answer, other's answer,
    baseline's], an answer None or [changes of the truth, characters of the whole answer].
    """
    for start in range(0, len(records), SLICE):
        texts = [_texts(record, kept, confusions) for record in records[start : start + SLICE]]
        yield json_block(texts, kind="texts")


def _texts(record: Record, kept: int, confusions: Confusions) -> list[Any]:
    truth = record.truth[:kept]
    answers: list[list[Any] | None] = []
    for who in ("answer", "other", "baseline"):
        answer: Answer | None = getattr(record, who)
        if answer is None:
            answers.append(None)
            continue
        steps = list(changes(truth, answer.text[:kept]))
        answers.append([encoded(steps, truth), len(answer.text)])
        if who == "answer" and answer.status != "failed":
            count_confusions(steps, confusions)
    return [truth, len(record.truth), record.reason, list(record.images), *answers]


def _facet(rows: Sequence[Any], name: str) -> dict[str, Any] | None:
    """The values of a column and which each row has; None where that would tell nothing."""
    found = ["" if row.get(name) is None else str(row.get(name)) for row in rows]
    values = sorted(set(found))
    if len(values) < 2 or len(values) > MAX_VALUES:
        return None
    places = {value: place for place, value in enumerate(values)}
    return {"values": values, "of": [places[value] for value in found]}


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 6)
