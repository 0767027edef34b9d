"""The flags of `data_utils.py`: how a dataset is read, and how it is split."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

from ...errors import UsageError
from ..dataset_config import DatasetConfig

Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitConfig(DatasetConfig):
    """The flags of `data_utils.py`."""

    data_root: Annotated[Path, "folder with the pictures and their annotations"]
    output_dir: Annotated[Path, "folder for train.json, test.json and manifest.json"]
    test_size: Annotated[float, "share of the documents for testing; from 1: their number"] = 0.1
    val_size: Annotated[float, "as test_size, for val.json; 0: none"] = 0.0
    seed: Annotated[int, "same seed and dataset, same split"] = 42
    split: Annotated[
        Literal["random", "hash"],
        "random: the shares as exactly as can be; hash: each document by a hash of its name, so "
        "that documents added later leave the others where they are, unless one is a copy of an "
        "old one or joined to it otherwise (--keep_sides keeps all)",
    ] = "random"
    keep_sides: Annotated[
        Path | None, "manifest.json of an earlier split, whose documents stay where they were"
    ] = None
    near_duplicates: Annotated[
        Literal["all", "pictures", "bytes"],
        "kept on one side too: pictures of the same bytes, those that look alike and have the same "
        "text (pictures), and long texts that are the same (all)",
    ] = "all"
    stratify_by: Annotated[
        str | None, "key whose values are spread evenly over the sides, such as lang"
    ] = None
    on_error: Annotated[
        Literal["stop", "skip"], "bad rows: stop and write nothing, or leave them out"
    ] = "stop"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name in ("test_size", "val_size"):
            size = getattr(self, name)
            if not 0 <= size < math.inf or (size > 1 and size != int(size)):
                raise UsageError(
                    f"--{name}: expected a share below 1 or a whole number, got {size}"
                )
            if self.split == "hash" and size >= 1:
                raise UsageError(
                    f"--{name} {size:g}: --split hash gives shares, not numbers; expected a share "
                    "below 1"
                )
        if self.test_size < 1 and self.val_size < 1 and self.test_size + self.val_size >= 1:
            raise UsageError(
                f"--test_size {self.test_size} and --val_size {self.val_size} leave nothing for "
                "training; expected a sum below 1"
            )
        if self.split == "hash" and self.stratify_by is not None:
            raise UsageError(
                "--stratify_by: --split hash puts each document where its name says, whatever the "
                "others are; expected one of the two"
            )
