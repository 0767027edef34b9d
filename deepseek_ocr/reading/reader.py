"""Reading from Python: an engine that takes documents and gives pages.

    ocr = deepseek_ocr.load("nano")
    print(ocr.read("page.png").markdown)

The one module of this folder that loads torch when it is imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np
from PIL import Image

from ..data.pages.sources import PageSource, Rotation
from ..errors import UsageError
from ..inference.cutting import Cutter
from ..inference.engine import Finished, OcrEngine, load_engine
from ..inference.prompts import Request
from ..inference.results import PageResult
from ..resolution import Mode
from .config import DEFAULT_MODEL, MODEL_VARIABLE, ReadConfig
from .documents import Document, find_documents
from .job import page_read
from .opening import count_pages
from .pages import read_pages
from .rendering import Renderer
from .tasks import Task, choose_prompt
from .work import page_source

Item = TypeVar("Item")
Result = TypeVar("Result")

OpenPicture = Image.Image | np.ndarray
Source = str | os.PathLike[str] | bytes | OpenPicture
"""A path, the bytes of a file, or a picture."""


class ReadOptions(TypedDict, total=False):
    """How pages are read; each may be left out.

    `task`, or `prompt` in its place, and `locate`, what the task `locate` looks for: default is the
    prompt that the model was trained on, else the task `markdown`. `mode`: default is the engine's.
    `dpi` of PDF pages: default is what the mode can use. `rotation` turns pages. `password` opens
    encrypted PDFs. `max_new_tokens` (8192) is the longest answer. `max_pixels`: larger pages are
    refused. `tables` (`html`, `markdown`) and `formulas` (`dollars`, `brackets`): how the result's
    `markdown` has them.
    """

    task: Task | None
    prompt: str | None
    locate: str | None
    mode: Mode | None
    dpi: float | None
    rotation: Rotation
    password: str | None
    max_new_tokens: int
    max_pixels: int
    tables: str
    formulas: str


class OcrReader(OcrEngine):
    """An `OcrEngine` that reads documents.

    It may be used by several threads: they take turns, step by step, and each gets its own answers.
    Pages are opened in processes of their own, which a damaged file may end, but not this one.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._turn = threading.RLock()
        self._idle: dict[int, Cutter] = {}
        weakref.finalize(self, _end_all, self._idle)

    def read(
        self, source: Source, *, page: int | None = None, **options: Unpack[ReadOptions]
    ) -> PageResult:
        """One page: of a picture, or number `page` of a document.

        What goes wrong with the page is the result's `status` and `reason`.

        Raises:
            PageError: the document cannot be opened, or has no such page.
            UsageError: it has several pages and `page` is not given, or an option is none.
        """
        with _as_page(source, page, options) as (picture, config):
            prompt = self._prompt(options)
            requests: list[Request] = [([picture], prompt, options.get("mode"))]
            num_workers = 0 if _is_open(picture) else 1
            answers = self.answer(
                requests,
                max_new_tokens=config.max_new_tokens,
                batch_size=1,
                num_workers=num_workers,
            )
            [(_, result)] = answers
        number = picture.page if isinstance(picture, PageSource) else 1
        name = picture.name if isinstance(picture, PageSource) else ""
        return _complete(dataclasses.replace(result, page=number, source=name), config)

    def read_document(
        self,
        path: str | os.PathLike[str],
        *,
        pages: str | None = None,
        batch_size: int = 8,
        num_workers: int = 1,
        **options: Unpack[ReadOptions],
    ) -> Iterator[PageResult]:
        """The pages of a document in order, each as soon as it and those before it are read.

        Args:
            pages: such as `1-3,7` or `12-`; default: all.
            batch_size: pages answered at once.
            num_workers: processes that open pages ahead.

        Raises:
            UsageError: `pages` or an option cannot be used. Failures of pages are results, and so
                is a document that cannot be opened: one without a number.
        """
        name = os.fspath(path)
        document = Document(source=name, path=Path(name), name=Path(name).name)
        config = _config(options, pages=pages, batch_size=batch_size, num_workers=num_workers)
        return self._read([document], config, options)

    def read_many(
        self,
        inputs: Iterable[str | os.PathLike[str]],
        *,
        pages: str | None = None,
        batch_size: int = 8,
        num_workers: int = 1,
        **options: Unpack[ReadOptions],
    ) -> Iterator[PageResult]:
        """Every page of every input, in order; see `read_document`.

        Inputs are as those of `deepseek-ocr read`: files, folders, patterns, `@list.txt`.
        """
        documents = find_documents([os.fspath(name) for name in inputs])
        config = _config(options, pages=pages, batch_size=batch_size, num_workers=num_workers)
        return self._read(documents, config, options)

    def _read(
        self, documents: Sequence[Document], config: ReadConfig, options: ReadOptions
    ) -> Iterator[PageResult]:
        found = read_pages(
            config,
            documents,
            self,
            self._prompt(options),
            mode=options.get("mode"),
            password=options.get("password"),
        )
        return (_complete(result, config) for result in found)

    def _prompt(self, options: ReadOptions) -> str:
        return choose_prompt(
            prompt=options.get("prompt"),
            task=options.get("task"),
            locate=options.get("locate"),
            trained=self.prompt,
        )

    # --- threads ------------------------------------------------------------------------------

    def generate(self, rows: Sequence[Request], *, max_new_tokens: int) -> list[PageResult]:
        """See `OcrEngine`."""
        with self._turn:
            return super().generate(rows, max_new_tokens=max_new_tokens)

    def answer(
        self,
        requests: Iterable[Request],
        *,
        max_new_tokens: int,
        batch_size: int = 8,
        in_order: bool = True,
        num_workers: int = 0,
    ) -> Finished:
        """See `OcrEngine`."""
        return self._in_turns(
            super().answer(
                requests,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
                in_order=in_order,
                num_workers=num_workers,
            )
        )

    def stream(  # type: ignore[override]  # what an engine takes, and more
        self,
        source: Source | Request,
        *,
        page: int | None = None,
        **options: Unpack[ReadOptions],
    ) -> Generator[str, None, PageResult]:
        """The raw text of one page as it is decoded; see `read`.

        The generator's return value is the `PageResult`. No retries: what was said is said.
        """
        if isinstance(source, tuple):
            budget = options.get("max_new_tokens", ReadConfig.max_new_tokens)
            return self._in_turns(super().stream(source, max_new_tokens=budget))
        return self._stream(source, page, options)

    def _stream(
        self, source: Source, page: int | None, options: ReadOptions
    ) -> Generator[str, None, PageResult]:
        with _as_page(source, page, options) as (picture, config):
            request: Request = ([picture], self._prompt(options), options.get("mode"))
            budget, num_workers = config.max_new_tokens, 0 if _is_open(picture) else 1
            pieces = super().stream(request, max_new_tokens=budget, num_workers=num_workers)
            result = yield from self._in_turns(pieces)
        return _complete(result, config)

    @contextlib.contextmanager
    def _cutter(self, num_workers: int) -> Iterator[Cutter]:
        """Kept for the next batch where this one ends well: to start a process takes longer."""
        cutter = self._idle.pop(num_workers, None) or Cutter(self._margin, num_workers)
        with contextlib.ExitStack() as stack:
            stack.enter_context(cutter)
            yield cutter
            if num_workers and num_workers not in self._idle:
                self._idle[num_workers] = cutter
                stack.pop_all()

    def _in_turns(self, steps: Generator[Item, None, Result]) -> Generator[Item, None, Result]:
        """The same, while no other thread is within a step of this engine."""
        try:
            while True:
                with self._turn:
                    try:
                        item = next(steps)
                    except StopIteration as end:
                        return end.value
                yield item
        finally:
            with self._turn:
                steps.close()


