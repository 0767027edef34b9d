"""Pages as a worse scanner would have made them, for training: off unless asked for.

Everything follows from (seed, epoch, row, number of the picture), so that a run goes on exactly
where it stopped. Rotation and perspective move what stands on a page: they are left out where the
prompt or the answer holds boxes, which would no longer be true.

Pillow and numpy alone: albumentations needs OpenCV (60 MB), its successor AlbumentationsX has the
licence AGPL, and torchvision knows neither paper nor ink. Strengths count in dots of a page of
1,600 pixels, as much as the model sees of one: those of a larger scan are larger.

A page of 1024 x 1024 pixels takes 1 (contrast) to 26 ms (perspective), 34 ms on average with all
kinds; an A4 scan at 300 dpi ten times as much (`benchmarks/augmentation.py`, one core).
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from ..errors import UsageError

CHANCE = 0.35
"""Of each kind of wear, for each page: with all of them, one page in thirty stays as it is."""
DOTS = 1600
LEAST_SCALE = 0.9
"""A page that is turned is made smaller, so that nothing is cut off; never smaller than this."""
BOX_MARK = "<|det|>"
MAX_JPEG_SIDE = 65_500
MAX_STRENGTH = 3.0

Generator = np.random.Generator
Wear = Callable[[Image.Image, Generator, float], Image.Image]
"""(upright RGB page, random stream, strength) -> the page, RGB and as large."""


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """`names` of the kinds of wear, as they befall a page, and how strong they are.

    A strength of 1 is what a tired office scanner does, 2 what can still be read with goodwill.
    """

    names: tuple[str, ...]
    strength: float = 1.0
    seed: int = 42

    def __call__(
        self, page: Image.Image, *, epoch: int, row: int, picture: int = 0, has_boxes: bool = False
    ) -> Image.Image:
        """The page as it is seen in `epoch` (from 1); with `has_boxes`, nothing on it moves."""
        for name in self.names:
            if has_boxes and name in GEOMETRY:
                continue
            # a stream for each kind: one more of them leaves the others as they were
            stream = np.random.default_rng([self.seed, epoch, row, picture, *name.encode()])
            if stream.random() < CHANCE:
                page = WEAR[name](page, stream, self.strength)
        return page


def parse_names(text: str) -> tuple[str, ...]:
    """`none`, `all` or a comma list -> names of wear, each once, in the order of `WEAR`.

    Raises:
        UsageError: an unknown name.
    """
    if text in ("none", "all"):
        return tuple(WEAR) if text == "all" else ()
    named = [name.strip() for name in text.split(",") if name.strip()]
    if not named:
        raise UsageError(f"--augment: no name given; known: none, all, {', '.join(WEAR)}")
    for name in named:
        if name not in WEAR:
            known = ["none", "all", *WEAR]
            near = difflib.get_close_matches(name, known, 1)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"--augment: unknown name {name!r}; {advice}")
    return tuple(name for name in WEAR if name in named)


def has_boxes(prompt: str, answer: str) -> bool:
    """Whether a row speaks of places on its pages."""
    return BOX_MARK in prompt or BOX_MARK in answer


def rotation(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Laid down crooked, by up to three degrees; long lines of text by less."""
    angle = math.radians(stream.uniform(-3, 3) * strength)
    width, height = page.size
    cosine, sine = math.cos(angle), math.sin(abs(angle))
    while _scale_of_turned(width, height, cosine, sine) < LEAST_SCALE:
        angle *= 0.8
        cosine, sine = math.cos(angle), math.sin(abs(angle))
    scale = _scale_of_turned(width, height, cosine, sine)
    a, b = math.cos(angle) / scale, math.sin(angle) / scale  # from the new page to the old one
    x, y = width / 2, height / 2
    matrix = (a, b, x - a * x - b * y, -b, a, y + b * x - a * y)
    return page.transform(
        page.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=paper_of(page),
    )


def _scale_of_turned(width: int, height: int, cosine: float, sine: float) -> float:
    across = width / (width * cosine + height * sine)
    return min(across, height / (width * sine + height * cosine))


