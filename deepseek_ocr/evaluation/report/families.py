"""Scores beside the error rates: words, graphemes, Markdown, fields, boxes; groups; benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import charts
from .differences import plain, visible
from .markup import DASH, count_of, figure, interval_of, percent, points, section, table
from .records import Answer, OtherRun, Record

NUM_GROUPS_SHOWN = 200
NUM_GROUPS_OPEN = 16  # more are folded away
BREAKDOWNS = {
    "group": "By document",
    "lang": "By language",
    "kind": "By kind",
    "length": "By length of the truth",
    "tiles": "By tiles",
}
FACETS = {"group": "group", "lang": "lang", "kind": "kind", "tiles": "num_tiles"}
"""Breakdowns whose lines the list of rows can be narrowed to -> the rows' key."""

MARKDOWN = (
    ("text_edit", "Text, edit distance", "lower is better"),
    ("formula_edit", "Formulas, edit distance", "lower is better"),
    ("teds", "Tables, TEDS", "higher is better"),
    ("teds_s", "Tables, TEDS-S (structure alone)", "higher is better"),
    ("order_edit", "Reading order, edit distance", "lower is better"),
)


_PAIRED = (
    "Differences of this run less the other, on the same rows, with 95&nbsp;% intervals and "
    "p-values of a paired bootstrap over documents."
)


def families(summary: Mapping[str, Any]) -> str:
    """The other families of scores, each as far as rows take part in it; nothing if none do."""
    lines = [
        *_graphemes(summary.get("graphemes")),
        *_words(summary.get("words")),
        *_markdown(summary.get("markdown")),
        *_fields(summary.get("fields")),
        *_boxes(summary.get("grounding")),
    ]
    if not lines:
        return ""
    heads = ["", "score", "rows", "what it says"]
    return section("more", "Other scores", "", table(heads, lines, last_is_text=True))


def breakdowns(summary: Mapping[str, Any]) -> str:
    """A table for each property of the rows by which they were told apart."""
    found = summary.get("breakdowns") or {}
    parts = [
        _breakdown(name, title, found[name])
        for name, title in BREAKDOWNS.items()
        if found.get(name)
    ]
    if not parts:
        return ""
    note = (
        "Bars: CER micro, the whisker its 95&nbsp;% interval over documents; on a scale that ends "
        "at the table’s largest rate, at most 100&nbsp;%."
    )
    return section("breakdowns", "Breakdown", note, *parts)


def comparison(summary: Mapping[str, Any], records: Sequence[Record], other: OtherRun) -> str:
    """This run against another on the rows that both have."""
    found = summary.get("comparison") or {}
    alone = [
        f"{count_of(found[key], 'row')} {where}"
        for key, where in (("only_here", "only in this run"), ("only_there", "only in the other"))
        if found.get(key)
    ]
    missing = f" Not compared: {', '.join(alone)}." if alone else ""
    title = f"Against {visible(other.name)}"
    others = [record.other for record in records]
    return section("comparison", title, _PAIRED + missing, _against(found, records, others))


def baseline(summary: Mapping[str, Any], records: Sequence[Record]) -> str:
    """This run against the reader that read the same rows; nothing without one."""
    found = summary.get("baseline") or {}
    if not found.get("differences"):
        return ""
    failed = found.get("num_failed") or 0
    missing = f" It could not read {count_of(failed, 'row')}." if failed else ""
    name, lang = visible(str(found["name"])), found.get("lang")
    title = f"Against {name}" + (f" ({visible(str(lang))})" if lang else "")
    others = [record.baseline for record in records]
    drawn = _against(found["differences"], records, others)
    return section("baseline", title, _PAIRED + missing, drawn)


