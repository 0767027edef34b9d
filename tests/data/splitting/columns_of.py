"""Columns of samples in memory, for the tests of what groups and splits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepseek_ocr.data.annotations import Annotation
from deepseek_ocr.data.problems import Problem
from deepseek_ocr.data.splitting.columns import PictureMark, SampleColumns
from deepseek_ocr.data.splitting.config import SplitConfig
from deepseek_ocr.data.splitting.grouping import documents_of, joins_copies, stratum_of
from deepseek_ocr.data.splitting.plan import SplitPlan, plan_split


def config(**flags) -> SplitConfig:
    return SplitConfig(data_root="d", output_dir="o", **flags)


def sample(*images: str, name: str = "s", text: str = "t", **keys) -> Annotation:
    return Annotation(id=name, images=images, prompt="", text=text, source="f:1", **keys)


def columns_of(
    samples: Sequence[Annotation],
    *,
    group_by: str = "document",
    stratify_by: str | None = None,
    fingerprints: Mapping[str, str] | None = None,
    looks: Mapping[str, int] | None = None,
    files: Mapping[str, str] | None = None,
) -> SampleColumns:
    """`fingerprints` and `looks` (perceptual hashes) are by reference, `files` by path."""
    columns = SampleColumns()
    for row in samples:
        documents = documents_of(row, group_by)
        assert not isinstance(documents, Problem), documents
        columns.add(
            documents=documents,
            text=row.text,
            pictures=[
                PictureMark(name, (fingerprints or {}).get(name, name), (looks or {}).get(name))
                for name in row.images
            ],
            files={
                (files or {}).get(name.partition("#")[0], name)
                for name in row.images
                if joins_copies(row, group_by)
            },
            stratum=stratum_of(row, stratify_by),
        )
    return columns


def plan(samples: Sequence[Annotation], flags: SplitConfig, **marks) -> SplitPlan:
    """The split of samples in memory."""
    columns = columns_of(samples, group_by=flags.group_by, stratify_by=flags.stratify_by, **marks)
    return plan_split(columns, flags, samples.__getitem__)


def ids_of(split: SplitPlan, samples: Sequence[Annotation]) -> dict[str, list[str]]:
    """The ids of each side's samples, in order."""
    sides: dict[str, list[str]] = {side: [] for side in split.sides}
    for place, row in enumerate(samples):
        sides[split.side(place)].append(row.id)
    return sides
