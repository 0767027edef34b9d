"""Distributions and intervals as inline SVG, coloured by the report's style sheet.

Every chart is WIDTH x HEIGHT units and scales with its column. Classes `this`, `other` and
`baseline` give the colours of whose answers are drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from .markup import count_of

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BASE = 50, 508, 24, 216  # the area inside the axes
NUM_BARS = 20  # of one step each; one more holds everything above
BAR_STEPS = (0.01, 0.02, 0.05)
BEYOND_SHIFT = 8  # sets the last bar apart: its width is not 5 %
MAX_STEPS = 400  # points of a curve; more cannot be seen
NUM_COLUMNS, NUM_LINES = 46, 26  # cells of a density

Interval = Sequence[float] | None


def distribution(rates: Sequence[float], other: Sequence[float] | None = None) -> str:
    """Error rates -> NUM_BARS bars of equal steps and one for all above; the other run as lines."""
    step = bar_step(rates)
    counts = count_by_step(rates, step)
    # as many rows as here, so that runs over different rows compare
    scale = len(rates) / len(other) if other else 0
    theirs = [count * scale for count in count_by_step(other or [], step)]
    highest = max(*counts, *theirs, 1)
    bars = "".join(_bar(place, count, count / highest, step) for place, count in enumerate(counts))
    bars += "".join(_mark(place, count / highest) for place, count in enumerate(theirs) if count)
    labels = "".join(
        _text(_left(place), BASE + 17, f"{100 * place * step:g} %", "middle")
        for place in range(0, NUM_BARS - 1, 5)
    )
    labels += _text(RIGHT, BASE + 17, f"above {100 * NUM_BARS * step:g} %", "end")
    title = _text(RIGHT, BASE + 32, "character error rate", "end")
    return _svg("rows by character error rate", bars + labels + title + _axis())


def bar_step(rates: Sequence[float]) -> float:
    """The finest step of BAR_STEPS with which the bars hold nine rows of ten."""
    ranked = sorted(rates)
    most = ranked[math.ceil(0.9 * (len(ranked) - 1))] if ranked else 1.0
    return next((step for step in BAR_STEPS if most <= NUM_BARS * step), BAR_STEPS[-1])


def count_by_step(rates: Sequence[float], step: float) -> list[int]:
    """How many rates lie in each step, the end of the last one in it; then how many above."""
    counts = [0] * (NUM_BARS + 1)
    for rate in rates:
        place = min(int(rate / step + 1e-9), NUM_BARS - 1)
        counts[NUM_BARS if rate > NUM_BARS * step else place] += 1
    return counts


def cumulative(rates: Mapping[str, Sequence[float]]) -> str:
    """For each series, which share of its rows has at most a given error rate."""
    most = max(map(scale_of, rates.values()), default=1.0)
    lines = ""
    for series, values in rates.items():
        shares = [(rate / most, (n + 1) / len(values)) for n, rate in enumerate(sorted(values))]
        lines += _curve(series, [(0.0, 0.0), *shares])
    grid = _percent_grid(across=False)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, anchor = LEFT + (RIGHT - LEFT) * share, "end" if share == 1 else "middle"
        grid += _text(x, BASE + 17, f"{100 * share * most:g} %", anchor)
    labels = _text(RIGHT, BASE + 32, "character error rate, at most", "end")
    return _svg("share of rows up to an error rate", grid + lines + labels + _axis())


def concentration(errors: Mapping[str, Sequence[int]]) -> str:
    """For each series, which share of all errors its worst rows hold."""
    lines = ""
    for series, counts in errors.items():
        total = sum(counts)
        if not total:
            continue
        worst_first = accumulate(sorted(counts, reverse=True))
        shares = [((n + 1) / len(counts), held / total) for n, held in enumerate(worst_first)]
        lines += _line(series, [(0.0, 0.0), *shares])
    labels = _text(RIGHT, BASE + 32, "share of rows, most errors first", "end")
    even = f'<line class=even x1="{LEFT}" y1="{BASE}" x2="{RIGHT}" y2="{TOP}"/>'
    content = _percent_grid() + even + lines + labels + _axis()
    return _svg("share of all errors in the worst rows", content)


def by_length(lengths: Sequence[int], rates: Sequence[float]) -> str:
    """Error rate (what leaves the scale at the top) over the truth's length, logarithmic."""
    most = scale_of(rates)
    if not lengths:
        return _svg("error rate by length", _percent_grid(most, across=False) + _axis())
    low, high = math.log10(min(lengths)), math.log10(max(lengths))
    span = high - low or 1.0
    places = [
        ((math.log10(length) - low) / span, min(rate / most, 1.0))
        for length, rate in zip(lengths, rates, strict=True)
    ]
    ticks = ""
    for length in length_ticks(min(lengths), max(lengths)):
        x = LEFT + (RIGHT - LEFT) * (math.log10(length) - low) / span
        ticks += _text(x, BASE + 17, f"{length:,}", "middle")
    ticks += _text(RIGHT, BASE + 32, "characters of the truth", "end")
    grid = _percent_grid(most, across=False)
    return _svg("error rate by length of the truth", grid + _density(places) + ticks + _axis())


