"""The rows of the report: each with its page, the truth and the prediction side by side."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence

from PIL import Image

from .differences import mark_differences, plain, visible
from .evaluate import ScoredRow
from .loading import reason_of
from .markup import count_of

NUM_WORST, NUM_MEDIAN, NUM_BEST = 6, 3, 3
MAX_SIDE = 1000  # pixels; text of a page stays readable, a picture stays about 100 kB
JPEG_QUALITY = 70
NUM_PICTURES_SHOWN = 4
NUM_CHARS_SHOWN = 20_000


def examples(rows: Sequence[ScoredRow], open_page: Callable[[str], Image.Image]) -> str:
    """The worst, the middle and the best rows, each with its page and both texts."""
    parts = [
        "<h2>Rows</h2>\n<p class='soft legend'>Characters of the truth that the prediction misses "
        "or misreads are <del>marked so</del>, characters of the prediction that the truth does "
        "not have <ins>so</ins>. A click on a picture, or the space bar, enlarges it.</p>"
    ]
    for heading, chosen in choose_examples(rows):
        parts.append(f"<h3 class=group>{heading}</h3>")
        parts += [row_card(row, open_page) for row in chosen]
    return "\n".join(parts)


def choose_examples(rows: Sequence[ScoredRow]) -> list[tuple[str, list[ScoredRow]]]:
    """Headings with the rows to show below them; no row twice, failed rows not at all.

    Ordered by character error rate, then by errors, then by place in the test file.
    """
    answered = [row for row in rows if row.result.status != "failed"]
    ranked = sorted(answered, key=_badness, reverse=True)
    if len(ranked) <= NUM_WORST + NUM_MEDIAN + NUM_BEST:
        return [("All answered rows, worst first", ranked)] if ranked else []
    middle = min(
        max((len(ranked) - NUM_MEDIAN) // 2, NUM_WORST), len(ranked) - NUM_BEST - NUM_MEDIAN
    )
    return [
        ("Worst", ranked[:NUM_WORST]),
        ("Median", ranked[middle : middle + NUM_MEDIAN]),
        ("Best", ranked[-NUM_BEST:]),
    ]


def _badness(row: ScoredRow) -> tuple[float, int]:
    rate = row.score.cer
    return (float("inf") if rate is None else rate), row.score.char_errors


def row_card(row: ScoredRow, open_page: Callable[[str], Image.Image]) -> str:
    """The row as an `<article>`, everything in it escaped."""
    reason = f"<p class=reason>{visible(row.result.reason)}</p>" if row.result.reason else ""
    truth, prediction = mark_differences(
        row.truth[:NUM_CHARS_SHOWN], row.prediction[:NUM_CHARS_SHOWN]
    )
    return f"""<article class=row>
<header><h4>{visible(row.annotation.id)}</h4>{_figures(row)}</header>{reason}
<div class=compared>
<div class=pages>{_pages(row, open_page)}</div>
{_answer("Truth", row.truth, truth)}
{_answer("Prediction", row.prediction, prediction)}
</div>
</article>"""


def _figures(row: ScoredRow) -> str:
    score, status = row.score, row.result.status
    bad = "" if status == "ok" else " bad"
    return (
        f'<span class="status{bad}">{status}</span>'
        f"<span>CER {_percent(score.cer)} ({score.char_errors:,} / {score.num_chars:,})</span>"
        f"<span>WER {_percent(score.wer)} ({score.word_errors:,} / {score.num_words:,})</span>"
        f"<span>{count_of(row.result.num_tokens, 'token')}</span>"
    )


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:,.1f}&nbsp;%"


def _answer(name: str, text: str, marked: str) -> str:
    note = f"{name}, {count_of(len(text), 'character')}"
    if len(text) > NUM_CHARS_SHOWN:
        note += f", the first {NUM_CHARS_SHOWN:,} shown and compared"
    shown = marked or "<span class=nothing>empty</span>"
    # focusable, so that the keyboard can scroll it
    region = f'tabindex=0 role=region aria-label="{name}"'
    return f"<section class=answer><h5>{note}</h5><div {region}>{shown}</div></section>"


def _pages(row: ScoredRow, open_page: Callable[[str], Image.Image]) -> str:
    references = row.annotation.images
    parts = [_picture(reference, open_page) for reference in references[:NUM_PICTURES_SHOWN]]
    more = len(references) - NUM_PICTURES_SHOWN
    if more > 0:
        parts.append(f"<div class=missing>{more} more of this row not shown</div>")
    return "".join(parts) or "<div class=missing>no picture: text only</div>"


def _picture(reference: str, open_page: Callable[[str], Image.Image]) -> str:
    """A page as an embedded JPEG that a click or the space bar enlarges."""
    try:
        source = jpeg_data_uri(open_page(reference))
    except Exception as error:  # noqa: BLE001  the report shows what can be shown, and why not
        return f"<div class=missing>{visible(reference)}: {visible(reason_of(error))}</div>"
    name = plain(reference)
    return (
        f'<label title="{name}"><input type=checkbox aria-label="enlarge {name}">'
        f'<img alt="{name}" src="{source}"></label>'
    )


def jpeg_data_uri(page: Image.Image) -> str:
    """The page, at most `MAX_SIDE` pixels long, as a `data:` address."""
    small = page.convert("RGB")  # a copy: `thumbnail` works in place
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
