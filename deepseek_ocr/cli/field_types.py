"""Types of a dataclass's fields, as flags and YAML keys read them."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def split_hint(hint: Any) -> tuple[Any, str]:
    """Annotated[int | None, "help"] -> (int, "help")."""
    text = ""
    if typing.get_origin(hint) is typing.Annotated:
        hint, text = typing.get_args(hint)[:2]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return hint, text


def placeholder(hint: Any) -> str | None:
    """What stands for the value in the help: `INT`, or what a third annotation names.

    None: argparse shows the choices.
    """
    named = typing.get_args(hint)[2:] if typing.get_origin(hint) is typing.Annotated else ()
    if named:
        return named[0]
    kind, _ = split_hint(hint)
    if typing.get_origin(kind) is typing.Literal:
        return None
    if is_list(kind):
        kind = typing.get_args(kind)[0]
    return getattr(kind, "__name__", "VALUE").upper()


def may_be_none(hint: Any) -> bool:
    """Whether a field's declared type allows None."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return type(None) in typing.get_args(hint)


def is_list(kind: Any) -> bool:
    """Whether a flag takes several values."""
    return typing.get_origin(kind) in (tuple, list)


def is_required(field: dataclasses.Field) -> bool:
    """Whether a field has no default."""
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def converter(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of a text, or raises ValueError or ArgumentTypeError."""
    if kind is Path:
        return _path
    return kind if kind in (int, float) else str


def _path(text: str) -> Path:
    """A path; an empty one, as of an unset shell variable, would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; expected a path")
    return Path(text)
