"""deepseek-ocr synth OUT: draws annotated sample documents, ready for `data_utils.py`."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.synthetic.dataset import SynthConfig, write_samples
from ..errors import EXIT_OK
from ..progress import Progress
from .options import parse_options

DESCRIPTION = (
    "Draws pictures of invented documents with their text beside them (NAME.png, NAME.json); "
    "the same arguments give the same bytes."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw them; the exit code."""
    config = parse_options(SynthConfig, argv, prog="deepseek-ocr synth", description=DESCRIPTION)
    with Progress(config.num_pages, "pages", "synth") as progress:
        for _ in write_samples(config):
            progress.advance()
    print(f"{config.count} documents, {config.num_pages} pages in {config.out}")
    return EXIT_OK
