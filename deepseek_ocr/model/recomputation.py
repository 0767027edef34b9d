"""Less memory for more time: layers whose activations are computed again in the backward pass.

Of a recomputed layer only the input is kept (arXiv 1604.06174). Loss and gradients are the same;
the step takes about a third longer where all that trains is recomputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from .clip import ClipBlock
from .language import DecoderLayer
from .sam import SamBlock

LAYERS = {"sam": SamBlock, "clip": ClipBlock, "decoder": DecoderLayer}


def recompute(model: nn.Module, names: Sequence[str]) -> None:
    """Recompute the layers of the named stacks, and of no others, while `model` trains.

    `model` may be wrapped (an adapter's, heads beside it): layers are found by their class.

    Raises:
        ValueError: a name that is no stack.
    """
    if unknown := [name for name in names if name not in LAYERS]:
        raise ValueError(
            f"cannot recompute {', '.join(unknown)}: the stacks are {', '.join(LAYERS)}"
        )
    chosen = tuple(LAYERS[name] for name in names)
    again = partial(checkpoint, use_reentrant=False)  # the other way loses gradients of parameters
    for module in model.modules():
        if isinstance(module, SamBlock | ClipBlock | DecoderLayer):
            module.gradient_checkpointing = isinstance(module, chosen)
            module._gradient_checkpointing_func = again
