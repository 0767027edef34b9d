"""Generation by a model's own `generate`, for models that offer nothing else.

Such are models in training, wrapped for several processes: a batch starts and ends together. Guard
and endings are those of continuous batching, so that both give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from .guard import Guard, NgramRule
from .loops import LOOP_EVERY, why_stuck


class BanRepeats(LogitsProcessor):
    """The guard's n-gram rule over what was generated; remembers where it decided."""

    def __init__(self, guard: Guard, prompt_length: int):
        self.guard, self.prompt_length = guard, prompt_length
        self._rule: NgramRule | None = None
        self._decided: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, N) ids so far and (B, V) scores -> scores, -inf for what would repeat."""
        window = self.guard.window
        newest = input_ids[:, self.prompt_length :][:, -window:]
        history = F.pad(newest, (window - newest.shape[1], 0), value=-1)
        self._rule = self._rule or NgramRule(self.guard, scores.device)
        left = self._rule.ban(history, scores)
        self._decided.append(left.argmax(-1) != scores.argmax(-1))
        return left

    def guarded(self, row: int, length: int) -> list[int]:
        """Places of the first `length` tokens of a row that the guard decided."""
        if not self._decided:
            return []
        decided = torch.stack([step[row] for step in self._decided[:length]])
        return decided.nonzero().flatten().tolist()


class StopRows(StoppingCriteria):
    """Ends a row of the batch at its own budget, or once it will not end by itself."""

    def __init__(
        self,
        prompt_length: int,
        budgets: Sequence[int],
        decode: Callable[[Sequence[int]], str],
        bans: BanRepeats | None,
    ):
        self.prompt_length, self.budgets = prompt_length, torch.tensor(budgets)
        self.decode, self.bans = decode, bans

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(B, N) ids so far -> (B,) True where the row is to end."""
        length = input_ids.shape[1] - self.prompt_length
        full = (self.budgets <= length).to(input_ids.device)
        if self.bans is None or length % LOOP_EVERY:
            return full
        answers = input_ids[:, self.prompt_length :].tolist()
        stuck = [self.why(row, answer, length - LOOP_EVERY) for row, answer in enumerate(answers)]
        return full | torch.tensor([bool(reason) for reason in stuck], device=input_ids.device)

    def why(self, row: int, ids: Sequence[int], before: int | None = None) -> str | None:
        """Why a row will not end by itself; None where it may. See `loops.why_stuck`."""
        if self.bans is None:
            return why_stuck(ids, self.decode, before=before)
        guarded = self.bans.guarded(row, len(ids))
        return why_stuck(ids, self.decode, guard=self.bans.guard, guarded=guarded, before=before)


def generate_together(
    model: Any,
    inputs: dict[str, Tensor],
    budgets: Sequence[int],
    processor: Any,
    guard: Guard | None,
) -> list[tuple[list[int], bool, str | None]]:
    """A padded batch -> of each row its ids, whether it ended by itself, and why not if it loops.

    Args:
        model: has a `device` and `generate` as in `transformers`.
        inputs: as the processor makes them for reading, padded on the left.
        guard: None: nothing is banned, and a loop goes on to the row's budget.
    """
    length = inputs["input_ids"].shape[1]
    bans = None if guard is None else BanRepeats(guard, length)
    stop = StopRows(length, budgets, processor.decode, bans)
    with torch.no_grad():  # not inference mode: what FSDP gathers in it could never train again
        output = model.generate(
            **{name: value.to(model.device) for name, value in inputs.items()},
            do_sample=False,
            max_new_tokens=max(budgets),
            eos_token_id=processor.eos_id,
            pad_token_id=processor.pad_id,
            logits_processor=LogitsProcessorList([bans] if bans else []),
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    answers = []
    for row, budget in enumerate(budgets):
        ids = output[row, length:].tolist()[:budget]
        ended = processor.eos_id in ids
        if ended:
            ids = ids[: ids.index(processor.eos_id)]
        while ids and ids[-1] == processor.pad_id:  # it stopped before its batch-mates
            ids.pop()
        answers.append((ids, ended, None if ended else stop.why(row, ids)))
    return answers
