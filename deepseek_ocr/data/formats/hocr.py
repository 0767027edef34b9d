"""`hocr`: pages that OCR tools write as HTML (Tesseract, OCRopus, ABBYY), corrected or not.

Read as HTML, which need not be well-formed XML; the order of the file is the reading order, as the
format says. http://kba.github.io/hocr-spec/1.2/
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import opened, read_text
from ..problems import Problem
from ..truth.html_tokens import Tag, html_tokens
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

NAME = "hocr"
SUFFIXES = (".hocr", ".html", ".htm", ".xhtml")

LOOKED_AT = 20  # files
HEAD_BYTES = 1 << 16
MAX_DEPTH = 256

_PAGE = re.compile(rb"class\s*=\s*[\"']?[^\"'>]*\bocr_page\b")
_LINE_CLASSES = frozenset(
    {"ocr_line", "ocrx_line", "ocr_header", "ocr_footer", "ocr_caption", "ocr_textfloat"}
)
_BLOCK_CLASSES = ("ocr_par", "ocr_carea", "ocrx_block")
_WORD_CLASSES = ("ocrx_word", "ocr_word")
_TITLE_PARTS = re.compile(r""""[^"]*"|'[^']*'|[^;"']+|.""")
_VOID = re.compile("area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr")
_NUMBER = r"-?\d+(?:\.\d+)?"
_BOX = re.compile(rf"\s*({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*")


