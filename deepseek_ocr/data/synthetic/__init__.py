"""Drawn pages with known text: for tests, the demo, and training from nothing.

Read in this order: `words` and `content` (what is said), `fonts`, `layout` (where it stands),
`sheet` (how it gets there), `kinds/` (letters, receipts, ...), `paint` (pixels), `pages` (the
stream), `dataset` (a folder of them). A new kind is a file in `kinds/`.
"""

from .dataset import SynthConfig, write_samples
from .fonts import FontLibrary, load_fonts
from .kinds import KINDS
from .pages import SyntheticPage, draw_page, lay_out_page, sample_texts

__all__ = [
    "KINDS",
    "FontLibrary",
    "SynthConfig",
    "SyntheticPage",
    "draw_page",
    "lay_out_page",
    "load_fonts",
    "sample_texts",
    "write_samples",
]
