"""`olmocr`: pages as Markdown, `a.pdf` (or a picture) with `a.md`, with or without olmOCR's head.

    ---
    primary_language: en
    is_rotation_valid: True
    rotation_correction: 0
    is_table: False
    is_diagram: False
    ---
    the text

The keys of the head become attributes. https://github.com/allenai/olmocr
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from ..annotations import Annotation
from ..folder import DatasetFolder
from ..json_files.rows import opened, read_text
from ..problems import Problem
from ._detection import Detection
from ._pairs import pages_of, pair, paired_share, unpaired

NAME = "olmocr"
SUFFIXES = (".md", ".mmd", ".markdown")

LOOKED_AT = 20  # files
HEAD_BYTES = 1 << 12

_KEY = re.compile(r"([A-Za-z_][\w-]*)[ \t]*:(.*)")
_OLMOCR_KEYS = frozenset({"primary_language", "is_rotation_valid", "rotation_correction"})
_NOTES = re.compile(r"(readme|licen[sc]e|changelog|contributing|notice|citation)\b", re.IGNORECASE)
_NOTHING = frozenset({"", "null", "~", "None"})


def detect(folder: DatasetFolder) -> Detection | None:
    pairs = list(pair(folder, SUFFIXES))
    num_paired, num_pages = paired_share(pairs)
    if not num_paired:
        return None
    files = [file for file, pictures, _ in pairs if file is not None and pictures]
    with_head = sum(_has_olmocr_head(folder, file) for file in files[:LOOKED_AT])
    weight = 0.998 if with_head else 0.985  # beside .txt files, Markdown is notes
    return Detection(
        score=weight * num_paired / num_pages,
        reason=f"{num_paired} of {num_pages} PDFs and pictures have a .md file of the same name",
    )


def read(folder: DatasetFolder) -> Iterator[Annotation | Problem]:
    """One sample a Markdown file: all pages of its PDF, or its picture."""
    for file, pictures, rivals in pair(folder, SUFFIXES):
        if file is not None and not pictures and _NOTES.match(posixpath.basename(file)):
            continue  # about the dataset, no part of it
        problem = unpaired(file, pictures, rivals, "a .md file", folder)
        if problem is not None:
            yield problem
        elif file is not None:
            yield _sample(folder, file, pictures[0])


def _sample(folder: DatasetFolder, file: str, picture: str) -> Annotation | Problem:
    content = read_text(folder.path(file), file)
    if isinstance(content, Problem):
        return content
    if "\0" in content:
        line = content.count("\n", 0, content.index("\0")) + 1
        reason = "a null character in the text; expected plain text"
        return Problem(kind="bad value", source=f"{file}:{line}", reason=reason)
    head, text = split_head(content.replace("\r\n", "\n"))
    language = head.pop("primary_language", None)
    return Annotation(
        id="",
        images=(pages_of(picture),),
        prompt="",
        text=text,
        lang=language,
        source=f"{file}:1",
        attributes=head,
    )


def split_head(content: str) -> tuple[dict[str, str], str]:
    """The keys with a plain value of a Markdown file's head, and the text after it.

    A head stands between two lines `---`, the first of them the first line, and begins with a key;
    everything else is text, such as a rule at the top of a page.
    """
    lines = content.split("\n")
    try:
        end = lines.index("---", 1) if lines[0].rstrip() == "---" else 0
    except ValueError:
        end = 0
    pairs = [match.groups() for line in lines[1:end] if (match := _KEY.fullmatch(line))]
    if not end or not _KEY.match(next(filter(None, lines[1:]), "")):
        return {}, content.removesuffix("\n")
    plain = {key: value.strip().strip("\"'") for key, value in pairs}
    text = "\n".join(lines[end + 1 :])
    return (
        {key: value for key, value in plain.items() if value not in _NOTHING},
        text.removeprefix("\n").removesuffix("\n"),
    )


def _has_olmocr_head(folder: DatasetFolder, file: str) -> bool:
    try:
        with opened(folder.path(file)) as page:
            head = page.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    return bool(_OLMOCR_KEYS & set(split_head(head.replace("\r\n", "\n"))[0]))
