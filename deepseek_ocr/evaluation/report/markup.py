"""Small pieces of HTML that the parts of the report share."""

from __future__ import annotations

from collections.abc import Sequence

DASH = "–"


def table(
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    last_is_text: bool = False,
    caption: str = "",
) -> str:
    """A table of cells that are HTML already; the first of a line names it."""

    def kind(place: int) -> str:
        return " class=text" if last_is_text and place == len(heads) - 1 else ""

    head = "".join(f"<th scope=col{kind(i)}>{name}</th>" for i, name in enumerate(heads))
    body = "".join(
        f"<tr><th scope=row>{cells[0]}</th>"
        + "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(cells[1:], start=1))
        + "</tr>\n"
        for cells in lines
    )
    title = f"<caption>{caption}</caption>" if caption else ""
    # focusable, so that the keyboard can scroll a table wider than the screen
    return (
        f"<div class=scroll tabindex=0 role=group><table>{title}\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table></div>"
    )


def section(name: str, title: str, note: str, *parts: str) -> str:
    """A part of the page with its heading, what one should know to read it, and its content."""
    soft = f"\n<p class=soft>{note}</p>" if note else ""
    return f"<section id={name}>\n<h2>{title}</h2>{soft}\n" + "\n".join(parts) + "\n</section>"


def percent(rate: float | None, decimals: int = 2) -> str:
    """0.0321 -> "3.21 %", with a blank that does not break; a dash for None."""
    return DASH if rate is None else f"{100 * rate:,.{decimals}f}&nbsp;%"


def figure(value: float | None, decimals: int = 3) -> str:
    """A score that is no percentage; a dash for None."""
    return DASH if value is None else f"{value:,.{decimals}f}"


def points(difference: float | None) -> str:
    """A difference of two rates in percentage points, always with its sign."""
    if difference is None:
        return DASH
    return f"{100 * difference:+,.2f}".replace("-", "\N{MINUS SIGN}") + "&nbsp;pp"


def interval_of(interval: Sequence[float] | None) -> str:
    """The ends of an interval of rates in per cent; nothing for None."""
    if interval is None:
        return ""
    low, high = (f"{100 * end:,.2f}".replace("-", "\N{MINUS SIGN}") for end in interval)
    return f"{low} {DASH} {high}"


def count_of(count: int, name: str) -> str:
    """1, "row" -> "1 row"; 2 -> "2 rows"."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
