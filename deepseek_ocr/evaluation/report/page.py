"""The whole report: its parts in order, and what the browser may do with them.

The content security policy allows nothing but the page's own style sheet and script (by their
hashes) and embedded pictures; `require-trusted-types-for` keeps the script from making markup out
of texts. Everything that comes from a model or a dataset is escaped. Without scripts all scores and
the chosen rows are there; the list of all rows is not.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ...files import write_atomic
from . import families, scores
from .cards import choose_examples, row_card
from .differences import plain, visible
from .edits import Confusions
from .embedding import chars_kept, index, json_block, slices
from .markup import count_of, section
from .pictures import OpenPage, Pictures
from .records import OtherRun, Record, model_name, names_of, records_of

REPORT_NAME = "report.html"
NUM_CARDS = 100  # rows with their page, beside the examples; the worst of the others
MAX_PICTURE_BYTES = 24_000_000
NUM_CONFUSIONS = 24

PARTS = {  # anchors of the sections -> their names in the line at the top
    "benchmark": "Benchmark",
    "comparison": "Comparison",
    "baseline": "Baseline",
    "rates": "Error rates",
    "distribution": "Distribution",
    "breakdowns": "Breakdown",
    "differences": "Differences",
    "more": "Other scores",
    "examples": "Examples",
    "browser": "All rows",
    "method": "Method",
}


def write_report(
    path: Path,
    rows: Sequence[Any],
    summary: Mapping[str, Any],
    *,
    open_page: OpenPage,
    other: OtherRun | None = None,
) -> None:
    """Write the report of a test, whole or not at all; `open_page` opens a row's pictures.

    `rows` are the objects of `predictions.jsonl`, or what turns into them by `to_json`; with the
    optional keys `regions` (of the truth, boxes in page pixels), `baseline_prediction` and
    `baseline_cer`. `summary` is the content of `metrics.json` for the same rows.
    """
    write_atomic(path, report_html(rows, summary, open_page=open_page, other=other))


def report_html(
    rows: Sequence[Any],
    summary: Mapping[str, Any],
    *,
    open_page: OpenPage,
    other: OtherRun | None = None,
) -> str:
    """The whole page; the same rows give the same bytes."""
    names = names_of(summary, other)
    records = records_of(rows, names, other)
    shown_names = {who: visible(name) for who, name in names.items()}
    kept, confusions = chars_kept(records), Confusions()
    texts = io.StringIO()
    texts.writelines(slices(records, kept, confusions))
    cards = make_cards(records, shown_names, open_page)
    frequent = sorted(confusions.items(), key=lambda pair: (-pair[1], pair[0]))[:NUM_CONFUSIONS]
    body = [
        families.benchmark(summary),
        families.comparison(summary, records, other) if other else "",
        families.baseline(summary, records),
        scores.error_rates(summary, other, shown_names),
        scores.distributions(records, shown_names),
        families.breakdowns(summary),
        scores.normalizations(summary.get("scores")),
        scores.confusions(frequent, len(confusions)) if summary.get("scores") else "",
        families.families(summary),
        scores.statuses(summary, records),
        scores.tokens(summary),
        cards.examples,
        _browser(kept),
        scores.settings(summary["run"], cards.notes),
    ]
    title = _title(summary)
    data = json_block(index(records, names, kept), name="index") + texts.getvalue()
    top = scores.heading(title, summary) + scores.headline(summary, other, shown_names)
    return _page(title, top, "\n".join(part for part in body if part), cards.templates + data)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cards:
    """Rows with their pages: those shown, and those that the list of all rows can show."""

    examples: str
    templates: str
    notes: list[str]


def make_cards(records: Sequence[Record], names: Mapping[str, str], open_page: OpenPage) -> Cards:
    """The examples, then the worst of the other rows until NUM_CARDS or the budget is reached."""
    pictures = Pictures(open_page, MAX_PICTURE_BYTES)
    parts, chosen = [], set()
    for anchor, name, group in choose_examples(records):
        parts.append(f"<h3 class=group id=examples-{anchor}>{name}</h3>")
        for record in group:
            parts.append(row_card(record, names, pictures))
            chosen.add(record.place)
    others = [record for record in records if record.place not in chosen]
    others.sort(key=lambda record: record.rank, reverse=True)
    templates = []
    for record in others[:NUM_CARDS]:
        if pictures.left <= 0:
            break
        card = row_card(record, names, pictures)
        templates.append(f"<template id=card-{record.place}>{card}</template>\n")
    num_with_page = len(chosen) + len(templates)
    notes = []
    if num_with_page < len(records):
        notes.append(
            f"This page embeds the pictures of {num_with_page:,} of {count_of(len(records), 'row')}"
            ": the examples and the worst of the others."
        )
    legend = (
        "Characters of the truth that the prediction misses or misreads are <del>marked so</del>, "
        "characters of the prediction that the truth does not have <ins>so</ins>. A click on a "
        "picture, or the space bar, enlarges it."
    )
    if len(names) > 1:
        legend += " The truth is marked against the first answer beside it, this run’s."
    if any("<svg class=boxes" in part for part in parts):
        legend += " Boxes: dashed of the truth, solid of the prediction; names when pointed at."
    shown = section("examples", "Examples", legend, *parts) if parts else ""
    return Cards(examples=shown, templates="".join(templates), notes=notes)


def _browser(kept: int) -> str:
    """The place that the script fills with the list of all rows."""
    return section(
        "browser",
        "All rows",
        f"Texts up to {kept:,} characters; whole ones in <code>predictions.jsonl</code>.",
        "<noscript><p>This list needs JavaScript; everything above does not.</p></noscript>",
        "<div id=rows hidden></div>",
    )


def _title(summary: Mapping[str, Any]) -> str:
    run = summary["run"]
    name = model_name(run)
    tested = (summary.get("benchmark") or {}).get("name")
    tested = tested or Path(str(run.get("test_file") or "")).name
    return f"{name} on {tested}" if tested else name


def _page(title: str, top: str, body: str, data: str) -> str:
    # The data comes first: behind the body each piece of it that arrives would have the browser lay
    # out and paint the page again, ten times the time of 60 MB read before there is anything.
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; require-trusted-types-for 'script'; "
        "base-uri 'none'; form-action 'none'"
    )
    links = "".join(
        f"<a href=#{anchor}>{name}</a>"
        for anchor, name in PARTS.items()
        if f"<section id={anchor}>" in body
    )
    return f"""<!DOCTYPE html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta http-equiv=Content-Security-Policy content="{policy}">
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<meta name=referrer content=no-referrer>
<title>{plain(title)}</title>
{data}<style>{style}</style>
</head>
<body>
<nav aria-label="parts of the report">{links}</nav>
<main>
<header class=top>
{top}
</header>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def _digest(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
