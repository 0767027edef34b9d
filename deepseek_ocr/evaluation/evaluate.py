"""Annotations and an engine -> scored rows: one for every annotation, in their order.

A row whose picture cannot be opened or whose generation raises is a result, too: `failed`, with the
reason, scored as an empty answer. One bad row does not fail the rows that share its batch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from PIL import Image

from ..data.annotations import Annotation
from ..inference.results import PageResult
from ..metrics.text import TextScore, text_score
from .facts import NOTHING_KNOWN, PageFacts, observer
from .loading import Loaded, PageLoader, reason_of
from .scores import RowScores

Request = tuple[Sequence[Image.Image], str]
"""The pages of one row and the prompt."""


class Engine(Protocol):
    """What evaluation needs of `deepseek_ocr.inference.engine.OcrEngine`."""

    def generate(self, rows: Sequence[Request], *, max_new_tokens: int) -> list[PageResult]:
        """One result for each row, in order."""


# As `deepseek-ocr synth` names its files, and more digits than any drawn dataset needs are a date.
_DRAWN = re.compile(r"\d{5,7}-(\w+?)(?:_p\d+)?\.(?:png|jpg|json)(?::.*)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredRow:
    """One row of the test file, what the model answered, and how good that is.

    `score` is the text's as it stands; `scores`, all families, are made once all rows are answered.
    `is_status_assumed`: the answer came from elsewhere, and nobody said how its decoding ended.
    """

    annotation: Annotation
    result: PageResult
    score: TextScore
    facts: PageFacts = NOTHING_KNOWN
    scores: RowScores | None = None
    is_status_assumed: bool = False

    @property
    def prediction(self) -> str:
        """The raw answer; empty for a failed row, whatever it had produced."""
        return "" if self.result.status == "failed" else self.result.text

    @property
    def truth(self) -> str:
        """The text that should have been answered, as annotated."""
        return self.annotation.text

    @property
    def document(self) -> str:
        """The document the row belongs to: its group, or the row itself."""
        group, row_id = self.annotation.group, self.annotation.id
        return f"group {group}" if group is not None else f"row {row_id}"

    @property
    def kind(self) -> str | None:
        """The kind of a drawn sample document, as its file's name has it; else None."""
        from ..data.synthetic.kinds import KINDS  # here: what draws them is slow to import

        annotation = self.annotation
        for name in (annotation.source, *annotation.images[:1]):
            found = _DRAWN.fullmatch(name.rpartition("/")[2]) if name is not None else None
            if found is not None and found[1] in KINDS:
                return found[1]
        return None

    def to_json(self, *, has_truth: bool = True) -> dict[str, Any]:
        """The object written to `predictions.jsonl`; a benchmark's has no truth and no scores."""
        annotation, result, facts = self.annotation, self.result, self.facts
        row: dict[str, Any] = {
            "id": annotation.id,
            "images": list(annotation.images),
            "group": annotation.group,
            "lang": annotation.lang,
            "kind": self.kind,
            "source": annotation.source,
            "prompt": annotation.prompt,
            "prediction": self.prediction,
            "text": annotation.text,
        }
        if annotation.regions:
            row["regions"] = annotation.to_json()["regions"]
        row |= {
            "status": result.status,
            **({"status_assumed": True} if self.is_status_assumed else {}),
            "reason": result.reason,
            "num_tokens": result.num_tokens,
            "num_image_tokens": result.num_image_tokens,
            "num_vision_tokens": facts.num_vision_tokens,
            "num_text_tokens": facts.num_text_tokens,
            "num_tiles": facts.num_tiles,
            "page_sizes": None if facts.page_sizes is None else [*map(list, facts.page_sizes)],
            "seconds": round(result.seconds, 4),
        }
        return row | self._scores() if has_truth else row

    def _scores(self) -> dict[str, Any]:
        return {
            "cer": self.score.cer,
            "wer": self.score.wer,
            **dataclasses.asdict(self.score),
            **({} if self.scores is None else self.scores.to_json()),
        }


def score_row(
    annotation: Annotation, result: PageResult, facts: PageFacts = NOTHING_KNOWN
) -> ScoredRow:
    """The row with its raw score; a failed result is scored as an empty answer."""
    prediction = "" if result.status == "failed" else result.text
    score = text_score(prediction, annotation.text)
    return ScoredRow(annotation=annotation, result=result, score=score, facts=facts)


def evaluate(
    annotations: Sequence[Annotation],
    engine: Engine,
    loader: PageLoader,
    *,
    batch_size: int,
    max_new_tokens: int,
) -> Iterator[list[ScoredRow]]:
    """Batches of scored rows, cut by row order, so that the same file gives the same batches."""
    starts = range(0, len(annotations), batch_size)
    batches = [annotations[start : start + batch_size] for start in starts]
    references = ([annotation.images for annotation in batch] for batch in batches)
    observe = observer(engine)
    for batch, pages in zip(batches, loader.load(references), strict=True):
        results = _answer_batch(engine, batch, pages, max_new_tokens)
        yield [
            score_row(
                annotation,
                result,
                observe(annotation, None if isinstance(p, str) else p, result.mode),
            )
            for annotation, result, p in zip(batch, results, pages, strict=True)
        ]


def _answer_batch(
    engine: Engine, batch: Sequence[Annotation], pages: Sequence[Loaded], max_new_tokens: int
) -> list[PageResult]:
    """Results of the rows, of which those without pages have failed already."""
    prompts = [annotation.prompt for annotation in batch]
    requests = [(p, q) for p, q in zip(pages, prompts, strict=True) if not isinstance(p, str)]
    answers = iter(answer_rows(engine, requests, max_new_tokens) if requests else [])
    return [
        failed(prompt, reason=loaded) if isinstance(loaded, str) else next(answers)
        for loaded, prompt in zip(pages, prompts, strict=True)
    ]


def answer_rows(engine: Engine, rows: Sequence[Request], max_new_tokens: int) -> list[PageResult]:
    """One result a row; if the batch raises, its rows are tried one by one."""
    try:
        results = engine.generate(rows, max_new_tokens=max_new_tokens)
    except Exception as error:  # noqa: BLE001  recorded in the row's result
        reason = reason_of(error)
    else:
        if len(results) != len(rows):
            raise RuntimeError(f"the engine gave {len(results)} results for {len(rows)} rows")
        return results
    # Outside the `except`, whose traceback would keep the failed batch's tensors alive.
    if len(rows) == 1:
        return [failed(rows[0][1], reason=reason)]
    return [result for row in rows for result in answer_rows(engine, [row], max_new_tokens)]


def failed(prompt: str, *, reason: str) -> PageResult:
    """The result of a row that has no answer."""
    return PageResult(text="", status="failed", prompt=prompt, reason=reason)
