"""What a test is asked to do: the flags of `test.py` and the keys of its YAML files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ..errors import UsageError
from ..resolution import Mode

MAX_SEED = 2**32 - 1
"""The largest that NumPy's generator takes."""

_LEAST = {
    "batch_size": 1,
    "max_new_tokens": 1,
    "limit": 1,
    "seed": 0,
    "num_workers": 0,
    "base_size": 64,
    "tile_size": 64,
    "max_tiles": 1,
    "tesseract_psm": 0,
}
LARGEST_PSM = 13
# What a model does with a page: of answers that are there already, nobody knows.
_OF_THE_MODEL = {
    "adapter",
    "mode",
    "tile_size",
    "base_size",
    "max_tiles",
    "device",
    "dtype",
    "max_new_tokens",
}
# Where results go and how fast they come: none changes a score.
_CHANGES_NOTHING = ("output_dir", "num_workers", "resume")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestConfig:
    """What is tested on what, and how."""

    __test__: ClassVar[bool] = False  # a command's configuration, not a case for pytest

    data_root: Annotated[Path, "folder that the test file's pictures are relative to"]
    test_file: Annotated[
        Path | None,
        "test.json as written by data_utils.py; not needed with --from_predictions or --benchmark",
    ] = None
    model_path: Annotated[
        str | None,
        "model folder, Hub id or preset (nano, nano-untrained, ...); not needed with "
        "--from_predictions",
    ] = None
    output_dir: Annotated[Path, "folder for predictions, scores, report and logs"]
    adapter: Annotated[Path | None, "folder of a LoRA adapter to put on the model"] = None
    batch_size: Annotated[int, "rows answered together"] = 8
    max_new_tokens: Annotated[int, "longest answer, capped by the model's positions"] = 8192
    limit: Annotated[int | None, "test only the first rows of the file"] = None
    resume: Annotated[
        Literal["auto", "none"],
        "auto: go on where a test of the same arguments was interrupted in --output_dir",
    ] = "auto"
    from_predictions: Annotated[
        Path | None,
        "score these answers, without a model: a predictions.jsonl, or a folder of ID.md files",
    ] = None
    compare: Annotated[
        Path | None, "output folder of another test, such as the base model's, to put beside"
    ] = None
    baseline: Annotated[
        Literal["tesseract"] | None, "an installed reader to put beside, on the same rows"
    ] = None
    tesseract_lang: Annotated[
        str, "languages that Tesseract reads, as its -l takes them: deu+frk"
    ] = "eng"
    tesseract_psm: Annotated[
        int | None, "what Tesseract takes a picture for, as its --psm: 7 is one line"
    ] = None
    benchmark: Annotated[
        Literal["omnidocbench", "olmocr-bench", "fox"] | None,
        "run this published protocol on its data in --data_root, in place of a test file",
    ] = None
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
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name} must be at least {least}, got {value}")
        if self.seed > MAX_SEED:
            raise UsageError(f"--seed must be at most {MAX_SEED}, got {self.seed}")
        if not all(self.tesseract_lang.split("+")):
            raise UsageError(
                f"--tesseract_lang must name languages, such as eng or deu+frk, "
                f"got {self.tesseract_lang!r}"
            )
        if self.tesseract_psm is not None and self.tesseract_psm > LARGEST_PSM:
            raise UsageError(
                f"--tesseract_psm must be at most {LARGEST_PSM}, got {self.tesseract_psm}"
            )
        self._check_what_is_tested()
        self._check_model_flags()

    def _check_model_flags(self) -> None:
        """Answers that are there already were not made with these settings."""
        if self.from_predictions is None:
            return
        for field in dataclasses.fields(self):
            if field.name in _OF_THE_MODEL and getattr(self, field.name) != field.default:
                raise UsageError(
                    f"--from_predictions scores answers that are there already; "
                    f"leave --{field.name} out"
                )

    def _check_what_is_tested(self) -> None:
        if self.model_path is None and self.from_predictions is None:
            raise UsageError(
                "missing: --model_path, what is tested (or answers: --from_predictions); "
                "see test.py --help"
            )
        if self.model_path is not None and self.from_predictions is not None:
            raise UsageError(
                "--from_predictions scores answers that are there already; leave --model_path out"
            )
        if self.test_file is not None and self.benchmark is not None:
            raise UsageError("--benchmark brings its own pages; leave --test_file out")
        if not (self.test_file or self.benchmark or self.from_predictions):
            raise UsageError(
                "missing: --test_file, what it is tested on (or --benchmark); see test.py --help"
            )
        for flag in ("baseline", "compare"):
            if self.benchmark is not None and getattr(self, flag) is not None:
                raise UsageError(
                    f"--{flag} {getattr(self, flag)} is for test files; benchmarks have their "
                    "published rows beside"
                )

    @property
    def name(self) -> str:
        """What is tested, in a few characters: the last two parts of the model's path."""
        tested = self.model_path or str(self.from_predictions)
        return "/".join(Path(tested).parts[-2:])  # `last` alone would say nothing

    def to_json(self) -> dict[str, Any]:
        """The settings that decide the scores, as JSON values; not where they are written."""
        values = dataclasses.asdict(self)
        for name in _CHANGES_NOTHING:
            del values[name]
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
