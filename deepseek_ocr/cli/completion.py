"""`deepseek-ocr completion SHELL`: what lets a shell complete commands, flags and their values.

source <(deepseek-ocr completion bash)          in ~/.bashrc; zsh alike
deepseek-ocr completion fish > ~/.config/fish/completions/deepseek-ocr.fish
"""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from ..errors import EXIT_OK
from .field_types import split_hint
from .options import POSITIONAL, parse_options

PROGRAM = "deepseek-ocr"
CONFIGS = {
    "split": "deepseek_ocr.cli.split:SplitOptions",
    "train": "deepseek_ocr.training.config:TrainConfig",
    "test": "deepseek_ocr.evaluation.config:TestConfig",
    "read": "deepseek_ocr.reading.config:ReadConfig",
    "check": "deepseek_ocr.cli.check:CheckConfig",
    "export": "deepseek_ocr.training.tuning.export_config:ExportConfig",
    "synth": "deepseek_ocr.data.synthetic.dataset:SynthConfig",
    "info": "deepseek_ocr.cli.info:InfoConfig",
    "completion": "deepseek_ocr.cli.completion:CompletionConfig",
}
"""Command -> the dataclass that its flags come from."""

Flags = Mapping[str, tuple[str, ...]]
"""`--flag` -> the values that it takes, where they are few and known."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletionConfig:
    """For which shell."""

    shell: Annotated[Literal["bash", "zsh", "fish"], "whose completion to print"] = (
        dataclasses.field(metadata=POSITIONAL)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print a script that the shell reads."""
    config = parse_options(
        CompletionConfig,
        argv,
        prog="deepseek-ocr completion",
        description="Print what lets a shell complete commands and flags.",
    )
    print({"bash": bash, "zsh": zsh, "fish": fish}[config.shell](), end="")
    return EXIT_OK


def flags_of(command: str) -> Flags:
    """The flags of a command, as its help shows them."""
    module, _, name = CONFIGS[command].partition(":")
    config = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(config, include_extras=True)
    found: dict[str, tuple[str, ...]] = {"--help": (), "--config": (), "--debug": ()}
    for field in dataclasses.fields(config):
        if not field.init or field.metadata.get("positional"):
            continue
        hint, _ = split_hint(hints[field.name])
        prefix = "no_" if hint is bool and field.default is True else ""
        found[f"--{prefix}{field.name}"] = _choices(hint)
    return found


def _choices(hint: Any) -> tuple[str, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def bash() -> str:
    """A function for bash; files where nothing else is known."""
    lines = [
        "_deepseek_ocr() {",
        "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}",
        "    local command=${COMP_WORDS[1]} known=",
        f'    if [ "$COMP_CWORD" -eq 1 ]; then known="{" ".join(CONFIGS)}"',
        '    else case "$command $before" in',
        *(f'        "{place}") known="{values}" ;;' for place, values in _places()),
        '        *) case "$current" in --*) case "$command" in',
        *(f'            {name}) known="{" ".join(flags_of(name))}" ;;' for name in CONFIGS),
        "        esac ;; esac ;;",
        "    esac; fi",
        '    case "$current" in --*-*) known=${known//_/-} ;; esac',  # both spellings are accepted
        '    COMPREPLY=($(compgen -W "$known" -- "$current"))',
        "}",
        f"complete -o default -F _deepseek_ocr {PROGRAM}",
    ]
    return "\n".join(lines) + "\n"


def _places() -> Iterator[tuple[str, str]]:
    """`command --flag` and the values that may follow."""
    for name in CONFIGS:
        for flag, values in flags_of(name).items():
            if values:
                yield f"{name} {flag}", " ".join(values)
    yield "completion completion", "bash zsh fish"


def zsh() -> str:
    """The same for zsh, which knows how bash completes."""
    return "autoload -U +X bashcompinit && bashcompinit\n" + bash()


def fish() -> str:
    """A line a flag for fish."""
    lines = [
        f"complete -c {PROGRAM} -n __fish_use_subcommand -f -a '{' '.join(CONFIGS)}'",
        f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'",
    ]
    for name in CONFIGS:
        for flag, values in flags_of(name).items():
            known = f" -x -a '{' '.join(values)}'" if values else ""
            seen = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c {PROGRAM} {seen} -l {flag[2:]}{known}")
    return "\n".join(lines) + "\n"