def length_ticks(least: int, most: int) -> list[int]:
    """Powers of ten in the range; where those are few, 2 and 5 of them too, or the two ends."""
    exponents = range(len(str(most)))
    for factors in ((1,), (1, 2, 5)):
        ticks = [f * 10**e for e in exponents for f in factors if least <= f * 10**e <= most]
        if len(ticks) > 1:
            return ticks
    return sorted({least, most})


def against(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Rows by the other's error rate (across) and this run's (up), on one scale."""
    most = scale_of([*ours, *theirs])
    places = [(min(t / most, 1.0), min(o / most, 1.0)) for o, t in zip(ours, theirs, strict=True)]
    even = f'<line class=even x1="{LEFT}" y1="{BASE}" x2="{RIGHT}" y2="{TOP}"/>'
    labels = _text(RIGHT, BASE + 32, "CER of the other", "end")
    labels += _text(LEFT, TOP - 10, "CER of this run", "start")
    content = _percent_grid(most) + even + _density(places) + labels + _axis()
    return _svg("error rates of both, row by row", content)


def scale_of(rates: Sequence[float]) -> float:
    """Where an axis of error rates ends: a round number above nearly all of them, at most 1."""
    ranked = sorted(rates)
    most = ranked[math.ceil(0.97 * (len(ranked) - 1))] if ranked else 1.0
    return next((end for end in (0.04, 0.1, 0.2, 0.4, 0.6) if most <= end), 1.0)


def intervals(lines: Sequence[tuple[str, Sequence[tuple[str, float | None, Interval]]]]) -> str:
    """(name, [(series, rate, 95 % interval)]) of each line -> dots with whiskers from 0 %."""
    ends = [
        end
        for _, marks in lines
        for _, rate, interval in marks
        for end in (rate, *(interval or ()))
        if end is not None
    ]
    step = nice_step(max([*ends, 0.01]) / 6)
    most = max(math.ceil(max([*ends, 0.01]) / step), 1) * step
    left, right, width = 132, 676, 720

    def x(rate: float) -> float:
        return left + (right - left) * max(rate, 0.0) / most

    parts, y = [], 18.0
    for name, marks in lines:
        height = 15 * max(len(marks), 1) + 12
        parts.append(_text(left - 14, y + height / 2 - 2, name, "end"))
        for number, (series, rate, interval) in enumerate(marks):
            if rate is None:
                continue
            at = y + 7 + 15 * number
            if interval is not None:
                low, high = interval
                parts.append(
                    f'<line class="whisker {series}" x1="{x(low):.1f}" x2="{x(high):.1f}" '
                    f'y1="{at}" y2="{at}"/>'
                )
            parts.append(f'<circle class="dot {series}" cx="{x(rate):.1f}" cy="{at}" r="4.5"/>')
        y += height
    grid = ""
    for number in range(round(most / step) + 1):
        at = x(number * step)
        grid += f'<line class=grid x1="{at:.1f}" x2="{at:.1f}" y1="10" y2="{y:.0f}"/>'
        grid += _text(at, y + 16, f"{100 * number * step:,.9g} %", "middle")
    return (
        f'<svg class=intervals viewBox="0 0 {width} {y + 26:.0f}" role=img '
        f'aria-label="error rates with intervals">{grid}{"".join(parts)}</svg>'
    )


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= least * (1 - 1e-9))


def small_bar(share: float, low: float | None = None, high: float | None = None) -> str:
    """A bar for a table's cell: all in shares of its width; the interval as a whisker."""
    ends = [min(max(value, 0.0), 1.0) * 116 for value in (share, low or 0.0, high or 0.0)]
    whisker = ""
    if low is not None and high is not None:
        whisker = f'<line class=over x1="{ends[1]:.1f}" x2="{ends[2]:.1f}" y1="7" y2="7"/>'
    return (
        '<svg class=small viewBox="0 0 120 14" aria-hidden=true>'
        f'<rect class=bar x="0" y="2" width="{max(ends[0], 0.8):.1f}" height="10"/>{whisker}</svg>'
    )


def legend(names: Mapping[str, str]) -> str:
    """Which colour is whose; nothing for one series alone. `names` are HTML."""
    if len(names) < 2:
        return ""
    items = "".join(f'<span class="key {series}">{name}</span>' for series, name in names.items())
    return f"<p class=keys>{items}</p>"


def _svg(label: str, content: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role=img aria-label="{label}">{content}</svg>'


def _axis() -> str:
    return f'<line class=axis x1="{LEFT}" y1="{BASE}" x2="{RIGHT}" y2="{BASE}"/>'


def _left(place: int) -> float:
    width = (RIGHT - LEFT - BEYOND_SHIFT) / (NUM_BARS + 1)
    return LEFT + place * width + (BEYOND_SHIFT if place == NUM_BARS else 0)


def _bar(place: int, count: int, share_of_highest: float, step: float) -> str:
    if not count:
        return ""
    x, width, height = _left(place), _left(1) - _left(0) - 2.5, (BASE - TOP) * share_of_highest
    beyond = place == NUM_BARS
    low, high = f"{100 * place * step:g}", f"{100 * (place + 1) * step:g}"
    span = f"above {low} %" if beyond else f"{low} to {high} %"
    return (
        f'<rect class="bar{" beyond" if beyond else ""}" data-from="{low}" '
        f'data-to="{"" if beyond else high}" x="{x:.1f}" y="{BASE - height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}">'
        f"<title>{span}: {count_of(count, 'row')}</title></rect>"
        + _text(x + width / 2, BASE - height - 5, f"{count:,}", "middle")
    )


def _mark(place: int, share_of_highest: float) -> str:
    y = BASE - (BASE - TOP) * share_of_highest
    right = _left(place) + _left(1) - _left(0) - 2.5
    return (
        f'<line class="step other" x1="{_left(place):.1f}" x2="{right:.1f}" '
        f'y1="{y:.1f}" y2="{y:.1f}"/>'
    )


def _percent_grid(most: float = 1.0, *, across: bool = True) -> str:
    parts = ""
    for share in (0, 0.25, 0.5, 0.75, 1):
        y, x = BASE - (BASE - TOP) * share, LEFT + (RIGHT - LEFT) * share
        parts += f'<line class=grid x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>'
        label = f"{100 * share * most:g} %"
        parts += _text(LEFT - 6, y + 4, label, "end")
        if across:
            parts += _text(x, BASE + 17, label, "end" if share == 1 else "middle")
    return parts


def _curve(series: str, shares: Sequence[tuple[float, float]]) -> str:
    """A staircase through (x, y) of an area of 1 x 1, drawn with at most MAX_STEPS steps."""
    kept: dict[int, float] = {}
    for x, y in shares:
        if x <= 1:
            kept[math.ceil(x * MAX_STEPS - 1e-9)] = y
    path, last = "", 0.0
    for number, y in kept.items():
        at = LEFT + (RIGHT - LEFT) * number / MAX_STEPS
        path += f"{'L' if path else 'M'}{at:.1f} {BASE - (BASE - TOP) * last:.1f}"
        path += f"L{at:.1f} {BASE - (BASE - TOP) * y:.1f}"
        last = y
    path += f"L{RIGHT} {BASE - (BASE - TOP) * last:.1f}"
    return f'<path class="curve {series}" d="{path}"/>'


def _line(series: str, shares: Sequence[tuple[float, float]]) -> str:
    """A line through (x, y) of an area of 1 x 1, with at most MAX_STEPS pieces."""
    every = math.ceil(len(shares) / MAX_STEPS)
    kept = [*shares[:-1:every], shares[-1]]
    points = (f"{LEFT + (RIGHT - LEFT) * x:.1f} {BASE - (BASE - TOP) * y:.1f}" for x, y in kept)
    return f'<path class="curve {series}" d="M{"L".join(points)}"/>'


def _density(places: Iterable[tuple[float, float]]) -> str:
    """Points of an area of 1 x 1 as circles whose area is how many lie in a cell."""
    cells = Counter(
        (min(int(x * NUM_COLUMNS), NUM_COLUMNS - 1), min(int(y * NUM_LINES), NUM_LINES - 1))
        for x, y in places
    )
    most = max(cells.values(), default=1)
    parts = []
    for (column, line), count in sorted(cells.items()):
        x = LEFT + (RIGHT - LEFT) * (column + 0.5) / NUM_COLUMNS
        y = BASE - (BASE - TOP) * (line + 0.5) / NUM_LINES
        radius = 1.8 + 5.2 * math.sqrt(count / most) if most > 1 else 3
        parts.append(
            f'<circle class="spot this" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>{count_of(count, 'row')}</title></circle>"
        )
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
