"""Every writer fed with a million answers, changed towards what they have not met yet."""

from __future__ import annotations

import time

import pytest

from deepseek_ocr.reading.html import page_html
from deepseek_ocr.reading.markdown import document_markdown, page_markdown
from deepseek_ocr.reading.markup import parse_answer
from deepseek_ocr.reading.results import ReadPage
from deepseek_ocr.reading.text import page_text

from ..conftest import REPOSITORY
from .answers import ATTACKS, PAGE, PIECES, UNITS
from .fuzzing import fuzz
from .test_html import Strict
from .test_markdown import LOCATE, OCR, STYLES, VIEWERS, harm

PACKAGE = REPOSITORY / "deepseek_ocr"
WATCHED = [
    *(
        PACKAGE / "reading" / f"{name}.py"
        for name in ("markup", "segments", "markdown", "safe_markdown", "text")
    ),
    *(PACKAGE / "data" / "truth" / f"{name}.py" for name in ("grounding", "html_tables")),
    PACKAGE / "data" / "truth" / "html_tokens.py",
]
SIZE = (640, 480)


def write(text: str) -> None:
    for prompt in ("", OCR if len(text) % 2 else LOCATE):
        answer = parse_answer(text, SIZE, prompt=prompt)
        page_markdown(answer, style=STYLES[len(text) % len(STYLES)])
        page_text(answer)


def look(text: str) -> None:
    answer = parse_answer(text, SIZE, prompt=OCR if len(text) % 2 else "")
    style = STYLES[len(text) // 2 % len(STYLES)]
    markdown = page_markdown(answer, figures="f.figures", style=style)
    assert not harm(markdown), markdown
    assert_ends_with_its_page(markdown)
    Strict(page_html(ReadPage(number=1, status="ok", text=text, width=640, height=480)))


def assert_ends_with_its_page(markdown: str) -> None:
    """Nothing that a page leaves open may swallow the next one."""
    pages = [ReadPage(number=n, status="ok", markdown=markdown) for n in (1, 2)]
    joined = "".join(document_markdown(pages))
    for viewer in VIEWERS:
        assert viewer.render(joined).count("<!-- page 2 -->") == 1, markdown


def run(num_inputs: int, seed: int, watch_every: int = 1):
    return fuzz(
        write,
        seeds=[PAGE, *ATTACKS],
        pieces=[*PIECES, *ATTACKS, *UNITS],
        watched=WATCHED,
        num_inputs=num_inputs,
        seed=seed,
        check=look,
        check_every=20,
        watch_every=watch_every,
    )


def test_no_answer_ends_a_writer_or_does_harm():
    done = run(1_000, seed=0)
    assert done.num_kept > len(ATTACKS) + 1  # the guidance guides


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1, 21))
def test_none_of_a_million_answers_ends_a_writer_or_does_harm(seed):
    print(run(50_000, seed=seed, watch_every=4))


def seconds(text: str) -> float:
    begun = time.process_time()
    write(text)
    return time.process_time() - begun


@pytest.mark.proof
@pytest.mark.parametrize("unit", UNITS)
def test_eight_times_the_text_takes_about_eight_times_as_long(unit):
    short, long = ((unit * length)[:length] for length in (100_000, 800_000))
    once = min(seconds(short) for _ in range(3))
    assert seconds(long) < 0.1 + 8 * 4 * once  # a square would take 64 times as long
