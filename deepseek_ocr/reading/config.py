"""What is to be read, and how: the flags of `deepseek-ocr read` and the keys of its YAML files."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from ..data.pages.sources import Rotation
from ..errors import UsageError
from ..pictures import MAX_PIXELS
from ..resolution import Mode
from .page_ranges import PageRanges, parse_page_ranges
from .tasks import Task, check_task

MODEL_VARIABLE = "DEEPSEEK_OCR_MODEL"
DEFAULT_MODEL = "nano"

FORMATS = ("md", "json", "html", "txt", "pdf")

_LEAST = {
    "batch_size": 1,
    "max_new_tokens": 1,
    "max_pixels": 1,
    "retries": 0,
    "seed": 0,
    "num_workers": 0,
    "base_size": 64,
    "tile_size": 64,
    "max_tiles": 1,
}

_DECIDES = (
    "model_path",
    "adapter",
    "task",
    "locate",
    "prompt",
    "mode",
    "tile_size",
    "base_size",
    "max_tiles",
    "dpi",
    "rotation",
    "guard",
    "retries",
    "max_new_tokens",
    "max_pixels",
    "dtype",
    "quantize",
    "seed",
)
"""The settings that decide an answer; a page that was read with others is read again."""

_RENDERS = ("tables", "formulas", "show_boxes")
"""The settings that decide what is written of an answer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """Documents to text."""

    inputs: Annotated[
        tuple[str, ...],
        "pictures, PDFs, folders, patterns such as 'scans/*.tif', @list.txt, or - for stdin",
    ] = field(default=(), metadata={"positional": True})
    out: Annotated[
        Path | None, "folder for the results; without it one document's text goes to stdout"
    ] = None
    model: Annotated[
        str | None,
        f"model folder, Hub id or preset; default: ${MODEL_VARIABLE}, else {DEFAULT_MODEL}",
    ] = None
    adapter: Annotated[Path | None, "folder of a LoRA adapter to put on the model"] = None
    task: Annotated[
        Task | None, "what is asked; default: what the model was trained on, else markdown"
    ] = None
    locate: Annotated[str | None, "what --task locate looks for", "TEXT"] = None
    prompt: Annotated[str | None, r"asked in place of a task's; \n means a newline", "TEXT"] = None
    mode: Annotated[
        Mode, "resolution of the views; auto: for each page the cheapest that keeps it legible"
    ] = "auto"
    tile_size: Annotated[int | None, "side of a tile in pixels; default: the mode's"] = None
    base_size: Annotated[int | None, "side of the overview in pixels; default: the mode's"] = None
    max_tiles: Annotated[int | None, "most tiles of a page; default: the mode's"] = None
    pages: Annotated[str | None, "pages of each document, such as 1-3,7 or 12-", "RANGES"] = None
    dpi: Annotated[float | None, "at which PDF pages are drawn; default: what the mode can use"] = (
        None
    )
    rotation: Annotated[
        Rotation, "turn pages by so many degrees clockwise; auto: until letters stand upright"
    ] = "none"
    password_file: Annotated[Path | None, "file whose first line opens encrypted PDFs"] = None
    format: Annotated[str, f"files to write, of {','.join(FORMATS)}", "LIST"] = "md,json"
    tables: Annotated[Literal["html", "markdown"], "tables in Markdown files"] = "html"
    formulas: Annotated[
        Literal["dollars", "brackets"], r"formulas in Markdown files: $...$ or \(...\)"
    ] = "dollars"
    show_boxes: Annotated[bool, "also write each page's picture with its regions drawn"] = False
    batch_size: Annotated[int, "pages answered at once"] = 8
    max_new_tokens: Annotated[int, "longest answer, capped by the model's positions"] = 8192
    max_pixels: Annotated[int, "larger pictures and pages are refused"] = MAX_PIXELS
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], "number format"] = "auto"
    device: Annotated[str, "cpu, cuda, cuda:1, mps or auto"] = "auto"
    quantize: Annotated[Literal["none", "int8", "int4"], "weights of the decoder"] = "none"
    guard: Annotated[bool, "stop answers that repeat themselves"] = True
    retries: Annotated[int, "times that a page which ended in a repetition is asked again"] = 0
    resume: Annotated[bool, "go on where the job in --out stopped"] = True
    num_workers: Annotated[int, "processes that open pages ahead of the model"] = 1
    seed: Annotated[int, "of what retries draw, and of untrained presets"] = 42
    engine: Annotated[str | None, "address of a server that holds the model", "URL"] = None
    engine_model: Annotated[str | None, "the model's name on that server", "NAME"] = None
    dry_run: Annotated[bool, "tell what would be read and written, and do nothing"] = False
    quiet: Annotated[bool, "show no progress and no notes; errors are shown"] = False
    json_lines: Annotated[bool, "print a JSON object for each page as it ends"] = False
    watch: Annotated[
        Path | None, "read also what appears in this folder, again and again until Ctrl-C", "FOLDER"
    ] = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{name} must be at least {least}, got {value}")
        if self.dpi is not None and not 0 < self.dpi <= 10_000:
            raise UsageError(f"--dpi must lie between 0 and 10000, got {self.dpi:g}")
        if self.engine is not None or self.engine_model is not None:
            raise UsageError(
                "--engine: this version reads with its own engine alone; leave --engine and "
                "--engine_model out"
            )
        check_task(self.task, self.locate)
        self._check_formats()
        self._check_where()
        if self.pages is not None:
            parse_page_ranges(self.pages)

    def _check_formats(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise UsageError(f"--format: unknown {name!r}; known: {','.join(FORMATS)}")

    def _check_where(self) -> None:
        if not (self.inputs or self.watch):
            raise UsageError("missing: INPUTS, what is to be read; see deepseek-ocr read --help")
        if self.out is not None:
            return
        for name in ("show_boxes", "watch"):
            if getattr(self, name):
                raise UsageError(f"--{name} writes files: name a folder for them with --out")
        if self.is_format_given and len(self.formats) > 1:
            raise UsageError("stdout takes one --format; name a folder for several with --out")

    @property
    def is_format_given(self) -> bool:
        """Whether `--format` is not just the default."""
        return self.format != ReadConfig.format

    @property
    def formats(self) -> tuple[str, ...]:
        """Kinds of files to write, each once, in the order of `FORMATS`."""
        asked = {name.strip() for name in self.format.split(",")}
        unknown = sorted(asked - set(FORMATS))
        return (*(name for name in FORMATS if name in asked), *unknown)

    @property
    def stdout_format(self) -> str:
        """The one kind that goes to stdout without `--out`."""
        return self.formats[0]

    @property
    def page_ranges(self) -> PageRanges | None:
        """The pages of each document; None: all."""
        return None if self.pages is None else parse_page_ranges(self.pages)

    @property
    def model_path(self) -> str:
        """The model, wherever its name comes from."""
        return self.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL

    @property
    def is_model_named(self) -> bool:
        """Whether somebody chose the model."""
        return bool(self.model or os.environ.get(MODEL_VARIABLE))

    def password(self) -> str | None:
        """What opens encrypted PDFs: the first line of `--password_file`.

        Raises:
            UsageError: the file cannot be read.
        """
        if self.password_file is None:
            return None
        try:
            text = self.password_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            found = getattr(error, "strerror", None) or "is not UTF-8"
            raise UsageError(f"--password_file: {self.password_file}: {found}") from None
        return text.split("\n", 1)[0].rstrip("\r")

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the answers, as JSON values."""
        return {name: _plain(getattr(self, name)) for name in _DECIDES}

    def rendering(self) -> dict[str, Any]:
        """The settings that decide what is written of them, as JSON values."""
        values = {name: _plain(getattr(self, name)) for name in _RENDERS}
        return values | {"formats": list(self.formats)}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
