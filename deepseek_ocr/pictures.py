"""From a picture file to pixels as a person sees them: upright, on white, RGB with 8 bits.

Needs Pillow alone, so that the readers of datasets and the model's image processor share it.
Every way in which a file can be unusable ends in one `PageError` that names the file.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import (  # noqa: F401  importing a plugin registers it in Image.OPEN
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageMath,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .errors import PageError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif")
MAX_PIXELS = 200_000_000

ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPED = tuple(UPRIGHT[orientation] for orientation in (5, 6, 7, 8))
PNG_SIGNATURE, PNG_CHECKSUM = 8, 4  # bytes, of the file and of each chunk

# What Pillow's decoders raise on damaged files; which one says nothing to a user.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def open_picture(
    source: Path | bytes,
    *,
    frame: int = 1,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """Frame number `frame` (from 1) of a picture file or of its bytes, upright, RGB, on white.

    `name` is what errors call the picture; the path if not given.

    Raises:
        PageError: it is no picture, too large, damaged or cut short, or has no such frame.
    """
    name = name or _name_of(source)
    with _opened(source, name, frame, max_pixels) as picture, _damage(name):
        return _upright_rgb(picture).copy()  # the copy owns its pixels, no open file


def num_frames(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> int:
    """How many frames (pages of a TIFF, pictures of an animation) a picture file holds."""
    name = name or _name_of(source)
    with _opened(source, name, 1, max_pixels) as picture, _damage(name):
        return getattr(picture, "n_frames", 1)


def picture_size(
    source: Path | bytes,
    *,
    frame: int = 1,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> tuple[int, int]:
    """Width and height of the picture that `open_picture` would give, mostly without decoding it.

    Raises:
        PageError: as `open_picture`, as far as the file's beginning tells.
    """
    name = name or _name_of(source)
    with _opened(source, name, frame, max_pixels) as picture, _damage(name):
        turned = _is_turned(picture)
        width, height = picture.size
    if turned is None:
        return open_picture(source, frame=frame, max_pixels=max_pixels, name=name).size
    return (height, width) if turned else (width, height)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Any picture -> mode RGB: EXIF orientation applied, on white, deep greys scaled to 8 bits.

    An upright RGB picture without transparency comes back as it is. Applying it twice changes
    nothing more.
    """
    with _damage(getattr(image, "filename", None) or "picture"):
        return _upright_rgb(image)


class OpenPicture:
    """A picture file whose frames are read one after another; see `opened_picture`."""

    def __init__(self, picture: ImageFile.ImageFile, name: str, max_pixels: int):
        self._picture, self.name, self._max_pixels = picture, name, max_pixels
        self.format = picture.format or ""
        """One of `FORMATS`, or MPO: several pictures in one JPEG file."""

    @property
    def num_frames(self) -> int:
        """How many frames it holds; of an animation, found by going through all of it.

        Raises:
            PageError: it is damaged.
        """
        with _damage(self.name):
            return getattr(self._picture, "n_frames", 1)

    def frame(self, number: int) -> Image.Image:
        """Frame `number` (from 1), upright, RGB, on white.

        Raises:
            PageError: it is too large, damaged or cut short, or there is no such frame.
        """
        with _damage(self.name):
            _seek(self._picture, self.name, number)
            _check_pixels(self._picture, self.name, self._max_pixels)
            return _upright_rgb(self._picture).copy()


