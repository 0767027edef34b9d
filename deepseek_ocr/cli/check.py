"""deepseek-ocr check DIR_OR_FILE: every problem of a dataset, and how long its rows are.

deepseek-ocr check /path/to/ocr_data --model_path /path/to/deepseek-ocr-model --output_dir ./checked
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ..data.checking.dataset import CheckedDataset, check_dataset
from ..data.checking.one_file import open_file
from ..data.dataset_config import DatasetConfig
from ..data.folder import DatasetFolder
from ..data.formats import Reader, choose_reader
from ..data.inspection.verification import available_cores, cache_folder
from ..data.problems import listing
from ..data.statistics.check_files import (
    PROBLEMS_NAME,
    check_not_in_the_way,
    write_check,
    write_samples,
)
from ..data.statistics.contact_sheet import MOST_CELLS
from ..data.statistics.duplicates import Duplicates, find_duplicates
from ..data.statistics.figures import Figures, figures_of
from ..data.statistics.measuring import measure
from ..data.statistics.row_lengths import LengthRule, length_rule
from ..errors import EXIT_OK, EXIT_SOME_FAILED, UsageError, UserError
from ..files import check_output_dir
from ..resolution import Mode
from .check_report import (
    contradiction_lines,
    count_lines,
    histograms,
    padding_line,
    sample_line,
    table,
)
from .options import POSITIONAL, parse_options

NUM_SHOWN = 2  # samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckConfig(DatasetConfig):
    """The flags of `deepseek-ocr check`."""

    dataset: Annotated[
        Path, "folder with pictures and annotations; or one file: train.json, or of any format"
    ] = dataclasses.field(metadata=POSITIONAL)
    data_root: Annotated[
        Path | None, "of a file: folder that its pictures are relative to; default: its own"
    ] = None
    output_dir: Annotated[
        Path | None, "folder for check.json, problems.jsonl, histogram.png and samples.png"
    ] = None
    show_samples: Annotated[
        int | None, "draw so many rows with their boxes into samples.png of --output_dir"
    ] = None
    model_path: Annotated[
        str | None, "model folder, Hub id or preset whose tokens are counted; default: estimates"
    ] = None
    max_length: Annotated[
        int | None, "most positions of a row, with --model_path; default: the model's"
    ] = None
    mode: Annotated[Mode | None, "resolution of the views; default: the model's, or gundam"] = None
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None
    batch_size: Annotated[int, "rows a batch, to tell what padding costs"] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("show_samples", "max_length", "batch_size", "max_tiles"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} must be at least 1, got {value}")
        if self.show_samples is not None and self.output_dir is None:
            raise UsageError("--show_samples draws into a folder; name it with --output_dir")
        if (self.show_samples or 0) > MOST_CELLS:
            raise UsageError(f"--show_samples must be at most {MOST_CELLS}")
        if self.max_length is not None and self.model_path is None:
            raise UsageError("--max_length counts tokens; name whose with --model_path")


def main(argv: Sequence[str] | None = None) -> int:
    """Check a dataset; 3 if any row cannot be used."""
    config = parse_options(
        CheckConfig,
        argv,
        prog="deepseek-ocr check",
        description="Tell every problem of a dataset, and how long its rows are.",
    )
    rule, max_length = _lengths(config)
    folder, reader, reason = _opened(config)
    if config.output_dir is not None:
        check_output_dir(config.output_dir)
        check_not_in_the_way(config.output_dir, config.dataset)
    with check_dataset(
        folder,
        reader,
        prompt=config.prompt,
        group_by=config.group_by,
        target=config.target,
        normalize=config.normalize,
        num_workers=available_cores(),
        cache=cache_folder(),
        quiet=False,
    ) as dataset:
        return _report(config, dataset, f"{reader.NAME} ({reason})", rule, max_length)


def _lengths(config: CheckConfig) -> tuple[LengthRule, int | None]:
    """How rows are measured, and the most positions that one may take, if that is known."""
    rule = length_rule(
        config.model_path,
        mode=config.mode,
        base_size=config.base_size,
        tile_size=config.tile_size,
        max_tiles=config.max_tiles,
    )
    positions = rule.max_positions
    if positions is not None and (config.max_length or 0) > positions:
        raise UsageError(
            f"--max_length is {config.max_length}, the model has {positions} positions"
        )
    return rule, config.max_length or positions


def _opened(config: CheckConfig) -> tuple[DatasetFolder, Reader, str]:
    path = config.dataset
    if path.is_file():
        return open_file(path, config.data_root, config.format)
    if not path.exists():
        raise UserError(f"{path}: does not exist; expected a dataset's folder, or one file of it")
    if config.data_root is not None:
        raise UsageError(f"--data_root is for files; {path} is the folder that is checked")
    folder = DatasetFolder(path)
    reader, reason = choose_reader(folder, config.format)
    return folder, reader, reason


def _report(
    config: CheckConfig,
    dataset: CheckedDataset,
    found: str,
    rule: LengthRule,
    max_length: int | None,
) -> int:
    """Measure what can be used, tell all, write what is asked for; the exit code."""
    if not dataset.num_rows:
        print("\n".join(listing(dataset.problems, _all_at(config))))
        raise UserError(f"{config.dataset}: holds no row; expected pictures with their text")
    lengths = measure(dataset.samples, dataset.pictures, rule, max_length=max_length, quiet=False)
    dataset.problems.extend(lengths.problems)
    figures = figures_of(lengths.columns, config.batch_size, are_estimates=rule.is_estimate)
    duplicates = find_duplicates(dataset.columns, dataset.samples)
    counts = _counts(dataset, len(lengths.problems), duplicates)
    _print(dataset, found, counts, figures, _all_at(config))
    for line in contradiction_lines(duplicates):
        print(line)
    if config.output_dir is not None:
        content = {
            "dataset": str(config.dataset),
            "format": found.partition(" ")[0],
            "arguments": _arguments(config),
            "views": dataclasses.asdict(rule.views),
            "max_length": max_length,
            "counts": counts,
            "problems": dict(Counter(problem.kind for problem in dataset.problems)),
            **figures.to_json(),
        }
        heading = f"{counts['rows']:,} rows of {config.dataset}"
        write_check(config.output_dir, content, dataset.problems, figures, heading)
        if config.show_samples is not None and dataset.samples:
            root = dataset.folder.root
            write_samples(config.output_dir, dataset.samples, config.show_samples, root)
        print(f"\nwritten    {config.output_dir}")
    return EXIT_SOME_FAILED if counts["usable"] < counts["rows"] else EXIT_OK


def _counts(
    dataset: CheckedDataset, num_unlearnable: int, duplicates: Duplicates
) -> dict[str, int]:
    documents = np.unique(np.array(dataset.columns.documents.hashes, dtype=np.uint64))
    return {
        "rows": dataset.num_rows,
        "usable": len(dataset.samples) - num_unlearnable,
        "problems": len(dataset.problems),
        "documents": len(documents),
        "picture files": sum(1 for _ in dataset.pictures.files()),
        "same picture": duplicates.of_one_picture,
        "near copies": duplicates.near,
        "several texts": duplicates.contradictions,
    }


def _all_at(config: CheckConfig) -> str:
    """Where all problems are."""
    if config.output_dir is not None:
        return str(config.output_dir / PROBLEMS_NAME)
    return f"deepseek-ocr check {shlex.quote(str(config.dataset))} --output_dir OUT"


def _arguments(config: CheckConfig) -> dict[str, Any]:
    """Those that decide the result."""
    others = ("dataset", "output_dir", "show_samples", "max_length")
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in others}
    return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


def _print(
    dataset: CheckedDataset, found: str, counts: Mapping[str, int], figures: Figures, all_at: str
) -> None:
    print(f"format     {found}")
    for place in range(min(NUM_SHOWN, len(dataset.samples))):
        print(sample_line(dataset.samples[place]))
    print()
    print("\n".join(listing(dataset.problems, all_at)) if dataset.problems else "no problems")
    print()
    print("\n".join(count_lines(counts)))
    if figures.measures:
        print()
        print("\n".join(table(figures)))
        if figures.are_estimates:
            print("~: a token for 2.5 characters; --model_path counts them")
        print(padding_line(figures))
        mark = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
        print("\n".join(histograms(figures, mark)))
