"""What the tests of single readers share: folders made of plain values, and what is read there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.folder import DatasetFolder
from deepseek_ocr.data.formats import choose_reader
from deepseek_ocr.data.problems import Problem

from ..datasets import draw

PICTURES = (".png", ".jpg", ".tif", ".pdf")


def make(root: Path, files: Mapping[str, Any]) -> Path:
    """`{"a.png": None, "a.txt": "text", "a.json": {...}, "b.txt": b"bytes"}` -> files below root."""
    for shade, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".pdf"):
            path.write_bytes(b"%PDF-1.4 " + name.encode())
        elif name.endswith(PICTURES):
            draw(path, shade)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            path.write_bytes(text.encode())
    return root


def read(root: Path, name: str = "auto") -> list[Annotation | Problem]:
    """All that a reader finds."""
    folder = DatasetFolder(root)
    return list(choose_reader(folder, name)[0].read(folder))


def detected(root: Path) -> str:
    """The reader that is chosen."""
    return choose_reader(DatasetFolder(root))[0].NAME


def samples(root: Path, name: str = "auto") -> list[Annotation]:
    """The samples of a folder that has no problems."""
    found = read(root, name)
    assert all(isinstance(sample, Annotation) for sample in found), found
    return [sample for sample in found if isinstance(sample, Annotation)]


def only(root: Path, name: str = "auto") -> Annotation:
    """The one sample of a folder without problems."""
    (sample,) = samples(root, name)
    return sample


def problems(root: Path, name: str = "auto") -> list[tuple[str, str]]:
    """Kind and source of all problems."""
    return [(p.kind, p.source) for p in read(root, name) if isinstance(p, Problem)]


def reasons(root: Path, name: str = "auto") -> list[str]:
    """The reasons of all problems."""
    return [p.reason for p in read(root, name) if isinstance(p, Problem)]
