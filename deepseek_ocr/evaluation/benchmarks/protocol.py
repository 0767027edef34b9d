"""What a published benchmark is: the pages it asks, and its table made of the answers.

A benchmark knows nothing of models: it names its pages, something answers them, and it scores the
texts. Its module is imported when it is asked for, and holds one object named `BENCHMARK`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ...errors import UsageError

BENCHMARKS: dict[str, str] = {
    "omnidocbench": "omnidocbench",
    "olmocr-bench": "olmocr_bench",
    "fox": "fox",
}
"""Name on the command line -> module of this package that holds `BENCHMARK`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkPage:
    """One page to be answered.

    `id` is the name under which its answer is scored, and, with `.md`, the file of a folder of
    answers as published; `images` are relative to the data root, as in a test file
    (`f.pdf#page=1`); `prompt` is the one that the published rows were made with.
    """

    id: str
    images: tuple[str, ...]
    prompt: str


class OneImage(Protocol):
    """A page of a benchmark's data that is one picture, relative to the data root."""

    @property
    def id(self) -> str:
        """As `BenchmarkPage.id`."""

    @property
    def image(self) -> str:
        """Its picture."""


def pages_of_one_image(pages: Iterable[OneImage], prompt: str) -> list[BenchmarkPage]:
    """The pages as they are asked, each with the same prompt."""
    return [BenchmarkPage(id=page.id, images=(page.image,), prompt=prompt) for page in pages]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkTable:
    """The published table's columns with our figures, and the published rows beside.

    `values` are as published (per cent or distance, says `columns`); a value that cannot be told
    is None and `reasons` says, by the column's name, why. `published` are (name, values) with one
    value a column; `num_pages` are those of the benchmark, answered or not; `verdicts` says by page
    id, in a few words, how the answer was scored; `detail` holds JSON values for `metrics.json`,
    the intervals among them.
    """

    columns: tuple[str, ...]
    values: tuple[float | None, ...]
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    published: tuple[tuple[str, tuple[float | None, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    num_pages: int = 0
    verdicts: dict[str, str] = dataclasses.field(default_factory=dict)
    detail: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, values in (("this run", self.values), *self.published):
            if len(values) != len(self.columns):
                raise ValueError(
                    f"{name}: {len(values)} values for {len(self.columns)} columns of a benchmark"
                )

    def to_json(self) -> dict[str, Any]:
        """The table as `metrics.json` holds it, without the benchmark's name."""
        return {
            "columns": list(self.columns),
            "values": list(self.values),
            "reasons": dict(self.reasons),
            "published": [[name, list(values)] for name, values in self.published],
            "notes": list(self.notes),
            "detail": self.detail,
        }


class Benchmark(Protocol):
    """A benchmark whose data lie in a folder as its authors publish them."""

    name: str

    def pages(self, data_root: Path) -> list[BenchmarkPage]:
        """Every page that is asked, in a fixed order, each id once.

        Raises:
            UserError: the folder does not hold the benchmark in its published layout.
        """

    def score(
        self, data_root: Path, answers: Mapping[str, str], output_dir: Path
    ) -> BenchmarkTable:
        """The table of the answers by page id; a page without one has an empty answer.

        Answers are Markdown: the model's tags around labels and boxes are gone already. Files for
        tools outside (such as input for CDM) are written into `output_dir`.
        """


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called `name`.

    Raises:
        UsageError: there is no such benchmark.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, 1)
        advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(BENCHMARKS)}"
        raise UsageError(f"--benchmark {name}: no such benchmark; {advice}")
    return importlib.import_module(f".{BENCHMARKS[name]}", __package__).BENCHMARK
