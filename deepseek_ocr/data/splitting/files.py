"""What a split leaves on disk: the rows of each side, and a manifest to trust or repeat it by.

No time, host or absolute path is written: the same arguments on the same data give the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import UserError
from ...files import make_output_dir, replacing, sha256_of
from ..annotations import Annotation, annotation_file
from ..checking.dataset import CheckedDataset
from ..exporting.split_exports import finish_exports, remove_stale_exports, write_export
from ..json_files.stream import write_json
from .config import SplitConfig
from .earlier_split import (
    FILE_NAMES,
    MANIFEST_NAME,
    OUTPUT_NAMES,
    UNFINISHED_NAME,
    own_names,
    written_hashes,
)
from .manifest import manifest
from .plan import SplitPlan


def check_not_in_the_way(output_dir: Path, data_root: Path, dataset_files: Iterable[str]) -> None:
    """Check that a split written to `output_dir` replaces nothing but an earlier split.

    Raises:
        UserError: a file or folder that no split has written stands in the place of one of ours,
            or rows that were changed since.
    """
    own, written = own_names(output_dir), written_hashes(output_dir)
    read = {
        (data_root / file).resolve() for file in dataset_files if Path(file).name in OUTPUT_NAMES
    }
    for name in OUTPUT_NAMES:
        path = output_dir / name
        if path.is_dir():
            raise UserError(f"{path}: is a folder where a file must go; name another --output_dir")
        foreign = path.exists() and name not in own
        replaced = foreign and (name in FILE_NAMES.values() or name == MANIFEST_NAME)
        if replaced or (path.exists() and path.resolve() in read):
            raise UserError(
                f"{path}: was not written by an earlier split and would be lost; "
                "name another --output_dir, or move the file away"
            )
        if name in written and path.exists() and sha256_of(path) != written[name]:
            raise UserError(
                f"{path}: was changed since an earlier split wrote it and would be lost; "
                "name another --output_dir, or move the file away"
            )


def write_split(
    plan: SplitPlan,
    dataset: CheckedDataset,
    config: SplitConfig,
    format_name: str,
    export_as: Sequence[str] = (),
) -> list[str]:
    """Write `train.json`, `test.json`, perhaps `val.json`, and at last `manifest.json`.

    Files of an earlier split in the folder are replaced, once the new rows are all on disk;
    without its manifest a split is not complete. `export_as`: also in the shapes of other tools.
    Returned are the files of an earlier split that have no successor, and are removed.

    Raises:
        UserError: the output folder cannot be used.
        OSError: writing failed, on a full disk perhaps; the message says what to do.
    """
    output_dir = make_output_dir(config.output_dir)
    content = manifest(plan, dataset, config, format_name)
    try:
        names = [FILE_NAMES[side] for side in plan.sides]
        for name in export_as:
            sides = {side: _rows_of(side, plan, dataset.samples) for side in plan.sides}
            names += write_export(output_dir, name, sides)
        removed = _write_sides(output_dir, plan, dataset.samples)
        removed += remove_stale_exports(output_dir, kept=export_as)
        content["written"] = {name: sha256_of(output_dir / name) for name in names}
        _write_manifest(output_dir / MANIFEST_NAME, content)
        finish_exports(output_dir, export_as)
    except OSError as error:
        raise OSError(error.errno, _not_written(output_dir, error), str(output_dir)) from error
    (output_dir / UNFINISHED_NAME).unlink()
    return removed


def _not_written(output_dir: Path, error: OSError) -> str:
    """What happened to which file, what is left behind, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    reason = f"the split could not be written ({where}{error.strerror}); "
    if (output_dir / UNFINISHED_NAME).exists():
        reason += f"its files are not whole, as {UNFINISHED_NAME} in it tells the next run; "
    return reason + "make room and run it again"


def _write_sides(output_dir: Path, plan: SplitPlan, samples: Iterable[Annotation]) -> list[str]:
    """Write the rows of each side; the files of sides that there are no more, which are removed."""
    removed = []
    with contextlib.ExitStack() as files:  # at its end each file takes its place
        write: dict[str, Callable[[Annotation], None]] = {
            side: files.enter_context(annotation_file(output_dir / FILE_NAMES[side]))
            for side in plan.sides
        }
        for place, row in enumerate(samples):
            write[plan.side(place)](dataclasses.replace(row, group=plan.group(place)))
        (output_dir / UNFINISHED_NAME).touch()  # so that a broken-off split is known again
        (output_dir / MANIFEST_NAME).unlink(missing_ok=True)
    for side, name in FILE_NAMES.items():
        if side not in plan.sides and (output_dir / name).exists():
            (output_dir / name).unlink()  # rows that now belong to another side
            removed.append(name)
    return removed


def _rows_of(side: str, plan: SplitPlan, samples: Iterable[Annotation]) -> Iterator[Annotation]:
    for place, row in enumerate(samples):
        if plan.side(place) == side:
            yield dataclasses.replace(row, group=plan.group(place))


def _write_manifest(path: Path, content: Mapping[str, object]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write_json(file, content)
        file.write("\n")
