"""The stream of pages: any of them by seed and number, without the ones before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from PIL import Image

from ...errors import UsageError
from ..annotations import Region
from .fonts import FontLibrary, load_fonts
from .kinds import KINDS
from .layout import Glyph, Layout
from .paint import PAPERS, paint, scan
from .request import PageRequest
from .seeds import stream

DEFAULT_SIZE = 1024


@dataclass(frozen=True)
class SyntheticPage:
    """A drawn page and the truth about it; boxes are (x1, y1, x2, y2) in its pixels."""

    image: Image.Image
    kind: str
    layout: Layout = field(repr=False)
    lang: str = "en"

    @property
    def text(self) -> str:
        """What is written on it, line for line, in reading order."""
        return self.layout.text

    @property
    def markdown(self) -> str:
        """The same with its structure: headings, paragraphs, lists, tables as HTML."""
        return self.layout.markdown

    @property
    def regions(self) -> tuple[Region, ...]:
        """One region a line; their texts stand in `text` in this order."""
        return self.layout.regions()

    @cached_property
    def glyphs(self) -> tuple[Glyph, ...]:
        """Every visible character with the box of its ink."""
        runs = (run for line in self.layout.lines for run in line.runs)
        return tuple(glyph for run in runs for glyph in run.glyphs())


def lay_out_page(
    seed: int,
    index: int,
    kind: str,
    *,
    page: int = 1,
    size: int = DEFAULT_SIZE,
    max_characters: int | None = None,
    fonts: FontLibrary | None = None,
    plain: bool = False,
    spacing: float = 0.0,
) -> Layout:
    """Text and places of page number `page` of document number `index`, without pixels.

    `size` is the longer side of a full page in pixels; small kinds (`lines`, `receipts`) take less.
    `plain` pages are black, in type of one size. With `spacing` their letters stand apart by up to
    so many type sizes.

    Raises:
        UsageError: a kind that does not exist, or cannot be drawn so small.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of page {kind!r}; known: {', '.join(KINDS)}")
    if size < KINDS[kind].smallest_size:
        smallest = KINDS[kind].smallest_size
        raise UsageError(f"pages of kind {kind} need a size of {smallest} pixels, got {size}")
    request = PageRequest(
        document_rng=stream(seed, index, kind, "document"),
        rng=stream(seed, index, kind, "page", page),
        fonts=fonts or load_fonts(),
        size=size,
        page=page,
        max_characters=max_characters,
        plain=plain,
        spacing=spacing,
    )
    return KINDS[kind].lay_out(request)


def draw_page(
    seed: int,
    index: int,
    kind: str,
    *,
    page: int = 1,
    size: int = DEFAULT_SIZE,
    max_characters: int | None = None,
    fonts: FontLibrary | None = None,
    plain: bool = False,
    spacing: float = 0.0,
    noise: bool = True,
) -> SyntheticPage:
    """Page number `page` of document number `index`, drawn; arguments as for `lay_out_page`.

    The same arguments give the same pixels; `noise=False` leaves out paper and scanner, as `plain`
    does.
    """
    layout = lay_out_page(
        seed,
        index,
        kind,
        page=page,
        size=size,
        max_characters=max_characters,
        fonts=fonts,
        plain=plain,
        spacing=spacing,
    )
    if plain or not noise:
        return SyntheticPage(paint(layout), kind, layout)
    paper = stream(seed, index, kind, "paper").choice(PAPERS)
    image = scan(paint(layout, paper), stream(seed, index, kind, "scan", page))
    return SyntheticPage(image, kind, layout)


def sample_texts(seed: int, count: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[str]:
    """`count` texts as they stand on pages of all kinds in turn, plain or as Markdown."""
    for index in range(count):
        layout = lay_out_page(seed, index, kinds[index % len(kinds)])
        as_markdown = stream(seed, index, "markdown").random() < 0.5
        yield layout.markdown if as_markdown else layout.text
