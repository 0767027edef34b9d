"""A small folder in the layout of olmOCR-bench."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def row(kind: str, id: str = "1", pdf: str = "a.pdf", page: int = 1, **values: Any) -> dict:
    """A check as the published files hold it."""
    return {"pdf": pdf, "page": page, "id": id, "type": kind, **values}


def write_bench(root: Path, files: Mapping[str, Iterable[Any]], pdfs: Iterable[str] = ()) -> Path:
    """`{"tables": [rows]}` -> `tables.jsonl` and empty PDFs; the folder."""
    (root / "pdfs").mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n\n")
    for pdf in {*pdfs, *(r["pdf"] for rows in files.values() for r in rows if type(r) is dict)}:
        path = root / "pdfs" / pdf
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root
