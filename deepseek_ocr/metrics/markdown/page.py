r"""Scores of one page whose truth is Markdown, and of many, as OmniDocBench makes them.

| | |
|---|---|
| text | errors of all matched text blocks / sum of the lengths of the longer sides, cleaned |
| formulas | the same of display formulas |
| tables | TEDS and TEDS-S of every true table, in our normal form |
| order | edit distance of the order in which the text blocks were read |

All are of what the truth holds: a page without tables has no TEDS. A prediction is data: whatever
it is, it is scored, and what could not be read is 0 and said in `problems`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, cast

from ..text import mean
from .blocks import Block, split_blocks
from .comparison import Comparison, TrueBlock, compare_blocks
from .tables import TableScore

_HEADING = re.compile(r"^ {0,3}#{1,6} +\S", re.MULTILINE)
_LABEL = re.compile(r"<\|ref\|>[^|]*<\|/ref\|><\|det\|>[^|<]*<\|/det\|>\n?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarkdownScore:
    """One page. Lengths are of the longer side; `problems` are reasons of scores of 0."""

    text_errors: int
    text_length: int
    formula_errors: int
    formula_length: int
    tables: tuple[TableScore, ...]
    order_edit: float | None
    problems: tuple[str, ...] = ()

    @property
    def text_edit(self) -> float | None:
        """0 (alike) to 1; None for a truth without text."""
        return self.text_errors / self.text_length if self.text_length else None

    @property
    def formula_edit(self) -> float | None:
        """0 (alike) to 1; None for a truth without display formulas."""
        return self.formula_errors / self.formula_length if self.formula_length else None

    @property
    def teds(self) -> float | None:
        """Mean of the page's tables; None for a truth without tables."""
        return mean([table.teds for table in self.tables])

    @property
    def teds_s(self) -> float | None:
        """Mean of the page's tables, structure alone; None for a truth without tables."""
        return mean([table.teds_s for table in self.tables])


def has_structure(truth: str) -> bool:
    r"""Whether a truth is Markdown: it has a heading, a table or a formula (not just `$`)."""
    if _HEADING.search(truth):
        return True
    return any(
        block.kind in ("table", "latex table", "formula")
        or (block.kind == "inline formula" and "\\" in block.content)
        for block in split_blocks(truth)
    )


def page_score(prediction_markdown: str, truth_markdown: str) -> MarkdownScore:
    """Scores one page. Labels and boxes (`<|ref|>...<|/det|>`) are taken off both texts."""
    truths = true_blocks(_LABEL.sub("", truth_markdown))
    try:
        comparison = compare_blocks(truths, split_blocks(_LABEL.sub("", prediction_markdown)))
        problems: tuple[str, ...] = ()
    except Exception as error:  # noqa: BLE001  what a model wrote must never stop a test
        comparison = compare_blocks(truths, [])
        problems = (f"not compared ({type(error).__name__}: {error})",)
    return _score(comparison, problems)


def true_blocks(markdown: str) -> list[TrueBlock]:
    """The blocks of a truth; LaTeX tables and inline formulas are none of their own."""
    blocks: list[Block] = [
        block for block in split_blocks(markdown) if block.kind in ("text", "formula", "table")
    ]
    return [
        TrueBlock(kind=cast(Any, block.kind), content=block.content, place=number)
        for number, block in enumerate(blocks, 1)
    ]


def _score(comparison: Comparison, problems: tuple[str, ...]) -> MarkdownScore:
    reasons = [table.reason for table in comparison.tables if table.reason]
    if comparison.is_simple:
        reasons.append("too many blocks to match in parts; each has one partner at most")
    return MarkdownScore(
        text_errors=sum(pair.errors for pair in comparison.texts),
        text_length=sum(pair.length for pair in comparison.texts),
        formula_errors=sum(pair.errors for pair in comparison.formulas),
        formula_length=sum(pair.length for pair in comparison.formulas),
        tables=comparison.tables,
        order_edit=comparison.order_edit,
        problems=(*problems, *reasons),
    )


def summarize_markdown(scores: Sequence[MarkdownScore]) -> dict[str, Any]:
    """Means over many pages, each `{"mean", "num_rows"}`, or None where no page has the score.

    Text, formulas and order: mean of the pages; tables: mean of all tables, with `num_tables`.
    """
    return {
        "text_edit": _of_pages([score.text_edit for score in scores]),
        "formula_edit": _of_pages([score.formula_edit for score in scores]),
        "teds": _of_tables(scores, [table.teds for score in scores for table in score.tables]),
        "teds_s": _of_tables(scores, [table.teds_s for score in scores for table in score.tables]),
        "order_edit": _of_pages([score.order_edit for score in scores]),
    }


def _of_pages(values: Sequence[float | None]) -> dict[str, Any] | None:
    present = [value for value in values if value is not None]
    return {"mean": mean(present), "num_rows": len(present)} if present else None


def _of_tables(scores: Sequence[MarkdownScore], values: list[float]) -> dict[str, Any] | None:
    if not values:
        return None
    num_rows = sum(bool(score.tables) for score in scores)
    return {"mean": mean(values), "num_rows": num_rows, "num_tables": len(values)}
