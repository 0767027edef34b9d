"""How far quantized weights change what a model says next, under true answers.

The model is given each answer so far and asked for the next token (teacher forcing), so that one
wrong token is one, and does not change all that follow. Of the exact model only its last states and
its head are kept, so that one model at a time is in memory.

Letters: N positions of a row, T tokens of its answer and its end, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..model.labels import IGNORE
from .engine import OcrEngine
from .lending import without_adapter

LOGITS_AT_ONCE = 2**25
"""Of each model; 260 positions of the published vocabulary."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrueAnswer:
    """A row: its pages, what is asked of them, and what should be answered."""

    pages: Sequence[Any]
    prompt: str
    text: str


@dataclasses.dataclass(kw_only=True)
class LogitErrors:
    """Sums over all answer tokens; see the properties for what they say."""

    num_tokens: int = 0
    squared_errors: float = 0.0
    squared_logits: float = 0.0
    divergence: float = 0.0
    num_same: int = 0

    @property
    def relative_error(self) -> float | None:
        """RMS of the differences over RMS of the exact logits, each less its position's mean.

        The mean says nothing: probabilities do not change with it.
        """
        if not self.squared_logits:
            return None
        return math.sqrt(self.squared_errors / self.squared_logits)

    @property
    def agreement(self) -> float | None:
        """Share of tokens where both models find the same one most likely."""
        return self.num_same / self.num_tokens if self.num_tokens else None

    @property
    def mean_divergence(self) -> float | None:
        """Kullback-Leibler divergence of the next token, from the exact model's, in nats."""
        return self.divergence / self.num_tokens if self.num_tokens else None


class ExactLogits:
    """What a model with its own weights says next in the answers of rows.

    Args:
        engine: of a `DeepseekOcrForConditionalGeneration`, perhaps under an adapter. It may go
            afterwards; its head is kept.
    """

    def __init__(self, engine: OcrEngine):
        self._head = without_adapter(engine.model).lm_head
        self._engine: OcrEngine | None = engine
        self._states: list[Tensor] = []

    def add(self, row: TrueAnswer) -> None:
        """One row more.

        Raises:
            ValueError: its pictures and `<image>` marks differ in number, its answer holds what no
                answer can hold, or it is longer than the model's positions.
        """
        assert self._engine is not None
        self._states.append(answer_states(self._engine, row))

    def forget_model(self) -> None:
        """Everything but the head and what it is applied to may go."""
        self._engine = None

    def compare(self, number: int, engine: OcrEngine, row: TrueAnswer, errors: LogitErrors) -> None:
        """Add to `errors` what another model says of row `number`."""
        head = without_adapter(engine.model).lm_head
        exact, states = self._states[number], answer_states(engine, row)
        part = max(1, LOGITS_AT_ONCE // engine.model.config.text_config.vocab_size)
        for ours, theirs in zip(exact.split(part), states.split(part), strict=True):
            with torch.no_grad():
                device = engine.device
                add_errors(errors, self._head(ours.to(device)), head(theirs.to(device)))


def answer_states(engine: OcrEngine, row: TrueAnswer) -> Tensor:
    """(T, D) states from which the tokens of an answer, and its end, are told; on the CPU."""
    inputs = engine.processor(
        images=list(row.pages),
        text=[row.prompt],
        answers=[row.text],
        mode=engine.mode,
        **engine.sizes,  # type: ignore[arg-type]
    )
    labels = inputs.pop("labels")[0]
    if len(labels) > engine.max_positions:
        raise ValueError(
            f"prompt, pictures and answer take {len(labels)} positions, the model has "
            f"{engine.max_positions}"
        )
    model = without_adapter(engine.model)
    with torch.no_grad():
        values = {name: value.to(engine.device) for name, value in inputs.items()}
        states = model.model(**values).last_hidden_state[0, :-1]
    return states[(labels[1:] != IGNORE).to(states.device)].cpu()


def add_errors(errors: LogitErrors, exact: Tensor, other: Tensor) -> None:
    """Both (T, V), in any format."""
    exact, other = exact.float(), other.float()
    centred = exact - exact.mean(1, keepdim=True)
    difference = other - other.mean(1, keepdim=True) - centred
    expected = exact.log_softmax(1)
    errors.num_tokens += len(exact)
    errors.squared_errors += difference.double().square().sum().item()
    errors.squared_logits += centred.double().square().sum().item()
    errors.divergence += (expected.exp() * (expected - other.log_softmax(1))).sum().item()
    errors.num_same += int((exact.argmax(1) == other.argmax(1)).sum())


def weight_bytes(model: Any) -> int:
    """What a model's weights take, codes and scales included."""
    return sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
