"""A dataset read whole: its usable samples, and every problem of every row.

Rows lie on disk, their columns in memory. `reading` is the first pass, then all pictures are opened
once (`verification`), then each row is made complete and judged (`judging`).
"""

from __future__ import annotations

import dataclasses
import heapq
import os
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from ...files import sha256_of
from ...pictures import MAX_PIXELS
from ...progress import Progress
from ..annotations import Annotation
from ..dataset_config import Target
from ..folder import ANNOTATION_SUFFIXES, DatasetFolder, unread_picture
from ..formats import Reader
from ..inspection.perceptual_hash import BLANK
from ..inspection.verification import PageReport, PictureReports, verify_pictures
from ..pages.references import parse_reference
from ..problems import Problem, Problems
from ..splitting.columns import PictureMark, SampleColumns
from ..splitting.grouping import documents_of, joins_copies, stratum_of
from ..truth.targets import prepare_truth
from .annotation_spool import annotation_spool
from .flag_use import FlagUse
from .judging import Judge
from .reading import RowsRead, read_dataset
from .spool import Spool

WORTH_A_BAR = 100_000  # rows


@dataclasses.dataclass(kw_only=True)
class CheckedDataset:
    """What a reader found in a folder; a context manager that gives its disk space back.

    `samples` can be used, in the reader's order, and `columns` hold what decides on their sides;
    `num_rows` counts them and the rejected ones; `pictures` knows sizes and hashes of all pages.
    """

    folder: DatasetFolder
    samples: Spool[Annotation]
    columns: SampleColumns
    problems: Problems
    num_rows: int
    pictures: PictureReports
    annotation_files: set[str]

    def __enter__(self) -> CheckedDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.samples.close()
        self.columns.close()
        self.problems.close()
        self.pictures.close()

    def not_read(self) -> Iterator[str]:
        """The other files of the folder, in its order."""
        for file in self.folder.files:
            is_annotation = file in self.annotation_files and _is_readable(self.folder.path(file))
            if not is_annotation and not self._is_picture(file):
                yield file

    def hashes(self) -> Iterator[tuple[str, str]]:
        """Path and SHA-256 ("" where it cannot be read) of files, sorted by path.

        Those that were read, and all that are annotations by their name: one that was not read
        today may be read once it has changed.
        """
        by_name = self.folder.with_suffix(*ANNOTATION_SUFFIXES)
        pictures = ((path, report.sha256) for path, report in self.pictures.files())
        others = ((path, "") for path in sorted(self.annotation_files.union(by_name)))
        for path, found in groupby(heapq.merge(pictures, others), key=itemgetter(0)):
            sha256 = max(known for _, known in found) or _sha256_of(self.folder.path(path))
            if sha256 or self.folder.path(path).is_file():
                yield path, sha256

    def _is_picture(self, file: str) -> bool:
        return _knows(self.pictures, file) and bool(self.pictures.file(file).sha256)


def check_dataset(
    folder: DatasetFolder,
    reader: Reader,
    *,
    prompt: str,
    group_by: str,
    stratify_by: str | None = None,
    target: Target = "auto",
    normalize: str = "none",
    max_pixels: int = MAX_PIXELS,
    num_workers: int = 0,
    cache: Path | None = None,
    quiet: bool = True,
) -> CheckedDataset:
    """Read all rows, open all pictures; nothing raises for a bad row, all problems are collected.

    `prompt` is asked where a row has none; the other rules as in `SplitConfig`; `num_workers` and
    `cache` as for `verify_pictures`.

    Raises:
        UsageError: a flag, and not the dataset, is what makes every row unusable.
    """
    problems = Problems(folder.problems)
    flags = FlagUse(prompt, group_by)

    def prepared(row: Annotation) -> Annotation | Problem:
        flags.note(row)
        return prepare_truth(row, target=target, normalize=normalize)

    read = read_dataset(folder, reader, problems, prepared)
    flags.check()
    pictures = verify_pictures(
        folder.root,
        read.references,
        num_workers=num_workers,
        max_pixels=max_pixels,
        cache=cache,
        quiet=quiet,
    )
    dataset = CheckedDataset(
        folder=folder,
        samples=annotation_spool(),
        columns=SampleColumns(),
        problems=problems,
        num_rows=len(read.rows) + read.num_lost,
        pictures=pictures,
        annotation_files=read.files,
    )
    problems.extend(unread_picture(f) for f in folder.unread_pictures if not _knows(pictures, f))
    judge = Judge(folder.root, pictures, prompt=prompt, target=target, max_pixels=max_pixels)
    judge_rows(dataset, read, judge, group_by, stratify_by, quiet)
    read.close()
    return dataset


def _knows(pictures: PictureReports, file: str) -> bool:
    """Whether a row names the file."""
    try:
        pictures.file(file)
    except KeyError:
        return False
    return True


def judge_rows(
    dataset: CheckedDataset,
    read: RowsRead,
    judge: Judge,
    group_by: str,
    stratify_by: str | None,
    quiet: bool,
) -> None:
    """The second pass: every row that `read` holds, to the dataset's samples or its problems."""
    num_rows = len(read.rows)
    read.held_names.compare(read.rows, dataset.pictures)
    with Progress(num_rows, "rows", "checked", quiet=quiet or num_rows < WORTH_A_BAR) as progress:
        for flawed, given in zip(read.flawed, read.rows, strict=True):
            row, pages, faults = judge.judged(read.held_names.believed(given))
            documents = _documents(row, group_by, faults)
            dataset.problems.extend(faults)
            if not faults and not flawed:
                dataset.samples.append(row)
                dataset.columns.add(
                    documents=documents,
                    text=row.text,
                    pictures=_marks(row, pages),
                    files=_files(row, group_by, dataset.pictures),
                    stratum=stratum_of(row, stratify_by),
                )
            progress.advance()


def _documents(row: Annotation, group_by: str, faults: list[Problem]) -> set[str]:
    """The documents of a row; if they cannot be told that is added to its `faults`."""
    if any(fault.kind == "bad path" for fault in faults):
        return set()
    documents = documents_of(row, group_by)
    if isinstance(documents, Problem):
        faults.append(documents)
        return set()
    return documents


def _marks(row: Annotation, pages: list[PageReport]) -> Iterator[PictureMark]:
    for reference, page in zip(row.images, pages, strict=True):
        seen = None if page.perceptual_hash == BLANK else page.perceptual_hash
        yield PictureMark(reference, page.fingerprint, seen)


def _files(row: Annotation, group_by: str, pictures: PictureReports) -> Iterator[str]:
    """SHA-256 of the files of several pages that the row shows, if copies are one document.

    Of other files a copy is the same picture.
    """
    if not any("#page=" in reference for reference in row.images):
        return
    if joins_copies(row, group_by):
        for path in {parse_reference(reference).path for reference in row.images}:
            file = pictures.file(path)
            if file.num_pages > 1:
                yield file.sha256


def _sha256_of(path: Path) -> str:
    return sha256_of(path) if _is_readable(path) else ""  # why not is among the problems


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
