"""One test from beginning to end: answers, scores, and the files in the output folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ..data.annotations import Annotation
from ..data.pages.loading import load_page
from ..errors import UsageError
from ..files import sha256_of
from ..metrics.text import error_rate
from ..progress import Progress
from ..resolution import Mode
from ..runlog import RunLog, versions
from .evaluate import Engine, ScoredRow, evaluate
from .loading import PageLoader
from .predictions import PredictionFile
from .report import REPORT_NAME, write_report
from .summary import METRICS_JSON_NAME, headline, summarize, write_summary

MAX_SEED = 2**32 - 1
"""The largest that NumPy's generator takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestConfig:
    """What is tested on what, and how."""

    __test__: ClassVar[bool] = False  # a command's configuration, not a case for pytest

    data_root: Annotated[Path, "folder that the test file's pictures are relative to"]
    test_file: Annotated[Path, "test.json as written by data_utils.py"]
    model_path: Annotated[str, "model folder, Hub id or preset (nano, nano-untrained, ...)"]
    output_dir: Annotated[Path, "folder for predictions, scores, report and logs"]
    adapter: Annotated[Path | None, "folder of a LoRA adapter to put on the model"] = None
    batch_size: Annotated[int, "rows answered together"] = 8
    max_new_tokens: Annotated[int, "longest answer, capped by the model's positions"] = 8192
    limit: Annotated[int | None, "test only the first rows of the file"] = None
    mode: Annotated[Mode | None, "resolution of the views; default: the model's"] = None
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None
    device: Annotated[str, "cpu, cuda, cuda:1, mps or auto"] = "auto"
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], "number format"] = "auto"
    seed: Annotated[
        int, "of the bootstrap behind the intervals, and of untrained presets; answers are greedy"
    ] = 42
    num_workers: Annotated[int, "processes that open pictures ahead; 0: this one opens them"] = 0

    def __post_init__(self):
        at_least = {
            "batch_size": 1,
            "max_new_tokens": 1,
            "limit": 1,
            "seed": 0,
            "num_workers": 0,
            "base_size": 64,
            "tile_size": 64,
            "max_tiles": 1,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name} must be at least {least}, got {value}")
        if self.seed > MAX_SEED:
            raise UsageError(f"--seed must be at most {MAX_SEED}, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """The settings that decide the scores, as JSON values; not where they are written."""
        values = dataclasses.asdict(self)
        del values["output_dir"], values["num_workers"]
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestOutcome:
    """What a test found: every row, the content of `metrics.json`, and where the report is."""

    __test__: ClassVar[bool] = False

    rows: Sequence[ScoredRow]
    summary: dict[str, Any]
    report: Path

    @property
    def failed(self) -> list[ScoredRow]:
        """The rows that have no answer."""
        return [row for row in self.rows if row.result.status == "failed"]


def run_test(
    config: TestConfig, annotations: Sequence[Annotation], engine: Engine, *, quiet: bool = False
) -> TestOutcome:
    """Answer and score `annotations`, and write all files of a test to `config.output_dir`.

    The folder must exist. An earlier test's results there are replaced, its logs continued.
    """
    log = RunLog(config.output_dir, "test")
    source = config.to_json() | {"test_file_sha256": sha256_of(config.test_file)}
    log.event(
        "start",
        arguments=source
        | {"output_dir": str(config.output_dir), "num_workers": config.num_workers},
        versions=versions(),
        device=getattr(engine, "device", config.device),
        rows=len(annotations),
    )
    try:
        rows = _answer(config, annotations, engine, log, quiet)
        summary = {"run": source, **summarize(rows, seed=config.seed)}
        report = _write_results(config, rows, summary)
    except KeyboardInterrupt:
        log.event("interrupted")
        raise
    except Exception as error:
        log.event("error", type=type(error).__name__, reason=str(error))
        raise
    log.event("saved", report=report)
    log.metrics("end", **headline(summary), seconds=summary["seconds"])
    return TestOutcome(rows=rows, summary=summary, report=report)


def _answer(
    config: TestConfig,
    annotations: Sequence[Annotation],
    engine: Engine,
    log: RunLog,
    quiet: bool,
) -> list[ScoredRow]:
    """All rows, each on disk as soon as its batch is answered."""
    for name in (METRICS_JSON_NAME, REPORT_NAME):  # never new predictions beside old scores
        (config.output_dir / name).unlink(missing_ok=True)
    file = PredictionFile(config.output_dir)
    rows: list[ScoredRow] = []
    errors = chars = 0
    with (
        PageLoader(partial(load_page, config.data_root), config.num_workers) as loader,
        Progress(len(annotations), "rows", "test", quiet=quiet) as progress,
    ):
        for batch in evaluate(
            annotations,
            engine,
            loader,
            batch_size=config.batch_size,
            max_new_tokens=config.max_new_tokens,
        ):
            for row in batch:
                file.append(row)
                errors, chars = errors + row.score.char_errors, chars + row.score.num_chars
                if row.result.status == "failed":
                    log.event("failed", row=row.annotation.id, reason=row.result.reason)
            rows += batch
            so_far = error_rate(errors, chars)
            log.metrics("batch", rows=len(rows), of=len(annotations), cer=so_far)
            progress.advance(len(batch), cer="-" if so_far is None else f"{so_far:.3f}")
    file.finish(rows)
    return rows


def _write_results(config: TestConfig, rows: Sequence[ScoredRow], summary: dict[str, Any]) -> Path:
    """`metrics.json` and the report; the report's path."""
    write_summary(config.output_dir / METRICS_JSON_NAME, summary)
    report = config.output_dir / REPORT_NAME
    write_report(report, rows, summary, open_page=partial(load_page, config.data_root))
    return report
