"""`data_utils.py`: a folder of pictures and annotations -> train.json, test.json, manifest.json.

python data_utils.py --data_root /path/to/ocr_data --output_dir ./data_split
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..data.checking import CheckedDataset, check_dataset
from ..data.folder import DatasetFolder
from ..data.formats import choose_reader
from ..data.problems import listing, printable
from ..data.split_files import check_not_in_the_way, write_split
from ..data.splitting import Split, SplitConfig, split_samples
from ..data.verification import available_cores
from ..errors import EXIT_OK, EXIT_REFUSED, EXIT_SOME_FAILED, UserError
from ..files import check_output_dir
from ..runlog import RunLog, versions
from .options import parse_options

NUM_SHOWN = 2  # samples


def main(argv: Sequence[str] | None = None) -> int:
    """Check a dataset and split it; the exit code."""
    config = parse_options(
        SplitConfig,
        argv,
        prog="data_utils.py",
        description="Check annotations and split them into train and test files by document.",
    )
    if config.output_dir.exists() and not config.output_dir.is_dir():
        raise UserError(f"{config.output_dir}: is a file; --output_dir expects a folder")
    check_output_dir(config.output_dir)
    folder = DatasetFolder(config.data_root)
    check_not_in_the_way(config.output_dir, folder.root, folder.files)
    reader, reason = choose_reader(folder, config.format)
    dataset = check_dataset(
        folder,
        reader,
        prompt=config.prompt,
        group_by=config.group_by,
        num_workers=available_cores(),
        quiet=False,
    )
    if dataset.problems:
        print("\n".join(listing(dataset.problems)), file=sys.stderr)
        if config.on_error == "stop":
            print(_refusal(config, dataset), file=sys.stderr)
            return EXIT_REFUSED
    if not dataset.samples:
        raise UserError(f"{config.data_root}: no usable sample in {dataset.num_rows} rows")
    split = split_samples(dataset.samples, dataset.fingerprints, config)
    write_split(split, dataset, config, reader.NAME)
    _log(config, dataset, split, reader.NAME)
    _print_result(config, dataset, split, f"{reader.NAME} ({reason})")
    return EXIT_SOME_FAILED if dataset.problems else EXIT_OK


def _refusal(config: SplitConfig, dataset: CheckedDataset) -> str:
    in_rows = sum(problem.of_row for problem in dataset.problems)
    others = len(dataset.problems) - in_rows
    found = [_counted(in_rows, "problem") + f" in {_counted(dataset.num_rows, 'row')}"]
    if others:
        found.append(f"{_counted(others, 'problem')} of files in no row")
    return (
        f"split: {config.data_root}: {' and '.join(found if in_rows else found[1:])}; nothing was "
        "written.\nMend them, or leave them out with --on_error skip"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _log(config: SplitConfig, dataset: CheckedDataset, split: Split, format_name: str) -> None:
    log = RunLog(config.output_dir, "split")
    log.event("start", arguments=vars(config), versions=versions())
    for problem in dataset.problems:
        log.event("rejected", source=problem.source, kind=problem.kind, reason=problem.reason)
    counts = {f"num_{side}": len(rows) for side, rows in split.sides.items()}
    log.metrics("end", format=format_name, num_problems=len(dataset.problems), **counts)


def _print_result(config: SplitConfig, dataset: CheckedDataset, split: Split, found: str) -> None:
    print(f"format     {found}")
    for annotation, _ in dataset.samples[:NUM_SHOWN]:
        text = printable(" ".join(annotation.text.split()))
        shown = text if len(text) <= 60 else text[:57] + "..."
        print(f"sample     {printable(annotation.id)}: {shown}")
    print(f"{'':10} {'samples':>8} {'documents':>10}")
    for side, rows in split.sides.items():
        print(f"{side:10} {len(rows):8} {len(split.documents[side]):10}")
    if dataset.problems:
        print(f"{'rejected':10} {dataset.num_rows - len(dataset.samples):8}")
    print(f"written    {config.output_dir}")
