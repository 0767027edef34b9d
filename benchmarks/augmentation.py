"""How long each kind of wear takes: python benchmarks/augmentation.py

Milliseconds of a processor core a page, the quickest of eight; strength 1.
"""

from __future__ import annotations

import time

import numpy as np
from PIL import Image

from deepseek_ocr.data.augmentation import WEAR, Augmentation
from deepseek_ocr.data.synthetic.stream import PageStream

SIZES = {"line": (600, 48), "1024 px": (1024, 1024), "A4, 300 dpi": (2480, 3508)}
TIMES = 8
NUM_PAGES = 40


def milliseconds(run) -> float:
    """The quickest of `TIMES` runs."""
    spans = []
    for number in range(TIMES):
        began = time.process_time()
        run(number)
        spans.append(time.process_time() - began)
    return 1000 * min(spans)


def main() -> None:
    stream = PageStream(seed=0, num_pages=1, kinds=("letters",), size=1024)
    drawn = stream.page(0).image.convert("RGB")
    pages = {name: drawn.resize(size) for name, size in SIZES.items()}
    print(f"{'':12}" + "".join(f"{name:>14}" for name in pages))
    for name, wear in WEAR.items():
        spans = [
            milliseconds(lambda n, page=page, wear=wear: wear(page, np.random.default_rng(n), 1.0))
            for page in pages.values()
        ]
        print(f"{name:12}" + "".join(f"{span:14.1f}" for span in spans))
    means = [mean_of_all(page) for page in pages.values()]
    print(f"{'all, mean':12}" + "".join(f"{mean:14.1f}" for mean in means))


def mean_of_all(page: Image.Image) -> float:
    """Milliseconds a page under `--augment all`."""
    wear = Augmentation(tuple(WEAR))
    began = time.process_time()
    for row in range(NUM_PAGES):
        wear(page, epoch=1, row=row)
    return 1000 * (time.process_time() - began) / NUM_PAGES


if __name__ == "__main__":
    main()
