"""The fonts that pages are drawn with, and which characters each can draw.

`bundled` are the free fonts in matplotlib's wheel (DejaVu, STIX, Computer Modern), which is
installed anyway; their licences lie beside them there. Any folder of fonts may be named instead.
"""

from __future__ import annotations

import functools
import importlib.util
import string
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

from ...errors import UserError
from ...files import sha256_of
from .words import word_list

BUNDLED = "bundled"
SUFFIXES = (".ttf", ".otf", ".ttc")
REQUIRED = string.ascii_letters + string.digits + ".,:;()/-+#&%"  # what every page may need

BUNDLED_FILES = word_list("""
DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSans-BoldOblique
DejaVuSerif DejaVuSerif-Bold DejaVuSerif-Italic DejaVuSerif-BoldItalic
DejaVuSansMono DejaVuSansMono-Bold DejaVuSansMono-Oblique DejaVuSansMono-BoldOblique
STIXGeneral STIXGeneralBol STIXGeneralItalic STIXGeneralBolIta
cmr10 cmb10 cmti10 cmss10 cmtt10
""")

# TeX's fonts have Greek letters and accents at the places of other characters, beyond ASCII and
# at these.
ASCII = string.ascii_letters + string.digits + string.punctuation
TEX_FACES = {
    "cmr10": ("Computer Modern", "Regular", "\"'<>\\^_`{|}~"),
    "cmb10": ("Computer Modern", "Bold", "\"'<>\\^_`{|}~"),
    "cmti10": ("Computer Modern", "Italic", "\"'<>\\^_`{|}~$"),
    "cmss10": ("Computer Modern Sans", "Regular", "\"'<>\\^_`{|}~"),
    "cmtt10": ("Computer Modern Mono", "Regular", "\"'^`~"),
}

# Tried in turn when a font has no glyph for the character; the last resort is to leave it out.
STAND_INS = {
    "’": ("'",),
    "“": ('"',),
    "”": ('"',),
    "–": ("-",),
    "—": ("-",),
    "•": ("*", "-"),
    "€": ("EUR ",),
    "£": ("GBP ",),
    "$": ("USD ",),
    "×": ("x",),
    "ß": ("ss",),
    "ø": ("o",),
    "Ø": ("O",),
    "ł": ("l",),
    "_": ("-",),
}


@dataclass(frozen=True)
class Face:
    """One font file: a family in one style; `alphabet` where not every glyph is what it says."""

    path: Path
    family: str
    style: str
    alphabet: frozenset[str] | None = None

    def at(self, size_px: int) -> ImageFont.FreeTypeFont:
        """The font at a size in pixels, opened once."""
        return _open(self.path, size_px)

    def width(self, text: str, size_px: int) -> float:
        """Width of `text` in pixels: how far the pen moves."""
        return _width(self.path, size_px, text)

    def ink(self, text: str, size_px: int) -> tuple[float, float, float, float]:
        """Box of what `text` inks, in pixels from the beginning of its baseline."""
        return _ink(self.path, size_px, text)

    def covers(self, character: str) -> bool:
        """Whether the font has a glyph of its own for `character`."""
        known = self.alphabet is None or character in self.alphabet
        return known and _has_glyph(self.path, character)

    def printable(self, text: str) -> str:
        """`text` in characters that this font can draw: accents dropped, signs spelled out."""
        if all(map(self.covers, text)):
            return text
        return "".join(self._stand_in(c) for c in text)

    def _stand_in(self, character: str) -> str:
        base = unicodedata.normalize("NFKD", character)[0]
        for choice in (character, *STAND_INS.get(character, ()), base):
            if all(map(self.covers, choice)):
                return choice
        return ""


@dataclass(frozen=True)
class Family:
    """The faces of one typeface; a style that it lacks is drawn with the nearest it has."""

    name: str
    faces: tuple[Face, ...]

    def face(self, *, bold: bool = False, italic: bool = False) -> Face:
        """The face of a style, else the regular one."""

        def distance(face: Face) -> tuple[int, int]:
            style = face.style.lower()
            is_italic = "italic" in style or "oblique" in style
            return (("bold" in style) != bold) + (is_italic != italic), len(style)

        nearest = min(self.faces, key=distance)
        return nearest if distance(nearest)[0] == 0 else min(self.faces, key=_plainness)

    @property
    def monospaced(self) -> bool:
        """Whether every letter is as wide as any other."""
        font = self.face().at(32)
        return font.getlength("i") == font.getlength("M")


