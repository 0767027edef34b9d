"""A few answers beside the truth, in the log and on the terminal: what the figures stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ...data.annotations import Annotation
from ...metrics.alignment import INVENTED, MISSED, capped, plain_differences, shown
from ...runlog import RunLog
from .reading import ReadRow

SHOWN = 3
"""Rows of each validation that are shown: always the same ones."""
LONGEST = 400
"""Characters of a text in the log."""
LONGEST_LINE = 100
"""Characters of a text in a line of the terminal."""
ALIKE = 0.5
"""Edit similarity from which differences are marked. Below it two texts agree by chance, letter by
letter, and stand one above the other."""
BLUE, RED, PLAIN = "\x1b[34m", "\x1b[31m", "\x1b[0m"


def log_sample(log: RunLog, of: str, row: ReadRow, annotation: Annotation, *, step: int) -> None:
    """One event `sample`: truth, prediction and their difference, long ones cut, all characters
    seen. `of` says which rows it is from.
    """
    log.event("sample", step=step, of=of, **sample_fields(row, annotation))


def sample_fields(row: ReadRow, annotation: Annotation) -> Mapping[str, Any]:
    """What is told of a row, safe to show."""
    cer = row.score.cer
    fields = {
        "row": shown(annotation.id),
        "status": row.status,
        **({} if cer is None else {"cer": cer}),
        "truth": shown(capped(annotation.text, LONGEST)),
        "prediction": shown(capped(row.prediction, LONGEST)),
    }
    if row.score.similarity >= ALIKE:
        difference = plain_differences(annotation.text, row.prediction, longest=LONGEST)
        fields["difference"] = difference
    return fields


def show_sample(
    say: Callable[[str], None], row: ReadRow, annotation: Annotation, *, colours: bool
) -> None:
    """The difference on the terminal: missed characters in blue, invented ones in red.

    The marks stay: not everyone sees the colours. Of texts that are not alike, how each begins.
    """
    cer = "" if row.score.cer is None else f", CER {row.score.cer:.3f}"
    if row.score.similarity < ALIKE:
        lines = [f"truth: {_in_a_line(annotation.text)}", f"read:  {_in_a_line(row.prediction)}"]
    else:
        missed, invented = (_coloured(BLUE, MISSED), _coloured(RED, INVENTED))
        marks = {"missed": missed, "invented": invented} if colours else {}
        text = plain_differences(annotation.text, row.prediction, longest=LONGEST, **marks)
        lines = text.split("\n")
    say("\n    ".join([f"  {shown(annotation.id)} ({row.status}{cer}):", *lines]))


def _coloured(colour: str, marks: tuple[str, str]) -> tuple[str, str]:
    return f"{colour}{marks[0]}", f"{marks[1]}{PLAIN}"


def _in_a_line(text: str) -> str:
    return shown(capped(text, LONGEST_LINE)).replace("\n", "⏎")


def wants_colours() -> bool:
    """Whether stderr is a terminal whose user has not asked for none (https://no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
