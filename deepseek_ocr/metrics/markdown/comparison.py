"""A page taken apart against its truth: texts and formulas matched, tables paired.

The protocol of OmniDocBench v1.5. Headers, footers, captions and their like are `ignored`: first
they take the predictions that are near to them, then nobody looks at them.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

from .blocks import MAX_BLOCKS, Block
from .cleaning import clean_formula, clean_text, latex_to_text
from .matching import SURE, Match, assign, distance_matrix, match_blocks
from .order import order_distance
from .tables import OUR_FORM, TableForm, TableScore, cell_texts, table_score


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrueBlock:
    """A block of the truth: text, LaTeX or HTML, as `kind` says.

    `place` orders the blocks, counted from 1; `category` is the truth's own word for the kind.
    """

    kind: Literal["text", "formula", "table"]
    content: str
    place: float
    category: str = ""
    ignored: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Cleaned texts that are compared, and for a formula both as they were written."""

    truth: str
    prediction: str
    truth_latex: str = ""
    prediction_latex: str = ""

    @property
    def errors(self) -> int:
        return Levenshtein.distance(self.truth, self.prediction)

    @property
    def length(self) -> int:
        """Of the longer one."""
        return max(len(self.truth), len(self.prediction))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """All pairs of a page; `tables` are the scores of the true tables, in their order.

    `is_simple`: the page was too long for the quick matching, each text has one partner at most.
    """

    texts: tuple[Pair, ...]
    formulas: tuple[Pair, ...]
    tables: tuple[TableScore, ...]
    order_edit: float | None
    is_simple: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Side:
    """Blocks of one side and, of each, what is compared; those of which nothing remains are out."""

    blocks: list
    cleaned: list[str]

    @classmethod
    def of(cls, blocks: Sequence[TrueBlock] | Sequence[Block]) -> _Side:
        cleaned = [
            clean_formula(block.content) if "formula" in block.kind else clean_text(block.content)
            for block in blocks
        ]
        kept = [number for number, text in enumerate(cleaned) if text]
        return cls(blocks=[blocks[n] for n in kept], cleaned=[cleaned[n] for n in kept])

    def without(self, dropped: set[int]) -> _Side:
        kept = [number for number in range(len(self.blocks)) if number not in dropped]
        return _Side(blocks=[self.blocks[n] for n in kept], cleaned=[self.cleaned[n] for n in kept])


def compare_blocks(
    truths: Sequence[TrueBlock], predictions: Sequence[Block], *, form: TableForm = OUR_FORM
) -> Comparison:
    """The page's pairs and scores."""
    true_tables = [block for block in truths if block.kind == "table"]
    tables, spare = _score_tables(true_tables, predictions, form)
    others = [block for block in predictions if "table" not in block.kind] + spare
    others.sort(key=lambda block: (block.kind == "inline formula", block.place))
    others_of_truth = [block for block in truths if block.kind != "table"]
    true_side = _Side.of([part for block in others_of_truth for part in _split(block)])
    parts = [part for block in others for part in _split(block)]
    side = _Side.of(parts[:MAX_BLOCKS])
    true_side, side = _without_ignored(true_side, side)
    matching = match_blocks(true_side.cleaned, side.cleaned)
    texts, formulas, order_edit = _compare_matches(matching.matches, true_side, side)
    return Comparison(
        texts=tuple(texts),
        formulas=tuple(formulas),
        tables=tuple(tables),
        order_edit=order_edit,
        is_simple=matching.is_simple,
    )


_ARRAY = re.compile(r"\\begin\{array\}\{([^}]*)\}(.*?)\\end\{array\}", re.DOTALL)
_COLUMN_MARKS = re.compile(r"\s+|\||@\{[^}]*\}|!\{[^}]*\}")


