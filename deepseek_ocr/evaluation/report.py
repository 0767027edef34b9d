"""`report.html`: one self-contained page with the scores and the rows behind them.

No script and no network: the content security policy allows nothing but the page's own style sheet
(by its hash) and embedded pictures. Everything that comes from a model or a dataset is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..files import write_atomic
from .differences import plain, visible
from .evaluate import ScoredRow
from .markup import count_of, percent, table
from .report_chart import distribution
from .report_rows import examples
from .report_style import STYLE

REPORT_NAME = "report.html"
NUM_FAILURES_SHOWN = 100

NORMALIZATION_NOTES = {
    "raw": "both texts exactly as given",
    "nfc": "accents composed (Unicode NFC)",
    "case": "upper and lower case alike",
    "whitespace": "runs of white space as one blank",
    "punctuation": "punctuation left out",
}

STATUS_NOTES = {
    "ok": "the model ended its answer",
    "empty": "the model ended its answer at once",
    "truncated": "no end within the longest answer allowed",
    "repetition": "a loop without end",
    "failed": "no answer; scored as an empty one",
}


def write_report(
    path: Path,
    rows: Sequence[ScoredRow],
    summary: dict[str, Any],
    *,
    open_page: Callable[[str], Image.Image],
) -> None:
    """Write the report of a test, whole or not at all; `open_page` opens a row's pictures."""
    write_atomic(path, report_html(rows, summary, open_page=open_page))


def report_html(
    rows: Sequence[ScoredRow],
    summary: dict[str, Any],
    *,
    open_page: Callable[[str], Image.Image],
) -> str:
    """The whole page. `summary` is the content of `metrics.json` for the same rows."""
    run = summary["run"]
    model = "/".join(Path(run["model_path"]).parts[-2:])  # `last` alone would say nothing
    title = f"{model} on {Path(run['test_file']).name}"
    body = [
        _heading(title, summary),
        _headline(summary),
        _error_rates(summary["scores"]["raw"]),
        _distribution(rows),
        _normalizations(summary["scores"]),
        _statuses(summary),
        _failures(rows),
        examples(rows, open_page),
        _settings(run),
    ]
    return _page(title, "\n".join(body))


