"""Words on the pictures that are drawn for people: charts and contact sheets.

The font is DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic and more; a character
that it lacks is drawn as an empty box.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import ImageFont

from ..problems import printable
from ..synthetic.fonts import load_fonts

FAMILY = "DejaVu Sans"
ELLIPSIS = "…"


def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of charts and contact sheets."""
    family = next(f for f in load_fonts().families if f.name == FAMILY)
    return family.face(bold=bold).at(size_px)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width_px: float, max_lines: int) -> list[str]:
    """`text` in at most `max_lines` lines of `width_px`; an ellipsis where something is left out.

    Its own line ends are kept; words that are too long are broken.
    """
    lines: list[str] = []
    for line in _all_lines(text, face, width_px):
        if len(lines) == max_lines:
            lines[-1] = _shortened(lines[-1], face, width_px)
            break
        lines.append(line)
    return lines


def ending(text: str, face: ImageFont.FreeTypeFont, width_px: float) -> str:
    """One line; of a long text its end, which tells paths apart."""
    line = printable(text)
    if face.getlength(line) <= width_px:
        return line
    while line and face.getlength(ELLIPSIS + line) > width_px:
        line = line[1:]
    return ELLIPSIS + line


def _all_lines(text: str, face: ImageFont.FreeTypeFont, width_px: float) -> Iterator[str]:
    for paragraph in text.split("\n"):
        line = ""
        for word in printable(paragraph).split(" "):
            joined = f"{line} {word}" if line else word
            if face.getlength(joined) <= width_px:
                line = joined
                continue
            if line:
                yield line
            *full, line = _broken(word, face, width_px)
            yield from full
        yield line


def _broken(word: str, face: ImageFont.FreeTypeFont, width_px: float) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and face.getlength(pieces[-1] + character) > width_px:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _shortened(line: str, face: ImageFont.FreeTypeFont, width_px: float) -> str:
    while line and face.getlength(line + ELLIPSIS) > width_px:
        line = line[:-1]
    return line + ELLIPSIS
