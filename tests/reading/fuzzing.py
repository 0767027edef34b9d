"""Coverage-guided fuzzing in plain Python: inputs that reach new lines are kept and changed on.

Every input is run under `sys.settrace`; an edge is a pair of lines of one function, one run after
the other. Deterministic by its seed.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

MAX_LENGTH = 600
"""Characters of an input."""


@dataclass(frozen=True, kw_only=True)
class Fuzzed:
    """How far a run came: inputs that reached something new, and edges reached."""

    num_inputs: int
    num_kept: int
    num_edges: int


def fuzz(
    target: Callable[[str], Any],
    *,
    seeds: Iterable[str],
    pieces: Sequence[str],
    watched: Iterable[Path],
    num_inputs: int,
    seed: int,
    check: Callable[[str], Any] = lambda text: None,
    check_every: int = 100,
    watch_every: int = 1,
) -> Fuzzed:
    """Call `target` with inputs made of `seeds` and `pieces`; what it raises ends the run.

    Args:
        watched: the files whose lines count.
        check: a dear look at an input, for those that reach new lines and every so many others.
        watch_every: so many inputs run for each whose lines are watched, which takes four times
            as long.
    """
    rng = random.Random(seed)
    trace = _Trace(watched)
    corpus = list(seeds)
    for text in corpus:
        trace.run(target, text)
    for number in range(num_inputs):
        text = _changed(rng, corpus, pieces)
        try:
            found = number % watch_every == 0 and trace.run(target, text)
            if number % watch_every:
                target(text)
            if found or number % check_every == 0:
                check(text)
        except Exception as error:
            raise AssertionError(f"input {text!r}") from error
        if found:
            corpus.append(text)
    return Fuzzed(num_inputs=num_inputs, num_kept=len(corpus), num_edges=len(trace.edges))


class _Trace:
    """The edges that any run has reached."""

    def __init__(self, watched: Iterable[Path]):
        self._files = {str(path) for path in watched}
        self._is_watched: dict[CodeType, bool] = {}
        self.edges: set[tuple[CodeType, int, int]] = set()

    def run(self, target: Callable[[str], Any], text: str) -> bool:
        """Whether the input reached an edge that none before it did."""
        before = len(self.edges)
        sys.settrace(self._enter)
        try:
            target(text)
        finally:
            sys.settrace(None)
        return len(self.edges) > before

    def _enter(self, frame: FrameType, event: str, _: Any) -> Callable | None:
        code = frame.f_code
        watched = self._is_watched.get(code)
        if watched is None:
            watched = self._is_watched[code] = code.co_filename in self._files
        if not watched:
            return None
        last, add = code.co_firstlineno, self.edges.add

        def step(frame: FrameType, event: str, _: Any) -> Callable:
            nonlocal last
            if event == "line":
                add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step


def _changed(rng: random.Random, corpus: Sequence[str], pieces: Sequence[str]) -> str:
    # what was found last is closest to what is not found yet
    recent = rng.random() < 0.5
    text = corpus[-rng.randint(1, min(len(corpus), 20))] if recent else rng.choice(corpus)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        first, last = sorted(rng.randint(0, len(text)) for _ in range(2))
        match rng.randrange(7):
            case 0 | 1:
                text = text[:first] + rng.choice(pieces) + text[first:]
            case 2:
                text = text[:first] + text[last:]
            case 3:
                text = text[:first] + text[first:last] * rng.randint(2, 9) + text[last:]
            case 4:
                other = rng.choice(corpus)
                begin, end = sorted(rng.randint(0, len(other)) for _ in range(2))
                text = text[:first] + other[begin:end] + text[last:]
            case 5:
                text = (
                    text[:first]
                    + chr(rng.choice((rng.randrange(128), rng.randrange(0x110000))))
                    + text[first:]
                )
            case 6:
                text = text[:first] + text[first:last][::-1] + text[last:]
        text = text[:MAX_LENGTH]
    return text
