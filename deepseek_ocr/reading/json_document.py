"""A document as JSON: every page with its raw answer, its Markdown and its regions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .results import ReadPage

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def document_json(
    pages: Iterable[ReadPage], *, source: str, model: str, prompt: str
) -> Iterator[str]:
    """The JSON file of a document, in pieces: a line a page, so that it can be searched by line.

    Boxes are in page pixels. No timings: the same reading gives the same bytes.
    """
    head = (f"{_encode(key)}: {_encode(value)}" for key, value in _head(source, model, prompt))
    yield f'{{{", ".join(head)}, "pages": ['
    separator = "\n"
    for page in pages:
        yield separator + _encode(page_object(page))
        separator = ",\n"
    yield "\n]}\n"


def page_object(page: ReadPage) -> dict[str, Any]:
    """A page as an element of `pages`."""
    return {
        "page": page.number,
        "status": page.status,
        "reason": page.reason,
        "text": page.text,
        "markdown": page.markdown,
        "width": page.width,
        "height": page.height,
        "regions": [
            {"label": region.label, "box": list(region.box), "text": region.text}
            for region in page.regions
        ],
    }


def _head(source: str, model: str, prompt: str) -> Iterator[tuple[str, str]]:
    yield "source", source
    yield "model", model
    yield "prompt", prompt
