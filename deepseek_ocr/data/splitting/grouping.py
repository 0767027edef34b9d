"""Which samples belong together: pages of one document must not lie on both sides of a split."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from ...errors import UsageError
from ..annotations import Annotation
from ..pages.references import parse_reference, split_reference
from ..problems import Problem

PAGE_ENDING = re.compile(r"[._-](page[._-]?|pg|p)?\d{1,4}$", re.IGNORECASE)
KEY_RULE = re.compile(r"key:(?P<name>[^()]+)", re.DOTALL)  # no REGEX: those have a ( )
NO_VALUE = "(none)"

_NUMBERED = re.compile(r"(.*/)?\d+(\.\w+)?", re.DOTALL)


def document_of(reference: str) -> str:
    """Folder and stem of a page's file, less a page ending: `a/scan_p12.png` -> `a/scan`.

    A stem that is only a number, or nothing but an ending, stays whole.
    """
    return _document_of_path(split_reference(reference)[0])


def _document_of_path(path: str) -> str:
    if "//" in path or "./" in path or path.endswith(("/", "/.")):
        path = str(PurePosixPath(path))  # as plain as most are: ten times faster without
    folder, slash, name = path.rpartition("/")
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return folder + slash + (PAGE_ENDING.sub("", stem) or stem)


def _document_of_picture(reference: str, held_names: Mapping[str, str]) -> str:
    """As `document_of`; of a picture within a row by its own path, or else the row.

    An own path that is only a number says which picture it is, and nothing of a document.
    """
    if "#" not in reference or not (named := parse_reference(reference)).is_embedded:
        return document_of(reference)
    path = held_names.get(reference, "")
    if path and not _NUMBERED.fullmatch(path):
        return _document_of_path(path)
    return str(dataclasses.replace(named, image=None, crop=False))


def compile_rule(group_by: str) -> re.Pattern[str] | None:
    """The expression of `--group_by REGEX`, None for `document`, `none` and `key:NAME`.

    Raises:
        UsageError: it is not valid or has no group.
    """
    if group_by in ("document", "none") or KEY_RULE.fullmatch(group_by):
        return None
    try:
        rule = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group_by: {group_by!r} is no regular expression ({error})") from None
    if not rule.groups:
        raise UsageError(
            f"--group_by: {group_by!r} has no group; put the document's part of the path into ( ), "
            "or use document, none or key:NAME"
        )
    return rule


def documents_of(annotation: Annotation, group_by: str) -> set[str] | Problem:
    """The documents that a sample's pictures belong to; those of a `group` of its own: that one.

    With `key:NAME` the document is the value of that key, whatever the pictures are.
    """
    if group_by == "none":
        return {annotation.id}
    if group_by == "document":
        if annotation.group is not None:
            return {annotation.group}
        held = annotation.held_names
        found = {_document_of_picture(reference, held) for reference in annotation.images}
        return found or {annotation.id}
    key = KEY_RULE.fullmatch(group_by)
    return _by_key(annotation, key["name"]) if key else _by_expression(annotation, group_by)


def joins_copies(annotation: Annotation, group_by: str) -> bool:
    """Whether copies of a file under other names are one document, as the file's pages are.

    Not where a row says itself to which document it belongs, or is one for itself.
    """
    if group_by == "none" or KEY_RULE.fullmatch(group_by):
        return False
    return annotation.group is None or group_by != "document"


def stratum_of(annotation: Annotation, key: str | None) -> str:
    """The value that `--stratify_by` spreads over the sides; `NO_VALUE` for a row without it."""
    if key is None:
        return ""
    value = value_of(annotation, key)
    return NO_VALUE if value is None else value


def value_of(annotation: Annotation, key: str) -> str | None:
    """A plain value of the row a sample was read from, by its key."""
    if key in ("lang", "group"):
        return getattr(annotation, key) or None
    return annotation.attributes.get(key)


def _by_key(annotation: Annotation, key: str) -> set[str] | Problem:
    value = value_of(annotation, key)
    if value is not None:
        return {value}
    known = sorted(annotation.attributes)
    known += [name for name in ("lang", "group") if getattr(annotation, name)]
    found = ", ".join(dict.fromkeys(known)) or "none"
    reason = f"no value under the key {key!r} of --group_by; found: {found}"
    return Problem(kind="no group", source=annotation.source or "", reason=reason)


def _by_expression(annotation: Annotation, group_by: str) -> set[str] | Problem:
    rule = compile_rule(group_by)
    assert rule is not None
    documents = set()
    for reference in annotation.images:
        path = split_reference(reference)[0]
        match = rule.search(path)
        if match is None or match[1] is None:
            reason = f"{path} does not match --group_by {group_by}; widen the expression"
            return Problem(kind="no group", source=annotation.source or "", reason=reason)
        documents.add(match[1])
    return documents or {annotation.id}
