"""The truth of OmniDocBench: `OmniDocBench.json`, one object a page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import UserError
from ...metrics.markdown.comparison import TrueBlock

ANNOTATIONS = "OmniDocBench.json"
IMAGES = "images"

VERSION = "v1.5"
NUM_PAGES = 1355
"""Pages of that version."""

IGNORED = frozenset(
    (
        "code_algorithm",
        "code_algorithm_caption",
        "equation_caption",
        "figure_caption",
        "figure_footnote",
        "footer",
        "header",
        "page_footnote",
        "page_number",
        "table_caption",
        "table_footnote",
    )
)
"""Categories whose text may or may not be read: what is near to it is left out."""

TEXTS = IGNORED | {"text_block", "title", "code_txt", "code_txt_caption", "reference"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruePage:
    """A page: `id` is its image's name without the ending, `image` relative to the data root."""

    id: str
    image: str
    blocks: tuple[TrueBlock, ...]


def read_pages(data_root: Path) -> list[TruePage]:
    """All pages of v1.5, in the order of the file.

    A later copy, whose pages say of which `subset` they are, is cut to its pages of v1.5.

    Raises:
        UserError: there is no such file, or it is not as published.
    """
    path = data_root / ANNOTATIONS
    samples = _read_json(path)
    pages: dict[str, TruePage] = {}
    for number, sample in enumerate(samples, 1):
        try:
            if _subset(sample) in (None, VERSION):
                page = _page(sample, data_root)
                if page.id in pages:
                    raise ValueError(f"a second page named {page.id}")
                pages[page.id] = page
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: page {number} is not as published ({type(error).__name__}: {error}); "
                "download the file again"
            ) from None
    if not pages:
        raise UserError(f"{path}: no page of {VERSION}")
    return list(pages.values())


def _read_json(path: Path) -> list[Any]:
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; --data_root is the folder that holds {ANNOTATIONS} and {IMAGES}/, "
            "as published at huggingface.co/datasets/opendatalab/OmniDocBench"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(samples, list):
        raise UserError(f"{path}: {type(samples).__name__} found, a list of pages expected")
    return samples


def _subset(sample: Mapping[str, Any]) -> str | None:
    return (sample["page_info"].get("page_attribute") or {}).get("subset")


def _page(sample: Mapping[str, Any], data_root: Path) -> TruePage:
    name = PurePosixPath(sample["page_info"]["image_path"]).name
    in_folder = f"{IMAGES}/{name}"
    beside = not (data_root / in_folder).is_file() and (data_root / name).is_file()
    return TruePage(
        id=PurePosixPath(name).stem,
        image=name if beside else in_folder,
        blocks=tuple(_blocks(sample)),
    )


def _blocks(sample: Mapping[str, Any]) -> list[TrueBlock]:
    """Blocks that take part, in their order; parts of one text that a column cut are one."""
    kept = [item for item in sample["layout_dets"] if not item.get("ignore")]
    groups = _cut_texts(sample)
    cut = {number for group in groups for number in group}
    by_id = {item.get("anno_id"): item for item in kept}
    items = [item for item in kept if item.get("anno_id") not in cut]
    for group in groups:
        parts = sorted((by_id[number] for number in group if number in by_id), key=_order)
        if parts:
            text = "".join(part.get("text") or "" for part in parts)
            items.append({**parts[0], "text": text})
    blocks = [block for item in items if (block := _block(item)) is not None]
    return sorted(blocks, key=lambda block: block.place)


def _cut_texts(sample: Mapping[str, Any]) -> list[set[Any]]:
    """Sets of `anno_id` of blocks that are parts of one text."""
    groups: list[set[Any]] = []
    for relation in (sample.get("extra") or {}).get("relation") or []:
        if relation["relation_type"] == "truncated":
            pair = {relation["source_anno_id"], relation["target_anno_id"]}
            touching = [group for group in groups if group & pair]
            groups = [group for group in groups if not group & pair]
            groups.append(pair.union(*touching))
    return groups


def _order(item: Mapping[str, Any]) -> float:
    return float(item.get("order") or 0)


def _block(item: Mapping[str, Any]) -> TrueBlock | None:
    category = item["category_type"]
    if category == "table":
        return TrueBlock(kind="table", content=item.get("html") or "", place=_order(item))
    if category == "equation_isolated":
        return TrueBlock(
            kind="formula", content=item.get("latex") or "", place=_order(item), category=category
        )
    if category not in TEXTS:
        return None
    return TrueBlock(
        kind="text",
        content=item.get("text") or "",
        place=_order(item),
        category=category,
        ignored=category in IGNORED,
    )
