"""`alto`: pages transcribed in ALTO, versions 1 to 4 (libraries, eScriptorium, ABBYY, Tesseract).

Text is taken as it is printed: the two halves of a hyphenated word stay apart. Blocks follow
`<ReadingOrder>` (4.3), else `IDNEXT`, else the file, headers first and footers last.
https://github.com/altoxml/schema
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..problems import Problem
from ._blocks import (
    Block,
    Line,
    box_around_all,
    page_text,
    regions_of,
    structure_of,
    without_blank_lines,
)
from ._detection import Detection
from ._page_files import PictureFinder, each_picture_once, page_reference
from ._reading_order import Box
from ._unusable import Unusable
from ._xml import Element, ElementError, box_of_points, detect_pages, number, read_xml

NAME = "alto"
SUFFIXES = (".xml",)
ROOT = "alto"

_LEFT_OUT = ("Glyph", "ALTERNATIVE", "Styles", "Processing", "OCRProcessing")
_SPACES = ("TopMargin", "LeftMargin", "PrintSpace", "RightMargin", "BottomMargin")
_NO_LABEL = frozenset({"default", "defaultline"})  # eScriptorium's line of no particular kind
_HYPHENS = {"": "-", "\xad": "-"}  # a soft hyphen stands for one that is printed at the line's end

_Lines = list[tuple[Element, Element]]  # the block and the line


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_pages(folder, folder.with_suffix(*SUFFIXES), ROOT, "ALTO", 0.997)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a page."""
    finder = PictureFinder(folder)
    yield from each_picture_once(folder, finder, _pages(folder, finder), expected="ALTO file")


def _pages(folder: DatasetFolder, finder: PictureFinder) -> Iterator[Annotation | Problem]:
    for file in folder.with_suffix(*SUFFIXES):
        root = read_xml(folder.path(file), file, ROOT, _LEFT_OUT)
        if isinstance(root, Problem):
            yield root
        elif root is not None:
            yield from _samples(root, file, finder)


def _samples(root: Element, file: str, finder: PictureFinder) -> Iterator[Annotation | Problem]:
    pages = list(root.below("Page"))
    if not pages:
        reason = "no <Page> in it; expected one with the blocks of text"
        yield Problem(kind="no text", source=f"{file}:{root.line}", reason=reason)
    written = next((name.text for name in root.below("fileName")), "")
    labels = {tag.get("ID"): tag.get("LABEL") for tags in root.all("Tags") for tag in tags.children}
    unit = next((unit.text.strip() for unit in root.below("MeasurementUnit")), "pixel")
    for place, page in enumerate(pages, 1):
        source = f"{file}:{page.line}"
        try:
            picture = finder.find(file, written)
            told = page.get("PHYSICAL_IMG_NR")
            page_number = int(told) if re.fullmatch(r"0*[1-9][0-9]{0,8}", told) else place
            blocks = _blocks(root, page, labels)
            width, height = (_side(page, side) for side in ("WIDTH", "HEIGHT"))
        except Unusable as error:
            yield Problem(kind=error.kind, source=source, reason=str(error))
            continue
        except ElementError as error:
            yield Problem(kind="bad value", source=f"{file}:{error.line}", reason=str(error))
            continue
        is_told = bool(width and height)
        yield Annotation(
            id="",
            images=(page_reference(picture, page_number, len(pages)),),
            prompt="",
            text=page_text(blocks),
            # other units than pixels say nothing where the size of the page is not told in them
            regions=regions_of(blocks, width, height) if is_told or unit == "pixel" else (),
            box_frame="shares" if is_told else "pixels",
            lang=_language(page),
            source=source,
            structure=structure_of(blocks),
        )


def _side(page: Element, side: str) -> float:
    return number(page, side) if page.get(side) else 0.0


def _language(page: Element) -> str | None:
    if page.get("LANG"):
        return page.get("LANG")
    blocks = page.below("TextBlock")
    found = {block.get("LANG") or block.get("language") for block in blocks}
    return next(iter(found)) or None if len(found) == 1 else None


