"""Rows as in `predictions.jsonl` and summaries as in `metrics.json`, without a model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from deepseek_ocr.evaluation.report.records import OtherRun
from deepseek_ocr.metrics.text import mean, quantile, summarize_rates, text_score

STATUSES = ("ok", "empty", "failed", "truncated", "repetition")


def row(prediction: str, truth: str, *, number: int = 0, **more: Any) -> dict[str, Any]:
    """A row of `predictions.jsonl`; `more` replaces or adds keys."""
    score = text_score(prediction, truth)
    return {
        "id": f"row-{number}",
        "images": [f"{number % 256}.png"],
        "group": None,
        "prompt": "<image>\nConvert to markdown",
        "prediction": prediction,
        "text": truth,
        "status": "ok",
        "reason": "",
        "num_tokens": len(prediction),
        "num_image_tokens": 73,
        "seconds": 0.1,
        "cer": score.cer,
        "wer": score.wer,
        **dataclasses.asdict(score),
        **more,
    }


def some_rows(count: int = 20) -> list[dict[str, Any]]:
    return [row("a cat"[: n % 6] + "x" * (n // 6), "a cat", number=n) for n in range(count)]


def open_grey(reference: str) -> Image.Image:
    """`7.png` -> a picture of grey level 7, without a file."""
    return Image.new("RGB", (30, 20), (int(reference.split(".")[0]),) * 3)


def scores_of(rows: Sequence[Mapping[str, Any]], prediction: str = "prediction") -> dict[str, Any]:
    """The scores of one normalisation, with intervals of a fixed width in place of a bootstrap."""
    found = [text_score(r[prediction], r["text"]) for r in rows]
    exact = [float(score.exact) for score in found]
    return {
        "cer": _rates([s.char_errors for s in found], [s.num_chars for s in found]),
        "wer": _rates([s.word_errors for s in found], [s.num_words for s in found]),
        "similarity": {
            "mean": mean([s.similarity for s in found]),
            "median": quantile([s.similarity for s in found], 0.5),
            "interval": None,
        },
        "exact": {"count": int(sum(exact)), "rate": mean(exact), "interval": None},
    }


def _rates(errors: Sequence[int], lengths: Sequence[int]) -> dict[str, Any]:
    rates = dataclasses.asdict(summarize_rates(errors, lengths))
    ends = {
        kind: None if rates[kind] is None else [0.8 * rates[kind], 1.25 * rates[kind]]
        for kind in ("micro", "macro", "median")
    }
    return {**rates, "intervals": ends}


def summary_of(rows: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """The content of `metrics.json`; `more` replaces or adds keys."""
    counts = Counter(r["status"] for r in rows)
    return {
        "run": {"model_path": "runs/a/best", "test_file": "split/test.json", "seed": 42},
        "num_rows": len(rows),
        "num_documents": len({r["group"] or r["id"] for r in rows}),
        "num_empty_truths": sum(not r["text"] for r in rows),
        "statuses": {
            s: {"count": counts[s], "rate": counts[s] / max(len(rows), 1)} for s in STATUSES
        },
        "scores": {name: scores_of(rows) for name in ("raw", "nfc", "nfc+case+whitespace")},
        "seconds": 1.0,
        **more,
    }


def breakdown_of(rows: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """A breakdown of `metrics.json` by a key of the rows."""
    lines = []
    for value in sorted({r.get(key) or "" for r in rows}):
        group = [r for r in rows if (r.get(key) or "") == value]
        scores = scores_of(group)
        cer = scores["cer"]
        lines.append(
            {
                "value": value or None,
                "num_rows": len(group),
                "num_documents": len(group),
                "cer": {k: cer[k] for k in ("micro", "macro", "median")}
                | {"interval": cer["intervals"]["micro"]},
                "wer": scores["wer"]["micro"],
                "exact": scores["exact"]["rate"],
                "failed": sum(r["status"] == "failed" for r in group),
            }
        )
    return lines


def other_run(rows: Sequence[Mapping[str, Any]], name: str = "base model") -> OtherRun:
    return OtherRun(name=name, rows=rows, summary=summary_of(rows))
