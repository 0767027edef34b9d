"""An adapter added to the weights that it lies beside, in float32.

A merged weight is rounded once, to the format it is saved in; adding in bfloat16 rounds the sum as
it grows, which is enough to change answers (https://github.com/modelscope/ms-swift/issues/2279,
and 6620 for DoRA).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...model.late_imports import import_peft


@torch.no_grad()
def merge_adapter(adapted: nn.Module, dtype: torch.dtype) -> Any:
    """The model below a PEFT adapter, all of it in `dtype`, the adapter added to its weights.

    One layer at a time is in float32: beside the model that much memory is needed, and no more.

    Raises:
        UserError: a sum is not a number; the adapter is damaged.
    """
    layer_type = import_peft().tuners.lora.LoraLayer
    for name, layer in adapted.named_modules():
        if not isinstance(layer, layer_type):
            continue
        weight = _weight_of(layer)
        weight.data = weight.data.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError:
            raise UserError(f"{name}: the adapter gives weights that are not numbers") from None
        weight = _weight_of(layer)
        weight.data = weight.data.to(dtype)
    merged = adapted.unload()  # type: ignore[operator]
    return merged.to(dtype)


def _weight_of(layer: Any) -> Tensor:
    """What a layer of the adapter changes: a linear layer's weight, or a stack of experts."""
    if hasattr(layer, "parameter_name"):
        return layer.get_param()
    return layer.get_base_layer().weight
