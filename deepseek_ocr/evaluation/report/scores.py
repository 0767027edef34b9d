"""The figures of `metrics.json` as the upper part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import charts
from .differences import plain, visible
from .markup import DASH, count_of, figure, interval_of, percent, section, table
from .records import OtherRun, Record

Summary = Mapping[str, Any]

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

NUM_FAILURES_SHOWN = 100


def raw_scores(summary: Summary, other: OtherRun | None) -> dict[str, Mapping[str, Any]]:
    """The scores without normalisation of this run, the other and the baseline, as there are.

    Of a benchmark, whose rows have no truths, there are none.
    """
    if not summary.get("scores"):
        return {}
    found = {"this": summary["scores"]["raw"]}
    if other is not None:
        found["other"] = other.summary["scores"]["raw"]
    if summary.get("baseline"):
        found["baseline"] = summary["baseline"]["scores"]["raw"]
    return found


def heading(title: str, summary: Summary) -> str:
    """What was tested, on how much."""
    empty = summary.get("num_empty_truths")
    without = f"; {count_of(empty, 'row')} with an empty truth" if empty else ""
    rows = count_of(summary["num_rows"], "row")
    documents = count_of(summary["num_documents"], "document")
    return f"<h1>{visible(title)}</h1>\n<p class=soft>{rows} of {documents}{without}</p>"


def headline(summary: Summary, other: OtherRun | None, names: Mapping[str, str]) -> str:
    """The four figures that one looks at first, those of the others beside them.

    Without scores, of a benchmark, how many rows failed alone.
    """
    scores = raw_scores(summary, other)
    tiles = _score_tiles(summary, scores, names) if scores else []
    statuses = summary["statuses"]
    num_failed = statuses["failed"]["count"]
    endings = [f"{e['count']:,} {s}" for s, e in statuses.items() if e["count"] and s != "failed"]
    answered = f"the others: {', '.join(endings) or 'none'}"
    tiles.append(("Failed rows", f"{num_failed:,}", answered, ""))
    cells = "".join(
        f'<div><dt>{name}</dt><dd class="figure'
        f'{" bad" if name == "Failed rows" and num_failed else ""}">{value}</dd>'
        f"<dd>{note}</dd>{others}</div>\n"
        for name, value, note, others in tiles
    )
    return f"<dl class=headline>\n{cells}</dl>"


def _score_tiles(
    summary: Summary, scores: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """(name, figure, note, those of the others) of the scores that one looks at first."""
    raw = scores["this"]
    exact = raw["exact"]
    of_rows = f"{exact['count']:,} of {count_of(summary['num_rows'], 'row')}"

    def beside(rate: Any, decimals: int = 2) -> str:
        return "".join(
            f'<dd class="beside key {who}">{percent(rate(scores[who]), decimals)} {names[who]}</dd>'
            for who in ("other", "baseline")
            if who in scores
        )

    return [
        (
            "Character error rate",
            percent(raw["cer"]["micro"]),
            _between(raw["cer"]),
            beside(lambda one: one["cer"]["micro"]),
        ),
        (
            "Word error rate",
            percent(raw["wer"]["micro"]),
            _between(raw["wer"]),
            beside(lambda one: one["wer"]["micro"]),
        ),
        (
            "Exactly right",
            percent(exact["rate"], 1),
            of_rows,
            beside(lambda one: one["exact"]["rate"], 1),
        ),
    ]


def error_rates(summary: Summary, other: OtherRun | None, names: Mapping[str, str]) -> str:
    """CER and WER of all averages, drawn with their intervals and as a table; or nothing."""
    scores = raw_scores(summary, other)
    if not scores:
        return ""
    several = len(scores) > 1
    drawn = [
        (
            f"{rate.upper()} {kind}",
            [(who, one[rate][kind], one[rate]["intervals"][kind]) for who, one in scores.items()],
        )
        for rate in ("cer", "wer")
        for kind in ("micro", "macro", "median")
    ]
    heads = ["", "micro", "macro", "median", "90th percentile", "largest", "rows above 100 %"]
    lines = []
    for rate, what in (("cer", "CER, characters"), ("wer", "WER, words")):
        for who, one in scores.items():
            rates = one[rate]
            cells = [
                f"{percent(rates[kind])}<small>{interval_of(rates['intervals'][kind])}</small>"
                for kind in ("micro", "macro", "median")
            ]
            cells += [percent(rates["p90"]), percent(rates["maximum"])]
            named = f'{what}<small class="key {who}">{names[who]}</small>' if several else what
            lines.append([named, *cells, percent(rates["share_above_1"], 1)])
    similarity = scores["this"]["similarity"]
    return section(
        "rates",
        "Error rates",
        "Insertions, deletions and substitutions per character or word of the truth, so that a "
        "rate can pass 100&nbsp;%. Micro: all errors over all lengths. Macro: mean of the rows’ "
        "own rates. Whiskers and small print: 95&nbsp;% bootstrap interval over documents.",
        charts.legend(names),
        charts.intervals(drawn),
        table(heads, lines),
        f"<p>Edit similarity, 1 &minus; errors / the longer text: mean "
        f"{percent(similarity['mean'])}, median {percent(similarity['median'])}.</p>",
    )


def distributions(records: Sequence[Record], names: Mapping[str, str]) -> str:
    """Four drawings of how the errors lie among the rows, and what they come to in words.

    Nothing where no row was scored.
    """
    if records and not any(record.is_scored for record in records):
        return ""
    rates: dict[str, list[float]] = {}
    errors: dict[str, list[int]] = {}
    for record in records:
        if not record.num_chars:
            continue
        for who, answer in record.answers:
            rate = answer.cer or 0.0
            rates.setdefault(who, []).append(rate)
            errors.setdefault(who, []).append(round(rate * record.num_chars))
    ours = rates.get("this", [])
    lengths = [record.num_chars for record in records if record.num_chars]
    figures = [
        ("Rows by their character error rate", charts.distribution(ours, rates.get("other"))),
        ("Share of rows up to an error rate", charts.cumulative(rates)),
        ("Share of all errors in the worst rows", charts.concentration(errors)),
        ("Error rate by length of the truth", charts.by_length(lengths, ours)),
    ]
    drawn = "".join(
        f"<figure><figcaption>{name}</figcaption>{svg}</figure>\n" for name, svg in figures
    )
    return section(
        "distribution",
        "Distribution",
        _in_words(errors.get("this", []), ours),
        charts.legend(names),
        f"<div class=figures>{drawn}</div>",
    )


def normalizations(scores: Mapping[str, Any] | None) -> str:
    """The same rows with both texts normalised: what the differences are; or nothing."""
    if not scores:
        return ""
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
    return section(
        "differences",
        "What the differences are",
        "The same rows, with both texts normalised before they are compared.",
        table(heads, lines, last_is_text=True),
    )


def confusions(found: Sequence[tuple[tuple[str, str], int]], num_kinds: int) -> str:
    """The characters most often misread, missed and invented; nothing if there are none."""
    if not found:
        return ""
    most = found[0][1]
    heads = ["truth", "prediction", "times", ""]
    lines = [
        [_characters(missed), _characters(invented), f"{count:,}", charts.small_bar(count / most)]
        for (missed, invented), count in found
    ]
    half = (len(lines) + 1) // 2
    tables = "".join(table(heads, part) for part in (lines[:half], lines[half:]) if part)
    return section(
        "confusions",
        "Most frequent confusions",
        f"Differences of up to three characters in the answers as they were given; "
        f"{count_of(num_kinds, 'kind')} in all.",
        f"<div class=confusions>{tables}</div>",
    )


def statuses(summary: Summary, records: Sequence[Record]) -> str:
    """How the answers ended, and why those that failed did."""
    lines = [
        [
            f"<button type=button data-filter=status data-value={status}>{status}</button>",
            f"{entry['count']:,}",
            percent(entry["rate"], 1),
            STATUS_NOTES.get(status, ""),
        ]
        for status, entry in summary["statuses"].items()
    ]
    heads = ["", "rows", "share", "meaning"]
    return section(
        "endings",
        "How the answers ended",
        _who_said(summary),
        table(heads, lines, last_is_text=True),
        _failures(records),
    )


def _who_said(summary: Summary) -> str:
    """Of answers from elsewhere: how many of the endings the file told."""
    if not summary["run"].get("from_predictions"):
        return ""
    total, assumed = summary["num_rows"], summary.get("num_statuses_assumed") or 0
    if not assumed:
        return "The answers were given, and with each of them how it ended."
    return (
        f"The answers were given. How they ended, the file tells of {total - assumed:,} of "
        f"{count_of(total, 'row')}; of the others it is assumed: <i>ok</i> where there is text, "
        f"<i>empty</i> where there is none."
    )


def tokens(summary: Summary) -> str:
    """Text tokens, image tokens and how many of the former one of the latter stands for."""
    found = summary.get("tokens") or {}
    lines = [
        [name, f"{one['total']:,}", figure(one["mean"], 1), _count(one["max"])]
        for name, key in (("text, as answered", "text"), ("image, as the decoder sees", "image"))
        if isinstance(one := found.get(key), Mapping) and one.get("total")
    ]
    if not lines:
        return ""
    ratios = found.get("compression") or {}
    said = "; ".join(
        f"{value:.2f}× {note}"
        for key, note in (
            ("paper", "as the paper counts (text tokens of the truth per vision token)"),
            ("decoder", "as the decoder sees them"),
        )
        if isinstance(value := _ratio(ratios.get(key)), float)
    )
    heads = ["tokens", "all rows", "mean a row", "most of a row"]
    compressed = f"<p>Compression: {said}.</p>" if said else ""
    return section("tokens", "Tokens", "", table(heads, lines), compressed)


def settings(run: Mapping[str, Any], notes: Sequence[str]) -> str:
    """What one needs in order to measure the same again."""
    items = "".join(
        f"<dt>{plain(str(name))}</dt><dd>{visible(_setting(value))}</dd>\n"
        for name, value in run.items()
        if value is not None
    )
    more = "".join(f" {note}" for note in notes)
    rates = (
        "Characters are Unicode code points, words are what white space separates, and nothing is "
        "stripped. A row with an empty truth counts its insertions in micro and is left out of the "
        "other averages. "
    )
    rates = "" if run.get("benchmark") else rates
    decoded = "Answers are decoded greedily. " if run.get("model_path") else ""
    return section(
        "method",
        "How this was measured",
        f"{rates}A failed row counts as an empty answer. {decoded}All rows are in "
        f"<code>predictions.jsonl</code>, all scores in <code>metrics.json</code>.{more}",
        f"<dl class=settings>\n{items}</dl>",
    )


def _setting(value: Any) -> str:
    """A value as text; versions as `torch 2.13.0, numpy 2.1.0`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)


