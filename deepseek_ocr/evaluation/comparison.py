"""Two readers on the same rows: `--compare`, and the baseline beside the model.

Rows are matched by id. The other's answers are scored against this test's truths, so that both are
judged alike; differences are paired, and resample whole documents.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.annotations import Annotation
from ..errors import UserError
from ..metrics.intervals import DocumentBootstrap
from ..progress import say
from .evaluate import ScoredRow
from .predictions import PREDICTIONS_NAME, ReadRow, read_predictions, scored_row
from .summary import METRICS_JSON_NAME


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherTest:
    """A finished test in its output folder."""

    path: Path
    rows: Sequence[ReadRow]
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What was tested there, in a few characters."""
        run = self.summary.get("run")
        run = run if isinstance(run, dict) else {}
        tested = run.get("model_path") or run.get("from_predictions")
        return "/".join(Path(tested if isinstance(tested, str) else self.path).parts[-2:])


def read_other(path: Path) -> OtherTest:
    """The test whose output folder is `path`.

    Raises:
        UserError: it is not the output folder of a finished test.
    """
    file = path / METRICS_JSON_NAME
    try:
        summary = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"--compare: {file}: cannot be read ({error.strerror}); expected the output folder of "
            "a finished test"
        ) from None
    except ValueError:
        summary = None
    if isinstance(summary, dict) and summary.get("benchmark"):
        raise UserError(
            f"--compare: {file}: is of a benchmark, whose rows have no truths to compare by; "
            "its table has the published rows beside"
        )
    if not _is_summary(summary):
        raise UserError(f"--compare: {file}: not the metrics.json of a test; run that test again")
    return OtherTest(path=path, rows=read_predictions(path / PREDICTIONS_NAME), summary=summary)


def _is_summary(content: Any) -> bool:
    """Whether it has the figures that stand beside ours."""
    try:
        raw = content["scores"]["raw"]
        return all(key in raw for key in ("cer", "wer", "similarity", "exact"))
    except (KeyError, TypeError):
        return False


def check_shares_rows(annotations: Sequence[Annotation], other: OtherTest) -> None:
    """Refuse, before work starts, a test of other rows, and say where its truths are others.

    Raises:
        UserError: it has none of these rows: none by id, or those are of other pictures and texts.
    """
    answers = {row.id: row.values for row in other.rows}
    shared = [annotation for annotation in annotations if annotation.id in answers]
    if not shared:
        raise UserError(
            f"--compare: {other.path}: none of its {len(other.rows)} rows has an id of this test's "
            f"(such as {annotations[0].id!r}); expected a test of the same file"
        )
    retold = [one for one in shared if answers[one.id].get("text") != one.text]
    strangers = [one for one in retold if answers[one.id].get("images") != list(one.images)]
    if strangers == shared:
        raise UserError(
            f"--compare: {other.path}: its rows have the ids of this test's, but other pictures "
            f"and other truths (such as {shared[0].id!r}); expected a test of the same file"
        )
    if retold:
        say(
            f"note: --compare: {len(retold)} of {len(shared)} rows had another truth in "
            f"{other.path}; both tests are judged by this one's"
        )


def pair(rows: Sequence[ScoredRow], other: OtherTest) -> list[tuple[ScoredRow, ScoredRow]]:
    """The rows that both have: (this, other)."""
    answers = {row.id: row for row in other.rows}
    return [
        (row, scored_row(answers[row.annotation.id], row.annotation))
        for row in rows
        if row.annotation.id in answers
    ]


def compare(rows: Sequence[ScoredRow], other: OtherTest, *, seed: int) -> dict[str, Any]:
    """What `metrics.json` holds under `comparison`."""
    pairs = pair(rows, other)
    return {
        "run": str(other.path),
        "name": other.name,
        "num_rows": len(pairs),
        "only_here": len(rows) - len(pairs),
        "only_there": len(other.rows) - len(pairs),
        **differences(pairs, seed=seed),
    }


def differences(pairs: Sequence[tuple[ScoredRow, ScoredRow]], *, seed: int) -> dict[str, Any]:
    """Micro CER and WER and mean similarity of both sides, and the paired difference of each."""
    bootstrap = DocumentBootstrap([row.document for row, _ in pairs], seed=seed)
    here, there = [row.score for row, _ in pairs], [row.score for _, row in pairs]
    ones = [1] * len(pairs)
    counts: dict[str, tuple[Sequence[float], Sequence[int], Sequence[float]]] = {
        "cer": (
            [s.char_errors for s in here],
            [s.num_chars for s in here],
            [s.char_errors for s in there],
        ),
        "wer": (
            [s.word_errors for s in here],
            [s.num_words for s in here],
            [s.word_errors for s in there],
        ),
        "similarity": ([s.similarity for s in here], ones, [s.similarity for s in there]),
    }
    return {
        name: _difference(bootstrap, this, lengths, other)
        for name, (this, lengths, other) in counts.items()
    }


def _difference(
    bootstrap: DocumentBootstrap,
    this: Sequence[float],
    lengths: Sequence[int],
    other: Sequence[float],
) -> dict[str, Any]:
    """Both rates over the same lengths, and `this` less `other`; None of empty truths alone."""
    length = sum(lengths)
    if not length:
        return dict.fromkeys(("this", "other", "difference", "interval", "p_value"))
    difference, interval, p_value = bootstrap.paired_difference(this, lengths, other, lengths)
    return {
        "this": math.fsum(this) / length,
        "other": math.fsum(other) / length,
        "difference": difference,
        "interval": interval,
        "p_value": p_value,
    }
