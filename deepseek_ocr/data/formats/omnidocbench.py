"""`omnidocbench`: OmniDocBench's JSON, a page a row: `page_info.image_path` and `layout_dets`.

The text is Markdown of what stands in the reading order (`order`), as the benchmark makes it:
headers, page numbers and what is marked `ignore` have no part in it, and a paragraph that goes on
in the next column is one. https://github.com/opendatalab/OmniDocBench
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..json_files.rows import Row
from ..json_files.strict import json_type
from ..problems import Problem
from ..truth.html_tables import parse_table
from ..truth.structures import Block, Formula, TextBlock
from ._detection import Detection
from ._lists import LISTS, detect_rows, read_rows
from ._page_files import PictureFinder
from ._reading_order import Box, box_around
from ._unusable import Unusable

NAME = "omnidocbench"
SUFFIXES = LISTS

_DELIMITED = re.compile(r"\s*(?:\$\$(.*)\$\$|\\\[(.*)\\\]|\\\((.*)\\\)|\$(.*)\$)\s*", re.S)
_WITHOUT_BLANKS = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")  # Chinese, Japanese


def is_row(value: Mapping[str, Any]) -> bool:
    """Whether a row has the shape."""
    page = value.get("page_info")
    return isinstance(value.get("layout_dets"), list) and isinstance(page, dict)


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_rows(folder, is_row, score=0.99)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a page."""
    finder = PictureFinder(folder)

    def convert(row: Row, file: str, _: DatasetFolder) -> Iterator[Annotation | Problem]:
        source = f"{file}:{row.place}"
        try:
            yield _sample(row.value, file, source, finder)
        except Unusable as error:
            yield Problem(kind=error.kind, source=source, reason=str(error))

    return read_rows(folder, convert)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Element:
    """What stands somewhere on the page: `text`, or a formula or table as `latex` or `html`."""

    identity: Any
    category: str
    order: float
    box: Box | None
    text: str
    latex: str
    html: str

    @property
    def markdown(self) -> str:
        if self.category == "title":
            return f"# {self.text.strip().lstrip('#').strip()}" if self.text.strip() else ""
        block = self.block
        return rf"\[{block.latex}\]" if isinstance(block, Formula) else self.as_written

    @property
    def block(self) -> Block | None:
        """As structure; None for what has no text, such as a picture."""
        if self.latex.strip() and not self.text.strip() and not self.html.strip():
            match = _DELIMITED.fullmatch(self.latex)
            latex = next(filter(None, match.groups()), "") if match else self.latex
            return Formula(latex=latex.strip())
        table = parse_table(self.html) if self.category == "table" else None
        text = self.as_written
        return table or (TextBlock(text=text, label=self.category) if text.strip() else None)

    @property
    def as_written(self) -> str:
        """Its truth in the form that fits: of a table the HTML first, of all else the text."""
        ranked = (self.html, self.text) if self.category == "table" else (self.text, self.html)
        return next((written for written in (*ranked, self.latex) if written.strip()), "")


def _sample(value: Mapping[str, Any], file: str, source: str, finder: PictureFinder) -> Annotation:
    page = _object(value.get("page_info"), "page_info")
    picture = finder.find(file, _string(page, "image_path"), own_name=False)
    elements = _in_reading_order(value)
    joined = _joined(elements, _continuations(value))
    width, height = _side(page, "width"), _side(page, "height")
    told = _object(page.get("page_attribute") or {}, "page_attribute")
    attributes = {key: found for key, found in told.items() if isinstance(found, str)}
    return Annotation(
        id="",
        images=(picture,),
        prompt="",
        text="\n\n".join(filter(None, (element.markdown for element in joined))),
        regions=tuple(_regions(elements, width, height)),
        box_frame="shares" if width and height else "pixels",
        lang=attributes.get("language"),
        source=source,
        attributes=attributes,
        structure=tuple(block for element in joined if (block := element.block) is not None),
    )