def load(
    model: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | Path | None = None,
    quantize: str | None = None,
    **options: Any,
) -> OcrReader:
    """A model that reads: a folder, a Hub id or a preset; default `$DEEPSEEK_OCR_MODEL`, else nano.

    Args:
        device: auto, cpu, cuda, cuda:1 or mps.
        dtype: auto, float32, bfloat16 or float16.
        adapter: folder of a LoRA adapter to put on the model.
        quantize: None, int8 or int4: weights of the decoder.
        options: further ones of `OcrEngine`: mode, guard, retries, seed, sizes.

    Raises:
        UsageError: an option is none.
        UserError: the model or the adapter cannot be used.
    """
    engine = load_engine(
        model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL,
        device=device,
        dtype=dtype,
        adapter=adapter,
        quantize=quantize,
        **options,
    )
    return OcrReader(
        engine.model,
        engine.processor,
        mode=engine.mode,
        guard=engine.guard or False,
        retries=engine.retries,
        seed=engine.seed,
        **engine.sizes,
    )


def _config(options: ReadOptions, **others: Any) -> ReadConfig:
    known = ReadOptions.__annotations__.keys()
    if strangers := sorted(options.keys() - known):
        raise UsageError(f"unknown option {strangers[0]}; known: {', '.join(sorted(known))}")
    apart = ("mode", "password")
    named = {name: value for name, value in options.items() if name not in apart}
    return ReadConfig(inputs=("python",), **(named | others))  # type: ignore[arg-type]


@contextlib.contextmanager
def _as_page(
    source: Source, page: int | None, options: ReadOptions
) -> Iterator[tuple[PageSource | OpenPicture, ReadConfig]]:
    """The one page that is meant, and the options with their defaults.

    Raises:
        PageError: the document cannot be opened, or has no such page.
        UsageError: it has several pages and none is named.
    """
    config = _config(options)
    if isinstance(source, Image.Image | np.ndarray):
        if page not in (None, 1):
            raise UsageError(f"page is {page}; a picture that is open has one page")
        yield source, config
        return
    with contextlib.ExitStack() as stack:
        if isinstance(source, bytes):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="deepseek-ocr-"))
            path, name = Path(folder) / "bytes", "bytes"
            path.write_bytes(source)
        else:
            path, name = Path(source), os.fspath(source)
        yield _one_page(Document(source=name, path=path, name=path.name), page, config, options)


def _one_page(
    document: Document, page: int | None, config: ReadConfig, options: ReadOptions
) -> tuple[PageSource, ReadConfig]:
    password = options.get("password")
    num_pages = count_pages(document, password=password, max_pixels=config.max_pixels)
    if page is None and num_pages > 1:
        raise UsageError(
            f"{document.source}: has {num_pages} pages; name one, as page=1, or read all with "
            "read_document"
        )
    if page is not None and not 1 <= page <= num_pages:
        raise UsageError(f"{document.source}: has no page {page}; its pages are 1 to {num_pages}")
    return page_source(document, page or 1, config, password), config


def _end_all(cutters: dict[int, Cutter]) -> None:
    while cutters:
        cutters.popitem()[1].__exit__()


def _is_open(picture: Any) -> bool:
    return isinstance(picture, Image.Image | np.ndarray)


def _complete(result: PageResult, config: ReadConfig) -> PageResult:
    """A result with the Markdown and the regions of its answer."""
    page = Renderer(config).page(page_read(result.page or 1, result))
    return dataclasses.replace(result, markdown=page.markdown, regions=page.regions)