def _split(block):
    """A formula that is an array of one column as one formula a line; else the block itself."""
    if block.kind != "formula" or r"\end{array}" not in block.content:
        return [block]
    if not (array := _ARRAY.search(block.content)):
        return [block]
    if _COLUMN_MARKS.sub("", array[1]) not in ("l", "c", "r"):
        return [block]
    lines = [line.strip() for line in array[2].split(r"\\") if line.strip()]
    step = 0.1 if isinstance(block, TrueBlock) else 1e-4
    return [
        dataclasses.replace(block, content=rf"\[{line}\]", place=block.place + step * number)
        for number, line in enumerate(lines, 1)
    ]


def _without_ignored(truths: _Side, predictions: _Side) -> tuple[_Side, _Side]:
    ignored = [number for number, block in enumerate(truths.blocks) if block.ignored]
    costs = distance_matrix([truths.cleaned[n] for n in ignored], predictions.cleaned)
    taken = set(np.argwhere(costs < SURE)[:, 1].tolist())
    return truths.without(set(ignored)), predictions.without(taken)


def _compare_matches(
    matches: Sequence[Match], truths: _Side, predictions: _Side
) -> tuple[list[Pair], list[Pair], float | None]:
    """Pairs of texts, pairs of formulas, distance of the texts' order."""
    texts: list[Pair] = []
    formulas: list[Pair] = []
    found: list[tuple[float, list[float]]] = []
    missed: list[float] = []
    for match in matches:
        true_blocks = [truths.blocks[number] for number in match.truths]
        blocks = [predictions.blocks[number] for number in match.predictions]
        truth = "".join(truths.cleaned[number] for number in match.truths)
        prediction = "".join(predictions.cleaned[number] for number in match.predictions)
        category, _ = Counter((b.kind, b.category) for b in true_blocks).most_common(1)[0]
        if category[0] == "text":
            texts.append(Pair(truth=truth, prediction=prediction))
            places = [block.place for block in true_blocks]
            if blocks:
                found.append((blocks[0].place, places))
            else:
                missed += places
        elif blocks and "formula" not in blocks[0].kind:  # written without formula marks
            latex = "".join(block.content for block in true_blocks)
            truth = clean_text(latex_to_text(latex) or latex)
            texts.append(Pair(truth=truth, prediction=prediction))
        else:
            formulas.append(
                Pair(
                    truth=truth,
                    prediction=prediction,
                    truth_latex=_one_formula([block.content for block in true_blocks]),
                    prediction_latex=_one_formula([block.content for block in blocks]),
                )
            )
    return texts, formulas, order_distance(found, missed)


def _one_formula(parts: Sequence[str]) -> str:
    """Several formulas as the lines of one array."""
    if len(parts) < 2:
        return "".join(parts)
    lines = r" \\ ".join("{" + part.strip("$").strip("\n") + "}" for part in parts)
    return rf"\begin{{array}}{{l}} {lines} \end{{array}}"


def _score_tables(
    truths: Sequence[TrueBlock], predictions: Sequence[Block], form: TableForm
) -> tuple[list[TableScore], list[Block]]:
    """Scores of the true tables, and the cells of spare predicted tables as texts.

    Tables are paired by the Levenshtein distance of their HTML. Where there are more LaTeX tables
    than others, every true table scores 0, as published.
    """
    if not truths:
        return [], []  # as published, all predicted tables of such a page are left out
    tables = [block for block in predictions if block.kind == "table"]
    if sum(block.kind == "latex table" for block in predictions) > len(tables):
        reason = "the tables are written in LaTeX; HTML or Markdown is expected"
        return [TableScore(teds=0.0, teds_s=0.0, reason=reason) for _ in truths], []
    costs = distance_matrix([t.content for t in truths], [p.content for p in tables])
    partners = dict(assign(costs))
    scores = [
        table_score(tables[partners[number]].content, truth.content, form=form)
        if number in partners
        else TableScore(teds=0.0, teds_s=0.0, reason="no table for it in the prediction")
        for number, truth in enumerate(truths)
    ]
    used = set(partners.values())
    spare = (table for number, table in enumerate(tables) if number not in used)
    return scores, [cell for table in spare for cell in _cells(table)]


def _cells(table: Block) -> Iterator[Block]:
    for text in cell_texts(table.content):
        yield Block(kind="text", content=text, place=table.place)
