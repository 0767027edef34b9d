"""`deepseek-ocr info MODEL --quality FILE`: quantized weights against the model's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.annotations import read_annotations
from ..data.problems import printable
from ..errors import EXIT_OK, UsageError, UserError
from ..evaluation.quality import QualityPlan, compare_quality
from .score_tables import interval, number

if TYPE_CHECKING:
    from .info import InfoConfig

UNTRAINED = ("nano-untrained", "base-untrained")
"""Random weights answer nothing that could be compared with a truth."""
WAYS = {"both": ("int8", "int4"), "int8": ("int8",), "int4": ("int4",)}
NEEDS_QUALITY = ("quantize", "data_root", "limit", "max_new_tokens", "json")
LABEL, CELL = 26, 18
NUM_LEFT_OUT_SHOWN = 10


def check_quality_flags(config: InfoConfig) -> None:
    """Raises UsageError where flags of `--quality` do not fit, or stand without it."""
    for name in ("limit", "max_new_tokens"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} must be at least 1, got {value}")
    if config.quality is not None:
        return
    for name in NEEDS_QUALITY:
        if getattr(config, name) != config.__dataclass_fields__[name].default:
            raise UsageError(f"--{name} is for --quality FILE; name the test file, or leave it out")


def print_quality(config: InfoConfig) -> int:
    """Compare, and print a table or, with `--json`, all figures."""
    file = config.quality
    assert file is not None
    root = config.data_root or file.parent
    annotations = read_annotations(file, root)[: config.limit]
    refused = refused_ways(config.model, WAYS[config.quantize])
    plan = QualityPlan(
        annotations=annotations,
        data_root=root,
        ways=[way for way in WAYS[config.quantize] if way not in refused],
        answers=config.model not in UNTRAINED,
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
    )
    compared = compare_quality(_loader(config), plan)
    found = {"model": config.model, "file": str(file), "refused": refused, **compared}
    print(json.dumps(found, indent=2) if config.json else quality_table(found))
    for reason in refused.values():
        print(f"not compared: {reason}", file=sys.stderr)
    for row in found["left_out"][:NUM_LEFT_OUT_SHOWN]:
        print(f"left out: {printable('{id}: {reason}'.format(**row))}", file=sys.stderr)
    return EXIT_OK


def refused_ways(model: str, ways: Sequence[str]) -> dict[str, str]:
    """Ways that do not suit the model's sizes, and why not, before any weight is read.

    Raises:
        UserError: none of them does, or the model cannot be used.
    """
    from ..model.weight_only import quantize_weights  # here: loading torch takes seconds
    from ..training.memory.model_facts import read_facts

    refused = {}
    for way in ways:
        try:
            quantize_weights(read_facts(model).network, way)
        except UserError:
            raise
        except ValueError as error:
            refused[way] = str(error)
    if len(refused) == len(ways):
        raise UserError(f"{model}: {'; '.join(refused.values())}")
    return refused


def _loader(config: InfoConfig) -> Any:
    from ..inference.engine import load_engine  # here: loading torch takes seconds

    def load(quantize: str | None) -> Any:
        return load_engine(
            config.model,
            device=config.device,
            dtype=config.dtype,
            mode=config.mode,
            tile_size=config.tile_size,
            base_size=config.base_size,
            max_tiles=config.max_tiles,
            seed=config.seed,
            quantize=quantize,
        )

    return load


def quality_table(found: Mapping[str, Any]) -> str:
    """What was found, in aligned lines: a column for each kind of weights."""
    kinds = ["full", *(way for way in WAYS["both"] if way in found)]
    columns = [found[kind] for kind in kinds]
    rows = found["num_rows"] - len(found["left_out"])
    compared = f"{rows} of {found['num_rows']}" if found["left_out"] else f"{rows}"
    heads = [found["dtype"], *kinds[1:]]
    lines = [
        f"{found['model']} on {compared} rows of {Path(found['file']).name}, "
        f"{found['num_tokens']:,} answer tokens, {found['device']}",
        "",
        _line("", heads),
        _line("weights, MB", [f"{c['weight_bytes'] / 1e6:,.1f}" for c in columns]),
        _line("logits, relative error", [number(c.get("logit_error")) for c in columns]),
        _line("divergence, nats a token", [_short(c.get("divergence")) for c in columns]),
        _line("top-1 agreement", [number(c.get("top1_agreement")) for c in columns]),
    ]
    if columns[0]["cer"] is None:
        return "\n".join([*lines, "", "CER is not compared: " + _why_no_cer(columns[0])])
    changes = [c.get("cer_difference") or {} for c in columns]
    lines += [
        _line("CER", [number(c["cer"]) for c in columns]),
        _line("  difference", [_signed(change.get("difference")) for change in changes]),
        _line("  95 % interval", [interval(change.get("interval")) for change in changes]),
        _line("same answers", [_count(c.get("num_same_answers")) for c in columns]),
    ]
    for status in columns[0]["statuses"]:
        counts = [c["statuses"][status] for c in columns]
        if any(counts):
            lines.append(_line(status, map(str, counts)))
    return "\n".join(lines)


def _why_no_cer(full: Mapping[str, Any]) -> str:
    if full["statuses"] is None:
        return "random weights read nothing"
    return "the truths are empty"


def _line(label: str, cells: Any) -> str:
    return f"{label:{LABEL}}" + "".join(f"{cell:>{CELL}}" for cell in cells)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
