"""Command-line flags, their help and YAML keys, all from one dataclass.

A field `lr: Annotated[float, "peak learning rate"] = 2e-5` becomes the flag `--lr`, the YAML key
`lr` and their help; a third annotation says what stands for its value there. Both spellings
`--batch_size` and `--batch-size` are accepted. Flags beat the file named by `--config`, which beats
the defaults. A flag or key that does not exist is an error that names what was meant.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from ..errors import UsageError
from .field_types import converter, is_list, is_required, placeholder, split_hint
from .settings_file import read_settings
from .suggestions import unknown

T = TypeVar("T")

POSITIONAL = {"positional": True}
"""`field(metadata=POSITIONAL)`: given by place, without a flag."""


def parse_options(
    config_type: type[T],
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str,
    check_given: Callable[[T, Collection[str]], None] | None = None,
) -> T:
    """The dataclass `config_type`, filled from `argv` (default `sys.argv[1:]`) and `--config`.

    `check_given` may refuse flags for being given: it gets the names of the fields that the command
    line, not the file, sets.

    Raises:
        UsageError: an unknown or missing flag or key, or a value that does not fit.
    """
    fields = {f.name: f for f in dataclasses.fields(config_type) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(config_type, include_extras=True)
    hints = {name: hints[name] for name in fields}
    arguments = sys.argv[1:] if argv is None else argv
    flags, file = _read_flags(_Flags(fields, hints, prog), arguments, description)
    values = read_settings(Path(file), hints, prog) if file else {}
    values |= flags
    missing = [n for n, f in fields.items() if n not in values and is_required(f)]
    if missing:
        names = ", ".join(
            n.upper() if fields[n].metadata.get("positional") else f"--{n}" for n in missing
        )
        raise UsageError(f"missing: {names}; see {prog} --help")
    config = config_type(**values)
    if check_given is not None:
        check_given(config, flags.keys())
    return config


@dataclasses.dataclass(frozen=True)
class _Flags:
    """The fields of a dataclass as flags of `prog`."""

    fields: Mapping[str, dataclasses.Field]
    hints: Mapping[str, Any]
    prog: str

    @property
    def by_place(self) -> set[str]:
        """Names of the fields that have no flag."""
        return {name for name, field in self.fields.items() if field.metadata.get("positional")}

    @property
    def switches(self) -> set[str]:
        """Bare names of the flags that take no value."""
        named = {name for name, hint in self.hints.items() if split_hint(hint)[0] is bool}
        return named | {f"no_{name}" for name in named} | {"debug", "help"}

    @property
    def bare(self) -> set[str]:
        """Names of all flags, without their hyphens."""
        return (set(self.fields) - self.by_place) | self.switches | {"config"}

    def check_name(self, name: str) -> None:
        """Refuse `--name` if there is no such flag."""
        bare = name.removeprefix("--")
        if bare in self.bare:
            return
        if bare in self.by_place:
            raise UsageError(f"unknown flag {name}; give {bare.upper()} by its place, without one")
        raise UsageError(unknown(name, self.bare - {"help"}, self.prog, kind="flag"))


def _read_flags(
    flags: _Flags, argv: Sequence[str], description: str
) -> tuple[dict[str, Any], str | None]:
    """Field name -> value, of those given; and the file of `--config`."""
    known = {f"--{name}" for name in flags.bare}
    arguments = [_underscored(argument, known) for argument in argv]
    for argument in arguments:  # unknown ones are named before what is missing
        name, equals, _ = argument.partition("=")
        if name.startswith("--") and name != "--":
            flags.check_name(name)
            if equals and name[2:] in flags.switches:
                raise UsageError(_no_value(name, flags))
    given, strays = _parser(flags, description).parse_known_args(arguments)
    if strays:
        raise UsageError(_stray(strays[0], arguments, flags))
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(given).items()
        if name in flags.fields
    }
    return values, given.config


def _stray(stray: str, arguments: Sequence[str], flags: _Flags) -> str:
    """What to say of an argument that nothing takes."""
    if stray.startswith("-"):
        return unknown(stray.partition("=")[0], flags.bare - {"help"}, flags.prog, kind="flag")
    before = next((a for a, b in itertools.pairwise(arguments) if b == stray), "")
    if before.startswith("--") and before[2:] in flags.switches:
        return _no_value(before, flags)
    return (
        f"{stray!r} stands where nothing is expected; see {flags.prog} --help for the flags, and "
        "put quotes around a name with blanks"
    )


def _no_value(flag: str, flags: _Flags) -> str:
    name = flag[2:].removeprefix("no_")
    if name not in flags.fields:
        return f"{flag} takes no value"
    return f"{flag} takes no value; write --{name} or --no_{name}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


class _Formatter(argparse.HelpFormatter):
    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """`A [B]` as it is; argparse would repeat it."""
        if isinstance(action.metavar, str) and action.metavar.endswith("]"):
            return action.metavar
        return super()._format_args(action, default_metavar)


def _parser(flags: _Flags, description: str) -> _Parser:
    parser = _Parser(
        prog=flags.prog, description=description, allow_abbrev=False, formatter_class=_Formatter
    )
    parser.add_argument("--config", metavar="FILE.yaml", help="read flags from this YAML file")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    for name, field in flags.fields.items():
        _add_flag(parser, field, flags.hints[name])
    return parser


def _add_flag(parser: argparse.ArgumentParser, field: dataclasses.Field, annotated: Any) -> None:
    hint, text = split_hint(annotated)
    if hint is bool:
        _add_switch(parser, field.name, text.replace("%", "%%"), bool(field.default))
        return
    if not is_required(field) and field.default not in (None, "", (), dataclasses.MISSING):
        text = f"{text} ({_shown(field.default)})"
    arguments: dict[str, Any] = {"help": text.replace("%", "%%"), "default": argparse.SUPPRESS}
    if typing.get_origin(hint) is Literal:
        arguments["choices"] = typing.get_args(hint)
    elif is_list(hint):
        arguments |= {"nargs": "+", "type": converter(typing.get_args(hint)[0])}
    else:
        arguments["type"] = converter(hint)
    if field.metadata.get("positional"):
        if not is_required(field):
            arguments["nargs"] = "*" if "nargs" in arguments else "?"
        parser.add_argument(field.name, metavar=field.name.upper(), **arguments)
    else:
        parser.add_argument(f"--{field.name}", metavar=placeholder(annotated), **arguments)


def _add_switch(parser: argparse.ArgumentParser, name: str, text: str, default: bool) -> None:
    """Both directions; the help shows the one that changes something."""
    for flag, value in ((name, True), (f"no_{name}", False)):
        shown = text if value else f"do not {text}"
        parser.add_argument(
            f"--{flag}",
            action="store_true" if value else "store_false",
            dest=name,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS if value is default else shown,
        )


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(map(_shown, value))
    return repr(value) if isinstance(value, str) and not value.isprintable() else str(value)


def _underscored(argument: str, known: set[str]) -> str:
    """--batch-size=2 -> --batch_size=2, for known flags only."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    underscored = "--" + name[2:].replace("-", "_")
    return underscored + equals + value if underscored in known else argument
