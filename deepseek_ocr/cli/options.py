"""Command-line flags, their help and YAML keys, all from one dataclass.

A field `lr: Annotated[float, "peak learning rate"] = 2e-5` becomes the flag `--lr`, the YAML key
`lr` and their help. Both spellings `--batch_size` and `--batch-size` are accepted. Flags beat the
file named by `--config`, which beats the defaults. A flag or key that does not exist is an error
that names the nearest one.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml

from ..errors import UsageError

T = TypeVar("T")

POSITIONAL = {"positional": True}
"""`field(metadata=POSITIONAL)`: given by place, without a flag."""


def parse_options(
    config_type: type[T], argv: Sequence[str] | None, *, prog: str, description: str
) -> T:
    """The dataclass `config_type`, filled from `argv` (default `sys.argv[1:]`) and `--config`.

    Raises:
        UsageError: an unknown or missing flag or key, or a value that does not fit.
    """
    fields = {f.name: f for f in dataclasses.fields(config_type) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config_type, include_extras=True)
    parser = _Parser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE.yaml", help="read flags from this YAML file")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    for name, field in fields.items():
        _add_flag(parser, field, *_split_hint(hints[name]))

    by_place = {f"--{name}" for name, field in fields.items() if field.metadata.get("positional")}
    known = {f"--{name}" for name in [*fields, "config", "debug", "help"]} - by_place
    known |= {f"--no_{name}" for name in fields if _split_hint(hints[name])[0] is bool}
    arguments = [_underscored(a, known) for a in (sys.argv[1:] if argv is None else argv)]
    flags = [a.partition("=")[0] for a in arguments if a.startswith("--") and a != "--"]
    strays = [flag for flag in flags if flag not in known]  # named before what is missing
    if not strays:
        given, strays = parser.parse_known_args(arguments)
    if strays and not strays[0].startswith("-"):
        raise UsageError(
            f"{strays[0]!r} stands where nothing is expected; see {prog} --help for the flags, and "
            "put quotes around a name with blanks"
        )
    if strays and (name := strays[0].split("=")[0]) in by_place:
        raise UsageError(f"unknown flag {name}; give {name[2:].upper()} by its place, without one")
    if strays:
        raise UsageError(_unknown(strays[0].split("=")[0], sorted(known - {"--help"}), "flag"))

    values = _read_yaml(Path(given.config), hints, fields) if given.config else {}
    for name, value in vars(given).items():
        if name in fields:
            values[name] = tuple(value) if isinstance(value, list) else value
    missing = [n for n, f in fields.items() if n not in values and _is_required(f)]
    if missing:
        names = ", ".join(
            n.upper() if fields[n].metadata.get("positional") else f"--{n}" for n in missing
        )
        raise UsageError(f"missing: {names}; see {prog} --help")
    return config_type(**values)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def _is_required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _split_hint(hint: Any) -> tuple[Any, str]:
    """Annotated[int | None, "help"] -> (int, "help")."""
    text = ""
    if typing.get_origin(hint) is typing.Annotated:
        hint, text = typing.get_args(hint)[:2]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    return hint, text


def _may_be_none(hint: Any) -> bool:
    """Whether a field's declared type allows None."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return type(None) in typing.get_args(hint)


def _add_flag(
    parser: argparse.ArgumentParser, field: dataclasses.Field, hint: Any, text: str
) -> None:
    if not _is_required(field) and field.default not in (None, "", False, dataclasses.MISSING):
        text = f"{text} ({_shown(field.default)})"
    arguments: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
    if hint is bool:
        _add_switch(parser, field.name, bool(field.default), arguments)
        return
    if typing.get_origin(hint) is Literal:
        arguments["choices"] = typing.get_args(hint)
    elif typing.get_origin(hint) in (tuple, list):
        arguments |= {"nargs": "+", "type": _converter(typing.get_args(hint)[0])}
    else:
        arguments["type"] = _converter(hint)
    if field.metadata.get("positional"):
        if "nargs" not in arguments and not _is_required(field):
            arguments["nargs"] = "?"
        parser.add_argument(field.name, metavar=field.name.upper(), **arguments)
    else:
        if "choices" not in arguments:
            arguments["metavar"] = getattr(hint, "__name__", "VALUE").upper()
        parser.add_argument(f"--{field.name}", **arguments)


def _add_switch(parser: argparse.ArgumentParser, name: str, default: bool, arguments: dict) -> None:
    hidden = {**arguments, "help": argparse.SUPPRESS}
    on, off = (hidden, arguments) if default else (arguments, hidden)
    parser.add_argument(f"--{name}", action="store_true", dest=name, **on)
    parser.add_argument(f"--no_{name}", action="store_false", dest=name, **off)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) and not value.isprintable() else str(value)


def _converter(hint: Any) -> Callable[[Any], Any]:
    if hint is Path:
        return _path
    return hint if hint in (int, float) else str


def _path(text: str) -> Path:
    """A path; an empty one, as of an unset shell variable, would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; expected a path")
    return Path(text)


def _underscored(argument: str, known: set[str]) -> str:
    """--batch-size=2 -> --batch_size=2, for known flags only."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    underscored = "--" + name[2:].replace("-", "_")
    return underscored + equals + value if underscored in known else argument


def _unknown(name: str, known: list[str], kind: str) -> str:
    near = difflib.get_close_matches(name.replace("-", "_").replace("__", "--", 1), known, 1, 0.4)
    advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"unknown {kind} {name}; {advice}"


def _read_yaml(path: Path, hints: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise UsageError(f"{path}:{line}: not valid YAML") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected `flag: value` lines, found {type(content).__name__}")
    values = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in fields:
            raise UsageError(f"{path}: {_unknown(name, sorted(fields), 'key')}")
        values[name] = _from_yaml(path, name, value, hints[name])
    return values


def _from_yaml(path: Path, name: str, value: Any, annotated: Any) -> Any:
    """A YAML value in the type that the field declares."""
    hint, _ = _split_hint(annotated)
    if value is None and _may_be_none(annotated):
        return None
    if typing.get_origin(hint) in (tuple, list):
        element = typing.get_args(hint)[0]
        items = value if isinstance(value, list) else [value]
        return tuple(_from_yaml(path, name, item, element) for item in items)
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
                return _converter(hint)(str(value))  # as on the command line: 2.5 is no int
        except (ValueError, argparse.ArgumentTypeError):
            pass
        expected = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{path}: {name}: expected {expected}, found {value!r}")
