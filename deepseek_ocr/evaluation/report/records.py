"""The rows of `predictions.jsonl` as the report uses them, with the other answers to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""One object of `predictions.jsonl`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherRun:
    """A finished test of other answers to the same rows: what stands beside this one's."""

    name: str
    rows: Sequence[Row]
    summary: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What somebody answered to a row; without a CER where only the truth is empty."""

    text: str
    cer: float | None
    status: str = "ok"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One row: `place` counts from 0 in the test file, `row` holds all that was written of it."""

    place: int
    id: str
    images: tuple[str, ...]
    truth: str
    answer: Answer
    reason: str
    num_chars: int
    char_errors: int
    row: Row
    other: Answer | None = None
    baseline: Answer | None = None

    @property
    def is_scored(self) -> bool:
        """Whether it was compared with a truth; a benchmark's rows are not."""
        return "cer" in self.row

    @property
    def verdict(self) -> str:
        """How a benchmark scored it, in a few words; of a row with a truth nothing."""
        return "" if self.is_scored else str(self.row.get("verdict") or "no score of its own")

    @property
    def rank(self) -> tuple[float, int]:
        """Larger is worse; an answer where nothing should be is worst."""
        return _rank(self.answer), self.char_errors

    @property
    def change(self) -> float | None:
        """This CER less the other run's: negative is better; None where one has none."""
        if self.other is None or self.other.cer is None or self.answer.cer is None:
            return None
        return self.answer.cer - self.other.cer

    @property
    def answers(self) -> list[tuple[str, Answer]]:
        """("this" | "other" | "baseline", answer) of all that answered."""
        found = (("this", self.answer), ("other", self.other), ("baseline", self.baseline))
        return [(name, answer) for name, answer in found if answer is not None]


def records_of(
    rows: Sequence[Any], names: Mapping[str, str], other: OtherRun | None = None
) -> list[Record]:
    """Rows of `predictions.jsonl`, or what turns into them by `to_json`.

    The other run's are matched by id; baselines are left out unless `names` has one.
    """
    theirs = {row["id"]: row for row in other.rows} if other else {}
    written = (row.to_json() if hasattr(row, "to_json") else row for row in rows)
    return [
        _record(place, row, theirs, has_baseline="baseline" in names)
        for place, row in enumerate(written)
    ]


def names_of(summary: Mapping[str, Any], other: OtherRun | None) -> dict[str, str]:
    """What each of the answers is called, this run's first; only those that there are."""
    names = {"this": model_name(summary["run"])}
    if other is not None:
        names["other"] = other.name
    if summary.get("baseline"):
        names["baseline"] = str(summary["baseline"]["name"])
    return names


def model_name(run: Mapping[str, Any]) -> str:
    """The end of the model's path that tells it from others: `last` alone would say nothing."""
    path = str(run.get("model_path") or run.get("from_predictions") or "predictions")
    return "/".join([part for part in path.split("/") if part][-2:]) or path


def _record(place: int, row: Row, theirs: Mapping[str, Row], *, has_baseline: bool) -> Record:
    answer = Answer(text=row["prediction"], cer=row.get("cer"), status=row["status"])
    other = theirs.get(row["id"])
    baseline = row.get("baseline_prediction") if has_baseline else None
    return Record(
        place=place,
        id=row["id"],
        images=tuple(row.get("images") or ()),
        truth=row["text"],
        answer=answer,
        reason=row.get("reason") or "",
        num_chars=row.get("num_chars") or 0,
        char_errors=row.get("char_errors") or 0,
        row=row,
        other=None
        if other is None
        else Answer(text=other["prediction"], cer=other.get("cer"), status=other["status"]),
        baseline=None if baseline is None else Answer(text=baseline, cer=row.get("baseline_cer")),
    )


def _rank(answer: Answer) -> float:
    return float("inf") if answer.cer is None else answer.cer
