"""What a split leaves on disk: the rows of each side, and a manifest to trust or repeat it by.

No time, host or absolute path is written: the same arguments on the same data give the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

from ..files import make_output_dir, write_atomic
from .annotations import write_annotations
from .checking import CheckedDataset
from .grouping import same_pictures
from .splitting import Split, SplitConfig

FILE_NAMES = {"train": "train.json", "val": "val.json", "test": "test.json"}
MANIFEST_NAME = "manifest.json"


def write_split(
    split: Split, dataset: CheckedDataset, config: SplitConfig, format_name: str
) -> None:
    """Write `train.json`, `test.json`, perhaps `val.json`, and at last `manifest.json`.

    Files of an earlier split in the folder are replaced; without its manifest a split is not
    complete.

    Raises:
        UserError: the output folder cannot be used.
    """
    output_dir = make_output_dir(config.output_dir)
    (output_dir / MANIFEST_NAME).unlink(missing_ok=True)
    for side, name in FILE_NAMES.items():
        if side in split.sides:
            write_annotations(output_dir / name, split.sides[side])  # type: ignore[index]
        else:
            (output_dir / name).unlink(missing_ok=True)  # rows that now belong to another side
    content = manifest(split, dataset, config, format_name)
    write_atomic(
        output_dir / MANIFEST_NAME, json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    )


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
