"""A document as one HTML page that needs nothing else and can do nothing but show text.

markdown-it makes headings, lists, emphasis, code and pipe tables of the model's Markdown, with
HTML and pictures off and links to the web alone. Tables are written anew from their cells, figures
are embedded, formulas stay LaTeX between `\\(` and `\\)`, where a script that renders them looks.
The content security policy allows no script, no network, and no style but the page's own.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Any

from ..data.truth.html_tables import parse_table, table_html
from .characters import harmless
from .figures import blocks_with_figures
from .markup import ParsedAnswer, answer_lines, located_lines, parse_answer, shown_text
from .notices import notice, with_numbering
from .results import ReadPage
from .segments import Segment, segments

FigureBytes = Callable[[str], bytes | None]
"""The PNG file of a figure, by the name that `figure_name` gives it; None: there is none."""

MAX_MARKED_UP = 200_000
"""Characters of a block; a longer one, which no page holds, is shown as it is."""

MAX_NESTING = 20  # of lists and quotes

STYLE = """
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; color: #1a1a1a; background: #fff; }
section { border-top: 1px solid #ccc; padding-top: .5rem; margin-top: 2rem; }
.page { color: #666; font-size: .8rem; }
.notice { border-left: .3rem solid #b40; background: #fff3ec; padding: .5rem 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border: 1px solid #999; padding: .2rem .5rem; vertical-align: top; text-align: start; }
img { max-width: 100%; height: auto; }
figure { margin: 1rem 0; }
pre, code { font-family: ui-monospace, monospace; font-size: .9em; }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .5rem 1rem; }
.formula { font-family: ui-monospace, monospace; font-size: .9em; }
.display { display: block; margin: 1rem 2rem; white-space: pre-wrap; }
h1, h2, h3, h4, h5, h6, p, li, td, th, pre { unicode-bidi: plaintext; }
""".strip()

_POLICY = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
_BEGIN, _END = "\ufdd0", "\ufdd1"  # around the number of a formula; no text holds them
_PLACE = re.compile(f"{_BEGIN}([0-9]+){_END}")
_CENTER = re.compile(r"</?center>", re.IGNORECASE)
_ESCAPED_TAG = re.compile(r"&lt;(/?su[bp]|br)(?: ?/)?&gt;", re.IGNORECASE)
_WEB = ("https://", "http://")


def document_html(
    pages: Iterable[ReadPage], *, title: str, figure: FigureBytes = lambda _: None
) -> Iterator[str]:
    """The HTML file of a document, in pieces, a page each."""
    yield _head(title)
    for page, several in with_numbering(pages):
        body = page_html(page, figure)
        said = notice(page, several)
        warning = f'<p class="notice">{escape(said)}</p>\n' if said else ""
        if several:
            name = f'<p class="page">Page {page.number}</p>\n' if page.number else ""
            yield f'<section id="page-{page.number}">\n{name}{body}{warning}</section>\n'
        else:
            yield body + warning
    yield "</body>\n</html>\n"


def page_html(page: ReadPage, figure: FigureBytes = lambda _: None) -> str:
    """What stands on a page, as HTML."""
    answer = parse_answer(page.text, (page.width, page.height), prompt=page.prompt)
    if answer.kind != "layout":
        lines = map(escape, _lines(answer))
        return "".join(f"<p>{'<br>'.join(lines)}</p>\n") if answer.blocks else ""
    pieces: list[str] = []
    for block, names in blocks_with_figures(answer, page.number):
        pieces += [_figure_html(content) for name in names if (content := figure(name))]
        pieces.append(text_html(shown_text(block)))
    return "".join(pieces)


def text_html(text: str) -> str:
    """A model's Markdown as HTML; where markdown-it fails on it, as it is. Never raises."""
    pieces, flow = [], _Flow()
    for segment in segments(harmless(text)):
        if segment.kind in ("code", "table"):
            pieces += [flow.html(), _standing_alone(segment)]
            flow = _Flow()
        else:
            flow.add(segment)
    return "".join([*pieces, flow.html()])


class _Flow:
    """Text with formulas in it, which markdown-it must not see."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._formulas: list[str] = []

    def add(self, segment: Segment) -> None:
        """One piece more, a text or a formula."""
        if segment.kind == "text":
            self._pieces.append(_CENTER.sub("", segment.content))
        elif segment.content:
            self._pieces.append(f"{_BEGIN}{len(self._formulas)}{_END}")
            self._formulas.append(_formula_html(segment))

    def html(self) -> str:
        """What was added, as HTML."""
        markdown = "".join(self._pieces)
        if not markdown.strip():
            return ""
        rendered = _ESCAPED_TAG.sub(r"<\1>", _rendered(markdown))
        return _PLACE.sub(lambda place: self._formulas[int(place[1])], rendered)


def _head(title: str) -> str:
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(harmless(title))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )


def _lines(answer: ParsedAnswer) -> Iterator[str]:
    if answer.kind == "located":
        return located_lines(answer)
    return filter(str.strip, answer_lines(answer))


def _figure_html(png: bytes) -> str:
    content = base64.b64encode(png).decode("ascii")
    return f'<figure><img alt="figure" src="data:image/png;base64,{content}"></figure>\n'


def _standing_alone(segment: Segment) -> str:
    if segment.kind == "code":
        return f"<pre><code>{escape(segment.content)}</code></pre>\n"
    table = parse_table(segment.content)
    if table is not None and not table.cells:
        return ""
    try:
        written = table_html(table) if table else ""
    except ValueError:  # too many places
        written = ""
    if not written:
        return _as_it_is(segment.content)
    return f'<div class="table">{written}</div>\n'


def _formula_html(segment: Segment) -> str:
    latex = escape(segment.content)
    if segment.kind == "display":
        return rf'<span class="formula display">\[{latex}\]</span>'
    return rf'<span class="formula">\({latex}\)</span>'


def _as_it_is(text: str) -> str:
    return f"<pre>{escape(text)}</pre>\n"


def _rendered(markdown: str) -> str:
    if len(markdown) > MAX_MARKED_UP:
        return _as_it_is(markdown)
    try:
        return _parser().render(markdown)
    except Exception:  # noqa: BLE001  a parser of others, fed with what a model wrote
        return _as_it_is(markdown)


@functools.cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    options = {"html": False, "breaks": True, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable("table")
    parser.disable(["image", "autolink", "reference", "html_inline", "html_block"])
    parser.validateLink = lambda url: url.lower().startswith(_WEB)  # type: ignore[method-assign]
    # markdown-it gives these attributes of its own (titles, alignments, languages), in which what
    # stands for a formula must not stand
    rules: Any = parser.renderer
    rules.rules |= {
        "link_open": _link_open,
        "code_block": _code_block,
        "fence": _code_block,
        "th_open": lambda *_: "<th>",
        "td_open": lambda *_: "<td>",
        "ordered_list_open": _ordered_list_open,
    }
    return parser


def _link_open(tokens: Any, place: int, *_: Any) -> str:
    address = str(tokens[place].attrGet("href"))
    if not address.lower().startswith(_WEB):  # an empty one would be this page
        return "<a>"
    return f'<a rel="noreferrer nofollow" href="{escape(address)}">'


def _ordered_list_open(tokens: Any, place: int, *_: Any) -> str:
    start = str(tokens[place].attrGet("start") or "")
    return f'<ol start="{start}">\n' if start.isdecimal() else "<ol>\n"


def _code_block(tokens: Any, place: int, *_: Any) -> str:
    return f"<pre><code>{escape(tokens[place].content)}</code></pre>\n"