@contextlib.contextmanager
def opened_picture(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> Iterator[OpenPicture]:
    """A picture file held open, so that going to its next frame does not begin at the first.

    Raises:
        PageError: it is no picture, or too large.
    """
    name = name or _name_of(source)
    with _opened(source, name, 1, max_pixels) as picture:
        yield OpenPicture(picture, name, max_pixels)


def is_picture(beginning: bytes) -> bool:
    """Whether the first 16 bytes (or more) of a file are those of a picture that is read."""
    return any(_accepts(format_name, beginning[:16]) for format_name in FORMATS)


@contextlib.contextmanager
def _opened(
    source: Path | bytes, name: str, frame: int, max_pixels: int
) -> Iterator[ImageFile.ImageFile]:
    """A picture at its frame, identified but not yet decoded."""
    with contextlib.ExitStack() as stack:
        stream: io.BufferedIOBase
        if isinstance(source, bytes):
            stream = io.BytesIO(source)
        else:
            stream = stack.enter_context(_open_file(Path(source), name))
        with _damage(name):
            picture = stack.enter_context(_identified(stream, name))
            _check_pixels(picture, name, max_pixels)
            _seek(picture, name, frame)
            _check_pixels(picture, name, max_pixels)
        yield picture


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turns whatever a decoder raises into a `PageError` about the picture called `name`."""
    try:
        yield
    except PageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise PageError(f"{name}: too large to decode; make the picture smaller") from None
    except DAMAGE as error:
        cut = "truncated" in str(error) or isinstance(error, EOFError)
        found = "is cut short" if cut else "is damaged and cannot be decoded"
        raise PageError(f"{name}: the picture {found}; replace the file") from None


def _name_of(source: Path | bytes) -> str:
    return "picture" if isinstance(source, bytes) else str(source)


def _open_file(path: Path, name: str) -> io.BufferedReader:
    if "\0" in str(path):
        raise PageError(f"{name!r}: not a valid file name")
    try:
        if not path.is_file():  # a pipe or a device would be read for ever
            found = "is not a file" if path.exists() else "does not exist"
            raise PageError(f"{name}: {found}; expected a picture")
        return path.open("rb")
    except OSError as error:
        raise PageError(f"{name}: cannot be read ({error.strerror})") from None


def _identified(stream: io.BufferedIOBase, name: str) -> ImageFile.ImageFile:
    """The stream opened by the plugin of its format.

    As `Image.open`, but without its own pixel limit: that is a global which warns above 89
    million pixels and refuses above 179 million, whatever `max_pixels` allows.
    """
    prefix = stream.read(16)
    if not prefix:
        raise PageError(f"{name}: the file is empty; expected a picture")
    for format_name in FORMATS:
        if _accepts(format_name, prefix):
            stream.seek(0)
            return Image.OPEN[format_name][0](stream, "")  # type: ignore[arg-type]
    raise PageError(f"{name}: not a picture of a known format; expected {', '.join(FORMATS)}")


def _accepts(format_name: str, prefix: bytes) -> bool:
    accept = Image.OPEN[format_name][1]
    return accept is not None and accept(prefix) is True


def _seek(picture: ImageFile.ImageFile, name: str, frame: int) -> None:
    count = 1 if frame == 1 else getattr(picture, "n_frames", 1)
    if not 1 <= frame <= count:
        raise PageError(f"{name}: has no page {frame}; its pages are 1 to {count}")
    if frame - 1 != picture.tell():
        picture.seek(frame - 1)


def _check_pixels(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise PageError(f"{name}: the picture is {width} x {height} pixels; expected at least 1")
    if width * height > max_pixels:
        raise PageError(
            f"{name}: {width} x {height} pixels are more than the limit of {max_pixels}; "
            "make the picture smaller"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()  # a TIFF is turned here by Pillow, which then removes the tag
    turn = UPRIGHT.get(_orientation(image))
    image = _on_white(_eight_bits(image))
    if turn is not None:
        image = image.transpose(turn)
        image.info = {}  # EXIF or XMP left here would turn it once more
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except DAMAGE:  # a torn EXIF block says nothing about the pixels
        return 1


def _is_turned(picture: ImageFile.ImageFile) -> bool | None:
    """Whether `size` of a picture that is not decoded yet has its sides the other way round.

    None where the pixels must be decoded to know.
    """
    if picture.format == "TIFF":  # Pillow has turned its size by the tag, but not by XMP
        return None if "xmp" in picture.info else False
    if picture.format == "PNG" and _may_say_more(picture):
        return None
    try:
        exif = Image.Image.getexif(picture)  # a PNG's own would decode it
        return UPRIGHT.get(exif.get(ORIENTATION, 1)) in SIDES_SWAPPED
    except DAMAGE:
        return False  # as in `_orientation`


def _may_say_more(picture: ImageFile.ImageFile) -> bool:
    """Whether text or EXIF, which may turn a PNG, stands behind its pixels."""
    stream = picture.fp
    assert stream is not None
    before = stream.tell()
    try:
        stream.seek(PNG_SIGNATURE)
        seen_pixels = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            seen_pixels = seen_pixels or kind == b"IDAT"
            if seen_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            stream.seek(length + PNG_CHECKSUM, io.SEEK_CUR)
        return False
    finally:
        stream.seek(before)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 and 32 bits and floats -> L, scaled (Pillow's own `convert` clips them)."""
    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode not in ("I", "F"):
        return image
    low, high = (float(extreme) for extreme in image.getextrema())  # type: ignore[arg-type]
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("a value that is not a finite number")
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    white = next((w for w in whites if high <= w), high)  # the smallest that no pixel exceeds
    black = min(low, 0.0)
    scale = 255 / (white - black)
    return image.point(lambda value: value * scale - black * scale).convert("L")


def _from_16_bits(image: Image.Image) -> Image.Image:
    key = image.info.get("transparency")
    wide = image.convert("I")
    grey = wide.point(lambda value: value * (1 / 256)).convert("L")
    if isinstance(key, int):
        visible = ImageMath.lambda_eval(
            lambda names: names["convert"]((names["wide"] != key) * 255, "L"), wide=wide
        )
        grey.putalpha(visible)
    grey.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return grey


def _on_white(image: Image.Image) -> Image.Image:
    """Any mode with 8 bits -> RGB; what is transparent shows white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image.convert("LA") if image.mode == "La" else image
    layered = layered.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(layered)
    return white.convert("RGB")
