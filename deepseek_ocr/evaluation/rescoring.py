"""Answers that are there already -> rows to score: `--from_predictions`.

With a test file (or a benchmark) every row of it has a row, and one without an answer has failed;
without, the answers' own truths count.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..data.annotations import Annotation
from ..errors import UserError
from ..files import sha256_of
from ..inference.results import PageResult
from ..progress import say
from .evaluate import ScoredRow, failed, score_row
from .file_states import digest
from .predictions import (
    PREDICTIONS_NAME,
    ReadRow,
    annotation_of,
    read_predictions,
    scored_row,
    status_of_text,
)


def given_rows(
    source: Path, annotations: Sequence[Annotation] | None, limit: int | None
) -> list[ScoredRow]:
    """A row for each annotation, or, where there are none, for each answer.

    Raises:
        UserError: `source` is neither a predictions.jsonl nor a folder of answers, holds no answer,
            or a row that cannot be used.
    """
    if source.is_dir() and not (source / PREDICTIONS_NAME).exists():
        if annotations is None:
            raise UserError(
                f"{source}: a folder of answers has no truths; name the --test_file that has them"
            )
        return _from_folder(source, annotations)
    rows = read_predictions(source / PREDICTIONS_NAME if source.is_dir() else source)
    if not rows:
        raise UserError(f"{source}: holds no answers; expected one JSON object a line")
    if annotations is None:
        return [scored_row(row, annotation_of(row)) for row in rows[:limit]]
    return _matched(source, rows, annotations)


def answers_sha256(source: Path) -> str:
    """SHA-256 of a file of answers; of a folder of them, of all names and all their SHA-256."""
    if not source.is_dir():
        return sha256_of(source)
    if (source / PREDICTIONS_NAME).exists():
        return sha256_of(source / PREDICTIONS_NAME)
    files = sorted(path for path in source.rglob("*.md") if path.is_file())
    return digest([[str(path.relative_to(source)), sha256_of(path)] for path in files])


def _matched(
    source: Path, rows: Sequence[ReadRow], annotations: Sequence[Annotation]
) -> list[ScoredRow]:
    """The annotations' rows by id; one without an answer has failed."""
    answers = {row.id: row for row in rows}
    found = [annotation.id for annotation in annotations if annotation.id in answers]
    if not found:
        raise UserError(
            f"{source}: none of its {len(rows)} ids is in the test file; expected answers to its "
            f"rows, such as {annotations[0].id!r}"
        )
    if len(found) < len(rows):
        say(f"note: {len(rows) - len(found)} of {len(rows)} rows of {source} are not asked for")
    return [
        scored_row(answers[annotation.id], annotation)
        if annotation.id in answers
        else _missing(annotation, f"{source}: no row with this id")
        for annotation in annotations
    ]


def _from_folder(folder: Path, annotations: Sequence[Annotation]) -> list[ScoredRow]:
    """Answers from files named by the rows' ids, `ID.md`, with the ids' suffix or without.

    Without it only where one row alone is meant: `a.md` answers neither `a.1` nor `a.2`.
    """
    meant = Counter(name for annotation in annotations for name in _file_names(annotation.id))
    rows = [_from_file(folder, annotation, meant) for annotation in annotations]
    if all(row.result.status == "failed" for row in rows):
        raise UserError(
            f"{folder}: holds no answer; expected predictions.jsonl or files named by the rows' "
            f"ids, such as {annotations[0].id}.md"
        )
    return rows


def _file_names(row_id: str) -> list[str]:
    """The names that a row's file may have, the first one for sure its own."""
    bare = row_id.removesuffix(Path(row_id).suffix)
    return [f"{row_id}.md"] if bare == row_id else [f"{row_id}.md", f"{bare}.md"]


def _from_file(folder: Path, annotation: Annotation, meant: Counter[str]) -> ScoredRow:
    own, *others = _file_names(annotation.id)
    for name in (own, *(other for other in others if meant[other] == 1)):
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
                continue
            text = path.read_bytes().decode("utf-8-sig")
        except (OSError, ValueError) as error:  # an id may be no name that a file can have
            return _missing(annotation, f"{path}: cannot be read as UTF-8 ({error})")
        answer = PageResult(text=text, status=status_of_text(text), prompt=annotation.prompt)
        return dataclasses.replace(score_row(annotation, answer), is_status_assumed=True)
    return _missing(annotation, f"{folder}: no {annotation.id}.md")


def _missing(annotation: Annotation, reason: str) -> ScoredRow:
    return score_row(annotation, failed(annotation.prompt, reason=reason))