def _blocks(root: Element, page: Element, labels: Mapping[str, str]) -> list[Block]:
    in_file = [
        (block, line)
        for space in sorted(page.all(*_SPACES), key=lambda space: _SPACES.index(space.name))
        for block in _in_order(list(space.below("TextBlock")))
        for line in block.all("TextLine")
    ]
    ordered = _by_reading_order(root, in_file)
    return without_blank_lines(
        Block(lines=[_line(line, labels) for _, line in lines], label=heading or label)
        for heading, label, lines in _grouped(ordered, labels)
    )


def _grouped(lines: _Lines, labels: Mapping[str, str]) -> Iterator[tuple[str, str, _Lines]]:
    """The lines of each block, headings apart from the rest: (label of the heading or "", label of
    the block, lines)."""

    def heading(line: Element) -> str:
        label = _label(line, labels)
        return label if "heading" in label.lower() else ""

    parts = itertools.groupby(lines, key=lambda pair: (id(pair[0]), heading(pair[1])))
    for (_, label), group in parts:
        members = list(group)
        yield label, _label(members[0][0], labels), members


def _in_order(blocks: Sequence[Element]) -> list[Element]:
    """As in the file, but that the block a block names as `IDNEXT` follows it."""
    named = {block.get("ID"): block for block in blocks}
    followers = {block.get("IDNEXT") for block in blocks}
    found: dict[int, Element] = {}
    firsts = [block for block in blocks if block.get("ID") not in followers]
    for block in (*firsts, *blocks):  # blocks that follow each other in a ring have no first
        following: Element | None = block
        while following is not None and id(following) not in found:
            found[id(following)] = following
            following = named.get(following.get("IDNEXT"))
    return list(found.values())


def _by_reading_order(root: Element, lines: _Lines) -> _Lines:
    """As the first group of `<ReadingOrder>` says, then the lines that it leaves out."""
    order = root.first("ReadingOrder")
    group = next(iter(order.children), None) if order is not None else None
    if group is None:
        return lines
    parts: dict[str, _Lines] = {}
    for block, line in lines:
        for name in (block.get("ID"), line.get("ID")):
            if name:
                parts.setdefault(name, []).append((block, line))
    references = [name for ref in group.below("ElementRef") for name in ref.get("REF").split()]
    found: dict[int, tuple[Element, Element]] = {}
    for reference in references:
        for pair in parts.get(reference, ()):
            found.setdefault(id(pair[1]), pair)
    for pair in lines:
        found.setdefault(id(pair[1]), pair)
    return list(found.values())


def _line(line: Element, labels: Mapping[str, str]) -> Line:
    label = _label(line, labels)
    return Line(
        text=_line_text(line),
        box=_box(line) or box_around_all(map(_box, line.all("String"))),
        label="" if label.lower() in _NO_LABEL else label,
    )


def _line_text(line: Element) -> str:
    """The strings of a line: where it tells its blanks (`<SP>`) these, else a blank between all."""
    has_blanks = any(line.all("SP"))
    text = ""
    before: Element | None = None
    for part in line.all("String", "SP", "HYP"):
        content = part.attributes.get("CONTENT", "")
        if part.name == "String":
            joined = before is None or before.name == "SP" or has_blanks
            text += content if joined else f" {content}"
        elif part.name == "SP":
            text += " "
        else:
            hyphen = _HYPHENS.get(content, content)
            text += "" if text.endswith(hyphen) else hyphen  # some repeat the string's own
        before = part
    return text


def _label(element: Element, labels: Mapping[str, str]) -> str:
    references = element.get("TAGREFS").split()
    return next((labels[name] for name in references if labels.get(name)), element.get("TYPE"))


def _box(element: Element) -> Box | None:
    sides = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
    if all(element.get(side) for side in sides):
        x, y, width, height = (number(element, side) for side in sides)
        return x, y, x + width, y + height
    polygons = element.below("Polygon")
    return next((box_of_points(p, "POINTS") for p in polygons if p.get("POINTS")), None)
