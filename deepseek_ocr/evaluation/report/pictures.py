"""Pages as embedded JPEGs, with the boxes of the truth and of the answer drawn over them."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from ...data.truth.grounding import parse_grounding
from ..loading import reason_of
from .differences import plain, visible
from .records import Record

MAX_SIDE = 1000  # pixels; text of a page stays readable, a picture stays about 100 kB
JPEG_QUALITY = 70
NUM_PICTURES_SHOWN = 4
MAX_BOXES = 300  # of one page and side; more would hide it
WIDE = 2.2  # width / height of a line rather than a page: it gets the whole width

OpenPage = Callable[[str], Image.Image]


class Pictures:
    """The pictures of rows as HTML, until `budget` bytes are used up."""

    def __init__(self, open_page: OpenPage, budget: int):
        self.open_page = open_page
        self.left = budget
        self.num_left_out = 0

    def of(self, record: Record) -> tuple[str, bool]:
        """The row's pages as HTML, and whether they are lines that want the whole width."""
        shown = record.images[:NUM_PICTURES_SHOWN]
        found = [self._picture(record, place) for place in range(len(shown))]
        parts = [html for html, _ in found]
        more = len(record.images) - NUM_PICTURES_SHOWN
        if more > 0:
            parts.append(f"<div class=missing>{more} more of this row not shown</div>")
        shapes = [shape for _, shape in found if shape]
        wide = bool(shapes) and min(shapes) > WIDE
        return "".join(parts) or "<div class=missing>no picture: text only</div>", wide

    def _picture(self, record: Record, place: int) -> tuple[str, float]:
        """A page as an embedded JPEG that a click or the space bar enlarges; width / height."""
        reference = record.images[place]
        if self.left <= 0:
            self.num_left_out += 1
            return f"<div class=missing>{visible(reference)}: not embedded</div>", 0.0
        try:
            page = self.open_page(reference)
            source = jpeg_data_uri(page)
        except Exception as error:  # noqa: BLE001  the report shows what can be shown, and why not
            reason = f"{visible(reference)}: {visible(reason_of(error))}"
            return f"<div class=missing>{reason}</div>", 0.0
        self.left -= len(source)
        name, (width, height) = plain(reference), page.size
        boxes = _boxes(record, place, width, height)
        return (
            f'<label title="{name}"><input type=checkbox aria-label="enlarge {name}">'
            f'<img alt="{name}" src="{source}">{boxes}</label>',
            width / max(height, 1),
        )


def jpeg_data_uri(page: Image.Image) -> str:
    """The page, at most `MAX_SIDE` pixels long, as a `data:` address."""
    small = page.convert("RGB")  # a copy: `thumbnail` works in place
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _boxes(record: Record, place: int, width: int, height: int) -> str:
    """The boxes of a page as an SVG of its pixels; nothing where there are none."""
    truth = [
        (str(region.get("label", "")), box)
        for region in record.row.get("regions") or ()
        if region.get("image", 0) == place and (box := _four_numbers(region.get("box")))
    ]
    answer: Iterable[tuple[str, Sequence[float]]] = ()
    if len(record.images) == 1:  # the model's boxes do not say which picture they lie in
        found = parse_grounding(record.answer.text, width, height)
        answer = [(region.label, region.box) for region in found]
    drawn = "".join(
        itertools.chain(
            _drawn("truth", truth, width, height), _drawn("answer", answer, width, height)
        )
    )
    if not drawn:
        return ""
    return f'<svg class=boxes viewBox="0 0 {width} {height}" aria-hidden=true>{drawn}</svg>'


def _drawn(
    whose: str, boxes: Iterable[tuple[str, Sequence[float]]], width: int, height: int
) -> Iterator[str]:
    size = max(width, height) / 60
    for label, (x1, y1, x2, y2) in itertools.islice(boxes, MAX_BOXES):
        place = (
            f'x="{x1:.1f}" y="{y1:.1f}" width="{max(x2 - x1, 1):.1f}" '
            f'height="{max(y2 - y1, 1):.1f}"'
        )
        # beside the box's corner inside the page: the truth's names left, the answer's right
        at, anchor = (x1, "start") if whose == "truth" else (x2, "end")
        name = visible_label(label)
        yield (
            f'<g class="{whose}"><rect {place}><title>{whose}: {name}</title></rect>'
            f'<text x="{at:.1f}" y="{max(y1 - size / 4, size):.1f}" font-size="{size:.1f}" '
            f'text-anchor="{anchor}">{name}</text></g>'
        )


def visible_label(label: str) -> str:
    """A label for SVG, where no span can mark what is unseen."""
    return plain(label if len(label) <= 40 else label[:39] + "…")


def _four_numbers(box: Any) -> tuple[float, float, float, float] | None:
    """A region's box, where it is one."""
    if isinstance(box, Mapping) or not isinstance(box, Sequence) or len(box) != 4:
        return None
    if not all(isinstance(value, int | float) and abs(value) < 1e7 for value in box):
        return None
    x1, y1, x2, y2 = box
    return (x1, y1, x2, y2)
