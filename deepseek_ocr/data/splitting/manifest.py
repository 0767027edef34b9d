"""What `manifest.json` says of a split: enough to trust it, to repeat it and to notice changes.

| key | |
|---|---|
| `seed`, `arguments`, `format` | how it was made |
| `counts` | rows, samples, documents, rejected rows, problems of files in no row; each side |
| `groups` | names of the documents of each side, sorted |
| `joined` | documents that were joined to others: the name they go by, and the others |
| `moved` | documents that could not stay on the side that `--keep_sides` gave them |
| `sha256` | of every file that was read or has the ending of annotations, by path, sorted |
| `not_read` | the files below the data root that were not read |
| `near_duplicates` | references of pictures and texts that are the same or alike, with the rule |
| `rejected` | every problem: source (`file:line`), kind, reason |
| `written` | SHA-256 of the split's own files |

No time, host or absolute path stands in it, and nothing that changes with versions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files import sha256_of
from ..checking.dataset import CheckedDataset
from ..json_files.stream import Elements, Members
from .config import SplitConfig
from .plan import SplitPlan

NO_RULES = ("data_root", "output_dir")  # where, not how


def manifest(
    plan: SplitPlan, dataset: CheckedDataset, config: SplitConfig, format_name: str
) -> dict[str, Any]:
    """All but `written`, which comes last; for `write_json`."""
    sides = plan.sides
    counts: dict[str, Any] = {
        "rows": dataset.num_rows,
        "samples": len(dataset.samples),
        "documents": sum(plan.num_documents(side) for side in sides),
        "rejected": dataset.num_rows - len(dataset.samples),
        "files_in_no_row": len(dataset.problems) - dataset.problems.num_in_rows,
    }
    for side in sides:
        counts[side] = {
            "samples": plan.num_samples(side),
            "documents": plan.num_documents(side),
        }
    return {
        "seed": config.seed,
        "arguments": arguments(config),
        "format": format_name,
        "counts": counts,
        "groups": {side: Elements(plan.documents(side)) for side in sides},
        "joined": Members(plan.joined()),
        "moved": Elements(moved.to_json() for moved in plan.moved),
        "sha256": Members(dataset.hashes()),
        "not_read": Elements(dataset.not_read()),
        "near_duplicates": Elements(plan.near_duplicates()),
        "rejected": Elements(_rejected(dataset)),
    }


def arguments(config: SplitConfig) -> dict[str, Any]:
    """The flags that decide on the result; a file named by one as its SHA-256."""
    found = {}
    for field in dataclasses.fields(SplitConfig):
        value = getattr(config, field.name)
        if field.name not in NO_RULES:
            found[field.name] = sha256_of(value) if isinstance(value, Path) else value
    return found


def _rejected(dataset: CheckedDataset) -> Iterator[dict[str, str]]:
    for problem in dataset.problems:
        yield {"source": problem.source, "kind": problem.kind, "reason": problem.reason}
