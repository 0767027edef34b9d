"""The named parts of the network: which parameter belongs to which, and what trains.

Every parameter belongs to exactly one part. A norm belongs to the part it feeds: a block's first
norm to `attention`, its second to `dense` or (in a layer with experts) `shared`, the last norm of
the decoder to `head`. CLIP's `patch_embedding` is in the published weights and takes no part in the
computation; the router's correction bias (`noaux_tc`) has no gradient: neither is ever trained.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ...errors import UsageError

if TYPE_CHECKING:
    from torch import nn

VISION = ("sam", "compressor", "clip", "projector", "separators")
DECODER = ("attention", "dense", "shared", "experts", "router", "embeddings", "head")
PARTS = (*VISION, *DECODER)
SETS = {"vision": VISION, "decoder": DECODER, "all": PARTS}

UNTRAINABLE = re.compile(r".*(\.patch_embedding\.weight|\.e_score_correction_bias)")

PACKED = "4 bits"
"""The format of weights under `--tune qlora`."""

_PREFIXES = (
    ("model.sam_model.net_", "compressor"),
    ("model.sam_model.", "sam"),
    ("model.vision_model.", "clip"),
    ("model.projector.", "projector"),
    ("model.image_newline", "separators"),
    ("model.view_seperator", "separators"),  # [sic]
    ("model.embed_tokens.", "embeddings"),
    ("model.norm.", "head"),
    ("lm_head.", "head"),
)
_LAYER = re.compile(r"model\.layers\.(?P<index>\d+)\.(?P<rest>.+)")
_IN_LAYER = (
    ("self_attn.", "attention"),
    ("input_layernorm.", "attention"),
    ("mlp.gate.", "router"),
    ("mlp.experts.", "experts"),
    ("mlp.shared_experts.", "shared"),
    ("mlp.", "dense"),
)


def expand_parts(text: str) -> tuple[str, ...]:
    """`clip,decoder` -> the parts it names, in the order of `PARTS`.

    Raises:
        UsageError: a name that is neither a part nor a set; it names the nearest.
    """
    wanted: set[str] = set()
    for name in (piece.strip() for piece in text.split(",")):
        if name not in PARTS and name not in SETS:
            known = [*PARTS, *SETS]
            near = difflib.get_close_matches(name, known, 1, 0.4)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"--parts: unknown part {name!r}; {advice}")
        wanted.update(SETS.get(name, (name,)))
    return tuple(part for part in PARTS if part in wanted)


def assign_parts(names: Iterable[str]) -> dict[str, str]:
    """Parameter name -> its part, for the names of a whole model.

    Raises:
        ValueError: a name that belongs to no part.
    """
    names = list(names)
    second_norm = _parts_of_second_norms(names)
    return {name: _part_of(name, second_norm) for name in names}


def _part_of(name: str, second_norm: Mapping[str, str]) -> str:
    for prefix, part in _PREFIXES:
        if name.startswith(prefix):
            return part
    if layer := _LAYER.fullmatch(name):
        if layer["rest"].startswith("post_attention_layernorm."):
            return second_norm[layer["index"]]
        for prefix, part in _IN_LAYER:
            if layer["rest"].startswith(prefix):
                return part
    raise ValueError(f"the parameter {name} belongs to no part; add it to training/tuning/parts.py")


def _parts_of_second_norms(names: Iterable[str]) -> dict[str, str]:
    """Layer number -> the part that its second norm feeds."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        if (layer := _LAYER.fullmatch(name)) and layer["rest"].startswith("mlp."):
            found[layer["index"]].add(
                next(part for prefix, part in _IN_LAYER if layer["rest"].startswith(prefix))
            )
    preferred = ("dense", "shared", "experts")
    return {
        index: next(part for part in preferred if part in parts) for index, parts in found.items()
    }


