r"""`im2latex`: pictures of formulas, lists of them, and a file with a formula a line.

A line of `train.lst` is `formula_index image_name render_type`; the index is a line of
`formulas.lst`, counted from 0. The pictures are whole A4 sheets with a formula at the top, so a
sample shows the part with ink. The text is the LaTeX as written, without delimiters.
https://github.com/harvardnlp/im2markup
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ...pictures import SUFFIXES as PICTURE_SUFFIXES
from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import read_text
from ..problems import Problem
from ..truth.structures import Formula
from ._detection import Detection
from ._named import NamedPictures, shallow_first
from ._unusable import Unusable

NAME = "im2latex"
SUFFIXES = (".lst",)
FORMULA_FILE = "formulas.lst"
LOOKED_AT = 20  # lines of each list
PICTURE_FOLDERS = ("images", "formula_images", "formula_images_processed")

_ROW = re.compile(r"(?P<index>\d{1,9})\s+(?P<image>\S+)\s+(?P<kind>\S+)\s*")
_PAIR = re.compile(r"(?P<image>\S+\.\w+)\s+(?P<index>\d{1,9})\s*")  # as its preprocessing writes


def detect(folder: DatasetFolder) -> Detection | None:
    lists, formula_files = _lists(folder), _formula_files(folder)
    first = [line for file in lists for line in _first_lines(folder, file)]
    matches = sum(_parsed(line) is not None for line in first)
    if not matches or not formula_files:
        return None
    reason = f"formulas of {formula_files[0]} are named in {', '.join(lists[:3])}"
    return Detection(score=0.99 * matches / len(first), reason=reason)


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a line of each list; the name of the list is its attribute `split`."""
    lists = _lists(folder)
    pictures = NamedPictures(folder, PICTURE_FOLDERS)
    sources = _formula_files(folder)
    formulas = _formulas(folder, sources)
    if isinstance(formulas, Problem):
        yield formulas
        return
    formula_file = sources[0] if sources else FORMULA_FILE
    for file in lists:
        lines = _lines(folder, file)
        if isinstance(lines, Problem):
            yield lines
            continue
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _sample(line, f"{file}:{number}", formula_file, formulas, pictures)
    yield from pictures.without_annotation(lists)


def _lists(folder: DatasetFolder) -> list[str]:
    return [file for file in folder.with_suffix(*SUFFIXES) if not _is_formula_file(file)]


def _formula_files(folder: DatasetFolder) -> list[str]:
    return shallow_first(filter(_is_formula_file, folder.with_suffix(*SUFFIXES)))


def _is_formula_file(file: str) -> bool:
    return "formulas" in file.rpartition("/")[2].lower()


def _first_lines(folder: DatasetFolder, file: str) -> list[str]:
    lines = _lines(folder, file)
    return [] if isinstance(lines, Problem) else [ln for ln in lines if ln.strip()][:LOOKED_AT]


def _formulas(folder: DatasetFolder, files: Sequence[str]) -> list[str] | Problem:
    """Formula a line; Windows line ends become plain ones."""
    if len(files) == 1:
        return _lines(folder, files[0])
    if not files:
        return []
    reason = f"holds formulas, as {' and '.join(files[1:])} does; keep one of them"
    return Problem(kind="ambiguous annotation", source=f"{files[0]}:1", reason=reason)


def _lines(folder: DatasetFolder, file: str) -> list[str] | Problem:
    text = read_text(folder.path(file), file)
    if isinstance(text, Problem):
        return text
    return [line.removesuffix("\r") for line in text.split("\n")]  # a formula may hold other breaks


def _parsed(line: str) -> re.Match[str] | None:
    return _ROW.fullmatch(line) or _PAIR.fullmatch(line)


def _sample(
    line: str, source: str, formula_file: str, formulas: Sequence[str], pictures: NamedPictures
) -> Annotation | Problem:
    row = _parsed(line)
    if row is None:
        reason = f"{line[:60]!r}: expected 'formula_index image_name render_type'"
        return Problem(kind="bad line", source=source, reason=reason)
    file, index, image = source.rpartition(":")[0], int(row["index"]), row["image"]
    name = image if image.lower().endswith(PICTURE_SUFFIXES) else f"{image}.png"
    try:
        picture = pictures.find(name, file)
    except Unusable as error:
        return Problem(kind=error.kind, source=source, reason=str(error))
    if index >= len(formulas) or not formulas[index].strip():
        found = "is blank" if index < len(formulas) else f"does not exist ({len(formulas)} lines)"
        reason = f"line {index + 1} of {formula_file} {found}; expected formula {index}"
        return Problem(kind="empty text", source=source, reason=reason)
    kind = row.groupdict().get("kind")
    return Annotation(
        id="",
        images=(f"{picture}#crop=content",),
        prompt="",
        text=formulas[index],
        source=source,
        attributes={"split": file.rpartition("/")[2].removesuffix(".lst")}
        | ({"render_type": kind} if kind else {}),
        structure=(Formula(latex=formulas[index]),),
        also_read=(formula_file,),
    )
