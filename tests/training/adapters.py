"""Adapters that have learned something, for tests that need no training."""

from __future__ import annotations

import torch
from torch import nn


def set_adapter(model: nn.Module) -> None:
    """Give a fresh adapter values, as if it had learned something."""
    torch.manual_seed(7)
    for name, parameter in model.named_parameters():
        if "lora_magnitude_vector" in name:
            parameter.data *= 1 + 0.2 * torch.rand_like(parameter)
        elif "lora_" in name:
            parameter.data.normal_(std=0.1)
