"""An interrupted test goes on where it was, and ends as if nothing had happened.

While a test is unfinished, `unfinished.json` lies in its output folder and says what decides its
answers. What is read together decides, in its last digits, what the model computes, so rows are
kept up to the last one after which no row was under way (see `running_batch`), and the others are
read again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.annotations import Annotation
from ..data.pages.references import split_reference
from ..errors import UserError
from ..files import sha256_of, write_atomic
from ..runlog import versions
from .config import TestConfig
from .evaluate import Engine, ScoredRow
from .file_states import digest, file_state
from .predictions import PREDICTIONS_NAME, read_predictions, scored_row
from .running_batch import rows_of_a_stretch

UNFINISHED_NAME = "unfinished.json"

_DECIDES = (
    "model_path",
    "adapter",
    "batch_size",
    "max_new_tokens",
    "limit",
    "benchmark",
    "mode",
    "tile_size",
    "base_size",
    "max_tiles",
    "dtype",
    "seed",
)
"""The arguments that decide an answer; what is computed from answers may change on the way."""

_MODEL_FILES = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "processor_config.json",
    "tokenizer.json",
)


_PACKAGES = ("deepseek-ocr", "torch", "transformers", "tokenizers", "peft", "pillow")
"""What computes an answer; another version may compute another."""

_STRETCH = "rows of a stretch"
"""After each multiple of so many rows the test can begin again; known once the model is loaded."""

_DIGESTS = ("rows", "pictures", "model files", "test file")
"""Parts of the identity that say nothing to a reader."""


def identity_of(config: TestConfig, annotations: Sequence[Annotation]) -> dict[str, Any]:
    """What decides a test's answers: arguments, the files that they name, what computes.

    `device`, its type, is there where it is known before a model is loaded.
    """
    arguments = config.to_json()
    installed = versions()
    device = {} if config.device == "auto" else {"device": _type_of(config.device)}
    return {
        **{f"--{name}": arguments[name] for name in _DECIDES},
        **device,
        **{f"{name}'s version": installed.get(name) for name in _PACKAGES},
        "rows": digest([annotation.to_json() for annotation in annotations]),
        "pictures": digest(_picture_states(config.data_root, annotations)),
        "model files": digest([_folder_state(config.model_path), _folder_state(config.adapter)]),
        "test file": None if config.test_file is None else sha256_of(config.test_file),
    }


def kept_rows(config: TestConfig, annotations: Sequence[Annotation]) -> list[ScoredRow]:
    """The rows of an interrupted test of the same arguments, up to where it can begin again.

    Raises:
        UserError: the folder holds an unfinished test of other arguments or of other data.
    """
    path = config.output_dir / UNFINISHED_NAME
    if config.resume == "none" or not path.exists():
        return []
    before = _read(path)
    _check_same(config.output_dir, before, identity_of(config, annotations))
    predictions = config.output_dir / PREDICTIONS_NAME
    if not predictions.exists():
        return []
    read = read_predictions(predictions, may_be_torn=True)
    rows = []
    for row, annotation in zip(read, annotations, strict=False):
        if row.id != annotation.id:
            raise UserError(
                f"{row.place}: answers {row.id!r}, but the row there is {annotation.id!r}; "
                "the file was changed: begin anew with --resume none"
            )
        rows.append(scored_row(row, annotation))
    if len(rows) < len(annotations):
        del rows[len(rows) - len(rows) % _stretch(before, path) :]
    return rows


def check_nothing_unfinished(output_dir: Path) -> None:
    """Refuse to write results of other answers over those of a test that can still go on.

    Raises:
        UserError: the folder holds an unfinished test.
    """
    if (output_dir / UNFINISHED_NAME).exists():
        raise UserError(
            f"{output_dir}: holds an unfinished test; finish that one, name another --output_dir, "
            "or write over it with --resume none"
        )


def check_same_device(config: TestConfig, engine: Engine) -> None:
    """Refuse to go on with rows that another type of device answered.

    Raises:
        UserError: the folder's unfinished test ran on another.
    """
    path = config.output_dir / UNFINISHED_NAME
    _check_same(config.output_dir, _read(path), {"device": _device_of(engine)})


def mark_unfinished(config: TestConfig, annotations: Sequence[Annotation], engine: Engine) -> None:
    """From now on, until `mark_finished`, the test in this folder can be resumed."""
    identity = identity_of(config, annotations) | {
        "device": _device_of(engine),
        _STRETCH: rows_of_a_stretch(engine, config.batch_size),
    }
    write_atomic(config.output_dir / UNFINISHED_NAME, json.dumps(identity, indent=2) + "\n")


def mark_finished(output_dir: Path) -> None:
    """All files of the test are there."""
    (output_dir / UNFINISHED_NAME).unlink(missing_ok=True)


def _check_same(output_dir: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [name for name in now if before.get(name) != now[name]]
    if not differing:
        return
    named = [name for name in differing if name not in _DIGESTS]
    if named:
        what = ", ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in named)
    else:
        what = f"changed since: {', '.join(differing)}"
    raise UserError(
        f"{output_dir}: holds an unfinished test of something else ({what}); finish that one with "
        "its arguments, name another --output_dir, or begin anew with --resume none"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: cannot be read; begin anew with --resume none")
    return content


def _stretch(before: dict[str, Any], path: Path) -> int:
    rows = before.get(_STRETCH)
    if not isinstance(rows, int) or rows < 1:
        raise UserError(
            f"{path}: {_STRETCH!r} is {rows!r}; expected a number above 0: begin anew with "
            "--resume none"
        )
    return rows


def _device_of(engine: Engine) -> str:
    return _type_of(str(getattr(engine, "device", "unknown")))


def _type_of(device: str) -> str:
    """`cuda:1` -> `cuda`."""
    return device.partition(":")[0]


def _picture_states(data_root: Path, annotations: Sequence[Annotation]) -> list[Any]:
    files = {split_reference(image)[0] for annotation in annotations for image in annotation.images}
    return [[name, *file_state(data_root / name)] for name in sorted(files)]


def _folder_state(name: str | Path | None) -> Any:
    """Sizes and times of a model's files; None for a preset or a Hub id, whose name says all."""
    if name is None or not Path(name).is_dir():
        return None
    files = [path for pattern in _MODEL_FILES for path in sorted(Path(name).glob(pattern))]
    return [[path.name, *file_state(path)] for path in files]
