"""A few rows read by the model as it is at this step, by the engine that reads pages everywhere.

So the error rates of a validation are those that `test.py` finds for the same rows and weights.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from ...data.annotations import Annotation
from ...errors import UserError
from ...inference.engine import OcrEngine, Request
from ...inference.results import Status
from ...metrics.text import TextScore, error_rate, mean, text_score
from ...model.labels import IGNORE
from ...model.processing import IMAGE
from ..batching.batches import PageDataset
from ..optimization.step import Unreadable, totals
from .readable import readable

SPARE = 1.5
"""The budget of an answer, over what the longest truth takes."""
RATES: dict[str, Status] = {
    "repetition_rate": "repetition",
    "empty_rate": "empty",
    "truncation_rate": "truncated",
}
"""Name of a figure -> the status whose share it is."""


Watch = Callable[[str, int], contextlib.AbstractContextManager[Callable[[], None]]]
"""What is done and how many batches it takes -> what is called after each of them: it may tell how
far it is, or end everything."""


def unwatched(_label: str, _num_batches: int) -> contextlib.AbstractContextManager[Any]:
    """Nobody follows the batches."""
    return contextlib.nullcontext(lambda: None)


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """Row number `row` of a dataset: what was answered, how decoding ended, and how good it is."""

    row: int
    prediction: str
    status: Status
    score: TextScore


def choose_rows(rows: Sequence[Annotation], num_rows: int, *, seed: int) -> list[int]:
    """Numbers of up to `num_rows` rows: by the seed, and from as many groups as there are.

    One row of each group is taken, then a second of each, and so on; a row without a group is one
    by itself. Fewer rows asked for are the first of more.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[f"row {number}" if row.group is None else f"group {row.group}"].append(number)
    generator = random.Random(f"{seed}/eval_samples")
    shuffled = list(groups.values())
    generator.shuffle(shuffled)
    for group in shuffled:
        generator.shuffle(group)
    by_turn = sorted(
        (turn, place) for place, group in enumerate(shuffled) for turn in range(len(group))
    )
    return [shuffled[place][turn] for turn, place in by_turn[:num_rows]]


def share_out(batches: Sequence[Any], num_processes: int, process: int) -> list[Any]:
    """What one of the processes takes of the batches in turn; None where it has none left.

    Every process gets equally many.
    """
    rounds = -(-len(batches) // num_processes)
    own = list(batches[process::num_processes])
    return own + [None] * (rounds - len(own))


def cut(rows: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Row numbers -> batches of `size`, the last one of what is left."""
    return [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]


def longest_answer(rows: Sequence[Annotation], processor: Any) -> int:
    """Tokens of the longest true answer, its end included."""
    return max(_num_answer_tokens(row, processor) for row in rows)


def _num_answer_tokens(row: Annotation, processor: Any) -> int:
    labels = processor.encode(row.prompt, [0] * row.prompt.count(IMAGE), row.text).labels
    return sum(label != IGNORE for label in labels)


class RowReader:
    """Reads the same few rows of a dataset, each time it is asked.

    Args:
        num_rows: how many; `rows` are their numbers, the first of which are shown.
        batch_size: rows read together by one process.
        max_new_tokens: of an answer; None: half as many again as the longest truth takes.
    """

    def __init__(
        self,
        dataset: PageDataset,
        accelerator: Accelerator,
        *,
        num_rows: int,
        seed: int,
        batch_size: int,
        max_new_tokens: int | None = None,
    ):
        self.dataset, self.accelerator = dataset, accelerator
        self.rows = choose_rows(dataset.annotations, num_rows, seed=seed)
        chosen = [dataset.annotations[row] for row in self.rows]
        self.max_new_tokens = max_new_tokens or (
            math.ceil(SPARE * longest_answer(chosen, dataset.processor)) if chosen else 1
        )
        # alike answers together: a batch takes as long as its longest
        by_length = sorted(self.rows, key=lambda row: (-len(dataset.annotations[row].text), row))
        self.batches = cut(by_length, batch_size)

    def read(self, model: nn.Module, watch: Watch = unwatched) -> list[ReadRow]:
        """Every chosen row, in the order of `rows`; the same list in all processes.

        Raises:
            Unreadable: in all processes, if a picture of one row cannot be opened.
        """
        own: list[tuple[int, str, Status]] = []
        share = share_out(
            self.batches, self.accelerator.num_processes, self.accelerator.process_index
        )
        with (
            readable(model, self.accelerator) as (reader, in_step),
            watch("reading", len(share)) as batch_done,
        ):
            engine = OcrEngine(reader, self.dataset.processor)
            for batch in share:
                # where they must keep step, one that has no rows left reads another's for nothing
                rows = batch or (self.batches[0][:1] if in_step else ())
                requests = self._open_together(rows)
                results = engine.generate(requests, max_new_tokens=self.max_new_tokens)
                if batch is not None:
                    answers = zip(batch, results, strict=True)
                    own += [(row, result.text, result.status) for row, result in answers]
                batch_done()
        found = {row: (text, status) for row, text, status in gather_object(own)}
        return [self._scored(row, *found[row]) for row in self.rows]

    def _open_together(self, rows: Sequence[int]) -> list[Request]:
        """The pages and prompts of rows; what one process cannot read ends all of them."""
        requests: list[Request] = []
        reason = ""
        try:
            samples = [self.dataset.sample(row) for row in rows]
            requests = [(sample.pages, sample.prompt) for sample in samples]
        except UserError as error:
            reason = str(error)
        if totals(self.accelerator, [bool(reason)]) != [0]:
            raise Unreadable("\n".join(filter(None, gather_object([reason]))))
        return requests

    def _scored(self, row: int, prediction: str, status: Status) -> ReadRow:
        prediction = "" if status == "failed" else prediction
        score = text_score(prediction, self.dataset.annotations[row].text)
        return ReadRow(row=row, prediction=prediction, status=status, score=score)


def reading_figures(rows: Sequence[ReadRow]) -> dict[str, float]:
    """`cer` and `wer` (all errors / all lengths), `edit_similarity` (mean), and shares of statuses.

    Without rows there are none.
    """
    if not rows:
        return {}
    scores = [row.score for row in rows]
    figures = {
        "cer": error_rate(sum(s.char_errors for s in scores), sum(s.num_chars for s in scores)),
        "wer": error_rate(sum(s.word_errors for s in scores), sum(s.num_words for s in scores)),
        "edit_similarity": mean([s.similarity for s in scores]),
    }
    rates = {
        name: sum(row.status == status for row in rows) / len(rows)
        for name, status in RATES.items()
    }
    return {name: value for name, value in figures.items() if value is not None} | rates