def _against(
    found: Mapping[str, Any], records: Sequence[Record], others: Sequence[Answer | None]
) -> str:
    """The differences as a table, and every row's two error rates as a drawing."""
    both = [
        (record.answer.cer, other.cer)
        for record, other in zip(records, others, strict=True)
        if other and other.cer is not None and record.answer.cer is not None
    ]
    better = sum(ours < theirs for ours, theirs in both)
    worse = sum(ours > theirs for ours, theirs in both)
    same = len(both) - better - worse
    scatter = charts.against([ours for ours, _ in both], [theirs for _, theirs in both])
    return (
        f"<div class=comparison>\n<div>{_compared(found)}"
        f"<p><b class=better>{better:,} better</b>, <b class=worse>{worse:,} worse</b>, "
        f"{same:,} alike by CER.</p></div>\n"
        "<figure><figcaption>Each row’s CER; below the diagonal this run is better</figcaption>"
        f"{scatter}</figure>\n</div>"
    )


def benchmark(summary: Mapping[str, Any]) -> str:
    """The published table's columns, ours first; nothing without a benchmark."""
    found = summary.get("benchmark")
    if not found:
        return ""
    columns = [plain(str(column)) for column in found["columns"]]
    reasons = found.get("reasons") or {}

    def cells(values: Sequence[float | None]) -> list[str]:
        return [
            DASH if value is None else f"{value:,.3f}".rstrip("0").rstrip(".") for value in values
        ]

    lines = [["<b>this run</b>", *(f"<b>{cell}</b>" for cell in cells(found["values"]))]]
    lines += [[visible(str(name)), *cells(values)] for name, values in found.get("published") or ()]
    notes = [f"{plain(str(name))}: {visible(str(reason))}" for name, reason in reasons.items()]
    notes += [visible(str(note)) for note in found.get("notes") or ()]
    listed = "".join(f"<li>{note}</li>" for note in notes)
    return section(
        "benchmark",
        visible(str(found["name"])),
        "The columns of the published table; below this run what was published.",
        table(["", *columns], lines),
        f"<ul class=notes>{listed}</ul>" if listed else "",
    )


def _compared(found: Mapping[str, Any]) -> str:
    heads = ["", "this run", "the other", "difference", "p"]
    lines = []
    for key, name in (("cer", "CER micro"), ("wer", "WER micro"), ("similarity", "similarity")):
        if one := found.get(key):
            p = one.get("p_value")
            lines.append(
                [
                    name,
                    percent(one.get("this")),
                    percent(one.get("other")),
                    f"{points(one.get('difference'))}"
                    f"<small>{interval_of(one.get('interval'))}</small>",
                    DASH if p is None else "&lt; 0.001" if p < 0.001 else f"{p:.3f}",
                ]
            )
    return table(heads, lines) if lines else ""


