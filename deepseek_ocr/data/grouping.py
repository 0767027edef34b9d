"""Which samples belong together: pages of one document must not lie on both sides of a split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ..errors import UsageError
from .annotations import Annotation
from .pages import split_reference
from .problems import Problem

PAGE_ENDING = re.compile(r"[._-](page[._-]?|pg|p)?\d{1,4}$", re.IGNORECASE)


def document_of(reference: str) -> str:
    """Folder and stem of a page's file, less a page ending: `a/scan_p12.png` -> `a/scan`.

    A stem that is only a number, or nothing but an ending, stays whole.
    """
    path = PurePosixPath(split_reference(reference)[0])
    stem = PAGE_ENDING.sub("", path.stem) or path.stem
    return str(path.parent / stem)


def compile_rule(group_by: str) -> re.Pattern[str] | None:
    """The expression of `--group_by REGEX`, None for `document` and `none`.

    Raises:
        UsageError: it is not valid or has no group.
    """
    if group_by in ("document", "none"):
        return None
    try:
        rule = re.compile(group_by)
    except re.error as error:
        raise UsageError(f"--group_by: {group_by!r} is no regular expression ({error})") from None
    if not rule.groups:
        raise UsageError(
            f"--group_by: {group_by!r} has no group; put the document's part of the path into ( ), "
            "or use document or none"
        )
    return rule


def documents_of(annotation: Annotation, group_by: str) -> set[str] | Problem:
    """The documents that a sample's pictures belong to; those of a `group` of its own: that one."""
    rule = compile_rule(group_by)
    if rule is None:
        if group_by == "none":
            return {annotation.id}
        if annotation.group is not None:
            return {annotation.group}
        return {document_of(reference) for reference in annotation.images} or {annotation.id}
    documents = set()
    for reference in annotation.images:
        path = split_reference(reference)[0]
        match = rule.search(path)
        if match is None or match[1] is None:
            reason = f"{path} does not match --group_by {group_by}; widen the expression"
            return Problem(kind="no group", source=annotation.source or "", reason=reason)
        documents.add(match[1])
    return documents or {annotation.id}


def join_documents(
    samples: Sequence[tuple[Annotation, Iterable[str]]], fingerprints: Mapping[str, str]
) -> dict[str, list[int]]:
    """Document -> places in `samples`, in order, with documents joined that must stay together.

    A sample joins its own documents; two samples with the same picture (by `fingerprints`:
    reference -> a hash of its bytes) join theirs. A joined document is called by the first of its
    names in sorted order.
    """
    joined = _Joined()
    owners: dict[str, str] = {}  # picture -> one of its documents
    for annotation, documents in samples:
        first, *others = sorted(documents)
        for other in others:
            joined.join(first, other)
        for reference in annotation.images:
            picture = fingerprints.get(reference, reference)
            joined.join(first, owners.setdefault(picture, first))
    members: dict[str, list[int]] = defaultdict(list)
    for place, (_, documents) in enumerate(samples):
        members[joined.name(min(documents))].append(place)
    return dict(members)


def same_pictures(
    annotations: Iterable[Annotation], fingerprints: Mapping[str, str]
) -> list[list[str]]:
    """References of pictures with the same bytes, in groups of two or more, sorted."""
    found: dict[str, set[str]] = defaultdict(set)
    for annotation in annotations:
        for reference in annotation.images:
            if reference in fingerprints:
                found[fingerprints[reference]].add(reference)
    return sorted(sorted(references) for references in found.values() if len(references) > 1)


class _Joined:
    """Names in disjoint sets; a set is called by its smallest name."""

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def name(self, member: str) -> str:
        root = member
        while (parent := self.parents.get(root, root)) != root:
            root = parent
        while member != root:  # shorten the way for the next time
            self.parents[member], member = root, self.parents.get(member, root)
        return root

    def join(self, one: str, other: str) -> None:
        low, high = sorted((self.name(one), self.name(other)))
        self.parents[high] = low
