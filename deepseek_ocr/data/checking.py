"""A dataset read whole: its usable samples, and every problem of every row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..files import sha256_of
from .annotations import Annotation, find_faults
from .folder import DatasetFolder
from .formats import Reader
from .grouping import documents_of
from .problems import Problem
from .prompts import for_images, typed_prompt, with_image_tokens
from .verification import FileReport, fingerprints, verify_pictures


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedDataset:
    """What a reader found in a folder.

    `samples` can be used, each with the names of its documents; `num_rows` counts them and the
    rejected ones; `hashes` are the SHA-256 of all files read, by relative path; `fingerprints`
    those of the pages that references name.
    """

    samples: list[tuple[Annotation, frozenset[str]]]
    problems: list[Problem]
    num_rows: int
    hashes: Mapping[str, str]
    fingerprints: Mapping[str, str]


def check_dataset(
    folder: DatasetFolder,
    reader: Reader,
    *,
    prompt: str,
    group_by: str,
    num_workers: int = 0,
    quiet: bool = True,
) -> CheckedDataset:
    """Read all rows, open all pictures; nothing raises for a bad row, all problems are collected.

    `prompt` is asked where a row has none; `group_by` as in `SplitConfig`.
    """
    problems = [_bad_name(file) for file in folder.unnameable]
    rows: list[Annotation] = []
    for found in reader.read(folder):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            rows.append(found)
    rows = list(_completed(rows, prompt))
    faults = [list(_faults_of_row(row, group_by)) for row in rows]
    _add_repeated_ids(rows, faults)

    references = [r for row, bad in zip(rows, faults, strict=True) for r in _openable(row, bad)]
    reports = verify_pictures(folder.root, references, num_workers=num_workers, quiet=quiet)
    samples = []
    for row, bad in zip(rows, faults, strict=True):
        bad.extend(_faults_of_pictures(row, bad, reports))
        problems.extend(bad)
        if not bad:
            documents = documents_of(row, group_by)
            assert not isinstance(documents, Problem)
            samples.append((row, frozenset(documents)))
    used = [reference for row, _ in samples for reference in row.images]
    return CheckedDataset(
        samples=samples,
        problems=problems,
        num_rows=len(rows) + len({p.source for p in problems} - {row.source for row in rows}),
        hashes=_hashes(folder, rows, problems, reports),
        fingerprints=fingerprints(reports, used),
    )


def _completed(rows: Iterable[Annotation], prompt: str) -> Iterator[Annotation]:
    """The rows with the id and the prompt that they may lack."""
    default = typed_prompt(prompt)
    given: dict[str, int] = {}
    for row in rows:
        count = len(row.images)
        asked = (
            with_image_tokens(row.prompt, count)
            if row.prompt.strip()
            else for_images(default, count)
        )
        name = row.id
        if not name:
            name = row.images[0] if row.images else row.source or "row"
            given[name] = given.get(name, 0) + 1
            name += f"~{given[name]}" if given[name] > 1 else ""
        yield dataclasses.replace(row, id=name, prompt=asked)


def _faults_of_row(row: Annotation, group_by: str) -> Iterator[Problem]:
    bad_path = False
    for kind, reason in find_faults(row):
        bad_path = bad_path or kind == "bad path"
        yield Problem(kind=kind, source=row.source or "", reason=reason)
    if not bad_path:
        documents = documents_of(row, group_by)
        if isinstance(documents, Problem):
            yield documents


def _add_repeated_ids(rows: list[Annotation], faults: list[list[Problem]]) -> None:
    first: dict[str, Annotation] = {}
    for row, bad in zip(rows, faults, strict=True):
        earlier = first.setdefault(row.id, row)
        if earlier is not row:
            reason = f"the id {row.id!r} is already that of {earlier.source}; give it another"
            bad.append(Problem(kind="duplicate id", source=row.source or "", reason=reason))


def _openable(row: Annotation, faults: Iterable[Problem]) -> tuple[str, ...]:
    return () if any(fault.kind == "bad path" for fault in faults) else row.images


def _faults_of_pictures(
    row: Annotation, faults: Iterable[Problem], reports: Mapping[str, FileReport]
) -> Iterator[Problem]:
    for reference in dict.fromkeys(_openable(row, faults)):
        file = reference if reference in reports else reference.rpartition("#")[0]
        reason = reports[file].faults.get(reference)
        if reason:
            yield Problem(kind="unreadable picture", source=row.source or "", reason=reason)


def _bad_name(file: str) -> Problem:
    reason = "the file's name is not UTF-8; rename it"
    return Problem(kind="bad file name", source=file, reason=reason)


def _hashes(
    folder: DatasetFolder,
    rows: Iterable[Annotation],
    problems: Iterable[Problem],
    reports: Mapping[str, FileReport],
) -> dict[str, str]:
    """SHA-256 of every annotation file and picture, by relative path, sorted."""
    found = {file: report.sha256 for file, report in reports.items() if report.sha256}
    sources = {row.source for row in rows if row.source} | {p.source for p in problems}
    for source in sources:
        file = source if source in folder.names else source.rpartition(":")[0]
        if file in folder.names and file not in found and _is_readable(folder.path(file)):
            found[file] = sha256_of(folder.path(file))
    return dict(sorted(found.items()))


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
