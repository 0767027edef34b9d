"""An OCR engine for docling: its entry-point group `docling` names this module.

docling finds the layout of a page and asks an OCR engine for the text of parts of it, in cells: a
text with a rectangle in points of the page, origin in the left upper corner. Written against the
plug-in interface of docling 2.143 (`docling.models.base_ocr_model`, `docling.models.factories`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from PIL import Image

from ..reading.markup import parse_answer
from ..reading.regions import Box
from ..reading.text import page_text
from ..reading.text_lines import TextLine, placed_lines
from ..resolution import Mode

try:
    from docling.datamodel.base_models import DoclingComponentType, ErrorItem
    from docling.datamodel.pipeline_options import OcrOptions
    from docling.models.base_ocr_model import BaseOcrModel
    from docling.utils.profiling import TimeRecorder
    from docling_core.types.doc import BoundingBox, CoordOrigin
    from docling_core.types.doc.page import BoundingRectangle, TextCell
    from pydantic import Field
except ImportError as error:
    raise ImportError(
        f"{error}; the plug-in for docling needs docling: run `pip install deepseek-ocr[docling]`"
    ) from error

if TYPE_CHECKING:
    from ..inference.results import PageResult

log = logging.getLogger(__name__)


class DeepseekOcrOptions(OcrOptions):
    """What docling is told of this engine; options of its own besides those of every engine.

    `model` is a folder, a Hub id or a preset; None: `$DEEPSEEK_OCR_MODEL`, else nano. `dtype`,
    `adapter` and `quantize` are those of `deepseek_ocr.load`; the device is docling's own
    (`AcceleratorOptions`). `task`, or `prompt` in its place, is what the model is asked; None: the
    prompt that it was trained on, else `ocr`. `view_mode` is how a picture is seen: docling's own
    `mode` says which parts of a page are read. `lang` is not used: the model is told no language.
    """

    kind: ClassVar[Literal["deepseek_ocr"]] = "deepseek_ocr"
    canonicalize_lang: ClassVar[bool] = False

    lang: list[str] = Field(default_factory=list)
    model: str | None = None
    adapter: str | None = None
    dtype: str = "auto"
    quantize: Literal["int8", "int4"] | None = None
    task: Literal["markdown", "text", "ocr"] | None = None
    prompt: str | None = None
    view_mode: Mode = "auto"
    max_new_tokens: int = 8192


class DeepseekOcrModel(BaseOcrModel):
    """Reads the rectangles that docling chooses on a page, each as a picture of its own.

    What did not end well stands in the conversion's `errors`.
    """

    multiple_languages: ClassVar[bool] = True

    def __init__(
        self,
        *,
        enabled: bool,
        artifacts_path: Path | None,
        options: DeepseekOcrOptions,
        accelerator_options: Any,
    ):
        """See `BaseOcrModel`; a model is loaded where the engine is `enabled`.

        Raises:
            UserError: the model, the adapter or the device cannot be used.
        """
        super().__init__(
            enabled=enabled,
            artifacts_path=artifacts_path,
            options=options,
            accelerator_options=accelerator_options,
        )
        self.options: DeepseekOcrOptions = options
        if not enabled:
            return
        from ..reading.reader import load  # brings torch

        device = accelerator_options.device  # of an enumeration, or a text such as cuda:1
        self.reader = load(
            options.model,
            device=getattr(device, "value", device),
            dtype=options.dtype,
            adapter=options.adapter,
            quantize=options.quantize,
        )

    @classmethod
    def get_options_type(cls) -> type[OcrOptions]:
        """By the type of its options docling finds an engine."""
        return DeepseekOcrOptions

    def __call__(self, conv_res: Any, page_batch: Iterable[Any]) -> Iterator[Any]:
        """The same pages, each with the cells that were read on it."""
        for page in page_batch:
            if self.enabled and page._backend is not None and page._backend.is_valid():
                with TimeRecorder(conv_res, "ocr"):
                    self.post_process_cells(self._read_page(conv_res, page), page, conv_res)
            yield page

    def _read_page(self, conv_res: Any, page: Any) -> list[TextCell]:
        cells: list[TextCell] = []
        for rectangle in self.get_ocr_rects(page):
            if rectangle.area() == 0:
                continue
            picture = page._backend.get_page_image(scale=self.options.scale, cropbox=rectangle)
            result = self._read_picture(picture)
            if result.status not in ("ok", "empty"):
                _tell(conv_res, page.page_no, result)
            place = rectangle.to_top_left_origin(page.size.height)
            for line in lines_of(result, picture):
                cells.append(cell_of(line, picture.size, place, index=len(cells)))
        return cells

    def _read_picture(self, picture: Image.Image) -> PageResult:
        options = self.options
        task = options.task
        if task is None and options.prompt is None and not self.reader.prompt:
            task = "ocr"  # cells are lines: the task that gives lines with boxes
        return self.reader.read(
            picture,
            task=task,
            prompt=options.prompt,
            mode=options.view_mode,
            max_new_tokens=options.max_new_tokens,
        )


def lines_of(result: PageResult, picture: Image.Image) -> list[TextLine]:
    """The lines of an answer in reading order, each where it stands on the picture.

    An answer without boxes is one text over the whole picture: where its columns stand is not
    known, and their lines must not be mixed.
    """
    answer = parse_answer(result.text, picture.size, prompt=result.prompt)
    if answer.regions and answer.kind != "located":
        return list(placed_lines(answer, picture))
    text = page_text(answer)
    return [TextLine(text, (0, 0, *picture.size))] if text.strip() else []


def cell_of(line: TextLine, size: tuple[int, int], place: BoundingBox, *, index: int) -> TextCell:
    """A line of a picture of `size` pixels as a cell of the page, where the picture is `place`."""
    return TextCell(
        index=index,
        text=line.text,
        orig=line.text,
        from_ocr=True,
        rect=BoundingRectangle.from_bounding_box(_on_page(line.box, size, place)),
    )


def _on_page(box: Box, size: tuple[int, int], place: BoundingBox) -> BoundingBox:
    """A box in pixels of a picture of `size` -> in points of the page."""
    across, down = place.width / size[0], place.height / size[1]
    left, top, right, bottom = box
    return BoundingBox(
        l=place.l + left * across,
        t=place.t + top * down,
        r=place.l + right * across,
        b=place.t + bottom * down,
        coord_origin=CoordOrigin.TOPLEFT,
    )


def _tell(conv_res: Any, page_no: int, result: PageResult) -> None:
    said = f"page {page_no}: {result.status}: {result.reason or 'no reason given'}"
    log.warning("%s: %s", conv_res.input.file, said)
    conv_res.errors.append(
        ErrorItem(
            component_type=DoclingComponentType.MODEL,
            module_name="deepseek_ocr",
            error_message=said,
            page_no=page_no,
        )
    )


def ocr_engines() -> dict[str, list[type[BaseOcrModel]]]:
    """What docling's factory of OCR engines asks a plug-in for."""
    return {"ocr_engines": [DeepseekOcrModel]}
