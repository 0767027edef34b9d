"""`page_xml`: pages transcribed in PAGE-XML (OCR-D, Transkribus, Aletheia, eScriptorium).

The file order of regions and lines means nothing: regions follow `<ReadingOrder>`, lines their
height on the page. A region repeats the text of its lines and a line that of its words: one level
is taken, lines where there are any. https://github.com/PRImA-Research-Lab/PAGE-XML
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..problems import Problem
from ._blocks import (
    Block,
    Line,
    one_line,
    page_text,
    regions_of,
    structure_of,
    without_blank_lines,
)
from ._detection import Detection
from ._page_files import PictureFinder, each_picture_once
from ._positions import by_position
from ._reading_order import Box, Piece, reading_order
from ._unusable import Unusable
from ._xml import Element, ElementError, box_of_points, detect_pages, number, read_xml

NAME = "page_xml"
SUFFIXES = (".xml",)
ROOT = "PcGts"

_SIDES = ("imageWidth", "imageHeight")
_DIRECTIONS = ("readingDirection", "textLineOrder")  # hold for what is inside, too

_CUSTOM_INDEX = re.compile(r"readingOrder\s*\{\s*index\s*:\s*(\d{1,6})")  # as Transkribus writes it
_CUSTOM_TYPE = re.compile(r"structure\s*\{[^}]*type\s*:\s*([\w-]+)")


def detect(folder: DatasetFolder) -> Detection | None:
    return detect_pages(folder, folder.with_suffix(*SUFFIXES), ROOT, "PAGE-XML", 0.998)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a page."""
    finder = PictureFinder(folder)
    copies: set[str] = set()
    yield from each_picture_once(
        folder, finder, _pages(folder, finder, copies), expected="PAGE-XML", other_pictures=copies
    )


def _pages(
    folder: DatasetFolder, finder: PictureFinder, copies: set[str]
) -> Iterator[Annotation | Problem]:
    for file in folder.with_suffix(*SUFFIXES):
        root = read_xml(folder.path(file), file, ROOT)
        if isinstance(root, Problem):
            yield root
        for page in root.all("Page") if isinstance(root, Element) else ():
            _hand_down(page)
            copies.update(_copies(page, file, finder))
            yield _sample(page, file, finder)


def _hand_down(parent: Element) -> None:
    """Give regions and lines the directions of what they lie in, unless they have their own."""
    directions = {name: parent.get(name) for name in _DIRECTIONS if parent.get(name)}
    for child in parent.children:
        if child.name == "TextLine" or child.name.endswith("Region"):
            child.attributes = directions | child.attributes
            _hand_down(child)


def _copies(page: Element, file: str, finder: PictureFinder) -> Iterator[str]:
    """The same page once more, such as in black and white."""
    for copy in page.below("AlternativeImage"):
        try:
            yield finder.find(file, copy.get("filename"))
        except Unusable:
            continue  # only the page itself is needed


def _sample(page: Element, file: str, finder: PictureFinder) -> Annotation | Problem:
    source = f"{file}:{page.line}"
    try:
        picture = finder.find(file, page.get("imageFilename"))
        blocks = without_blank_lines(_block(region) for region in _ordered_regions(page))
        sides = [number(page, side) if page.get(side) else 0 for side in _SIDES]
    except Unusable as error:
        return Problem(kind=error.kind, source=source, reason=str(error))
    except ElementError as error:
        return Problem(kind="bad value", source=f"{file}:{error.line}", reason=str(error))
    return Annotation(
        id="",
        images=(picture,),
        prompt="",
        text=page_text(blocks),
        regions=regions_of(blocks, *sides),
        box_frame="shares" if all(sides) else "pixels",
        lang=_language(page),
        source=source,
        attributes={"type": page.get("type")} if page.get("type") else {},
        structure=structure_of(blocks),
    )


def _language(page: Element) -> str | None:
    found = {page.get("primaryLanguage")} - {""}
    found = found or {region.get("primaryLanguage") for region in page.below("TextRegion")}
    return next(iter(found)) or None if len(found) == 1 else None


def _ordered_regions(page: Element) -> list[Element]:
    """The regions with text: those in the reading order, then the others by their position; each
    with the regions inside it that the reading order leaves out."""
    named = {region.get("id"): region for region in _all_regions(page)}
    order = page.first("ReadingOrder")
    references = list(_references(order)) if order is not None else []
    elsewhere = set(references)
    done: set[int] = set()
    found: list[Element] = []

    def add(region: Element) -> None:
        if id(region) in done:
            return
        done.add(id(region))
        if region.name == "TextRegion":
            found.append(region)
        for inner in _by_position(region):
            if inner.get("id") not in elsewhere:
                add(inner)

    for reference in references:
        if reference in named:
            add(named[reference])
    for region in _by_position(page):
        add(region)
    return found


