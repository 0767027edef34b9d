"""What `--mode auto` and `--rotation auto` go by, on drawn pages whose truth is known.

    python benchmarks/auto_mode.py [letters] [errors] [modes] [rotation]

letters: the height found for small letters against that of the glyphs drawn
errors: how many characters Tesseract reads wrong when small letters are so many pixels tall
modes: the mode chosen for A4 pages by the size of their print
rotation: pages of all kinds turned four ways, straight and skewed by two degrees
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from statistics import median

from PIL import Image

from deepseek_ocr.data.pages.auto_mode import choose_mode, small_letters
from deepseek_ocr.data.pages.printed_words import find_words
from deepseek_ocr.data.pages.rotation import find_rotation
from deepseek_ocr.data.pages.sources import TURNS
from deepseek_ocr.data.synthetic import KINDS, draw_page
from deepseek_ocr.metrics.text import text_score
from deepseek_ocr.resolution import MODES, num_image_tokens, tile_grid

CHOICES = {mode: MODES[mode] for mode in ("tiny", "small", "base", "large", "gundam")}
X_HEIGHT_LETTERS = set("acemnorsuvwxz")
X_HEIGHTS = (3, 3.5, 4, 4.5, 5, 6, 8, 10, 14)
READABLE_PX = 16  # Tesseract's best x-height, to which what is left of a page is enlarged
PAGES_OF_A_KIND = 10
A4_POINTS = 842


def letters() -> None:
    """Ratios of the height found to the median height of the letters drawn."""
    print("| kind | pages | smallest | median | largest |\n|---|---|---|---|---|")
    for kind in ("book", "letters", "lists", "tables", "invoices", "receipts"):
        ratios = []
        for index in range(PAGES_OF_A_KIND):
            for size in (700, 1400, 2100):
                page = draw_page(1, index, kind, size=size)
                boxes = [g.box for g in page.glyphs if g.character in X_HEIGHT_LETTERS]
                heights = sorted(box[3] - box[1] for box in boxes)
                words = find_words(page.image)
                if len(heights) >= 20 and len(words):
                    ratios.append(small_letters(words) / heights[len(heights) // 10])
        row = (len(ratios), *(f"{f(ratios):.2f}" for f in (min, median, max)))
        print(f"| {kind} | " + " | ".join(map(str, row)) + " |")


def errors() -> None:
    """Character error rate of Tesseract over pages made so small, and enlarged again."""
    if shutil.which("tesseract") is None:
        print("tesseract is not installed")
        return
    print("| x-height, px | median CER | worst CER |\n|---|---|---|")
    pages = [draw_page(5, n, kind, size=2000) for kind in ("book", "letters") for n in range(6)]
    found = [small_letters(find_words(page.image)) for page in pages]
    for x_height in X_HEIGHTS:
        rates = []
        for page, height in zip(pages, found, strict=True):
            small = scaled(page.image, x_height / height, Image.Resampling.BICUBIC)
            large = scaled(small, max(1, READABLE_PX / x_height), Image.Resampling.LANCZOS)
            rates.append(text_score(read(large), page.text).cer)
        print(f"| {x_height} | {median(rates):.2%} | {max(rates):.2%} |", flush=True)


def scaled(page: Image.Image, factor: float, resampling: Image.Resampling) -> Image.Image:
    """The page so many times as large."""
    return page.resize((round(page.width * factor), round(page.height * factor)), resampling)


def read(page: Image.Image) -> str:
    """What Tesseract reads."""
    stream = io.BytesIO()
    page.save(stream, "PNG")
    command = ["tesseract", "-", "-", "--psm", "3", "-l", "eng"]
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(
        command, input=stream.getvalue(), capture_output=True, check=True, env=environment
    )
    return done.stdout.decode()


def modes() -> None:
    """Modes of drawn A4 pages at 200 dpi; their print by its x-height in points."""
    chosen: dict[float, Counter[str]] = {}
    tokens = {True: 0, False: 0}
    for kind in ("book", "letters", "invoices"):
        for index in range(3 * PAGES_OF_A_KIND):
            for size in (1170, 1755, 2340):
                page = draw_page(7, index, kind, size=size).image
                words = find_words(page)
                if not len(words) or page.height < page.width:
                    continue
                points = small_letters(words) * A4_POINTS / page.height
                mode = choose_mode([page], CHOICES)
                chosen.setdefault(round(2 * points) / 2, Counter())[mode] += 1
                for is_auto, name in ((True, mode), (False, "gundam")):
                    grid = tile_grid(*page.size, CHOICES[name])
                    tokens[is_auto] += num_image_tokens(grid, CHOICES[name])
    print(
        "| x-height, pt | about | " + " | ".join(CHOICES) + " |\n|---|---|" + "---|" * len(CHOICES)
    )
    for points in sorted(chosen):
        row = " | ".join(str(chosen[points][mode] or "") for mode in CHOICES)
        print(f"| {points} | {2 * points:g} pt type | {row} |")
    print(f"\nimage tokens of all: {tokens[True]}; in gundam alone {tokens[False]}")


def rotation() -> None:
    """Right: as it should; left: not turned though it should be; wrong: turned amiss."""
    for skew in (0, 2):
        counts: dict[int, Counter[str]] = {degrees: Counter() for degrees in (0, *TURNS)}
        for kind in KINDS:
            for index in range(PAGES_OF_A_KIND):
                page = draw_page(9, index, kind, size=1400).image
                if skew:
                    page = page.rotate(skew, Image.Resampling.BICUBIC, fillcolor="white")
                for degrees, count in counts.items():
                    seen = page.transpose(TURNS[degrees]) if degrees else page
                    found = find_rotation(seen)
                    is_right = (found + degrees) % 360 == 0
                    count["right" if is_right else "wrong" if found else "left"] += 1
        print(
            f"skewed by {skew} degrees\n\n| turned by | right | left | wrong |\n|---|---|---|---|"
        )
        for degrees, count in counts.items():
            print(f"| {degrees} | {count['right']} | {count['left']} | {count['wrong']} |")
        print()


MEASUREMENTS = {f.__name__: f for f in (letters, errors, modes, rotation)}


def main() -> None:
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"## {name}\n")
        MEASUREMENTS[name]()
        print(flush=True)


if __name__ == "__main__":
    main()