def _in_words(errors: Sequence[int], rates: Sequence[float]) -> str:
    """Whether a few rows decide the averages, which the averages themselves do not tell."""
    total = sum(errors)
    if not total:
        return "No row has an error." if errors else "No row has a truth to compare with."
    ranked = sorted(errors, reverse=True)
    few = max(1, round(len(ranked) / 100))
    held = sum(ranked[:few]) / total
    without = sum(rate == 0 for rate in rates)
    which = "The worst row holds" if few == 1 else f"The worst {few:,} rows (1&nbsp;%) hold"
    return (
        f"{which} {percent(held, 0)} of all character errors; {count_of(without, 'row')} of "
        f"{len(rates):,} {'has' if without == 1 else 'have'} none."
    )


def _failures(records: Sequence[Record]) -> str:
    """The rows without an answer and why; nothing if there are none."""
    failed = [record for record in records if record.answer.status == "failed"]
    if not failed:
        return ""
    shown = failed[:NUM_FAILURES_SHOWN]
    lines = [[visible(record.id), visible(record.reason)] for record in shown]
    more = len(failed) - len(shown)
    rest = f"<p>{count_of(more, 'more row')} in <code>predictions.jsonl</code>.</p>" if more else ""
    return f"<h3>Failed rows</h3>\n{table(['row', 'reason'], lines, last_is_text=True)}{rest}"


def _characters(text: str) -> str:
    """Characters for a table: blanks and line ends are seen, and nothing says so."""
    if not text:
        return "<span class=nothing>nothing</span>"
    shown = visible(
        text.replace(" ", "\N{OPEN BOX}").replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}")
    )
    return f"<code dir=auto>{shown}</code>"


def _between(rates: Mapping[str, Any]) -> str:
    interval = rates["intervals"]["micro"]
    if interval is None:
        return "micro; no interval from one document"
    return f"micro; 95&nbsp;%: {interval_of(interval)}&nbsp;%"


def _ratio(value: Any) -> float | None:
    """A compression ratio, alone or as the micro or mean of a family."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("micro", "mean", "ratio") if key in value), None)
    return float(value) if isinstance(value, int | float) else None


def _count(value: float | None) -> str:
    return DASH if value is None else f"{value:,.0f}"