class FontLibrary:
    """Families to choose from, in an order that does not depend on the machine."""

    def __init__(self, faces: Iterable[Face]):
        by_name: dict[str, list[Face]] = {}
        for face in sorted(faces, key=lambda f: (f.family, f.style, f.path.name)):
            by_name.setdefault(face.family, []).append(face)
        self.families = tuple(Family(name, tuple(group)) for name, group in by_name.items())
        self.monospaced = tuple(f for f in self.families if f.monospaced) or self.families
        self.proportional = tuple(f for f in self.families if not f.monospaced) or self.families

    @functools.cached_property
    def plainest(self) -> FontLibrary:
        """One face alone: the regular one of the first family."""
        return FontLibrary([self.proportional[0].face()])

    def sha256(self) -> dict[str, str]:
        """SHA-256 of each font file, by its name; they decide the bytes of a page."""
        faces = (face for family in self.families for face in family.faces)
        return {face.path.name: sha256_of(face.path) for face in faces}


@functools.cache
def load_fonts(source: str = BUNDLED) -> FontLibrary:
    """The fonts of matplotlib's wheel, or those of a folder and the folders in it.

    Raises:
        UserError: no folder there, or no font in it that can draw English text.
    """
    if source == BUNDLED:
        return FontLibrary(_bundled_faces())
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"{source}: no such folder of fonts; name one, or `{BUNDLED}`")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    faces = [face for path in paths if (face := _read_face(path))]
    if not faces:
        raise UserError(
            f"{source}: {len(paths)} font files, none with all letters and digits; "
            f"expected {', '.join(SUFFIXES)} of a Latin typeface, or `{BUNDLED}`"
        )
    return FontLibrary(faces)


def _bundled_faces() -> list[Face]:
    found = importlib.util.find_spec("matplotlib")  # finds the wheel without the slow import
    if found is None or not found.origin:
        raise UserError("matplotlib, whose fonts pages are drawn with, is not installed")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    faces = []
    for name in BUNDLED_FILES:
        path = folder / f"{name}.ttf"
        if not path.exists():
            raise UserError(f"{path}: not in this matplotlib; name a folder with --fonts")
        if name in TEX_FACES:
            family, style, misdrawn = TEX_FACES[name]
            faces.append(Face(path, family, style, frozenset(ASCII + " ") - frozenset(misdrawn)))
        else:
            known_family, known_style = _open(path, 32).getname()
            faces.append(Face(path, known_family or name, known_style or "Regular"))
    return faces


def _read_face(path: Path) -> Face | None:
    try:
        family, style = _open(path, 32).getname()
    except OSError:
        return None
    face = Face(path, family or path.stem, style or "Regular")
    return face if all(map(face.covers, REQUIRED)) else None


def _plainness(face: Face) -> tuple[bool, int]:
    return face.style.lower() not in ("regular", "book", "roman"), len(face.style)


@functools.lru_cache(maxsize=1024)
def _open(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    # BASIC: the other engine is not on every machine, and would place glyphs differently
    return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)


# Words and pairs of letters come again and again; measuring them is most of laying out a page.
@functools.lru_cache(maxsize=1 << 17)
def _width(path: Path, size_px: int, text: str) -> float:
    return _open(path, size_px).getlength(text)


@functools.lru_cache(maxsize=1 << 15)
def _ink(path: Path, size_px: int, text: str) -> tuple[float, float, float, float]:
    return _open(path, size_px).getbbox(text, anchor="ls")


@functools.cache
def _has_glyph(path: Path, character: str) -> bool:
    if character == " ":
        return True
    drawn, missing = (_open(path, 32).getmask(c) for c in (character, "\U0010ffff"))
    same = drawn.size == missing.size and bytes(drawn) == bytes(missing)
    return not same and drawn.getbbox() is not None
