"""Annotations with small pictures, and an engine whose answers a test decides."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from deepseek_ocr.data.annotations import Annotation, write_annotations
from deepseek_ocr.evaluation.evaluate import ScoredRow, score_row
from deepseek_ocr.inference.results import PageResult, Status

PROMPT = "<image>\nConvert to markdown"


class StubEngine:
    """Answers with `answer(number of the page)`; an exception as answer is raised.

    The number is the grey level of the row's first picture, as `draw_pages` made it.
    """

    device = "cpu"
    prompt: str | None = None

    def __init__(self, answer: Callable[[int], str | PageResult | BaseException]):
        self.answer_of = answer
        self.batch_sizes: list[int] = []

    def generate(self, rows, *, max_new_tokens: int) -> list[PageResult]:
        self.batch_sizes.append(len(rows))
        answers = [self.answer_of(number_of(pages)) for pages, _ in rows]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [a if isinstance(a, PageResult) else result(a) for a in answers]


class RunningStub(StubEngine):
    """The same in a running batch: row n stays for n % 5 + 1 steps, then another joins.

    `asked` are the requests of each call. With `tells`, an answer says whom its row was beside, as
    the last digits of what a model computes would.
    """

    is_continuous = True

    def __init__(self, answer: Callable[[int], str | BaseException], *, tells: bool = False):
        super().__init__(answer)
        self.tells = tells
        self.asked: list[int] = []

    def answer(
        self, requests: Iterable, *, max_new_tokens: int, batch_size: int
    ) -> Iterator[tuple[int, PageResult]]:
        self.asked.append(0)
        waiting, following = enumerate(requests), 0
        under_way: dict[int, tuple[int, int]] = {}  # place -> number, steps left
        beside: dict[int, set[int]] = {}
        ended: dict[int, PageResult] = {}
        while True:
            for place, (pages, _) in itertools.islice(waiting, batch_size - len(under_way)):
                self.asked[-1] += 1
                under_way[place] = (number_of(pages), number_of(pages) % 5 + 1)
                beside[place] = set()
            if not under_way:
                return
            numbers = {number for number, _ in under_way.values()}
            for place, (number, steps) in list(under_way.items()):
                beside[place] |= numbers
                under_way[place] = (number, steps - 1)
                if steps == 1:
                    del under_way[place]
                    ended[place] = self._result(number, beside[place])
            while following in ended:
                yield following, ended.pop(following)
                following += 1

    def _result(self, number: int, beside: set[int]) -> PageResult:
        (answered,) = super().generate([([grey(number)], PROMPT)], max_new_tokens=1)
        if not self.tells:
            return answered
        return dataclasses.replace(answered, text=f"{answered.text} beside {sorted(beside)}")


def number_of(pages: Sequence[Image.Image]) -> int:
    return pages[0].convert("L").getpixel((0, 0))


def result(text: str, status: Status = "ok", reason: str = "") -> PageResult:
    return PageResult(text=text, status=status, prompt=PROMPT, reason=reason, num_tokens=len(text))


def open_grey(reference: str) -> Image.Image:
    """`7.png` -> a picture of grey level 7, without a file."""
    return grey(int(reference.split(".")[0]))


def grey(number: int) -> Image.Image:
    return Image.new("RGB", (30, 20), (number,) * 3)


def annotations(texts: Sequence[str], groups: Sequence[str | None] | None = None):
    """One annotation for each text: id `row-0`, picture `0.png`, and so on."""
    return [
        Annotation(
            id=f"row-{number}",
            images=(f"{number}.png",),
            prompt=PROMPT,
            text=text,
            group=groups[number] if groups else None,
        )
        for number, text in enumerate(texts)
    ]


def draw_pages(folder: Path, count: int) -> Path:
    """Pictures `0.png`, ... below `folder`, each of the grey level that is its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        open_grey(f"{number}.png").save(folder / f"{number}.png")
    return folder


def write_dataset(folder: Path, texts: Sequence[str]) -> tuple[Path, Path]:
    """(data root, test file) with a row and a picture for each text."""
    root = draw_pages(folder / "pages", len(texts))
    write_annotations(folder / "test.json", annotations(texts))
    return root, folder / "test.json"


def scored(
    prediction: str, truth: str, *, number: int = 0, status: Status = "ok", reason: str = ""
) -> ScoredRow:
    annotation = Annotation(
        id=f"row-{number}", images=(f"{number % 256}.png",), prompt=PROMPT, text=truth
    )
    return score_row(annotation, result(prediction, status, reason))
