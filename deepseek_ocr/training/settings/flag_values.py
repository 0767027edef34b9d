"""Values of flags that hold several things: names of a list, numbers for parts; and their types."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ...errors import UsageError
from ..tuning.parts import PARTS, SETS


def names_of(flag: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """`a,b` -> those of `known` that it names, in their order; `none` is none, `all` is all.

    Raises:
        UsageError: a name that is not known.
    """
    names = [name.strip() for name in text.split(",")]
    if names in (["none"], ["all"]):
        return tuple(known) if names == ["all"] else ()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--{flag}: unknown {unknown[0]!r}; known: none, all, {', '.join(known)}")
    return tuple(name for name in known if name in names)


def one_by_one(pairs: Sequence[str]) -> tuple[str, ...]:
    """`sam=1e-5,clip=1e-4` and `sam=1e-5 clip=1e-4` are the same pairs."""
    return tuple(pair.strip() for text in pairs for pair in text.split(",") if pair.strip())


def values_of_parts(
    flag: str, pairs: Sequence[str] | None, trained: Sequence[str]
) -> dict[str, float]:
    """`sam=1e-5`, `decoder=1e-4` -> part -> its number, for those of the `trained` parts it names.

    A part named itself goes before a set that holds it, `vision` and `decoder` before `all`.

    Raises:
        UsageError: no `name=number`, a number below 0, an unknown part or set, one named twice, or
            one of which nothing trains.
    """
    numbers: dict[str, float] = {}
    for pair in one_by_one(pairs or ()):
        name, number = _pair(flag, pair)
        if name in numbers:
            raise UsageError(f"--{flag}: {name} is named twice")
        if not set(SETS.get(name, (name,))) & set(trained):
            raise UsageError(
                f"--{flag}: {name} does not train; what does, by --parts: {', '.join(trained)}"
            )
        numbers[name] = number
    of_parts: dict[str, float] = {}
    for name in sorted(numbers, key=lambda name: -len(SETS.get(name, (name,)))):
        of_parts |= dict.fromkeys(SETS.get(name, (name,)), numbers[name])
    return {part: of_parts[part] for part in trained if part in of_parts}


def _pair(flag: str, pair: str) -> tuple[str, float]:
    name, equals, text = (piece.strip() for piece in pair.partition("="))
    known = [*PARTS, *SETS]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"--{flag}: unknown part {name!r}; {advice}")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not equals or not 0 <= number < math.inf:
        raise UsageError(f"--{flag}: expected {name}=NUMBER, from 0; got {pair!r}")
    return name, number


def expected_instead(value: Any, hint: Any) -> str:
    """What a field of this type takes, in words, where `value` is something else; else empty."""
    kinds = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    if value is None and type(None) in kinds:
        return ""
    for kind in kinds:
        if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
            return "one of " + ", ".join(typing.get_args(kind))
        if kind is int and type(value) is not int:
            return "a whole number"
        if kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            return "a number"
        if kind is float and not math.isfinite(value):
            return "a finite number"
        if kind is str and not isinstance(value, str | Path):
            return "a text"
        if typing.get_origin(kind) is tuple:
            if not isinstance(value, tuple | list):
                return "a list"
            of_each = (expected_instead(item, typing.get_args(kind)[0]) for item in value)
            if wrong := next(filter(None, of_each), ""):
                return f"a list, each {wrong}"
    return ""
