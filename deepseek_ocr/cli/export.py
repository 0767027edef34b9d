"""`deepseek-ocr export MODEL OUT`: a model or adapter as one folder that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import EXIT_OK
from ..progress import Progress
from ..training.tuning.export_config import ExportConfig
from .options import parse_options

if TYPE_CHECKING:
    from ..training.tuning.exporting import Exported

DESCRIPTION = (
    "Writes the published layout, which vLLM, SGLang, transformers and this project read: an "
    "adapter is added to the weights in float32. Reads a few pages before and after, and tells "
    "how far the logits are apart."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Export; the exit code."""
    config = parse_options(ExportConfig, argv, prog="deepseek-ocr export", description=DESCRIPTION)
    from ..training.tuning.exporting import export  # here: loading torch takes seconds, --help none

    say = Progress(0, "steps", "export").message
    print(report(export(config, say)))
    return EXIT_OK


def report(exported: Exported) -> str:
    """What was done, as a few lines; the folder comes last."""
    size = exported.num_bytes
    shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    merged = "; the adapter is merged" if exported.merged else ""
    lines = [f"{exported.num_tensors:,} tensors in {exported.dtype}, {shown}{merged}"]
    if exported.quantization is not None:
        lines.append(
            f"the adapter was trained over weights rounded to 4 bits ({exported.quantization}) and "
            "is merged into the full ones: test the result before it replaces the adapter"
        )
    if exported.difference is not None:
        lines.append(
            f"largest logit difference {exported.difference:.3g} on {exported.num_samples} pages "
            f"(logits reach {exported.largest:.3g}); the same token comes first at "
            f"{exported.same} of {exported.positions} positions"
        )
    return "\n".join([*lines, str(exported.out)])
