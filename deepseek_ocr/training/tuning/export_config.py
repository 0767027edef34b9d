"""What is exported where: the flags of `deepseek-ocr export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from ...errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """A model or adapter, and where it goes in the published layout."""

    model: Annotated[str, "model folder, adapter or checkpoint of train.py, Hub id or preset"] = (
        dataclasses.field(metadata={"positional": True})
    )
    out: Annotated[Path, "new folder for the exported model"] = dataclasses.field(
        metadata={"positional": True}
    )
    adapter: Annotated[Path | None, "adapter to add to the model's weights"] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        "of the exported weights; auto: as the base's are stored",
    ] = "auto"
    samples: Annotated[
        Path | None, "annotation file whose rows are read before and after; default: drawn pages"
    ] = None
    data_root: Annotated[Path | None, "folder that the pictures of --samples are relative to"] = (
        None
    )
    num_samples: Annotated[int, "how many pages are read before and after; 0: none"] = 4
    device: Annotated[str, "where it is computed: cpu, cuda, cuda:1, mps or auto"] = "auto"
    seed: Annotated[int, "of the weights of untrained presets"] = 42

    def __post_init__(self) -> None:
        for name in ("out", "adapter", "samples", "data_root"):  # from Python: str, too
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(value))
        if (self.samples is None) != (self.data_root is None):
            raise UsageError("--samples and --data_root belong together; name both or none")
        if self.num_samples < 0:
            raise UsageError(f"--num_samples must be at least 0, got {self.num_samples}")
