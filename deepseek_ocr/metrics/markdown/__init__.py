"""Scores of Markdown, of its texts, tables, formulas and of the order in which it was read."""

from .nid import nid
from .page import MarkdownScore, has_structure, page_score, summarize_markdown
from .tables import TableScore, table_score, teds

__all__ = [
    "MarkdownScore",
    "TableScore",
    "has_structure",
    "nid",
    "page_score",
    "summarize_markdown",
    "table_score",
    "teds",
]
