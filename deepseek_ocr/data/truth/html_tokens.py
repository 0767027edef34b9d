"""HTML of others, taken apart in one pass: tags and the text between them.

As forgiving as a browser where it matters here (tags that are never closed, attributes without
quotes), and never slower than the length of the text: `html.parser` of the standard library takes
minutes for a megabyte of `<a <a <a`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_TAG = 1 << 16  # characters

_TAG = re.compile(r"""<(/?)([A-Za-z][^\s/<>"']*+)((?:[^<>"']|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'<>]++))?""")
_NOT_SHOWN = {"script": re.compile("</script", re.I), "style": re.compile("</style", re.I)}


class Tag(NamedTuple):
    """A tag with its name and the names of its attributes in lower case.

    `is_end` for `</p>`, `is_empty` for `<p/>`; `line` counts from 1.
    """

    name: str
    attributes: dict[str, str]
    is_end: bool
    is_empty: bool
    line: int


def html_tokens(markup: str) -> Iterator[Tag | str]:
    """Tags, and the text between them with its entities resolved; comments and scripts left out."""
    place, line, counted = 0, 1, 0
    while place < len(markup):
        begin = markup.find("<", place)
        if begin < 0:
            yield html.unescape(markup[place:])
            return
        if begin > place:
            yield html.unescape(markup[place:begin])
        match = _TAG.match(markup, begin, begin + MAX_TAG)
        if match is None:
            place = _after_no_tag(markup, begin)
            if place == begin + 1:
                yield "<"
            continue
        line += markup.count("\n", counted, begin)
        counted = begin
        slash, name, rest = match.groups()
        name = name.lower()
        yield Tag(name, _attributes(rest), bool(slash), rest.endswith("/"), line)
        place = match.end()
        if name in _NOT_SHOWN and not slash:
            end = _NOT_SHOWN[name].search(markup, place)
            place = end.start() if end else len(markup)


def _after_no_tag(markup: str, begin: int) -> int:
    """Where to go on after a `<` that begins no tag: behind a comment or a declaration."""
    if markup.startswith("<!--", begin):
        end = markup.find("-->", begin + 4)
        return len(markup) if end < 0 else end + 3
    if markup[begin + 1 : begin + 2] in ("!", "?"):
        end = markup.find(">", begin)
        return len(markup) if end < 0 else end + 1
    return begin + 1


def _attributes(written: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(written):
        text = value[1:-1] if value[:1] in ("'", '"') else value
        found.setdefault(name.lower(), html.unescape(text))  # the first one counts
    return found
