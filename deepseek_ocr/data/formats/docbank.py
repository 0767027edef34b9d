"""`docbank`: pages of scientific papers, `NAME_3_ori.jpg` with the words in `NAME_3.txt`.

A line of the text file is `word x0 y0 x1 y1 R G B font label` with tabs between, in thousandths of
the page's sides; `##LTFigure##` and `##LTLine##` stand for graphics. Words go from top to bottom
across the columns: lines and paragraphs are made anew from the boxes. Formulas are broken into
glyphs, and stay so. https://github.com/doc-analysis/DocBank
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from ..annotations import Annotation, Region
from ..folder import DatasetFolder
from ..json_files.rows import opened, read_text
from ..problems import Problem, without_annotation
from ._blocks import Block, box_around_all, page_text, structure_of
from ._detection import Detection
from ._page_files import PictureFinder
from ._unusable import Unusable
from ._words import Word, blocks_of_words

NAME = "docbank"
SUFFIXES = (".txt",)

LOOKED_AT = 20  # files
HEAD_BYTES = 1 << 12
MAX_WORDS = 10_000  # of a page
GRAPHICS = frozenset({"##LTFigure##", "##LTLine##", "##LTRect##", "##LTCurve##", "##LTImage##"})

_WORD = re.compile(r"([^\t]*)" + r"\t(\d{1,4})" * 4 + r"((?:\t\d{1,3}){3})\t[^\t]*\t([^\t]+)")
_ORIGINAL = re.compile(r"_ori\.\w+$")
_DRAWN_ON = re.compile(r"_ann\.\w+$")
_PAGE_ENDING = re.compile(r"_\d{1,5}(\.\w+)?$")


def detect(folder: DatasetFolder) -> Detection | None:
    files = _page_files(folder)
    looked_at = files[:: max(1, len(files) // LOOKED_AT)]
    num_good = sum(_looks_right(folder, file) for file in looked_at)
    if not num_good:
        return None
    num_pages = round(len(files) * num_good / len(looked_at))
    share = min(1.0, num_pages / len(folder.pictures)) if folder.pictures else 1.0
    return Detection(score=0.998 * share, reason=f"{num_pages} pages with their words and labels")


def _page_files(folder: DatasetFolder) -> list[str]:
    return [file for file in folder.with_suffix(*SUFFIXES) if _PAGE_ENDING.search(file)]


def _looks_right(folder: DatasetFolder, file: str) -> bool:
    try:
        with opened(folder.path(file)) as page:
            head = page.read(HEAD_BYTES)
    except OSError:
        return False
    lines = head.split(b"\n")[:-1] if len(head) == HEAD_BYTES else head.splitlines()
    texts = [line.decode("utf-8", errors="replace").rstrip("\r") for line in lines]
    return any(texts) and all(_WORD.fullmatch(text) for text in texts if text)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a page; the pages of a paper are one document."""
    finder = PictureFinder(folder)
    used: set[str] = set()
    for file in _page_files(folder):
        try:
            picture = _picture(file, finder)
        except Unusable as error:
            yield Problem(kind=error.kind, source=f"{file}:1", reason=str(error))
            used.update(finder.beside(file))
            continue
        used.update(finder.beside(file))
        yield from _sample(folder, file, picture)
    for picture in folder.pictures:
        if picture not in used and not _DRAWN_ON.search(picture):
            stem = _ORIGINAL.sub("", picture)
            yield without_annotation(picture, f"no words for this picture; expected {stem}.txt")


def _picture(file: str, finder: PictureFinder) -> str:
    """The page as it was printed; the same page with a colour for each label will do without it."""
    originals = [picture for picture in finder.beside(file) if _ORIGINAL.search(picture)]
    name = originals[0] if originals else file
    return finder.find(file, posixpath.basename(name))


def _sample(folder: DatasetFolder, file: str, picture: str) -> Iterator[Annotation | Problem]:
    content = read_text(folder.path(file), file)
    if isinstance(content, Problem):
        yield content
        return
    words: list[Word] = []
    problems: list[Problem] = []
    for number, line in enumerate(content.replace("\r\n", "\n").split("\n"), 1):
        match = _WORD.fullmatch(line)
        if match is not None and "\0" not in line:
            words.extend(_word(match))
        elif line.strip():
            reason = f"{line[:60]!r}: expected word x0 y0 x1 y1 R G B font label, with tabs between"
            source = f"{file}:{number}"
            problems.append(Problem(kind="bad line", source=source, reason=reason, sample=file))
    if len(words) > MAX_WORDS:
        reason = f"{len(words)} words on a page; expected at most {MAX_WORDS}"
        source = f"{file}:1"
        problems.append(Problem(kind="bad value", source=source, reason=reason, sample=file))
    if problems:
        yield from problems
        return
    blocks = blocks_of_words(words) if words else []
    yield Annotation(
        id="",
        images=(picture,),
        prompt="",
        text=page_text(blocks),
        regions=tuple(_region(block) for block in blocks),
        box_frame="thousandths",
        group=_PAGE_ENDING.sub("", file),
        source=f"{file}:1",
        structure=structure_of(blocks),
    )


def _word(match: re.Match[str]) -> Iterator[Word]:
    """The word of a line, unless it stands for a graphic."""
    text, *sides, colour, label = match.groups()
    if not text.strip() or text in GRAPHICS:
        return
    x1, y1, x2, y2 = (float(side) for side in sides)
    is_black = set(colour.split()) == {"0"}
    # labels were told by colour: a link, which has its own, is called a paragraph wherever it is
    known = label if is_black or label != "paragraph" else ""
    yield Word(text, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), known)


def _region(block: Block) -> Region:
    box = box_around_all(line.box for line in block.lines)
    assert box is not None  # of words, each of which has one
    return Region(label=block.label, box=box, text=block.text)
