"""Fox, English pages: dense text read word for word, as DeepSeek-OCR's table 2 reports it.

Data as published (huggingface.co/datasets/ucaslcl/Fox_benchmark_data, `focus_benchmark_test.zip`
unpacked): `en_page_ocr.json` beside the folder `en_pdf_png`. Scores of `metrics.fox`, means over
pages, by the number of text tokens of the truth.

Two things a reader must know. The published program (`eval_tools/eval_ocr_test.py`) hands answer
and truth over the wrong way round, so that its "precision" is what is usually called recall: the
share of the true words that were read. The columns of token counts hold that figure, as the
published program gives it; all others mean what their names usually do. And the paper does not say
by which program the precision of its table was computed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...metrics.fox import FoxScore, fox_score
from ...metrics.intervals import DocumentBootstrap
from ...metrics.words import sentence_bleu
from .figures import mean_of_known, per_cent
from .protocol import BenchmarkPage, BenchmarkTable, pages_of_one_image
from .published import FOX, FOX_COMPRESSION, FOX_PAGES

ANNOTATIONS = "en_page_ocr.json"
IMAGES = "en_pdf_png"
UNPACKED = "focus_benchmark_test"
TOKENIZER = "tokenizer.json"
"""DeepSeek-OCR's, copied into the data root by the user; pages are sorted by its counts."""

PROMPT = "<image>\nFree OCR."

WHOLE = ("Precision", "Recall", "F1", "BLEU", "METEOR", "Edit distance")
"""Columns of all pages together; per cent but for the edit distance."""

COLUMNS = (*FOX.columns, *WHOLE)

NO_METEOR = "METEOR needs the WordNet data of nltk, which are not part of this program"

