"""Small pieces of HTML that the parts of the report share."""

from __future__ import annotations

from collections.abc import Sequence


def table(
    heads: Sequence[str], lines: Sequence[Sequence[str]], *, last_is_text: bool = False
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
    return (
        f"<div class=scroll><table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table></div>"
    )


def percent(rate: float | None, decimals: int = 2) -> str:
    """0.0321 -> "3.21 %", with a blank that does not break; a dash for None."""
    return "–" if rate is None else f"{100 * rate:,.{decimals}f}&nbsp;%"


def count_of(count: int, name: str) -> str:
    """1, "row" -> "1 row"; 2 -> "2 rows"."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
