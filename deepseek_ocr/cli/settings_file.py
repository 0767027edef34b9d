"""The YAML file of `--config`: each key is a flag."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from ..errors import UsageError
from .field_types import converter, is_list, may_be_none, split_hint
from .suggestions import unknown


class _Place(NamedTuple):
    """Where a value stands, for messages."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def read_settings(path: Path, hints: Mapping[str, Any], prog: str) -> dict[str, Any]:
    """Field name -> value, in the type that `hints` declares for it.

    Raises:
        UsageError: not such a file, an unknown key, one that stands there twice, or a value that
            does not fit; with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        lines = _lines_of_keys(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:  # ValueError: 2024-99-99
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise UsageError(f"{path}:{line}: not valid YAML") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected `flag: value` lines, found {type(content).__name__}")
    first: dict[str, int] = {}
    for key, line in lines:
        name = key.replace("-", "_")
        if name in first:
            raise UsageError(f"{path}:{line}: {key} stands already in line {first[name]}")
        first[name] = line
    values = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        place = _Place(path, first.get(name, 1))
        if name not in hints:
            raise UsageError(f"{place}: {_advice(str(key), name, hints, prog)}")
        values[name] = _value(place, name, value, hints[name])
    return values


def _lines_of_keys(text: str) -> list[tuple[str, int]]:
    """The keys as written, each time, and their lines, from 1."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return [(str(key.value), key.start_mark.line + 1) for key, _ in pairs]


def _advice(key: str, name: str, hints: Mapping[str, Any], prog: str) -> str:
    switch = name.removeprefix("no_")
    if switch != name and switch in hints and split_hint(hints[switch])[0] is bool:
        return f"unknown key {key}; write {switch}: false"
    return unknown(key, hints, prog, kind="key")


def _value(place: _Place, name: str, value: Any, annotated: Any) -> Any:
    """A YAML value in the type that the field declares."""
    hint, _ = split_hint(annotated)
    if value is None and may_be_none(annotated):
        return None
    if is_list(hint):
        element = typing.get_args(hint)[0]
        items = value if isinstance(value, list) else [value]
        return tuple(_value(place, name, item, element) for item in items)
    if typing.get_origin(hint) is Literal:
        if value in typing.get_args(hint):
            return value
        expected = ", ".join(map(str, typing.get_args(hint)))
    elif hint is bool:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    else:
        try:
            if not isinstance(value, bool | dict | list | None):
                return converter(hint)(str(value))  # as on the command line: 2.5 is no int
        except (ValueError, argparse.ArgumentTypeError):
            pass
        expected = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{place}: {name}: expected {expected}, found {value!r}")
