"""How well the perceptual hash tells a page from others: shares of pairs within 4 of 64 bits.

python benchmarks/perceptual_hash.py FOLDER [FOLDER ...]

Each picture below a folder is compared with copies of itself (as JPEG of quality 50, at 70 % of its
size, with other margins, in grey, and all of these at once), and with the folder's other pictures.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from PIL import Image

from deepseek_ocr.data.inspection.perceptual_hash import perceptual_hash
from deepseek_ocr.pictures import SUFFIXES, open_picture

NEAR_BITS = 4
MOST_PICTURES = 60  # of a folder, spread over it


def main() -> None:
    """Print a table with a row for each folder named on the command line."""
    print(f"| folder | pictures | {' | '.join(COPIES)} | other pictures |")
    print("|---" * (len(COPIES) + 3) + "|")
    for folder in map(Path, sys.argv[1:]):
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        paths = paths[:: max(1, len(paths) // MOST_PICTURES)][:MOST_PICTURES]
        hashes, near = [], [0] * len(COPIES)
        for seed, path in enumerate(paths):
            page = open_picture(path)
            hashes.append(perceptual_hash(page))
            for place, copy in enumerate(copies(page, random.Random(seed))):
                near[place] += differing(hashes[-1], perceptual_hash(copy)) <= NEAR_BITS
        pairs = [differing(*pair) <= NEAR_BITS for pair in combinations(hashes, 2)]
        shares = " | ".join(f"{count / len(paths):.1%}" for count in near)
        print(f"| {folder.name} | {len(paths)} | {shares} | {sum(pairs)} of {len(pairs)} |")


COPIES = ("JPEG 50", "70 %", "margins", "grey", "all four")


def copies(page: Image.Image, rng: random.Random) -> Iterator[Image.Image]:
    """The page in the ways of `COPIES`."""
    yield as_jpeg(page)
    yield smaller(page)
    yield with_margins(page, rng)
    yield page.convert("L")
    yield as_jpeg(with_margins(smaller(page), rng).convert("L"))


def as_jpeg(page: Image.Image) -> Image.Image:
    """Through JPEG of quality 50."""
    stream = io.BytesIO()
    page.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def smaller(page: Image.Image) -> Image.Image:
    """70 % of both sides."""
    size = (max(1, round(page.width * 0.7)), max(1, round(page.height * 0.7)))
    return page.resize(size, Image.Resampling.LANCZOS)


def with_margins(page: Image.Image, rng: random.Random) -> Image.Image:
    """Up to a tenth more on each side, in the page's most frequent colour."""
    counts = page.histogram()
    paper = tuple(
        max(range(256), key=counts[c * 256 : c * 256 + 256].__getitem__) for c in range(3)
    )
    left, right = (round(rng.uniform(0, 0.1) * page.width) + 3 for _ in range(2))
    top, bottom = (round(rng.uniform(0, 0.1) * page.height) + 3 for _ in range(2))
    larger = Image.new("RGB", (page.width + left + right, page.height + top + bottom), paper)
    larger.paste(page, (left, top))
    return larger


def differing(one: int, other: int) -> int:
    """How many bits differ."""
    return (one ^ other).bit_count()


if __name__ == "__main__":
    main()