def detect(folder: DatasetFolder) -> Detection | None:
    files = folder.with_suffix(*SUFFIXES)
    looked_at = files[:: max(1, len(files) // LOOKED_AT)]
    num_good = sum(_looks_right(folder, file) for file in looked_at)
    if not num_good:
        return None
    num_files = round(len(files) * num_good / len(looked_at))
    share = min(1.0, num_files / len(folder.pictures)) if folder.pictures else 1.0
    return Detection(score=0.996 * share, reason=f"{num_files} files of hOCR")


def _looks_right(folder: DatasetFolder, file: str) -> bool:
    try:
        with opened(folder.path(file)) as page:
            return _PAGE.search(page.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a page; a file may hold several."""
    finder = PictureFinder(folder)
    yield from each_picture_once(folder, finder, _samples(folder, finder), expected="hOCR page")


def _samples(folder: DatasetFolder, finder: PictureFinder) -> Iterator[Annotation | Problem]:
    for file in folder.with_suffix(*SUFFIXES):
        content = read_text(folder.path(file), file)
        if isinstance(content, Problem):
            yield content
            continue
        if "\0" in content:
            reason = "a null character in the text; expected plain HTML"
            yield Problem(kind="bad value", source=f"{file}:1", reason=reason)
            continue
        yield from _samples_of(content, file, finder)


def _samples_of(content: str, file: str, finder: PictureFinder) -> Iterator[Annotation | Problem]:
    parser = _HocrParser()
    try:
        parser.parse(content)
    except _TooDeep as error:
        reason = f"elements nested more than {MAX_DEPTH} deep; expected a page's layout"
        yield Problem(kind="not valid HTML", source=f"{file}:{error}", reason=reason)
        return
    if not parser.pages and file.lower().endswith(".hocr"):  # other HTML is no part of the dataset
        reason = "no element of class ocr_page; expected hOCR"
        yield Problem(kind="no text", source=f"{file}:1", reason=reason)
    named = Counter(page.properties.get("image", "") for page in parser.pages)
    for place, page in enumerate(parser.pages):
        page.languages = page.languages or {parser.language}
        yield _sample(page, place, named, file, finder)


def _sample(
    page: _Page, place: int, named: Mapping[str, int], file: str, finder: PictureFinder
) -> Annotation | Problem:
    source = f"{file}:{page.line}"
    written = page.properties.get("image", "")
    numbered = page.properties.get("ppageno", "")
    number = int(numbered) + 1 if re.fullmatch(r"\d{1,9}", numbered) else place + 1
    try:
        picture = finder.find(file, written)
    except Unusable as error:
        return Problem(kind=error.kind, source=source, reason=str(error))
    blocks = without_blank_lines(Block(lines=lines) for lines in page.blocks)
    x1, y1, x2, y2 = _box(page.properties) or (0, 0, 0, 0)
    if (x1, y1) != (0, 0):  # the page is a part of a larger picture: the boxes are that picture's
        x2 = y2 = 0
    return Annotation(
        id="",
        images=(page_reference(picture, number, named[written]),),
        prompt="",
        text=page_text(blocks),
        regions=regions_of(blocks, x2, y2),
        box_frame="shares" if x2 and y2 else "pixels",
        lang=next(iter(page.languages)) or None if len(page.languages) == 1 else None,
        source=source,
        structure=structure_of(blocks),
    )


def _properties(title: str) -> dict[str, str]:
    """`image "a;b.png"; bbox 0 0 9 9` -> `{"image": "a;b.png", "bbox": "0 0 9 9"}`."""
    properties = [""]
    for part in _TITLE_PARTS.findall(title):
        if part == ";":
            properties.append("")
        else:
            properties[-1] += part
    pairs = (written.strip().partition(" ")[::2] for written in properties)
    return {name: value.strip().strip("\"'") for name, value in pairs if name}


def _box(properties: Mapping[str, str]) -> Box | None:
    match = _BOX.fullmatch(properties.get("bbox", ""))
    if match is None:
        return None
    x1, y1, x2, y2 = (float(side) for side in match.groups())
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@dataclasses.dataclass
class _Page:
    """What a page's title tells, the line it begins on, and what it holds."""

    line: int
    properties: dict[str, str]
    blocks: list[list[Line]] = dataclasses.field(default_factory=list)
    languages: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class _OpenLine:
    """A line that is being read; text outside its words counts where it has no words."""

    box: Box | None = None
    label: str = ""
    text: list[str] = dataclasses.field(default_factory=list)
    words: list[list[str]] = dataclasses.field(default_factory=list)
    boxes: list[Box | None] = dataclasses.field(default_factory=list)

    def closed(self) -> Line:
        words = (" ".join("".join(word).split()) for word in self.words)
        text = " ".join(word for word in words if word) or " ".join("".join(self.text).split())
        return Line(text, self.box or box_around_all(self.boxes), self.label)


class _TooDeep(Exception):
    """More elements inside each other than any page has; says the line."""


class _HocrParser:
    """Collects pages, blocks, lines and words; `language` is the whole file's."""

    def __init__(self) -> None:
        self.pages: list[_Page] = []
        self.language = ""
        self._open: list[tuple[str, str]] = []  # tag and class of elements that are not closed
        self._line: _OpenLine | None = None
        self._in_word = False

    def parse(self, markup: str) -> None:
        """Read a whole file."""
        for token in html_tokens(markup):
            if isinstance(token, str):
                self._text(token)
            elif token.is_end:
                self._end(token.name)
            elif token.name == "br":
                self._text(" ")  # in a line or a word, which have no lines of their own
            elif not _VOID.fullmatch(token.name):
                self._start(token)
                if token.is_empty:
                    self._end(token.name)
        self._end_line()

    def _start(self, tag: Tag) -> None:
        if tag.name == "p":  # ends the one before
            self._end("p")
        if len(self._open) == MAX_DEPTH:
            raise _TooDeep(tag.line)
        classes = tag.attributes.get("class", "").split()
        kind = next((name for name in classes if name.startswith("ocr")), "")
        self._open.append((tag.name, kind))
        properties = _properties(tag.attributes.get("title", ""))
        language = tag.attributes.get("lang") or tag.attributes.get("xml:lang", "")
        if kind == "ocr_page":
            self._end_line()
            self.pages.append(_Page(line=tag.line, properties=properties))
        elif self.pages:
            self._begin_part(kind, properties)
        if language and self.pages:
            self.pages[-1].languages.add(language)
        elif language and tag.name == "html":
            self.language = language

    def _end(self, name: str) -> None:
        if all(opened != name for opened, _ in self._open):
            return  # closes nothing
        while self._open:
            opened, kind = self._open.pop()
            if kind in _WORD_CLASSES:
                self._in_word = False
            elif kind in _LINE_CLASSES:
                self._end_line()
            elif kind in _BLOCK_CLASSES:
                self._begin_block()  # what follows is not of this one
            if opened == name:
                return

    def _text(self, text: str) -> None:
        if self._line is not None:
            (self._line.words[-1] if self._in_word else self._line.text).append(text)

    def _begin_part(self, kind: str, properties: Mapping[str, str]) -> None:
        if kind in _BLOCK_CLASSES:
            self._begin_block()
        elif kind in _LINE_CLASSES:
            self._end_line()
            label = kind.partition("_")[2]
            self._line = _OpenLine(_box(properties), "" if label == "line" else label)
        elif kind in _WORD_CLASSES:
            self._line = self._line or _OpenLine()  # a word outside all lines
            self._line.words.append([])
            self._line.boxes.append(_box(properties))
            self._in_word = True

    def _begin_block(self) -> None:
        self._end_line()
        if self.pages:
            self.pages[-1].blocks.append([])

    def _end_line(self) -> None:
        if self._line is not None:
            blocks = self.pages[-1].blocks or [[]]
            blocks[-1].append(self._line.closed())
            self.pages[-1].blocks = blocks
        self._line, self._in_word = None, False