VISION_TOKENS = {"Tiny, 64 tokens": 64, "Small, 100 tokens": 100}
"""Of the published rows; the decoder reads 73 and 111."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruePage:
    """A page: `id` is its image's name without the ending, `image` relative to the data root.

    `num_tokens` are text tokens of the truth.
    """

    id: str
    image: str
    text: str
    num_tokens: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageResult:
    page: TruePage
    score: FoxScore
    bleu: float


class Fox:
    """See the module."""

    name = "fox"

    def pages(self, data_root: Path) -> list[BenchmarkPage]:
        return pages_of_one_image(read_pages(data_root), PROMPT)

    def score(
        self, data_root: Path, answers: Mapping[str, str], output_dir: Path
    ) -> BenchmarkTable:
        results = []
        for page in read_pages(data_root, find_counter(data_root)):
            answer = answers.get(page.id, "")
            bleu = sentence_bleu(answer, page.text, smoothing="none") or 0.0
            results.append(PageResult(page=page, score=fox_score(answer, page.text), bleu=bleu))
        return _table(results, by_tokenizer=find_tokenizer(data_root) is not None)


BENCHMARK = Fox()


def read_pages(data_root: Path, count_tokens: Callable[[str], int] | None = None) -> list[TruePage]:
    """All English pages, in the order of the file; tokens are counted, or as the file says.

    Raises:
        UserError: there is no such file, or it is not as published.
    """
    folder = _folder(data_root)
    path = data_root / folder / ANNOTATIONS
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; --data_root is the unpacked {UNPACKED}.zip with {ANNOTATIONS} and "
            f"{IMAGES}/, as published at huggingface.co/datasets/ucaslcl/Fox_benchmark_data"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(samples, list) or not samples:
        raise UserError(f"{path}: no list of pages")
    pages: dict[str, TruePage] = {}
    for number, sample in enumerate(samples, 1):
        try:
            page = _page(sample, folder, count_tokens)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: page {number} is not as published ({type(error).__name__}: {error}); "
                "download the file again"
            ) from None
        if page.id in pages:
            raise UserError(f"{path}: page {number}: a second page named {page.id}")
        pages[page.id] = page
    return list(pages.values())


def _folder(data_root: Path) -> PurePosixPath:
    """Where the data lie: in the data root, or in the folder that unpacking makes there."""
    inside = (data_root / UNPACKED / ANNOTATIONS).is_file()
    return PurePosixPath(UNPACKED if inside else ".")


def _page(
    sample: Mapping[str, Any], folder: PurePosixPath, count_tokens: Callable[[str], int] | None
) -> TruePage:
    name = PurePosixPath(sample["image"]).name
    text = sample["conversations"][1]["value"]
    if not isinstance(text, str):
        raise TypeError("a text expected")
    length = sample.get("len")
    return TruePage(
        id=PurePosixPath(name).stem,
        image=str(folder / IMAGES / name),
        text=text,
        num_tokens=count_tokens(text) if count_tokens else length if type(length) is int else None,
    )


def find_tokenizer(data_root: Path) -> Path | None:
    """The tokenizer that the user laid beside the data."""
    path = data_root / TOKENIZER
    return path if path.is_file() else None


def find_counter(data_root: Path) -> Callable[[str], int] | None:
    """Text -> number of tokens, by the tokenizer beside the data.

    Raises:
        UserError: it is there and cannot be read.
    """
    path = find_tokenizer(data_root)
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  the library raises no other class
        raise UserError(f"{path}: no tokenizer ({error}); copy DeepSeek-OCR's") from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _table(results: Sequence[PageResult], *, by_tokenizer: bool) -> BenchmarkTable:
    bins = {column: _in_bin(results, column) for column in FOX.columns}
    found: dict[str, float | None] = {
        column: per_cent(mean_of_known([result.score.recall for result in group]))
        for column, group in bins.items()
    }
    found |= {
        "Precision": per_cent(mean_of_known([result.score.precision for result in results])),
        "Recall": per_cent(mean_of_known([result.score.recall for result in results])),
        "F1": per_cent(mean_of_known([result.score.f1 for result in results])),
        "BLEU": per_cent(mean_of_known([result.bleu for result in results])),
        "METEOR": None,
        "Edit distance": mean_of_known([result.score.edit_distance for result in results]),
    }
    reasons = {column: "no page of that many text tokens" for column in bins if not bins[column]}
    return BenchmarkTable(
        columns=COLUMNS,
        values=tuple(found[column] for column in COLUMNS),
        reasons=reasons | {"METEOR": NO_METEOR},
        published=FOX.rows_for(COLUMNS),
        notes=_notes(bins, by_tokenizer=by_tokenizer),
        num_pages=len(results),
        verdicts={result.page.id: _verdict(result.score) for result in results},
        detail=_detail(results, bins),
    )


def _in_bin(results: Sequence[PageResult], column: str) -> list[PageResult]:
    """Pages whose number of text tokens lies in `600-700`, the upper end not in it."""
    low, high = map(int, column.split("-"))
    return [r for r in results if r.page.num_tokens is not None and low <= r.page.num_tokens < high]


def _notes(bins: Mapping[str, Sequence[PageResult]], *, by_tokenizer: bool) -> tuple[str, ...]:
    counts = tuple(len(group) for group in bins.values())
    notes = [
        f"Published rows: {FOX.source}.",
        "The columns of text tokens hold what the program of Fox calls precision, the share of "
        "the true words that were read; all other columns mean what their names usually do.",
    ]
    if not by_tokenizer:
        notes.append(
            "Text tokens are those that the data name (`len`); for the published columns copy "
            f"DeepSeek-OCR's {TOKENIZER} into the data root."
        )
    if counts != FOX_PAGES:
        notes.append(
            f"Pages in the columns: {', '.join(map(str, counts))}; "
            f"in the published run: {', '.join(map(str, FOX_PAGES))}."
        )
    return tuple(notes)


def _verdict(score: FoxScore) -> str:
    f1 = "no F1" if score.f1 is None else f"F1 {100 * score.f1:.1f}"
    return f"{f1}, edit distance {score.edit_distance:.3f}"


def _detail(
    results: Sequence[PageResult], bins: Mapping[str, Sequence[PageResult]]
) -> dict[str, Any]:
    return {
        "num_pages": len(results),
        "columns": {column: _bin_detail(group) for column, group in bins.items()},
        "published_compression": [[name, list(values)] for name, values in FOX_COMPRESSION.rows],
        "intervals": _intervals(results),
        "pages": [
            {
                "id": result.page.id,
                "num_text_tokens": result.page.num_tokens,
                **dataclasses.asdict(result.score),
                "bleu": result.bleu,
            }
            for result in results
        ],
    }


def _bin_detail(group: Sequence[PageResult]) -> dict[str, Any]:
    num_tokens = mean_of_known([result.page.num_tokens for result in group])
    return {
        "num_pages": len(group),
        "num_text_tokens": num_tokens,
        "compression": {
            name: num_tokens / count if num_tokens else None
            for name, count in VISION_TOKENS.items()
        },
        **{
            name: mean_of_known([getattr(result.score, name) for result in group])
            for name in ("precision", "recall", "f1", "edit_distance")
        },
    }


def _intervals(results: Sequence[PageResult]) -> dict[str, Any]:
    """95 % intervals of the means over all pages, pages drawn."""
    bootstrap = DocumentBootstrap([result.page.id for result in results], seed=0)

    def of_mean(name: str, factor: int) -> Any:
        values = [getattr(result.score, name) for result in results]
        return bootstrap.of_ratio(
            [factor * (value or 0.0) for value in values], [value is not None for value in values]
        )

    names = {"Precision": "precision", "Recall": "recall", "F1": "f1"}
    intervals = {column: of_mean(name, 100) for column, name in names.items()}
    return {**intervals, "Edit distance": of_mean("edit_distance", 1)}
