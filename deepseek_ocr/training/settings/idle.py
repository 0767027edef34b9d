"""Settings that would change nothing beside the others: whoever gives one expects something of it.

What differs from its default is refused wherever it comes from. A flag of the command line is
refused also when it repeats the default; a key of a file is not, as a file may serve several
commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from ...errors import UsageError
from ...resolution import MODES

if TYPE_CHECKING:
    from ..config import TrainConfig


class Rule(NamedTuple):
    """Settings that change nothing where `applies`; `reason` goes on after those words."""

    names: tuple[str, ...]
    applies: bool
    reason: str


def check_not_idle(config: TrainConfig) -> None:
    """Refuse what differs from its default, and changes nothing.

    Raises:
        UsageError: with the setting, and what it would need.
    """
    fields = dataclasses.fields(config)
    changed = {field.name for field in fields if getattr(config, field.name) != field.default}
    _refuse(_rules(config), changed)


def check_given(config: TrainConfig, flags: Collection[str]) -> None:
    """Refuse flags of the command line (field names) that change nothing.

    Raises:
        UsageError: with the flag, and what it would need.
    """
    _refuse([*_rules(config), *_rules_of_flags(config)], flags)


def _refuse(rules: Collection[Rule], given: Collection[str]) -> None:
    for rule in rules:
        if rule.applies and (idle := [f"--{name}" for name in rule.names if name in given]):
            verb = "change" if len(idle) > 1 else "changes"
            raise UsageError(f"{' and '.join(idle)} {verb} nothing {rule.reason}")


def _rules(config: TrainConfig) -> list[Rule]:
    return [
        Rule(
            ("lora_rank", "lora_alpha", "lora_dropout"),
            not config.adapts,
            "without an adapter; choose one with --tune lora, dora or qlora",
        ),
        Rule(
            (
                "synth_size",
                "synth_characters",
                "synth_variety",
                "synth_spacing",
                "synth_task",
                "synth_fonts",
            ),
            config.synth is None,
            "without drawn pages; name kinds with --synth",
        ),
        Rule(("decay_ratio",), config.lr_schedule != "wsd", "without --lr_schedule wsd"),
        Rule(
            ("warmup_ratio",),
            config.warmup_steps is not None,
            "with --warmup_steps, which takes its place",
        ),
        Rule(
            ("adam_beta1", "adam_beta2", "adam_epsilon"),
            config.optimizer == "adafactor",
            "with --optimizer adafactor; they are Adam's",
        ),
        Rule(
            ("augment_strength",),
            config.augmentation is None,
            "by itself; say what it wears with --augment",
        ),
    ]


def _rules_of_flags(config: TrainConfig) -> list[Rule]:
    """For what a file may well hold for other commands, and Python for other runs."""
    measures = config.val_file is not None or config.guard_file is not None
    mode = MODES.get(config.mode or "")
    return [
        Rule(
            ("batch_size",),
            config.max_tokens_per_batch is not None and not config.packing,
            "with --max_tokens_per_batch, which takes its place",
        ),
        Rule(
            ("epochs",),
            config.synth is not None,
            "with --synth, which draws pages without end; --max_steps says how many",
        ),
        Rule(
            ("data_root",),
            config.synth is not None and not measures,
            "with --synth; no file names pictures",
        ),
        Rule(
            ("eval_at_start", "eval_samples", "eval_max_new_tokens", "best_metric"),
            not measures,
            "without rows to measure; name them with --val_file",
        ),
        Rule(
            ("eval_max_new_tokens",),
            config.eval_samples == 0,
            "with --eval_samples 0: nothing is read",
        ),
        Rule(
            ("max_tiles",),
            mode is not None and mode.tile_size is None and config.tile_size is None,
            f"with --mode {config.mode}, which has no tiles; --tile_size gives it some",
        ),
    ]
