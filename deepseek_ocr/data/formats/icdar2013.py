"""`icdar2013`: tables in PDFs, as in the table competition of ICDAR 2013.

`X.pdf` with `X-str.xml`, which holds the cells, and maybe `X-reg.xml`, which places the tables.

A sample is the tables of a page as HTML; pages over which one table runs are one sample. Boxes are
in PDF points from the lower left. Rows and columns count from 0, in some files from 1.
https://roundtrippdf.com/en/data-extraction/dataset-format/
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..problems import Problem
from ..truth.html_tables import MAX_PLACES, table_html
from ..truth.structures import Cell, Table
from ._blocks import box_around_all
from ._detection import Detection
from ._page_files import PictureFinder
from ._reading_order import Box
from ._unusable import Unusable
from ._xml import Element, ElementError, number, read_xml, root_of

NAME = "icdar2013"
SUFFIXES = ("-str.xml",)
ROOT = "document"

LOOKED_AT = 20  # files
REGIONS_ENDING = "-reg.xml"

_LEFT_OUT = ("instruction",)  # the PDF's drawing commands


def detect(folder: DatasetFolder) -> Detection | None:
    files = folder.with_suffix(*SUFFIXES)
    if not any(root_of(folder.path(file)) == ROOT for file in files[:LOOKED_AT]):
        return None
    pdfs = {pdf[: -len(".pdf")] for pdf in folder.with_suffix(".pdf")}
    num_good = sum(_stem(file) in pdfs for file in files)
    if not num_good:
        return None
    return Detection(
        score=0.999 * num_good / len(files),
        reason=f"{num_good} of {len(files)} files -str.xml lie beside their PDF",
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample for all tables of a page."""
    finder = PictureFinder(folder)
    for file in folder.with_suffix(*SUFFIXES):
        root = read_xml(folder.path(file), file, ROOT, _LEFT_OUT)
        if isinstance(root, Problem):
            yield root
        elif root is None:
            reason = "no table structure; expected <document> with tables, regions and cells"
            yield Problem(kind="no text", source=f"{file}:1", reason=reason)
        else:
            yield from _samples(root, file, folder, finder)
    yield from _unread(folder)


def _unread(folder: DatasetFolder) -> Iterator[Problem]:
    """Places of tables without their cells."""
    for file in folder.with_suffix(REGIONS_ENDING):
        structure = file[: -len(REGIONS_ENDING)] + SUFFIXES[0]
        if structure not in folder.names:
            reason = f"no {structure}, which would tell the cells; add it or remove this file"
            yield Problem(kind="no text", source=f"{file}:1", reason=reason)


