"""Another reader on the same rows, to put beside: `--baseline tesseract`.

Tesseract runs as a program, once a page, on one core each, as many at a time as there are cores;
its text is taken as it comes, but for the line ends at the end of a page. Pages of one row are
joined by an empty line. What it read is kept in `baseline.jsonl`, so that a test that goes on, or a
second one in the same folder, does not read the same pictures again.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from pathlib import Path
from typing import Any

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..data.pages.references import split_reference
from ..errors import UsageError, UserError
from ..files import append_line, write_atomic
from ..inference.results import PageResult
from ..progress import Progress
from .evaluate import ScoredRow, failed, score_row
from .file_states import digest, file_state
from .loading import new_pool, reason_of
from .predictions import ReadRow, json_line, read_predictions, scored_row
from .scoring import num_cores

BASELINE_NAME = "baseline.jsonl"
TIMEOUT_S = 300.0
"""For one page; a page of a newspaper takes some 30 seconds."""

INSTALL = "Debian and Ubuntu: apt-get install tesseract-ocr{package}; macOS: brew install {brew}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tesseract:
    """An installed Tesseract, the languages that it is to read, and what it takes a picture for."""

    program: str
    version: str
    lang: str
    psm: int | None = None

    @property
    def name(self) -> str:
        """As it stands over its column: `tesseract 5.3.0`."""
        return f"tesseract {self.version}"

    def read(self, picture: bytes) -> str:
        """The text of a page, given as a PNG.

        Raises:
            UserError: the program failed, or took longer than `TIMEOUT_S`.
        """
        command = [self.program, "stdin", "stdout", "-l", self.lang, "-c", "page_separator="]
        if self.psm is not None:
            command += ["--psm", str(self.psm)]
        # One core a page: with its own threads it is slower, and pages are read side by side.
        environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
        try:
            done = subprocess.run(
                command, input=picture, capture_output=True, timeout=TIMEOUT_S, env=environment
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"tesseract took longer than {TIMEOUT_S:.0f} s") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise UserError(f"tesseract ended with {done.returncode}: {said[-1] if said else '-'}")
        return done.stdout.decode("utf-8", "replace").rstrip("\n\f")


def find_tesseract(lang: str, psm: int | None = None) -> Tesseract:
    """The Tesseract on the PATH.

    Raises:
        UsageError: it is not installed, or does not have a language.
    """
    program = shutil.which("tesseract")
    if program is None:
        raise UsageError(
            "--baseline tesseract: no program of this name on the PATH; "
            + INSTALL.format(package="", brew="tesseract")
        )
    first_line = _said([program, "--version"]).partition("\n")[0]
    known = _said([program, "--list-langs"]).splitlines()[1:]
    missing = [name for name in lang.split("+") if name not in known]
    if missing:
        package = "-" + missing[0].rpartition("/")[2].lower().replace("_", "-")
        raise UsageError(
            f"--tesseract_lang: {missing[0]!r} is not installed; there are {', '.join(known)}. "
            + INSTALL.format(package=package, brew="tesseract-lang")
        )
    version = first_line.rpartition(" ")[2]
    return Tesseract(program=program, version=version, lang=lang, psm=psm)


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"--baseline tesseract: {command[0]} cannot be run ({error})") from None
    return done.stdout.strip() or done.stderr.strip()


def baseline_rows(
    tesseract: Tesseract,
    annotations: Sequence[Annotation],
    data_root: Path,
    output_dir: Path,
    *,
    reuse: bool,
    quiet: bool = False,
) -> list[ScoredRow]:
    """Tesseract's row for each annotation, each on disk as soon as it is read.

    `reuse` takes what the same program has read of the same pictures in this folder before; what it
    read of rows that are not asked for now (`--limit`) stays in the file, too.
    """
    file = _BaselineFile(output_dir / BASELINE_NAME, tesseract, data_root)
    before = file.read() if reuse else {}
    known = file.usable(before, annotations)
    asked = {annotation.id for annotation in annotations}
    others = [row for row in before.values() if row.id not in asked and file.wrote(row)]
    file.write(known.values(), others)
    left = [annotation for annotation in annotations if annotation.id not in known]
    with Progress(len(annotations), "rows", "tesseract", start=len(known), quiet=quiet) as progress:
        for row in _read_rows(tesseract, left, data_root):
            file.append(row)
            known[row.annotation.id] = row
            progress.advance()
    rows = [known[annotation.id] for annotation in annotations]
    file.write(rows, others)
    return rows


@dataclasses.dataclass(frozen=True)
class _BaselineFile:
    """What was read, with what decides it: program, languages, the state of the pictures."""

    path: Path
    tesseract: Tesseract
    data_root: Path

    def read(self) -> dict[str, ReadRow]:
        """By id all rows that are there; none of a file that cannot be read."""
        if not self.path.exists():
            return {}
        try:
            return {row.id: row for row in read_predictions(self.path, may_be_torn=True)}
        except UserError:
            return {}

    def wrote(self, row: ReadRow) -> bool:
        """Whether it is one of this file's rows, and not somebody else's."""
        return isinstance(row.values.get("reader"), str) and "pictures" in row.values

    def usable(
        self, rows: Mapping[str, ReadRow], annotations: Sequence[Annotation]
    ) -> dict[str, ScoredRow]:
        """By id those of the rows that would be read the same again."""
        found = {}
        for annotation in annotations:
            row = rows.get(annotation.id)
            if (
                row is not None
                and row.values.get("status") in ("ok", "empty")  # a failure may be the machine's
                and self._deciding(annotation).items() <= row.values.items()
            ):
                found[annotation.id] = scored_row(row, annotation)
        return found

    def append(self, row: ScoredRow) -> None:
        append_line(self.path, self._line(row))

    def write(self, rows: Iterable[ScoredRow], others: Sequence[ReadRow]) -> None:
        lines = [*map(self._line, rows), *(json_line(row.values) for row in others)]
        write_atomic(self.path, "".join(line + "\n" for line in lines))

    def _line(self, row: ScoredRow) -> str:
        values = {
            "id": row.annotation.id,
            "prediction": row.prediction,
            "status": row.result.status,
            "reason": row.result.reason,
            "seconds": round(row.result.seconds, 4),
            "cer": row.score.cer,
            "wer": row.score.wer,
        }
        return json_line(values | self._deciding(row.annotation))

    def _deciding(self, annotation: Annotation) -> dict[str, Any]:
        states = [[image, *self._state(image)] for image in annotation.images]
        return {
            "reader": self.tesseract.name,
            "lang": self.tesseract.lang,
            "psm": self.tesseract.psm,
            "pictures": digest(states)[:16],
        }

    def _state(self, reference: str) -> list[int]:
        try:
            return file_state(self.data_root / split_reference(reference)[0])
        except UserError:  # given answers may name what is no page
            return []


def _read_rows(
    tesseract: Tesseract, annotations: Sequence[Annotation], data_root: Path
) -> Iterator[ScoredRow]:
    """The rows in order, some of them read ahead."""
    read = partial(read_row, tesseract, data_root)
    ahead = 4 * num_cores()
    if not annotations:
        return
    pool = new_pool(min(num_cores(), len(annotations)))
    try:
        under_way: list[Future[PageResult]] = []
        for number, annotation in enumerate(annotations):
            try:
                for later in annotations[number + len(under_way) : number + ahead]:
                    under_way.append(pool.submit(read, later))
                result = under_way.pop(0).result()
            except BrokenExecutor:  # this page, or one beside it, ended the process
                under_way = []
                pool.shutdown(wait=False)
                pool = new_pool(min(num_cores(), len(annotations)))
                result = _read_alone(read, annotation)
            yield score_row(annotation, result)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_alone(read: Callable[[Annotation], PageResult], annotation: Annotation) -> PageResult:
    with new_pool(1) as pool:
        try:
            return pool.submit(read, annotation).result()
        except BrokenExecutor:
            return failed(annotation.prompt, reason="ended the process that read it, twice")


def read_row(tesseract: Tesseract, data_root: Path, annotation: Annotation) -> PageResult:
    """All pages of one row; failed, with the reason, where one cannot be opened or read."""
    began = time.perf_counter()
    if not annotation.images:
        return failed(annotation.prompt, reason="no picture to read")
    try:
        texts = [tesseract.read(_png(data_root, image)) for image in annotation.images]
    except Exception as error:  # noqa: BLE001  recorded in the row's result
        return failed(annotation.prompt, reason=reason_of(error))
    text = "\n\n".join(texts)
    return PageResult(
        text=text,
        status="ok" if text.strip() else "empty",
        prompt=annotation.prompt,
        seconds=time.perf_counter() - began,
    )


def _png(data_root: Path, reference: str) -> bytes:
    content = io.BytesIO()
    load_page(data_root, reference).save(content, "PNG", compress_level=1)
    return content.getvalue()
