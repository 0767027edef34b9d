"""Folders of a dataset that lie side by side: pictures in one, what annotates them in another.

`images/a/1.png` and `labels/a/1.json` belong together. The names are listed in docs/data_format.md.
"""

from __future__ import annotations

import unicodedata

from ..folder import stem_of

PICTURE_FOLDERS = frozenset(
    (
        *("images", "image", "imgs", "img", "pictures", "picture", "pics"),
        *("pages", "scans", "scan", "photos", "photo", "originals", "original", "orig"),
        *("jpg", "jpgs", "jpeg", "png", "tif", "tiff", "webp", "pdf", "pdfs"),
    )
)
ANNOTATION_FOLDERS = frozenset(
    (
        *("annotations", "annotation", "labels", "label", "gt", "ground_truth", "truth"),
        *("txt", "text", "texts", "transcriptions", "transcription", "transcripts", "transcript"),
        *("json", "xml", "page", "alto", "md", "markdown", "ocr", "box", "boxes"),
    )
)


def sister_key(file: str, folders: frozenset[str]) -> str:
    """The stem of a file without the folders on its way that only tell what it is."""
    return key_of_stem(stem_of(file), folders)


def key_of_stem(stem: str, folders: frozenset[str]) -> str:
    """As `sister_key`, of a path without its ending; the accents of the key are composed."""
    *parts, name = stem.split("/")
    kept = [*(part for part in parts if part.lower() not in folders), name]
    return unicodedata.normalize("NFC", "/".join(kept))
