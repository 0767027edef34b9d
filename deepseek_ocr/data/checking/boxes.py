"""Boxes of regions: brought into pixels of their page, and told where they leave it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..annotations import Annotation, Region
from ..inspection.verification import PageReport
from ..pages.loading import is_pdf

Box = tuple[float, float, float, float]

TOLERANCE = 1.0  # pixels beyond the page's edge, for boxes that count their last pixel or round up


def in_pixels(
    row: Annotation, pages: Sequence[PageReport], pixels_per_point: Callable[[str], float]
) -> Annotation:
    """The row with all boxes in pixels of its pages; `pages` in the order of `images`.

    `pixels_per_point` tells the scale at which a page of a PDF is drawn; boxes in points of a
    picture stay as they are, which `box_faults` tells.
    """
    if row.box_frame == "pixels":
        return row
    if row.box_frame == "points" and not all(map(is_pdf, row.images)):
        return row

    def converted(region: Region) -> Region:
        page = _page_of(region, pages)
        if page is None:
            return region
        if row.box_frame == "points":
            box = _from_points(region.box, page, pixels_per_point(row.images[region.image]))
        else:
            box = _from_shares(region.box, page, 1000 if row.box_frame == "thousandths" else 1)
        return dataclasses.replace(region, box=_rounded(box))

    regions = tuple(converted(region) for region in row.regions)
    return dataclasses.replace(row, regions=regions, box_frame="pixels")


def box_faults(row: Annotation, pages: Sequence[PageReport]) -> list[tuple[str, str]]:
    """(kind, reason) of each box, in pixels, that leaves its page."""
    found = []
    if row.box_frame != "pixels" and row.regions:
        reason = f"boxes in {row.box_frame} of a picture; expected a page of a PDF"
        return [("region", reason)]
    for region in row.regions:
        page = _page_of(region, pages)
        if page is None:
            continue
        x1, y1, x2, y2 = region.box
        inside = (
            -TOLERANCE <= x1 <= x2 <= page.width + TOLERANCE
            and -TOLERANCE <= y1 <= y2 <= page.height + TOLERANCE
        )
        if not inside:
            box = ", ".join(f"{side:g}" for side in region.box)
            reason = (
                f"the box [{box}] leaves the page {row.images[region.image]}, which is "
                f"{page.width} x {page.height} pixels; mend the box or take it out"
            )
            found.append(("box outside the page", reason))
    return found


def _page_of(region: Region, pages: Sequence[PageReport]) -> PageReport | None:
    """The page a region lies on, None if it cannot be told or opened: that is told elsewhere."""
    if not 0 <= region.image < len(pages):
        return None
    page = pages[region.image]
    return None if page.fault else page


def _rounded(box: Box) -> Box:
    """To thousandths of a pixel: 121 of 1318 pixels, as a share and back, is 121 again."""
    x1, y1, x2, y2 = (round(side, 3) for side in box)
    return x1, y1, x2, y2


def _from_points(box: Box, page: PageReport, scale: float) -> Box:
    x1, low, x2, high = box  # counted from the lower left corner
    return x1 * scale, page.height - high * scale, x2 * scale, page.height - low * scale


def _from_shares(box: Box, page: PageReport, whole: int) -> Box:
    x1, y1, x2, y2 = box
    across, down = page.width / whole, page.height / whole
    return x1 * across, y1 * down, x2 * across, y2 * down
