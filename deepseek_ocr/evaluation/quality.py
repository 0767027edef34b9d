"""A model with quantized weights against itself with its own: `deepseek-ocr info --quality`."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..errors import UserError
from ..progress import Progress
from .answering import answered
from .comparison import differences
from .evaluate import ScoredRow
from .loading import PageLoader
from .summary import count_statuses

LoadEngine = Callable[[str | None], Any]
"""`int8`, `int4`, or None for a model's own weights -> an `OcrEngine`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QualityPlan:
    """What is compared on what.

    `ways` of quantization; with `answers` the rows are also read, each up to `max_new_tokens`, and
    the answers scored.
    """

    annotations: Sequence[Annotation]
    data_root: Path
    ways: Sequence[str]
    answers: bool
    batch_size: int
    max_new_tokens: int
    seed: int = 42
    quiet: bool = False


def compare_quality(load: LoadEngine, plan: QualityPlan) -> dict[str, Any]:
    """What `--json` prints: see `docs/speed.md`.

    Raises:
        UserError: no row has pages that open and an answer that the model has room for.
    """
    from ..inference.weight_quality import ExactLogits, LogitErrors, weight_bytes  # imports torch

    engine = load(None)
    exact, used, left_out = ExactLogits(engine), [], []
    for annotation, row in _rows(plan, plan.annotations, "full precision"):
        try:
            exact.add(_true_answer(row, annotation))
            used.append(annotation)
        except ValueError as error:
            left_out.append({"id": annotation.id, "reason": str(error)})
    if not used:
        raise UserError(
            f"none of {len(left_out)} rows can be compared; the first, {left_out[0]['id']!r}: "
            f"{left_out[0]['reason']}"
        )
    answers = _answers(engine, plan, "full precision")
    found: dict[str, Any] = {
        "num_rows": len(plan.annotations),
        "left_out": left_out,
        "dtype": str(engine.model.dtype).removeprefix("torch."),
        "device": str(engine.device),
        "full": {"weight_bytes": weight_bytes(engine.model), **_summary(answers)},
    }
    exact.forget_model()
    for way in plan.ways:
        del engine  # its memory goes before the next one takes its own
        gc.collect()
        engine = load(way)
        errors = LogitErrors()
        for number, (annotation, row) in enumerate(_rows(plan, used, way)):
            exact.compare(number, engine, _true_answer(row, annotation), errors)
        found["num_tokens"] = errors.num_tokens
        other = _answers(engine, plan, way)
        found[way] = {
            "weight_bytes": weight_bytes(engine.model),
            "logit_error": errors.relative_error,
            "top1_agreement": errors.agreement,
            "divergence": errors.mean_divergence,
            **_summary(other),
            **_against(other, answers, plan.seed),
        }
    return found


def _rows(
    plan: QualityPlan, annotations: Sequence[Annotation], label: str
) -> Iterator[tuple[Annotation, Any]]:
    """Annotations with their pages, or with the reason why they cannot be opened."""
    opened = PageLoader(partial(load_page, plan.data_root))
    pages = opened.load([annotation.images] for annotation in annotations)
    with Progress(len(annotations), "rows", f"{label}, logits", quiet=plan.quiet) as progress:
        for annotation, (row,) in zip(annotations, pages, strict=True):
            yield annotation, row
            progress.advance()


def _true_answer(pages: Any, annotation: Annotation) -> Any:
    from ..inference.weight_quality import TrueAnswer

    if isinstance(pages, str):
        raise UserError(pages)
    return TrueAnswer(pages=pages, prompt=annotation.prompt, text=annotation.text)


def _answers(engine: Any, plan: QualityPlan, label: str) -> list[ScoredRow]:
    """The rows as this model reads them; none where answers are not asked for."""
    if not plan.answers:
        return []
    rows = []
    with (
        PageLoader(partial(load_page, plan.data_root)) as loader,
        Progress(len(plan.annotations), "rows", f"{label}, answers", quiet=plan.quiet) as progress,
    ):
        for row in answered(
            plan.annotations,
            engine,
            loader,
            batch_size=plan.batch_size,
            max_new_tokens=plan.max_new_tokens,
        ):
            rows.append(row)
            progress.advance()
    return rows


def _summary(rows: Sequence[ScoredRow]) -> dict[str, Any]:
    """Micro CER and how the answers ended; both None without answers."""
    if not rows:
        return {"cer": None, "statuses": None}
    chars = sum(row.score.num_chars for row in rows)
    errors = sum(row.score.char_errors for row in rows)
    statuses = {name: entry["count"] for name, entry in count_statuses(rows).items()}
    return {"cer": errors / chars if chars else None, "statuses": statuses}


def _against(rows: Sequence[ScoredRow], exact: Sequence[ScoredRow], seed: int) -> dict[str, Any]:
    """What became of the answers: those that are equal, and the paired difference of CER."""
    if not rows:
        return {"num_same_answers": None, "cer_difference": None}
    pairs = list(zip(rows, exact, strict=True))
    change = differences(pairs, seed=seed)["cer"]
    return {
        "num_same_answers": sum(this.prediction == other.prediction for this, other in pairs),
        "cer_difference": {key: change[key] for key in ("difference", "interval", "p_value")},
    }
