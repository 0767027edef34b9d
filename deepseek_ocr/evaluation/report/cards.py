"""The rows of the report: each with its page, the truth and the answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .differences import mark_differences, visible
from .markup import count_of, percent, points
from .pictures import Pictures
from .records import Answer, Record
from .rendering import is_marked_up, rendered

NUM_WORST, NUM_MEDIAN, NUM_BEST, NUM_CHANGED = 6, 3, 3, 3
NUM_FEW = NUM_WORST + NUM_MEDIAN + NUM_BEST
NUM_CHARS_SHOWN = 20_000
EXTRA_SCORES = {  # scores of a row that not every row has -> what they are called
    "teds": "TEDS",
    "teds_s": "TEDS-S",
    "text_edit": "text edit",
    "formula_edit": "formula edit",
    "order_edit": "order edit",
    "field_f1": "field F1",
    "grounding_f1": "boxes F1",
    "mean_iou": "mean IoU",
}

Group = tuple[str, str, list[Record]]
"""An anchor, a heading, and the rows below it."""


def choose_examples(records: Sequence[Record]) -> list[Group]:
    """The rows to show, worst first; no row twice, failed rows not at all.

    Ordered by character error rate, then by errors, then by place in the test file. Where there is
    another run, what became better and worse most comes first. Rows without scores, of a
    benchmark, are neither good nor bad: the first ones.
    """
    answered = [record for record in records if record.answer.status != "failed"]
    if answered and not any(record.is_scored for record in answered):
        return [("answered", "The first answered rows", answered[:NUM_FEW])]
    ranked = sorted(answered, key=lambda record: record.rank, reverse=True)
    if len(ranked) <= NUM_FEW:
        return [("answered", "All answered rows, worst first", ranked)] if ranked else []
    groups = _most_changed(answered)
    taken = {record.place for _, _, group in groups for record in group}
    ranked = [record for record in ranked if record.place not in taken]
    middle = min(
        max((len(ranked) - NUM_MEDIAN) // 2, NUM_WORST), len(ranked) - NUM_BEST - NUM_MEDIAN
    )
    if middle < NUM_WORST:  # so few that what changed is most of them
        return [*groups, ("rest", "The other rows, worst first", ranked)]
    return [
        *groups,
        ("worst", "Worst", ranked[:NUM_WORST]),
        ("median", "Median", ranked[middle : middle + NUM_MEDIAN]),
        ("best", "Best", ranked[-NUM_BEST:]),
    ]


def _most_changed(records: Sequence[Record]) -> list[Group]:
    changed = [(change, r) for r in records if (change := r.change)]
    changed.sort(key=lambda pair: pair[0])
    better = [record for change, record in changed[:NUM_CHANGED] if change < 0]
    worse = [record for change, record in changed[::-1][:NUM_CHANGED] if change > 0]
    groups: list[Group] = [("better", "Better than the other run", better)]
    groups.append(("worse", "Worse than the other run", worse))
    return [group for group in groups if group[2]]


def row_card(record: Record, names: Mapping[str, str], pictures: Pictures) -> str:
    """The row as an `<article>`, everything in it escaped; `names` are HTML."""
    reason = f"<p class=reason>{visible(record.reason)}</p>" if record.reason else ""
    pages, wide = pictures.of(record)
    style = "compared wide" if wide else "compared"
    return f"""<article class=row id=row-{record.place}>
