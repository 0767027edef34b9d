"""The kinds of pages, by the name `--kind` takes; a new one is a file here and a line below."""

from ..request import Kind
from . import book, invoices, letters, lines, lists, receipts, tables, words

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (lines, letters, receipts, tables, invoices, lists, book, words)
}
