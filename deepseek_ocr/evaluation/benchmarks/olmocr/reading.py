"""The folder of olmOCR-bench as published -> its checks, every one validated.

    bench_data/                  the data root, or the folder above it
      arxiv_math.jsonl ...       a category each: one check a line
      pdfs/                      one-page PDFs, in folders

A PDF without a check of its own kind gets one more: `baseline`, of the category of that name.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....errors import AnnotationError, UserError
from .answer import normalized
from .checks import (
    BaselineCheck,
    Check,
    MathCheck,
    OrderCheck,
    OtherCheck,
    PresenceCheck,
    TableCheck,
)

KINDS: dict[str, type[Check]] = {
    "present": PresenceCheck,
    "absent": PresenceCheck,
    "order": OrderCheck,
    "table": TableCheck,
    "math": MathCheck,
    "baseline": BaselineCheck,
    "format": OtherCheck,
    "footnote": OtherCheck,
}
"""Of the last two, which later copies have, the rules are not part of this program."""
BASELINE = "baseline"
BENCH_DATA = "bench_data"
PDF_FOLDER = "pdfs"
_IGNORED = {"checked", "url", "type"}  # who looked at the check, where the page is from
_TEXTS = ("text", "before", "after")
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,)}
_TYPES["int | None"] = (int, type(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchData:
    """What the folder holds; `folder` is relative to the data root ("" for the root itself)."""

    folder: str
    checks: tuple[Check, ...]

    def reference(self, pdf: str, page: int) -> str:
        """A page as a test file names it."""
        prefix = f"{self.folder}/" if self.folder else ""
        return f"{prefix}{PDF_FOLDER}/{pdf}#page={page}"


def read_bench_data(data_root: Path) -> BenchData:
    """All checks below a data root, in the order of their files and lines.

    Raises:
        UserError: another layout, or a check that cannot be used (as `file:line: reason`).
    """
    folder = _find_folder(Path(data_root))
    root = Path(data_root) / folder
    pdfs = {path.relative_to(root / PDF_FOLDER).as_posix() for path in _pdfs_below(root)}
    checks: dict[str, Check] = {}
    for path in sorted(root.glob("*.jsonl")):
        for place, check in _read_checks(path):
            if check.id in checks:
                raise AnnotationError(f"{place}: the id {check.id!r} is already that of a check")
            if check.pdf not in pdfs:
                raise AnnotationError(
                    f"{place}: {PDF_FOLDER}/{check.pdf} is not in {root}; is the copy complete?"
                )
            checks[check.id] = check
    if not checks:
        raise UserError(f"{root}: its .jsonl files hold no checks; is the copy complete?")
    baselines = {check.pdf for check in checks.values() if check.kind == BASELINE}
    missing = [_baseline(pdf) for pdf in sorted(pdfs) if pdf not in baselines]
    return BenchData(folder=folder, checks=(*checks.values(), *missing))


def check_from(row: Any, category: str) -> Check:
    """An object of a .jsonl file -> its check.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(row, dict):
        raise ValueError("expected an object with the keys pdf, page, id and type")
    kind = row.get("type")
    if kind not in KINDS:
        raise ValueError(f"no kind of check is called {kind!r}; known: {', '.join(KINDS)}")
    values = {key: value for key, value in row.items() if key not in _IGNORED}
    if KINDS[kind] is OtherCheck:  # what else it says nobody looks at
        names = {field.name for field in dataclasses.fields(OtherCheck)} - {"kind", "category"}
        values = {key: value for key, value in values.items() if key in names}
    _check_types(KINDS[kind], values)
    check = KINDS[kind](kind=kind, category=category, **values)
    _check_values(check)
    return check


def _find_folder(data_root: Path) -> str:
    for folder in ("", BENCH_DATA):
        root = data_root / folder
        if (root / PDF_FOLDER).is_dir() and any(root.glob("*.jsonl")):
            return folder
    raise UserError(
        f"{data_root}: not the data of olmOCR-bench; expected .jsonl files beside a folder "
        f"{PDF_FOLDER}/, as in {BENCH_DATA}/ of huggingface.co/datasets/allenai/olmOCR-bench"
    )


def _pdfs_below(root: Path) -> Iterator[Path]:
    return (path for path in (root / PDF_FOLDER).rglob("*.pdf") if path.is_file())


def _read_checks(path: Path) -> Iterator[tuple[str, Check]]:
    """Every check of a file with its `file:line`; empty lines are none."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            yield place, check_from(json.loads(line), path.stem)
        except (ValueError, RecursionError) as error:  # no JSON and no UTF-8 are ValueErrors, too
            raise AnnotationError(f"{place}: {error}") from None


def _check_types(kind: type[Check], values: Mapping[str, Any]) -> None:
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in ("kind", "category")}
    for key, value in values.items():
        if key not in fields:
            raise ValueError(f"unknown key {key!r}; known: {', '.join(fields)}")
        expected = str(fields[key].type)
        if type(value) not in _TYPES[expected]:
            raise ValueError(f"{key!r}: expected {expected}, found {value!r:.80}")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in values:
            raise ValueError(f"no {name!r}")


def _check_values(check: Check) -> None:
    if not check.id or not check.pdf:
        raise ValueError("'id' and 'pdf' must not be empty")
    if check.pdf.startswith("/") or ".." in check.pdf.split("/"):
        raise ValueError(f"'pdf': {check.pdf!r} leads out of {PDF_FOLDER}/")
    if check.page < 1:
        raise ValueError(f"'page': pages count from 1, found {check.page}")
    if check.max_diffs < 0:
        raise ValueError(f"'max_diffs' must be at least 0, found {check.max_diffs}")
    for name in _TEXTS:
        text = getattr(check, name, None)
        if text is not None and not normalized(text).strip():
            raise ValueError(f"{name!r} is empty")
    if isinstance(check, MathCheck) and not check.math.strip():
        raise ValueError("'math' is empty")
    if isinstance(check, OrderCheck):
        shortest = min(len(normalized(check.before)), len(normalized(check.after)))
        if check.max_diffs > shortest // 2:
            raise ValueError(f"'max_diffs' {check.max_diffs} is more than half of a text")


def _baseline(pdf: str) -> Check:
    return BaselineCheck(id=f"{pdf}_baseline", kind=BASELINE, pdf=pdf, page=1, category=BASELINE)