def _stem(file: str) -> str:
    return file[: -len(SUFFIXES[0])]


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A table, the line it begins on, and its part on each page: its box, if known."""

    table: Table
    line: int
    parts: tuple[tuple[int, Box | None], ...]

    @property
    def pages(self) -> list[int]:
        return [page for page, _ in self.parts]


def _samples(
    root: Element, file: str, folder: DatasetFolder, finder: PictureFinder
) -> Iterator[Annotation | Problem]:
    regions_file = _stem(file) + REGIONS_ENDING
    places = _places(folder, regions_file)
    if isinstance(places, Problem):
        yield dataclasses.replace(places, of_row=False)  # tables without boxes are samples too
        places = {}
    try:
        pdf = finder.find(file, _stem(file).rpartition("/")[2] + ".pdf")
        tables = _tables(root, places)
    except Unusable as error:
        yield Problem(kind=error.kind, source=f"{file}:{root.line}", reason=str(error))
        return
    except ElementError as error:
        yield Problem(kind="bad value", source=f"{file}:{error.line}", reason=str(error))
        return
    if not tables:
        reason = "no <table> in it; expected one with regions and cells"
        yield Problem(kind="no text", source=f"{file}:{root.line}", reason=reason)
    for group in _sharing_pages(tables):
        pages = sorted({page for placed in group for page in placed.pages})
        written = [table_html(placed.table) for placed in group]
        yield Annotation(
            id="",
            images=tuple(f"{pdf}#page={page}" for page in pages),
            prompt="",
            text="\n\n".join(written),
            regions=tuple(
                Region(label="table", box=box, text=markup, image=pages.index(page))
                for placed, markup in zip(group, written, strict=True)
                for page, box in placed.parts
                if box is not None
            ),
            box_frame="points",
            group=pdf[: -len(".pdf")],  # `eu-001` is no page of `eu`
            source=f"{file}:{group[0].line}",
            structure=tuple(placed.table for placed in group),
            also_read=(regions_file,) if regions_file in folder.names else (),
        )


def _sharing_pages(tables: Sequence[_Placed]) -> list[list[_Placed]]:
    """The tables in groups: those on one page, and what runs on over its end, belong together."""
    group_of: dict[int, list[_Placed]] = {}  # page -> the tables on it and on pages joined to it
    for table in tables:
        touched = {id(group_of[page]): group_of[page] for page in table.pages if page in group_of}
        merged = max(touched.values(), key=len, default=[])
        for group in touched.values():
            if group is not merged:
                merged.extend(group)
                group_of |= {page: merged for other in group for page in other.pages}
        merged.append(table)
        group_of |= dict.fromkeys(table.pages, merged)
    groups = {id(group): group for _, group in sorted(group_of.items())}
    return [sorted(group, key=lambda table: table.line) for group in groups.values()]


def _places(
    folder: DatasetFolder, file: str
) -> Problem | Mapping[tuple[str, str], tuple[int, Box]]:
    """Table and region -> page and box, as the file of regions tells them."""
    if file not in folder.names:
        return {}
    root = read_xml(folder.path(file), file, ROOT, _LEFT_OUT)
    if isinstance(root, Problem):
        return root
    found: dict[tuple[str, str], tuple[int, Box]] = {}
    try:
        for table in root.all("table") if root is not None else ():
            for region in table.all("region"):
                box = box_around_all(_boxes(region))
                if box is not None:
                    found[table.get("id"), region.get("id")] = (_page(region), box)
    except ElementError as error:
        return Problem(kind="bad value", source=f"{file}:{error.line}", reason=str(error))
    return found


def _tables(root: Element, places: Mapping[tuple[str, str], tuple[int, Box]]) -> list[_Placed]:
    tables = []
    num_places = 0
    for element in root.all("table"):
        tables.append(_table(element, places))
        num_places += _num_places(tables[-1].table.cells)
        if num_places > MAX_PLACES:
            reason = f"tables of more than {MAX_PLACES} places; expected those of a document"
            raise ElementError(element.line, reason)
    return tables


def _table(element: Element, places: Mapping[tuple[str, str], tuple[int, Box]]) -> _Placed:
    """A table with its regions joined; its first row and column become 0."""
    cells: list[Cell] = []
    covered: set[tuple[int, int]] = set()
    parts: dict[int, Box | None] = {}
    for region in element.all("region"):
        page = _page(region)
        told_page, told_box = places.get((element.get("id"), region.get("id")), (0, None))
        box = told_box if told_page == page else None
        box = box or box_around_all(b for cell in region.all("cell") for b in _boxes(cell))
        parts[page] = box_around_all([parts.get(page), box])
        cells.extend(_cells(region, covered))
        if _num_places(cells) > MAX_PLACES:
            raise ElementError(region.line, f"a table of more than {MAX_PLACES} places")
    if not cells:
        raise ElementError(element.line, "a table without cells; expected <cell> in its <region>")
    first_row = min(cell.row for cell in cells)
    first_column = min(cell.column for cell in cells)
    moved = (
        dataclasses.replace(cell, row=cell.row - first_row, column=cell.column - first_column)
        for cell in sorted(cells, key=lambda cell: (cell.row, cell.column))
    )
    return _Placed(
        table=Table(cells=tuple(moved)), line=element.line, parts=tuple(sorted(parts.items()))
    )


def _cells(region: Element, covered: set[tuple[int, int]]) -> list[Cell]:
    """The cells of a region, below those of the regions before it, whose places are `covered`."""
    increments = [_whole(region, f"{axis}-increment", 0) for axis in ("row", "col")]
    cells = [(element, _cell(element, *increments)) for element in region.all("cell")]
    if sum(cell.row_span * cell.column_span for _, cell in cells) > MAX_PLACES:
        raise ElementError(region.line, f"cells over more than {MAX_PLACES} places")
    own: set[tuple[int, int]] = set()
    for element, cell in cells:
        for place in _covered_by(cell):
            if place in own:
                row, column = place
                reason = f"covers row {row}, column {column}, as a cell before it does"
                raise ElementError(element.line, f"<cell>: {reason}")
            own.add(place)
    down = 0
    if own & covered:  # counted anew in each region
        down = 1 + max(row for row, _ in covered) - min(row for row, _ in own)
    covered |= {(row + down, column) for row, column in own}
    return [dataclasses.replace(cell, row=cell.row + down) for _, cell in cells]


def _cell(element: Element, row_increment: int, column_increment: int) -> Cell:
    row, column = _whole(element, "start-row"), _whole(element, "start-col")
    last_row, last_column = _whole(element, "end-row", row), _whole(element, "end-col", column)
    if last_row < row or last_column < column:
        reason = f"ends in row {last_row}, column {last_column}, before it begins"
        raise ElementError(element.line, f"<cell>: {reason} ({row}, {column})")
    return Cell(
        row=row + row_increment,
        column=column + column_increment,
        text="".join(content.text for content in element.all("content")).strip(),
        row_span=last_row - row + 1,
        column_span=last_column - column + 1,
    )


def _num_places(cells: Sequence[Cell]) -> int:
    """Rows times columns of the table that cells make, whether all are covered or not."""
    num_rows = max((cell.row + cell.row_span for cell in cells), default=0)
    num_columns = max((cell.column + cell.column_span for cell in cells), default=0)
    return num_rows * num_columns


def _covered_by(cell: Cell) -> Iterator[tuple[int, int]]:
    for row in range(cell.row, cell.row + cell.row_span):
        for column in range(cell.column, cell.column + cell.column_span):
            yield row, column


def _page(region: Element) -> int:
    page = _whole(region, "page")
    if page < 1:
        raise ElementError(region.line, "<region>: page 0; pages count from 1")
    return page


def _whole(element: Element, attribute: str, default: int | None = None) -> int:
    written = element.get(attribute)
    if not written and default is not None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", written):
        found = f"{written[:40]!r}" if written else "nothing"
        reason = f"expected a whole number as {attribute}, found {found}"
        raise ElementError(element.line, f"<{element.name}>: {reason}")
    return int(written)


def _boxes(element: Element) -> Iterator[Box]:
    for box in element.all("bounding-box"):
        x1, y1, x2, y2 = (number(box, side) for side in ("x1", "y1", "x2", "y2"))
        yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
