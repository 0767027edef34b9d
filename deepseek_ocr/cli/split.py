"""`data_utils.py`: a folder of pictures and annotations -> train.json, test.json, manifest.json.

python data_utils.py --data_root /path/to/ocr_data --output_dir ./data_split
python data_utils.py --data_root /path/to/ocr_data --verify ./data_split/manifest.json
"""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..data.splitting.config import SplitConfig
from ..data.splitting.earlier_split import MANIFEST_NAME
from ..errors import EXIT_OK, EXIT_REFUSED, EXIT_SOME_FAILED, UsageError, UserError
from ..files import check_output_dir
from ..runlog import LOG_NAME, RunLog, versions
from .options import parse_options

if TYPE_CHECKING:  # --help answers without arrays and decoders of pictures
    from ..data.checking.dataset import CheckedDataset
    from ..data.splitting.plan import SplitPlan

NUM_SHOWN = 2  # samples
NUM_LOGGED = 100  # problems; the manifest has them all


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(SplitConfig):
    """The flags of `data_utils.py`, with those that change nothing about the split."""

    export: Annotated[
        str | None,
        "write the sides in the shape of other tools too, each into a folder of that name in "
        "--output_dir: llava, sharegpt, swift, ...; several: llava+swift",
    ] = None
    verify: Annotated[
        Path | None,
        "manifest.json of an earlier split: write nothing, tell what has changed since",
    ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """The flags of `data_utils.py --verify`."""

    verify: Annotated[Path, "manifest.json of an earlier split"]
    data_root: Annotated[Path, "folder with the pictures and their annotations"]


def main(argv: Sequence[str] | None = None) -> int:
    """Check a dataset and split it, or compare it with a manifest; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if any(argument.partition("=")[0] == "--verify" for argument in arguments):
        _check_flags_of_verify(arguments)
        return _verify(
            parse_options(
                VerifyOptions,
                arguments,
                prog="data_utils.py --verify",
                description="Tell what has changed in a dataset and its split since it was made.",
            )
        )
    config = parse_options(
        SplitOptions,
        arguments,
        prog="data_utils.py",
        description="Check annotations and split them into train and test files by document.",
    )
    if config.verify is not None:  # from the configuration file
        return _verify(VerifyOptions(verify=config.verify, data_root=config.data_root))
    return _split(config)


def _check_flags_of_verify(arguments: Sequence[str]) -> None:
    """Tell a flag of a split, which is known but has no meaning here, from an unknown one."""
    others = {f"--{field.name}" for field in dataclasses.fields(SplitOptions)}
    others -= {f"--{field.name}" for field in dataclasses.fields(VerifyOptions)}
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("--") and "--" + flag[2:].replace("-", "_") in others:
            raise UsageError(f"--verify takes only --data_root; leave {flag} out")


def _split(config: SplitOptions) -> int:
    from ..data.checking.dataset import check_dataset
    from ..data.exporting.split_exports import check_exports, export_names
    from ..data.folder import DatasetFolder
    from ..data.formats import choose_reader
    from ..data.inspection.verification import available_cores, cache_folder
    from ..data.problems import listing
    from ..data.prompts import misleading_prompt
    from ..data.splitting.files import check_not_in_the_way, write_split
    from ..data.splitting.kept_sides import read_kept_sides
    from ..data.splitting.plan import plan_split

    if config.output_dir.exists() and not config.output_dir.is_dir():
        raise UserError(f"{config.output_dir}: is a file; --output_dir expects a folder")
    check_output_dir(config.output_dir)
    exports = export_names(config.export)
    check_exports(config.output_dir, exports)
    kept = read_kept_sides(config)
    folder = DatasetFolder(config.data_root)
    check_not_in_the_way(config.output_dir, folder.root, folder.files)
    reader, reason = choose_reader(folder, config.format)
    with check_dataset(
        folder,
        reader,
        prompt=config.prompt,
        group_by=config.group_by,
        stratify_by=config.stratify_by,
        target=config.target,
        normalize=config.normalize,
        num_workers=available_cores(),
        cache=cache_folder(),
        quiet=False,
    ) as dataset:
        found = f"{reader.NAME} ({reason})"
        if dataset.problems:
            lines = listing(dataset.problems, _all_at(config))
            print(f"read as {found}", *lines, sep="\n", file=sys.stderr)
            if config.on_error == "stop":
                print(_refusal(config, dataset), file=sys.stderr)
                return EXIT_REFUSED
        if not dataset.samples:
            raise UserError(f"{config.data_root}: no usable sample in {dataset.num_rows} rows")
        _print_samples(dataset, found)
        plan = plan_split(dataset.columns, config, dataset.samples.__getitem__, kept)
        advice = misleading_prompt(config.target, config.prompt, dataset.samples)
        for note in filter(None, (plan.uneven, advice)):
            print(f"note: {note}", file=sys.stderr)
        removed = write_split(plan, dataset, config, reader.NAME, export_as=exports)
        _print_result(config, dataset, plan, removed)
        _log(config, dataset, plan, reader.NAME)
        return EXIT_SOME_FAILED if dataset.problems else EXIT_OK


def _verify(options: VerifyOptions) -> int:
    from ..data.problems import printable
    from ..data.splitting.manifest_check import KINDS, changes, read_manifest

    recorded = read_manifest(options.verify)
    counts = dict.fromkeys(KINDS, 0)
    for change in changes(recorded, options.data_root, options.verify.parent, quiet=False):
        counts[change.kind] += 1
        print(f"{change.kind:10} {printable(change.path)}")
    num_files = len(recorded.dataset) + len(recorded.written)
    found = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    by_name = len(recorded.known_by_name)
    others = f"; {_counted(by_name, 'other')} known only by name" if by_name else ""
    print(f"{_counted(num_files, 'file')} of {options.verify}: {found}{others}")
    return EXIT_SOME_FAILED if any(counts.values()) else EXIT_OK


def _refusal(config: SplitConfig, dataset: CheckedDataset) -> str:
    in_rows = dataset.problems.num_in_rows
    others = len(dataset.problems) - in_rows
    found = [_counted(in_rows, "problem") + f" in {_counted(dataset.num_rows, 'row')}"]
    if others:
        found.append(f"{_counted(others, 'problem')} of files in no row")
    return (
        f"split: {config.data_root}: {' and '.join(found if in_rows else found[1:])}; nothing was "
        "written.\nMend them, or leave them out with --on_error skip"
    )


def _joined(num_joined: int, config: SplitConfig) -> str:
    return (
        f"{_counted(num_joined, 'document')} to others, by near-duplicates. One added later may "
        "move those that it is joined to; to keep their sides: "
        f"--keep_sides {config.output_dir / 'manifest.json'}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _all_at(config: SplitConfig) -> str:
    if config.on_error == "skip":
        return str(config.output_dir / MANIFEST_NAME)
    return f"deepseek-ocr check {shlex.quote(str(config.data_root))} --output_dir OUT"


def _log(config: SplitConfig, dataset: CheckedDataset, plan: SplitPlan, format_name: str) -> None:
    try:
        _write_log(config, dataset, plan, format_name)
    except OSError as error:
        reason = (
            f"the split is whole, only this log of it could not be written ({error.strerror}); "
            "make room before the next run"
        )
        raise OSError(error.errno, reason, str(config.output_dir / LOG_NAME)) from error


def _write_log(
    config: SplitConfig, dataset: CheckedDataset, plan: SplitPlan, format_name: str
) -> None:
    log = RunLog(config.output_dir, "split")
    log.event("start", arguments=vars(config), versions=versions())
    for problem in itertools.islice(dataset.problems, NUM_LOGGED):
        log.event("rejected", source=problem.source, kind=problem.kind, reason=problem.reason)
    if len(dataset.problems) > NUM_LOGGED:
        log.event("rejected", num_more=len(dataset.problems) - NUM_LOGGED, see="manifest.json")
    counts = {f"num_{side}": plan.num_samples(side) for side in plan.sides}
    log.metrics("end", format=format_name, num_problems=len(dataset.problems), **counts)


def _print_samples(dataset: CheckedDataset, found: str) -> None:
    from ..data.problems import printable

    print(f"format     {found}")
    for annotation in itertools.islice(dataset.samples, NUM_SHOWN):
        text = printable(" ".join(annotation.text.split()))
        shown = text if len(text) <= 60 else text[:57] + "..."
        print(f"sample     {printable(annotation.id)}: {shown}")


def _print_result(
    config: SplitConfig, dataset: CheckedDataset, plan: SplitPlan, removed: Sequence[str]
) -> None:
    from ..data.problems import printable

    print(f"{'':10} {'samples':>8} {'documents':>10}")
    for side in plan.sides:
        print(f"{side:10} {plan.num_samples(side):8} {plan.num_documents(side):10}")
    for moved in plan.moved:
        print(f"moved      {printable(moved.document)}: {', '.join(moved.sides)} -> {moved.side}")
    if config.split == "hash" and config.keep_sides is None and plan.num_joined:
        print(f"joined     {_joined(plan.num_joined, config)}")
    if dataset.problems:
        in_no_row = len(dataset.problems) - dataset.problems.num_in_rows
        print(f"rejected rows    {dataset.num_rows - len(dataset.samples):8}")
        print(f"files in no row  {in_no_row:8}")
    for name in removed:
        print(f"removed    {config.output_dir / name}, of the earlier split")
    print(f"written    {config.output_dir}")
