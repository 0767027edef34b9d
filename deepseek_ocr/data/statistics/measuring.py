"""The lengths of checked rows, and which of them a model could not learn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ...progress import Progress
from ..annotations import Annotation
from ..checking.spool import Spool
from ..inspection.verification import PictureReports
from ..problems import Problem, Problems
from .lengths import LengthColumns
from .row_lengths import LengthRule

ROWS_AT_ONCE = 256  # the tokenizer works on them in parallel
TOO_LONG, MASKED = "too long", "nothing to learn"
WORTH_A_BAR = 100_000  # rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    """What was measured of usable rows, and one problem for each that could not be learned."""

    columns: LengthColumns
    problems: Problems


def measure(
    samples: Spool[Annotation],
    pictures: PictureReports,
    rule: LengthRule,
    *,
    max_length: int | None,
    quiet: bool = True,
) -> Lengths:
    """The lengths of usable rows; `max_length` is the most positions of one, None: not known."""
    columns, problems = LengthColumns(rule.page_cost), Problems()
    other_tokens = functools.lru_cache(1024)(rule.other_tokens)
    num_rows = len(samples)
    with Progress(num_rows, "rows", "measured", quiet=quiet or num_rows < WORTH_A_BAR) as progress:
        for rows in _batches(samples):
            counts = rule.answer_tokens([row.text for row in rows])
            for row, text_tokens in zip(rows, counts, strict=True):
                pages = [pictures.page(reference) for reference in row.images]
                asked = other_tokens(row.prompt)
                positions = columns.add(
                    characters=len(row.text),
                    text_tokens=text_tokens,
                    other_tokens=asked,
                    sizes=[(page.width, page.height) for page in pages],
                )
                if fault := _fault(positions, text_tokens, asked, max_length):
                    kind, reason = fault
                    problems.append(Problem(kind=kind, source=row.source or "", reason=reason))
            progress.advance(len(rows))
    return Lengths(columns=columns, problems=problems)


def _batches(samples: Iterable[Annotation]) -> Iterator[Sequence[Annotation]]:
    rows = iter(samples)
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield some


def _fault(
    positions: int, text_tokens: int, asked: int, max_length: int | None
) -> tuple[str, str] | None:
    """(kind, reason) of a row that cannot be learned whole."""
    if text_tokens == 0:
        return MASKED, "the tokenizer knows no character of the text: only its end would be learned"
    if max_length is None or positions <= max_length:
        return None
    before = positions - text_tokens - 1  # the end is among those asked
    image_tokens = positions - text_tokens - asked
    advice = "lower --mode or --max_tiles, or take fewer pages"
    if before >= max_length:
        return MASKED, (
            f"its pages and its prompt take {before} positions, the limit is {max_length}: all of "
            f"the answer would be masked; {advice}"
        )
    return TOO_LONG, (
        f"takes {positions} positions ({image_tokens} of its pages, {text_tokens} of its text), "
        f"the limit is {max_length}; split the text, or {advice}"
    )