def _page(title: str, body: str) -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{plain(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _heading(title: str, summary: dict[str, Any]) -> str:
    empty = summary["num_empty_truths"]
    without = f"; {count_of(empty, 'row')} with an empty truth" if empty else ""
    rows = count_of(summary["num_rows"], "row")
    documents = count_of(summary["num_documents"], "document")
    return f"<h1>{visible(title)}</h1>\n<p class=soft>{rows} of {documents}{without}</p>"


def _headline(summary: dict[str, Any]) -> str:
    raw, statuses = summary["scores"]["raw"], summary["statuses"]
    exact = raw["exact"]
    num_failed = statuses["failed"]["count"]
    endings = [f"{e['count']:,} {s}" for s, e in statuses.items() if e["count"] and s != "failed"]
    others = ", ".join(endings) or "none"
    of_rows = f"{exact['count']:,} of {count_of(summary['num_rows'], 'row')}"
    tiles = [
        ("Character error rate", percent(raw["cer"]["micro"]), _between(raw["cer"]), ""),
        ("Word error rate", percent(raw["wer"]["micro"]), _between(raw["wer"]), ""),
        ("Exactly right", percent(exact["rate"], 1), of_rows, ""),
        ("Failed rows", f"{num_failed:,}", f"the others: {others}", " bad" if num_failed else ""),
    ]
    cells = "".join(
        f'<div><dt>{name}</dt><dd class="figure{style}">{figure}</dd><dd>{note}</dd></div>\n'
        for name, figure, note, style in tiles
    )
    return f"<dl class=headline>\n{cells}</dl>"


def _error_rates(raw: dict[str, Any]) -> str:
    heads = ["", "micro", "macro", "median", "90th percentile", "largest", "rows above 100 %"]
    lines = []
    for key, name in (("cer", "CER, characters"), ("wer", "WER, words")):
        rates = raw[key]
        cells = [
            f"{percent(rates[kind])}<small>{_interval(rates['intervals'][kind])}</small>"
            for kind in ("micro", "macro", "median")
        ]
        cells += [percent(rates["p90"]), percent(rates["maximum"])]
        lines.append([name, *cells, percent(rates["share_above_1"], 1)])
    return f"""<h2>Error rates</h2>
<p class=soft>Insertions, deletions and substitutions per character or word of the truth, so that a
rate can pass 100&nbsp;%. Micro: all errors over all lengths. Macro: mean of the rows' own rates.
Small print: 95&nbsp;% bootstrap interval over documents.</p>
{table(heads, lines)}
<p>Edit similarity, 1 &minus; errors / the longer text: mean {percent(raw["similarity"]["mean"])},
median {percent(raw["similarity"]["median"])}.</p>"""


def _distribution(rows: Sequence[ScoredRow]) -> str:
    rates = [row.score.cer for row in rows if row.score.num_chars and row.score.cer is not None]
    return f"""<h2>Distribution</h2>
<p class=soft>Rows by their character error rate, in steps of 5&nbsp;%.</p>
{distribution(rates)}"""


def _normalizations(scores: dict[str, Any]) -> str:
    heads = ["", "CER micro", "CER macro", "CER median", "WER micro", "exact", "ignores"]
    lines = [
        [
            plain(name).replace("+", "+<wbr>"),
            *(percent(score["cer"][kind]) for kind in ("micro", "macro", "median")),
            percent(score["wer"]["micro"]),
            percent(score["exact"]["rate"], 1),
            NORMALIZATION_NOTES.get(name, "all of these, in this order"),
        ]
        for name, score in scores.items()
    ]
    return f"""<h2>What the differences are</h2>
<p class=soft>The same rows, with both texts normalised before they are compared.</p>
{table(heads, lines, last_is_text=True)}"""


def _statuses(summary: dict[str, Any]) -> str:
    lines = [
        [status, f"{entry['count']:,}", percent(entry["rate"], 1), STATUS_NOTES[status]]
        for status, entry in summary["statuses"].items()
    ]
    heads = ["", "rows", "share", "meaning"]
    return f"<h2>How the answers ended</h2>\n{table(heads, lines, last_is_text=True)}"


def _failures(rows: Sequence[ScoredRow]) -> str:
    """The rows without an answer and why; nothing if there are none."""
    failed = [row for row in rows if row.result.status == "failed"]
    if not failed:
        return ""
    shown = failed[:NUM_FAILURES_SHOWN]
    lines = [[visible(row.annotation.id), visible(row.result.reason)] for row in shown]
    more = len(failed) - len(shown)
    rest = f"<p>{count_of(more, 'more row')} in <code>predictions.jsonl</code>.</p>" if more else ""
    heads = ["row", "reason"]
    return f"<h2>Failed rows</h2>\n{table(heads, lines, last_is_text=True)}{rest}"


def _settings(run: dict[str, Any]) -> str:
    items = "".join(
        f"<dt>{plain(name)}</dt><dd>{visible(str(value))}</dd>\n"
        for name, value in run.items()
        if value is not None
    )
    return f"""<h2>How this was measured</h2>
<p class=soft>Characters are Unicode code points, words are what white space separates, and nothing
is stripped. A row with an empty truth counts its insertions in micro and is left out of the other
averages. A failed row counts as an empty answer. Answers are decoded greedily. All rows are in
<code>predictions.jsonl</code>, all scores in <code>metrics.json</code>.</p>
<dl class=settings>
{items}</dl>"""


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:,.2f} – {100 * interval[1]:,.2f}"


def _between(rates: dict[str, Any]) -> str:
    interval = rates["intervals"]["micro"]
    if interval is None:
        return "micro; no interval from one document"
    return f"micro; 95&nbsp;%: {_interval(interval)}&nbsp;%"
