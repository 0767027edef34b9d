"""What a split leaves on disk: the rows of each side, and a manifest to trust or repeat it by.

No time, host or absolute path is written: the same arguments on the same data give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import make_output_dir, write_atomic
from .annotations import write_annotations
from .checking import CheckedDataset
from .earlier_split import FILE_NAMES, MANIFEST_NAME, OUTPUT_NAMES, UNFINISHED_NAME, own_names
from .grouping import same_pictures
from .splitting import Split, SplitConfig


def check_not_in_the_way(output_dir: Path, data_root: Path, dataset_files: Iterable[str]) -> None:
    """Check that a split written to `output_dir` replaces nothing but an earlier split.

    Raises:
        UserError: a file or folder that no split has written stands in the place of one of ours.
    """
    own = own_names(output_dir)
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


def write_split(
    split: Split, dataset: CheckedDataset, config: SplitConfig, format_name: str
) -> None:
    """Write `train.json`, `test.json`, perhaps `val.json`, and at last `manifest.json`.

    Files of an earlier split in the folder are replaced; without its manifest a split is not
    complete.

    Raises:
        UserError: the output folder cannot be used.
        OSError: writing failed, on a full disk perhaps; the message says what to do.
    """
    output_dir = make_output_dir(config.output_dir)
    content = manifest(split, dataset, config, format_name)
    try:
        _write(output_dir, split, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        reason = f"the split could not be written ({error.strerror}); make room and run it again"
        raise OSError(error.errno, reason, str(output_dir)) from error


def _write(output_dir: Path, split: Split, manifest_text: str) -> None:
    unfinished = output_dir / UNFINISHED_NAME  # so that files of a broken-off split are known again
    unfinished.touch()
    (output_dir / MANIFEST_NAME).unlink(missing_ok=True)
    for side, name in FILE_NAMES.items():
        if side in split.sides:
            write_annotations(output_dir / name, split.sides[side])  # type: ignore[index]
        else:
            (output_dir / name).unlink(missing_ok=True)  # rows that now belong to another side
    write_atomic(output_dir / MANIFEST_NAME, manifest_text)
    unfinished.unlink()


def manifest(
    split: Split, dataset: CheckedDataset, config: SplitConfig, format_name: str
) -> dict[str, Any]:
    """How the split was made and what went into it."""
    counts: dict[str, Any] = {
        "rows": dataset.num_rows,
        "samples": len(dataset.samples),
        "documents": sum(len(names) for names in split.documents.values()),
        "rejected": dataset.num_rows - len(dataset.samples),
    }
    for side, rows in split.sides.items():
        counts[side] = {"samples": len(rows), "documents": len(split.documents[side])}
    annotations = [annotation for annotation, _ in dataset.samples]
    return {
        "seed": config.seed,
        "arguments": {
            "format": config.format,
            "test_size": config.test_size,
            "val_size": config.val_size,
            "seed": config.seed,
            "group_by": config.group_by,
            "stratify_by": config.stratify_by,
            "prompt": config.prompt,
            "on_error": config.on_error,
        },
        "format": format_name,
        "counts": counts,
        "groups": {side: list(names) for side, names in split.documents.items()},
        "sha256": dict(dataset.hashes),
        "near_duplicates": same_pictures(annotations, dataset.fingerprints),
        "rejected": [
            {"source": problem.source, "kind": problem.kind, "reason": problem.reason}
            for problem in dataset.problems
        ],
    }
