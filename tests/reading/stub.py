"""An engine that needs no model: it answers each page at once, by what its file and number say."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from deepseek_ocr.data.pages.sources import PageSource
from deepseek_ocr.inference.results import PageResult

Answer = Callable[[PageSource], "str | PageResult | BaseException"]


def say_where(page: PageSource) -> str:
    """`a.pdf, page 2`, as the published model would write it, in a box."""
    words = f"{page.path.name}, page {page.page}"
    return f"<|ref|>text<|/ref|><|det|>[[10, 20, 500, 60]]<|/det|>\n{words}"


class StubEngine:
    """Answers pages without opening them; `asked` lists them as `(file name, page)`.

    Args:
        answer: a page -> its answer, the whole result, or what is raised in its place.
        size: of every page.
    """

    def __init__(self, answer: Answer = say_where, *, size: tuple[int, int] = (1000, 1400)):
        self.asked: list[tuple[str, int]] = []
        self.prompt = None
        self._answer, self._size = answer, size

    def answer(
        self,
        requests: Iterable[tuple[Any, ...]],
        *,
        max_new_tokens: int,
        batch_size: int = 8,
        in_order: bool = True,
        num_workers: int = 0,
    ) -> Generator[tuple[int, PageResult], None, None]:
        """Up to `batch_size` requests are taken before the first answer; later ones end first."""
        batch: list[tuple[int, PageSource, str]] = []
        for number, ([page], prompt, *_) in enumerate(requests):
            batch.append((number, page, prompt))
            if len(batch) == batch_size:
                yield from self._answered(batch, in_order)
                batch = []
        yield from self._answered(batch, in_order)

    def _answered(self, batch, in_order):
        for number, page, prompt in batch if in_order else reversed(batch):
            self.asked.append((page.path.name, page.page))
            said = self._answer(page)
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, PageResult):
                yield number, said
                continue
            width, height = self._size
            yield (
                number,
                PageResult(
                    text=said,
                    status="ok" if said else "empty",
                    prompt=prompt,
                    num_tokens=len(said.split()),
                    seconds=0.25,
                    width=width,
                    height=height,
                    mode="base",
                ),
            )
