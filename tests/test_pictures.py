from __future__ import annotations

import io
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageStat

from deepseek_ocr import pictures
from deepseek_ocr.errors import PageError
from deepseek_ocr.pictures import num_frames, open_picture, upright_rgb


def mean(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L")).mean[0]


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def arrow() -> Image.Image:
    """3 x 2 pixels, all different, so that no turn of it equals another."""
    image = Image.new("RGB", (3, 2))
    for place in range(6):
        image.putpixel((place % 3, place // 3), (place * 40, 0, 255 - place * 40))
    return image


@given(st.binary(min_size=12 * 3, max_size=12 * 3))
def test_an_upright_rgb_picture_keeps_every_pixel(content):
    image = Image.frombytes("RGB", (4, 3), content)
    assert upright_rgb(image) is image
    assert open_picture(encoded(image)).tobytes() == content


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_exactly_once(orientation, file_format):
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = arrow() if undo is None else arrow().transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    shown = open_picture(encoded(stored, file_format, exif=exif, **options))
    assert shown.tobytes() == arrow().tobytes()
    assert upright_rgb(shown).tobytes() == arrow().tobytes()


def test_a_picture_already_open_is_turned_once_however_often_it_is_asked_for():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(arrow(), "PNG", exif=exif)))
    once = upright_rgb(image)
    assert once.size == (2, 3)
    assert upright_rgb(once).tobytes() == once.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_greys_keep_their_high_byte(order):
    mode = "I;16" if order == "<" else "I;16B"
    content = b"".join(struct.pack(f"{order}H", value) for value in range(65536))
    shown = upright_rgb(Image.frombytes(mode, (256, 256), content))
    expected = b"".join(bytes([value >> 8] * 3) for value in range(65536))
    assert shown.mode == "RGB" and shown.tobytes() == expected


@pytest.mark.parametrize(
    "mode, values, greys",
    [
        ("I", [0, 65535], [0, 255]),
        ("I", [0, 255], [0, 255]),
        ("I", [0, 1_000_000], [0, 255]),
        ("I", [-1000, 1000], [0, None]),
        ("F", [0.0, 1.0], [0, 255]),
        ("F", [0.0, 0.5], [0, 127]),
        ("F", [0.0, 255.0], [0, 255]),
        ("F", [0.0, 65535.0], [0, 255]),
    ],
)
def test_deep_greys_are_scaled_and_not_clipped(mode, values, greys):
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    shown = [upright_rgb(image).getpixel((x, 0))[0] for x in range(len(values))]
    assert all(grey is None or grey == found for grey, found in zip(greys, shown, strict=True))
    assert shown[0] < shown[1]


def test_not_a_number_is_an_error_and_not_a_grey():
    image = Image.new("F", (1, 1), float("nan"))
    with pytest.raises(PageError, match="damaged"):
        upright_rgb(image)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa"])
def test_what_is_transparent_is_white(mode):
    image = Image.new("PA" if mode == "PA" else "LA", (2, 1), (0, 0))
    image.putpixel((1, 0), (0, 255))
    if mode == "RGBa":
        image = image.convert("RGBA")
    shown = upright_rgb(image.convert(mode) if image.mode != mode else image)
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize(
    "mode, key, color",
    [("RGB", (0, 0, 0), (0, 0, 0)), ("L", 0, 0), ("P", 0, 0), ("1", 0, 0), ("I;16", 0, 0)],
)
def test_a_transparent_color_is_white(mode, key, color):
    image = Image.new(mode, (2, 2), color)
    image.info["transparency"] = key
    assert upright_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_only_the_exact_sixteen_bit_key_is_transparent():
    image = Image.new("I;16", (2, 1))
    image.putpixel((0, 0), 7)
    image.putpixel((1, 0), 8)
    image.info["transparency"] = 8
    shown = upright_rgb(image)
    assert [shown.getpixel((x, 0))[0] for x in (0, 1)] == [0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_becomes_rgb(mode):
    assert upright_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_frames_count_from_one(tmp_path):
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (10, 20, 30)]
    path = tmp_path / "three.tif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert num_frames(path) == 3
    assert [open_picture(path, frame=n).getpixel((0, 0))[0] for n in (1, 2, 3)] == [10, 20, 30]
    for frame in (0, 4, -1):
        with pytest.raises(PageError, match=r"three\.tif: has no page .*; its pages are 1 to"):
            open_picture(path, frame=frame)


def test_the_pixel_limit_is_checked_before_decoding(monkeypatch):
    content = encoded(Image.new("1", (1000, 1000)))

    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    with pytest.raises(PageError, match="1000 x 1000 pixels are more than the limit of 999999"):
        open_picture(content, max_pixels=999_999)


def test_the_limit_is_ours_and_not_a_global_of_pillow(monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert open_picture(encoded(Image.new("L", (100, 100)))).size == (100, 100)
    assert not recwarn.list


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path, file_format):
    noise = Image.effect_noise((64, 64), 90).convert("L")
    content = encoded(noise, file_format)
    path = tmp_path / "cut.bin"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PageError) as error:
        open_picture(path)
    assert str(path) in str(error.value) and " object at 0x" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"II*\0" + b"\xff" * 40])