def _in_reading_order(value: Mapping[str, Any]) -> list[_Element]:
    found = [_object(element, "layout_dets") for element in _list(value, "layout_dets")]
    elements = [
        _element(element)
        for element in found
        if _is_number(element.get("order")) and not element.get("ignore")
    ]
    return sorted(elements, key=lambda element: element.order)


def _element(value: Mapping[str, Any]) -> _Element:
    text = _string(value, "text")
    if not text.strip():  # the items of a list
        items = (_object(item, "merge_list") for item in _list(value, "merge_list"))
        text = "\n".join(filter(None, (_string(item, "text") for item in items)))
    return _Element(
        identity=value.get("anno_id"),
        category=_string(value, "category_type"),
        order=value["order"],
        box=_box(value.get("poly")),
        text=text,
        latex=_string(value, "latex"),
        html=_string(value, "html"),
    )


def _continuations(value: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Elements, by their ids, of which the second goes on with the paragraph of the first."""
    extra = _object(value.get("extra") or {}, "extra")
    relations = [_object(relation, "relation") for relation in _list(extra, "relation")]
    return [
        (relation.get("source_anno_id"), relation.get("target_anno_id"))
        for relation in relations
        if "truncated" in (relation.get("relation_type"), relation.get("relation"))
    ]


def _joined(
    elements: Sequence[_Element], continuations: Sequence[tuple[Any, Any]]
) -> list[_Element]:
    """The elements, each that goes on with another one joined to the first of them."""
    groups = {repr(element.identity): [element] for element in elements if element.text.strip()}
    for pair in continuations:
        first, second = (groups.get(repr(identity)) for identity in pair)
        if first is not None and second is not None and first is not second:
            first.extend(second)
            groups |= {repr(element.identity): first for element in second}
    found = []
    for element in elements:
        group = groups.get(repr(element.identity), [element])
        members = sorted(group, key=lambda member: member.order)
        if members[0] is element:
            text = functools.reduce(_continued, [member.text for member in members])
            found.append(dataclasses.replace(element, text=text))
        elif all(member is not element for member in members):  # its id is another's too
            found.append(element)
    return found


def _continued(text: str, rest: str) -> str:
    """A paragraph and what follows in the next column: a word that was parted is whole again."""
    text, rest = text.rstrip(), rest.lstrip()
    if text.endswith("-") and text[-2:-1].isalpha() and rest[:1].islower():
        return text[:-1] + rest
    both_without = _WITHOUT_BLANKS.fullmatch(text[-1:]) and _WITHOUT_BLANKS.fullmatch(rest[:1])
    return f"{text}{'' if both_without else ' '}{rest}"


def _regions(elements: Sequence[_Element], width: float, height: float) -> Iterator[Region]:
    """A region an element, in shares of the page where its size is told."""
    for element in elements:
        if element.box is not None:
            x1, y1, x2, y2 = element.box
            shares = (x1 / width, y1 / height, x2 / width, y2 / height) if width and height else ()
            yield Region(label=element.category, box=shares or element.box, text=element.as_written)


def _box(corners: Any) -> Box | None:
    """`[x1, y1, x2, y2, ...]`, pixels of the corners, -> the upright box around them."""
    if corners is None:
        return None
    if not isinstance(corners, list) or len(corners) % 2:
        raise Unusable("bad value", "'poly': expected the corners as [x1, y1, x2, y2, ...]")
    try:
        return box_around([list(pair) for pair in zip(corners[0::2], corners[1::2], strict=True)])
    except ValueError as error:
        raise Unusable("bad value", f"'poly': {error}") from None


def _side(page: Mapping[str, Any], side: str) -> float:
    found = page.get(side)
    return found if _is_number(found) and 0 < found < 1e9 else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unusable("bad value", f"{key!r}: expected an object, found {json_type(value)}")
    return value


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unusable("bad value", f"{key!r}: expected a list, found {json_type(found)}")
    return found


def _string(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Unusable("bad value", f"{key!r}: expected a string, found {json_type(found)}")
    return found