def choose_trained(model: nn.Module, parts: Iterable[str]) -> None:
    """Give the parameters of `parts` a gradient, and no others."""
    wanted = set(parts)
    owners = assign_parts(name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        trained = owners[name] in wanted and not UNTRAINABLE.fullmatch(name)
        parameter.requires_grad_(trained)


def count_by_part(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Part -> numbers of trained and frozen parameters; an adapter counts with what it changes.

    A weight packed into four bits counts as what it stands for.
    """
    counts = dict.fromkeys(PARTS, (0, 0))
    for part, tensors in _tensors_by_part(model).items():
        trained = sum(tensor.size for tensor in tensors if tensor.trains)
        counts[part] = (trained, sum(tensor.size for tensor in tensors) - trained)
    return counts


def formats_by_part(model: nn.Module) -> dict[str, str]:
    """Part -> the formats of its parameters, that of the most of them first: `4 bits, float32`."""
    formats = {}
    for part, tensors in _tensors_by_part(model).items():
        sizes: dict[str, int] = defaultdict(int)
        for tensor in tensors:
            sizes[tensor.format] += tensor.size
        formats[part] = in_order(sizes)
    return formats


def in_order(sizes: Mapping[str, int]) -> str:
    """The names of formats, that of the most numbers first."""
    return ", ".join(sorted(sizes, key=lambda name: (-sizes[name], name)))


class _Tensor(NamedTuple):
    """Of a model: how many numbers it stands for, in which format, and whether it trains."""

    size: int
    format: str
    trains: bool


def _tensors_by_part(model: nn.Module) -> dict[str, list[_Tensor]]:
    from ...model.quantization import (
        PackedWeights,
    )  # here: the flags' names are checked without torch

    packed = {
        f"{name}.{own}": module.num_weights if own == PackedWeights.CODES else 0
        for name, module in model.named_modules()
        if isinstance(module, PackedWeights)
        for own, _ in module.named_parameters()
    }
    parameters = dict(model.named_parameters())
    owners = assign_parts(published_name(name) for name in parameters)
    found: dict[str, list[_Tensor]] = defaultdict(list)
    for name, parameter in parameters.items():
        size = packed.get(name, parameter.numel())
        format = PACKED if name in packed else str(parameter.dtype).removeprefix("torch.")
        if size:
            found[owners[published_name(name)]].append(
                _Tensor(size, format, parameter.requires_grad)
            )
    return found


def published_name(name: str) -> str:
    """A parameter's name under a PEFT adapter -> the name of the parameter it is, or changes."""
    name = name.removeprefix("base_model.model.")
    return re.sub(r"\.(base_layer|lora_(A|B|magnitude_vector)\.\w+)(?=\.|$)", "", name)


def parts_table(
    counts: Mapping[str, tuple[int, int]],
    formats: Mapping[str, str] | None = None,
    rates: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """What `count_by_part` found, with the totals, as aligned lines.

    Args:
        formats: what `formats_by_part` found, for a column of its own.
        rates: part -> peak learning rate and weight decay, shown where the part trains.
    """
    formats, rates = formats or {}, rates or {}
    trained, frozen = map(sum, zip(*counts.values(), strict=True))
    rows = [("part", "trained", "frozen", "lr", "decay", "format")]
    for part, (learns, rests) in {**counts, "total": (trained, frozen)}.items():
        lr, decay = (f"{r:g}" for r in rates[part]) if learns and part in rates else ("", "")
        rows.append((part, f"{learns:,}", f"{rests:,}", lr, decay, formats.get(part, "")))
    columns = zip((12, -15, -15, -10, -8, 0), zip(*rows, strict=True), strict=True)
    shown = [_aligned(cells, width) for width, cells in columns if any(cells[1:])]
    return "\n".join("".join(cells).rstrip() for cells in zip(*shown, strict=True))


def _aligned(cells: Iterable[str], width: int) -> list[str]:
    """A column of `width` characters, filled on the left if that is below 0; 0: two before it."""
    if width == 0:
        return [f"  {cell}" for cell in cells]
    return [cell.ljust(width) if width > 0 else cell.rjust(-width) for cell in cells]