def perspective(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Photographed from the side: each corner moves inwards by up to 4 % of the sides."""
    width, height = page.size
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), dtype=float)
    inwards = np.array(((1, 1), (-1, 1), (-1, -1), (1, -1)))
    moved = corners + inwards * stream.uniform(0, 0.04 * strength, (4, 2)) * (width, height)
    return page.transform(
        page.size,
        Image.Transform.PERSPECTIVE,
        _projection(moved, corners),
        Image.Resampling.BILINEAR,
        fillcolor=paper_of(page),
    )


def _projection(points: np.ndarray, images: np.ndarray) -> tuple[float, ...]:
    """The eight numbers of the projection that takes each of four points (4, 2) to its image."""
    rows = []
    for (x, y), (u, v) in zip(points, images, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return tuple(np.linalg.solve(np.array(rows), images.ravel()).tolist())


def ink(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Too much toner or too little: strokes run out, or are worn thin, by up to one dot."""
    choose = ImageChops.darker if stream.random() < 0.5 else ImageChops.lighter
    reach = max(1, round(_dot(page)))
    moved = page
    for shift in ((reach, 0), (0, reach)):
        moved = choose(moved, _shifted(moved, *shift))
    return Image.blend(page, moved, min(1.0, stream.uniform(0.2, 0.7) * strength))


def _shifted(page: Image.Image, right: int, down: int) -> Image.Image:
    """The page moved, its edge repeated where nothing comes after."""
    moved = page.copy()
    moved.paste(page, (right, down))
    return moved


def paper(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """On paper with clouds and fibres, yellowed or grey."""
    clouds = _clouds(page.size, stream, cells=6)
    fibres = _clouds(page.size, stream, cells=160)
    texture = Image.blend(clouds, fibres, 0.35)
    depth = stream.uniform(0.05, 0.2) * strength
    tint = (0.0, stream.uniform(0, 0.04) * strength, stream.uniform(0, 0.12) * strength)
    bands = [
        texture.point([round(255 * max(0.0, 1 - fade - depth * (1 - v / 255))) for v in range(256)])
        for fade in tint
    ]
    return ImageChops.multiply(page, Image.merge("RGB", bands))


def _clouds(size: tuple[int, int], stream: Generator, cells: int) -> Image.Image:
    """Random greys, smooth over a `cells`-th of the longer side."""
    width, height = size
    side = max(size) / cells
    grid = (max(2, round(width / side)), max(2, round(height / side)))
    greys = Image.frombytes("L", grid, stream.bytes(grid[0] * grid[1]))
    return greys.resize(size, Image.Resampling.BICUBIC)


def contrast(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Faint or hard, dark or bright."""
    gain = math.exp(stream.uniform(-0.5, 0.25) * strength)
    offset = stream.uniform(-25, 25) * strength
    middle = 160  # between ink and paper
    table = [min(255, max(0, round((v - middle) * gain + middle + offset))) for v in range(256)]
    return page.point(table * 3)


def blur(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Out of focus, by up to one dot."""
    radius = stream.uniform(0.3, 1.0) * strength * _dot(page)
    return page.filter(ImageFilter.BoxBlur(radius))


def noise(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """The grain of a sensor, a dot wide; sometimes with specks of dust."""
    dot = _dot(page)
    size = (max(1, round(page.width / dot)), max(1, round(page.height / dot)))
    deviation = stream.uniform(4, 18) * strength
    greys = [min(255, max(0, round(128 + deviation * z))) for z in _NORMAL]
    if stream.random() < 0.3:
        greys[0] = 0  # one value in 256 is a dark speck
    grain = Image.frombytes("L", size, stream.bytes(size[0] * size[1])).point(greys)
    if size != page.size:
        grain = grain.resize(page.size, Image.Resampling.BILINEAR)
    return ImageChops.add(page, Image.merge("RGB", (grain,) * 3), offset=-128)


_NORMAL = [NormalDist().inv_cdf((value + 0.5) / 256) for value in range(256)]
"""A byte -> standard deviations, so that bytes drawn evenly become normal."""


def jpeg(page: Image.Image, stream: Generator, strength: float) -> Image.Image:
    """Saved with too little quality: 75 down to 30. Longer than a JPEG can be: as it was."""
    quality = round(stream.uniform(30, 75) / max(strength, 0.1) ** 0.5)
    if max(page.size) > MAX_JPEG_SIDE:
        return page
    content = io.BytesIO()
    page.save(content, "JPEG", quality=min(95, max(5, quality)))
    return Image.open(content, formats=["JPEG"]).convert("RGB")


def _dot(page: Image.Image) -> float:
    return max(1.0, max(page.size) / DOTS)


def paper_of(page: Image.Image) -> tuple[int, int, int]:
    """The median colour of a page's edge: what lies beyond it."""
    pixels = np.asarray(page)
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    red, green, blue = np.median(np.concatenate(edges), axis=0)
    return int(red), int(green), int(blue)


WEAR: dict[str, Wear] = {
    "ink": ink,
    "paper": paper,
    "rotation": rotation,
    "perspective": perspective,
    "contrast": contrast,
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
}
"""Every kind by its name: first what befalls the paper, then what the scanner and its file do."""
GEOMETRY = ("rotation", "perspective")