def _all_regions(parent: Element) -> Iterator[Element]:
    for region in parent.children:
        if region.name.endswith("Region"):
            yield region
            yield from _all_regions(region)


def _references(group: Element) -> Iterator[str]:
    """The regions of a group, those of its inner groups among them, by index where one is told."""
    members = sorted(group.children, key=_index)  # stable: without indices as in the file
    for member in members:
        if member.get("regionRef"):
            yield member.get("regionRef")
        yield from _references(member)


def _by_position(parent: Element) -> list[Element]:
    """The regions right inside a page or a region, in reading order."""
    regions = [child for child in parent.children if child.name.endswith("Region")]
    numbered = _by_custom_index(regions)
    if numbered is not None:
        return numbered
    boxes = [_box(region) for region in regions]
    known = [(region, box) for region, box in zip(regions, boxes, strict=True) if box is not None]
    places = by_position([box for _, box in known], _is_right_to_left(parent))
    unknown = [region for region, box in zip(regions, boxes, strict=True) if box is None]
    return [*(known[place][0] for place in places), *unknown]


def _block(region: Element) -> Block:
    lines = _ordered_lines(region)
    label = region.get("type") or _custom(region, _CUSTOM_TYPE)
    if not any(line.text.strip() for line in lines):
        lines = [Line(_equivalent(region).strip("\r\n"), _box(region))]
    return Block(lines=lines, label=label)


def _ordered_lines(region: Element) -> list[Line]:
    elements = list(region.all("TextLine"))
    numbered = _by_custom_index(elements)
    lines = [
        Line(
            one_line(_line_text(element)),
            _box(element),
            _custom(element, _CUSTOM_TYPE),
        )
        for element in numbered or elements
    ]
    return lines if numbered else _by_height(lines, region)


def _by_height(lines: Sequence[Line], region: Element) -> list[Line]:
    """The lines in the order in which the region says they follow: from top to bottom, if not at
    all. In file order where one has no box."""
    order = region.get("textLineOrder")
    boxed = [(line, line.box) for line in lines if line.box is not None]
    if len(boxed) < len(lines):
        return list(lines)
    if order in ("left-to-right", "right-to-left"):  # lines of vertical script
        sign = 1 if order == "left-to-right" else -1
        return [line for line, box in sorted(boxed, key=lambda pair: sign * _middle(pair[1]))]
    rows = reading_order(Piece(str(place), box) for place, (_, box) in enumerate(boxed))
    sign = -1 if _is_right_to_left(region) else 1
    found = [[lines[int(piece.text)] for piece in row[::sign]] for row in rows]
    return [line for row in found[:: -1 if order == "bottom-to-top" else 1] for line in row]


def _middle(box: Box) -> float:
    return (box[0] + box[2]) / 2


def _is_right_to_left(element: Element) -> bool:
    return element.get("readingDirection") == "right-to-left"


def _line_text(line: Element) -> str:
    text = _equivalent(line)
    if text.strip():
        return text
    words = [
        (_equivalent(word) or "".join(map(_equivalent, word.all("Glyph"))), _box(word))
        for word in line.all("Word")
    ]
    if all(box is not None for _, box in words):
        sign = -1 if _is_right_to_left(line) else 1
        words.sort(key=lambda pair: sign * _middle(pair[1]) if pair[1] else 0)
    return " ".join(text for text, _ in words if text)


def _equivalent(element: Element) -> str:
    """The text of an element itself: that of the lowest index."""
    equivalents = sorted(element.all("TextEquiv"), key=_index)
    for kind in ("Unicode", "PlainText"):
        for equivalent in equivalents[:1]:
            text = equivalent.first(kind)
            if text is not None and text.text:
                return text.text
    return ""


def _index(element: Element) -> int:
    """Without an index an element comes first."""
    written = element.get("index")
    return int(written) if re.fullmatch(r"-?\d{1,9}", written) else -1


def _by_custom_index(elements: Sequence[Element]) -> list[Element] | None:
    """In the order that their attribute `custom` tells, if it tells one of them all."""
    indices = [_custom(element, _CUSTOM_INDEX) for element in elements]
    if not elements or not all(indices) or len(set(indices)) < len(indices):
        return None
    pairs = sorted(zip(indices, range(len(elements)), strict=True), key=lambda pair: int(pair[0]))
    return [elements[place] for _, place in pairs]


def _custom(element: Element, pattern: re.Pattern[str]) -> str:
    match = pattern.search(element.get("custom"))
    return match[1] if match else ""


def _box(element: Element) -> Box | None:
    """The upright box around an element, in pixels."""
    coords = element.first("Coords")
    if coords is None:
        return None
    points = list(coords.all("Point"))  # before 2013 each point was an element
    if points:
        xs = [number(point, "x") for point in points]
        ys = [number(point, "y") for point in points]
        return min(xs), min(ys), max(xs), max(ys)
    return box_of_points(coords, "points") if coords.get("points") else None
