"""The distribution of error rates as an inline SVG, coloured by the report's style sheet."""

from __future__ import annotations

from collections.abc import Sequence

from .markup import count_of

NUM_BARS = 20  # between 0 and 100 %; one more holds everything above
BAR_WIDTH, GAP = 32, 3
TOP, BASE = 28, 178  # y of the highest bar's end and of the axis
BEYOND_SHIFT = 10  # sets the last bar apart: its width is not 5 %


def distribution(rates: Sequence[float]) -> str:
    """Error rates -> a bar for every 5 % and one for all above 100 %, with their counts."""
    counts = count_by_step(rates)
    highest = max(*counts, 1)
    bars = "".join(_bar(place, count, count / highest) for place, count in enumerate(counts))
    labels = "".join(
        _label(place * BAR_WIDTH, f"{100 * place // NUM_BARS} %", "middle" if place else "start")
        for place in range(0, NUM_BARS, 4)
    )
    labels += _label(_left(NUM_BARS) + BAR_WIDTH / 2, "above 100 %", "middle")
    width = _left(NUM_BARS) + BAR_WIDTH
    return f"""<svg viewBox="0 0 {width + 24} {BASE + 26}" role="img" \
aria-label="rows by character error rate">
{bars}{labels}
<line class="axis" x1="0" y1="{BASE}" x2="{width}" y2="{BASE}"/>
</svg>"""


def count_by_step(rates: Sequence[float]) -> list[int]:
    """How many rates lie in each 5 %, 100 % itself in the last; then how many above."""
    counts = [0] * (NUM_BARS + 1)
    for rate in rates:
        counts[NUM_BARS if rate > 1 else min(int(rate * NUM_BARS), NUM_BARS - 1)] += 1
    return counts


def _left(place: int) -> int:
    return place * BAR_WIDTH + (BEYOND_SHIFT if place == NUM_BARS else 0)


def _bar(place: int, count: int, share_of_highest: float) -> str:
    if not count:
        return ""
    x, height = _left(place), (BASE - TOP) * share_of_highest
    style = "bar beyond" if place == NUM_BARS else "bar"
    span = "above 100 %" if place == NUM_BARS else f"{5 * place} to {5 * place + 5} %"
    return (
        f'<rect class="{style}" x="{x}" y="{BASE - height:.1f}" width="{BAR_WIDTH - GAP}" '
        f'height="{height:.1f}"><title>{span}: {count_of(count, "row")}</title></rect>'
        f'<text x="{x + (BAR_WIDTH - GAP) / 2}" y="{BASE - height - 6:.1f}" '
        f'text-anchor="middle">{count:,}</text>\n'
    )


def _label(x: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{BASE + 18}" text-anchor="{anchor}">{text}</text>'
