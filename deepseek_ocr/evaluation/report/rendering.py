"""Markdown from a model or a dataset -> HTML that can do nothing but show text.

markdown-it makes headings, lists, emphasis, code and pipe tables, with HTML off and without links
and pictures: neither can lead anywhere. `<table>`s are read by an HTML parser and written anew from
their cells' texts. Formulas stay LaTeX, marked as such; grounding tags are taken out.
"""

from __future__ import annotations

import functools
import html
import html.parser
import re
from typing import Any

from .differences import visible

MAX_CHARS = 20_000
MAX_CELLS = 4_000
MAX_SPAN = 60
MAX_NESTING = 20

_GROUNDING = re.compile(r"<\|ref\|>[^<]{0,200}<\|/ref\|>\s{0,3}<\|det\|>[^<]{0,8192}<\|/det\|>\n?")
_TABLE = re.compile(r"<table\b.*?(?:</table\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_CENTER = re.compile(r"</?center>", re.IGNORECASE)
_MARKS = re.compile(
    r"^ {0,3}(#{1,6} |```|\|.*\|)|\n[-*+] |\*\*\S|<table|<\|ref\||\\[(\[]|\$\$",
    re.IGNORECASE | re.MULTILINE,
)
_FORMULA = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$(.+?)\$\$", re.DOTALL)
_FORMULA_STARTS = ("\\(", "\\[", "$$")


def is_marked_up(text: str) -> bool:
    """Whether the text would look different when rendered."""
    return _MARKS.search(text[:MAX_CHARS]) is not None


def rendered(text: str) -> str:
    """The text as HTML; where that fails, a line that says so. Never raises, whatever the text."""
    try:
        return _rendered(text[:MAX_CHARS])
    except Exception as error:  # noqa: BLE001  one odd answer must not cost the whole report
        return f"<p class=missing>cannot be rendered: {visible(type(error).__name__)}</p>"


def _rendered(text: str) -> str:
    text = _CENTER.sub("", _GROUNDING.sub("", text))
    parts, last = [], 0
    for match in _TABLE.finditer(text):
        parts += [_markdown(text[last : match.start()]), safe_table(match[0])]
        last = match.end()
    parts.append(_markdown(text[last:]))
    return "".join(parts)


def safe_table(source: str) -> str:
    """An HTML table written anew: rows and cells, their spans as numbers, their texts escaped."""
    reader = _TableReader()
    reader.feed(source)
    reader.close()
    lines = "".join(
        "<tr>"
        + "".join(
            f"<{tag}{spans}>{visible(' '.join(text.split()))}</{tag}>" for tag, spans, text in row
        )
        + "</tr>"
        for row in reader.rows
        if row
    )
    more = "<p class=missing>the rest of the table is not shown</p>" if reader.is_full else ""
    return f"<table><tbody>{lines}</tbody></table>{more}" if lines else ""


class _TableReader(html.parser.HTMLParser):
    """Cells of a table in `rows`; a table within a cell becomes text of that cell."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[tuple[str, str, str]]] = []
        self.cell: tuple[str, str, list[str]] | None = None
        self.num_cells = 0

    @property
    def is_full(self) -> bool:
        return self.num_cells >= MAX_CELLS

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._end_cell()
            self.rows.append([])
        elif tag in ("td", "th"):
            self._end_cell()
            if not self.is_full:
                self.num_cells += 1
                self.cell = (tag, _spans(dict(attrs)), [])
        elif tag == "br" and self.cell:
            self.cell[2].append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.cell[2].append(data)

    def close(self) -> None:
        super().close()
        self._end_cell()

    def _end_cell(self) -> None:
        if self.cell:
            tag, spans, texts = self.cell
            if not self.rows:
                self.rows.append([])
            self.rows[-1].append((tag, spans, "".join(texts)))
        self.cell = None


def _spans(attributes: dict[str, str | None]) -> str:
    """colspan and rowspan as numbers from 2 to MAX_SPAN; anything else is left out."""
    spans = ""
    for name in ("colspan", "rowspan"):
        value = attributes.get(name) or ""
        if re.fullmatch(r"[0-9]{1,4}", value) and int(value) > 1:
            spans += f' {name}="{min(int(value), MAX_SPAN)}"'
    return spans


def _markdown(text: str) -> str:
    return _parser().render(text) if text.strip() else ""


@functools.cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt(
        "commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING}
    ).enable("table")
    parser.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])
    parser.inline.ruler.before("escape", "formula", _formula)
    # markdown-it gives these tokens attributes of its own (an alignment as a style, a language as
    # a class); the policy of the page forbids the one, nothing needs the other
    rules: Any = parser.renderer
    rules.rules |= {
        "text": lambda tokens, place, *_: visible(tokens[place].content),
        "code_inline": lambda tokens, place, *_: f"<code>{visible(tokens[place].content)}</code>",
        "code_block": _code_block,
        "fence": _code_block,
        "formula": lambda tokens, place, *_: (
            f"<code class=formula>{visible(tokens[place].content)}</code>"
        ),
        "th_open": lambda *_: "<th>",
        "td_open": lambda *_: "<td>",
    }
    return parser


def _code_block(tokens: Any, place: int, *_: Any) -> str:
    return f"<pre><code>{visible(tokens[place].content)}</code></pre>\n"


def _formula(state: Any, silent: bool) -> bool:
    """markdown-it's rule for LaTeX between `\\(`, `\\[` or `$$` and their ends."""
    if not state.src.startswith(_FORMULA_STARTS, state.pos):
        return False
    match = _FORMULA.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        token = state.push("formula", "code", 0)
        token.content = next(group for group in match.groups() if group is not None).strip()
    state.pos = match.end()
    return True
