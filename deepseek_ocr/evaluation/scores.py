"""One answer beside its truth -> its scores in every family that applies to it.

| family | takes part |
|---|---|
| texts under each named normalisation, grapheme clusters, words | every row |
| Markdown: blocks, tables, formulas, reading order | the truth has structure |
| fields | the truth is a JSON object or array |
| grounding | the truth has boxes, in its text or beside it where the prompt asks for them |

Needs only texts, so that it can run in any process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.annotations import Annotation
from ..data.annotations import Region as PageRegion
from ..data.truth.grounding import GRID, parse_grounding
from ..metrics.fields import FieldScore, field_score
from ..metrics.fox import FoxScore, fox_score
from ..metrics.graphemes import GraphemeScore, grapheme_score
from ..metrics.grounding import GroundingScore, Region, grounding_score
from ..metrics.normalization import REPORTED, normalizer
from ..metrics.text import TextScore, text_score
from ..metrics.words import BagOfWords, BleuCounts, bag_of_words, bleu_counts, sentence_bleu

if TYPE_CHECKING:
    from ..metrics.markdown import MarkdownScore

GROUNDING_TOKEN = "<|grounding|>"
DETECTION_TOKEN = "<|det|>"
ANY_TEXT = "text"
"""Label of regions that have none: lines whose text stands where a label would."""

MARKDOWN_FIGURES = ("text_edit", "formula_edit", "teds", "teds_s", "order_edit")

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToScore:
    """What the scores of one row are made of; `page_sizes` (width, height) in pixels if known."""

    prediction: str
    truth: str
    prompt: str = ""
    regions: tuple[PageRegion, ...] = ()
    page_sizes: tuple[Size, ...] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowScores:
    """The scores of one row; None for a family that does not apply to its truth."""

    texts: dict[str, TextScore]
    """By the name of the normalisation, `raw` first."""
    graphemes: GraphemeScore
    bag_of_words: BagOfWords
    bleu: BleuCounts
    sentence_bleu: float | None
    fox: FoxScore
    markdown: MarkdownScore | None
    fields: FieldScore | None
    grounding: GroundingScore | None

    def to_json(self) -> dict[str, Any]:
        """The row's own figures as `predictions.jsonl` has them; families that apply alone."""
        figures: dict[str, Any] = {
            "grapheme_errors": self.graphemes.char_errors,
            "num_graphemes": self.graphemes.num_chars,
            "bag_of_words": self.bag_of_words.rate,
            "bleu": self.sentence_bleu,
            "fox_precision": self.fox.precision,
            "fox_recall": self.fox.recall,
            "fox_f1": self.fox.f1,
        }
        if self.markdown is not None:
            figures |= _figures(self.markdown, *MARKDOWN_FIGURES)
            figures["problems"] = list(self.markdown.problems)
        if self.fields is not None:
            figures |= {
                "field_f1": self.fields.f1,
                "tree_edit_accuracy": self.fields.tree_edit_accuracy,
            }
        if self.grounding is not None:
            overall = self.grounding.overall
            figures |= {"grounding_f1": overall.f1, "mean_iou": overall.mean_iou}
        return figures


def score_texts(prediction: str, truth: str) -> dict[str, TextScore]:
    """The text's score under each reported normalisation."""
    scores: dict[str, TextScore] = {}
    known: dict[tuple[str, str], TextScore] = {}  # most normalisations change few texts
    for name in REPORTED:
        apply = normalizer(name)
        texts = apply(prediction), apply(truth)
        if texts not in known:
            known[texts] = text_score(*texts)
        scores[name] = known[texts]
    return scores


def score_everything(row: ToScore) -> RowScores:
    """All families of one row."""
    prediction, truth = row.prediction, row.truth
    return RowScores(
        texts=score_texts(prediction, truth),
        graphemes=grapheme_score(prediction, truth),
        bag_of_words=bag_of_words(prediction, truth),
        bleu=bleu_counts(prediction, truth),
        sentence_bleu=sentence_bleu(prediction, truth),
        fox=fox_score(prediction, truth),
        markdown=_markdown(prediction, truth),
        fields=field_score(prediction, truth) if truth.lstrip()[:1] in ("{", "[") else None,
        grounding=_grounding(row),
    )


def _markdown(prediction: str, truth: str) -> MarkdownScore | None:
    from ..metrics.markdown import has_structure, page_score  # here: parsers of HTML are slow

    return page_score(prediction, truth) if has_structure(truth) else None


def _grounding(row: ToScore) -> GroundingScore | None:
    """Boxes of the answer against those of the truth: both on the model's grid, or in pixels.

    The truth's text says where it stands, boxes beside it are compared where the prompt asks for
    boxes, the row has one picture, and its size is known.
    """
    if DETECTION_TOKEN in row.truth:
        frame = (GRID, GRID)
        truth: Sequence[PageRegion] = parse_grounding(row.truth, *frame)
    elif row.regions and GROUNDING_TOKEN in row.prompt and len(row.page_sizes or ()) == 1:
        assert row.page_sizes is not None
        frame, truth = row.page_sizes[0], row.regions
    else:
        return None
    if not truth:
        return None
    predicted = parse_grounding(row.prediction, *frame)
    labelled = _have_labels(truth, as_written=DETECTION_TOKEN in row.truth)
    return grounding_score(_regions(predicted, labelled), _regions(truth, labelled))


def _have_labels(truth: Sequence[PageRegion], *, as_written: bool) -> bool:
    """Whether the truth's regions have labels of their own.

    As the model writes lines of text, each line stands where a label would, and nothing below.
    """
    return any(region.text if as_written else region.label for region in truth)


def _regions(regions: Sequence[PageRegion], labelled: bool) -> list[Region]:
    return [(region.label if labelled else ANY_TEXT, region.box) for region in regions]


def _figures(score: Any, *names: str) -> dict[str, Any]:
    """Those of a score's figures that the row has."""
    return {name: value for name in names if (value := getattr(score, name)) is not None}


def to_score(
    annotation: Annotation, prediction: str, page_sizes: tuple[Size, ...] | None
) -> ToScore:
    """What the scores of an annotation's answer are made of."""
    return ToScore(
        prediction=prediction,
        truth=annotation.text,
        prompt=annotation.prompt,
        regions=annotation.regions,
        page_sizes=page_sizes,
    )
