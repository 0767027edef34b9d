"""Which settings of a run are refused: values out of range, and what does not go together."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING

from ...data.augmentation import MAX_STRENGTH
from ...data.statistics.contact_sheet import MOST_CELLS
from ...data.synthetic.stream import check_kinds
from ...errors import UsageError
from ..tuning.parts import VISION
from .flag_values import expected_instead
from .idle import check_not_idle

if TYPE_CHECKING:
    from ..config import TrainConfig

_AT_LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "grad_accum": 1,
    "lora_rank": 1,
    "lora_alpha": 1,
    "max_tokens_per_batch": 1,
    "eval_samples": 0,
    "eval_max_new_tokens": 1,
    "patience": 1,
    "balance_loss_weight": 0,
    "max_steps": 1,
    "warmup_steps": 0,
    "max_length": 1,
    "save_steps": 1,
    "eval_steps": 1,
    "keep": 1,
    "show_samples": 1,
    "synth_size": 64,
    "seed": 0,
    "num_workers": 0,
    "weight_decay": 0,
    "base_size": 64,
    "tile_size": 64,
    "max_tiles": 1,
}
_AT_MOST = {
    "seed": 2**32 - 1,  # the largest that NumPy's generator takes
    "show_samples": MOST_CELLS,
}
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

_NAME_THEM = {
    "parts": "name parts, such as decoder or projector,attention",
    "model_path": "name a model folder, Hub id or preset",
}


def check_settings(config: TrainConfig) -> None:
    """Refuse what makes no sense.

    Raises:
        UsageError: with the flag, what was expected and what was found.
    """
    _check_types(config)
    for name, least in _AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and not value >= least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")
    for name, most in _AT_MOST.items():
        value = getattr(config, name)
        if value is not None and value > most:
            raise UsageError(f"--{name} must be at most {most}, got {value}")
    _check_pairs(config)
    _check_source(config)
    for name in ("lr", "max_grad_norm", "adam_epsilon"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name} must be above 0, got {value}")
    for name in ("warmup_ratio", "decay_ratio"):
        if not 0 <= getattr(config, name) <= 1:
            raise UsageError(f"--{name} must lie between 0 and 1, got {getattr(config, name)}")
    for name in ("lora_dropout", "label_smoothing", "ema", "adam_beta1", "adam_beta2"):
        if not 0 <= (getattr(config, name) or 0) < 1:
            raise UsageError(f"--{name} must lie from 0 to below 1, got {getattr(config, name)}")
    if not _DEVICE.fullmatch(config.device):
        raise UsageError(
            f"--device: unknown device {config.device!r}; expected auto, cpu, cuda, cuda:1 or mps"
        )
    for name in ("parts", "model_path"):
        if getattr(config, name) is not None and not str(getattr(config, name)).strip():
            raise UsageError(f"--{name} is empty; {_NAME_THEM[name]}")
    _check_validation(config)
    _check_combinations(config)
    if not 0 < config.augment_strength <= MAX_STRENGTH:
        raise UsageError(
            f"--augment_strength must lie above 0, up to {MAX_STRENGTH:g}; got "
            f"{config.augment_strength}"
        )
    check_not_idle(config)
    # an unknown name fails here
    _ = config.augmentation, config.trackers, config.recomputed, config.lr_of_parts
    _ = config.weight_decay_of_parts


def _check_types(config: TrainConfig) -> None:
    """From Python any value may come: choices and numbers must be what the fields declare."""
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if expected := expected_instead(value, hint):
            raise UsageError(f"--{name}: expected {expected}, got {value!r}")


def _check_validation(config: TrainConfig) -> None:
    """What is measured needs rows, and what chooses needs what is measured."""
    if config.val_file is None:  # --guard_file alone is measured, and chooses nothing
        for name in ("eval_steps", "patience"):
            guarded = name == "eval_steps" and config.guard_file is not None
            if getattr(config, name) is not None and not guarded:
                raise UsageError(f"--{name} needs rows to measure; name them with --val_file")
        if config.best_metric != "loss":
            raise UsageError("--best_metric needs rows to read; name them with --val_file")
    if config.best_metric != "loss" and not config.eval_samples:
        raise UsageError(f"--best_metric {config.best_metric} needs --eval_samples above 0")


def _check_combinations(config: TrainConfig) -> None:
    """Settings that are nothing without another one, or cannot be had together."""
    for applies, reason in (*_of_learning(config), *_of_batches(config), *_of_sharing(config)):
        if applies:
            raise UsageError(reason)


Rule = tuple[object, str]
"""A reason to refuse a run, after what is true where it applies."""


def _of_learning(config: TrainConfig) -> list[Rule]:
    wsd = config.lr_schedule == "wsd"
    balances = config.balance_loss_weight is not None
    return [
        (
            wsd and config.warmup_steps is None and config.warmup_ratio + config.decay_ratio > 1,
            "--warmup_ratio and --decay_ratio are more than all steps",
        ),
        (
            config.balance_loss_weight and (config.adapts or "router" not in config.trained_parts),
            "--balance_loss_weight balances experts as the router learns; train it with --parts",
        ),
        (
            config.synth_task == "glyphs" and (config.label_smoothing > 0 or balances),
            "--synth_task glyphs teaches the encoder alone; --label_smoothing and "
            "--balance_loss_weight are the decoder's",
        ),
    ]


def _of_batches(config: TrainConfig) -> list[Rule]:
    keeps = config.feature_cache is not None
    draws = config.synth is not None
    seen = ", ".join(part for part in VISION if part in config.trained_parts)
    return [
        (
            keeps and seen,
            f"--feature_cache keeps what a frozen vision side gives; leave these out of --parts: "
            f"{seen}",
        ),
        (
            keeps and config.augmentation is not None,
            "--feature_cache keeps each page once, and --augment wears it anew each epoch; name "
            "one of them",
        ),
        (keeps and draws, "--feature_cache keeps pages of files, and --synth draws new ones"),
        (
            draws and (config.packing or config.max_tokens_per_batch is not None),
            "--packing and --max_tokens_per_batch choose among rows of files; drawn pages come in "
            "their order, --batch_size at a time",
        ),
    ]


def _of_sharing(config: TrainConfig) -> list[Rule]:
    return [
        (
            config.fsdp and config.has_heads,
            "--fsdp shares a model without other heads; leave out --glyph_weight and --synth_task "
            "glyphs",
        ),
        (
            config.fsdp and (config.tune == "qlora" or config.optimizer != "adamw"),
            "--fsdp shares weights and AdamW's state of 16 or 32 bits; use another --tune or "
            "--optimizer",
        ),
    ]


def _check_source(config: TrainConfig) -> None:
    """Rows of a file, or drawn pages."""
    if config.synth is None:
        needed = ("data_root", "train_file")
        if missing := [f"--{name}" for name in needed if getattr(config, name) is None]:
            raise UsageError(f"missing: {', '.join(missing)}; or draw pages with --synth")
        if config.has_heads:
            raise UsageError("glyphs are known of drawn pages only; name kinds with --synth")
        return
    if config.train_file is not None:
        raise UsageError("--synth takes the place of --train_file; name one of them")
    for name in ("val_file", "guard_file"):
        if getattr(config, name) is not None and config.data_root is None:
            raise UsageError(f"--{name} needs --data_root, the folder of its pictures")
    if config.max_steps is None:
        raise UsageError("--synth draws pages without end; say how many steps with --max_steps")
    if config.tune != "full" and config.has_heads:
        raise UsageError("glyphs teach the encoder itself; they need --tune full")
    if max(config.synth_variety or (0,)) > 1:
        raise UsageError("--synth_variety: expected shares from 0 to 1")
    check_kinds(config.synth_kinds, config.synth_size)


def _check_pairs(config: TrainConfig) -> None:
    """What changes while training has one value, or its first and its last."""
    for name in ("synth_characters", "synth_variety", "synth_spacing", "glyph_weight"):
        values = getattr(config, name)
        if values is None:
            continue
        if len(values) not in (1, 2) or min(values) < 0:
            found = " ".join(map(str, values))
            raise UsageError(f"--{name}: expected one or two numbers from 0, got {found}")
