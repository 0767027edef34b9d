"""Pages that are drawn while training, in place of rows of a file."""

from __future__ import annotations

from collections.abc import Sequence

from torch.utils.data import Dataset

from ...data.augmentation import Augmentation
from ...data.synthetic.pages import SyntheticPage
from ...data.synthetic.stream import PageStream
from ...errors import UserError
from ...model.processing import PROMPTS, DeepseekOcrProcessor
from ...resolution import PATCH_SIZE
from ..batching.batches import GLYPHS, Batch, Sample, inputs_of
from ..config import TrainConfig
from .glyphs import glyph_cells, placement

PROMPT = PROMPTS["text"]


class DrawnPages(Dataset[Batch]):
    """A stream's pages -> the model's inputs of one row each.

    `with_glyphs` adds `glyphs` (1, g, g, 2), the class of each cell of the overview; then
    `augmentation` moves nothing on the pages.
    """

    def __init__(
        self,
        stream: PageStream,
        processor: DeepseekOcrProcessor,
        max_length: int,
        *,
        with_glyphs: bool = False,
        augmentation: Augmentation | None = None,
    ):
        self.stream, self.processor, self.max_length = stream, processor, max_length
        self.with_glyphs, self.augmentation = with_glyphs, augmentation

    def __len__(self) -> int:
        return len(self.stream)

    def order(self, *, seed: int, epoch: int) -> Sequence[int]:
        """As they come: each is as random as any other, and harder than those before."""
        return range(len(self))

    def name(self, index: int) -> str:
        """How a page is called in messages."""
        return f"drawn page {index}"

    def pictures(self, index: int) -> Sequence[str]:
        """None: its picture is in no file."""
        return ()

    def set_epoch(self, epoch: int) -> None:
        """No page comes twice: there is one epoch only."""

    def sample(self, index: int) -> Sample:
        """A page before its views are cut."""
        return self._sample(index, self.stream.page(index))

    def _sample(self, index: int, page: SyntheticPage) -> Sample:
        image = page.image
        if self.augmentation is not None:
            image = self.augmentation(image, epoch=1, row=index, has_boxes=self.with_glyphs)
        return Sample(pages=[image], prompt=PROMPT, answer=page.text)

    def __getitem__(self, index: int) -> Batch:
        page = self.stream.page(index)
        batch = inputs_of(self._sample(index, page), self.processor)
        if (length := batch["input_ids"].shape[1]) > self.max_length:
            raise UserError(
                f"{self.name(index)}: takes {length} positions, the limit is {self.max_length}; "
                "lower --synth_characters or --synth_size"
            )
        if self.with_glyphs:
            settings = self.processor.image_processor.settings()
            place = placement(*page.image.size, settings)
            cells = glyph_cells(page.glyphs, place, settings.base_size // PATCH_SIZE)
            batch[GLYPHS] = cells[None]
        return batch


def draw_pages(
    config: TrainConfig, processor: DeepseekOcrProcessor, max_length: int, num_processes: int
) -> DrawnPages:
    """What a run of `config` draws on `num_processes` processes, all steps long."""
    assert config.synth is not None and config.max_steps is not None
    rows_a_step = config.batch_size * config.grad_accum * num_processes
    characters, variety = config.synth_characters or (0,), config.synth_variety or (1.0,)
    spacing = config.synth_spacing or (0.0,)
    stream = PageStream(
        seed=config.seed,
        num_pages=config.max_steps * rows_a_step,
        kinds=config.synth_kinds,
        size=config.synth_size,
        characters=(characters[0], characters[-1]),
        variety=(variety[0], variety[-1]),
        spacing=(spacing[0], spacing[-1]),
        fonts=config.synth_fonts,
    )
    return DrawnPages(
        stream,
        processor,
        max_length,
        with_glyphs=config.has_heads,
        augmentation=config.augmentation,
    )
