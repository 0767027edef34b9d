"""Small datasets on disk for the tests of `deepseek_ocr.data`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image


def draw(path: Path, shade: int = 0) -> Path:
    """A small picture; each shade has bytes of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8 + shade % 200, 8), (shade % 256, shade // 256 % 256, 0)).save(path)
    return path


def sidecars(root: Path, rows: Mapping[str, Any]) -> Path:
    """`{"a.png": "text" or {...}}` -> pictures with a JSON file beside each."""
    for shade, (name, row) in enumerate(rows.items()):
        path = draw(root / name, shade)
        row = {"text": row} if isinstance(row, str) else row
        path.with_suffix(".json").write_text(json.dumps(row), encoding="utf-8")
    return root


def documents(root: Path, num_documents: int, num_pages: int = 1) -> Path:
    """`doc0_p1.png` ... with sidecars."""
    names = [f"doc{d}_p{p + 1}.png" for d in range(num_documents) for p in range(num_pages)]
    return sidecars(root, {name: f"text of {name}" for name in names})
