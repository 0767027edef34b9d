"""The guard against repetition, part one: no n-gram twice within a window of generated tokens.

As published with the model (`NoRepeatNGramLogitsProcessor` of its vLLM program: 30 in a window of
90, `<td>` and `</td>` excepted, which repeat in honest tables), for all rows of a batch at once and
on their device; here, n-grams of nothing but empty cells and dots do not count either. How often it
had to step in tells a loop from a page; `loops` looks for the others.

Letters: n rows, S slots, W tokens of the window, J n-grams in it, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

NGRAM, WINDOW = 30, 90
EXEMPT = ("<td>", "</td>")
STRUCTURE = ("<td>", "</td>", "<tr>", "</tr>", ".", " .", "·", " ·", "…", " …")
LONGEST_LINE = 64
STRUCTURE_SHARE = 0.9
"""Empty rows of a table, and the lines of dots of a contents page: where so much of an n-gram is
made of these, it says nothing. What goes on for ever is left to `loops`."""

STEPS_TOLERATED, STEPS_WITHIN = 5, 1000
"""A row in which the guard steps in more often within so many tokens is a loop."""
LOOP_SEEN_AFTER = 400
"""Tokens within which a loop is to be known, however long the n-grams are."""
LARGEST_SCALE = 4

SAMPLE = (
    "The quick brown fox jumps over the lazy dog. Please send the invoice for the goods that were "
    "delivered to our office in the second week of the month."
)
SAMPLE_TOKENS = 31
"""What the published tokenizer makes of the sample."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guard:
    """No `ngram` tokens twice within the last `window`.

    But for the `exempt` ids, and where nine in ten tokens before are of `structure`.
    """

    ngram: int = NGRAM
    window: int = WINDOW
    exempt: frozenset[int] = frozenset()
    structure: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not 2 <= self.ngram <= self.window:
            raise ValueError(
                f"a guard of {self.ngram}-grams in a window of {self.window} tokens; expected at "
                f"least 2-grams, in a window that holds one"
            )

    @property
    def steps_tolerated(self) -> int:
        """So often may it step in within 1,000 tokens before a row counts as a loop."""
        return max(1, min(STEPS_TOLERATED, LOOP_SEEN_AFTER // self.ngram - 1))

    def why_stuck(self, steps: Sequence[int], length: int) -> str | None:
        """Why a row is a loop, though no n-gram repeats; None where it is none.

        Args:
            steps: places of the tokens that the guard decided, ascending.
            length: tokens that the row has.
        """
        recent = sum(place >= length - STEPS_WITHIN for place in steps)
        if recent <= self.steps_tolerated:
            return None
        return (
            f"{recent} of the last {min(length, STEPS_WITHIN)} tokens would have repeated "
            f"{self.ngram} tokens of the {self.window} before them"
        )

    @classmethod
    def for_processor(cls, processor: Any, ngram: int = NGRAM, window: int = WINDOW) -> Guard:
        """Of as much text as `ngram` and `window` tokens of the published tokenizer hold.

        One that spells words letter by letter needs longer n-grams: thirty dots of a contents page
        would be a loop to it.
        """
        scale = round(len(processor.tokenize(SAMPLE)) / SAMPLE_TOKENS)
        scale = min(max(scale, 1), LARGEST_SCALE)
        cells = (processor.tokenize(token) for token in EXEMPT)
        return cls(
            ngram=ngram * scale,
            window=window * scale,
            exempt=frozenset(token[0] for token in cells if len(token) == 1),
            structure=frozenset(structure_ids(processor)),
        )


def structure_ids(processor: Any) -> set[int]:
    """The tokens that empty rows and lines of dots are made of, up to the longest line."""
    lines = (mark * length for mark in STRUCTURE for length in range(1, LONGEST_LINE + 1))
    ids = {token for line in lines for token in processor.tokenize(line)}
    texts = set(STRUCTURE[:4])
    dots = "".join(STRUCTURE[4:])
    return {i for i in ids if (text := processor.decode([i])) in texts or not text.strip(dots)}


class NgramRule:
    """A guard's rule on a device."""

    def __init__(self, guard: Guard, device: torch.device):
        self.ngram = guard.ngram
        self._exempt, self._structure = (
            torch.tensor(sorted(ids), dtype=torch.long, device=device)
            for ids in (guard.exempt, guard.structure)
        )

    def ban(self, history: Tensor, logits: Tensor) -> Tensor:
        """(n, V) logits, with -inf for every token that would repeat an n-gram of the window.

        Args:
            history: (n, W) the last generated tokens of a row, -1 in front where there are fewer.
        """
        ngrams = history.unfold(1, self.ngram, 1)  # (n, J, ngram), a view
        newest = history[:, -(self.ngram - 1) :]
        known = (ngrams[..., :-1] == newest.unsqueeze(1)).all(-1) & (ngrams[..., 0] >= 0)
        last = ngrams[..., -1]  # (n, J)
        structure = torch.isin(newest, self._structure).float().mean(-1, keepdim=True)
        says_nothing = structure >= STRUCTURE_SHARE
        banned = known & ~torch.isin(last, self._exempt) & ~says_nothing
        penalty = torch.where(banned, float("-inf"), 0.0).to(logits.dtype)
        return logits.scatter_add(1, last.clamp(min=0), penalty)


class Chooser:
    """The next token of every row: the most likely one that the guard allows.

    It remembers the newest tokens of each slot. Nothing here waits for the device.

    Args:
        guard: None: nothing is banned.
    """

    def __init__(self, guard: Guard | None, num_slots: int, device: torch.device):
        self.guard, self.device = guard, device
        self._rule = NgramRule(guard, device) if guard else None
        width = guard.window if guard else 0
        self._history = torch.full((num_slots, width), -1, dtype=torch.long, device=device)
        self._noise: dict[int, tuple[float, torch.Generator]] = {}
        self._last_slots: list[int] = []
        self._rows = torch.tensor([], dtype=torch.long, device=device)

    def start(
        self, slot: int, tokens: Iterable[int] = (), *, temperature: float = 0.0, seed: int = 0
    ) -> None:
        """A row begins in a slot, perhaps with tokens that it has generated before.

        With a temperature its tokens are drawn, by a generator of its own.
        """
        self._noise.pop(slot, None)
        if temperature:
            generator = torch.Generator(self.device).manual_seed(seed)
            self._noise[slot] = (temperature, generator)
        if self.guard is None:
            return
        self._history[slot] = -1
        newest = list(tokens)[-self.guard.window :]
        if newest:
            self._history[slot, -len(newest) :] = torch.tensor(newest, device=self.device)

    def choose(self, slots: Sequence[int], logits: Tensor) -> tuple[Tensor, Tensor]:
        """(n, V) logits of the rows in these slots -> (n,) tokens, (n,) whether the guard decided.

        The tokens are remembered as generated.
        """
        if self._noise.keys() & set(slots):
            logits = self._with_noise(slots, logits)
        wanted = logits.argmax(-1)
        if self._rule is None:
            return wanted, torch.zeros_like(wanted, dtype=torch.bool)
        if list(slots) != self._last_slots:  # a copy to a GPU waits for it
            self._last_slots = list(slots)
            self._rows = torch.tensor(slots, device=self.device)
        rows = self._rows
        history = self._history[rows]
        chosen = self._rule.ban(history, logits).argmax(-1)
        self._history[rows] = torch.cat([history[:, 1:], chosen.unsqueeze(1)], dim=1)
        return chosen, chosen != wanted

    def _with_noise(self, slots: Sequence[int], logits: Tensor) -> Tensor:
        """Gumbel noise on the rows that have a temperature: their best token is then a draw."""
        logits = logits.clone()
        for row, slot in enumerate(slots):
            if slot in self._noise:
                temperature, generator = self._noise[slot]
                uniform = torch.rand(
                    logits.shape[1], generator=generator, device=logits.device, dtype=logits.dtype
                )
                tiny = torch.finfo(logits.dtype).tiny
                logits[row] = logits[row] / temperature - (-(uniform + tiny).log() + tiny).log()
        return logits
