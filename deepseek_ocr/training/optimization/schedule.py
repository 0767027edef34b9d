"""The learning rate of each step, as a share of its peak.

Letters: N steps in all, W of warm-up, D of decay at the end, t = 0 ... N - 1 the step.

    warm-up, t < W       (t + 1) / W                       a line up to the peak
    cosine               (1 + cos(pi p)) / 2               p = (t - W) / (N - W), as in 1608.03983
    linear               1 - p
    constant             1
    wsd, t < N - D       1                                 warm-up, stable, decay (2404.06395)
    wsd, t >= N - D      1 - sqrt((t - N + D) / D)         the best decay found by 2405.18392

The first and the last step learn, too: a rate of 0 would be reached one step before and after them.
So warm-up is one step ahead of that of `transformers`' schedules, and the rest equals theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

LEAST_WARMUP = 5
"""Steps of warm-up, of runs of 20 steps and more."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Step number, from 0 to below `num_steps` -> share of the peak learning rate, in (0, 1].

    `warmup_ratio` and `decay_ratio` (of wsd alone) are shares of the steps, rounded up; what is
    left after warm-up limits the decay. Of few steps a small share would be one, and training would
    start at the full rate: warm-up takes at least 5 steps, or a quarter of fewer than 20, unless
    its share is 0. `warmup_steps` takes the place of the share, up to all steps.
    """

    name: str
    num_steps: int
    warmup_ratio: float = 0.0
    decay_ratio: float = 0.0
    warmup_steps: int | None = None

    @property
    def num_warmup(self) -> int:
        """The steps in which the rate rises."""
        if self.warmup_steps is not None:
            return min(self.warmup_steps, self.num_steps)
        if self.warmup_ratio == 0:
            return 0
        least = min(LEAST_WARMUP, self.num_steps // 4)
        return max(math.ceil(self.warmup_ratio * self.num_steps), least)

    def __call__(self, step: int) -> float:
        num_warmup = self.num_warmup
        if step < num_warmup:
            return (step + 1) / num_warmup
        if self.name == "wsd":
            num_decay = min(
                math.ceil(self.decay_ratio * self.num_steps), self.num_steps - num_warmup
            )
            into_decay = step - (self.num_steps - num_decay)
            return 1.0 if into_decay < 0 else 1 - math.sqrt(into_decay / num_decay)
        return _SHAPES[self.name]((step - num_warmup) / max(self.num_steps - num_warmup, 1))


_SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "constant": lambda progress: 1.0,
}