def _breakdown(name: str, title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    shown = lines[:NUM_GROUPS_SHOWN]
    ends = [line["cer"].get("micro") or 0.0 for line in shown]
    ends += [(line["cer"].get("interval") or (0, 0))[1] for line in shown]
    scale = min(max([*ends, 1e-9]), 1.0)
    heads = ["", "rows", "", "CER micro", "macro", "median", "WER micro", "exact", "failed"]
    body = [_group(name, line, scale) for line in shown]
    more = len(lines) - len(shown)
    rest = f"<p>{count_of(more, 'more line')} in <code>metrics.json</code>.</p>" if more else ""
    tables = f"{table(heads, body)}{rest}"
    if len(lines) > NUM_GROUPS_OPEN:
        tables = f"<details><summary>{len(lines):,} of them</summary>{tables}</details>"
    return f"<h3>{title}</h3>\n{tables}"


def _group(name: str, line: Mapping[str, Any], scale: float) -> list[str]:
    cer, interval = line["cer"], line["cer"].get("interval")
    bar = ""
    if cer.get("micro") is not None:
        low, high = interval or (None, None)
        bar = charts.small_bar(
            cer["micro"] / scale,
            None if low is None else low / scale,
            None if high is None else high / scale,
        )
    value = "" if line["value"] is None else str(line["value"])
    label = visible(value) or "<span class=nothing>none</span>"
    if name in FACETS:
        label = (
            f"<button type=button data-filter={FACETS[name]} "
            f'data-value="{plain(value)}">{label}</button>'
        )
    return [
        label,
        f"{line['num_rows']:,}",
        bar,
        f"{percent(cer.get('micro'))}<small>{interval_of(interval)}</small>",
        percent(cer.get("macro")),
        percent(cer.get("median")),
        percent(_micro(line.get("wer"))),
        percent(line.get("exact"), 1),
        f"{line.get('failed') or 0:,}",
    ]


def _micro(value: Any) -> float | None:
    return value.get("micro") if isinstance(value, Mapping) else value


def _graphemes(found: Any) -> list[list[str]]:
    cer = (found or {}).get("cer") or {}
    if cer.get("micro") is None:
        return []
    rows = _rows(cer.get("num_rows"))
    note = "what a reader takes as one character, composed (NFC)"
    return [["CER of grapheme clusters, micro", percent(cer["micro"]), rows, note]]


def _words(found: Any) -> list[list[str]]:
    found = found or {}
    lines = []
    bag = found.get("bag_of_words")
    rate = bag.get("rate", bag.get("micro")) if isinstance(bag, Mapping) else bag
    if rate is not None:
        lines.append(["Bag of words, error", percent(rate), "", "words in any order"])
    bleu = found.get("bleu")
    value = bleu.get("score") if isinstance(bleu, Mapping) else bleu
    if value is not None:
        lines.append(["BLEU", figure(value, 2), "", "1 to 4 words in a row"])
    fox = found.get("fox") or {}
    if fox.get("f1") is not None:
        note = (
            f"sets of words: precision {figure(fox['precision'])}, recall {figure(fox['recall'])}"
        )
        lines.append(["Fox F1", figure(fox["f1"]), "", note])
    return lines


def _markdown(found: Any) -> list[list[str]]:
    return [
        [title, figure(one["mean"]), _rows(one.get("num_rows")), note]
        for key, title, note in MARKDOWN
        if (one := (found or {}).get(key)) and one.get("mean") is not None
    ]


def _fields(found: Any) -> list[list[str]]:
    if not found or found.get("f1") is None:
        return []
    rows = _rows(found.get("num_rows"))
    unreadable = found.get("num_unreadable") or 0
    note = f"precision {figure(found.get('precision'))}, recall {figure(found.get('recall'))}"
    if unreadable:
        note += f"; {count_of(unreadable, 'answer')} no JSON"
    lines = [["Fields, F1", figure(found["f1"]), rows, note]]
    if found.get("tree_edit_accuracy") is not None:
        accuracy = figure(found["tree_edit_accuracy"])
        lines.append(["Fields, tree edit accuracy", accuracy, rows, "as Donut’s"])
    return lines


def _boxes(found: Any) -> list[list[str]]:
    if not found:
        return []
    overall = found.get("overall") or found
    per_label = found.get("per_label") or found.get("labels") or {}
    rows = _rows(found.get("num_rows", overall.get("num_rows")))
    lines = []
    if overall.get("f1") is not None:
        lines.append(["Boxes, F1", figure(overall["f1"]), rows, _box_note(overall)])
    if isinstance(per_label, Mapping):
        for label, one in list(per_label.items())[:NUM_GROUPS_SHOWN]:
            name = f"Boxes of {visible(str(label))}"
            lines.append([name, figure(one.get("f1")), "", _box_note(one)])
    return lines


def _box_note(one: Mapping[str, Any]) -> str:
    return (
        f"precision {figure(one.get('precision'))}, recall {figure(one.get('recall'))}, "
        f"mean IoU {figure(one.get('mean_iou'))}"
    )


def _rows(count: int | None) -> str:
    return "" if count is None else f"{count:,}"
