"""The second pass over a dataset: each row made complete, and everything wrong with it told.

Complete means: all pages named one by one, a prompt with one `<image>` for each page, boxes in
pixels of the page, and with `--target grounding` these as the text.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import PageError
from ...pictures import MAX_PIXELS
from ..annotations import Annotation, find_faults
from ..dataset_config import Target
from ..inspection.verification import PageReport, PictureReports
from ..pages.loading import TARGET_SIDE
from ..pages.pdf import opened_pdf
from ..pages.references import Reference, parse_reference
from ..problems import Problem
from ..prompts import for_images, typed_prompt, with_image_tokens
from ..truth.grounding import fill_box_marks, render_grounding
from .boxes import box_faults, in_pixels

MIN_SHORT_SIDE, MIN_LONG_SIDE = 3, 8
"""Pixels; a smaller picture shows no letter. (A cut-out `l` may be three pixels wide.)"""


class Judge:
    """Completes and judges rows, one at a time, by what is known of all pictures."""

    def __init__(
        self,
        data_root: Path,
        pictures: PictureReports,
        *,
        prompt: str,
        target: Target = "auto",
        max_pixels: int = MAX_PIXELS,
    ):
        self.data_root, self.pictures, self.max_pixels = data_root, pictures, max_pixels
        self.prompt, self.target = typed_prompt(prompt), target
        self._pixels_per_point = functools.lru_cache(1024)(self._measured)

    def judged(self, row: Annotation) -> tuple[Annotation, list[PageReport], list[Problem]]:
        """The complete row, the reports of its pages in their order, and all that is wrong."""
        row, pages = self._completed(row)
        found: list[Problem] = []
        pages_open = pages and not any(page.fault for page in pages)
        if row.has_box_marks and pages_open and not box_faults(row, pages):
            row = fill_box_marks(row, [(page.width, page.height) for page in pages])
        if self.target == "grounding" and row.regions and pages_open:  # without any: told already
            rendered = render_grounding(row, pages[0].width, pages[0].height)
            if isinstance(rendered, Problem):
                found.append(rendered)
            else:
                row = rendered
        found.extend(self._faults(row, pages))
        return row, pages, found

    def _completed(self, row: Annotation) -> tuple[Annotation, list[PageReport]]:
        images = tuple(page for reference in row.images for page in self._pages(reference))
        if row.prompt.strip():
            prompt = with_image_tokens(row.prompt, len(images))
        else:
            prompt = for_images(self.prompt, len(images))
        if images != row.images or prompt != row.prompt:
            row = dataclasses.replace(row, images=images, prompt=prompt)
        pages = [self._report(reference) for reference in images]
        return in_pixels(row, pages, self._pixels_per_point), pages

    def _faults(self, row: Annotation, pages: Sequence[PageReport]) -> Iterator[Problem]:
        found = list(find_faults(row))
        for reference, page in dict(zip(row.images, pages, strict=True)).items():
            found.extend(page_faults(reference, page))
        found.extend(box_faults(row, pages))
        for kind, reason in found:
            yield Problem(kind=kind, source=row.source or "", reason=reason)

    def _pages(self, reference: str) -> list[str]:
        """`f.pdf#page=*` -> its pages one by one; itself where they cannot be counted."""
        if "page=*" not in reference or (named := _parsed(reference)) is None or not named.is_whole:
            return [reference]
        numbers = range(1, self.pictures.file(named.path).num_pages + 1)
        pages = [dataclasses.replace(named, is_whole=False, page=number) for number in numbers]
        return [str(page) for page in pages] or [reference]

    def _report(self, reference: str) -> PageReport:
        return NO_PAGE if _parsed(reference) is None else self.pictures.page(reference)

    def _measured(self, reference: str) -> float:
        """Pixels a point of a PDF page, which was opened before without harm."""
        named = parse_reference(reference)
        with opened_pdf(self.data_root / named.path, named.path) as pages:
            return pages.scale(named.page or 1, TARGET_SIDE, self.max_pixels)


NO_PAGE = PageReport(fault="no reference of a page")
"""Stands for the page of a bad reference, which `find_faults` tells."""


def page_faults(reference: str, page: PageReport) -> Iterator[tuple[str, str]]:
    """(kind, reason) of why a page cannot be learned from."""
    short, long = sorted((page.width, page.height))
    if page is NO_PAGE:
        return
    if page.fault:
        yield "unreadable picture", page.fault
    elif short < MIN_SHORT_SIDE or long < MIN_LONG_SIDE:
        reason = (
            f"{reference}: the picture is {page.width} x {page.height} pixels; expected at least "
            f"{MIN_SHORT_SIDE} x {MIN_LONG_SIDE}"
        )
        yield "tiny picture", reason


def _parsed(reference: str) -> Reference | None:
    try:
        return parse_reference(reference)
    except PageError:
        return None
