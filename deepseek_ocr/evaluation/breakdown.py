"""The same scores for parts of a test: by group, language, kind, length and tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ..metrics.intervals import DocumentBootstrap
from ..metrics.text import mean, summarize_rates
from .evaluate import ScoredRow

MAX_VALUES = 200
"""Most parts of one breakdown; the rows of all others are counted together, at its end."""

LENGTHS = (100, 300, 1000, 3000, 10_000)
"""Characters of the truth at which the next part begins."""


def length_of(row: ScoredRow) -> str:
    """The part of a row by the length of its truth: `300-999` (characters)."""
    length = len(row.truth)
    if not length:
        return "0"
    least = 1
    for bound in LENGTHS:
        if length < bound:
            return f"{least}-{bound - 1}"
        least = bound
    return f"{least}+"


BREAKDOWNS: dict[str, Callable[[ScoredRow], str | int | None]] = {
    "group": lambda row: row.annotation.group,
    "lang": lambda row: row.annotation.lang,
    "kind": lambda row: row.kind,
    "length": length_of,
    "tiles": lambda row: row.facts.num_tiles,
}
"""Name -> the part that a row belongs to; None where nobody says."""


def breakdowns(rows: Sequence[ScoredRow], *, seed: int) -> dict[str, list[dict[str, Any]]]:
    """The breakdowns that tell rows apart: of one part alone, or of a part a row, there is none."""
    found = {}
    for name, part_of in BREAKDOWNS.items():
        parts: dict[str | int | None, list[ScoredRow]] = defaultdict(list)
        for row in rows:
            parts[part_of(row)].append(row)
        if len(parts) > 1 and not (name == "group" and len(parts) == len(rows)):
            found[name] = [
                {"value": value, **_figures(members, seed)} for value, members in _sorted(parts)
            ]
    return found


def _sorted(
    parts: dict[str | int | None, list[ScoredRow]],
) -> list[tuple[str | int | None, list[ScoredRow]]]:
    """The parts in their natural order, None last; of very many those with the most rows."""
    by_value = sorted(parts.items(), key=lambda part: _order(part[0]))
    if len(by_value) <= MAX_VALUES:
        return by_value
    largest = sorted(by_value, key=lambda part: -len(part[1]))  # stable: equals in natural order
    shown = {value for value, _ in largest[: MAX_VALUES - 1]}
    others = [row for value, members in by_value if value not in shown for row in members]
    kept = [part for part in by_value if part[0] in shown]
    return [*kept, (f"{len(by_value) - len(kept)} others", others)]


def _order(value: str | int | None) -> tuple[Any, ...]:
    if value is None:
        return 2, 0, ""
    if isinstance(value, int):
        return 0, value, ""
    first = value.rstrip("+").partition("-")[0]  # of a length, its least
    return (0, int(first), value) if first.isdecimal() and len(first) < 12 else (1, 0, value)


def _figures(rows: Sequence[ScoredRow], seed: int) -> dict[str, Any]:
    errors = [row.score.char_errors for row in rows]
    lengths = [row.score.num_chars for row in rows]
    cer = summarize_rates(errors, lengths)
    wer = summarize_rates(
        [row.score.word_errors for row in rows], [row.score.num_words for row in rows]
    )
    bootstrap = DocumentBootstrap([row.document for row in rows], seed=seed)
    return {
        "num_rows": len(rows),
        "num_documents": bootstrap.num_documents,
        "cer": {
            "micro": cer.micro,
            "macro": cer.macro,
            "median": cer.median,
            "interval": bootstrap.of_ratio(errors, lengths),
        },
        "wer": wer.micro,
        "exact": mean([float(row.score.exact) for row in rows]),
        "failed": sum(row.result.status == "failed" for row in rows),
    }
