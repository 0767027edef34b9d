"""A dataset read whole: its usable samples, and every problem of every row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import UsageError
from ..files import sha256_of
from .annotations import Annotation, find_faults
from .folder import DatasetFolder
from .formats import Reader
from .grouping import documents_of
from .pages import split_reference
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
    problems = list(folder.problems)
    rows: list[Annotation] = []
    for found in reader.read(folder):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            rows.append(found)
    without_prompt = [not row.prompt.strip() for row in rows]
    rows = list(_completed(rows, prompt))
    faults = [list(_faults_of_row(row, group_by)) for row in rows]
    _refuse_bad_flags(rows, faults, without_prompt)
    _add_repeated_ids(rows, faults)

    references = [r for row, bad in zip(rows, faults, strict=True) for r in _openable(row, bad)]
    reports = verify_pictures(folder.root, references, num_workers=num_workers, quiet=quiet)
    copies = _copies(reports)
    samples = []
    for row, bad in zip(rows, faults, strict=True):
        bad.extend(_faults_of_pictures(row, bad, reports))
        problems.extend(bad)
        if not bad:
            documents = documents_of(row, group_by)
            assert not isinstance(documents, Problem)
            samples.append(
                (row, frozenset(documents | _documents_of_copies(row, group_by, copies)))
            )
    used = [reference for row, _ in samples for reference in row.images]
    return CheckedDataset(
        samples=samples,
        problems=problems,
        num_rows=len(rows) + len(_sources_of_rows(problems) - {row.source for row in rows}),
        hashes=_hashes(folder, rows, problems, reports),
        fingerprints=fingerprints(reports, used),
    )


def _sources_of_rows(problems: Iterable[Problem]) -> set[str]:
    return {problem.source for problem in problems if problem.of_row}


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


def _refuse_bad_flags(
    rows: list[Annotation], faults: list[list[Problem]], without_prompt: list[bool]
) -> None:
    """One error where a flag, and not the dataset, is what makes every row unusable.

    Raises:
        UsageError: `--prompt` fits no row that is asked it, or `--group_by` no row at all.
    """
    asked = [bad for bad, is_asked in zip(faults, without_prompt, strict=True) if is_asked]
    for flag, kind, concerned in (("prompt", "prompt", asked), ("group_by", "no group", faults)):
        found = [[fault for fault in bad if fault.kind == kind] for bad in concerned]
        if found and all(found):
            raise UsageError(
                f"--{flag} fits none of {len(found)} rows; the first: {found[0][0].reason}"
            )


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


def _copies(reports: Mapping[str, FileReport]) -> dict[str, str]:
    """File -> the first one with the same bytes, for those that are not the first."""
    first: dict[str, str] = {}
    found = {}
    for file, report in reports.items():
        if report.sha256 and first.setdefault(report.sha256, file) != file:
            found[file] = first[report.sha256]
    return found


def _documents_of_copies(row: Annotation, group_by: str, copies: Mapping[str, str]) -> set[str]:
    """The documents of files with the same bytes as the row's: whatever pages of them are named,
    they are pages of one document."""
    images = tuple(copies.get(split_reference(image)[0], image) for image in row.images)
    if images == row.images:
        return set()
    documents = documents_of(dataclasses.replace(row, images=images), group_by)
    return set() if isinstance(documents, Problem) else documents  # a name that no row uses


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