def test_what_is_no_picture_is_an_error(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(PageError, match=r"a\.png: "):
        open_picture(path)


@given(st.data())
def test_a_damaged_file_gives_a_picture_or_a_page_error(data):
    file_format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    content = bytearray(encoded(arrow().resize((16, 16)), file_format))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        assert open_picture(bytes(content), max_pixels=10_000).mode == "RGB"
    except PageError as error:
        assert str(error).startswith("picture: ")


def test_missing_files_and_folders_are_errors(tmp_path):
    with pytest.raises(PageError, match="does not exist"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(PageError, match="is not a file"):
        open_picture(tmp_path)


def test_other_formats_that_pillow_knows_are_refused():
    with pytest.raises(PageError, match="not a picture of a known format"):
        open_picture(encoded(arrow(), "PPM"))


def test_pictures_needs_no_numpy_and_no_torch():
    code = (
        "import sys, deepseek_ocr.pictures, deepseek_ocr.data.pages.loading;"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'torch', 'transformers', 'pypdfium2')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "name, size, grey",
    [
        ("basn0g16.png", (32, 32), 144.2),
        ("baiona_alpha.png", (640, 682), None),
        ("portrait_6.jpg", (450, 600), None),
        ("g4_orientation_6.tif", (590, 88), 226.7),
        ("hopper_orientation_5.webp", (128, 128), None),
        ("pil_sample_cmyk.jpg", (100, 100), None),
        ("sugarshack.mpo", (640, 480), None),
        ("transparent_background_text.png", (300, 100), 255.0),  # its letters are white
        ("junk_jpeg_header.jpg", (1024, 768), None),
        ("hopper_bigtiff.tif", (128, 128), None),
        ("lab.tif", (10, 10), None),
    ],
)
def test_odd_pictures_of_others_open(shared, name, size, grey):
    picture = open_picture(shared / "data" / "odd_inputs" / name)
    assert (picture.mode, picture.size) == ("RGB", size)
    assert grey is None or mean(picture) == pytest.approx(grey, abs=0.1)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("DA-1p.heic", "not a picture of a known format"),
        ("broken.png", "is damaged"),
        ("decompression_bomb.gif", "too large|more than the limit"),
        ("hopper_naxis_zero.fits", "not a picture of a known format"),
        ("truncated_image.png", "cut short"),
        ("truncated_jpeg.jpg", "cut short"),
        ("test-card-lossy-tiled.jp2", "not a picture of a known format"),
    ],
)
def test_unusable_pictures_of_others_are_plain_errors(shared, name, reason):
    with pytest.raises(PageError, match=reason):
        open_picture(shared / "data" / "odd_inputs" / name)


def test_the_suffixes_are_those_of_the_formats():
    registered = Image.registered_extensions()
    assert {registered[suffix] for suffix in pictures.SUFFIXES} == set(pictures.FORMATS)