<header><h4>{visible(record.id)}</h4>{_figures(record)}</header>{reason}{_views(record)}
<div class="{style}">
<div class=pages>{pages}</div>
<div class=texts>
{_texts(record, names)}</div>
</div>
</article>"""


def _figures(record: Record) -> str:
    row, status = record.row, record.answer.status
    parts = [
        f'<span class="status{"" if status == "ok" else " bad"}">{visible(status)}</span>',
    ]
    if record.is_scored:
        counts = f"({record.char_errors:,} / {record.num_chars:,})"
        parts.append(f"<span>CER {percent(record.answer.cer, 1)} {counts}</span>")
    else:
        parts.append(f"<span>{visible(record.verdict)}</span>")
    if "wer" in row:
        counts = f"({row.get('word_errors') or 0:,} / {row.get('num_words') or 0:,})"
        parts.append(f"<span>WER {percent(row['wer'], 1)} {counts}</span>")
    for key, name in EXTRA_SCORES.items():
        value = row.get(key)
        if isinstance(value, int | float):
            parts.append(f"<span>{name} {value:.3f}</span>")
    if record.change is not None:
        kind = "better" if record.change < 0 else "worse" if record.change > 0 else "same"
        parts.append(f"<span class={kind}>{points(record.change)} against the other</span>")
    facts = [visible(str(row[k])) for k in ("group", "lang", "kind") if row.get(k)]
    parts += [f"<span>{fact}</span>" for fact in facts]
    if row.get("num_tokens"):
        parts.append(f"<span>{count_of(row['num_tokens'], 'token')}</span>")
    return "".join(parts)


def _views(record: Record) -> str:
    """The choice between raw and rendered, where there is something to render."""
    if not any(map(is_marked_up, (record.truth, *(a.text for _, a in record.answers)))):
        return ""
    choices = (("raw", "Differences"), ("rendered", "Rendered"), ("both", "Side by side"))
    buttons = "".join(
        f"<label><input type=radio name=view-{record.place} value={value}"
        f"{' checked' if value == 'raw' else ''}><span>{name}</span></label>"
        for value, name in choices
    )
    return f"<div class=views role=radiogroup aria-label=view>{buttons}</div>"


def _texts(record: Record, names: Mapping[str, str]) -> str:
    """The truth, marked against this run's answer, then each answer, marked against the truth.

    Of a benchmark's row, whose truth is not here, the answer alone.
    """
    if not record.is_scored:
        text = record.answer.text
        shown = visible(text[:NUM_CHARS_SHOWN])
        return _answer("this", "Prediction", record.answer, text, shown, bool(_views(record)))
    truth = record.truth[:NUM_CHARS_SHOWN]
    marked = [
        (who, answer, mark_differences(truth, answer.text[:NUM_CHARS_SHOWN]))
        for who, answer in record.answers
    ]
    has_views = bool(_views(record))
    parts = [_answer("truth", "Truth", None, record.truth, marked[0][2][0], has_views)]
    for who, answer, (_, shown) in marked:
        name = "Prediction" if len(marked) == 1 else names.get(who, who)
        parts.append(_answer(who, name, answer, answer.text, shown, has_views))
    return "\n".join(parts)


def _answer(
    who: str, name: str, answer: Answer | None, text: str, marked: str, has_views: bool
) -> str:
    note = count_of(len(text), "character")
    if answer is not None and who != "this":
        note = f"CER {percent(answer.cer, 1)}, {note}"
    if len(text) > NUM_CHARS_SHOWN:
        note += f", the first {NUM_CHARS_SHOWN:,} shown and compared"
    shown = marked or "<span class=nothing>empty</span>"
    # focusable, so that the keyboard can scroll it
    raw = f'<div class=raw dir=auto tabindex=0 role=group aria-label="{_label(who)}">{shown}</div>'
    drawn = ""
    if has_views:
        content = rendered(text) or "<span class=nothing>empty</span>"
        label = f"{_label(who)}, rendered"
        drawn = (
            f'<div class=rendered dir=auto tabindex=0 role=group aria-label="{label}">'
            f"{content}</div>"
        )
    return (
        f"<section class=answer><h5>{name} <small>{note}</small></h5>"
        f"<div class=shown>{raw}{drawn}</div></section>"
    )


def _label(who: str) -> str:
    return {"truth": "truth", "this": "prediction"}.get(who, f"prediction of the {who}")
