"""TEDS: how alike two HTML tables are, as trees of rows and cells.

TEDS = 1 - tree edit distance / nodes of the larger table (Zhong, ShafieiBavani and Jimeno Yepes,
"Image-based table recognition: data, model, and evaluation", 2020). Renaming a node costs 1 if tag,
colspan or rowspan differ, else the normalised Levenshtein distance of the cells' contents, in
which a tag counts as one character. TEDS-S compares the structure alone.

Without a stated normalisation the figure means nothing: `OUR_FORM` is that of
opendataloader-bench, whose published scores it meets, `OMNIDOCBENCH_FORM` that of OmniDocBench.
They differ in blanks, in compatibility characters and in whether the table itself is a node.
"""

from __future__ import annotations

import dataclasses
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from .tree_distance import tree_distance

MAX_PAIRS = 10_000_000
"""Nodes of one table times nodes of the other; beyond, comparing them would take minutes."""

MAX_NODES = 20_000
"""Rows and cells of one table."""

MAX_CHARS = 2_000_000
"""Characters of one table's HTML."""

TRANSPARENT = ("thead", "tbody", "tfoot", "colgroup", "col")
"""Elements that stand for nothing; their children take their place."""


class TableError(ValueError):
    """What is no table, or one too large to compare; the message says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableForm:
    """What is made of a table's HTML before it is compared.

    `prepare` changes the text; `simplify`: `th` is `td`, `TRANSPARENT` elements do not count, a
    run of white space is one blank, none at the ends of a cell; `counts_itself`: the `table`
    element is one of the nodes that TEDS divides by; `counts_inner`: so are the elements inside
    cells, by which the original makes a table look the better, the more its cells are nested.
    """

    prepare: Callable[[str], str]
    simplify: bool
    counts_itself: bool
    counts_inner: bool


# What the published program's parser makes one line break, which then vanishes.
_BETWEEN_TAGS = re.compile(r"(?<=>)[ \t\n\r\f\v]+(?=<)")
# Lengths are bounded, so that what is never closed costs no quadratic time.
_MATH = re.compile(
    r"<math\b[^>]{0,1000}?\balttext=\"([^\"]{0,5000})\"[^>]{0,1000}>.{0,5000}?</math>", re.DOTALL
)
_WITHOUT_MEANING = re.compile(
    r"</?tbody>|<(?:/?(?:sup|sub|div|p))>|<colgroup>.{0,5000}?</colgroup>"
)


def omnidocbench_html(text: str) -> str:
    """HTML as OmniDocBench v1.5 compares it.

    Line breaks vanish, and with them the blanks around them between two tags; other runs of white
    space are one blank and stay at the ends of cells;
    characters are NFKC; `thead`, `tbody`, `span`, `sup`, `sub`, `div` and `p` do not count; a
    `math` element is its alternative text between `$`.
    """
    text = _BETWEEN_TAGS.sub(lambda blanks: "" if "\n" in blanks[0] else " ", text)
    text = _MATH.sub(r"$\1$", text)
    text = re.sub(r"<(/?)th(?=[\s>])", r"<\1td", text, flags=re.IGNORECASE)
    text = re.sub(r"</?(?:thead|span)\b[^>]{0,1000}>", "", text, flags=re.IGNORECASE)
    text = html.unescape(text).replace("\n", "")
    text = unicodedata.normalize("NFKC", text).strip()
    text = _WITHOUT_MEANING.sub("", text)
    return re.sub(r"\s+", " ", text)


OUR_FORM = TableForm(prepare=html.unescape, simplify=True, counts_itself=True, counts_inner=False)
OMNIDOCBENCH_FORM = TableForm(
    prepare=omnidocbench_html, simplify=False, counts_itself=False, counts_inner=True
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table as a tree: in postorder each node's leftmost leaf, kind and content.

    `kinds` are (tag, colspan, rowspan), spans None for what is no cell; `contents` are the cells'
    letters, a tag inside a cell being one letter; "" for others. TEDS divides by `num_nodes`.
    """

    leaves: list[int]
    kinds: list[tuple[str, int | None, int | None]]
    contents: list[str]
    num_nodes: int


def teds(prediction_html: str, truth_html: str, *, structure_only: bool = False) -> float:
    """TEDS (or TEDS-S) of two tables, 0 to 1; 0 where one of them cannot be read."""
    score = table_score(prediction_html, truth_html)
    return score.teds_s if structure_only else score.teds


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableScore:
    """One truth table; `reason` says why a score is 0 without a comparison, else it is empty."""

    teds: float
    teds_s: float
    reason: str = ""


def table_score(prediction_html: str, truth_html: str, *, form: TableForm = OUR_FORM) -> TableScore:
    """Both scores of one table."""
    try:
        truth = read_table(truth_html, form)
    except TableError as error:
        return TableScore(teds=0.0, teds_s=0.0, reason=f"truth: {error}")
    try:
        prediction = read_table(prediction_html, form)
        return TableScore(
            teds=_similarity(prediction, truth, structure_only=False),
            teds_s=_similarity(prediction, truth, structure_only=True),
        )
    except TableError as error:
        return TableScore(teds=0.0, teds_s=0.0, reason=str(error))


