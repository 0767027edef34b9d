"""Figures that others have published, each table with its source; ours are put beside them.

None stands where a source gives no value. Figures of different versions of a benchmark, or of
different prompts and resolutions, do not compare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

PublishedRow = tuple[str, tuple[float | None, ...]]
"""A model's name and its values, one a column."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """Rows of one source, DeepSeek-OCR's first."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def rows_for(self, columns: Sequence[str]) -> tuple[PublishedRow, ...]:
        """The rows with one value for each of `columns`; None where the source has no such."""
        place = {column: number for number, column in enumerate(self.columns)}
        return tuple(
            (name, tuple(values[place[c]] if c in place else None for c in columns))
            for name, values in self.rows
        )


OLMOCR_BENCH = PublishedTable(
    source="README of github.com/allenai/olmocr, October 2025; per cent of checks passed",
    columns=(
        "ArXiv",
        "Old scans math",
        "Tables",
        "Old scans",
        "Headers & footers",
        "Multi column",
        "Long tiny text",
        "Base",
        "Overall",
    ),
    rows=(
        ("DeepSeek-OCR", (77.2, 73.6, 80.2, 33.3, 96.1, 66.4, 79.4, 99.8, 75.7)),
        ("Chandra OCR 0.1.0", (82.2, 80.3, 88.0, 50.4, 90.8, 81.2, 92.3, 99.9, 83.1)),
        ("olmOCR 0.4.0", (83.0, 82.3, 84.9, 47.7, 96.1, 83.7, 81.9, 99.7, 82.4)),
        ("PaddleOCR-VL", (85.7, 71.0, 84.1, 37.8, 97.0, 79.9, 85.7, 98.5, 80.0)),
        ("Marker 1.10.1", (83.8, 66.8, 72.9, 33.5, 86.6, 80.0, 85.7, 99.3, 76.1)),
        ("MinerU 2.5.4", (76.6, 54.6, 84.9, 33.7, 96.6, 78.2, 83.5, 93.7, 75.2)),
        ("Mistral OCR API", (77.2, 67.5, 60.6, 29.3, 93.6, 71.3, 77.1, 99.4, 72.0)),
        ("Nanonets-OCR2-3B", (75.4, 46.1, 86.8, 40.9, 32.1, 81.9, 93.0, 99.6, 69.5)),
    ),
)

OMNIDOCBENCH_V15 = PublishedTable(
    source=(
        "README of github.com/opendatalab/OmniDocBench, v1.5 (1355 pages); MinerU2.5 and "
        "DeepSeek-OCR Gundam-M from secondary tables"
    ),
    columns=("Overall", "Text edit", "Formula CDM", "Table TEDS", "Table TEDS-S", "Order edit"),
    rows=(
        ("DeepSeek-OCR", (87.01, 0.073, 83.37, 84.97, 88.80, 0.086)),
        ("DeepSeek-OCR Gundam-M", (86.46, 0.081, 89.45, 78.02, None, 0.093)),
        ("PaddleOCR-VL 0.9B", (92.86, 0.035, 91.22, 90.89, 94.76, 0.043)),
        ("MinerU2.5 1.2B", (90.67, 0.047, 88.46, 88.22, None, 0.044)),
        ("Qwen3-VL-235B", (89.15, 0.069, 88.14, 86.21, 90.55, 0.068)),
        ("dots.ocr 3B", (88.41, 0.048, 83.22, 86.78, 90.62, 0.053)),
        ("PP-StructureV3", (86.73, 0.073, 85.79, 81.68, 89.48, 0.073)),
        ("olmOCR 7B", (81.79, 0.096, 86.04, 68.92, 74.77, 0.121)),
        ("MinerU2-pipeline", (75.51, 0.209, 76.55, 70.90, 79.11, 0.225)),
        ("GPT-4o", (75.02, 0.217, 79.70, 67.07, 76.09, 0.148)),
        ("Marker 1.8.2", (71.30, 0.206, 76.66, 57.88, 71.17, 0.250)),
    ),
)

FOX = PublishedTable(
    source=(
        "DeepSeek-OCR, arXiv 2510.18234, table 2: precision in per cent by the number of text "
        "tokens, English pages; which precision it means is not said"
    ),
    columns=(
        "600-700",
        "700-800",
        "800-900",
        "900-1000",
        "1000-1100",
        "1100-1200",
        "1200-1300",
    ),
    rows=(
        ("DeepSeek-OCR Tiny, 64 tokens", (96.5, 93.8, 83.8, 85.9, 79.3, 76.4, 59.1)),
        ("DeepSeek-OCR Small, 100 tokens", (98.5, 97.3, 96.8, 96.8, 91.5, 89.8, 87.1)),
    ),
)

FOX_COMPRESSION = PublishedTable(
    source="DeepSeek-OCR, arXiv 2510.18234, table 2: text tokens for each vision token",
    columns=FOX.columns,
    rows=(
        ("DeepSeek-OCR Tiny, 64 tokens", (10.5, 11.8, 13.2, 15.1, 16.5, 17.7, 19.7)),
        ("DeepSeek-OCR Small, 100 tokens", (6.7, 7.5, 8.5, 9.7, 10.6, 11.3, 12.6)),
    ),
)
FOX_PAGES = (7, 28, 28, 14, 11, 8, 4)
"""How many pages the published run had in each column."""
