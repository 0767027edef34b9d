"""The scores of a test as aligned lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.benchmarks.protocol import BenchmarkTable

Summary = Mapping[str, Any]

LABEL, CELL, INTERVAL = 24, 10, 18
"""Columns of the first cell of a line, of each other, and of an interval."""


def print_tables(summary: Summary, table: BenchmarkTable | None = None) -> None:
    """Print what was measured: a benchmark's table, or the scores and what stands beside them."""
    if table is not None:
        from ..evaluation.benchmarks.run import print_table  # here: few tests need it

        print(f"{print_table(table)}\n\n{statuses(summary)}")
        return
    parts = [score_table(summary), other_scores(summary), beside(summary)]
    print("\n\n".join(part for part in parts if part))


def score_table(summary: Summary) -> str:
    """The raw scores of a test as a few aligned lines."""
    raw = summary["scores"]["raw"]
    heads = "".join(f"{head:>9}" for head in ("micro", "macro", "median", "p90"))
    lines = [f"{'':12}{heads}  95 % interval of micro"]
    for name in ("cer", "wer"):
        rates = raw[name]
        cells = "".join(f"{number(rates[k]):>9}" for k in ("micro", "macro", "median", "p90"))
        lines.append(f"{name.upper():12}{cells}  {interval(rates['intervals']['micro'])}")
    exact = raw["exact"]
    lines.append(f"{'exact':12}{number(exact['rate']):>9}  {exact['count']} of {_rows(summary)}")
    lines.append(f"{'similarity':12}{number(raw['similarity']['mean']):>9}")
    return "\n".join([*lines, statuses(summary)])


def statuses(summary: Summary) -> str:
    """How many rows ended how."""
    counts = ", ".join(f"{entry['count']} {name}" for name, entry in summary["statuses"].items())
    assumed = summary["num_statuses_assumed"]
    told = f" ({assumed} assumed: the answers do not say)" if assumed else ""
    return f"{'status':12}{counts}{told}"


def other_scores(summary: Summary) -> str:
    """A line for each further family in which rows take part."""
    lines = []
    for key, name in (
        ("text_edit", "text blocks, edit"),
        ("formula_edit", "formulas, edit"),
        ("teds", "tables, TEDS"),
        ("teds_s", "tables, TEDS-S"),
        ("order_edit", "reading order, edit"),
    ):
        figure = (summary["markdown"] or {}).get(key)
        if figure is not None and figure["mean"] is not None:
            lines.append(_line(name, [figure["mean"]], _rows(figure)))
    if (fields := summary["fields"]) is not None:
        lines.append(_line("fields, F1", [fields["f1"]], _rows(fields)))
        lines.append(_line("fields, tree accuracy", [fields["tree_edit_accuracy"]], _rows(fields)))
    if (boxes := summary["grounding"]) is not None:
        overall = boxes.get("overall", boxes)
        lines.append(_line("boxes, F1", [overall["f1"]], _rows(boxes)))
        lines.append(_line("boxes, mean IoU", [overall["mean_iou"]], _rows(boxes)))
    return "\n".join(lines)


def beside(summary: Summary) -> str:
    """This test and each other one on the same rows, with paired differences; "" without others."""
    others = []
    if (baseline := summary["baseline"]) is not None:
        others.append((baseline["name"], baseline["differences"], summary["num_rows"]))
    if (comparison := summary["comparison"]) is not None:
        others.append((comparison["name"], comparison, comparison["num_rows"]))
    return "\n\n".join(_against(*other) for other in others)


def _against(name: str, differences: Summary, num_rows: int) -> str:
    wide = max(len(name) + 2, CELL)
    rows = "on " + _rows({"num_rows": num_rows})
    first = max(len(rows), 12)
    heads = f"{rows:{first}}{'this test':>11}{name:>{wide}}{'difference':>12}"
    lines = [f"{heads}  {'95 % interval':{INTERVAL}}      p"]
    for key, label in (("cer", "CER"), ("wer", "WER"), ("similarity", "similarity")):
        one = differences[key]
        change = "-" if one["difference"] is None else f"{one['difference']:+.4f}"
        p_value = "-" if one["p_value"] is None else f"{one['p_value']:.3f}"
        lines.append(
            f"{label:{first}}{number(one['this']):>11}{number(one['other']):>{wide}}{change:>12}"
            f"  {interval(one['interval']):{INTERVAL}}  {p_value:>5}"
        )
    return "\n".join(lines)


def _line(name: str, values: Sequence[float | None], note: str) -> str:
    return f"{name:{LABEL}}" + "".join(f"{number(v):>{CELL}}" for v in values) + f"  {note}"


def _rows(summary: Summary) -> str:
    count = summary["num_rows"]
    return f"{count} row" if count == 1 else f"{count} rows"


def number(value: float | None) -> str:
    """A score with four decimals; `-` for none."""
    return "-" if value is None else f"{value:.4f}"


def interval(ends: Sequence[float] | None) -> str:
    """`0.1000 to 0.2000`; `-` for none."""
    return "-" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