def read_table(text: str, form: TableForm = OUR_FORM) -> Table:
    """The first table of an HTML text.

    Raises:
        TableError: there is none, or it is too large, or a span of it is no number.
    """
    if len(text) > MAX_CHARS:
        raise TableError(f"a table of {len(text)} characters; at most {MAX_CHARS} are read")
    root = _parsed(form.prepare(text))
    if form.simplify:
        _simplify(root)
    leaves: list[int] = []
    table = Table(leaves=leaves, kinds=[], contents=[], num_nodes=0)
    _add_nodes(table, root, tidy=form.simplify)
    if len(leaves) > MAX_NODES:
        raise TableError(f"a table of {len(leaves)} rows and cells; at most {MAX_NODES} are read")
    counted = sum(1 for _ in root.iter()) if form.counts_inner else len(leaves)
    return dataclasses.replace(table, num_nodes=counted - (not form.counts_itself))


def _parsed(text: str) -> Any:
    """The outermost first `table` element.

    libxml2 mends what is broken and stops at 256 levels.
    """
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8")
    # an element of our own around it: a text that is no HTML must not raise
    source = f"<html><body>{_without_controls(text)}</body></html>".encode("utf-8", "replace")
    try:
        root = lxml.html.document_fromstring(source, parser=parser)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise TableError(f"HTML that cannot be read ({error})") from None
    tables = root.xpath("(//table)[1]")
    if not tables:
        raise TableError("no table")
    return tables[0]


def _without_controls(text: str) -> str:
    """Without the control characters at which libxml2 would stop reading."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)


def cell_texts(text: str) -> list[str]:
    r"""What stands in the `td` of an HTML table, where it is one text; `$\cdot$` goes."""
    try:
        root = _parsed(text[:MAX_CHARS])
    except TableError:
        return []
    texts = (_only_text(cell) for cell in root.iter("td"))
    return [found.replace(r"$\cdot$", "").strip() for found in texts if found]


def _only_text(element: Any) -> str | None:
    """The text of an element that holds nothing else, if need be inside an only child."""
    while len(element) == 1 and not element.text and not element[0].tail:
        element = element[0]
    return None if len(element) else element.text


def _simplify(root: Any) -> None:
    import lxml.etree

    for element in root.iter("th"):
        element.tag = "td"
    lxml.etree.strip_tags(root, *TRANSPARENT)


def _add_nodes(table: Table, element: Any, *, tidy: bool) -> int:
    """Adds the element and what is below it in postorder; returns its leftmost leaf."""
    kind: tuple[str, int | None, int | None]
    if element.tag == "td":
        kind = ("td", _span(element, "colspan"), _span(element, "rowspan"))
        content = _letters(element, tidy=tidy)
        first = len(table.leaves)
    else:
        kind, content = (element.tag, None, None), ""
        below = [_add_nodes(table, child, tidy=tidy) for child in element]
        first = below[0] if below else len(table.leaves)
    table.leaves.append(first)
    table.kinds.append(kind)
    table.contents.append(content)
    return first


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1")
    if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", value):
        raise TableError(f"a {name} of {value[:20]!r}; it must be a whole number")
    return int(value)


def _letters(cell: Any, *, tidy: bool) -> str:
    """The cell's content, every tag one letter that no text uses."""
    content = "".join(_pieces(cell))
    return " ".join(content.split()) if tidy else content


def _pieces(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        yield _TAGS.letter(f"<{child.tag}>")
        yield from _pieces(child)
        yield _TAGS.letter(f"</{child.tag}>")
        if child.tag != "td":  # as published: what follows an inner cell is not looked at
            yield child.tail or ""


class _TagLetters:
    """Numbers tags with characters of plane 16, which is for private use.

    Tags beyond its 65,000 share the last letter.
    """

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def letter(self, tag: str) -> str:
        if tag not in self.letters and len(self.letters) < 0xFFF0:
            self.letters[tag] = chr(0x100000 + len(self.letters))
        return self.letters.get(tag, chr(0x10FFFD))


_TAGS = _TagLetters()


def _similarity(first: Table, second: Table, *, structure_only: bool) -> float:
    size, other_size = len(first.leaves), len(second.leaves)
    if size * other_size > MAX_PAIRS:
        raise TableError(f"tables of {size} and {other_size} nodes are too large to compare")
    num_nodes = max(first.num_nodes, second.num_nodes)
    if num_nodes == 0:  # both hold nothing
        return 1.0
    renaming = _renaming(first, second, structure_only=structure_only)
    distance = tree_distance(first.leaves, second.leaves, renaming)
    return max(0.0, 1 - distance / num_nodes)  # deep nesting against none can cost more than all


def _renaming(first: Table, second: Table, *, structure_only: bool) -> NDArray[np.float64]:
    """(nodes, nodes): what it costs to make a node of the first one of the second, 0 to 1."""
    numbers: dict[tuple, int] = {}
    kinds = np.array([numbers.setdefault(kind, len(numbers)) for kind in first.kinds])
    others = np.array([numbers.setdefault(kind, len(numbers)) for kind in second.kinds])
    differ = kinds[:, None] != others[None, :]
    if structure_only:
        return differ.astype(np.float64)
    return np.where(differ, 1.0, _content_distances(first.contents, second.contents))


def _content_distances(first: list[str], second: list[str]) -> NDArray[np.float64]:
    """Normalised Levenshtein distances of all pairs; each distinct pair is computed once."""
    texts, places = _distinct(first)
    other_texts, other_places = _distinct(second)
    distances = process.cdist(
        texts, other_texts, scorer=Levenshtein.normalized_distance, dtype=np.float64
    )
    return distances[np.ix_(places, other_places)]


def _distinct(texts: list[str]) -> tuple[list[str], list[int]]:
    """The distinct texts in their first order, and of each text its place among them."""
    numbers: dict[str, int] = {}
    places = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), places
