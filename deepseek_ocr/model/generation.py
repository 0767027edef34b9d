"""How decoding ends: end token, budget, or a loop that no end token would ever stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import StoppingCriteria

LOOP_TOKENS = 256
"""So many last tokens must repeat before an answer counts as a loop."""
LONGEST_UNIT = 128
"""Longest repeated unit that is looked for, in tokens; at least two whole units must repeat."""


def loop_unit(ids: Sequence[int] | np.ndarray) -> int | None:
    """Length of the unit that the last 256 tokens repeat, or None where they do not loop."""
    tokens = np.asarray(ids)
    for unit in range(1, LONGEST_UNIT + 1):
        if len(tokens) < LOOP_TOKENS + unit:
            return None
        if tokens[-1] == tokens[-1 - unit] and np.array_equal(
            tokens[-LOOP_TOKENS:], tokens[-LOOP_TOKENS - unit : -unit]
        ):
            return unit
    return None


class StopFull(StoppingCriteria):
    """Ends each row of the batch at its own budget, whatever its batch-mates may still take."""

    def __init__(self, prompt_length: int, budgets: Sequence[int]):
        self.prompt_length, self.budgets = prompt_length, torch.tensor(budgets)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(B, N) ids so far -> (B,) True where the row is to end."""
        length = input_ids.shape[1] - self.prompt_length
        return (self.budgets <= length).to(input_ids.device)


class StopLoops(StoppingCriteria):
    """Ends a row of the batch once its answer loops; looks every `every` tokens."""

    def __init__(self, prompt_length: int, every: int = 32):
        self.prompt_length, self.every = prompt_length, every

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(B, N) ids so far -> (B,) True where the row is to end."""
        length = input_ids.shape[1] - self.prompt_length
        if length < LOOP_TOKENS or length % self.every:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        answers = input_ids[:, self.prompt_length :].cpu().numpy()
        loops = [loop_unit(answer) is not None for answer in answers]
        return torch.tensor(loops, device=input_ids.device)
